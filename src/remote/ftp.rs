//! FTP, RFC 959 with RFC 2428 (EPSV) and RFC 3659 (SIZE, MLSD), plain or with TLS (RFC 4217).
//!
//! What the servers teach: `226` is no evidence of a whole file, `RNTO` replaces silently, an NLST of a missing
//! directory may be empty and successful, and `550` means many things. So transfers are binary, a directory is entered
//! before it is listed, and replies are judged by their digits and, where digits are ambiguous, by their text.

pub mod charset;
mod control;
pub mod facts;
mod hash;
pub mod listing;
mod opening;
mod passive;
pub mod reply;

use super::endpoint::FtpEndpoint;
use super::facts::SessionFacts;
use super::local_dir::{check_length, read_some};
use super::{
    Abilities, Body, Deadlines, FaultKind, HashSource, Outcome, Remote, RemoteEntry, RemoteFault, RemotePath,
    SizeSource,
};
use crate::disk::Disk;
use crate::domain::ids::Sha256Digest;
use crate::domain::time::UtcTime;
use control::{Control, Upload};
use hash::HashCommand;
use reply::Reply;
use std::io::{Read, Write};

/// Bytes handed to the data connection at a time: smaller pieces cost several times the processor time.
const WRITE_BYTES: usize = 256 * 1024;

/// A session with an FTP server.
pub struct FtpSession {
    control: Control,
    deadlines: Deadlines,
    /// Where the login led to; known once it was needed.
    home: Option<String>,
    listing: ListingCommand,
    size: SizeSource,
    /// How the server can be asked for a hash, as far as is known by now.
    hash: Option<HashCommand>,
    buffer: Vec<u8>,
}

/// The command that lists a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ListingCommand {
    /// Names with facts, RFC 3659.
    Mlsd,
    /// Names only.
    Nlst,
    /// Text for people, which is read only where nothing else states a size.
    List,
}

impl ListingCommand {
    const fn verb(self) -> &'static str {
        match self {
            Self::Mlsd => "MLSD",
            Self::Nlst => "NLST",
            Self::List => "LIST",
        }
    }
}

impl FtpSession {
    /// Connects, logs in, and learns what the server can do.
    ///
    /// # Errors
    /// [`RemoteFault`]; nothing was done at the server.
    pub fn open(endpoint: &FtpEndpoint, deadlines: &Deadlines, disk: &dyn Disk) -> Result<Self, RemoteFault> {
        let mut control = Control::connect(endpoint, deadlines, disk)?;
        control.login(endpoint)?;
        let features = control.features()?;
        // Binary at once: in text mode servers change line ends, and some refuse to state sizes.
        control.exchange("login", "TYPE I", Outcome::NotDone)?.accepted("login")?;
        if features.contains("UTF8") && control.charset().is_utf8() {
            // Some servers know the feature and refuse the option; they keep bytes as they are.
            control.exchange("login", "OPTS UTF8 ON", Outcome::NotDone)?;
        }
        control.choose_passive_mode(features.contains("EPSV"));
        let knows_mlsd = features.contains("MLST") || features.contains("MLSD");
        Ok(Self {
            control,
            deadlines: *deadlines,
            home: None,
            listing: if knows_mlsd { ListingCommand::Mlsd } else { ListingCommand::Nlst },
            size: SizeSource::Command,
            hash: HashCommand::of(&features),
            buffer: Vec::new(),
        })
    }

    fn home(&mut self) -> Result<String, RemoteFault> {
        if let Some(home) = &self.home {
            return Ok(home.clone());
        }
        let reply = self.control.exchange("list", "PWD", Outcome::NotDone)?.accepted("list")?;
        let home = reply.quoted_path().ok_or_else(|| reply.senseless("list"))?;
        self.home = Some(home.clone());
        Ok(home)
    }

    /// Whether the directory can be entered. Leaves the session in the login directory.
    fn can_enter(&mut self, operation: &'static str, directory: &RemotePath) -> Result<Reply, RemoteFault> {
        let home = self.home()?;
        let entered = self.control.exchange(operation, &format!("CWD {directory}"), Outcome::NotDone)?;
        if entered.is_positive() {
            self.control.exchange(operation, &format!("CWD {home}"), Outcome::NotDone)?.accepted(operation)?;
        }
        Ok(entered)
    }

    fn size_from_listing(&mut self, path: &RemotePath) -> Result<Option<u64>, RemoteFault> {
        if self.listing == ListingCommand::Nlst {
            self.listing = ListingCommand::List;
        }
        let entries = self.list(&path.parent())?;
        match entries.into_iter().find(|entry| entry.name == path.name()) {
            None => Ok(None),
            Some(RemoteEntry { bytes: Some(bytes), .. }) => Ok(Some(bytes)),
            Some(_) => {
                let cause = "the server states no sizes, neither by SIZE nor in listings";
                Err(RemoteFault::because(FaultKind::Protocol, "size", Outcome::NotDone, cause))
            }
        }
    }

    /// Lists the current directory.
    fn list_here(&mut self) -> Result<Vec<RemoteEntry>, RemoteFault> {
        loop {
            match self.control.read_lines(self.listing.verb(), self.deadlines.transfer_idle.as_std())? {
                Ok(lines) => {
                    let read = match self.listing {
                        ListingCommand::Mlsd => listing::mlsd_entry,
                        ListingCommand::Nlst => listing::name_entry,
                        ListingCommand::List => listing::list_entry,
                    };
                    let charset = self.control.charset();
                    let decoded =
                        |entry: RemoteEntry| RemoteEntry { name: charset.decode_carried(&entry.name), ..entry };
                    return Ok(lines.iter().filter_map(|line| read(line)).map(decoded).collect());
                }
                Err(refused) if refused.is_unknown_command() && self.listing == ListingCommand::Mlsd => {
                    self.listing = match self.size {
                        SizeSource::Command => ListingCommand::Nlst,
                        SizeSource::Listing => ListingCommand::List,
                    };
                }
                // The directory was entered, so this is how some servers say that it is empty.
                Err(refused) if refused.says_no_files() => return Ok(Vec::new()),
                Err(refused) => return Err(refused.fault("list", Outcome::NotDone)),
            }
        }
    }

    fn list_directory(&mut self, directory: &RemotePath) -> Result<Vec<RemoteEntry>, RemoteFault> {
        if directory.as_str() == "." {
            return self.list_here();
        }
        let home = self.home()?;
        self.control.exchange("list", &format!("CWD {directory}"), Outcome::NotDone)?.accepted("list")?;
        let entries = self.list_here()?;
        self.control.exchange("list", &format!("CWD {home}"), Outcome::NotDone)?.accepted("list")?;
        Ok(entries)
    }

    fn send_file(
        &mut self,
        temporary: &RemotePath,
        body: &mut dyn Read,
        bytes: u64,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), RemoteFault> {
        self.buffer.resize(WRITE_BYTES, 0);
        let mut upload = self.control.begin_upload(temporary)?;
        let sent = self.send(&mut upload, body, progress).and_then(|sent| check_length(sent, bytes));
        match sent {
            Ok(()) => self.control.finish_upload(upload, self.deadlines.final_reply(bytes)),
            Err(fault) => Err(self.control.abandon_upload(upload, fault)),
        }
    }

    fn send(
        &mut self,
        upload: &mut Upload,
        body: &mut dyn Read,
        progress: &mut dyn FnMut(u64),
    ) -> Result<u64, RemoteFault> {
        let mut sent = 0u64;
        loop {
            let count = read_some(body, &mut self.buffer)?;
            if count == 0 {
                return Ok(sent);
            }
            let piece = self.buffer.get(..count).unwrap_or_default();
            self.control.write(upload, piece, self.deadlines.transfer_idle.as_std())?;
            sent += u64::try_from(count).unwrap_or(0);
            progress(sent);
        }
    }
}

impl Remote for FtpSession {
    fn abilities(&self) -> Abilities {
        Abilities {
            size: self.size,
            detailed_listing: self.listing != ListingCommand::Nlst,
            rename_never_replaces: false,
            hash: self.hash.map_or(HashSource::Reading, |_| HashSource::Command),
            durable: false,
        }
    }

    fn create_dir(&mut self, directory: &RemotePath) -> Result<(), RemoteFault> {
        const OPERATION: &str = "create directory";
        if directory.name().is_empty() || self.can_enter(OPERATION, directory)?.is_positive() {
            return Ok(());
        }
        for level in directory.levels() {
            let made = self.control.exchange(OPERATION, &format!("MKD {level}"), Outcome::Unknown)?;
            // An existing directory is refused in many words; whether it can be entered is what counts.
            if !made.is_positive() && !self.can_enter(OPERATION, &level)?.is_positive() {
                return Err(made.fault(OPERATION, Outcome::NotDone));
            }
        }
        Ok(())
    }

    fn size(&mut self, path: &RemotePath) -> Result<Option<u64>, RemoteFault> {
        if self.size == SizeSource::Listing {
            return self.size_from_listing(path);
        }
        let reply = self.control.exchange("size", &format!("SIZE {path}"), Outcome::NotDone)?;
        if reply.is_positive() {
            return reply.number().map(Some).ok_or_else(|| reply.senseless("size"));
        }
        if reply.is_unknown_command() {
            self.size = SizeSource::Listing;
            return self.size_from_listing(path);
        }
        match reply.fault("size", Outcome::NotDone) {
            RemoteFault { kind: FaultKind::NotFound, .. } => Ok(None),
            fault => Err(fault),
        }
    }

    fn list(&mut self, directory: &RemotePath) -> Result<Vec<RemoteEntry>, RemoteFault> {
        self.list_directory(directory).inspect_err(|fault| self.control.learn_from(fault))
    }

    fn upload(
        &mut self,
        temporary: &RemotePath,
        body: &mut dyn Body,
        bytes: u64,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), RemoteFault> {
        self.send_file(temporary, body, bytes, progress).inspect_err(|fault| self.control.learn_from(fault))
    }

    fn read(&mut self, path: &RemotePath, sink: &mut dyn Write) -> Result<u64, RemoteFault> {
        self.control.download(path, &self.deadlines, sink)
    }

    fn server_hash(&mut self, path: &RemotePath, bytes: u64) -> Result<Option<Sha256Digest>, RemoteFault> {
        while let Some(command) = self.hash {
            let deadline = self.deadlines.final_reply(bytes);
            match command.ask(&mut self.control, path, deadline)? {
                Some(digest) => return Ok(Some(digest)),
                None => self.hash = command.next(),
            }
        }
        Ok(None)
    }

    fn rename(&mut self, from: &RemotePath, to: &RemotePath) -> Result<(), RemoteFault> {
        const OPERATION: &str = "rename";
        self.control.check_sendable(OPERATION, to.as_str())?;
        let from = self.control.exchange(OPERATION, &format!("RNFR {from}"), Outcome::NotDone)?;
        if from.code() != 350 {
            return Err(from.fault(OPERATION, Outcome::NotDone));
        }
        let to = self.control.exchange(OPERATION, &format!("RNTO {to}"), Outcome::Unknown)?;
        if to.is_positive() { Ok(()) } else { Err(to.fault(OPERATION, Outcome::NotDone)) }
    }

    fn remove(&mut self, path: &RemotePath) -> Result<(), RemoteFault> {
        let reply = self.control.exchange("remove", &format!("DELE {path}"), Outcome::Unknown)?;
        if reply.is_positive() {
            return Ok(());
        }
        match reply.fault("remove", Outcome::NotDone) {
            RemoteFault { kind: FaultKind::NotFound, .. } => Ok(()),
            fault if self.size(path)?.is_some() => Err(fault),
            _ => Ok(()),
        }
    }

    fn facts(&mut self) -> Result<SessionFacts, RemoteFault> {
        facts::ask(&mut self.control, self.listing.verb())
    }

    /// By MDTM, RFC 3659, 3, which is in UTC.
    fn modified(&mut self, path: &RemotePath) -> Result<Option<UtcTime>, RemoteFault> {
        let reply = self.control.exchange("modified", &format!("MDTM {path}"), Outcome::NotDone)?;
        Ok(if reply.code() == 213 { listing::modified(reply.text().trim()) } else { None })
    }
}
