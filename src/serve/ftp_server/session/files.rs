//! The commands about names that need no data connection.

use super::super::directory::{Directory, EntryKind, Place};
use super::super::listing;
use super::super::transfer::blocking;
use super::{Answered, Flow, Session};
use crate::app::pickup_desk::TakeFault;
use rustix::io::Errno;
use std::io;

impl Session<'_> {
    /// PWD; quotes in the path are doubled (RFC 959, appendix II).
    pub(super) async fn working_directory(&mut self) -> Answered {
        let shown = String::from_utf8_lossy(&self.place(b"").shown()).replace('"', "\"\"");
        self.say(257, &format!("\"{shown}\" is the current directory.")).await
    }

    /// CWD and CDUP.
    pub(super) async fn change_directory(&mut self, place: Place) -> Answered {
        let to = place.clone();
        match self.on_disk(place, Directory::stat).await? {
            Ok(entry) if entry.kind == EntryKind::Directory => {
                if let Some(entered) = &mut self.entered {
                    entered.at = to;
                }
                self.say(250, "OK").await
            }
            Ok(_) => self.say(550, "Not a directory.").await,
            Err(fault) => self.refuse(&fault).await,
        }
    }

    /// MLST (RFC 3659, 7).
    pub(super) async fn facts(&mut self, place: Place) -> Answered {
        match self.on_disk(place, Directory::stat).await? {
            Ok(entry) => {
                let mut line = vec![b' '];
                line.extend_from_slice(&listing::facts_line(&entry));
                self.control.reply_lines(250, "Facts:", &line, "End").await?;
                Ok(Flow::Stays)
            }
            Err(fault) => self.refuse(&fault).await,
        }
    }

    /// SIZE and MDTM (RFC 3659, 3 and 4).
    pub(super) async fn size_or_time(&mut self, verb: &str, place: Place) -> Answered {
        match self.on_disk(place, Directory::stat).await? {
            Ok(entry) if entry.kind == EntryKind::Directory => self.say(550, "A directory.").await,
            Ok(entry) if verb == "SIZE" => self.say(213, &entry.bytes.to_string()).await,
            Ok(entry) => self.say(213, &listing::time_value(entry.modified)).await,
            Err(fault) => self.refuse(&fault).await,
        }
    }

    /// DELE.
    pub(super) async fn delete(&mut self, place: Place) -> Answered {
        let Some(entered) = &self.entered else { return self.say(530, "Log in first.").await };
        let directory = entered.directory.clone();
        match blocking(move || directory.remove(&place)).await? {
            Ok(()) => self.say(250, "Deleted.").await,
            Err(TakeFault::Disk(fault)) => self.refuse(&fault).await,
            Err(TakeFault::Foreign) => self.say(550, "Not deleted: this file was not put there by hourdrop.").await,
            Err(fault @ (TakeFault::Unsettled | TakeFault::Closed)) => {
                self.say(450, &format!("Not deleted: {fault}")).await
            }
            Err(fault @ TakeFault::Ledger(_)) => {
                tracing::error!("a pickup could not be recorded, so the file was not deleted: {fault}");
                self.say(451, "Not deleted: try again later.").await
            }
        }
    }

    /// MKD.
    pub(super) async fn make_directory(&mut self, place: Place) -> Answered {
        match self.on_disk(place, Directory::create_directory).await? {
            Ok(()) => self.say(257, "Created.").await,
            Err(fault) => self.refuse(&fault).await,
        }
    }

    /// RNFR.
    pub(super) async fn rename_from(&mut self, place: Place) -> Answered {
        let from = place.clone();
        match self.on_disk(place, Directory::stat).await? {
            Ok(_) => {
                self.rename_from = Some(from);
                self.say(350, "Now RNTO.").await
            }
            Err(fault) => self.refuse(&fault).await,
        }
    }

    /// RNTO.
    pub(super) async fn rename_to(&mut self, from: Option<Place>, to: Place) -> Answered {
        let Some(from) = from else { return self.say(503, "RNFR comes first.").await };
        match self.on_disk(from, move |directory, from| directory.rename(from, &to)).await? {
            Ok(()) => self.say(250, "Renamed.").await,
            Err(fault) => self.refuse(&fault).await,
        }
    }

    /// What the disk refused, in words that tell nothing about this machine.
    #[expect(clippy::wildcard_enum_match_arm, reason = "there is one answer to everything else")]
    pub(super) async fn refuse(&mut self, fault: &io::Error) -> Answered {
        let (code, text) = match fault.kind() {
            // A link.
            _ if Errno::from_io_error(fault) == Some(Errno::LOOP) => (550, "No such file."),
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => (550, "No such file."),
            io::ErrorKind::AlreadyExists => (550, "There is such a file already."),
            io::ErrorKind::IsADirectory => (550, "A directory."),
            io::ErrorKind::PermissionDenied => (550, "Not permitted."),
            io::ErrorKind::InvalidFilename | io::ErrorKind::InvalidInput => (553, "Not a name."),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => (452, "No room."),
            _ => (451, "The disk refused it."),
        };
        self.say(code, text).await
    }
}
