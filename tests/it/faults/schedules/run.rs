//! One schedule from its first pass to the last, and the judgement from the partner's side.

use super::super::memory_dir;
use super::super::rig::{FIRST_SECOND, IN, LINES};
use super::plan::{Act, Plan, Step};
use super::server::{Server, final_path};
use super::world::{Event, World};
use crate::site::{StandingClock, files_in, load, time};
use hourdrop::app::exporter::{Exporter, OnceReport, World as Surroundings};
use hourdrop::app::operator::{Order, SettleAs, Target};
use hourdrop::app::progress::Silent;
use hourdrop::disk::RealDisk;
use hourdrop::domain::ids::FeedId;
use rusqlite::Connection;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use tempfile::TempDir;

const NOW: &str = "2024-11-03T10:00:00Z";
/// Sessions while the server lies.
const SESSIONS: usize = 8;
/// Sessions until everything must be done when it does not.
const PATIENCE: usize = 4;
/// Every start reads a segment to its end.
const SEGMENT_BYTES: u64 = 1 << 17;
/// The second part of the first hour.
pub const FOREIGN_FINAL: &str = "HX_2024110302_00002.dat";
/// Times of a person's work: release or settle, then deliver.
const PERSON_MAX: usize = 8;

/// What came of a schedule, for the tally.
#[derive(Debug, Default)]
pub struct Outcome {
    pub held: BTreeSet<String>,
    pub resent: u64,
    pub fired: usize,
    pub undeliverable: bool,
}

/// A file as the ledger has it.
#[derive(Debug, Clone)]
struct Row {
    name: String,
    state: String,
    reason: String,
    resent: u64,
}

struct Run {
    dir: TempDir,
    server: Server,
    config: PathBuf,
    plan: Plan,
}

/// Runs a schedule. The text says everything that is wrong.
pub fn run(plan: &Plan) -> Result<Outcome, String> {
    let run = Run::new(plan);
    run.carry_out().map_err(|problem| {
        let world = run.server.world();
        let log = if world.commands.len() > 400 { &world.commands[..400] } else { &world.commands };
        format!("{problem}\nschedule: {plan}\ndialogue:\n{}", log.join("\n"))
    })
}

impl Run {
    fn new(plan: &Plan) -> Self {
        let dir = memory_dir();
        let server = Server::start(plan, FOREIGN_FINAL);
        let write = |name: &str, text: &str| {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().expect("a directory")).expect("directory");
            fs::write(&path, text).expect("written");
            path
        };
        write("formats/in.toml", IN);
        write("formats/lines.toml", LINES);
        write("in/cdr.log", &input(plan.traits.large));
        let secret = write("password", "hunter2");
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).expect("mode");
        let config = write("hourdrop.toml", &configuration(plan, server.port, "250ms"));
        Self { dir, server, config, plan: plan.clone() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn open(&self) -> Exporter {
        let clock = Arc::new(StandingClock(time(NOW)));
        let mut world = Surroundings::new(Arc::new(RealDisk), clock, Arc::new(Silent));
        world.limits.segment_bytes_max = SEGMENT_BYTES;
        Exporter::open(load(&self.config, NOW), &world, None, true).expect("an exporter")
    }

    /// One pass: one session, up to its first fault.
    fn pass(&self) -> Result<OnceReport, String> {
        let report = self.open().once().map_err(|fault| format!("a pass failed: {fault}"))?;
        match report.partners.first() {
            Some((_, outcome)) if outcome.stopped => Err(format!("the delivery stopped for good: {outcome:?}")),
            _ => Ok(report),
        }
    }

    fn carry_out(&self) -> Result<Outcome, String> {
        let mut last = None;
        for _ in 0..SESSIONS {
            let report = self.pass()?;
            let done = report.partners.iter().all(|(_, outcome)| outcome.left == 0);
            last = Some(report);
            self.judge_always()?;
            if done {
                break;
            }
        }
        self.server.world().behave();
        // Nothing that a busy machine delays counts as a lost reply from here on.
        fs::write(&self.config, configuration(&self.plan, self.server.port, "20s")).expect("written");
        let mut outcome = Outcome::default();
        for _ in 0..PERSON_MAX {
            for _ in 0..PATIENCE {
                last = Some(self.pass()?);
                self.judge_always()?;
                if self.rows().iter().all(|row| row.state == "delivered" || row.state == "held") {
                    break;
                }
            }
            let held: Vec<Row> = self.rows().into_iter().filter(|row| row.state == "held").collect();
            if held.is_empty() {
                break;
            }
            for row in held {
                outcome.held.insert(self.judge_held(&row)?);
                self.person(&row)?;
            }
        }
        let world = self.server.world();
        outcome.fired = world.fired.len();
        drop(world);
        self.judge_end(last, &mut outcome)?;
        Ok(outcome)
    }

    /// The files in the order in which the partner must see them.
    fn rows(&self) -> Vec<Row> {
        let ledger = Connection::open(self.path("state/ledger.db")).expect("ledger");
        let query =
            "SELECT f.name, f.state, coalesce(f.reason, ''), f.resent FROM file f JOIN batch b ON b.id = f.batch
                     ORDER BY b.id, f.part = 0, f.part";
        let mut statement = ledger.prepare(query).expect("a query");
        let row = |row: &rusqlite::Row<'_>| {
            Ok(Row {
                name: row.get(0)?,
                state: row.get(1)?,
                reason: row.get(2)?,
                resent: row.get::<_, i64>(3)?.unsigned_abs(),
            })
        };
        let rows = statement.query_map([], row).expect("rows");
        rows.collect::<Result<_, _>>().expect("rows")
    }

    fn archived(&self) -> BTreeMap<String, Vec<u8>> {
        let bare = |path: String| path.rsplit('/').next().unwrap_or_default().to_owned();
        files_in(&self.path("archive/huaxin"))
            .into_iter()
            .map(|(path, bytes)| (final_path(&bare(path)), bytes))
            .collect()
    }

    /// What must hold at every moment.
    fn judge_always(&self) -> Result<(), String> {
        let (archived, rows) = (self.archived(), self.rows());
        let world = self.server.world();
        let mut problems = world.broken.clone();
        problems.extend(world.judge_foreign());
        let mut first_shown = Vec::new();
        let mut shown: BTreeMap<&String, u64> = BTreeMap::new();
        for event in &world.events {
            let Event::Shown(path, bytes) = event else { continue };
            if archived.get(path) != Some(bytes) {
                problems.push(format!("{path} was shown with {} bytes that are not those of the archive", bytes.len()));
            }
            let times = shown.entry(path).or_default();
            *times += 1;
            if *times == 1 {
                first_shown.push(path.clone());
            }
        }
        for row in &rows {
            let times = shown.get(&final_path(&row.name)).copied().unwrap_or(0);
            if times > 1 + row.resent {
                problems.push(format!("{} was shown {times} times, {} of them on purpose", row.name, row.resent));
            }
            if row.resent > 0 && !self.plan.traits.resend {
                problems.push(format!("{} was sent again, which nobody has allowed", row.name));
            }
            if row.state == "delivered" && times == 0 {
                problems.push(format!("{} is taken for delivered and was never shown", row.name));
            }
        }
        let order: Vec<String> = rows.iter().map(|row| final_path(&row.name)).collect();
        if !order.starts_with(&first_shown) {
            problems.push(format!("the order of {first_shown:?} is not that of the numbers"));
        }
        if problems.is_empty() { Ok(()) } else { Err(problems.join("\n")) }
    }

    /// A file may wait for a person only for a reason that the server gave:
    ///
    /// | reason | given by |
    /// |---|---|
    /// | conflict | a stranger's file under the name; a wrong size or a wrong listing |
    /// | in doubt | the answer to a rename lost, late, refused or senseless, and the file is gone; a wrong sight of it |
    fn judge_held(&self, row: &Row) -> Result<String, String> {
        let world = self.server.world();
        let foreign = self.plan.traits.foreign_final && row.name == FOREIGN_FINAL;
        let sight = world.fired.iter().any(|(step, act)| blurs_sight(*step, *act));
        let rename = world.unexplained > 0 || world.fired.iter().any(|(step, _)| *step == Step::Rnto);
        let allowed = match row.reason.as_str() {
            "conflict" => foreign || sight,
            "in doubt" => rename || sight,
            _ => false,
        };
        if allowed { Ok(row.reason.clone()) } else { Err(format!("{row:?} waits for a person for no reason")) }
    }

    /// Somebody who looks at the partner's and does what is right.
    fn person(&self, row: &Row) -> Result<(), String> {
        let feed = FeedId::parse("huaxin/lines").expect("a feed");
        let target = Target::File(feed, row.name.clone());
        let was_shown = {
            let mut world = self.server.world();
            world.take_stranger_away(&row.name);
            world.times_shown(&row.name) > 0
        };
        let what = match (was_shown, row.reason.as_str()) {
            (true, _) => Order::Settle(target, SettleAs::Delivered),
            (false, _) => Order::Release(target),
        };
        let mut exporter = self.open();
        exporter.order(&what, "somebody has looked", None).expect("the ledger takes it").map_err(|refusal| {
            format!("{row:?}: the order {what:?} is refused: {}; {}", refusal.what, refusal.advice)
        })?;
        Ok(())
    }

    fn judge_end(&self, last: Option<OnceReport>, outcome: &mut Outcome) -> Result<(), String> {
        let rows = self.rows();
        outcome.resent = rows.iter().map(|row| row.resent).sum();
        let open: Vec<&Row> = rows.iter().filter(|row| row.state != "delivered").collect();
        let fault = last.and_then(|report| report.partners.into_iter().find_map(|(_, outcome)| outcome.fault));
        if !self.plan.traits.knows_rename {
            outcome.undeliverable = true;
            let none_shown = self.server.world().events.is_empty();
            return if none_shown && fault.is_some() { Ok(()) } else { Err(format!("no rename, but {rows:?}")) };
        }
        if rows.len() != FILES || !open.is_empty() {
            return Err(format!("{} files, not delivered: {open:?}, last fault: {fault:?}", rows.len()));
        }
        let world = self.server.world();
        let left_over = world.left_over();
        let may_be_left = world.unexplained > 0 || world.fired.iter().any(|(step, _)| *step == Step::Dele);
        if !left_over.is_empty() && !may_be_left {
            return Err(format!("{left_over:?} is left over"));
        }
        judge_taken(&world)
    }
}

/// Parts and manifests of [`input`].
const FILES: usize = 5;

/// The partner has taken each file once, or once more when it was sent again; what it has not taken lies there.
fn judge_taken(world: &World) -> Result<(), String> {
    let there: BTreeSet<&String> = world.visible().map(|(path, _)| path).collect();
    let ends: BTreeSet<&String> = world
        .events
        .iter()
        .map(|event| match event {
            Event::Shown(path, _) | Event::Taken(path) => path,
        })
        .collect();
    let strange: Vec<&&String> = there.iter().filter(|path| !ends.contains(**path)).collect();
    if strange.is_empty() { Ok(()) } else { Err(format!("{strange:?} lies there and was never shown")) }
}

/// Whether the server shows names or sizes that are not so, or hides them.
const fn blurs_sight(step: Step, act: Act) -> bool {
    matches!(
        (step, act),
        (Step::Size, Act::Size(_) | Act::Code { .. })
            | (Step::ListData, Act::Data { then: Some(226), .. })
            | (Step::Listed | Step::List | Step::Cwd, Act::Code { .. })
    )
}

/// Three records of one hour and one of the next.
fn input(large: bool) -> String {
    let (records, note) = if large { (2_400, "note ".repeat(340)) } else { (3, "note".to_owned()) };
    let first = (0..records).map(|number| format!("a{number}|{FIRST_SECOND}|{note}\n"));
    first.collect::<String>() + &format!("b|{}|{note}\n", FIRST_SECOND + 3_600)
}

fn configuration(plan: &Plan, port: u16, deadline: &str) -> String {
    let traits = plan.traits;
    let records_max = if traits.large { 1_200 } else { 2 };
    let temporary = if traits.temporary_dir { "temporary_dir = \"work\"" } else { "" };
    let in_doubt = if traits.resend { "resend" } else { "hold" };
    format!(
        r#"
state   = "state"
archive = "archive"
once_deliver_for = "1ms"
[source.switch]
files    = "in"
finished = "renamed"
format   = "in"
[partner.huaxin]
deliver   = "ftp://acme@127.0.0.1:{port}/out"
password  = {{ file = "password" }}
in_doubt  = "{in_doubt}"
{temporary}
deadlines = {{ connect = "{deadline}", command = "{deadline}", transfer_idle = "{deadline}", final_reply = "{deadline}" }}
[partner.huaxin.feed.lines]
source      = "switch"
format      = "lines"
hour_by     = "at"
starts_at   = "2024-11-03T02:00:00Z"
name        = "HX_{{start:%Y%m%d%H}}_{{seq:05}}.dat"
records_max = {records_max}
manifest    = {{ name = "HX_{{start:%Y%m%d%H}}_r{{revision:02}}.json" }}
"#
    )
}
