//! Reading a file: many reads are on their way at the same time, or the round trip would be the speed limit.

use super::super::{Outcome, RemoteFault, RemotePath};
use super::connection::Connection;
use super::upload::ON_THEIR_WAY_MAX;
use russh_sftp::client::RawSftpSession;
use russh_sftp::client::error::Error;
use russh_sftp::protocol::{FileAttributes, OpenFlags, StatusCode};
use std::collections::VecDeque;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;

const OPERATION: &str = "read";
/// Bytes of one read, which every server gives at once.
const READ_BYTES: u32 = 32 * 1024;

/// Reads on their way, in the order of the file.
struct Reads {
    handle: String,
    /// What the server stated as the size: nothing is asked ahead behind it.
    stated: u64,
    asked: u64,
    on_their_way: VecDeque<JoinHandle<Result<Vec<u8>, Error>>>,
}

/// Writes the bytes of a file to `sink` until the server says that there are no more. `idle` is the deadline of each
/// piece.
pub(super) fn download(
    connection: &mut Connection,
    idle: Duration,
    path: &RemotePath,
    sink: &mut dyn Write,
) -> Result<u64, RemoteFault> {
    let name = path.to_string();
    let mut reads = connection.ask(OPERATION, Outcome::NotDone, async |sftp: Arc<RawSftpSession>| {
        let handle = sftp.open(name, OpenFlags::READ, FileAttributes::empty()).await?.handle;
        let stated = sftp.fstat(handle.as_str()).await?.attrs.size.unwrap_or(0);
        Ok(Reads { handle, stated, asked: 0, on_their_way: VecDeque::new() })
    })?;
    let read = receive(connection, idle, &mut reads, sink).inspect_err(|_| connection.give_up())?;
    let handle = reads.handle;
    connection.ask(OPERATION, Outcome::NotDone, async |sftp: Arc<RawSftpSession>| sftp.close(handle).await)?;
    Ok(read)
}

fn receive(
    connection: &mut Connection,
    idle: Duration,
    reads: &mut Reads,
    sink: &mut dyn Write,
) -> Result<u64, RemoteFault> {
    let mut received = 0u64;
    loop {
        let piece = connection
            .ask_within(idle, OPERATION, Outcome::NotDone, async |sftp: Arc<RawSftpSession>| reads.next(&sftp).await)?;
        if piece.is_empty() {
            return Ok(received);
        }
        sink.write_all(&piece).map_err(|error| RemoteFault::of_sink(&error))?;
        received += u64::try_from(piece.len()).unwrap_or(0);
    }
}

impl Reads {
    /// The next piece of the file; empty at its end.
    async fn next(&mut self, sftp: &Arc<RawSftpSession>) -> Result<Vec<u8>, Error> {
        while self.on_their_way.is_empty() || (self.asked < self.stated && self.on_their_way.len() < ON_THEIR_WAY_MAX) {
            let (sftp, handle, offset) = (Arc::clone(sftp), self.handle.clone(), self.asked);
            self.on_their_way.push_back(tokio::spawn(async move { read_full(&sftp, &handle, offset).await }));
            self.asked += u64::from(READ_BYTES);
        }
        match self.on_their_way.pop_front() {
            None => Ok(Vec::new()),
            Some(read) => match read.await {
                Ok(piece) => piece,
                Err(_) => Err(Error::UnexpectedBehavior("a read was cut off".to_owned())),
            },
        }
    }
}

/// Servers may give less than was asked for, though the file goes on: only its end makes a piece short.
async fn read_full(sftp: &RawSftpSession, handle: &str, offset: u64) -> Result<Vec<u8>, Error> {
    let mut piece = Vec::new();
    loop {
        let got = u32::try_from(piece.len()).unwrap_or(READ_BYTES);
        if got >= READ_BYTES {
            return Ok(piece);
        }
        match sftp.read(handle, offset + u64::from(got), READ_BYTES - got).await {
            Ok(answer) if answer.data.is_empty() => return Ok(piece),
            Ok(answer) if piece.is_empty() => piece = answer.data,
            Ok(answer) => piece.extend_from_slice(&answer.data),
            Err(Error::Status(status)) if status.status_code == StatusCode::Eof => return Ok(piece),
            Err(error) => return Err(error),
        }
    }
}
