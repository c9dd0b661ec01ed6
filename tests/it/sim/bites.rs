//! Do the tests bite? One sync or one ledger entry at a time is left out, and something must be noticed. The looks at
//! the partner's server have [`super::looks`].

use super::disk::Habits;
use super::say;
use super::scenario::{Setup, run};
use super::seeds::{guarded, on_all_processors};
use hourdrop::disk::SyncPoint;
use std::sync::Mutex;

/// Seeds within which a point that is left out must be noticed. Most are at the first.
const SEEDS_MAX: usize = 600;
/// Seeds that show that a point which is durable twice over may be left out.
const HARMLESS_SEEDS: usize = 200;

/// What happens without a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Without {
    /// A promise is broken.
    Noticed,
    /// Nothing: what is lost is found again.
    Harmless,
}

const POINTS: [SyncPoint; 16] = [
    SyncPoint::SpoolGroup,
    SyncPoint::SpoolDirectory,
    SyncPoint::StagedFile,
    SyncPoint::ArchiveDirectory,
    SyncPoint::ArchiveLog,
    SyncPoint::LocalDropFile,
    SyncPoint::LocalDropDirectory,
    SyncPoint::InputFile,
    SyncPoint::InputDirectory,
    SyncPoint::StateFile,
    SyncPoint::LedgerIntake,
    SyncPoint::LedgerPlan,
    SyncPoint::LedgerSealed,
    SyncPoint::LedgerIntent,
    SyncPoint::LedgerOutcome,
    SyncPoint::LedgerOther,
];

const fn without(point: SyncPoint) -> Without {
    match point {
        SyncPoint::SpoolGroup
        | SyncPoint::SpoolDirectory
        | SyncPoint::StagedFile
        | SyncPoint::ArchiveDirectory
        | SyncPoint::ArchiveLog
        | SyncPoint::LocalDropFile
        | SyncPoint::LocalDropDirectory
        | SyncPoint::InputFile
        | SyncPoint::InputDirectory
        | SyncPoint::StateFile
        | SyncPoint::LedgerPlan
        | SyncPoint::LedgerSealed
        | SyncPoint::LedgerIntent
        | SyncPoint::LedgerOutcome => Without::Noticed,
        // What the archive's log has got and the ledger has lost looks like a ledger that was rolled back.
        SyncPoint::LedgerOther => Without::Noticed,
        // The frames say it all, and a start tells the ledger what it does not know.
        SyncPoint::LedgerIntake => Without::Harmless,
    }
}

/// A promise that is broken when this point is left out, within so many seeds.
fn broken_without(point: SyncPoint, seeds: usize) -> Option<String> {
    let found = Mutex::new(None);
    on_all_processors(seeds, &|place, (): &mut (), index| {
        let setup = Setup::of_seed(index as u64);
        let habits = Habits { left_out: Some(point), ..setup.habits };
        match guarded(|| run(place, Setup { habits, ..setup })) {
            Ok(_) => true,
            Err(what) => {
                // With the point everything is well.
                if let Err(anyway) = guarded(|| run(place, Setup::of_seed(index as u64))) {
                    panic!("seed {index} without anything left out: {anyway}");
                }
                let what = what.lines().next().unwrap_or_default().to_owned();
                found.lock().expect("lock").get_or_insert(format!("seed {index}: {what}"));
                false
            }
        }
    });
    found.into_inner().expect("lock")
}

#[test]
fn every_sync_and_every_ledger_entry_that_is_left_out_is_noticed() {
    let mut missed = Vec::new();
    for point in POINTS.into_iter().filter(|point| without(*point) == Without::Noticed) {
        match broken_without(point, SEEDS_MAX) {
            Some(what) => say(&format!("without {point:?}: {what}")),
            None => missed.push(point),
        }
    }
    assert!(missed.is_empty(), "{SEEDS_MAX} runs without these broke no promise: {missed:?}");
}

#[test]
fn what_the_ledger_is_told_again_may_be_lost() {
    for point in POINTS.into_iter().filter(|point| without(*point) == Without::Harmless) {
        let broken = broken_without(point, HARMLESS_SEEDS);
        assert_eq!(broken, None, "without {point:?}");
    }
}
