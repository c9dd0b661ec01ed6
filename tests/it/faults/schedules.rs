//! A scripted server that lies by a schedule: it cuts, stalls, resets, answers what is not so, acts and says that it did
//! not, acts later, loses parts of files, and its partner takes files at any moment. Everything else is the real
//! program: records, sealing, archive, ledger, one pass after the other until the schedule is used up.
//!
//! The judgement is the partner's: no name is shown twice, none before it is whole, none out of order, and no
//! stranger's file is touched or named. In the end everything is delivered, or waited for a person with a reason.
//!
//! `HOURDROP_SCHEDULES` is the number of schedules that are drawn.

pub mod plan;
mod run;
pub mod server;
pub mod world;

use super::{number, say, seed, tell};
use plan::{Act, Lie, Plan, STEPS, Step, Taking, Traits, WrongSize, acts_of};
use run::{Outcome, run};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

const SCHEDULES: u64 = 100;
/// Of all that can go wrong once, alone, each so-manieth is tried; all of it when that many schedules are asked for.
const EACH: usize = 4;
const ALL_FROM: u64 = 1_000;
/// Many of them wait for a deadline.
const AT_ONCE: usize = 4;

/// So many schedules that fail tell enough.
const PROBLEMS_MAX: usize = 6;

/// What came of all schedules.
#[derive(Debug, Default)]
struct Tally {
    fired: usize,
    held: BTreeMap<String, u64>,
    resent: u64,
    undeliverable: u64,
    /// Nothing went wrong in them.
    unreached: u64,
}

impl Tally {
    fn add(&mut self, outcome: Outcome) {
        self.fired += outcome.fired;
        self.resent += outcome.resent;
        self.undeliverable += u64::from(outcome.undeliverable);
        self.unreached += u64::from(outcome.fired == 0);
        for reason in outcome.held {
            *self.held.entry(reason).or_default() += 1;
        }
    }
}

/// Runs all of them; each has words for how it is drawn again.
fn run_all(plans: &[(String, Plan)]) -> Tally {
    let (next, tally, problems) = (AtomicUsize::new(0), Mutex::new(Tally::default()), Mutex::new(Vec::new()));
    let work = || {
        while let Some((how, plan)) = plans.get(next.fetch_add(1, Ordering::Relaxed)) {
            if problems.lock().unwrap_or_else(PoisonError::into_inner).len() >= PROBLEMS_MAX {
                return;
            }
            match run(plan) {
                Ok(outcome) => tally.lock().unwrap_or_else(PoisonError::into_inner).add(outcome),
                Err(problem) => {
                    problems.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{how}: {problem}"));
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(work);
        }
    });
    let problems = problems.into_inner().unwrap_or_else(PoisonError::into_inner);
    let shown = problems.join("\n\n");
    assert!(problems.is_empty(), "{} of {} schedules: {shown}", problems.len(), plans.len());
    tally.into_inner().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn no_schedule_of_lies_shows_a_file_twice_or_in_part_or_touches_a_strangers() {
    let (seed, count) = (seed(), number("HOURDROP_SCHEDULES", SCHEDULES));
    say(&format!("schedules: seed {seed}"));
    let drawn = |number: u64| {
        let own = seed.wrapping_add(number);
        (format!("HOURDROP_SEED={own} HOURDROP_SCHEDULES=1 (number {number} of seed {seed})"), Plan::draw(own))
    };
    let plans: Vec<(String, Plan)> = (0..count).map(drawn).collect();
    let tally = run_all(&plans);
    say(&format!("schedules: {tally:?}"));
    assert!(count < 20 || tally.fired > plans.len(), "the lies are hardly ever reached: {tally:?}");
    tell("schedules of a lying server", count, count, seed);
}

/// Everything that can go wrong at each step, once, alone.
fn alone() -> Vec<Lie> {
    let lies = STEPS.into_iter().flat_map(|step| acts_of(step).into_iter().map(move |act| (step, act)));
    lies.map(|(step, act)| Lie { step, nth: 1, times: 1, act }).collect()
}

#[test]
fn each_step_may_go_wrong_in_each_way() {
    let (seed, count) = (seed(), number("HOURDROP_SCHEDULES", SCHEDULES));
    let each = if count >= ALL_FROM { 1 } else { EACH };
    let first = usize::try_from(seed % 1_024).expect("small") % each;
    say(&format!("one lie alone: seed {seed}"));
    let plan = |(number, lie): (usize, Lie)| {
        let taking = [Taking::Never, Taking::AtOnce][number / each % 2];
        // Directories are made where none are; something is removed where an upload went wrong.
        let mut plan = Plan::of(lie, Traits { taking, foreign: lie.step != Step::Mkd, ..Traits::PLAIN });
        if lie.step == Step::Dele {
            let act = Act::Code { code: 451, done: false };
            plan.lies.push(Lie { step: Step::Stored, nth: 1, times: 1, act });
        }
        (format!("seed {seed}, {lie}"), plan)
    };
    let plans: Vec<(String, Plan)> = alone().into_iter().enumerate().skip(first).step_by(each).map(plan).collect();
    let tally = run_all(&plans);
    say(&format!("one lie alone: {} schedules, {tally:?}", plans.len()));
    assert_eq!(tally.unreached, 0, "every step is reached");
}

/// A server may state no size of a file that it does not let us read, and replace it without a word.
#[test]
fn a_strangers_file_is_not_replaced_where_the_server_hides_its_size() {
    // The sizes of the first part before and after its rename, of the second part's temporary name, of its final one.
    let act = Act::Code { code: 550, done: false };
    let lie = Lie { step: Step::Size, nth: 5, times: 1, act };
    let outcome = run(&Plan::of(lie, Traits { foreign_final: true, ..Traits::PLAIN })).expect("nothing is broken");
    assert_eq!((outcome.fired, outcome.held.first().map(String::as_str)), (1, Some("conflict")));
}

/// A person is asked only when a wrong size stays wrong.
#[test]
fn a_size_that_is_stated_late_after_a_rename_holds_nothing() {
    let lie = Lie { step: Step::Size, nth: 3, times: 2, act: Act::Size(WrongSize::Half) };
    let outcome = run(&Plan::of(lie, Traits::PLAIN)).expect("nothing is broken");
    assert_eq!((outcome.fired, outcome.held.len()), (2, 0));
}
