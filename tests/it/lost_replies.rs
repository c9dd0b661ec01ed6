//! Deliveries to a server that lies, stalls and drops replies.

use crate::delivering::{deliver, file, how, proved};
use crate::scripted_server::{Quirk, ScriptedServer};
use hourdrop::deliver::{DeliverFault, FileToDeliver, InDoubtRule, TemporaryPlace};
use hourdrop::domain::delivery::{Attempt, ContentCheck, DeliveryFact, FileState, HeldReason, Verified};
use hourdrop::remote::{FaultKind, Outcome, RemotePath, SizeSource};
use std::convert::Infallible;
use std::time::{Duration, Instant};

const CONTENT: &[u8] = b"ten bytes.";
const FINAL: &str = "out/a.dat";

fn the_file() -> FileToDeliver {
    file(&RemotePath::parse("out").expect("path"), "a.dat", CONTENT.len())
}

/// The last state, the facts and the faults of a delivery.
struct Run {
    state: FileState,
    facts: Vec<DeliveryFact>,
    faults: Vec<String>,
}

/// Delivers with a new session after every fault, as an exporter would.
fn exporter(server: &ScriptedServer) -> Run {
    exporter_of(server, &the_file())
}

fn exporter_of(server: &ScriptedServer, file: &FileToDeliver) -> Run {
    let mut run = Run { state: file.state.clone(), facts: Vec::new(), faults: Vec::new() };
    for _ in 0..6 {
        let mut session = match server.connect() {
            Ok(session) => session,
            Err(fault) => {
                run.faults.push(fault.to_string());
                continue;
            }
        };
        let file = FileToDeliver { state: run.state.clone(), ..file.clone() };
        let (outcome, facts) = deliver(session.as_mut(), &file, CONTENT);
        run.state = facts.iter().try_fold(run.state, FileState::apply).expect("facts fit the state");
        run.facts.extend(facts);
        match outcome {
            Ok(state) => {
                assert_eq!(state, run.state, "what is returned is what was recorded");
                break;
            }
            Err(fault) => run.faults.push(fault.to_string()),
        }
    }
    run
}

/// The file was shown once, whole, and nothing of ours is left beside it.
fn assert_shown_once(server: &ScriptedServer) {
    let world = server.world();
    assert_eq!(world.shown, [(FINAL.to_owned(), CONTENT.to_vec())]);
    let leftover: Vec<&String> = world.files.keys().filter(|name| name.as_str() != FINAL).collect();
    assert!(leftover.is_empty(), "{leftover:?}");
}

#[test]
fn every_lost_reply_and_lie_ends_in_one_whole_file() {
    use Verified::{Reply, ReplyAndSize, SeenAfterLostReply};
    let schedules = [
        (Quirk::Nothing, ReplyAndSize, 0),
        (Quirk::DropBeforeRename, ReplyAndSize, 1),
        (Quirk::DropAfterRename, SeenAfterLostReply, 1),
        (Quirk::HangBeforeRename, ReplyAndSize, 1),
        (Quirk::HangAfterRename, SeenAfterLostReply, 1),
        (Quirk::CloseAtRename, SeenAfterLostReply, 1),
        (Quirk::RefuseRename, ReplyAndSize, 1),
        (Quirk::PickupAtOnce, Reply, 0),
        (Quirk::DropAfterStore, ReplyAndSize, 1),
        (Quirk::TruncateStore, ReplyAndSize, 1),
        (Quirk::LateSize, ReplyAndSize, 0),
        (Quirk::BreakStore, ReplyAndSize, 1),
        (Quirk::Full, ReplyAndSize, 1),
        (Quirk::LimitAtLogin, ReplyAndSize, 1),
        (Quirk::HangAtGreeting, ReplyAndSize, 1),
        (Quirk::HangAtSize, ReplyAndSize, 1),
        (Quirk::RefuseEpsv, ReplyAndSize, 0),
        (Quirk::WrongAddress, ReplyAndSize, 0),
        (Quirk::NoSize, ReplyAndSize, 0),
    ];
    for (quirk, expected, faults) in schedules {
        let server = ScriptedServer::start(quirk, if quirk == Quirk::LateSize { 2 } else { 1 });
        let run = exporter(&server);
        assert_eq!(how(&run.state), Some(expected), "{quirk:?}: {:?} {:?}", run.facts, run.faults);
        assert_eq!(run.faults.len(), faults, "{quirk:?}: {:?}", run.faults);
        assert_shown_once(&server);
    }
}

#[test]
fn two_faults_in_a_row_change_nothing() {
    for quirk in [Quirk::DropBeforeRename, Quirk::HangBeforeRename, Quirk::TruncateStore, Quirk::DropAfterStore] {
        let server = ScriptedServer::start(quirk, 2);
        let run = exporter(&server);
        assert_eq!(how(&run.state), Some(Verified::ReplyAndSize), "{quirk:?}: {:?}", run.faults);
        assert_eq!(run.faults.len(), 2, "{quirk:?}");
        assert_shown_once(&server);
    }
}

#[test]
fn a_file_taken_before_its_lost_reply_waits_for_a_person() {
    let server = ScriptedServer::start(Quirk::DropAfterRenameAndPickup, 1);
    let run = exporter(&server);
    assert!(matches!(run.state, FileState::Held { reason: HeldReason::InDoubt, .. }), "{:?}", run.state);
    let world = server.world();
    assert_eq!(world.shown.len(), 1);
    assert!(world.files.is_empty(), "{:?}", world.files.keys());
}

#[test]
fn a_server_that_lies_about_sizes_never_shows_a_file() {
    let server = ScriptedServer::start(Quirk::LieAboutSize, 1);
    let run = exporter(&server);
    assert!(matches!(run.state, FileState::Pending { .. }), "{:?}", run.state);
    assert!(
        run.faults.iter().all(|fault| fault == "the server confirmed 10 bytes and then states 9"),
        "{:?}",
        run.faults
    );
    let world = server.world();
    assert!(world.shown.is_empty() && world.files.is_empty());
}

#[test]
fn other_bytes_of_the_right_number_are_noticed_by_hash_and_by_reading_back() {
    use ContentCheck::{Hash, ReadBack, Size};
    let garbled = b"en bytes.t".to_vec();
    for (quirk, check, shown, faults) in [
        (Quirk::GarbleStore, Size, garbled, 0),
        (Quirk::GarbleStore, ReadBack, CONTENT.to_vec(), 1),
        (Quirk::GarbleStoreAndHash, ReadBack, CONTENT.to_vec(), 1),
        (Quirk::GarbleStoreAndHash, Hash, CONTENT.to_vec(), 1),
    ] {
        let server = ScriptedServer::start(quirk, 1);
        let run = exporter_of(&server, &proved(&RemotePath::parse("out").expect("path"), "a.dat", CONTENT, check));
        assert_eq!(how(&run.state), Some(check.evidence()), "{quirk:?} {check:?}: {:?}", run.faults);
        assert_eq!(run.faults.len(), faults, "{quirk:?} {check:?}: {:?}", run.faults);
        assert!(run.faults.iter().all(|fault| fault.contains("holds other bytes: SHA-256")), "{:?}", run.faults);
        let world = server.world();
        assert_eq!((&world.shown[..], world.files.len()), (&[(FINAL.to_owned(), shown)][..], 1), "{quirk:?} {check:?}");
    }
    // No hash: nothing is sent, and nothing weaker is done instead.
    let server = ScriptedServer::start(Quirk::GarbleStore, 1);
    let run = exporter_of(&server, &proved(&RemotePath::parse("out").expect("path"), "a.dat", CONTENT, Hash));
    assert_eq!(run.state, FileState::default());
    assert!(run.faults.iter().all(|fault| fault.contains("states no SHA-256")), "{:?}", run.faults);
    let world = server.world();
    assert!(world.files.is_empty() && !world.commands.iter().any(|command| command.starts_with("STOR")));
}

fn in_place(is_manifest: bool) -> FileToDeliver {
    FileToDeliver { temporary: TemporaryPlace::Nowhere, is_manifest, ..the_file() }
}

#[test]
fn a_server_without_rename_is_told_apart_and_served_without_temporary_names() {
    let server = ScriptedServer::start(Quirk::NoRename, 1);
    let run = exporter(&server);
    assert!(run.faults.iter().all(|fault| fault.starts_with("rename: the server cannot do this")), "{:?}", run.faults);
    // The temporary file that waited for its rename is not left behind.
    let run = exporter_of(&server, &FileToDeliver { state: run.state, ..in_place(false) });
    assert_eq!(how(&run.state), Some(Verified::ReplyAndSize), "{:?}", run.faults);
    assert_eq!(server.world().files.keys().collect::<Vec<_>>(), [FINAL]);
}

#[test]
fn without_rename_lost_replies_and_refusals_end_in_one_whole_file() {
    use Verified::{ReplyAndSize, SeenWhole};
    for is_manifest in [false, true] {
        for (quirk, expected, faults) in [
            (Quirk::NoRename, ReplyAndSize, 0),
            (Quirk::DropAfterStore, SeenWhole, 1),
            (Quirk::NoRenameAndCutStore, ReplyAndSize, 1),
            (Quirk::TruncateStore, ReplyAndSize, 1),
            (Quirk::BreakStore, ReplyAndSize, 1),
            (Quirk::NoRenameAndRefuseStore, ReplyAndSize, 1),
        ] {
            let server = ScriptedServer::start(quirk, 1);
            let run = exporter_of(&server, &in_place(is_manifest));
            assert_eq!(how(&run.state), Some(expected), "{quirk:?}: {:?} {:?}", run.facts, run.faults);
            assert_eq!(run.faults.len(), faults, "{quirk:?}: {:?}", run.faults);
            let world = server.world();
            assert_eq!(world.files.iter().collect::<Vec<_>>(), [(&FINAL.to_owned(), &CONTENT.to_vec())], "{quirk:?}");
            assert!(!world.commands.iter().any(|command| command.starts_with("RNFR")), "{quirk:?}");
        }
    }
}

#[test]
fn without_rename_a_manifest_that_is_gone_is_in_doubt_and_a_part_file_is_sent_again() {
    for (is_manifest, rule, expected) in [
        (true, InDoubtRule::Hold, None),
        (true, InDoubtRule::Resend, Some(Verified::ReplyAndSize)),
        (false, InDoubtRule::Hold, Some(Verified::ReplyAndSize)),
    ] {
        let server = ScriptedServer::start(Quirk::NoRenameAndTakenStore, 1);
        let run = exporter_of(&server, &FileToDeliver { in_doubt: rule, ..in_place(is_manifest) });
        assert_eq!(how(&run.state), expected, "{is_manifest} {rule:?}: {:?}", run.faults);
        let held = matches!(run.state, FileState::Held { reason: HeldReason::InDoubt, .. });
        assert_eq!(held, expected.is_none(), "{is_manifest} {rule:?}: {:?}", run.state);
        assert_eq!(server.world().files.len(), usize::from(!held), "{is_manifest} {rule:?}");
    }
}

#[test]
fn a_directory_that_cannot_be_seen_proves_nothing() {
    let server = ScriptedServer::start(Quirk::DropBox, 1);
    let file = the_file();
    let attempt = Attempt::FIRST;
    let state = FileState::Renaming { attempt, temporary: file.temporary_path(attempt).to_shared() };
    server.world().files.insert(FINAL.to_owned(), CONTENT.to_vec());
    let mut session = server.connect().expect("session");
    let (outcome, facts) = deliver(session.as_mut(), &FileToDeliver { state, ..file }, CONTENT);
    assert!(matches!(outcome, Err(DeliverFault::<Infallible>::Blind { .. })), "{outcome:?}");
    assert!(facts.is_empty());
    let names: Vec<String> = server.world().files.keys().cloned().collect();
    assert_eq!(names, [FINAL], "the probe was removed");
}

#[test]
fn a_server_without_size_and_mlsd_is_asked_for_listings() {
    let server = ScriptedServer::start(Quirk::NoSize, 1);
    server.world().files.insert(FINAL.to_owned(), CONTENT.to_vec());
    let mut session = server.connect().expect("session");
    assert_eq!(session.size(&RemotePath::parse(FINAL).expect("path")), Ok(Some(10)));
    assert_eq!(session.size(&RemotePath::parse("out/none").expect("path")), Ok(None));
    assert_eq!(session.abilities().size, SizeSource::Listing);
}

#[test]
fn after_a_missing_reply_nothing_more_is_sent() {
    let server = ScriptedServer::start(Quirk::HangAtSize, 1);
    let mut session = server.connect().expect("session");
    let path = RemotePath::parse(FINAL).expect("path");
    let begun = Instant::now();
    let fault = session.size(&path).expect_err("no reply");
    assert_eq!((fault.kind, fault.operation, fault.reply), (FaultKind::Timeout, "size", None));
    assert!(begun.elapsed() < Duration::from_secs(5), "took {:?}", begun.elapsed());
    let sent = server.world().commands.len();
    let refusals = [
        session.size(&path).map(drop),
        session.remove(&path),
        session.rename(&path, &path),
        session.list(&path.parent()).map(drop),
        session.upload(&path, &mut &b""[..], 0, &mut |_| ()),
        session.create_dir(&path.parent()),
    ];
    for refusal in refusals {
        let fault = refusal.expect_err("a refusal");
        assert_eq!((fault.kind, fault.outcome), (FaultKind::Unreachable, Outcome::NotDone), "{fault}");
    }
    drop(session);
    assert_eq!(server.world().commands.len(), sent);
}

#[test]
fn a_rename_without_reply_has_an_unknown_outcome() {
    for quirk in [Quirk::DropBeforeRename, Quirk::DropAfterRename, Quirk::HangAfterRename, Quirk::CloseAtRename] {
        let server = ScriptedServer::start(quirk, 1);
        server.world().files.insert("out/x.tmp".to_owned(), CONTENT.to_vec());
        let path = |text| RemotePath::parse(text).expect("path");
        let fault = server.connect().expect("session").rename(&path("out/x.tmp"), &path(FINAL)).expect_err("a fault");
        assert_eq!(fault.outcome, Outcome::Unknown, "{quirk:?}: {fault}");
    }
}

#[test]
fn the_true_reason_of_a_broken_upload_is_learnt() {
    let server = ScriptedServer::start(Quirk::BreakStore, 1);
    let path = RemotePath::parse("out/x.tmp").expect("path");
    // More than the socket buffers hold, so that writing fails before the end.
    let content = vec![7u8; 32 << 20];
    let fault = server
        .connect()
        .expect("session")
        .upload(&path, &mut &content[..], 32 << 20, &mut |_| ())
        .expect_err("a fault");
    assert_eq!((fault.kind, fault.reply.map(|(code, _)| code)), (FaultKind::DiskFull, Some(451)));
}

#[test]
fn a_refused_login_is_told_from_a_limit_and_never_repeats_the_password() {
    let kind = |quirk| ScriptedServer::start(quirk, 1).connect().map(drop).expect_err("refused");
    assert_eq!(kind(Quirk::LimitAtLogin).kind, FaultKind::Busy);
    assert_eq!(kind(Quirk::Full).kind, FaultKind::Busy);
    let shouted = kind(Quirk::ShoutPassword);
    assert_eq!(shouted.kind, FaultKind::Auth);
    let text = format!("{shouted} {shouted:?}");
    assert!(!text.contains("hunter2") && !text.chars().any(char::is_control), "{text}");
}
