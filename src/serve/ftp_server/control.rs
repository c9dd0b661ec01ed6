//! The lines of a control connection (RFC 959, 4 and 5.3), in clear or under TLS.

use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

/// Longest command line. Names have at most 255 bytes.
const LINE_BYTES_MAX: usize = 2048;
/// How long a client may take to read a reply, or to agree on TLS.
const REPLY_DEADLINE: Duration = Duration::from_secs(30);

/// A connection in both directions.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Duplex for T {}

/// A control connection.
pub(super) struct Control {
    stream: Box<dyn Duplex>,
    /// What was received and not asked for yet.
    received: Vec<u8>,
}

/// What a client sent.
pub(super) enum Received {
    /// A line without its end.
    Line(Vec<u8>),
    /// A line that is longer than any command.
    TooLong,
    /// Nothing more comes.
    End,
}

impl Control {
    pub(super) fn new(connection: TcpStream) -> Self {
        Self { stream: Box::new(connection), received: Vec::new() }
    }

    /// The next line. Nothing is lost when the wait for it is given up.
    pub(super) async fn line(&mut self) -> io::Result<Received> {
        loop {
            if let Some(end) = self.received.iter().position(|byte| *byte == b'\n') {
                let mut line: Vec<u8> = self.received.drain(..=end).collect();
                line.truncate(end);
                if line.last() == Some(&b'\r') {
                    line.pop();
                }
                return Ok(Received::Line(line));
            }
            if self.received.len() > LINE_BYTES_MAX {
                return Ok(Received::TooLong);
            }
            if !self.receive().await? {
                return Ok(Received::End);
            }
        }
    }

    /// Waits until the client wants the transfer to end, by ABOR or by going away. Other commands wait their turn.
    pub(super) async fn until_aborted(&mut self) {
        loop {
            let first = self.received.split(|byte| *byte == b'\n').next().unwrap_or_default();
            let is_whole = first.len() < self.received.len();
            if is_whole && verb_and_argument(first).0 == "ABOR" {
                return;
            }
            if self.received.len() > LINE_BYTES_MAX {
                return std::future::pending().await;
            }
            if !matches!(self.receive().await, Ok(true)) {
                return;
            }
        }
    }

    /// False at the end.
    async fn receive(&mut self) -> io::Result<bool> {
        let mut piece = [0; 512];
        let count = self.stream.read(&mut piece).await?;
        self.received.extend_from_slice(piece.get(..count).unwrap_or_default());
        Ok(count > 0)
    }

    /// A reply of one line.
    pub(super) async fn reply(&mut self, code: u16, text: &str) -> io::Result<()> {
        self.send(format!("{code} {text}\r\n").as_bytes()).await
    }

    /// A reply of several lines (RFC 959, 4.2): the first, those in between, and the last.
    pub(super) async fn reply_lines(&mut self, code: u16, first: &str, lines: &[u8], last: &str) -> io::Result<()> {
        let mut reply = format!("{code}-{first}\r\n").into_bytes();
        reply.extend_from_slice(lines);
        reply.extend_from_slice(format!("{code} {last}\r\n").as_bytes());
        self.send(&reply).await
    }

    async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let sending = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        timeout(REPLY_DEADLINE, sending).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    /// Goes on under TLS. What was sent before in clear must not count as sent under it.
    pub(super) async fn secure(&mut self, acceptor: &TlsAcceptor) -> io::Result<()> {
        if !self.received.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "commands behind AUTH in clear"));
        }
        let plain = std::mem::replace(&mut self.stream, Box::new(tokio::io::empty()));
        let secured = timeout(REPLY_DEADLINE, acceptor.accept(plain)).await;
        self.stream = Box::new(secured.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?);
        Ok(())
    }

    /// Ends the connection in good order.
    pub(super) async fn close(&mut self) {
        drop(timeout(REPLY_DEADLINE, self.stream.shutdown()).await);
    }
}

/// The command in capital letters, and what stands behind the blank. Bytes of the Telnet protocol in front of it, as
/// some clients send them with ABOR, are passed over.
pub(super) fn verb_and_argument(line: &[u8]) -> (String, &[u8]) {
    let begin = line.iter().position(u8::is_ascii_alphabetic).unwrap_or(line.len());
    let line = line.get(begin..).unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let blank = line.iter().position(|byte| *byte == b' ').unwrap_or(line.len());
    let (verb, rest) = line.split_at(blank);
    let verb = String::from_utf8_lossy(verb).to_ascii_uppercase();
    (verb, rest.get(1..).unwrap_or_default())
}
