//! The commands that open a data connection, and those that prepare one.

use super::super::control::Duplex;
use super::super::directory::{Directory, Entry, Place};
use super::super::listing;
use super::super::transfer::{self, TransferFault, blocking};
use super::{Answered, Flow, Session};
use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::net::IpAddr;
use std::time::Duration;
use tokio::time::timeout;

/// How long a client may take to connect to its passive port.
const CONNECT_DEADLINE: Duration = Duration::from_secs(20);
/// How long a client may take to agree on TLS for its data.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(30);

/// What a transfer is to do.
enum Work {
    SendBytes(Vec<u8>),
    SendFile(File),
    ReceiveFile(File),
}

impl Session<'_> {
    /// PASV (RFC 959, 4.1.2).
    pub(super) async fn passive(&mut self) -> Answered {
        let IpAddr::V4(local) = self.local else { return self.say(522, "Use EPSV: this is IP version 6. (2)").await };
        if self.extended_only {
            return self.say(501, "After EPSV ALL only EPSV.").await;
        }
        let Some(port) = self.listen().await? else { return Ok(Flow::Stays) };
        let [a, b, c, d] = self.shared.passive_address.unwrap_or(local).octets();
        let [high, low] = port.to_be_bytes();
        self.say(227, &format!("Entering Passive Mode ({a},{b},{c},{d},{high},{low}).")).await
    }

    /// EPSV (RFC 2428, 3).
    pub(super) async fn extended_passive(&mut self, argument: &[u8]) -> Answered {
        let version: &[u8] = if self.local.is_ipv4() { b"1" } else { b"2" };
        if argument.eq_ignore_ascii_case(b"ALL") {
            self.extended_only = true;
            return self.say(200, "EPSV only from now on.").await;
        }
        if !argument.is_empty() && argument != version {
            let version = String::from_utf8_lossy(version).into_owned();
            return self.say(522, &format!("Network protocol not supported, use ({version})")).await;
        }
        let Some(port) = self.listen().await? else { return Ok(Flow::Stays) };
        self.say(229, &format!("Entering Extended Passive Mode (|||{port}|)")).await
    }

    /// Opens a passive port; without one the client has its answer.
    async fn listen(&mut self) -> io::Result<Option<u16>> {
        // The port of an earlier command is free again.
        self.passive = None;
        if self.is_secure && !self.protects_data {
            self.control.reply(521, "PBSZ 0 and PROT P come first: nothing is served in clear.").await?;
            return Ok(None);
        }
        let listening = self.shared.ports.listen(self.local).await;
        let port = listening.and_then(|listener| Ok((listener.local_addr()?.port(), listener)));
        match port {
            Ok((port, listener)) => {
                self.passive = Some(listener);
                Ok(Some(port))
            }
            Err(fault) => {
                tracing::warn!("no port for a data connection of the pickup server: {fault}");
                self.control.reply(425, "No port is free, try again later.").await?;
                Ok(None)
            }
        }
    }

    /// LIST, NLST and MLSD.
    pub(super) async fn list(&mut self, verb: &str, argument: &[u8]) -> Answered {
        let place = self.place(without_options(argument));
        let entries = match self.on_disk(place, Directory::list).await? {
            Ok(entries) => entries,
            Err(fault) => return self.refuse(&fault).await,
        };
        let line: fn(&Entry) -> Vec<u8> = match verb {
            "LIST" => listing::long_line,
            "NLST" => listing::short_line,
            _ => listing::facts_line,
        };
        let lines = entries.iter().flat_map(line).collect();
        self.transfer(Work::SendBytes(lines)).await.map(|_| Flow::Stays)
    }

    /// RETR.
    pub(super) async fn retrieve(&mut self, place: Place, from: u64) -> Answered {
        let name = String::from_utf8_lossy(&place.shown()).into_owned();
        let opened = self.on_disk(place, move |directory, place| {
            let mut file = directory.open(place)?;
            if from > 0 {
                file.seek(SeekFrom::Start(from))?;
            }
            Ok(file)
        });
        match opened.await? {
            Ok(file) => {
                if let (Some(bytes), Some(entered)) = (self.transfer(Work::SendFile(file)).await?, &self.entered) {
                    tracing::info!(user = entered.name, file = name, bytes, "file fetched");
                }
                Ok(Flow::Stays)
            }
            Err(fault) => self.refuse(&fault).await,
        }
    }

    /// STOR.
    pub(super) async fn store(&mut self, place: Place) -> Answered {
        match self.on_disk(place, Directory::create).await? {
            Ok(file) => self.transfer(Work::ReceiveFile(file)).await.map(|_| Flow::Stays),
            Err(fault) => self.refuse(&fault).await,
        }
    }

    /// Opens the data connection, does the work, and tells how it ended. The number of bytes, if it ended well.
    async fn transfer(&mut self, work: Work) -> io::Result<Option<u64>> {
        let Some(listener) = self.passive.take() else {
            self.control.reply(425, "PASV or EPSV comes first.").await?;
            return Ok(None);
        };
        let patience = self.shared.limits.idle.min(CONNECT_DEADLINE);
        let connecting = tokio::select! {
            connecting = timeout(patience, transfer::accept(&listener, self.peer)) => connecting,
            () = self.control.until_aborted() => {
                self.control.reply(426, "Given up before the data connection was made.").await?;
                return Ok(None);
            }
        };
        let Ok(Ok(connection)) = connecting else {
            self.waits_in_vain += 1;
            self.control.reply(425, "Nobody connected for the data.").await?;
            return Ok(None);
        };
        self.waits_in_vain = 0;
        drop(listener);
        self.control.reply(150, "Here it comes.").await?;
        let tls = self.shared.tls.as_ref().filter(|_| self.protects_data);
        let working = async move {
            let data: Box<dyn Duplex> = match tls {
                None => Box::new(connection),
                Some(acceptor) => match timeout(HANDSHAKE_DEADLINE, acceptor.accept(connection)).await {
                    Ok(Ok(secured)) => Box::new(secured),
                    Ok(Err(_)) | Err(_) => return Err(TransferFault::Connection),
                },
            };
            carry(data, work).await
        };
        let done = tokio::select! {
            done = working => done,
            () = self.control.until_aborted() => Err(TransferFault::Connection),
        };
        match done {
            Ok(bytes) => {
                self.control.reply(226, "Done.").await?;
                Ok(Some(bytes))
            }
            Err(TransferFault::Connection) => {
                self.control.reply(426, "The data connection broke off.").await?;
                Ok(None)
            }
            Err(TransferFault::File(fault)) => {
                tracing::warn!("a transfer of the pickup server failed: {fault}");
                self.control.reply(451, "The file could not be read or written.").await?;
                Ok(None)
            }
        }
    }

    /// Does something on the disk where it holds up nobody else. The inner error is the disk's.
    pub(super) async fn on_disk<T: Send + 'static>(
        &mut self,
        place: Place,
        work: impl FnOnce(&Directory, &Place) -> io::Result<T> + Send + 'static,
    ) -> io::Result<io::Result<T>> {
        match &self.entered {
            Some(entered) => {
                let directory = entered.directory.clone();
                blocking(move || work(&directory, &place)).await
            }
            None => Ok(Err(io::ErrorKind::PermissionDenied.into())),
        }
    }
}

/// What stands behind `-la` and the like, which are for servers that run ls.
fn without_options(argument: &[u8]) -> &[u8] {
    let mut rest = argument.trim_ascii_start();
    while rest.starts_with(b"-") {
        let end = rest.iter().position(|byte| *byte == b' ').unwrap_or(rest.len());
        rest = rest.get(end..).unwrap_or_default().trim_ascii_start();
    }
    rest
}

async fn carry(mut data: Box<dyn Duplex>, work: Work) -> Result<u64, TransferFault> {
    let bytes = match work {
        Work::SendBytes(bytes) => {
            transfer::send_bytes(data.as_mut(), &bytes).await?;
            u64::try_from(bytes.len()).unwrap_or(0)
        }
        Work::SendFile(file) => transfer::send_file(data.as_mut(), file).await?,
        Work::ReceiveFile(file) => return transfer::receive_file(data.as_mut(), file).await.map(|()| 0),
    };
    transfer::end_sending(data).await?;
    Ok(bytes)
}
