//! What is tried, with files of our own only.

use super::visit::{Names, Visit, content_hash};
use super::{DirectoryFacts, OntoExisting, PATIENCE, PartnerPlace, Renamed, Transfers, Trials, Tried};
use crate::app::config::{PartnerConfig, PickupWay};
use crate::domain::time::UtcTime;
use crate::remote::hashing::HashingSink;
use crate::remote::{FaultKind, Outcome, Remote, RemoteFault, RemotePath};
use std::time::Duration;

/// Bytes of the first file and of the one that is renamed onto it.
const SMALL: (u64, u64) = (1000, 2000);
/// Files sent over one session. Servers that want every data connection to go on with the TLS session of the control
/// connection refuse the third one of a client that cannot, see `remote/tls.rs`.
const TRANSFERS: u32 = 5;
/// Bytes of the first and of the largest file sent to measure the speed.
const SPEED_BYTES: (u64, u64) = (256 << 10, 4 << 20);
/// How long the largest file may take.
const SPEED_MILLISECONDS: u64 = 3000;
/// So often a size is asked for.
const LOOKS: u32 = 3;

/// Lists a directory; makes it when it is missing.
pub(super) fn look(visit: &mut Visit, directory: &RemotePath, names: &Names) -> Tried<DirectoryFacts> {
    let (listed, was_missing) = match visit.step(|session| session.list(directory)) {
        Tried::Failed(RemoteFault { kind: FaultKind::NotFound, .. }) => {
            let made = visit.step(|session| {
                session.create_dir(directory)?;
                session.list(directory)
            });
            (made, true)
        }
        listed @ (Tried::Done(_) | Tried::Failed(_) | Tried::Not) => (listed, false),
    };
    listed.map(|entries| {
        let our_temporaries = entries.iter().filter(|entry| names.is_ours(&entry.name)).count();
        DirectoryFacts { was_missing, entries, our_temporaries }
    })
}

/// Lists where the partner moves files to and puts its answers. None is made: that is the partner's to do.
pub(super) fn look_at_partner_places(
    visit: &mut Visit,
    partner: &PartnerConfig,
    directory: &RemotePath,
) -> Vec<PartnerPlace> {
    let moved = partner.pickup.as_ref().and_then(|rule| match &rule.by {
        PickupWay::Moved(path) => Some(("pickup.by", path.clone())),
        PickupWay::Deleted | PickupWay::Renamed { .. } | PickupWay::Kept => None,
    });
    let answers = partner.answers.as_ref().map(|rule| ("answers.dir", rule.directory.clone()));
    let others = moved.into_iter().chain(answers).filter(|(_, path)| path != directory);
    let look = |(key, path): (&'static str, RemotePath)| {
        let listed = visit.step(|session| session.list(&path)).map(|entries| entries.len());
        PartnerPlace { key, path, listed }
    };
    others.map(look).collect()
}

/// Everything that is tried with files.
pub(super) fn try_out(visit: &mut Visit, names: &Names, trials: &mut Trials) {
    write_and_look(visit, &names.first(), trials);
    if trials.write.done().is_none() {
        return;
    }
    rename(visit, names, trials);
    trials.unusual_name = is_listed_as_written(visit, &names.unusual());
    trials.hidden_name = is_listed_as_written(visit, &names.hidden());
    trials.transfers = transfer(visit, names);
    trials.speed = speed(visit, names);
    trials.second_session = second_session(visit);
}

fn write_and_look(visit: &mut Visit, path: &RemotePath, trials: &mut Trials) {
    let before = visit.now();
    trials.write = visit.write(path, SMALL.0).map(drop);
    let after = visit.now();
    if trials.write.done().is_none() {
        return;
    }
    for look in 1..=LOOKS {
        trials.size = visit.step(|session| Ok((session.size(path)?, SMALL.0)));
        if look == LOOKS || trials.size.done().is_none_or(|(found, wanted)| *found == Some(*wanted)) {
            break;
        }
        visit.pause(PATIENCE);
    }
    trials.listed = visit.step(|session| is_in_listing(session, path));
    let expected = content_hash(SMALL.0);
    trials.read_back = visit.step(|session| {
        let mut sink = HashingSink::new(SMALL.0);
        session.read(path, &mut sink)?;
        Ok(Some(sink.finish()) == expected)
    });
    trials.server_hash =
        visit.step(|session| Ok(session.server_hash(path, SMALL.0)?.map(|found| Some(found) == expected)));
    trials.clock_ahead =
        visit.step(|session| Ok(session.modified(path)?.map(|modified| ahead(modified, before, after))));
}

fn is_in_listing(session: &mut dyn Remote, path: &RemotePath) -> Result<bool, RemoteFault> {
    Ok(session.list(&path.parent())?.iter().any(|entry| entry.name == path.name()))
}

/// Seconds by which `modified` lies outside the time in which the file was written. Servers cut fractions off.
fn ahead(modified: UtcTime, before: UtcTime, after: UtcTime) -> i64 {
    let (modified, before, after) = (modified.seconds(), before.seconds() - 1, after.seconds() + 1);
    if modified < before {
        modified - before
    } else if modified > after {
        modified - after
    } else {
        0
    }
}

fn rename(visit: &mut Visit, names: &Names, trials: &mut Trials) {
    let (first, second) = (names.first(), names.second());
    // Nobody else's file may lie there.
    if visit.step(|session| session.size(&second)) != Tried::Done(None) {
        return;
    }
    visit.note(&second);
    let states_sizes = matches!(trials.size, Tried::Done((Some(_), _)));
    trials.rename = visit.step(|session| {
        session.rename(&first, &second)?;
        let old_is_gone = session.size(&first)?.is_none();
        let new_is_whole = !states_sizes || session.size(&second)? == Some(SMALL.0);
        Ok(Renamed { old_is_gone, new_is_whole })
    });
    if trials.rename.done().is_some_and(|renamed| renamed.old_is_gone && renamed.new_is_whole) && states_sizes {
        visit.write(&first, SMALL.1);
        trials.onto_existing = rename_onto(visit, &first, &second);
    }
    // Whatever the server said of the rename, either may be there.
    let (rest, last) = if trials.rename.done().is_some() { (first, second) } else { (second, first) };
    visit.remove(&rest);
    trials.remove = visit.remove(&last);
}

/// Renames one file of ours onto another one of ours.
fn rename_onto(visit: &mut Visit, first: &RemotePath, second: &RemotePath) -> Tried<OntoExisting> {
    let renamed = visit.step(|session| {
        session.rename(first, second)?;
        session.size(second)
    });
    match renamed {
        Tried::Done(Some(bytes)) if bytes == SMALL.1 => Tried::Done(OntoExisting::Replaces),
        Tried::Done(_) => Tried::Done(OntoExisting::Nothing),
        Tried::Failed(fault) if fault.outcome == Outcome::NotDone && is_refusal(&fault) => {
            Tried::Done(OntoExisting::Refused(fault.to_string()))
        }
        Tried::Failed(fault) => Tried::Failed(fault),
        Tried::Not => Tried::Not,
    }
}

fn is_refusal(fault: &RemoteFault) -> bool {
    fault.reply.is_some() || fault.kind == FaultKind::Denied
}

fn is_listed_as_written(visit: &mut Visit, path: &RemotePath) -> Tried<bool> {
    match visit.write(path, SMALL.0) {
        Tried::Done(_) => {}
        Tried::Failed(fault) => return Tried::Failed(fault),
        Tried::Not => return Tried::Not,
    }
    let listed = visit.step(|session| is_in_listing(session, path));
    visit.remove(path);
    listed
}

/// Sends files one after another over one session.
pub(super) fn transfer(visit: &mut Visit, names: &Names) -> Transfers {
    let mut transfers = Transfers { wanted: TRANSFERS, ..Transfers::default() };
    for number in 0..TRANSFERS {
        let path = names.transfer(number);
        match visit.write(&path, SMALL.0) {
            Tried::Done(_) => transfers.done += 1,
            Tried::Failed(fault) => transfers.fault = Some(fault),
            Tried::Not => {}
        }
        visit.remove(&path);
        if transfers.done <= number {
            break;
        }
    }
    transfers
}

/// Sends a file that is as large as may be sent in a few seconds.
fn speed(visit: &mut Visit, names: &Names) -> Tried<(u64, Duration)> {
    let (least, most) = SPEED_BYTES;
    let mut sent = Tried::Not;
    let mut bytes = least;
    for number in [TRANSFERS, TRANSFERS + 1] {
        let path = names.transfer(number);
        sent = match visit.write(&path, bytes) {
            Tried::Done(took) => Tried::Done((bytes, took)),
            Tried::Failed(fault) => Tried::Failed(fault),
            Tried::Not => Tried::Not,
        };
        visit.remove(&path);
        let Tried::Done((_, took)) = &sent else { break };
        let milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX).max(1);
        bytes = (bytes * SPEED_MILLISECONDS / milliseconds).min(most);
        if bytes <= least {
            break;
        }
    }
    sent
}

/// Opens a second session while the first one is open.
fn second_session(visit: &mut Visit) -> Tried<()> {
    if visit.is_local() || visit.step(|_| Ok(())).done().is_none() {
        return Tried::Not;
    }
    match visit.connect() {
        Ok(_) => Tried::Done(()),
        Err(fault) => Tried::Failed(fault),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_ahead_only_by_what_whole_seconds_do_not_explain() {
        let at = |seconds| UtcTime::from_seconds(seconds).expect("time");
        for (modified, expected) in [(100, 0), (99, 0), (103, 0), (98, -1), (104, 1), (3703, 3600)] {
            assert_eq!(ahead(at(modified), at(100), at(102)), expected, "{modified}");
        }
    }
}
