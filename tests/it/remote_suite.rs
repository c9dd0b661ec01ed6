//! The same cases over every adapter and every real server.

use crate::delivering::{deliver, deliver_files, file, how, proved};
use crate::servers::{Certificates, SshKeys, TestServer, free_port, ftp};
use hourdrop::clock::{Clock, SystemClock};
use hourdrop::deliver::{BatchOutcome, DeliverFault, FileToDeliver, InDoubtRule, TemporaryPlace};
use hourdrop::disk::RealDisk;
use hourdrop::domain::delivery::{Attempt, ContentCheck, DeliveryFact, FileState, HeldReason, Verified};
use hourdrop::domain::ids::{FileName, Sha256Digest};
use hourdrop::domain::time::Length;
use hourdrop::remote::endpoint::{FtpEndpoint, HostKeys, Protection, SftpEndpoint, SftpLogin};
use hourdrop::remote::hashing::HashingSink;
use hourdrop::remote::tls::{TlsRules, Trust};
use hourdrop::remote::{
    Deadlines, Endpoint, EntryKind, FaultKind, Outcome, Remote, RemoteFault, RemotePath, SizeSource,
};
use sha2::{Digest, Sha256};
use std::convert::Infallible;
use std::fs;
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A directory of one case on one server.
struct Ground<'a> {
    server: &'a TestServer,
    directory: RemotePath,
    files: PathBuf,
}

type Case = (&'static str, fn(&Ground<'_>));

const CASES: &[Case] = &[
    ("an upload is whole after the rename", an_upload_is_whole_after_the_rename),
    ("a file of no bytes arrives", a_file_of_no_bytes_arrives),
    ("a file of five mebibytes arrives and reports progress", a_large_file_arrives_and_reports_progress),
    ("every byte value arrives unchanged", every_byte_value_arrives_unchanged),
    ("names with spaces and Chinese characters arrive", names_with_spaces_and_chinese_characters_arrive),
    ("names with line ends are refused", names_with_line_ends_are_refused),
    ("directories are created level by level and may exist", directories_are_created_and_may_exist),
    ("a listing shows files and directories", a_listing_shows_files_and_directories),
    ("an empty directory is empty and a missing one is a fault", a_missing_directory_is_not_an_empty_one),
    ("a missing file has no size", a_missing_file_has_no_size),
    ("an upload into a missing directory is refused", an_upload_into_a_missing_directory_is_refused),
    ("a missing file cannot be renamed but may be removed", a_missing_file_cannot_be_renamed_but_may_be_removed),
    ("a body of the wrong length is never shown", a_body_of_the_wrong_length_is_never_shown),
    ("a delivery records every act before and after it", a_delivery_records_every_act),
    ("what lies there is read back byte for byte", what_lies_there_is_read_back),
    ("a file that cannot be taken or is missing ends the reading", a_reading_that_cannot_go_on_ends),
    ("a hash that the server states is the true one", a_hash_that_the_server_states_is_true),
    ("a file is proved by its bytes where the partner wants it", a_file_is_proved_by_its_bytes),
    ("a foreign file under the final name stays as it is", a_foreign_file_stays_as_it_is),
    ("a batch arrives in order with its manifest last", a_batch_arrives_in_order),
    ("a batch stops at the first file that is held", a_batch_stops_at_the_first_held_file),
    ("an interrupted upload begins anew", an_interrupted_upload_begins_anew),
    ("an uploaded file is renamed after a restart", an_uploaded_file_is_renamed_after_a_restart),
    ("an uploaded file that shrank is sent again", an_uploaded_file_that_shrank_is_sent_again),
    ("a rename that was not carried out is done again", a_rename_that_was_not_carried_out_is_done_again),
    ("a rename that was carried out is seen", a_rename_that_was_carried_out_is_seen),
    ("another file under the final name is a conflict", another_file_under_the_final_name_is_a_conflict),
    ("both names after an earlier rename are one delivery", both_names_after_an_earlier_rename),
    ("neither name is in doubt and leaves nothing behind", neither_name_is_in_doubt),
    ("the table of doubt holds under both rules", the_table_of_doubt_holds),
    ("the table of servers without rename holds", the_table_without_rename_holds),
    ("a private temporary directory settles what is gone", a_private_temporary_directory_settles),
    ("forty files go over one session", forty_files_go_over_one_session),
];

fn run_all(mut server: TestServer) {
    let mut failed = Vec::new();
    for (number, (name, case)) in CASES.iter().enumerate() {
        let part = FileName::parse(&format!("case {number}")).expect("name");
        let ground =
            Ground { directory: server.base.join(&part), files: server.files.join(part.as_str()), server: &server };
        ground.session().create_dir(&ground.directory).expect("directory of the case");
        if catch_unwind(AssertUnwindSafe(|| case(&ground))).is_err() {
            failed.push(*name);
        }
    }
    assert!(server.is_running(), "{} has ended", server.name);
    assert!(failed.is_empty(), "{} of {} cases failed on {}: {failed:#?}", failed.len(), CASES.len(), server.name);
}

#[test]
fn every_case_holds_on_a_local_directory() {
    run_all(TestServer::local_dir());
}

#[test]
fn every_case_holds_on_the_demonstration_server() {
    run_all(TestServer::demo());
}

#[test]
fn every_case_holds_on_the_built_in_server_with_tls() {
    run_all(TestServer::demo_tls(&Certificates::for_this_machine()));
}

#[test]
fn every_case_holds_on_vsftpd() {
    run_all(TestServer::vsftpd());
}

#[test]
fn every_case_holds_on_proftpd() {
    run_all(TestServer::proftpd());
}

#[test]
fn every_case_holds_on_proftpd_that_states_hashes() {
    run_all(TestServer::proftpd_with_hashes());
}

#[test]
fn every_case_holds_on_pure_ftpd() {
    run_all(TestServer::pure_ftpd());
}

#[test]
fn every_case_holds_on_vsftpd_with_tls() {
    run_all(TestServer::vsftpd_tls(&Certificates::for_this_machine()));
}

#[test]
fn every_case_holds_on_vsftpd_with_tls_from_the_first_byte() {
    run_all(TestServer::vsftpd_implicit(&Certificates::for_this_machine()));
}

#[test]
fn every_case_holds_on_proftpd_with_tls() {
    run_all(TestServer::proftpd_tls(&Certificates::for_this_machine()));
}

#[test]
fn every_case_holds_on_pure_ftpd_with_tls() {
    run_all(TestServer::pure_ftpd_tls(&Certificates::for_this_machine()));
}

#[test]
fn every_case_holds_on_openssh() {
    run_all(TestServer::openssh(&SshKeys::of_kinds(&["ed25519"])));
}

fn as_sftp(endpoint: &Endpoint) -> SftpEndpoint {
    let Endpoint::Sftp(sftp) = endpoint.clone() else { panic!("an SFTP server") };
    sftp
}

#[test]
fn a_key_logs_in_and_a_wrong_one_is_refused() {
    let keys = SshKeys::of_kinds(&["ed25519"]);
    let server = TestServer::openssh(&keys);
    let with = |key: &std::path::Path| {
        let login = SftpLogin::Key(key.to_owned());
        connect(&Endpoint::Sftp(SftpEndpoint { login, ..as_sftp(&server.endpoint) }))
    };
    with(&keys.login).expect("the right key");
    for (key, said) in [(&keys.host[0], "accepts: publickey, password"), (&"/nowhere".into(), "/nowhere")] {
        let fault = with(key).map(drop).expect_err("refused");
        assert!(fault.kind == FaultKind::Auth && fault.to_string().contains(said), "{fault}");
    }
}

#[test]
fn a_host_key_that_is_not_known_gets_no_password_and_is_named() {
    let (keys, others) = (SshKeys::of_kinds(&["ed25519", "ecdsa", "rsa"]), SshKeys::of_kinds(&["ed25519"]));
    let server = TestServer::openssh(&keys);
    let port = as_sftp(&server.endpoint).port;
    let with = |host_keys: HostKeys| connect(&Endpoint::Sftp(SftpEndpoint { host_keys, ..as_sftp(&server.endpoint) }));
    // Any one of its keys is enough, whichever the server would show first; so is one of several pins.
    for print in keys.fingerprints() {
        with(HostKeys::Pinned(vec![others.fingerprints().remove(0), print])).expect("a key that is pinned");
    }
    for kind in ["ed25519", "ecdsa", "rsa"] {
        with(HostKeys::KnownHosts(keys.known_hosts(port, &[kind]))).expect("a key that is known");
    }
    let refused = [
        HostKeys::Pinned(others.fingerprints()),
        HostKeys::Pinned(Vec::new()),
        HostKeys::KnownHosts(others.known_hosts(port, &["ed25519"])),
        HostKeys::KnownHosts(keys.known_hosts(port + 1, &["ed25519"])),
        HostKeys::KnownHosts("/nowhere/known_hosts".into()),
    ];
    for (number, host_keys) in refused.into_iter().enumerate() {
        let fault = with(host_keys).map(drop).expect_err("refused");
        assert_eq!((fault.kind, fault.operation), (FaultKind::HostKey, "connect"), "{number}: {fault}");
        let names_all = keys.fingerprints().iter().all(|print| fault.to_string().contains(print));
        assert!(names_all || number > 2, "what it shows is named: {fault}");
    }
}

/// The endpoint of a server with TLS, with other rules.
fn with_rules(server: &TestServer, rules: TlsRules) -> Endpoint {
    let Endpoint::Ftp(ftp) = server.endpoint.clone() else { panic!("an FTP server") };
    Endpoint::Ftp(FtpEndpoint { protection: Protection::Explicit(rules), ..ftp })
}

#[test]
fn a_server_that_does_not_prove_who_it_is_gets_no_password() {
    let (ours, theirs) = (Certificates::for_this_machine(), Certificates::for_this_machine());
    let elsewhere = Certificates::for_names(&["ftp.elsewhere.example"]);
    let fault_of = |server: &TestServer, trust: Trust| {
        let fault = connect(&with_rules(server, TlsRules { trust, ..TlsRules::default() })).map(drop);
        let fault = fault.expect_err("refused");
        assert_eq!(
            (fault.kind, fault.operation, fault.outcome),
            (FaultKind::Tls, "connect", Outcome::NotDone),
            "{fault}"
        );
        fault.to_string()
    };
    let server = TestServer::pure_ftpd_tls(&ours);
    fault_of(&server, Trust::System);
    fault_of(&server, Trust::Authority(theirs.authority.clone()));
    fault_of(&server, Trust::Authority("/nowhere/ca.pem".into()));
    let said = fault_of(&server, Trust::Pinned(vec![theirs.fingerprint]));
    assert!(said.contains(&ours.fingerprint.to_string()), "what to pin is named: {said}");
    let pinned = Trust::Pinned(vec![theirs.fingerprint, ours.fingerprint]);
    connect(&with_rules(&server, TlsRules { trust: pinned, ..TlsRules::default() })).expect("one of two pins");
    let server = TestServer::pure_ftpd_tls(&elsewhere);
    let trust = || Trust::Authority(elsewhere.authority.clone());
    fault_of(&server, trust());
    let name = Some("ftp.elsewhere.example".to_owned());
    connect(&with_rules(&server, TlsRules { trust: trust(), name, ..TlsRules::default() })).expect("the right name");
}

#[test]
fn a_server_without_tls_is_refused_before_the_login() {
    for server in [TestServer::vsftpd(), TestServer::proftpd(), TestServer::pure_ftpd()] {
        let fault = connect(&with_rules(&server, TlsRules::default())).map(drop).expect_err("refused");
        assert_eq!(fault.kind, FaultKind::Tls, "{}: {fault}", server.name);
        assert!(fault.to_string().contains("refuses TLS"), "{}: {fault}", server.name);
    }
}

#[test]
fn a_wrong_password_is_told_from_other_faults_and_appears_nowhere() {
    let keys = SshKeys::of_kinds(&["ed25519"]);
    let ftp = [TestServer::demo(), TestServer::vsftpd(), TestServer::proftpd(), TestServer::pure_ftpd()];
    for server in ftp.into_iter().chain([TestServer::openssh(&keys)]) {
        let wrong = server.wrong_login.as_ref().expect("a login");
        let fault = connect(wrong).map(drop).expect_err("refused");
        assert_eq!((fault.kind, fault.operation), (FaultKind::Auth, "login"), "{}: {fault}", server.name);
        assert!(!format!("{fault} {fault:?} {wrong} {wrong:?}").contains("testpass"), "{}", server.name);
    }
}

#[test]
fn a_port_that_nobody_listens_on_is_unreachable_at_once() {
    let begun = Instant::now();
    let fault = connect(&ftp(free_port(), "x")).map(drop).expect_err("refused");
    assert_eq!((fault.kind, fault.outcome), (FaultKind::Unreachable, Outcome::NotDone), "{fault}");
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_password_read_with_its_line_end_is_explained() {
    let server = TestServer::demo();
    let Endpoint::Ftp(account) = server.endpoint.clone() else { panic!("an FTP server") };
    let fault = connect(&ftp(account.port, "testpass\n")).map(drop).expect_err("refused");
    assert!(fault.kind == FaultKind::Auth && fault.to_string().contains("line end"), "{fault}");
}

fn deadlines() -> Deadlines {
    Deadlines {
        connect: Length::from_seconds(10),
        command: Length::from_seconds(40),
        transfer_idle: Length::from_seconds(10),
        ..Deadlines::default()
    }
}

fn connect(endpoint: &Endpoint) -> Result<Box<dyn Remote>, RemoteFault> {
    endpoint.connect(&deadlines(), Arc::new(RealDisk))
}

fn held(state: &FileState) -> Option<HeldReason> {
    match state {
        FileState::Held { reason, .. } => Some(*reason),
        _ => None,
    }
}

impl Ground<'_> {
    fn session(&self) -> Box<dyn Remote> {
        connect(&self.server.endpoint).expect("session")
    }

    fn path(&self, name: &str) -> RemotePath {
        self.directory.join(&FileName::parse(name).expect("name"))
    }

    fn file(&self, name: &str, bytes: usize) -> FileToDeliver {
        file(&self.directory, name, bytes)
    }

    /// The file in a state after a crash in its first attempt.
    fn file_in(&self, name: &str, bytes: usize, state: fn(Attempt, Arc<str>) -> FileState) -> FileToDeliver {
        let file = self.file(name, bytes);
        let temporary = file.temporary_path(Attempt::FIRST).to_shared();
        FileToDeliver { state: state(Attempt::FIRST, temporary), ..file }
    }

    /// Puts a file there as somebody else would.
    fn put(&self, name: &str, content: &[u8]) {
        fs::File::create(self.files.join(name)).and_then(|mut file| file.write_all(content)).expect("file");
    }

    fn read(&self, name: &str) -> Option<Vec<u8>> {
        fs::read(self.files.join(name)).ok()
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.files).expect("directory");
        let mut names: Vec<String> =
            entries.map(|entry| entry.expect("entry").file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    fn deliver(&self, file: &FileToDeliver, content: &[u8]) -> (FileState, Vec<DeliveryFact>) {
        let (state, facts) = deliver(self.session().as_mut(), file, content);
        (state.expect("delivery"), facts)
    }

    fn arrives(&self, name: &str, content: &[u8]) {
        let (state, _) = self.deliver(&self.file(name, content.len()), content);
        assert_eq!(how(&state), Some(Verified::ReplyAndSize));
        assert!(self.read(name).as_deref() == Some(content), "{name} has other bytes");
        assert_eq!(self.names(), [name]);
    }
}

fn uploading(attempt: Attempt, temporary: Arc<str>) -> FileState {
    FileState::Uploading { attempt, temporary }
}

fn uploaded(attempt: Attempt, temporary: Arc<str>) -> FileState {
    FileState::Uploaded { attempt, temporary }
}

fn renaming(attempt: Attempt, temporary: Arc<str>) -> FileState {
    FileState::Renaming { attempt, temporary }
}

fn names_of(facts: &[DeliveryFact]) -> Vec<&'static str> {
    facts.iter().map(DeliveryFact::name).collect()
}

const FIRST: &str = "a.dat.0123abcd-1.tmp";

fn an_upload_is_whole_after_the_rename(ground: &Ground<'_>) {
    let mut session = ground.session();
    let (temporary, last) = (ground.path("a.tmp"), ground.path("a.dat"));
    session.upload(&temporary, &mut &b"hello"[..], 5, &mut |_| ()).expect("upload");
    assert_eq!(session.size(&temporary), Ok(Some(5)));
    assert_eq!(session.size(&last), Ok(None));
    session.rename(&temporary, &last).expect("rename");
    assert_eq!((session.size(&temporary), session.size(&last)), (Ok(None), Ok(Some(5))));
    assert_eq!(session.abilities().size, SizeSource::Command);
    assert_eq!((ground.names(), ground.read("a.dat")), (vec!["a.dat".to_owned()], Some(b"hello".to_vec())));
}

fn a_file_of_no_bytes_arrives(ground: &Ground<'_>) {
    ground.arrives("empty.dat", b"");
}

fn a_large_file_arrives_and_reports_progress(ground: &Ground<'_>) {
    let content: Vec<u8> =
        (0..5 * 1024 * 1024 + 3).map(|n: u32| n.to_le_bytes()[usize::from(n.is_multiple_of(3))]).collect();
    ground.arrives("large.dat", &content);
    let mut reported = Vec::new();
    let bytes = u64::try_from(content.len()).expect("size");
    ground
        .session()
        .upload(&ground.path("again.tmp"), &mut &content[..], bytes, &mut |sent| reported.push(sent))
        .expect("upload");
    assert_eq!(reported.last(), Some(&bytes));
    assert!(reported.len() > 10 && reported.is_sorted());
}

fn every_byte_value_arrives_unchanged(ground: &Ground<'_>) {
    let mut content: Vec<u8> = (0..=255).collect();
    content.extend_from_slice(b"\r\n\n\r\x1a\0\xff\xff\xf4\r\n");
    ground.arrives("bytes.dat", &content);
}

fn names_with_spaces_and_chinese_characters_arrive(ground: &Ground<'_>) {
    let mut session = ground.session();
    for name in ["话单 2026.dat", "a b  c.dat", "100%_[x]{y}~'&;.dat"] {
        let (state, _) = deliver(session.as_mut(), &ground.file(name, 2), b"ok");
        assert_eq!(how(&state.expect("delivery")), Some(Verified::ReplyAndSize), "{name}");
        assert_eq!(ground.read(name).as_deref(), Some(&b"ok"[..]), "{name}");
        let listed = session.list(&ground.directory).expect("list");
        assert!(listed.iter().any(|entry| entry.name == name), "{name} is not in {listed:?}");
    }
}

fn names_with_line_ends_are_refused(ground: &Ground<'_>) {
    ground.put("victim", b"x");
    for text in ["a\r\nDELE victim", "a\nDELE victim", "a\0"] {
        assert!(RemotePath::parse(&format!("{}/{text}", ground.directory)).is_err());
        assert!(FileName::parse(text).is_err());
    }
    assert_eq!(ground.names(), ["victim"]);
}

fn directories_are_created_and_may_exist(ground: &Ground<'_>) {
    let mut session = ground.session();
    let deep = RemotePath::parse(&format!("{}/one/two three/四", ground.directory)).expect("path");
    for _ in 0..2 {
        session.create_dir(&deep).expect("create");
    }
    assert!(ground.files.join("one/two three/四").is_dir());
    // The session is where it was: relative paths still lead to the same place.
    assert_eq!(session.list(&deep), Ok(Vec::new()));
    session.upload(&ground.path("a.tmp"), &mut &b"x"[..], 1, &mut |_| ()).expect("upload");
    assert_eq!(ground.names(), ["a.tmp", "one"]);
    let below_a_file = RemotePath::parse(&format!("{}/a.tmp/x", ground.directory)).expect("path");
    assert!(session.create_dir(&below_a_file).is_err());
}

fn a_listing_shows_files_and_directories(ground: &Ground<'_>) {
    ground.put("a 1.dat", b"12345");
    fs::create_dir(ground.files.join("sub")).expect("directory");
    let mut session = ground.session();
    let mut entries = session.list(&ground.directory).expect("list");
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    let names: Vec<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
    assert_eq!(names, ["a 1.dat", "sub"]);
    if session.abilities().detailed_listing {
        assert_eq!((entries[0].kind, entries[0].bytes), (EntryKind::File, Some(5)));
        assert_eq!(entries[1].kind, EntryKind::Directory);
        let age = entries[0].modified.map(|modified| SystemClock.now().since(modified).seconds());
        assert!(age.is_some_and(|seconds| seconds < 600), "{age:?} s old");
    }
}

fn a_missing_directory_is_not_an_empty_one(ground: &Ground<'_>) {
    let mut session = ground.session();
    assert_eq!(session.list(&ground.directory), Ok(Vec::new()));
    let fault = session.list(&ground.path("missing")).expect_err("a fault");
    assert_eq!((fault.kind, fault.outcome), (FaultKind::NotFound, Outcome::NotDone), "{fault}");
}

fn a_missing_file_has_no_size(ground: &Ground<'_>) {
    let mut session = ground.session();
    assert_eq!(session.size(&ground.path("missing.dat")), Ok(None));
    ground.put("there.dat", b"123");
    assert_eq!(session.size(&ground.path("there.dat")), Ok(Some(3)));
}

fn an_upload_into_a_missing_directory_is_refused(ground: &Ground<'_>) {
    let path = RemotePath::parse(&format!("{}/missing/a.tmp", ground.directory)).expect("path");
    let fault = ground.session().upload(&path, &mut &b"x"[..], 1, &mut |_| ()).expect_err("a fault");
    assert!(matches!(fault.kind, FaultKind::Denied | FaultKind::NotFound), "{fault}");
    assert_eq!(fault.outcome, Outcome::NotDone);
}

fn a_missing_file_cannot_be_renamed_but_may_be_removed(ground: &Ground<'_>) {
    let mut session = ground.session();
    session.remove(&ground.path("missing")).expect("nothing to remove");
    ground.put("there", b"x");
    session.remove(&ground.path("there")).expect("removed");
    let fault = session.rename(&ground.path("missing"), &ground.path("x")).expect_err("a fault");
    assert_eq!(fault.outcome, Outcome::NotDone, "{fault}");
    assert!(ground.names().is_empty());
}

fn a_body_of_the_wrong_length_is_never_shown(ground: &Ground<'_>) {
    for (name, bytes) in [("a.dat", 4), ("b.dat", 6)] {
        let file = ground.file(name, bytes);
        let (state, facts) = deliver(ground.session().as_mut(), &file, b"hello");
        assert!(matches!(state, Err(DeliverFault::Remote(RemoteFault { kind: FaultKind::Io, .. }))), "{state:?}");
        assert_eq!(names_of(&facts), ["upload-intended"]);
        assert_eq!(ground.read(name), None);
    }
}

fn a_delivery_records_every_act(ground: &Ground<'_>) {
    let (state, facts) = ground.deliver(&ground.file("a.dat", 5), b"hello");
    assert_eq!(names_of(&facts), ["upload-intended", "upload-verified", "rename-intended", "rename-confirmed"]);
    let FileState::Delivered { proof } = &state else { panic!("{state:?}") };
    assert_eq!((&*proof.name, proof.bytes), (ground.path("a.dat").as_str(), 5));
    let rebuilt = facts.iter().try_fold(FileState::default(), FileState::apply);
    assert_eq!(rebuilt, Ok(state));
}

/// Every byte value, over the end of what is read ahead.
fn long_content() -> Vec<u8> {
    (0..2_500_000u32).map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect()
}

fn what_lies_there_is_read_back(ground: &Ground<'_>) {
    let long = long_content();
    let mut session = ground.session();
    for (name, content) in [("empty", &b""[..]), ("line ends", b"\r\n\n\r\x1a\0\xff\xff\xf4\r\n"), ("long", &long)] {
        ground.put(name, content);
        let mut read = Vec::new();
        let count = session.read(&ground.path(name), &mut read);
        assert!(read == content, "{name}: other bytes");
        assert_eq!(count, Ok(u64::try_from(content.len()).expect("size")), "{name}");
    }
    // The session goes on.
    assert_eq!(session.size(&ground.path("long")), Ok(Some(2_500_000)));
}

fn a_reading_that_cannot_go_on_ends(ground: &Ground<'_>) {
    let fault = ground.session().read(&ground.path("missing"), &mut io::sink()).expect_err("a fault");
    assert_eq!((fault.kind, fault.outcome), (FaultKind::NotFound, Outcome::NotDone), "{fault}");
    ground.put("long", &long_content());
    let mut session = ground.session();
    let fault = session.read(&ground.path("long"), &mut HashingSink::new(100)).expect_err("a fault");
    assert_eq!((fault.kind, fault.outcome), (FaultKind::Io, Outcome::NotDone), "{fault}");
    assert!(fault.to_string().contains("more than the expected 100 bytes"), "{fault}");
}

fn a_hash_that_the_server_states_is_true(ground: &Ground<'_>) {
    let mut session = ground.session();
    for (name, content) in [("a b.dat", &b"hello"[..]), ("empty", b""), ("long", &long_content())] {
        ground.put(name, content);
        let bytes = u64::try_from(content.len()).expect("size");
        let told = session.server_hash(&ground.path(name), bytes).expect("an answer");
        assert!(told.is_none_or(|told| told == Sha256Digest(Sha256::digest(content).into())), "{name}: {told:?}");
        assert_eq!(told.is_some(), ground.server.states_hashes(), "{name}");
    }
}

fn a_file_is_proved_by_its_bytes(ground: &Ground<'_>) {
    let content = long_content();
    let checks = [("r.dat", ContentCheck::ReadBack), ("h.dat", ContentCheck::Hash)];
    for (name, check) in checks {
        let file = proved(&ground.directory, name, &content, check);
        let (state, facts) = deliver(ground.session().as_mut(), &file, &content);
        if check == ContentCheck::Hash && !ground.server.states_hashes() {
            let Err(DeliverFault::Remote(fault)) = state else { panic!("{state:?}") };
            assert_eq!((fault.kind, facts.len()), (FaultKind::Unsupported, 0), "{fault}");
            assert!(fault.to_string().contains("verify = \"read-back\""), "{fault}");
            assert_eq!(ground.names(), ["r.dat"], "nothing was sent");
            continue;
        }
        assert_eq!(how(&state.expect("delivery")), Some(check.evidence()), "{name}");
        assert!(ground.read(name).as_deref() == Some(&content[..]), "{name} has other bytes");
        // After a crash the bytes are compared again: others of the same size are not shown.
        for state in [uploaded, renaming] {
            ground.session().remove(&file.final_path()).expect("taken");
            let temporary = file.temporary_path(Attempt::FIRST);
            ground.put(temporary.name(), &vec![0; content.len()]);
            let state = state(Attempt::FIRST, temporary.to_shared());
            let (state, facts) = ground.deliver(&FileToDeliver { state, ..file.clone() }, &content);
            assert!(matches!(facts.first(), Some(DeliveryFact::UploadAbandoned | DeliveryFact::Spoilt)), "{facts:?}");
            assert_eq!(how(&state), Some(check.evidence()), "{name}");
            assert!(ground.read(name).as_deref() == Some(&content[..]), "{name} has other bytes");
        }
    }
}

fn a_foreign_file_stays_as_it_is(ground: &Ground<'_>) {
    // The same size as ours: size is no proof of origin.
    ground.put("a.dat", b"other");
    let (state, facts) = ground.deliver(&ground.file("a.dat", 5), b"hello");
    assert_eq!(held(&state), Some(HeldReason::Conflict));
    assert_eq!(facts.last(), Some(&DeliveryFact::Conflict { found_bytes: Some(5) }));
    assert_eq!((ground.names(), ground.read("a.dat")), (vec!["a.dat".to_owned()], Some(b"other".to_vec())));
}

fn batch(ground: &Ground<'_>) -> (Result<BatchOutcome, String>, Vec<String>) {
    let parts = vec![ground.file("p1.dat", 2), ground.file("p2.dat", 2)];
    let manifest = ground.file("m.txt", 2);
    let told = Mutex::new(Vec::new());
    let record = |facts: &[(&FileToDeliver, DeliveryFact)]| {
        let named = facts.iter().map(|(file, fact)| format!("{} {}", file.name, fact.name()));
        told.lock().expect("lock").extend(named);
        Ok::<(), Infallible>(())
    };
    let content = |name: &str| name.as_bytes()[..2].to_vec();
    let outcome = deliver_files(ground.session().as_mut(), (parts, manifest), 64, &content, &record);
    (outcome.map_err(|fault| fault.to_string()), told.into_inner().expect("lock"))
}

fn a_batch_arrives_in_order(ground: &Ground<'_>) {
    let (outcome, told) = batch(ground);
    assert_eq!(outcome, Ok(BatchOutcome::Delivered));
    let confirmed: Vec<&str> = told.iter().filter_map(|fact| fact.strip_suffix(" rename-confirmed")).collect();
    assert_eq!(confirmed, ["p1.dat", "p2.dat", "m.txt"]);
    let begun = told.iter().position(|fact| fact == "m.txt upload-intended");
    let last_part = told.iter().position(|fact| fact == "p2.dat rename-confirmed");
    assert!(begun > last_part && last_part.is_some(), "{told:?}");
    assert_eq!(ground.names(), ["m.txt", "p1.dat", "p2.dat"]);
}

fn a_batch_stops_at_the_first_held_file(ground: &Ground<'_>) {
    ground.put("p1.dat", b"foreign");
    let (outcome, told) = batch(ground);
    assert!(matches!(outcome, Ok(BatchOutcome::Stopped { name, .. }) if name.as_str() == "p1.dat"));
    assert!(told.iter().all(|fact| fact.starts_with("p1.dat")), "{told:?}");
    assert_eq!(ground.names(), ["p1.dat"]);
}

fn an_interrupted_upload_begins_anew(ground: &Ground<'_>) {
    ground.put(FIRST, b"hel");
    let (state, facts) = ground.deliver(&ground.file_in("a.dat", 5, uploading), b"hello");
    assert_eq!(how(&state), Some(Verified::ReplyAndSize));
    assert_eq!(names_of(&facts)[..2], ["upload-abandoned", "upload-intended"]);
    assert_eq!((ground.names(), ground.read("a.dat")), (vec!["a.dat".to_owned()], Some(b"hello".to_vec())));
}

fn an_uploaded_file_is_renamed_after_a_restart(ground: &Ground<'_>) {
    ground.put(FIRST, b"hello");
    let (state, facts) = ground.deliver(&ground.file_in("a.dat", 5, uploaded), b"other");
    assert_eq!(how(&state), Some(Verified::ReplyAndSize));
    assert_eq!(names_of(&facts), ["rename-intended", "rename-confirmed"]);
    assert_eq!((ground.names(), ground.read("a.dat")), (vec!["a.dat".to_owned()], Some(b"hello".to_vec())));
}

fn an_uploaded_file_that_shrank_is_sent_again(ground: &Ground<'_>) {
    ground.put(FIRST, b"hell");
    let (state, facts) = ground.deliver(&ground.file_in("a.dat", 5, uploaded), b"hello");
    assert_eq!(how(&state), Some(Verified::ReplyAndSize));
    assert_eq!(names_of(&facts)[..2], ["upload-abandoned", "upload-intended"]);
    assert_eq!((ground.names(), ground.read("a.dat")), (vec!["a.dat".to_owned()], Some(b"hello".to_vec())));
}

fn a_rename_that_was_not_carried_out_is_done_again(ground: &Ground<'_>) {
    ground.put(FIRST, b"hello");
    let (state, facts) = ground.deliver(&ground.file_in("a.dat", 5, renaming), b"other");
    assert_eq!(how(&state), Some(Verified::ReplyAndSize));
    assert_eq!(names_of(&facts), ["rename-confirmed"]);
    assert_eq!((ground.names(), ground.read("a.dat")), (vec!["a.dat".to_owned()], Some(b"hello".to_vec())));
}

fn a_rename_that_was_carried_out_is_seen(ground: &Ground<'_>) {
    ground.put("a.dat", b"hello");
    let (state, facts) = ground.deliver(&ground.file_in("a.dat", 5, renaming), b"other");
    assert_eq!(how(&state), Some(Verified::SeenAfterLostReply));
    assert_eq!(names_of(&facts), ["rename-confirmed"]);
    assert_eq!((ground.names(), ground.read("a.dat")), (vec!["a.dat".to_owned()], Some(b"hello".to_vec())));
}

fn another_file_under_the_final_name_is_a_conflict(ground: &Ground<'_>) {
    ground.put("a.dat", b"longer");
    let (state, _) = ground.deliver(&ground.file_in("a.dat", 5, renaming), b"hello");
    assert_eq!(held(&state), Some(HeldReason::Conflict));
    // Both are there, of the same size, but no earlier attempt can have put the one with the final name.
    ground.put("a.dat", b"other");
    ground.put(FIRST, b"hello");
    let (state, _) = ground.deliver(&ground.file_in("a.dat", 5, renaming), b"hello");
    assert_eq!(held(&state), Some(HeldReason::Conflict));
    assert_eq!(ground.read("a.dat").as_deref(), Some(&b"other"[..]));
}

fn both_names_after_an_earlier_rename(ground: &Ground<'_>) {
    let second = Attempt::FIRST.next_after_rename();
    let file = ground.file("a.dat", 5);
    let temporary = file.temporary_path(second).to_shared();
    let states = [
        FileState::Pending { next: second },
        uploaded(second, Arc::clone(&temporary)),
        renaming(second, Arc::clone(&temporary)),
    ];
    for state in states {
        ground.put("a.dat", b"hello");
        ground.put("a.dat.0123abcd-2.tmp", b"hello");
        let pending = matches!(state, FileState::Pending { .. });
        let (state, facts) = ground.deliver(&FileToDeliver { state, ..file.clone() }, b"other");
        assert_eq!(how(&state), Some(Verified::EarlierRename));
        assert_eq!(names_of(&facts), ["rename-confirmed"]);
        assert_eq!(ground.read("a.dat").as_deref(), Some(&b"hello"[..]));
        assert!(pending || ground.names() == ["a.dat"], "{:?}", ground.names());
    }
}

fn neither_name_is_in_doubt(ground: &Ground<'_>) {
    ground.put("unrelated", b"x");
    let (state, facts) = ground.deliver(&ground.file_in("a.dat", 5, renaming), b"hello");
    assert_eq!(held(&state), Some(HeldReason::InDoubt));
    assert_eq!(names_of(&facts), ["in-doubt"]);
    assert_eq!(ground.names(), ["unrelated"]);
    // A person orders to send it again: a new attempt, which knows that a rename was sent before.
    let released = state.apply(&DeliveryFact::Released).expect("legal");
    let (state, _) = ground.deliver(&FileToDeliver { state: released, ..ground.file("a.dat", 5) }, b"hello");
    assert_eq!(how(&state), Some(Verified::ReplyAndSize));
    assert_eq!(ground.names(), ["a.dat", "unrelated"]);
}

/// What lies under the temporary and the final name after a rename of unknown outcome; whether an earlier attempt may
/// have been renamed; and for the rules "hold" and "resend" what becomes of the file, and what lies there then.
type DoubtRow = (Option<&'static str>, Option<&'static str>, bool, [(&'static str, &'static [&'static str]); 2]);

const DONE: &[&str] = &["a.dat hello"];
const DOUBT: [DoubtRow; 8] = [
    (Some("hello"), None, false, [("reply-and-size", DONE), ("reply-and-size", DONE)]),
    (Some("hel"), None, false, [("spoilt, reply-and-size", DONE), ("spoilt, reply-and-size", DONE)]),
    (None, Some("hello"), false, [("seen-after-lost-reply", DONE), ("seen-after-lost-reply", DONE)]),
    (None, Some("others"), false, [("conflict", &["a.dat others"]), ("conflict", &["a.dat others"])]),
    (Some("hello"), Some("hello"), true, [("earlier-rename", DONE), ("earlier-rename", DONE)]),
    (
        Some("hello"),
        Some("other"),
        false,
        [("conflict", &["T hello", "a.dat other"]), ("conflict", &["T hello", "a.dat other"])],
    ),
    (
        Some("hello"),
        Some("others"),
        true,
        [("conflict", &["T hello", "a.dat others"]), ("conflict", &["T hello", "a.dat others"])],
    ),
    (None, None, false, [("in-doubt", &[]), ("resent, reply-and-size", DONE)]),
];

fn the_table_of_doubt_holds(ground: &Ground<'_>) {
    for (row, (temporary, last, exposed, outcomes)) in DOUBT.iter().enumerate() {
        for (rule, (expected, there)) in [InDoubtRule::Hold, InDoubtRule::Resend].into_iter().zip(outcomes) {
            let attempt = Attempt { number: 2, exposed: *exposed };
            let file = FileToDeliver { in_doubt: rule, ..ground.file("a.dat", 5) };
            let path = file.temporary_path(attempt);
            if let Some(content) = temporary {
                ground.put(path.name(), content.as_bytes());
            }
            if let Some(content) = last {
                ground.put("a.dat", content.as_bytes());
            }
            let state = renaming(attempt, path.to_shared());
            let (state, facts) = ground.deliver(&FileToDeliver { state, ..file }, b"hello");
            let told = facts.iter().filter_map(|fact| match fact {
                DeliveryFact::RenameConfirmed(proof) => Some(proof.how.as_str()),
                DeliveryFact::Conflict { .. } | DeliveryFact::InDoubt | DeliveryFact::Resent | DeliveryFact::Spoilt => {
                    Some(fact.name())
                }
                _ => None,
            });
            let told = told.collect::<Vec<_>>().join(", ");
            let shown = |name: String| {
                let content = String::from_utf8(ground.read(&name).expect("file")).expect("text");
                format!("{} {content}", if name == path.name() { "T" } else { &name })
            };
            let mut found: Vec<String> = ground.names().into_iter().map(shown).collect();
            found.sort();
            let there: Vec<String> = there.iter().map(|line| (*line).to_owned()).collect();
            assert_eq!((told.as_str(), found), (*expected, there), "row {row}, {rule:?}");
            assert_eq!(state.is_delivered(), held(&state).is_none(), "row {row}, {rule:?}");
            if held(&state) == Some(HeldReason::Conflict) {
                // The other file goes, and a person releases ours: nothing is left beside it.
                ground.session().remove(&ground.path("a.dat")).expect("removed by the partner");
                let state = state.apply(&DeliveryFact::Released).expect("legal");
                let (state, _) = ground.deliver(&FileToDeliver { state, ..ground.file("a.dat", 5) }, b"hello");
                assert_eq!((how(&state), ground.names()), (Some(Verified::ReplyAndSize), vec!["a.dat".to_owned()]));
            }
            for name in ground.names() {
                ground.session().remove(&ground.path(&name)).expect("cleared");
            }
        }
    }
}

/// What lies under the final name; whether an upload to it was announced; and what becomes of the file: the facts, and
/// what lies there then.
type InPlaceRow = (Option<&'static str>, bool, &'static [&'static str], Option<&'static str>);

const WRITTEN: &[&str] = &["upload-intended", "rename-confirmed"];
const AGAIN: &[&str] = &["upload-abandoned", "upload-intended", "rename-confirmed"];
const IN_PLACE: [InPlaceRow; 9] = [
    (None, false, WRITTEN, Some("hello")),
    (Some("hello"), false, &["conflict"], Some("hello")),
    (Some(""), false, &["conflict"], Some("")),
    (Some("hello"), true, &["rename-confirmed"], Some("hello")),
    (Some("hel"), true, AGAIN, Some("hello")),
    (Some(""), true, AGAIN, Some("hello")),
    (Some("hexlo"), true, &["conflict"], Some("hexlo")),
    (Some("hex"), true, &["conflict"], Some("hex")),
    (Some("hello, world"), true, &["conflict"], Some("hello, world")),
];

fn the_table_without_rename_holds(ground: &Ground<'_>) {
    let check = |file: &FileToDeliver, row: &InPlaceRow, told: &[&str], left: Option<&str>| {
        let (there, announced, ..) = row;
        if let Some(there) = there {
            ground.put("a.dat", there.as_bytes());
        }
        let attempt = Attempt { number: 1, exposed: true };
        let state = uploading(attempt, file.final_path().to_shared());
        let state = if *announced { state } else { FileState::default() };
        let (state, facts) = ground.deliver(&FileToDeliver { state, ..file.clone() }, b"hello");
        assert_eq!(
            (names_of(&facts).as_slice(), ground.read("a.dat").as_deref()),
            (told, left.map(str::as_bytes)),
            "{row:?}"
        );
        assert!(state.is_delivered() || held(&state).is_some(), "{row:?}: {state:?}");
        for name in ground.names() {
            assert_eq!(name, "a.dat", "{row:?}");
            ground.session().remove(&ground.path(&name)).expect("cleared");
        }
        // A release looks again, and touches nothing that is not ours.
        if held(&state) == Some(HeldReason::Conflict) && *announced {
            ground.put("a.dat", b"hexlo");
            let state = state.apply(&DeliveryFact::Released).expect("legal");
            let (state, _) = ground.deliver(&FileToDeliver { state, ..file.clone() }, b"hello");
            assert_eq!((held(&state), ground.read("a.dat")), (Some(HeldReason::Conflict), Some(b"hexlo".to_vec())));
            ground.session().remove(&ground.path("a.dat")).expect("cleared");
        }
    };
    for is_manifest in [false, true] {
        let file = FileToDeliver { temporary: TemporaryPlace::Nowhere, is_manifest, ..ground.file("a.dat", 5) };
        for row in &IN_PLACE {
            check(&file, row, row.2, row.3);
        }
    }
    // What is gone after an upload was announced.
    let gone: InPlaceRow = (None, true, &[], None);
    let part = FileToDeliver { temporary: TemporaryPlace::Nowhere, ..ground.file("a.dat", 5) };
    check(&part, &gone, AGAIN, Some("hello"));
    let manifest = FileToDeliver { is_manifest: true, ..part };
    check(&manifest, &gone, &["in-doubt"], None);
    let resend = FileToDeliver { in_doubt: InDoubtRule::Resend, ..manifest };
    check(&resend, &gone, &["resent", "upload-intended", "rename-confirmed"], Some("hello"));
}

fn a_private_temporary_directory_settles(ground: &Ground<'_>) {
    let work = ground.path("work");
    ground.session().create_dir(&work).expect("directory");
    for (private, expected) in [(false, Some(HeldReason::InDoubt)), (true, None)] {
        let temporary = TemporaryPlace::Directory { path: work.clone(), private };
        let mut file = FileToDeliver { temporary, ..ground.file("a.dat", 5) };
        let (state, _) = ground.deliver(&file, b"hello");
        assert_eq!(how(&state), Some(Verified::ReplyAndSize));
        assert_eq!(ground.names(), ["a.dat", "work"]);
        // The partner takes the file, and the reply to the rename was lost.
        ground.session().remove(&ground.path("a.dat")).expect("taken");
        file.state = renaming(Attempt::FIRST, file.temporary_path(Attempt::FIRST).to_shared());
        let (state, _) = ground.deliver(&file, b"hello");
        assert_eq!(held(&state), expected);
        assert!(expected.is_some() || how(&state) == Some(Verified::TemporaryGone), "{state:?}");
        assert_eq!(ground.names(), ["work"]);
        assert_eq!(fs::read_dir(ground.files.join("work")).expect("directory").count(), 0);
    }
}

fn forty_files_go_over_one_session(ground: &Ground<'_>) {
    let mut session = ground.session();
    for number in 0..40 {
        let (state, _) = deliver(session.as_mut(), &ground.file(&format!("f{number:02}.dat"), 5), b"hello");
        assert_eq!(how(&state.expect("delivery")), Some(Verified::ReplyAndSize));
    }
    assert_eq!(ground.names().len(), 40);
    assert_eq!(session.list(&ground.directory).expect("list").len(), 40);
}
