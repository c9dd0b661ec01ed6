//! Many runs, each made by its seed.

use super::disk::{Fault, Habits};
use super::place::{Place, Temporary};
use super::scenario::{Disturbance, Outcome, Setup, When, run};
use super::survival::{End, Kind};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// Different inputs of runs that are compared with an undisturbed one.
const WORKLOADS: u64 = 12;

/// The files that the partner of an undisturbed run saw.
type Undisturbed = BTreeMap<u64, BTreeMap<String, Vec<u8>>>;

impl Setup {
    /// A run in which a few things go wrong.
    pub fn of_seed(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let is_strict = random.u8(..3) == 0;
        let count = random.usize(1..=4);
        let breaks = random.u8(..3) == 0;
        let disturbances: VecDeque<Disturbance> = (0..count).map(|_| disturbance(&mut random, breaks)).collect();
        Self {
            seed,
            workload: if is_strict { random.u64(..WORKLOADS) } else { random.u64(..) },
            habits: Habits {
                left_out: None,
                short_writes: random.u8(..4) == 0,
                other_device: (random.u8(..4) == 0).then_some("done"),
            },
            temporary: if random.u8(..3) == 0 { Temporary::Elsewhere } else { Temporary::Beside },
            is_strict,
            picks_up: !is_strict && random.bool(),
            disturbances,
            idle_cuts: random.bool(),
            adopted_bytes_min: if random.bool() { 1 } else { u64::MAX },
            flips_below: &[],
        }
    }

    /// A run in which the disk damages what it holds.
    pub fn with_flips(seed: u64, below: &'static [&'static str]) -> Self {
        let mut random = fastrand::Rng::with_seed(!seed);
        let crash = |random: &mut fastrand::Rng| Disturbance {
            when: When::After(random.u64(..200)),
            fault: Fault::Crash,
            end: End::PowerCut(Kind::ALL[random.usize(..Kind::ALL.len())]),
        };
        let disturbances = (0..random.usize(1..=2)).map(|_| crash(&mut random)).collect();
        Self { disturbances, idle_cuts: true, flips_below: below, ..Self::of_seed(seed) }
    }
}

fn disturbance(random: &mut fastrand::Rng, breaks: bool) -> Disturbance {
    let count = match random.u8(..3) {
        // What a start does first.
        0 => random.u64(..12),
        1 => random.u64(..60),
        _ => random.u64(..250),
    };
    let when = if random.u8(..6) == 0 { When::Never } else { When::After(count) };
    let fault = match random.u8(..8) {
        0 | 1 if breaks => Fault::FailedSync,
        2 if breaks => Fault::Broken(if random.bool() { 1 } else { random.u64(1..40) }),
        3 if breaks => Fault::Full(if random.bool() { 1 } else { random.u64(1..40) }),
        _ => Fault::Crash,
    };
    let end = match random.u8(..8) {
        0..=2 => End::Killed,
        number => End::PowerCut(Kind::ALL[usize::from(number % 4)]),
    };
    Disturbance { when, fault, end }
}

/// Which seeds a test runs.
#[derive(Debug, Clone, Copy)]
pub struct Seeds {
    pub first: u64,
    pub count: u64,
}

fn number_from_environment(name: &str) -> Option<u64> {
    std::env::var_os(name).map(|text| text.to_string_lossy().parse().unwrap_or_else(|_| panic!("{name} is no number")))
}

impl Seeds {
    /// As the environment says, or so many.
    pub fn asked(count: u64) -> Self {
        Self {
            first: number_from_environment("HOURDROP_SIM_FIRST_SEED").unwrap_or(0),
            count: number_from_environment("HOURDROP_SIM_SEEDS").unwrap_or(count),
        }
    }

    /// Every `of`-th seed from the `part`-th on.
    fn part(self, part: u64, of: u64) -> impl Iterator<Item = u64> {
        (self.first..self.first + self.count).filter(move |seed| seed % of == part)
    }
}

/// What came of many runs.
#[derive(Debug, Default)]
pub struct Tally {
    pub runs: u64,
    pub starts: u64,
    pub happened: u64,
    pub operations: u64,
}

/// Runs a part of the seeds on all processors and fails with the first that broke a promise.
pub fn run_part(seeds: Seeds, part: u64, of: u64, test: &str) -> Tally {
    let seeds: Vec<u64> = seeds.part(part, of).collect();
    let broken = Mutex::new(None);
    let tally = Mutex::new(Tally::default());
    on_all_processors(seeds.len(), &|place, undisturbed: &mut Undisturbed, index| {
        let seed = seeds[index];
        match guarded(|| run_compared(place, undisturbed, Setup::of_seed(seed))) {
            Ok(outcome) => {
                let mut tally = tally.lock().expect("lock");
                tally.runs += 1;
                tally.starts += u64::from(outcome.starts);
                tally.happened += u64::from(outcome.happened);
                tally.operations += outcome.operations;
                true
            }
            Err(what) => {
                let mut broken = broken.lock().expect("lock");
                let is_first = broken.as_ref().is_none_or(|(known, _)| seed < *known);
                if is_first {
                    *broken = Some((seed, what));
                }
                false
            }
        }
    });
    if let Some((seed, what)) = broken.into_inner().expect("lock") {
        panic!(
            "seed {seed}: {what}\n\nagain: HOURDROP_SIM_FIRST_SEED={seed} HOURDROP_SIM_SEEDS=1 tests/run {test}\n{:?}",
            Setup::of_seed(seed)
        );
    }
    tally.into_inner().expect("lock")
}

/// A run whose end is compared with that of an undisturbed one where nothing may make a difference.
fn run_compared(place: &Place, undisturbed: &mut Undisturbed, setup: Setup) -> Result<Outcome, String> {
    let (is_strict, workload) = (setup.is_strict, setup.workload);
    let outcome = run(place, setup)?;
    if is_strict {
        let expected = match undisturbed.entry(workload) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => unknown.insert(run(place, Setup::undisturbed(workload))?.content),
        };
        if *expected != outcome.content {
            return Err("the partner got other files than after an undisturbed run".to_owned());
        }
    }
    Ok(outcome)
}

/// A panic is a broken promise, too.
pub fn guarded<T>(run: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        Err(text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default())
    })
}

/// Calls `work` with the numbers below `count`, in threads that have a place and a memory each, until one says false.
pub fn on_all_processors<T: Default>(count: usize, work: &(dyn Fn(&Place, &mut T, usize) -> bool + Sync)) {
    let next = AtomicU64::new(0);
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..threads.min(count) {
            scope.spawn(|| {
                let (place, mut memory) = (Place::new(), T::default());
                loop {
                    let index = usize::try_from(next.fetch_add(1, Ordering::Relaxed)).expect("small");
                    if index >= count || !work(&place, &mut memory, index) {
                        next.store(count as u64, Ordering::Relaxed);
                        return;
                    }
                }
            });
        }
    });
}
