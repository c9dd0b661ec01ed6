//! Runs of the whole program on a simulated disk that is driven by a seed.
//!
//! ## What is simulated
//! - *Files* ([`pages`]): every write, cut and allocation is in the page cache until a sync. A power cut leaves of what
//!   was not synced nothing, everything, a beginning in the order of time whose last write is torn at a sector of 512
//!   bytes, or any sectors in any state that they had; a length may arrive before its bytes and show rubbish; allocated
//!   space reads as zeros.
//! - *Directories* ([`names`]): created, renamed, removed entries are durable when their directory is synced; the sync
//!   of a file says nothing about its name (ext4 and XFS are kinder). A power cut leaves none, all, a beginning, or any
//!   of them, but never a later change of a name without the earlier one; a rename is whole or not done; what lies in a
//!   directory that is lost is lost.
//! - *The end of the program*: at any operation, which may be a write that is carried out in part. Then either the
//!   power goes, or the process alone dies: then it is started on what the page cache holds, which is not durable, and
//!   the power may go later. Recoveries are interrupted like anything else.
//! - *Faults*: a sync that fails once, after which the pages that it did not write read as written and are never
//!   written again; EIO for a while; ENOSPC for a while with writes that are carried out in part; short writes; another
//!   device for finished input; bits that turn over in what was durable.
//! - *The ledger* ([`ledger_file`]) is a real SQLite file in memory. A commit is one durable operation, with a crash
//!   before and a crash after it; processes killed within a commit and power cuts on real file systems are other tests.
//! - *A point left out* ([`bites`]): syncs, or ledger entries, of one kind do nothing and say that they did.
//!
//! ## What is run and what must hold
//! [`scenario`] says what a run is: input in three waves with late records, two feeds that cut part files and free
//! spool segments all the time, a local directory for the partner, who looks and takes files away between passes.
//! [`partner`] has the rules: every record of every input exactly once, a name has the same bytes for ever and is not
//! shown again when it was taken, numbers without gap, a manifest after everything it lists and true, manifests in a
//! chain, the archive equal to what came; at the end nothing is left over, everything said to be done survives a power
//! cut, and a further pass does nothing. Where clock and input stand still while the program recovers, the partner's
//! files are those of an undisturbed run. A file may be in doubt only when the partner took it before its rename was
//! recorded; the operator lets it go again, and the partner expects that.
//!
//! ## Seeds
//! `HOURDROP_SIM_SEEDS` is the number of seeds (10,000), `HOURDROP_SIM_FIRST_SEED` the first one. A seed that breaks a
//! promise is printed with the command that repeats it exactly.

mod bites;
mod disk;
mod ledger_file;
mod looks;
mod names;
mod pages;
mod partner;
mod place;
mod scenario;
mod seeds;
mod survival;
mod workload;

use disk::Fault;
use place::Place;
use scenario::{Disturbance, Outcome, Setup, When, run};
use seeds::{Seeds, guarded, on_all_processors, run_part};
use std::sync::Mutex;
use survival::{End, Kind};

/// Seeds of the test command.
const SEEDS: u64 = 10_000;
/// Tests that share them.
const PARTS: u64 = 4;
/// Seeds with damage.
const FLIPS: u64 = 600;
/// The input of the runs that are stopped everywhere: with supplements, and with segments that are freed.
const WORKLOAD: u64 = 1;

/// A run in which nothing goes wrong.
fn undisturbed() -> Outcome {
    run(&Place::new(), Setup::undisturbed(WORKLOAD)).unwrap_or_else(|broken| panic!("{broken}"))
}

/// A run in which these go wrong.
fn disturbed(disturbances: impl IntoIterator<Item = Disturbance>) -> Setup {
    Setup { disturbances: disturbances.into_iter().collect(), ..Setup::undisturbed(WORKLOAD) }
}

const fn crash(when: When, end: End) -> Disturbance {
    Disturbance { when, fault: Fault::Crash, end }
}

/// In so many runs the partner gets what it gets in the undisturbed one.
fn end_alike<D>(whole: &Outcome, runs: usize, disturbances: impl Fn(usize) -> D + Sync)
where
    D: IntoIterator<Item = Disturbance>,
{
    let broken = Mutex::new(Vec::new());
    on_all_processors(runs, &|place, (): &mut (), index| {
        let setup = disturbed(disturbances(index));
        let planned = format!("{:?}", setup.disturbances);
        let what = match guarded(|| run(place, setup)) {
            Ok(outcome) if outcome.content == whole.content => return true,
            Ok(_) => "the partner got other files than after an undisturbed run".to_owned(),
            Err(what) => what,
        };
        broken.lock().expect("lock").push(format!("{planned}: {what}"));
        true
    });
    let broken = broken.into_inner().expect("lock");
    assert!(broken.is_empty(), "{} of {runs}, the first: {}", broken.len(), broken[0]);
}

/// The program is stopped at every operation of a run, each time in another run; `second` may stop the recovery.
fn stop_everywhere(end: End, second: impl Fn(u64) -> Option<Disturbance> + Sync) {
    let whole = undisturbed();
    let count = usize::try_from(whole.operations).expect("small");
    assert!(count > 300, "{count}");
    end_alike(&whole, count, |index| {
        let number = index as u64;
        [crash(When::At(number), end)].into_iter().chain(second(number))
    });
}

#[test]
fn killed_at_every_operation() {
    stop_everywhere(End::Killed, |_| None);
}

#[test]
fn the_power_goes_at_every_operation_and_takes_what_was_not_synced() {
    stop_everywhere(End::PowerCut(Kind::Nothing), |_| None);
}

#[test]
fn the_power_goes_at_every_operation_and_leaves_everything() {
    stop_everywhere(End::PowerCut(Kind::Everything), |_| None);
}

#[test]
fn the_power_goes_at_every_operation_and_leaves_a_beginning() {
    stop_everywhere(End::PowerCut(Kind::Prefix), |_| None);
}

#[test]
fn the_power_goes_at_every_operation_and_leaves_any_sectors_and_names() {
    stop_everywhere(End::PowerCut(Kind::Scattered), |_| None);
}

/// What a killed process has written is read again as if it were durable, and the power goes soon after.
#[test]
fn killed_at_every_operation_and_the_power_goes_while_it_recovers() {
    let cut = End::PowerCut(Kind::Nothing);
    stop_everywhere(End::Killed, |number| {
        let count = fastrand::Rng::with_seed(number).u64(..40);
        Some(crash(When::After(count), cut))
    });
}

/// What one start has named and not made durable is nothing that the next may build upon.
#[test]
fn killed_while_the_state_is_made_and_the_power_goes_in_the_next_start() {
    const STEPS: usize = 14;
    let kinds = Kind::ALL.len();
    end_alike(&undisturbed(), STEPS * STEPS * kinds, |index| {
        let (steps, kind) = (index / kinds, Kind::ALL[index % kinds]);
        let (first, second) = ((steps / STEPS) as u64, (steps % STEPS) as u64);
        [crash(When::At(first), End::Killed), crash(When::After(second), End::PowerCut(kind))]
    });
}

/// A line for those who read the output of tests.
#[expect(clippy::print_stdout, reason = "the figures belong into the documentation")]
fn say(line: &str) {
    println!("{line}");
}

fn seeds_of_part(part: u64) {
    let seeds = Seeds::asked(SEEDS);
    let tally = run_part(seeds, part, PARTS, "sim::seeds");
    say(&format!("{} seeds of part {part} survived: {tally:?}", tally.runs));
    let asked = (seeds.first..seeds.first + seeds.count).filter(|seed| seed % PARTS == part).count();
    assert_eq!(tally.runs, asked as u64);
    assert!(tally.runs < 100 || tally.happened > tally.runs, "hardly anything went wrong: {tally:?}");
}

#[test]
fn seeds_of_part_0() {
    seeds_of_part(0);
}

#[test]
fn seeds_of_part_1() {
    seeds_of_part(1);
}

#[test]
fn seeds_of_part_2() {
    seeds_of_part(2);
}

#[test]
fn seeds_of_part_3() {
    seeds_of_part(3);
}

#[test]
fn a_seed_gives_the_same_run_again() {
    let (one, other) = (Place::new(), Place::new());
    for seed in 0..40 {
        let runs = [&one, &other].map(|place| run(place, Setup::of_seed(seed)));
        assert_eq!(runs[0], runs[1], "seed {seed}");
    }
}

#[test]
fn damage_is_found_or_does_no_harm() {
    let found = Mutex::new([0u64; 2]);
    let broken = Mutex::new(None);
    on_all_processors(usize::try_from(FLIPS).expect("small"), &|place, (): &mut (), index| {
        let setup = Setup::with_flips(index as u64, &["state"]);
        match guarded(|| run(place, setup)) {
            Ok(outcome) => {
                found.lock().expect("lock")[usize::from(outcome.damage.is_some())] += 1;
                let named = |text: &String| ["spool", "STORE_ID"].iter().any(|word| text.contains(word));
                assert!(outcome.damage.as_ref().is_none_or(named), "seed {index}: {:?}", outcome.damage);
                true
            }
            Err(what) => {
                broken.lock().expect("lock").get_or_insert(format!("seed {index}: {what}"));
                false
            }
        }
    });
    assert_eq!(broken.into_inner().expect("lock"), None);
    let [harmless, damage] = found.into_inner().expect("lock");
    assert!(harmless > 50 && damage > 50, "{harmless} harmless, {damage} found");
}
