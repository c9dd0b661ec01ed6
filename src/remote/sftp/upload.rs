//! Writing a file: many writes are on their way at the same time, or the round trip would be the speed limit.

use super::super::local_dir::{check_length, read_some};
use super::super::{Deadlines, FaultKind, Outcome, RemoteFault, RemotePath};
use super::connection::Connection;
use russh_sftp::client::RawSftpSession;
use russh_sftp::client::error::Error;
use russh_sftp::protocol::{FileAttributes, OpenFlags, Status};
use std::collections::VecDeque;
use std::io::Read;
use std::sync::Arc;
use tokio::task::JoinHandle;

const OPERATION: &str = "upload";
/// Bytes of one write, which every server takes.
const WRITE_BYTES: usize = 32 * 1024;
/// Requests that are not answered yet.
pub(super) const ON_THEIR_WAY_MAX: usize = 64;

type Writes = VecDeque<JoinHandle<Result<Status, Error>>>;

/// Writes `body` to a new file, and makes it durable where the server can.
pub(super) fn upload(
    connection: &mut Connection,
    deadlines: &Deadlines,
    sync: bool,
    path: &RemotePath,
    (body, bytes): (&mut dyn Read, u64),
    progress: &mut dyn FnMut(u64),
) -> Result<(), RemoteFault> {
    let name = path.to_string();
    let flags = OpenFlags::CREATE | OpenFlags::EXCLUDE | OpenFlags::WRITE;
    let handle = connection.ask(OPERATION, Outcome::NotDone, async |sftp: Arc<RawSftpSession>| {
        sftp.open(name, flags, FileAttributes::empty()).await.map(|opened| opened.handle)
    })?;
    let sent = send(connection, deadlines, &handle, body, progress).and_then(|sent| check_length(sent, bytes));
    if let Err(fault) = sent {
        let fault = explained(connection, path, fault);
        connection.give_up();
        return Err(in_part(fault));
    }
    let ended = connection.ask_within(
        deadlines.final_reply(bytes),
        OPERATION,
        Outcome::Unknown,
        async |sftp: Arc<RawSftpSession>| {
            if sync {
                sftp.fsync(handle.as_str()).await?;
            }
            sftp.close(handle).await
        },
    );
    ended.map(|_| ()).map_err(in_part)
}

/// Whatever the server refused of an open file, a part of it may be there.
fn in_part(fault: RemoteFault) -> RemoteFault {
    RemoteFault { outcome: Outcome::Unknown, ..fault }
}

fn send(
    connection: &mut Connection,
    deadlines: &Deadlines,
    handle: &str,
    body: &mut dyn Read,
    progress: &mut dyn FnMut(u64),
) -> Result<u64, RemoteFault> {
    let (mut sent, mut on_their_way, mut piece) = (0u64, Writes::new(), vec![0; WRITE_BYTES]);
    let idle = deadlines.transfer_idle.as_std();
    loop {
        let count = read_some(body, &mut piece)?;
        let data = piece.get(..count).unwrap_or_default().to_vec();
        let offset = sent;
        let is_end = count == 0;
        connection.ask_within(idle, OPERATION, Outcome::Unknown, async |sftp: Arc<RawSftpSession>| {
            if !is_end {
                let handle = handle.to_owned();
                on_their_way.push_back(tokio::spawn(async move { sftp.write(handle, offset, data).await }));
            }
            if is_end || on_their_way.len() >= ON_THEIR_WAY_MAX {
                confirm(&mut on_their_way).await?;
            }
            Ok(())
        })?;
        if is_end && on_their_way.is_empty() {
            return Ok(sent);
        }
        sent += count as u64;
        if !is_end {
            progress(sent);
        }
    }
}

/// `Failure` says nothing; a full file system is what it means most often.
fn explained(connection: &mut Connection, path: &RemotePath, fault: RemoteFault) -> RemoteFault {
    if fault.kind != FaultKind::Denied {
        return fault;
    }
    let directory = path.parent().to_string();
    let room = connection.ask(OPERATION, Outcome::NotDone, async |sftp: Arc<RawSftpSession>| {
        sftp.statvfs(directory).await.map(|found| found.blocks_avail)
    });
    if room == Ok(0) { RemoteFault { kind: FaultKind::DiskFull, ..fault } } else { fault }
}

/// Waits for the oldest write.
async fn confirm(on_their_way: &mut Writes) -> Result<(), Error> {
    match on_their_way.pop_front() {
        None => Ok(()),
        Some(write) => match write.await {
            Ok(written) => written.map(|_| ()),
            Err(_) => Err(Error::UnexpectedBehavior("a write was cut off".to_owned())),
        },
    }
}
