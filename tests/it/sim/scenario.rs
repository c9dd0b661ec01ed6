//! One run: input arrives in waves, the program makes its passes, is stopped and started again, until it has come
//! through. What the partner sees on the way is checked at every look, and all of it at the end.

use super::disk::{Fault, Habits, SimDisk};
use super::partner::{DROP, Partner};
use super::place::{Place, Temporary};
use super::survival::{End, Kind};
use super::workload::{WAVES, Workload, second_of};
use crate::site::StandingClock;
use hourdrop::app::exporter::{Exporter, OnceReport, World};
use hourdrop::app::fault::ExporterFault;
use hourdrop::app::operator::{Order, SettleAs, Target};
use hourdrop::app::progress::Progress;
use hourdrop::disk::RealDisk;
use hourdrop::domain::delivery::{FileState, HeldReason};
use hourdrop::domain::ids::FeedId;
use hourdrop::domain::time::UtcTime;
use hourdrop::ledger::Ledger;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};

/// Starts after which a run should have come through long ago.
const STARTS_MAX: u32 = 40;
/// A segment is full after a few frames, so that segments are begun and freed all the time.
const SEGMENT_BYTES: u64 = 700;
/// Batches and files of a sum.
const SUM_ROWS_MIN: u64 = 4;

/// When something goes wrong.
#[derive(Debug, Clone, Copy)]
pub enum When {
    /// At the operation with this number, counted from the beginning of the run.
    At(u64),
    /// So many operations after the next start of the program.
    After(u64),
    /// Never during the next pass.
    Never,
}

/// Something that goes wrong, and how the program ends afterwards.
#[derive(Debug, Clone, Copy)]
pub struct Disturbance {
    pub when: When,
    pub fault: Fault,
    pub end: End,
}

/// Everything that makes a run what it is.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Drives whatever is not said here.
    pub seed: u64,
    pub workload: u64,
    pub habits: Habits,
    pub temporary: Temporary,
    /// The clock stands still and nothing arrives until a pass has come through: then the end is that of an
    /// undisturbed run.
    pub is_strict: bool,
    /// The partner takes files away.
    pub picks_up: bool,
    pub disturbances: VecDeque<Disturbance>,
    /// Power cuts while no program runs.
    pub idle_cuts: bool,
    /// The journal keeps input files from this size on instead of copying them.
    pub adopted_bytes_min: u64,
    /// Bits turn over at power cuts, in files below these.
    pub flips_below: &'static [&'static str],
}

impl Setup {
    pub fn undisturbed(workload: u64) -> Self {
        Self {
            seed: workload,
            workload,
            habits: Habits::default(),
            temporary: Temporary::Beside,
            is_strict: true,
            picks_up: false,
            disturbances: VecDeque::new(),
            idle_cuts: false,
            adopted_bytes_min: u64::MAX,
            flips_below: &[],
        }
    }
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// What the partner saw.
    pub content: BTreeMap<String, Vec<u8>>,
    /// Operations of the disk.
    pub operations: u64,
    /// A checksum over them.
    pub trace: u32,
    /// Starts of the program.
    pub starts: u32,
    /// What went wrong on the way.
    pub happened: u32,
    /// The program found damage and refused to go on, in these words.
    pub damage: Option<String>,
}

/// What the program said about deliveries.
#[derive(Default)]
struct Told(Mutex<BTreeSet<String>>);

impl Progress for Told {
    fn delivered(&self, _partner: &str, file: &str) {
        self.0.lock().expect("lock").insert(file.to_owned());
    }
}

/// A run on its way.
struct Run<'p> {
    place: &'p Place,
    setup: Setup,
    input: Workload,
    disk: SimDisk,
    partner: Partner,
    told: Arc<Told>,
    random: fastrand::Rng,
    now: UtcTime,
    arrived: usize,
    starts: u32,
    happened: u32,
    flipped: Vec<String>,
    history: Vec<String>,
}

/// Runs it.
///
/// # Errors
/// The promise that was broken, and what went before.
pub fn run(place: &Place, setup: Setup) -> Result<Outcome, String> {
    // Whatever draws numbers by itself, such as a new state directory its name, draws the same ones again.
    fastrand::seed(setup.seed);
    let disk = SimDisk::new(&place.root(), setup.seed, setup.habits);
    for dir in ["in", DROP] {
        disk.put_dir(dir);
    }
    let mut run = Run {
        place,
        input: Workload::new(setup.workload),
        partner: Partner::default(),
        told: Arc::default(),
        random: fastrand::Rng::with_seed(setup.seed ^ 0x5eed),
        now: UtcTime::MIN,
        arrived: 0,
        starts: 0,
        happened: 0,
        flipped: Vec::new(),
        history: Vec::new(),
        disk,
        setup,
    };
    let ended = run.all_waves();
    run.disk.plan_fault(None);
    ended.map_err(|broken| format!("{broken}\n{}", run.history.join("\n")))
}

impl Run<'_> {
    fn all_waves(&mut self) -> Result<Outcome, String> {
        for wave in 0..WAVES {
            self.arrive(wave);
            if let Some(damage) = self.come_through()? {
                return Ok(self.outcome(Some(damage)));
            }
            self.look()?;
            if self.setup.picks_up {
                self.partner.pick_up(&self.disk, &mut self.random);
            }
            if self.setup.idle_cuts && self.random.u8(..4) == 0 {
                let kind = self.any_kind();
                self.end(End::PowerCut(kind));
                self.look()?;
            }
        }
        if !self.flipped.is_empty() {
            self.partner.check_everything(&self.disk, &self.input.ids)?;
            return Ok(self.outcome(None));
        }
        // Whatever was said to be done is durable now.
        self.disk.end(End::PowerCut(Kind::Nothing));
        self.look()?;
        self.check_places(self.happened == 0)?;
        let report = self.pass().map_err(|fault| format!("the last pass stopped: {fault}"))?;
        let (read, sealed) = (report.read, &report.sealed);
        let delivered: u64 = report.partners.iter().map(|(_, outcome)| outcome.delivered).sum();
        if (read.records, read.inputs, sealed.files, delivered, report.exit_code()) != (0, 0, 0, 0, 0) {
            return Err(format!("a further pass did something: {report:?}"));
        }
        self.look()?;
        self.check_places(true)?;
        self.partner.check_everything(&self.disk, &self.input.ids)?;
        crate::sums::book_as_rows(&self.place.config(self.setup.temporary), self.now)?;
        Ok(self.outcome(None))
    }

    fn outcome(&self, damage: Option<String>) -> Outcome {
        Outcome {
            content: self.partner.content(),
            operations: self.disk.operations(),
            trace: self.disk.trace(),
            starts: self.starts,
            happened: self.happened,
            damage,
        }
    }

    /// Input up to this wave is there.
    fn arrive(&mut self, wave: usize) {
        let at = UtcTime::from_seconds(second_of(wave)).expect("a time");
        self.now = self.now.max(at);
        self.disk.set_time(self.now.nanos());
        while self.arrived <= wave {
            for input in &self.input.waves[self.arrived] {
                self.disk.put(&format!("in/{}", input.name), &input.bytes);
            }
            self.arrived += 1;
        }
    }

    fn any_kind(&mut self) -> Kind {
        Kind::ALL[self.random.usize(..Kind::ALL.len())]
    }

    fn end(&mut self, end: End) {
        self.history.push(format!("{end:?} at operation {}", self.disk.operations()));
        self.disk.end(end);
        if end != End::Killed
            && let Some(name) = self.disk.flip_a_bit(self.setup.flips_below)
        {
            self.history.push(format!("a bit of {name} turned over"));
            self.flipped.push(name);
        }
    }

    fn look(&mut self) -> Result<(), String> {
        self.partner.look(&self.disk)
    }

    fn pass(&mut self) -> Result<OnceReport, ExporterFault> {
        self.open()?.once()
    }

    fn open(&mut self) -> Result<Exporter, ExporterFault> {
        self.starts += 1;
        let progress: Arc<dyn Progress> = Arc::clone(&self.told) as Arc<dyn Progress>;
        let mut world = World::new(Arc::new(self.disk.clone()), Arc::new(StandingClock(self.now)), progress);
        world.limits.segment_bytes_max = SEGMENT_BYTES;
        world.limits.adopted_bytes_min = self.setup.adopted_bytes_min;
        world.sum_rows_min = SUM_ROWS_MIN;
        let config = self.place.config(self.setup.temporary);
        Exporter::open(config, &world, None, true)
    }

    /// What goes wrong in the next pass, and how it ends then.
    fn next_fault(&mut self) -> (Option<(u64, Fault)>, End) {
        let now = self.disk.operations();
        let Some(next) = self.setup.disturbances.front().copied() else { return (None, End::Killed) };
        match next.when {
            When::At(number) => (Some((number, next.fault)), next.end),
            When::After(count) => {
                self.setup.disturbances.pop_front();
                (Some((now + count, next.fault)), next.end)
            }
            When::Never => {
                self.setup.disturbances.pop_front();
                (None, next.end)
            }
        }
    }

    /// Passes until one has come through; the damage that the program found when it stopped for it.
    fn come_through(&mut self) -> Result<Option<String>, String> {
        while self.starts < STARTS_MAX {
            let (fault, end) = self.next_fault();
            self.disk.plan_fault(fault);
            let done = self.pass();
            let (is_off, happened) = (self.disk.is_off(), self.disk.fault_happened());
            self.disk.plan_fault(None);
            if happened {
                self.happened += 1;
                self.setup.disturbances.retain(|left| !matches!(left.when, When::At(_)));
                self.history.push(format!("{fault:?}: {}", said(&done)));
            }
            if is_off && self.random.bool() {
                // A moment before.
                self.look()?;
            }
            let go_on = match done {
                _ if is_off => true,
                Err(fault) if !self.flipped.is_empty() => return Ok(Some(fault.to_string())),
                Err(fault) if !happened => return Err(format!("the program stopped: {fault}")),
                Err(_) => true,
                Ok(report) if !self.flipped.is_empty() && report.exit_code() != 0 => {
                    return Ok(Some(format!("{report:?}")));
                }
                Ok(report) => !self.is_finished(&report, happened)?,
            };
            if !go_on {
                self.disk.end(End::Killed);
                return Ok(None);
            }
            self.end(end);
            self.look()?;
            if self.setup.picks_up && self.random.bool() {
                self.partner.pick_up(&self.disk, &mut self.random);
            }
            if !self.setup.is_strict {
                let later = self.now.seconds() + self.random.i64(0..120);
                self.now = UtcTime::from_seconds(later).expect("a time");
                if self.arrived < WAVES && self.random.u8(..4) == 0 {
                    self.arrive(self.arrived);
                }
            }
        }
        Err("the program does not come through".to_owned())
    }

    /// True when a pass left nothing to do. What is held for a good reason, a person lets go.
    fn is_finished(&mut self, report: &OnceReport, happened: bool) -> Result<bool, String> {
        let is_quiet = report.partners.iter().all(|(_, outcome)| outcome.left == 0) && report.held.is_empty();
        if is_quiet && report.exit_code() == 0 {
            return Ok(true);
        }
        if self.release_what_is_in_doubt()? || happened {
            return Ok(false);
        }
        Err(format!("a pass without a fault left something: {report:?}"))
    }

    /// A person looks at what is held, and asks the partner.
    fn release_what_is_in_doubt(&mut self) -> Result<bool, String> {
        let path = self.place.root().join("state/ledger.db");
        let ledger = Ledger::open(Arc::new(RealDisk), &path).map_err(|fault| fault.to_string())?;
        let mut doubted = Vec::new();
        for feed in ["huaxin/voice", "huaxin/halves"] {
            let feed = FeedId::parse(feed).expect("a feed");
            for batch in ledger.batches_to_send(&feed, 1000).map_err(|fault| fault.to_string())? {
                for file in &batch.files {
                    let FileState::Held { reason, .. } = &file.state else { continue };
                    let name = file.name.as_str();
                    if *reason != HeldReason::InDoubt {
                        return Err(format!("{name} is held: {reason:?}"));
                    }
                    if self.told.0.lock().expect("lock").contains(name) {
                        return Err(format!("{name} is in doubt although it was said to be delivered"));
                    }
                    if !self.partner.has_taken(name) {
                        return Err(format!("{name} is in doubt although nobody touched it"));
                    }
                    self.history.push(format!("{name} is let go again"));
                    self.partner.expect_again(name);
                }
                if batch.is_held {
                    doubted.push(Order::Settle(Target::Hour(feed.clone(), batch.id.partition), SettleAs::Resend));
                }
            }
        }
        drop(ledger);
        if doubted.is_empty() {
            return Ok(false);
        }
        let mut exporter = self.open().map_err(|fault| fault.to_string())?;
        for order in doubted {
            let done = exporter.order(&order, "asked", None).map_err(|fault| fault.to_string())?;
            done.map_err(|refusal| refusal.to_string())?;
        }
        Ok(true)
    }

    /// Nothing is left over, nothing is missing, and everything lies where it should.
    fn check_places(&self, is_undisturbed: bool) -> Result<(), String> {
        let dropped: Vec<String> = self.disk.files_below(DROP).into_iter().map(|(name, _)| name).collect();
        if let Some(name) = dropped.iter().find(|name| name.ends_with(".tmp")) {
            return Err(format!("{name} is left over"));
        }
        for name in self.partner.content().keys() {
            if !self.partner.has_taken(name) && !dropped.contains(&format!("{DROP}/{name}")) {
                return Err(format!("{name} vanished"));
            }
        }
        // What a start has cleared away may come back, and is cleared away by the next.
        if let Some((name, _)) = self.disk.files_below("archive/.stage").first().filter(|_| is_undisturbed) {
            return Err(format!("{name} is left over"));
        }
        // A program that was stopped may have put away a file without making that durable: it is known by its name and
        // content, and put away again.
        if let Some((name, _)) = self.disk.files_below("in").first().filter(|_| is_undisturbed) {
            return Err(format!("{name} was not put away"));
        }
        let done = self.disk.files_below("done");
        for input in self.input.waves.iter().flatten() {
            let name = format!("done/{}", input.name);
            let waits = self.disk.files_below("in").iter().any(|(found, _)| found.ends_with(&input.name));
            if !waits && !done.iter().any(|(found, _)| *found == name) {
                return Err(format!("{name} is missing"));
            }
            if done.iter().any(|(found, bytes)| found.starts_with(&name) && *bytes != input.bytes) {
                return Err(format!("{name} is torn"));
            }
        }
        Ok(())
    }
}

fn said(done: &Result<OnceReport, ExporterFault>) -> String {
    match done {
        Ok(report) => format!("exit {}", report.exit_code()),
        Err(fault) => fault.to_string(),
    }
}
