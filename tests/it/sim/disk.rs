//! The disk: what the program asks of it, what goes wrong at which operation, and what a crash leaves.

use super::ledger_file::LedgerFile;
use super::names::{Names, parent};
use super::pages::Pages;
use super::survival::{End, Kind as SurvivalKind, Survival};
use hourdrop::disk::{Disk, DiskFile, DiskRead, Entry, Kind, Stat, SyncPoint, create_dirs};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

/// Something that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The program ends: this operation and all after it fail. A write may have been carried out in part.
    Crash,
    /// The next sync fails, once.
    FailedSync,
    /// Each of so many operations fails with EIO.
    Broken(u64),
    /// Each of so many operations that need space fails with ENOSPC; a write may have been carried out in part.
    Full(u64),
}

/// What kind of operation is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    Grow,
    Sync(SyncPoint),
    Other,
}

const EIO: i32 = 5;
const ENOSPC: i32 = 28;

struct Node {
    /// `None` for a directory.
    pages: Option<Pages>,
    created_nanos: i64,
    modified_nanos: i64,
}

/// How the disk behaves for a whole run.
#[derive(Debug, Clone, Copy, Default)]
pub struct Habits {
    /// Syncs at this point do nothing, and say that they did.
    pub left_out: Option<SyncPoint>,
    /// Writes take as many bytes as the disk likes.
    pub short_writes: bool,
    /// This directory lies on another device.
    pub other_device: Option<&'static str>,
}

struct State {
    root: PathBuf,
    habits: Habits,
    nodes: Vec<Node>,
    names: Names,
    ledger: LedgerFile,
    random: fastrand::Rng,
    now_nanos: i64,
    operations: u64,
    trace: u32,
    fault: Option<(u64, Fault)>,
    fault_happened: bool,
    is_off: bool,
    starts: u64,
}

/// A disk in memory. All of it is driven by one seed.
#[derive(Clone)]
pub struct SimDisk(Arc<Mutex<State>>);

fn off() -> io::Error {
    io::Error::other("the program has ended")
}

fn errno(number: i32) -> io::Error {
    io::Error::from_raw_os_error(number)
}

impl State {
    fn name(&self, path: &Path) -> String {
        path.strip_prefix(&self.root).expect("a path on this disk").to_string_lossy().into_owned()
    }

    fn may_read(&self) -> io::Result<()> {
        if self.is_off { Err(off()) } else { Ok(()) }
    }

    /// Counts an operation and decides whether it is carried out: how many of `bytes` are, and what is said then.
    fn act(&mut self, act: Act, what: &str, bytes: usize) -> (usize, io::Result<()>) {
        if self.is_off {
            return (0, Err(off()));
        }
        let number = self.operations;
        self.operations += 1;
        self.trace = crc32c::crc32c_append(self.trace, format!("{act:?} {what} {bytes}\n").as_bytes());
        let Some((at, fault)) = self.fault.filter(|(at, _)| *at <= number) else { return (bytes, Ok(())) };
        let in_part = |random: &mut fastrand::Rng| if bytes > 0 { random.usize(..bytes) } else { 0 };
        let is_sync = matches!(act, Act::Sync(_));
        match fault {
            Fault::Crash => {
                self.is_off = true;
                self.fault_happened = true;
                (in_part(&mut self.random), Err(off()))
            }
            Fault::FailedSync if is_sync && !self.fault_happened => {
                self.fault_happened = true;
                (0, Err(errno(EIO)))
            }
            Fault::Broken(count) if number < at + count => {
                self.fault_happened = true;
                (0, Err(errno(EIO)))
            }
            Fault::Full(count) if act == Act::Grow && number < at + count => {
                self.fault_happened = true;
                (in_part(&mut self.random), Err(errno(ENOSPC)))
            }
            Fault::FailedSync | Fault::Broken(_) | Fault::Full(_) => (bytes, Ok(())),
        }
    }

    fn node(&mut self, pages: Option<Pages>) -> usize {
        self.nodes.push(Node { pages, created_nanos: self.now_nanos, modified_nanos: self.now_nanos });
        self.nodes.len() - 1
    }

    fn pages(&mut self, node: usize) -> &mut Pages {
        self.nodes[node].pages.as_mut().expect("a file")
    }

    fn stat(&self, name: &str, node: usize) -> Stat {
        let Node { pages, created_nanos, modified_nanos } = &self.nodes[node];
        Stat {
            bytes: pages.as_ref().map_or(0, |pages| pages.live().len() as u64),
            modified_nanos: *modified_nanos,
            created_nanos: Some(*created_nanos),
            identity: (self.device(name), node as u64),
            kind: if pages.is_some() { Kind::File } else { Kind::Directory },
        }
    }

    fn device(&self, name: &str) -> u64 {
        u64::from(self.habits.other_device.is_some_and(|dir| name == dir || parent(name) == dir))
    }

    fn directory(&self, name: &str) -> io::Result<()> {
        let is_directory = name.is_empty() || self.names.get(name).is_some_and(|node| self.nodes[node].pages.is_none());
        if is_directory { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) }
    }

    fn file(&self, name: &str) -> io::Result<usize> {
        self.names.get(name).filter(|node| self.nodes[*node].pages.is_some()).ok_or(io::ErrorKind::NotFound.into())
    }

    /// Gives a file another name, in place of one that goes or besides all it has.
    fn name_file(&mut self, from: &str, to: &str, removed: Option<&str>) -> io::Result<()> {
        let node = self.file(from)?;
        self.directory(parent(to))?;
        if self.device(from) != self.device(to) {
            return Err(io::ErrorKind::CrossesDevices.into());
        }
        if self.names.get(to).is_some() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.names.change(self.operations, removed, Some((to, node)));
        Ok(())
    }

    fn sync(&mut self, name: &str, node: usize, point: SyncPoint) -> io::Result<()> {
        let said = self.act(Act::Sync(point), name, 0).1;
        let pages = self.nodes[node].pages.as_mut().expect("a file");
        match &said {
            Ok(()) if self.habits.left_out == Some(point) => {}
            Ok(()) => pages.sync(),
            Err(_) if self.is_off => {}
            Err(_) => pages.fail_sync(&mut self.random),
        }
        said
    }
}

impl SimDisk {
    /// An empty disk that is mounted at `root`. The ledger and the lock really lie there, in `state`.
    pub fn new(root: &Path, seed: u64, habits: Habits) -> Self {
        let ledger = LedgerFile::clean(&root.join("state"));
        Self(Arc::new(Mutex::new(State {
            root: root.to_owned(),
            habits,
            nodes: Vec::new(),
            names: Names::default(),
            ledger,
            random: fastrand::Rng::with_seed(seed),
            now_nanos: 0,
            operations: 0,
            trace: 0,
            fault: None,
            fault_happened: false,
            is_off: false,
            starts: 0,
        })))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        match self.0.lock() {
            Ok(state) => state,
            Err(poisoned) => poisoned.into_inner(),
        }
    }

    /// The time that files get.
    pub fn set_time(&self, nanos: i64) {
        self.lock().now_nanos = nanos;
    }

    /// Operations so far that change something or make it durable.
    pub fn operations(&self) -> u64 {
        self.lock().operations
    }

    /// A checksum over all operations in their order.
    pub fn trace(&self) -> u32 {
        self.lock().trace
    }

    /// From the operation with this number on something goes wrong.
    pub fn plan_fault(&self, fault: Option<(u64, Fault)>) {
        let mut state = self.lock();
        state.fault = fault;
        state.fault_happened = false;
    }

    pub fn fault_happened(&self) -> bool {
        self.lock().fault_happened
    }

    /// True from a crash until [`SimDisk::end`].
    pub fn is_off(&self) -> bool {
        self.lock().is_off
    }

    /// The program has ended, so or so. Everything it has open must have been dropped.
    pub fn end(&self, end: End) {
        let mut guard = self.lock();
        let state = &mut *guard;
        state.is_off = false;
        state.fault = None;
        state.starts += 1;
        let End::PowerCut(kind) = end else { return };
        let survival = match kind {
            SurvivalKind::Nothing => Survival::Nothing,
            SurvivalKind::Everything => Survival::Everything,
            SurvivalKind::Scattered => Survival::Scattered { stale: state.random.u8(..8) == 0 },
            SurvivalKind::Prefix => {
                let files = state.nodes.iter().filter_map(|node| node.pages.as_ref()).flat_map(Pages::pending_moments);
                let mut moments: Vec<u64> = files.chain(state.names.pending_moments()).collect();
                moments.sort_unstable();
                moments.push(u64::MAX);
                Survival::UpTo(moments[state.random.usize(..moments.len())])
            }
        };
        state.names.cut_power(survival, &mut state.random);
        for pages in state.nodes.iter_mut().filter_map(|node| node.pages.as_mut()) {
            pages.cut_power(survival, &mut state.random);
        }
        let has_directory = state.names.get("state").is_some();
        state.ledger.cut_power(survival, has_directory, &mut state.random);
    }

    /// A file that somebody else put there, durably.
    pub fn put(&self, name: &str, bytes: &[u8]) {
        let mut state = self.lock();
        let node = state.node(Some(Pages::settled(bytes)));
        state.names.settle(name, Some(node));
    }

    /// A directory that somebody else made, durably.
    pub fn put_dir(&self, name: &str) {
        let mut state = self.lock();
        let node = state.node(None);
        state.names.settle(name, Some(node));
    }

    /// A file that somebody else takes away, durably.
    pub fn take(&self, name: &str) {
        self.lock().names.settle(name, None);
    }

    /// All files below a directory with their content, as a reader sees them now.
    pub fn files_below(&self, dir: &str) -> Vec<(String, Vec<u8>)> {
        let state = self.lock();
        let files = state.names.below(dir);
        files
            .filter_map(|(name, node)| Some((name.clone(), state.nodes[node].pages.as_ref()?.live().to_vec())))
            .collect()
    }

    /// Turns over one durable bit in a file below one of these; the name of the file. What still lies in the sender's
    /// directory, too, is spared: input that is damaged before it is accepted is no promise of ours.
    pub fn flip_a_bit(&self, below: &[&str]) -> Option<String> {
        let mut guard = self.lock();
        let state = &mut *guard;
        let named = below.iter().flat_map(|dir| {
            let itself = state.names.get(dir).map(|node| ((*dir).to_owned(), node));
            itself.into_iter().chain(state.names.below(dir).map(|(name, node)| (name.clone(), node)))
        });
        let is_file = |node: usize| state.nodes[node].pages.is_some();
        let is_input = |node: usize| state.names.below("in").any(|(_, known)| known == node);
        let files: Vec<(String, usize)> = named.filter(|(_, node)| is_file(*node) && !is_input(*node)).collect();
        let (name, node) = files.get(state.random.usize(..files.len().max(1)))?.clone();
        state.nodes[node].pages.as_mut().expect("a file").flip(&mut state.random).then_some(name)
    }
}

impl Disk for SimDisk {
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.lock();
        let name = state.name(path);
        state.act(Act::Grow, &format!("create {name}"), 0).1?;
        state.directory(parent(&name))?;
        if state.names.get(&name).is_some() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let node = state.node(Some(Pages::default()));
        let moment = state.operations;
        state.names.change(moment, None, Some((&name, node)));
        Ok(Box::new(SimFile { disk: self.clone(), name, node, offset: 0, start: state.starts }))
    }

    fn open_append(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let state = self.lock();
        state.may_read()?;
        let name = state.name(path);
        let node = state.file(&name)?;
        let offset = state.nodes[node].pages.as_ref().map_or(0, |pages| pages.live().len());
        Ok(Box::new(SimFile { disk: self.clone(), name, node, offset, start: state.starts }))
    }

    fn open_read(&self, path: &Path) -> io::Result<Box<dyn DiskRead>> {
        let state = self.lock();
        state.may_read()?;
        let name = state.name(path);
        if LedgerFile::is_part(&name) {
            return state.ledger.open_read(&name);
        }
        let node = state.file(&name)?;
        Ok(Box::new(SimRead { disk: self.clone(), name, node, offset: 0 }))
    }

    fn stat(&self, path: &Path) -> io::Result<Option<Stat>> {
        let state = self.lock();
        state.may_read()?;
        let name = state.name(path);
        if LedgerFile::is_part(&name) {
            return state.ledger.stat(&name);
        }
        if name.is_empty() {
            let root =
                Stat { bytes: 0, modified_nanos: 0, created_nanos: None, identity: (0, 0), kind: Kind::Directory };
            return Ok(Some(root));
        }
        Ok(state.names.get(&name).map(|node| state.stat(&name, node)))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        let state = self.lock();
        state.may_read()?;
        let name = state.name(dir);
        state.directory(&name)?;
        let entries = state.names.entries(&name);
        let mut entries: Vec<Entry> =
            entries.map(|(name, node)| Entry { path: state.root.join(name), stat: state.stat(name, node) }).collect();
        if name == "state" {
            for part in LedgerFile::PARTS {
                let stat = state.ledger.stat(part)?;
                entries.extend(stat.map(|stat| Entry { path: state.root.join(part), stat }));
            }
        }
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(entries)
    }

    fn create_dir_all(&self, dir: &Path, point: SyncPoint) -> io::Result<()> {
        let is_empty = |dir: &Path| {
            let state = self.lock();
            state.may_read()?;
            Ok(state.names.entries(&state.name(dir)).next().is_none())
        };
        let make = |dir: &Path| {
            let mut state = self.lock();
            let name = state.name(dir);
            state.act(Act::Grow, &format!("make {name}"), 0).1?;
            state.directory(parent(&name))?;
            if name.is_empty() || state.names.get(&name).is_some() {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            let node = state.node(None);
            let moment = state.operations;
            state.names.change(moment, None, Some((&name, node)));
            Ok(())
        };
        create_dirs(self, dir, point, &make, &is_empty)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.lock();
        let (from, to) = (state.name(from), state.name(to));
        state.act(Act::Other, &format!("rename {from} {to}"), 0).1?;
        if LedgerFile::is_part(&from) {
            return state.ledger.rename(&from, &to);
        }
        state.name_file(&from, &to, Some(&from))
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.lock();
        let (from, to) = (state.name(from), state.name(to));
        state.act(Act::Grow, &format!("link {from} {to}"), 0).1?;
        state.name_file(&from, &to, None)
    }

    fn sync_file(&self, path: &Path, point: SyncPoint) -> io::Result<()> {
        let mut guard = self.lock();
        let state = &mut *guard;
        let name = state.name(path);
        let node = state.file(&name)?;
        state.sync(&name, node, point)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.lock();
        let name = state.name(path);
        state.act(Act::Other, &format!("remove {name}"), 0).1?;
        if LedgerFile::is_part(&name) {
            return state.ledger.remove(&name);
        }
        state.file(&name)?;
        let moment = state.operations;
        state.names.change(moment, Some(&name), None);
        Ok(())
    }

    fn set_read_only(&self, path: &Path) -> io::Result<()> {
        let mut state = self.lock();
        let name = state.name(path);
        state.act(Act::Other, &format!("protect {name}"), 0).1?;
        state.file(&name).map(|_| ())
    }

    fn sync_dir(&self, dir: &Path, point: SyncPoint) -> io::Result<()> {
        let mut state = self.lock();
        let name = state.name(dir);
        state.act(Act::Sync(point), &format!("directory {name}"), 0).1?;
        state.directory(&name)?;
        if state.habits.left_out != Some(point) {
            state.names.sync_dir(&name);
            if name == "state" {
                state.ledger.sync_dir();
            }
        }
        Ok(())
    }

    fn before_ledger_commit(&self, point: SyncPoint) -> io::Result<()> {
        let mut state = self.lock();
        state.act(Act::Grow, &format!("before {point:?}"), 0).1?;
        if state.habits.left_out == Some(point) {
            state.ledger.keep_copy();
        }
        Ok(())
    }

    fn after_ledger_commit(&self, point: SyncPoint) -> io::Result<()> {
        let mut state = self.lock();
        if state.habits.left_out != Some(point) {
            state.ledger.forget_copy();
        }
        state.act(Act::Other, &format!("after {point:?}"), 0).1
    }
}

/// A file open for writing.
struct SimFile {
    disk: SimDisk,
    name: String,
    node: usize,
    offset: usize,
    start: u64,
}

impl SimFile {
    /// The state of the disk; a file that was opened before the program ended cannot be used any more.
    fn state(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.disk.lock();
        if state.starts == self.start { Ok(state) } else { Err(off()) }
    }
}

impl Write for SimFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut guard = self.disk.lock();
        let state = &mut *guard;
        if state.starts != self.start {
            return Err(off());
        }
        let short = state.habits.short_writes && !bytes.is_empty() && state.random.bool();
        let wanted = if short { state.random.usize(1..=bytes.len()) } else { bytes.len() };
        let (count, said) = state.act(Act::Grow, &format!("write {} at {}", self.name, self.offset), wanted);
        if count > 0 {
            let (moment, now) = (state.operations, state.now_nanos);
            state.pages(self.node).write(moment, self.offset, &bytes[..count]);
            state.nodes[self.node].modified_nanos = now;
            self.offset += count;
        }
        said.map(|()| count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl DiskFile for SimFile {
    fn sync(&mut self, point: SyncPoint) -> io::Result<()> {
        let mut guard = self.state()?;
        let state = &mut *guard;
        state.sync(&self.name, self.node, point)
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        let length = usize::try_from(length).expect("small");
        {
            let mut state = self.state()?;
            state.act(Act::Other, &format!("cut {} at {length}", self.name), 0).1?;
            let moment = state.operations;
            state.pages(self.node).truncate(moment, length);
        }
        self.offset = length;
        Ok(())
    }

    fn allocate(&mut self, length: u64) -> io::Result<bool> {
        let length = usize::try_from(length).expect("small");
        let mut state = self.state()?;
        state.act(Act::Grow, &format!("allocate {} to {length}", self.name), 0).1?;
        let moment = state.operations;
        state.pages(self.node).allocate(moment, length);
        Ok(true)
    }

    fn seek_to(&mut self, offset: u64) -> io::Result<()> {
        self.offset = usize::try_from(offset).expect("small");
        Ok(())
    }
}

/// A file open for reading.
struct SimRead {
    disk: SimDisk,
    name: String,
    node: usize,
    offset: usize,
}

impl Read for SimRead {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut state = self.disk.lock();
        state.may_read()?;
        let count = state.pages(self.node).live().read(self.offset, buffer);
        self.offset += count;
        Ok(count)
    }
}

impl Seek for SimRead {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let mut state = self.disk.lock();
        let (base, by) = match to {
            SeekFrom::Start(offset) => (offset, 0),
            SeekFrom::End(by) => (state.pages(self.node).live().len() as u64, by),
            SeekFrom::Current(by) => (self.offset as u64, by),
        };
        let offset = base.checked_add_signed(by).ok_or(io::ErrorKind::InvalidInput)?;
        self.offset = usize::try_from(offset).expect("small");
        Ok(offset)
    }
}

impl DiskRead for SimRead {
    fn stat(&self) -> io::Result<Stat> {
        let state = self.disk.lock();
        state.may_read()?;
        Ok(state.stat(&self.name, self.node))
    }
}
