//! A partner's directory on this machine. Files are copied, or get a second name here, are durable before they are
//! renamed, and never replace one.

use super::accounts;
use super::facts::SessionFacts;
use super::hashing::HashingSink;
use super::{
    Abilities, Body, EntryKind, FaultKind, HashSource, Outcome, Remote, RemoteEntry, RemoteFault, RemotePath,
    SizeSource,
};
use crate::disk::pieces::Piece;
use crate::disk::{Disk, Entry, FileAccess, Kind, SyncPoint, parent};
use crate::domain::ids::Sha256Digest;
use crate::domain::time::UtcTime;
use rustix::io::Errno;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Larger files do not stay in the system's memory: many of them would take it from what other programs need, and new
/// memory is dear on a virtual machine. A partner reads a large file about as fast from a disk.
const LARGE_BYTES: u64 = 4 << 20;

/// Who may do what with files that come into a directory of this machine, where it is not as usual.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DropAccess {
    /// Permission bits, as for `chmod`.
    pub mode: Option<u32>,
    /// Name or number of the user that owns them.
    pub owner: Option<String>,
    /// Name or number of their group.
    pub group: Option<String>,
}

/// How files come into a directory of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DropRule {
    /// Their bytes are copied. Who may do what with a file is said before anything is written.
    Copied(DropAccess),
    /// A file of this machine gets a second name: nothing is copied, and what is done to the file under one name is seen
    /// under the other. Bytes that no file holds are copied.
    Linked,
}

impl Default for DropRule {
    fn default() -> Self {
        Self::Copied(DropAccess::default())
    }
}

/// A directory of this machine with everything below it. Absolute remote paths start at this directory, too.
pub struct LocalDirectory {
    root: PathBuf,
    is_linked: bool,
    access: FileAccess,
    disk: Arc<dyn Disk>,
}

impl LocalDirectory {
    /// Looks at the directory.
    ///
    /// # Errors
    /// [`FaultKind::NotFound`] when it is missing: it is not created, for a missing one is rather a file system that
    /// is not mounted. [`FaultKind::Unsupported`] when the machine does not know an owner or a group, which may be
    /// different later.
    pub fn open(root: &Path, rule: &DropRule, disk: Arc<dyn Disk>) -> Result<Self, RemoteFault> {
        const OPERATION: &str = "open directory";
        let stat = disk.stat(root).map_err(|error| RemoteFault::io(&error, OPERATION, Outcome::NotDone))?;
        match stat.map(|stat| stat.kind) {
            Some(Kind::Directory) => {
                let access = access_of(rule)?;
                Ok(Self { root: root.to_owned(), is_linked: *rule == DropRule::Linked, access, disk })
            }
            Some(Kind::File | Kind::Other) => {
                Err(RemoteFault::because(FaultKind::Denied, OPERATION, Outcome::NotDone, "not a directory"))
            }
            None => Err(RemoteFault::new(FaultKind::NotFound, OPERATION, Outcome::NotDone)),
        }
    }

    fn place(&self, path: &RemotePath) -> PathBuf {
        match path.as_str().trim_start_matches('/') {
            "" | "." => self.root.clone(),
            below => self.root.join(below),
        }
    }

    fn copy(
        &self,
        to: &Path,
        body: &mut dyn Body,
        bytes: u64,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), RemoteFault> {
        let failed = |error: &io::Error| RemoteFault::io(error, "upload", Outcome::Unknown);
        let mut file = self.disk.create_new(to).map_err(|error| RemoteFault::io(&error, "upload", Outcome::NotDone))?;
        if self.access != FileAccess::default()
            && let Err(error) = file.set_access(&self.access)
        {
            self.disk.remove(to).map_err(|error| failed(&error))?;
            return Err(not_given(&error));
        }
        read_all(body, bytes, progress, &mut |piece| file.write_all(piece).map_err(|error| failed(&error)))?;
        file.flush().map_err(|error| failed(&error))?;
        file.sync(SyncPoint::LocalDropFile).map_err(|error| failed(&error))?;
        if bytes >= LARGE_BYTES {
            file.is_done_with();
        }
        // The rename will be announced for a name that a power cut does not take away.
        self.disk.sync_dir(parent(to), SyncPoint::LocalDropDirectory).map_err(|error| failed(&error))
    }

    /// The file is read to its end before it is seen under a second name: that proves it. Its bytes are durable already.
    fn link(
        &self,
        file: &Path,
        to: &Path,
        body: &mut dyn Body,
        bytes: u64,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), RemoteFault> {
        read_all(body, bytes, progress, &mut |_| Ok(()))?;
        self.disk.link(file, to).map_err(|error| not_linked(&error))?;
        let synced = self.disk.sync_dir(parent(to), SyncPoint::LocalDropDirectory);
        synced.map_err(|error| RemoteFault::io(&error, "link", Outcome::Unknown))
    }
}

/// Reads a body, which must be `bytes` long, to its end.
fn read_all(
    body: &mut dyn Body,
    bytes: u64,
    progress: &mut dyn FnMut(u64),
    take: &mut dyn FnMut(&[u8]) -> Result<(), RemoteFault>,
) -> Result<(), RemoteFault> {
    let (mut buffer, mut copied) = (Piece::new(), 0u64);
    loop {
        let count = read_some(body, &mut buffer)?;
        if count == 0 {
            return check_length(copied, bytes);
        }
        take(buffer.get(..count).unwrap_or_default())?;
        copied += u64::try_from(count).unwrap_or(0);
        progress(copied);
    }
}

fn access_of(rule: &DropRule) -> Result<FileAccess, RemoteFault> {
    let DropRule::Copied(DropAccess { mode, owner, group }) = rule else { return Ok(FileAccess::default()) };
    let unknown = |reason| RemoteFault::because(FaultKind::Unsupported, "open directory", Outcome::NotDone, reason);
    Ok(FileAccess {
        mode: *mode,
        owner: owner.as_deref().map(accounts::user).transpose().map_err(unknown)?,
        group: group.as_deref().map(accounts::group).transpose().map_err(unknown)?,
    })
}

/// Why nobody else got access to a file.
fn not_given(error: &io::Error) -> RemoteFault {
    const OPERATION: &str = "set owner, group or mode";
    use io::ErrorKind as Kind;
    if !matches!(error.kind(), Kind::PermissionDenied | Kind::Unsupported | Kind::InvalidInput) {
        return RemoteFault::io(error, OPERATION, Outcome::NotDone);
    }
    let cause = format!(
        "{error}: only root gives files to another user, and others to groups that they are in; change `dropped_files`"
    );
    RemoteFault::because(FaultKind::Unsupported, OPERATION, Outcome::NotDone, cause)
}

/// Why a file got no second name.
fn not_linked(error: &io::Error) -> RemoteFault {
    const OPERATION: &str = "link";
    use io::ErrorKind as Kind;
    // EPERM: the file system or the machine's rules have no such links. EACCES is a directory that is closed to us.
    let is_ruled_out = error.raw_os_error() == Some(Errno::PERM.raw_os_error());
    if !is_ruled_out && !matches!(error.kind(), Kind::CrossesDevices | Kind::Unsupported | Kind::TooManyLinks) {
        return RemoteFault::io(error, OPERATION, Outcome::NotDone);
    }
    let cause = format!(
        "the archived file can have no second name there ({error}): archive and directory must be on one file system that has \
         hard links; leave `hard_link` out to have files copied"
    );
    RemoteFault::because(FaultKind::Unsupported, OPERATION, Outcome::NotDone, cause)
}

/// Reads the next piece of a body; 0 at its end.
pub(super) fn read_some(body: &mut dyn Read, buffer: &mut [u8]) -> Result<usize, RemoteFault> {
    loop {
        match body.read(buffer) {
            Ok(count) => return Ok(count),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                let cause = format!("reading the archived file failed: {error}");
                return Err(RemoteFault::because(FaultKind::Io, "upload", Outcome::Unknown, cause));
            }
        }
    }
}

/// A body of another length than announced is not the archived file.
pub(super) fn check_length(sent: u64, bytes: u64) -> Result<(), RemoteFault> {
    if sent == bytes {
        return Ok(());
    }
    let cause = format!("the archived file has {sent} bytes, {bytes} are recorded");
    Err(RemoteFault::because(FaultKind::Io, "upload", Outcome::Unknown, cause))
}

impl Remote for LocalDirectory {
    fn abilities(&self) -> Abilities {
        Abilities {
            size: SizeSource::Command,
            detailed_listing: true,
            rename_never_replaces: true,
            hash: HashSource::Command,
            durable: true,
        }
    }

    fn create_dir(&mut self, directory: &RemotePath) -> Result<(), RemoteFault> {
        self.disk
            .create_dir_all(&self.place(directory), SyncPoint::LocalDropDirectory)
            .map_err(|error| RemoteFault::io(&error, "create directory", Outcome::Unknown))
    }

    fn size(&mut self, path: &RemotePath) -> Result<Option<u64>, RemoteFault> {
        let stat =
            self.disk.stat(&self.place(path)).map_err(|error| RemoteFault::io(&error, "size", Outcome::NotDone))?;
        Ok(stat.map(|stat| stat.bytes))
    }

    /// Makes the entries durable before it reports them: a name found after a lost reply counts as delivered.
    fn list(&mut self, directory: &RemotePath) -> Result<Vec<RemoteEntry>, RemoteFault> {
        let failed = |error: &io::Error| RemoteFault::io(error, "list", Outcome::NotDone);
        let place = self.place(directory);
        self.disk.sync_dir(&place, SyncPoint::LocalDropDirectory).map_err(|error| failed(&error))?;
        let entries = self.disk.list(&place).map_err(|error| failed(&error))?;
        Ok(entries.iter().map(describe).collect())
    }

    fn upload(
        &mut self,
        temporary: &RemotePath,
        body: &mut dyn Body,
        bytes: u64,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), RemoteFault> {
        let place = self.place(temporary);
        match body.file().filter(|_| self.is_linked).map(Path::to_owned) {
            Some(file) => self.link(&file, &place, body, bytes, progress),
            None => self.copy(&place, body, bytes, progress),
        }
    }

    fn read(&mut self, path: &RemotePath, sink: &mut dyn Write) -> Result<u64, RemoteFault> {
        let failed = |error: &io::Error| RemoteFault::io(error, "read", Outcome::NotDone);
        let mut file = self.disk.open_read(&self.place(path)).map_err(|error| failed(&error))?;
        let (mut buffer, mut copied) = (Piece::new(), 0u64);
        loop {
            let count = match file.read(&mut buffer) {
                Ok(0) => return Ok(copied),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(failed(&error)),
            };
            let piece = buffer.get(..count).unwrap_or_default();
            sink.write_all(piece).map_err(|error| RemoteFault::of_sink(&error))?;
            copied += u64::try_from(count).unwrap_or(0);
        }
    }

    /// Of what the file system gives back.
    fn server_hash(&mut self, path: &RemotePath, bytes: u64) -> Result<Option<Sha256Digest>, RemoteFault> {
        let mut sink = HashingSink::new(bytes);
        self.read(path, &mut sink)?;
        Ok(Some(sink.finish()))
    }

    fn rename(&mut self, from: &RemotePath, to: &RemotePath) -> Result<(), RemoteFault> {
        let (from, to) = (self.place(from), self.place(to));
        self.disk.rename(&from, &to).map_err(|error| RemoteFault::io(&error, "rename", Outcome::NotDone))?;
        let sync = |directory| {
            self.disk
                .sync_dir(directory, SyncPoint::LocalDropDirectory)
                .map_err(|error| RemoteFault::io(&error, "rename", Outcome::Unknown))
        };
        sync(parent(&to))?;
        if parent(&from) == parent(&to) { Ok(()) } else { sync(parent(&from)) }
    }

    /// Durable as well: what was given up must not come back.
    fn remove(&mut self, path: &RemotePath) -> Result<(), RemoteFault> {
        let place = self.place(path);
        match self.disk.remove(&place) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(RemoteFault::io(&error, "remove", Outcome::NotDone));
            }
            Ok(()) | Err(_) => {}
        }
        self.disk
            .sync_dir(parent(&place), SyncPoint::LocalDropDirectory)
            .map_err(|error| RemoteFault::io(&error, "remove", Outcome::Unknown))
    }

    fn facts(&mut self) -> Result<SessionFacts, RemoteFault> {
        Ok(SessionFacts { listing: "readdir", ..SessionFacts::default() })
    }
}

fn describe(entry: &Entry) -> RemoteEntry {
    let (device, file) = entry.stat.identity;
    RemoteEntry {
        name: entry.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
        kind: match entry.stat.kind {
            Kind::File => EntryKind::File,
            Kind::Directory => EntryKind::Directory,
            Kind::Other => EntryKind::Other,
        },
        bytes: Some(entry.stat.bytes),
        modified: Some(UtcTime::from_nanos(entry.stat.modified_nanos)),
        unique: Some(format!("{device:x}:{file:x}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{DiskFile, DiskRead, RealDisk, Stat};
    use std::sync::Mutex;

    type Acts = Arc<Mutex<Vec<String>>>;

    /// The real disk, with a list of what was done in which order.
    struct ListingDisk(Acts);

    impl ListingDisk {
        fn note(&self, act: &str) {
            self.0.lock().expect("lock").push(act.to_owned());
        }
    }

    struct ListingFile(Box<dyn DiskFile>, Acts);

    impl Write for ListingFile {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            self.0.flush()
        }
    }

    impl DiskFile for ListingFile {
        fn sync(&mut self, point: SyncPoint) -> io::Result<()> {
            self.1.lock().expect("lock").push(format!("sync {point:?}"));
            self.0.sync(point)
        }
        fn truncate(&mut self, length: u64) -> io::Result<()> {
            self.0.truncate(length)
        }
        fn allocate(&mut self, length: u64) -> io::Result<bool> {
            self.0.allocate(length)
        }
        fn seek_to(&mut self, offset: u64) -> io::Result<()> {
            self.0.seek_to(offset)
        }
    }

    impl Disk for ListingDisk {
        fn create_new(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
            self.note("create");
            Ok(Box::new(ListingFile(RealDisk.create_new(path)?, Arc::clone(&self.0))))
        }
        fn open_append(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
            RealDisk.open_append(path)
        }
        fn open_read(&self, path: &Path) -> io::Result<Box<dyn DiskRead>> {
            RealDisk.open_read(path)
        }
        fn stat(&self, path: &Path) -> io::Result<Option<Stat>> {
            RealDisk.stat(path)
        }
        fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
            self.note("list");
            RealDisk.list(dir)
        }
        fn create_dir_all(&self, dir: &Path, point: SyncPoint) -> io::Result<()> {
            RealDisk.create_dir_all(dir, point)
        }
        fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
            self.note("rename");
            RealDisk.rename(from, to)
        }
        fn remove(&self, path: &Path) -> io::Result<()> {
            RealDisk.remove(path)
        }
        fn set_read_only(&self, path: &Path) -> io::Result<()> {
            RealDisk.set_read_only(path)
        }
        fn sync_dir(&self, dir: &Path, point: SyncPoint) -> io::Result<()> {
            self.note(&format!("sync {point:?} {}", dir.file_name().unwrap_or_default().to_string_lossy()));
            RealDisk.sync_dir(dir, point)
        }
    }

    fn path(text: &str) -> RemotePath {
        RemotePath::parse(text).expect("path")
    }

    /// A file that can be named.
    struct Held<'h>(&'h [u8], PathBuf);

    impl Read for Held<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0.read(buffer)
        }
    }

    impl Body for Held<'_> {
        fn file(&self) -> Option<&Path> {
            Some(&self.1)
        }
    }

    /// The fault of an upload, and what lies there afterwards.
    fn refused(disk: Arc<dyn Disk>, rule: &DropRule, body: &mut dyn Body) -> (RemoteFault, usize) {
        let dir = tempfile::tempdir().expect("temporary directory");
        let mut session = LocalDirectory::open(dir.path(), rule, disk).expect("session");
        let fault = session.upload(&path("a"), body, 5, &mut |_| ()).expect_err("a fault");
        (fault, std::fs::read_dir(dir.path()).expect("directory").count())
    }

    #[test]
    fn what_this_machine_does_not_allow_is_said_and_leaves_nothing_behind() {
        let no_such_things: Arc<dyn Disk> = Arc::new(ListingDisk(Acts::default()));
        let mode = DropRule::Copied(DropAccess { mode: Some(0o640), ..DropAccess::default() });
        let archived = || Held(b"bytes", PathBuf::from("/archived"));
        for (rule, key) in [(&mode, "dropped_files"), (&DropRule::Linked, "hard_link")] {
            let (fault, left) = refused(Arc::clone(&no_such_things), rule, &mut archived());
            assert_eq!((fault.kind, fault.outcome, left), (FaultKind::Unsupported, Outcome::NotDone, 0));
            assert!(fault.to_string().contains(key), "{fault}");
        }
    }

    #[test]
    fn a_file_gets_a_second_name_only_when_all_of_it_was_read() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let archived = dir.path().join("archived");
        RealDisk.create_new(&archived).and_then(|mut file| file.write_all(b"bytes")).expect("write");
        let real: Arc<dyn Disk> = Arc::new(RealDisk);
        let (fault, left) = refused(Arc::clone(&real), &DropRule::Linked, &mut Held(b"byte", archived.clone()));
        assert_eq!((fault.kind, left), (FaultKind::Io, 0));
        let mut session = LocalDirectory::open(dir.path(), &DropRule::Linked, real).expect("session");
        let mut told = 0;
        session.upload(&path("a"), &mut Held(b"bytes", archived.clone()), 5, &mut |sent| told = sent).expect("upload");
        session.upload(&path("b"), &mut &b"probe"[..], 5, &mut |_| ()).expect("bytes of no file are copied");
        let identity = |path: &Path| RealDisk.stat(path).expect("stat").expect("a file").identity;
        assert_eq!((told, identity(&dir.path().join("a"))), (5, identity(&archived)));
        let again =
            session.upload(&path("b"), &mut Held(b"bytes", archived), 5, &mut |_| ()).expect_err("a taken name");
        assert_eq!((again.kind, again.outcome), (FaultKind::Denied, Outcome::NotDone));
        assert_eq!(std::fs::read(dir.path().join("b")).expect("read"), b"probe");
    }

    #[test]
    fn bytes_are_durable_before_the_rename_and_both_directories_after_it() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let acts = Acts::default();
        let mut session =
            LocalDirectory::open(dir.path(), &DropRule::default(), Arc::new(ListingDisk(Arc::clone(&acts))))
                .expect("session");
        session.create_dir(&path("tmp")).expect("directory");
        session.create_dir(&path("out")).expect("directory");
        session.upload(&path("tmp/a"), &mut &b"bytes"[..], 5, &mut |_| ()).expect("upload");
        session.rename(&path("tmp/a"), &path("/out/a")).expect("rename");
        session.list(&path("out")).expect("list");
        let expected = [
            "create",
            "sync LocalDropFile",
            "sync LocalDropDirectory tmp",
            "rename",
            "sync LocalDropDirectory out",
            "sync LocalDropDirectory tmp",
            "sync LocalDropDirectory out",
            "list",
        ];
        assert_eq!(*acts.lock().expect("lock"), expected);
    }

    #[test]
    fn a_missing_root_is_not_created() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let opened = LocalDirectory::open(&dir.path().join("mount"), &DropRule::default(), Arc::new(RealDisk));
        assert_eq!(opened.map(|_| ()).map_err(|fault| fault.kind), Err(FaultKind::NotFound));
    }
}
