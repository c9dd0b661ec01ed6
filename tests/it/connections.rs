//! Several sessions at once: what the partner sees comes in the same order as with one.

use crate::delivering::file;
use crate::scripted_server::{Quirk, ScriptedServer};
use crate::servers::TestServer;
use hourdrop::clock::SystemClock;
use hourdrop::deliver::{BatchFault, BatchOutcome, Caller, FileToDeliver, GroupLimits, MoreSessions, deliver_batches};
use hourdrop::disk::RealDisk;
use hourdrop::domain::delivery::{DeliveryFact, FileState};
use hourdrop::remote::local_dir::{DropRule, LocalDirectory};
use hourdrop::remote::{Body, Deadlines, Remote, RemoteFault, RemotePath};
use std::collections::BTreeSet;
use std::convert::Infallible;
use std::fs;
use std::io::{self, Cursor};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// The content of a part file: longer ones come first, so that later ones are uploaded earlier.
fn content(name: &str) -> Vec<u8> {
    let number: usize = name.trim_start_matches('p').trim_end_matches(".dat").parse().unwrap_or(99);
    name.as_bytes().repeat(1 + 400 * (100 - number))
}

fn part(directory: &RemotePath, number: usize) -> FileToDeliver {
    let name = format!("p{number:02}.dat");
    file(directory, &name, content(&name).len())
}

/// Facts by file name, in the order in which they were recorded.
type Facts = Vec<(String, DeliveryFact)>;

/// Delivers a batch with one session and more of them.
fn deliver_with(
    open: &(dyn Fn() -> Result<Box<dyn Remote>, RemoteFault> + Sync),
    more: usize,
    parts: Vec<FileToDeliver>,
    manifest: &FileToDeliver,
) -> (Result<BatchOutcome, BatchFault<Infallible>>, Facts) {
    let manifest = FileToDeliver { is_manifest: true, ..manifest.clone() };
    let limits = GroupLimits { files: 64, bytes: 1 << 20 };
    deliver_all(open, more, parts.into_iter().chain([manifest]).collect(), limits, &|| true)
}

/// The same of files of any batches.
fn deliver_all(
    open: &(dyn Fn() -> Result<Box<dyn Remote>, RemoteFault> + Sync),
    more: usize,
    files: Vec<FileToDeliver>,
    limits: GroupLimits,
    begins: &(dyn Fn() -> bool + Sync),
) -> (Result<BatchOutcome, BatchFault<Infallible>>, Facts) {
    deliver_telling(open, more, files, limits, begins, &|_, _| Ok(()))
}

/// The same; `opens` is told of each file that is about to be read, and of the facts so far.
fn deliver_telling(
    open: &(dyn Fn() -> Result<Box<dyn Remote>, RemoteFault> + Sync),
    more: usize,
    files: Vec<FileToDeliver>,
    limits: GroupLimits,
    begins: &(dyn Fn() -> bool + Sync),
    opens: &(dyn Fn(&str, &Mutex<Facts>) -> io::Result<()> + Sync),
) -> (Result<BatchOutcome, BatchFault<Infallible>>, Facts) {
    let facts = Mutex::new(Vec::new());
    let record = |told: &[(&FileToDeliver, DeliveryFact)]| {
        facts.lock().expect("lock").extend(told.iter().map(|(file, fact)| (file.name.to_string(), fact.clone())));
        Ok::<(), Infallible>(())
    };
    let body = |file: &FileToDeliver| -> io::Result<Box<dyn Body>> {
        opens(file.name.as_str(), &facts)?;
        Ok(Box::new(Cursor::new(content(file.name.as_str()))))
    };
    let mut session = open().expect("the first session");
    let caller =
        Caller { open: &body, record: &record, allow: &|_| Ok(()), begins, pause: &|_| (), clock: &SystemClock };
    let done = deliver_batches(session.as_mut(), &MoreSessions::new(more, open), files, limits, &caller);
    (done, facts.into_inner().expect("lock"))
}

/// So many batches, each with one part file and a manifest.
fn batches(directory: &RemotePath, count: usize) -> Vec<FileToDeliver> {
    let of_batch = |batch| {
        let manifest = format!("m{batch:02}.txt");
        let manifest = FileToDeliver { is_manifest: true, ..file(directory, &manifest, content(&manifest).len()) };
        [part(directory, batch), manifest].map(|file| FileToDeliver { batch, ..file })
    };
    (1..=count).flat_map(of_batch).collect()
}

/// Every file's facts lead to its delivery, whoever recorded them.
fn assert_complete(facts: &[(String, DeliveryFact)], names: &[String]) {
    for name in names {
        let own = facts.iter().filter(|(file, _)| file == name).map(|(_, fact)| fact);
        let state = own.fold(FileState::default(), |state, fact| state.apply(fact).expect("facts fit together"));
        assert!(state.is_delivered(), "{name}: {facts:?}");
    }
}

fn names(count: usize) -> Vec<String> {
    (1..=count).map(|number| format!("p{number:02}.dat")).chain(["m.txt".to_owned()]).collect()
}

#[test]
fn two_sessions_upload_at_once_and_names_appear_in_order() {
    let server = ScriptedServer::start(Quirk::TwoStoresAtOnce, 1);
    let directory = RemotePath::parse("out").expect("path");
    let parts = (1..=6).map(|number| part(&directory, number)).collect();
    let manifest = file(&directory, "m.txt", content("m.txt").len());
    let (done, facts) = deliver_with(&|| server.connect(), 1, parts, &manifest);
    assert!(matches!(done, Ok(BatchOutcome::Delivered)), "{done:?}");
    assert_complete(&facts, &names(6));
    let world = server.world();
    let shown: Vec<(String, Vec<u8>)> =
        names(6).into_iter().map(|name| (format!("out/{name}"), content(&name))).collect();
    assert!(world.shown == shown, "{:?}", world.shown.iter().map(|(name, _)| name).collect::<Vec<_>>());
    assert_eq!(world.files.len(), 7, "nothing is left beside them");
}

#[test]
fn a_session_that_is_lost_while_it_uploads_leaves_its_file_to_the_others() {
    for quirk in [Quirk::DropAfterStore, Quirk::TruncateStore, Quirk::BreakStore] {
        let server = ScriptedServer::start(quirk, 1);
        let directory = RemotePath::parse("out").expect("path");
        let mut parts: Vec<FileToDeliver> = (1..=6).map(|number| part(&directory, number)).collect();
        let mut manifest = file(&directory, "m.txt", content("m.txt").len());
        let mut all = Vec::new();
        // It may be the first session that is lost: then the next one goes on from what is recorded.
        for _ in 0..2 {
            let (done, facts) = deliver_with(&|| server.connect(), 3, parts.clone(), &manifest);
            for (name, fact) in &facts {
                if let Some(part) = parts.iter_mut().chain([&mut manifest]).find(|part| part.name.as_str() == name) {
                    part.state = part.state.clone().apply(fact).expect("facts fit together");
                }
            }
            all.extend(facts);
            if done.is_ok() {
                break;
            }
        }
        assert_complete(&all, &names(6));
        let shown: Vec<String> = server.world().shown.iter().map(|(name, _)| name.clone()).collect();
        let expected: Vec<String> = names(6).iter().map(|name| format!("out/{name}")).collect();
        assert_eq!(shown, expected, "{quirk:?}");
        assert_eq!(server.world().files.len(), 7, "{quirk:?}");
    }
}

/// Looks at the directory all the time, as a robot would, until told to stop: a name that is there must not be there
/// before the ones in front of it.
fn watch(directory: &std::path::Path, names: &[String], stop: &AtomicBool) -> usize {
    let mut looks = 0;
    while !stop.load(Ordering::Relaxed) {
        // From the last name to the first: what is added meanwhile is in front of what was seen.
        let there: Vec<bool> = names.iter().rev().map(|name| directory.join(name).exists()).collect();
        assert!(there.is_sorted(), "a later name is there before an earlier one: {there:?}");
        looks += 1;
    }
    looks
}

#[test]
fn a_server_with_room_for_two_gets_two_sessions_and_everything_in_order() {
    let server = TestServer::vsftpd_for(2);
    let endpoint = server.endpoint.clone();
    let (opened, refused) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let open = || {
        let session = endpoint.connect(&Deadlines::default(), Arc::new(RealDisk));
        let counter = if session.is_ok() { &opened } else { &refused };
        counter.fetch_add(1, Ordering::Relaxed);
        session
    };
    let parts = (1..=20).map(|number| part(&server.base, number)).collect();
    let manifest = file(&server.base, "m.txt", content("m.txt").len());
    let (names, stop) = (names(20), AtomicBool::new(false));
    let looks = thread::scope(|scope| {
        let watcher = scope.spawn(|| watch(&server.files, &names, &stop));
        let (done, facts) = deliver_with(&open, 7, parts, &manifest);
        stop.store(true, Ordering::Relaxed);
        assert!(matches!(done, Ok(BatchOutcome::Delivered)), "{done:?}");
        assert_complete(&facts, &names);
        watcher.join().expect("the order holds")
    });
    assert!(looks > 0);
    assert!(refused.load(Ordering::Relaxed) >= 5, "the limit was met: {opened:?} opened, {refused:?} refused");
    for name in &names {
        assert!(fs::read(server.files.join(name)).expect("file") == content(name), "{name} has other bytes");
    }
    assert_eq!(fs::read_dir(&server.files).expect("directory").count(), names.len());
}

/// Every file is large.
const LARGE: GroupLimits = GroupLimits { files: 64, bytes: 1 };

#[test]
fn files_of_several_batches_are_uploaded_at_once_and_shown_in_their_order() {
    let server = ScriptedServer::start(Quirk::TwoStoresAtOnce, 1);
    let files = batches(&RemotePath::parse("out").expect("path"), 12);
    let names: Vec<String> = files.iter().map(|file| file.name.to_string()).collect();
    let (done, facts) = deliver_all(&|| server.connect(), 1, files, LARGE, &|| true);
    assert!(matches!(done, Ok(BatchOutcome::Delivered)), "{done:?}");
    assert_complete(&facts, &names);
    let world = server.world();
    let shown: Vec<(String, Vec<u8>)> = names.iter().map(|name| (format!("out/{name}"), content(name))).collect();
    assert!(world.shown == shown, "{:?}", world.shown.iter().map(|(name, _)| name).collect::<Vec<_>>());
    assert_eq!(world.files.len(), names.len(), "nothing is left beside them");
    let place = |name: &str, fact: &str| {
        facts
            .iter()
            .position(|(file, told)| file == name && told.name() == fact)
            .unwrap_or_else(|| panic!("{name} {fact}"))
    };
    for batch in 1..=12 {
        let (part, manifest) = (format!("p{batch:02}.dat"), format!("m{batch:02}.txt"));
        let (shown, announced) = (place(&part, "rename-confirmed"), place(&manifest, "rename-intended"));
        assert!(shown < announced, "{manifest} is announced when its part file is there");
    }
    assert!(place("p02.dat", "upload-verified") < place("p01.dat", "rename-intended"), "{facts:?}");
}

fn local_directory(path: &Path) -> Result<Box<dyn Remote>, RemoteFault> {
    Ok(Box::new(LocalDirectory::open(path, &DropRule::default(), Arc::new(RealDisk))?))
}

#[test]
fn what_is_whole_is_shown_although_a_file_behind_it_cannot_be_read() {
    for _ in 0..20 {
        let place = tempfile::tempdir().expect("directory");
        let whole = ["p01.dat", "m01.txt", "p02.dat", "m02.txt"].map(str::to_owned);
        let opens = |name: &str, facts: &Mutex<Facts>| {
            let is_verified = |name: &String| {
                facts.lock().expect("lock").iter().any(|(file, fact)| file == name && fact.name() == "upload-verified")
            };
            let deadline = Instant::now() + Duration::from_secs(20);
            while name == "p03.dat" && !whole.iter().all(is_verified) {
                assert!(Instant::now() < deadline, "nobody uploads the files in front");
                thread::yield_now();
            }
            if name == "p03.dat" { Err(io::ErrorKind::NotFound.into()) } else { Ok(()) }
        };
        let files = batches(&RemotePath::parse("/").expect("path"), 12);
        let (done, facts) = deliver_telling(&|| local_directory(place.path()), 1, files, LARGE, &|| true, &opens);
        assert_eq!(done.expect_err("one cannot be read").name.as_str(), "p03.dat");
        assert_complete(&facts, &whole);
        let shown = facts.iter().filter(|(_, fact)| fact.name() == "rename-confirmed");
        assert_eq!(shown.count(), whole.len(), "nothing behind it is shown: {facts:?}");
    }
}

#[test]
fn nothing_is_begun_behind_a_file_whose_name_is_taken() {
    let place = tempfile::tempdir().expect("directory");
    fs::write(place.path().join("p02.dat"), "not ours").expect("written");
    let files = batches(&RemotePath::parse("/").expect("path"), 12);
    let (done, facts) = deliver_all(&|| local_directory(place.path()), 1, files, LARGE, &|| true);
    assert!(matches!(&done, Ok(BatchOutcome::Stopped { name, .. }) if name.as_str() == "p02.dat"), "{done:?}");
    assert_complete(&facts, &["p01.dat", "m01.txt"].map(str::to_owned));
    let behind: Vec<_> = facts.iter().filter(|(name, _)| !name.contains("01") && name != "p02.dat").collect();
    assert!(behind.is_empty(), "{behind:?}");
    assert_eq!(fs::read(place.path().join("p02.dat")).expect("it is there"), b"not ours");
    assert_eq!(fs::read_dir(place.path()).expect("directory").count(), 3);
}

#[test]
fn a_file_that_takes_long_keeps_no_other_session_from_the_files_of_later_batches() {
    let place = tempfile::tempdir().expect("directory");
    let open = || local_directory(place.path());
    // The first part file is not read before one of the third group is.
    let (opened, changed) = (Mutex::new(BTreeSet::new()), Condvar::new());
    let opens = |name: &str, _: &Mutex<Facts>| {
        let mut opened = opened.lock().expect("lock");
        opened.insert(name.to_owned());
        changed.notify_all();
        if name == "p01.dat" {
            let is_missing = |opened: &mut BTreeSet<String>| !opened.contains("p07.dat");
            let waited = changed.wait_timeout_while(opened, Duration::from_secs(20), is_missing).expect("lock");
            assert!(!waited.1.timed_out(), "the other sessions wait for it: {:?}", waited.0);
        }
        Ok(())
    };
    let files = batches(&RemotePath::parse("/").expect("path"), 12);
    let names: Vec<String> = files.iter().map(|file| file.name.to_string()).collect();
    let (done, facts) = deliver_telling(&open, 2, files, LARGE, &|| true, &opens);
    assert!(matches!(done, Ok(BatchOutcome::Delivered)), "{done:?}");
    assert_complete(&facts, &names);
    let shown = facts.iter().filter(|(_, fact)| fact.name() == "rename-confirmed").map(|(name, _)| name);
    assert!(shown.eq(&names), "{facts:?}");
    for name in &names {
        assert!(fs::read(place.path().join(name)).expect("file") == content(name), "{name} has other bytes");
    }
}

#[test]
fn no_other_batch_is_begun_when_everything_is_to_end() {
    for more in [0, 1] {
        let server = ScriptedServer::start(Quirk::Nothing, 0);
        let files = batches(&RemotePath::parse("out").expect("path"), 3);
        let (done, facts) = deliver_all(&|| server.connect(), more, files, LARGE, &|| false);
        assert!(matches!(done, Ok(BatchOutcome::Delivered)), "{done:?}");
        assert_complete(&facts, &["p01.dat", "m01.txt"].map(str::to_owned));
        let begun: Vec<&String> = facts.iter().map(|(name, _)| name).filter(|name| !name.contains("01")).collect();
        assert!(begun.is_empty(), "{begun:?}");
        assert_eq!(server.world().files.len(), 2);
    }
}
