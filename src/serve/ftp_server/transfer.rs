//! Data connections: passive ports, who may connect to them, and files on their way.

use super::control::Duplex;
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// How long a transfer may stand still.
const STALL_DEADLINE: Duration = Duration::from_mins(1);
/// How long a client may take to close its side of a connection that has brought everything.
const CLOSE_DEADLINE: Duration = Duration::from_secs(5);
/// Bytes read or written at a time.
const PIECE_BYTES: usize = 256 * 1024;

/// The ports of data connections. They are given out one after the other, so a late connection to a port that was
/// given up does not meet the next client.
#[derive(Debug)]
pub(super) struct PassivePorts {
    range: Option<RangeInclusive<u16>>,
    next: AtomicU16,
}

impl PassivePorts {
    pub(super) const fn new(range: Option<RangeInclusive<u16>>) -> Self {
        Self { range, next: AtomicU16::new(0) }
    }

    /// Listens on a port of the range at this address.
    pub(super) async fn listen(&self, address: IpAddr) -> io::Result<TcpListener> {
        let Some(range) = &self.range else { return TcpListener::bind((address, 0)).await };
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        let count = range.end().saturating_sub(*range.start()).saturating_add(1);
        let mut refused = io::Error::from(io::ErrorKind::AddrInUse);
        for step in 0..count {
            let port = range.start().saturating_add(first.wrapping_add(step) % count);
            match TcpListener::bind((address, port)).await {
                Ok(listener) => return Ok(listener),
                Err(error) => refused = error,
            }
        }
        Err(refused)
    }
}

/// Waits for the client. Whoever else connects is sent away.
pub(super) async fn accept(listener: &TcpListener, client: IpAddr) -> io::Result<TcpStream> {
    loop {
        let (connection, peer) = listener.accept().await?;
        if peer.ip().to_canonical() == client {
            connection.set_nodelay(true)?;
            return Ok(connection);
        }
    }
}

/// Why a transfer ended early.
#[derive(Debug)]
pub(super) enum TransferFault {
    /// The data connection broke or stood still.
    Connection,
    /// The file could not be read or written.
    File(io::Error),
}

/// Runs what waits for the disk where it holds up nobody else.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)
}

/// Sends a file, from where it is read to its end. Gives the number of bytes.
pub(super) async fn send_file(data: &mut dyn Duplex, mut file: File) -> Result<u64, TransferFault> {
    let mut piece = vec![0; PIECE_BYTES];
    let mut sent = 0u64;
    loop {
        let reading = blocking(move || {
            let read = read_whole(&mut file, &mut piece);
            (file, piece, read)
        });
        let (same_file, same_piece, read) = reading.await.map_err(TransferFault::File)?;
        (file, piece) = (same_file, same_piece);
        let count = read.map_err(TransferFault::File)?;
        if count == 0 {
            return Ok(sent);
        }
        send_bytes(data, piece.get(..count).unwrap_or_default()).await?;
        sent = sent.saturating_add(u64::try_from(count).unwrap_or(0));
    }
}

fn read_whole(file: &mut File, piece: &mut [u8]) -> io::Result<usize> {
    loop {
        match file.read(piece) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}

/// Sends bytes; the deadline begins again with any progress.
pub(super) async fn send_bytes(data: &mut dyn Duplex, mut bytes: &[u8]) -> Result<(), TransferFault> {
    while !bytes.is_empty() {
        match timeout(STALL_DEADLINE, data.write(bytes)).await {
            Ok(Ok(count @ 1..)) => bytes = bytes.get(count..).unwrap_or_default(),
            Ok(Ok(0) | Err(_)) | Err(_) => return Err(TransferFault::Connection),
        }
    }
    Ok(())
}

/// Ends a connection that has sent everything. Closing it while the client still says something would take away from
/// it what is under way, so that is waited for, besides.
pub(super) async fn end_sending(mut data: Box<dyn Duplex>) -> Result<(), TransferFault> {
    match timeout(STALL_DEADLINE, data.shutdown()).await {
        Ok(Ok(())) => {}
        Ok(Err(_)) | Err(_) => return Err(TransferFault::Connection),
    }
    let draining = async move {
        let mut rest = [0; 64];
        while matches!(data.read(&mut rest).await, Ok(1..)) {}
    };
    drop(tokio::spawn(timeout(CLOSE_DEADLINE, draining)));
    Ok(())
}

/// Receives a file up to the end of the connection. Under TLS the end must be said: one that just happens is none.
pub(super) async fn receive_file(data: &mut dyn Duplex, mut file: File) -> Result<(), TransferFault> {
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let count = match timeout(STALL_DEADLINE, data.read(&mut piece)).await {
            Ok(Ok(0)) => break,
            Ok(Ok(count)) => count,
            Ok(Err(_)) | Err(_) => return Err(TransferFault::Connection),
        };
        let writing = blocking(move || {
            let written = file.write_all(piece.get(..count).unwrap_or_default());
            (file, piece, written)
        });
        let (same_file, same_piece, written) = writing.await.map_err(TransferFault::File)?;
        (file, piece) = (same_file, same_piece);
        written.map_err(TransferFault::File)?;
    }
    // The client may wait for it before it asks for the reply.
    drop(timeout(CLOSE_DEADLINE, data.shutdown()).await);
    Ok(())
}
