//! Looks at the partner's server left out: a server that replaces files without a word, as most do, and a robot that
//! takes files at once. What is shown to it twice, or lost by it, is noticed.

use crate::delivering::{deliver, file};
use hourdrop::deliver::FileToDeliver;
use hourdrop::domain::delivery::{Attempt, FileState, HeldReason};
use hourdrop::domain::ids::Sha256Digest;
use hourdrop::remote::{
    Abilities, Body, EntryKind, FaultKind, HashSource, Outcome, Remote, RemoteEntry, RemoteFault, RemotePath,
    SizeSource,
};
use std::collections::BTreeMap;
use std::io::Write;

const CONTENT: &[u8] = b"ten bytes.";
const FINAL: &str = "out/a.dat";

/// What is done, or not, before something is repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Looks {
    /// As the program does it.
    Taken,
    /// A rename whose reply was lost is begun anew, as if it had never been announced.
    LeftOutAfterALostReply,
    /// Nobody looks whether the final name is free.
    LeftOutBeforeARename,
}

/// What the server does with the first rename.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rename {
    Answered,
    LostBefore,
    LostAfter,
}

struct Server {
    files: BTreeMap<String, Vec<u8>>,
    /// Every content that got the final name from us.
    shown: Vec<Vec<u8>>,
    rename: Rename,
    robot_takes: bool,
    is_blind: bool,
}

struct Session<'s>(&'s mut Server);

impl Remote for Session<'_> {
    fn abilities(&self) -> Abilities {
        Abilities {
            size: SizeSource::Command,
            detailed_listing: true,
            rename_never_replaces: false,
            hash: HashSource::Reading,
            durable: false,
        }
    }

    fn create_dir(&mut self, _directory: &RemotePath) -> Result<(), RemoteFault> {
        Ok(())
    }

    fn size(&mut self, path: &RemotePath) -> Result<Option<u64>, RemoteFault> {
        let is_hidden = self.0.is_blind && path.as_str() == FINAL;
        Ok(self.0.files.get(path.as_str()).filter(|_| !is_hidden).map(|content| content.len() as u64))
    }

    fn list(&mut self, _directory: &RemotePath) -> Result<Vec<RemoteEntry>, RemoteFault> {
        let shown = self.0.files.iter().filter(|(name, _)| !self.0.is_blind || *name != FINAL);
        let entry = |(name, content): (&String, &Vec<u8>)| RemoteEntry {
            name: name.trim_start_matches("out/").to_owned(),
            kind: EntryKind::File,
            bytes: Some(content.len() as u64),
            modified: None,
            unique: None,
        };
        Ok(shown.map(entry).collect())
    }

    fn upload(
        &mut self,
        temporary: &RemotePath,
        body: &mut dyn Body,
        _bytes: u64,
        _progress: &mut dyn FnMut(u64),
    ) -> Result<(), RemoteFault> {
        let mut content = Vec::new();
        body.read_to_end(&mut content).expect("a body");
        self.0.files.insert(temporary.as_str().to_owned(), content);
        Ok(())
    }

    fn read(&mut self, path: &RemotePath, sink: &mut dyn Write) -> Result<u64, RemoteFault> {
        let content = self.0.files.get(path.as_str()).expect("a file that was seen");
        sink.write_all(content).expect("taken");
        Ok(content.len() as u64)
    }

    fn server_hash(&mut self, _path: &RemotePath, _bytes: u64) -> Result<Option<Sha256Digest>, RemoteFault> {
        Ok(None)
    }

    fn rename(&mut self, from: &RemotePath, to: &RemotePath) -> Result<(), RemoteFault> {
        let lost = || RemoteFault::new(FaultKind::Unreachable, "rename", Outcome::Unknown);
        let rename = std::mem::replace(&mut self.0.rename, Rename::Answered);
        if rename == Rename::LostBefore {
            return Err(lost());
        }
        let Some(content) = self.0.files.remove(from.as_str()) else {
            return Err(RemoteFault::new(FaultKind::NotFound, "rename", Outcome::NotDone));
        };
        self.0.shown.push(content.clone());
        if !self.0.robot_takes {
            self.0.files.insert(to.as_str().to_owned(), content);
        }
        if rename == Rename::LostAfter { Err(lost()) } else { Ok(()) }
    }

    fn remove(&mut self, path: &RemotePath) -> Result<(), RemoteFault> {
        self.0.files.remove(path.as_str());
        Ok(())
    }
}

/// Delivers with a new session after each fault; the last state.
fn delivered(server: &mut Server, looks: Looks) -> FileState {
    let file = file(&RemotePath::parse("out").expect("path"), "a.dat", CONTENT.len());
    let mut state = FileState::default();
    server.is_blind = looks == Looks::LeftOutBeforeARename;
    for _ in 0..4 {
        if let (FileState::Renaming { attempt, .. }, Looks::LeftOutAfterALostReply) = (&state, looks) {
            state = FileState::Pending { next: Attempt { number: attempt.number + 1, exposed: false } };
            server.is_blind = true;
        }
        let (outcome, facts) =
            deliver(&mut Session(server), &FileToDeliver { state: state.clone(), ..file.clone() }, CONTENT);
        state = facts.iter().try_fold(state, FileState::apply).expect("facts fit the state");
        if outcome.is_ok() {
            break;
        }
    }
    state
}

/// What the partner has to complain about.
fn complaint(server: &Server, foreign: Option<&[u8]>) -> Option<&'static str> {
    if foreign.is_some_and(|bytes| server.files.get(FINAL).map(Vec::as_slice) != Some(bytes)) {
        Some("a foreign file was replaced")
    } else if server.shown.len() > 1 {
        Some("a file was shown twice")
    } else if server.shown.iter().any(|content| content != CONTENT) {
        Some("a file was shown that is not whole")
    } else {
        None
    }
}

fn server(rename: Rename, robot_takes: bool, foreign: Option<&[u8]>) -> Server {
    let files = foreign.map(|bytes| (FINAL.to_owned(), bytes.to_vec())).into_iter().collect();
    Server { files, shown: Vec::new(), rename, robot_takes, is_blind: false }
}

#[test]
fn a_partner_has_nothing_to_complain_about() {
    for rename in [Rename::Answered, Rename::LostBefore, Rename::LostAfter] {
        for robot_takes in [false, true] {
            let mut server = server(rename, robot_takes, None);
            let state = delivered(&mut server, Looks::Taken);
            let is_in_doubt = matches!(state, FileState::Held { reason: HeldReason::InDoubt, .. });
            assert_eq!(is_in_doubt, robot_takes && rename == Rename::LostAfter, "{rename:?} {robot_takes}: {state:?}");
            assert!(is_in_doubt || state.is_delivered(), "{rename:?} {robot_takes}: {state:?}");
            assert_eq!((complaint(&server, None), server.shown.len()), (None, 1), "{rename:?} {robot_takes}");
        }
        let mut server = server(rename, false, Some(b"theirs"));
        let state = delivered(&mut server, Looks::Taken);
        assert!(matches!(state, FileState::Held { reason: HeldReason::Conflict, .. }), "{state:?}");
        assert_eq!(complaint(&server, Some(b"theirs")), None);
    }
}

#[test]
fn repeating_without_a_look_is_noticed() {
    for robot_takes in [false, true] {
        let mut server = server(Rename::LostAfter, robot_takes, None);
        delivered(&mut server, Looks::LeftOutAfterALostReply);
        assert_eq!(complaint(&server, None), Some("a file was shown twice"), "{robot_takes}");
    }
}

#[test]
fn renaming_without_a_look_is_noticed() {
    let mut server = server(Rename::Answered, false, Some(b"theirs"));
    delivered(&mut server, Looks::LeftOutBeforeARename);
    assert_eq!(complaint(&server, Some(b"theirs")), Some("a foreign file was replaced"));
}
