//! Do the tests bite? One sync or one ledger entry at a time is left out, and something must be noticed. The looks at
//! the partner's server have [`super::looks`].

use super::disk::Habits;
use super::scenario::{Setup, When, run};
use super::seeds::{guarded, on_all_processors};
use super::survival::{End, Kind};
use super::{crash, disturbed, say, undisturbed};
use hourdrop::disk::SyncPoint;
use std::sync::Mutex;

/// Seeds that are tried first. Most points are noticed at the first of them.
const SEEDS_FIRST: usize = 100;
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

/// A promise that is broken when this point is left out, within so many of these runs.
fn broken_without(point: SyncPoint, runs: usize, setup: impl Fn(usize) -> Setup + Sync) -> Option<String> {
    let found = Mutex::new(None);
    on_all_processors(runs, &|place, (): &mut (), index| {
        let whole = setup(index);
        let habits = Habits { left_out: Some(point), ..whole.habits };
        match guarded(|| run(place, Setup { habits, ..whole })) {
            Ok(_) => true,
            Err(what) => {
                // With the point everything is well.
                if let Err(anyway) = guarded(|| run(place, setup(index))) {
                    panic!("run {index} without anything left out: {anyway}");
                }
                let what = what.lines().next().unwrap_or_default().to_owned();
                found.lock().expect("lock").get_or_insert(format!("run {index}: {what}"));
                false
            }
        }
    });
    found.into_inner().expect("lock")
}

/// Runs that seeds make, and then runs in each of which the power goes at another operation.
fn seeds_and_cuts(index: usize) -> Setup {
    let Some(number) = index.checked_sub(SEEDS_FIRST) else { return Setup::of_seed(index as u64) };
    disturbed([crash(When::At(number as u64), End::PowerCut(Kind::Nothing))])
}

#[test]
fn every_sync_and_every_ledger_entry_that_is_left_out_is_noticed() {
    let runs = SEEDS_FIRST + usize::try_from(undisturbed().operations).expect("small");
    let mut missed = Vec::new();
    for point in POINTS.into_iter().filter(|point| without(*point) == Without::Noticed) {
        match broken_without(point, runs, seeds_and_cuts) {
            Some(what) => say(&format!("without {point:?}: {what}")),
            None => missed.push(point),
        }
    }
    assert!(missed.is_empty(), "{runs} runs without these broke no promise: {missed:?}");
}

#[test]
fn what_the_ledger_is_told_again_may_be_lost() {
    for point in POINTS.into_iter().filter(|point| without(*point) == Without::Harmless) {
        let broken = broken_without(point, HARMLESS_SEEDS, |index| Setup::of_seed(index as u64));
        assert_eq!(broken, None, "without {point:?}");
    }
}
