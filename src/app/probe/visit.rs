//! The session of a probe, with a list of what may lie at the partner because of it.

use super::{Left, ProbeContext, Tried};
use crate::clock::Clock;
use crate::deliver::StoreMark;
use crate::disk::Disk;
use crate::domain::ids::Sha256Digest;
use crate::domain::time::{Length, UtcTime};
use crate::remote::hashing::HashingSink;
use crate::remote::{Body, Deadlines, Endpoint, FaultKind, Outcome, Remote, RemoteFault, RemotePath};
use std::io::{self, Read};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// So often a probe logs in: after every refusal the session begins anew.
const LOGINS_MAX: u32 = 16;

/// What a name may hold besides ASCII, in the order of preference: not every charset has all of it.
const LETTERS: [&str; 4] = [CHINESE, "\u{8a71}\u{55ae}", "\u{e9}\u{fc}", "\u{416}\u{44f}"];
/// Simplified Chinese: "call record".
pub const CHINESE: &str = "\u{8bdd}\u{5355}";

/// Letters that can be sent to a server, whatever charset it has; empty when it takes ASCII only.
pub(super) fn letters_for(endpoint: &Endpoint) -> &'static str {
    let Endpoint::Ftp(ftp) = endpoint else { return CHINESE };
    LETTERS.into_iter().find(|letters| ftp.wire.charset.encode(letters).is_ok()).unwrap_or_default()
}

/// The names of one probe: `probe-<random>.<store>-<number>.tmp`, where a delivery puts its temporary names.
pub(super) struct Names {
    base: String,
    mark: StoreMark,
    temporary: RemotePath,
    directory: RemotePath,
    letters: &'static str,
}

impl Names {
    pub(super) fn new(
        mark: &StoreMark,
        temporary: Option<&RemotePath>,
        directory: &RemotePath,
        letters: &'static str,
    ) -> Self {
        let base = format!("probe-{:08x}", fastrand::u32(..));
        let temporary = temporary.unwrap_or(directory).clone();
        Self { base, mark: mark.clone(), temporary, directory: directory.clone(), letters }
    }

    /// Nothing is renamed into the directory from which the partner takes files.
    pub(super) fn keep_out_of_final_directory(&mut self) {
        self.directory = self.temporary.clone();
    }

    fn path(&self, directory: &RemotePath, base: &str, number: u32) -> RemotePath {
        directory.join_part(&format!("{base}.{}-{number}.tmp", self.mark))
    }

    /// The temporary name.
    pub(super) fn first(&self) -> RemotePath {
        self.path(&self.temporary, &self.base, 1)
    }

    /// The name that it is renamed to, in the final directory. It is a temporary one as well.
    pub(super) fn second(&self) -> RemotePath {
        self.path(&self.directory, &self.base, 2)
    }

    /// With a space and letters that are not ASCII.
    pub(super) fn unusual(&self) -> RemotePath {
        self.path(&self.temporary, &format!("{} {}", self.base, self.letters), 3)
    }

    /// With a leading dot.
    pub(super) fn hidden(&self) -> RemotePath {
        self.path(&self.temporary, &format!(".{}", self.base), 4)
    }

    /// For one of many transfers.
    pub(super) fn transfer(&self, number: u32) -> RemotePath {
        self.path(&self.temporary, &self.base, 10 + number)
    }

    /// All kinds of names that would appear in the final directory.
    pub(super) fn examples(&self) -> Vec<String> {
        let mut paths = vec![self.second()];
        if self.temporary == self.directory {
            paths.extend([self.first(), self.unusual(), self.hidden()]);
        }
        paths.iter().map(|path| path.name().to_owned()).collect()
    }

    /// Whether a delivery or a probe of this store could have given this name.
    pub(super) fn is_ours(&self, name: &str) -> bool {
        let before = format!(".{}-", self.mark);
        name.strip_suffix(".tmp").is_some_and(|name| name.contains(&before))
    }
}

/// The session. It is opened when it is needed and dropped after a fault, as a delivery does.
pub(super) struct Visit {
    endpoint: Endpoint,
    deadlines: Deadlines,
    disk: Arc<dyn Disk>,
    clock: Arc<dyn Clock>,
    session: Option<Box<dyn Remote>>,
    logins_left: u32,
    ours: Vec<RemotePath>,
}

impl Visit {
    pub(super) fn new(context: &ProbeContext<'_>, endpoint: Endpoint, deadlines: Deadlines) -> Self {
        let (disk, clock) = (Arc::clone(&context.disk), Arc::clone(&context.clock));
        Self { endpoint, deadlines, disk, clock, session: None, logins_left: LOGINS_MAX, ours: Vec::new() }
    }

    /// Another session with the same server.
    pub(super) fn connect(&self) -> Result<Box<dyn Remote>, RemoteFault> {
        self.endpoint.connect(&self.deadlines, Arc::clone(&self.disk))
    }

    /// A directory of this machine takes any number of sessions.
    pub(super) const fn is_local(&self) -> bool {
        matches!(self.endpoint, Endpoint::LocalDir { .. })
    }

    /// Connects and logs in.
    pub(super) fn log_in(&mut self) -> Tried<Duration> {
        let begun = Instant::now();
        self.step(|_| Ok(begun.elapsed()))
    }

    /// Does something in the session, which is dropped when that fails.
    pub(super) fn step<T>(&mut self, act: impl FnOnce(&mut dyn Remote) -> Result<T, RemoteFault>) -> Tried<T> {
        let mut session = match self.session.take() {
            Some(session) => session,
            None if self.logins_left == 0 => return Tried::Not,
            None => match self.connect() {
                Ok(session) => session,
                Err(fault) => {
                    // Whoever cannot be reached any more is not waited for again and again.
                    self.logins_left = 0;
                    return Tried::Failed(fault);
                }
            },
        };
        self.logins_left = self.logins_left.saturating_sub(1);
        match act(session.as_mut()) {
            Ok(result) => {
                self.logins_left += 1;
                self.session = Some(session);
                Tried::Done(result)
            }
            Err(fault) => Tried::Failed(fault),
        }
    }

    /// Writes a file of `bytes` bytes to a name that nobody has. From here on it may be there.
    pub(super) fn write(&mut self, path: &RemotePath, bytes: u64) -> Tried<Duration> {
        match self.step(|session| session.size(path)) {
            Tried::Done(None) => {}
            Tried::Done(Some(_)) => {
                let cause = "a file of this name is there already, so nothing was written";
                return Tried::Failed(RemoteFault::because(FaultKind::Denied, "upload", Outcome::NotDone, cause));
            }
            Tried::Failed(fault) => return Tried::Failed(fault),
            Tried::Not => return Tried::Not,
        }
        self.note(path);
        let begun = Instant::now();
        self.step(|session| {
            session.upload(path, &mut Pattern::of(bytes), bytes, &mut |_| ())?;
            Ok(begun.elapsed())
        })
    }

    /// This name may be there because of us.
    pub(super) fn note(&mut self, path: &RemotePath) {
        if !self.ours.contains(path) {
            self.ours.push(path.clone());
        }
    }

    /// Removes a file of ours and looks: true when it is gone.
    pub(super) fn remove(&mut self, path: &RemotePath) -> Tried<bool> {
        if !self.ours.contains(path) {
            return Tried::Not;
        }
        let removed = self.step(|session| {
            session.remove(path)?;
            Ok(session.size(path)?.is_none())
        });
        if removed == Tried::Done(true) {
            self.ours.retain(|ours| ours != path);
        }
        removed
    }

    /// Removes whatever may be there, and tells what could not be removed.
    pub(super) fn clean_up(mut self) -> Vec<Left> {
        self.logins_left = LOGINS_MAX;
        let mut left = Vec::new();
        for path in self.ours.clone() {
            let why = match self.remove(&path) {
                Tried::Done(true) => continue,
                Tried::Done(false) => "the server confirmed its removal, and it is still there".to_owned(),
                Tried::Failed(fault) => fault.to_string(),
                Tried::Not => "the server cannot be reached any more".to_owned(),
            };
            left.push(Left { path, why });
        }
        left
    }

    /// Our clock.
    pub(super) fn now(&self) -> UtcTime {
        self.clock.now()
    }

    /// Gives a server time.
    pub(super) fn pause(&self, length: Length) {
        let (never, silent) = std::sync::mpsc::channel::<()>();
        self.clock.wait(length, &silent);
        drop(never);
    }
}

/// The hash of a file of ours of `bytes` bytes.
pub(super) fn content_hash(bytes: u64) -> Option<Sha256Digest> {
    let mut sink = HashingSink::new(bytes);
    io::copy(&mut Pattern::of(bytes), &mut sink).ok()?;
    Some(sink.finish())
}

/// All bytes in turn, so that a transfer in text mode would show.
struct Pattern {
    next: u8,
    /// Bytes to its end.
    left: u64,
}

impl Pattern {
    const fn of(bytes: u64) -> Self {
        Self { next: 0, left: bytes }
    }
}

impl Read for Pattern {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        for byte in buffer.iter_mut().take(count) {
            *byte = self.next;
            self.next = self.next.wrapping_add(1);
        }
        self.left -= count as u64;
        Ok(count)
    }
}

impl Body for Pattern {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;
    use crate::disk::RealDisk;
    use crate::remote::local_dir::DropRule;
    use std::io::Write;

    #[test]
    fn a_name_that_is_taken_is_neither_written_nor_removed() {
        let dir = tempfile::tempdir().expect("directory");
        let foreign = dir.path().join("probe-1.tmp");
        std::fs::File::create(&foreign).and_then(|mut file| file.write_all(b"not ours")).expect("write");
        let mut visit = Visit {
            endpoint: Endpoint::LocalDir { path: dir.path().to_owned(), rule: DropRule::default() },
            deadlines: Deadlines::default(),
            disk: Arc::new(RealDisk),
            clock: Arc::new(SystemClock),
            session: None,
            logins_left: LOGINS_MAX,
            ours: Vec::new(),
        };
        let path = RemotePath::parse("probe-1.tmp").expect("path");
        assert!(visit.write(&path, 5).fault().is_some());
        assert_eq!(visit.remove(&path), Tried::Not);
        assert_eq!(visit.clean_up(), []);
        assert_eq!(std::fs::read(&foreign).expect("read"), b"not ours");
    }

    #[test]
    fn names_carry_the_mark_of_the_store_and_are_told_from_others() {
        let out = RemotePath::parse("out").expect("path");
        let names = Names::new(&StoreMark::parse("0123abcd").expect("mark"), None, &out, CHINESE);
        for path in [names.first(), names.second(), names.unusual(), names.hidden(), names.transfer(0)] {
            assert!(names.is_ours(path.name()) && path.parent() == out, "{path}");
        }
        for other in ["CDR_01.dat", "CDR_01.dat.0123abce-1.tmp", "CDR.0123abcd-1.tmp.dat", ".0123abcd"] {
            assert!(!names.is_ours(other), "{other}");
        }
        assert!(names.is_ours("CDR_01.dat.0123abcd-12.tmp"));
    }
}
