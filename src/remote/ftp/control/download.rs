//! What comes over a data connection.

use super::super::super::{Deadlines, FaultKind, Outcome, RemoteFault, RemotePath};
use super::{Control, Stream};
use std::io::Write;
use std::time::Duration;
use suppaftp::tokio::{AsyncRustlsStream, TransferStream};
use tokio::io::AsyncReadExt;

/// Bytes read from a data connection at a time.
const PIECE_BYTES: usize = 64 * 1024;

impl Control {
    /// Writes the bytes of a file to `sink` (RETR, RFC 959, 4.1.3) and reads the confirmation.
    pub(in crate::remote::ftp) fn download(
        &mut self,
        path: &RemotePath,
        deadlines: &Deadlines,
        sink: &mut dyn Write,
    ) -> Result<u64, RemoteFault> {
        const OPERATION: &str = "read";
        let opened = self.open_transfer(OPERATION, Outcome::NotDone, &async |stream: &mut Stream| {
            stream.retr_as_stream(path.as_str()).await
        })?;
        let mut transfer = opened.map_err(|refused| refused.fault(OPERATION, Outcome::NotDone))?;
        let received = self.receive(&mut transfer, OPERATION, deadlines.transfer_idle.as_std(), &mut |piece| {
            sink.write_all(piece).map_err(|error| RemoteFault::of_sink(&error))
        })?;
        self.finish(transfer, OPERATION, deadlines.final_reply(received), Outcome::NotDone)?
            .map_err(|refused| refused.fault(OPERATION, Outcome::NotDone))?;
        Ok(received)
    }

    /// Hands on what comes until the server closes the data connection; the number of bytes. `idle` is the deadline of
    /// each piece. After a fault the session is given up: more may be on its way.
    pub(super) fn receive(
        &mut self,
        transfer: &mut TransferStream<AsyncRustlsStream>,
        operation: &'static str,
        idle: Duration,
        take: &mut dyn FnMut(&[u8]) -> Result<(), RemoteFault>,
    ) -> Result<u64, RemoteFault> {
        let (mut buffer, mut received) = (vec![0; PIECE_BYTES], 0u64);
        loop {
            let count = match self.runtime.within(idle, transfer.read(&mut buffer)) {
                Some(Ok(0)) => return Ok(received),
                Some(Ok(count)) => count,
                Some(Err(error)) => return Err(self.give_up(RemoteFault::io(&error, operation, Outcome::NotDone))),
                None => return Err(self.give_up(RemoteFault::new(FaultKind::Timeout, operation, Outcome::NotDone))),
            };
            take(buffer.get(..count).unwrap_or_default()).map_err(|fault| self.give_up(fault))?;
            received += u64::try_from(count).unwrap_or(0);
        }
    }
}
