//! A batch is stopped at every remote call and at every recorded fact, before and after it takes effect, and goes on
//! from what was recorded. The partner must not notice.

use crate::delivering::{deliver_files, file};
use hourdrop::deliver::{BatchOutcome, FileToDeliver, InDoubtRule, TemporaryPlace};
use hourdrop::disk::RealDisk;
use hourdrop::domain::delivery::{DeliveryFact, FileState};
use hourdrop::domain::ids::Sha256Digest;
use hourdrop::remote::local_dir::DropRule;
use hourdrop::remote::{
    Abilities, Body, Deadlines, Endpoint, FaultKind, Outcome, Remote, RemoteEntry, RemoteFault, RemotePath,
};
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

const NAMES: [&str; 3] = ["p1.dat", "p2.dat", "m.txt"];

/// Where a run stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    Never,
    /// At the call with this number, which is not carried out.
    BeforeCall(usize),
    /// At the call with this number, which is carried out, its answer lost.
    AfterCall(usize),
    /// The same, and the program dies: nothing more is recorded.
    DeadAfterCall(usize),
    /// At the fact with this number, which is not recorded.
    BeforeFact(usize),
    /// At the fact with this number, which is recorded.
    AfterFact(usize),
}

/// A session that breaks at one call and stays broken.
struct Breaking {
    inner: Box<dyn Remote>,
    stop: Stop,
    calls: Arc<AtomicUsize>,
    broken: bool,
    dead: Arc<AtomicBool>,
}

impl Breaking {
    fn call<T>(&mut self, act: impl FnOnce(&mut dyn Remote) -> Result<T, RemoteFault>) -> Result<T, RemoteFault> {
        let lost = RemoteFault::new(FaultKind::Unreachable, "call", Outcome::Unknown);
        let number = self.calls.fetch_add(1, Ordering::Relaxed);
        if self.broken || self.stop == Stop::BeforeCall(number) {
            self.broken = true;
            return Err(lost);
        }
        let answer = act(self.inner.as_mut());
        if [Stop::AfterCall(number), Stop::DeadAfterCall(number)].contains(&self.stop) {
            self.broken = true;
            self.dead.store(matches!(self.stop, Stop::DeadAfterCall(_)), Ordering::Relaxed);
            return Err(lost);
        }
        answer
    }
}

impl Remote for Breaking {
    fn abilities(&self) -> Abilities {
        self.inner.abilities()
    }
    fn create_dir(&mut self, directory: &RemotePath) -> Result<(), RemoteFault> {
        self.call(|inner| inner.create_dir(directory))
    }
    fn size(&mut self, path: &RemotePath) -> Result<Option<u64>, RemoteFault> {
        self.call(|inner| inner.size(path))
    }
    fn list(&mut self, directory: &RemotePath) -> Result<Vec<RemoteEntry>, RemoteFault> {
        self.call(|inner| inner.list(directory))
    }
    fn upload(
        &mut self,
        temporary: &RemotePath,
        body: &mut dyn Body,
        bytes: u64,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), RemoteFault> {
        self.call(|inner| inner.upload(temporary, body, bytes, progress))
    }
    fn read(&mut self, path: &RemotePath, sink: &mut dyn Write) -> Result<u64, RemoteFault> {
        self.call(|inner| inner.read(path, sink))
    }
    fn server_hash(&mut self, path: &RemotePath, bytes: u64) -> Result<Option<Sha256Digest>, RemoteFault> {
        self.call(|inner| inner.server_hash(path, bytes))
    }
    fn rename(&mut self, from: &RemotePath, to: &RemotePath) -> Result<(), RemoteFault> {
        self.call(|inner| inner.rename(from, to))
    }
    fn remove(&mut self, path: &RemotePath) -> Result<(), RemoteFault> {
        self.call(|inner| inner.remove(path))
    }
}

/// What is recorded, by file, and how much happened.
#[derive(Default)]
struct Ledger {
    /// Files are written under their final names at once.
    in_place: bool,
    /// Files of which acts are announced together.
    at_once: usize,
    facts: Mutex<BTreeMap<String, Vec<DeliveryFact>>>,
    recorded: AtomicUsize,
    calls: Arc<AtomicUsize>,
    dead: Arc<AtomicBool>,
}

impl Ledger {
    fn state(&self, name: &str) -> FileState {
        let facts = self.facts.lock().expect("lock");
        let facts = facts.get(name).map(Vec::as_slice).unwrap_or_default();
        facts.iter().try_fold(FileState::default(), FileState::apply).expect("facts fit together")
    }

    fn record(&self, told: &[(&FileToDeliver, DeliveryFact)], stop: Stop) -> Result<(), &'static str> {
        if self.dead.load(Ordering::Relaxed) {
            return Err("dead");
        }
        let number = self.recorded.fetch_add(1, Ordering::Relaxed);
        let dies = [Stop::BeforeFact(number), Stop::AfterFact(number)].contains(&stop);
        self.dead.store(dies, Ordering::Relaxed);
        if stop == Stop::BeforeFact(number) {
            return Err("stopped before");
        }
        let mut facts = self.facts.lock().expect("lock");
        for (file, fact) in told {
            facts.entry(file.name.to_string()).or_default().push(fact.clone());
        }
        if dies { Err("stopped after") } else { Ok(()) }
    }

    /// One run over the whole batch, as far as it comes. True when all is delivered.
    fn run(&self, drop_directory: &Path, stop: Stop) -> bool {
        self.dead.store(false, Ordering::Relaxed);
        let endpoint = Endpoint::LocalDir { path: drop_directory.to_owned(), rule: DropRule::default() };
        let inner = endpoint.connect(&Deadlines::default(), Arc::new(RealDisk)).expect("session");
        let (calls, dead) = (Arc::clone(&self.calls), Arc::clone(&self.dead));
        let mut session = Breaking { inner, stop, calls, broken: false, dead };
        let here = RemotePath::login_directory();
        let temporary = if self.in_place { TemporaryPlace::Nowhere } else { TemporaryPlace::Beside };
        let [first, second, manifest] = NAMES.map(|name| FileToDeliver {
            state: self.state(name),
            temporary: temporary.clone(),
            is_manifest: name == "m.txt",
            // Nobody takes a manifest here: one that is gone was never there.
            in_doubt: InDoubtRule::Resend,
            ..file(&here, name, name.len())
        });
        let record = |told: &[(&FileToDeliver, DeliveryFact)]| self.record(told, stop);
        let content = |name: &str| name.as_bytes().to_vec();
        let files = (vec![first, second], manifest);
        let outcome = deliver_files(&mut session, files, self.at_once, &content, &record);
        matches!(outcome, Ok(BatchOutcome::Delivered))
    }
}

fn visible(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(directory).expect("directory").map(|entry| entry.expect("entry").path());
    let named = entries.map(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        (name, fs::read(path).expect("file"))
    });
    named.collect()
}

fn assert_what_is_visible_is_whole(directory: &Path, stop: Stop) {
    let visible = visible(directory);
    for name in NAMES {
        assert!(visible.get(name).is_none_or(|content| content == name.as_bytes()), "{stop:?}: {name}");
    }
    if visible.contains_key("m.txt") {
        assert!(visible.contains_key("p1.dat") && visible.contains_key("p2.dat"), "{stop:?}: manifest first");
    }
}

/// Stops a first run there; a second one goes on.
fn stop_and_go_on((in_place, at_once): (bool, usize), stop: Stop) {
    let dir = tempfile::tempdir().expect("temporary directory");
    let ledger = Ledger { in_place, at_once, ..Ledger::default() };
    assert!(!ledger.run(dir.path(), stop), "{stop:?} was not reached");
    assert_what_is_visible_is_whole(dir.path(), stop);
    assert!(ledger.run(dir.path(), Stop::Never), "{stop:?}: {:?}", NAMES.map(|name| ledger.state(name)));
    let expected = NAMES.map(|name| (name.to_owned(), name.as_bytes().to_vec()));
    assert_eq!(visible(dir.path()), BTreeMap::from(expected), "{stop:?}");
}

/// Calls and records of a run that nothing disturbs.
fn undisturbed(in_place: bool, at_once: usize) -> (usize, usize) {
    let dir = tempfile::tempdir().expect("temporary directory");
    let ledger = Ledger { in_place, at_once, ..Ledger::default() };
    assert!(ledger.run(dir.path(), Stop::Never));
    (ledger.calls.load(Ordering::Relaxed), ledger.recorded.load(Ordering::Relaxed))
}

/// Stops everywhere; at the last call or not.
fn stop_everywhere(in_place: bool, at_once: usize, last_call: bool) {
    let (calls, facts) = undisturbed(in_place, at_once);
    for number in 0..facts {
        stop_and_go_on((in_place, at_once), Stop::BeforeFact(number));
        stop_and_go_on((in_place, at_once), Stop::AfterFact(number));
    }
    for number in 0..calls - usize::from(!last_call) {
        stop_and_go_on((in_place, at_once), Stop::BeforeCall(number));
        stop_and_go_on((in_place, at_once), Stop::AfterCall(number));
    }
    for number in 0..calls {
        stop_and_go_on((in_place, at_once), Stop::DeadAfterCall(number));
    }
}

#[test]
fn a_batch_stopped_anywhere_goes_on_to_the_same_directory() {
    assert_eq!(undisturbed(false, 1), (16, 12), "one listing; five calls and four facts for each file");
    stop_everywhere(false, 1, false);
    // The last look at a file only tells more about how it was delivered: the batch goes on until the next call.
    for stop in [Stop::BeforeCall(15), Stop::AfterCall(15)] {
        let dir = tempfile::tempdir().expect("temporary directory");
        assert!(Ledger { at_once: 1, ..Ledger::default() }.run(dir.path(), stop), "{stop:?}");
    }
}

#[test]
fn a_batch_of_which_files_go_together_and_that_is_stopped_anywhere_goes_on_to_the_same_directory() {
    assert_eq!(undisturbed(false, 64), (16, 10), "two facts of two files are announced together");
    stop_everywhere(false, 64, false);
}

#[test]
fn without_rename_a_batch_stopped_anywhere_goes_on_to_the_same_directory() {
    assert_eq!(undisturbed(true, 64), (13, 6), "one listing; four calls and two facts for each file");
    stop_everywhere(true, 64, true);
}
