//! Opening the exporter from the command line: the world it works in, its log, what it tells while it works.

use super::render;
use super::{Context, Failure, exit};
use crate::app::beside::BesideFault;
use crate::app::config::{Config, SourceKind};
use crate::app::exporter::{Exporter, World};
use crate::app::fault::ExporterFault;
use crate::app::journal::is_damage;
use crate::app::progress::Progress;
use crate::app::recover::RecoverFault;
use crate::app::stopped;
use crate::app::store::StoreFault;
use crate::disk::RealDisk;
use crate::ledger::LedgerFault;
use indicatif::{ProgressBar, ProgressStyle};
use std::collections::BTreeSet;
use std::io::{IsTerminal, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tracing::Level;

/// How much is logged unless it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Log {
    /// Every decision: for a program that goes on.
    Decisions,
    /// What is wrong: for a pass that reports at its end.
    Trouble,
}

/// Begins to log to standard error. Records and secrets are never part of it.
pub fn begin_log(context: &Context, log: Log) {
    let level = match (context.global.quiet, context.global.verbose, log) {
        (true, ..) => Level::ERROR,
        (_, 0, Log::Trouble) => Level::WARN,
        (_, 0 | 1, _) => Level::INFO,
        (_, 2.., _) => Level::DEBUG,
    };
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_target(false)
        .with_ansi(context.terminal.color_err)
        .with_writer(std::io::stderr);
    // A log that is there already, in tests, goes on.
    subscriber.try_init().ok();
}

/// The machine, and what is told while working.
pub fn world(context: &Context, config: &Config) -> World {
    let progress: Arc<dyn Progress> = Arc::new(Teller::new(context, config));
    World { threads: true, ..World::new(Arc::new(RealDisk), context.clock(), progress) }
}

/// Opens the exporter.
///
/// # Errors
/// As people read them, with the exit code.
pub fn open(config: Config, world: &World, to_the_end: bool) -> Result<Exporter, Failure> {
    let reads_stdin = config.sources.iter().any(|source| source.kind == SourceKind::Stdin);
    let input: Option<Box<dyn Read + Send>> = reads_stdin.then(|| Box::new(std::io::stdin()) as Box<dyn Read + Send>);
    let state = config.state.clone();
    let exporter = Exporter::open(config, world, input, to_the_end).map_err(failure)?;
    stopped::clear(world.disk.as_ref(), &state);
    Ok(exporter)
}

/// Lets `status` tell why the program did not start, or ended by itself. That another instance works is no reason.
pub fn remember<T>(done: Result<T, Failure>, world: &World, state: &Path) -> Result<T, Failure> {
    if let Err(failure) = &done
        && failure.exit != exit::LOCKED
    {
        let cause = failure.cause.as_ref().map(|cause| format!(": {cause}")).unwrap_or_default();
        let hint = failure.hint.as_deref().unwrap_or_default();
        stopped::note(world.disk.as_ref(), state, &format!("{}{cause}", failure.error), hint, world.clock.now());
    }
    done
}

/// What to do about a damaged ledger.
const DAMAGED: &str = "`hourdrop verify` names everything that differs; `hourdrop recover` makes a new ledger from the \
                       archive";

/// A fault of the exporter with its exit code and advice.
#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` hands over")]
#[expect(clippy::wildcard_enum_match_arm, reason = "every other fault reads the same")]
pub fn failure(fault: ExporterFault) -> Failure {
    match &fault {
        damage if is_damage(damage) => {
            Failure::new("the spool is damaged, and nothing goes on before it is mended").because(&fault).hint(
                "`hourdrop spool check` names what is lost; `hourdrop spool salvage --reason ...` lets the rest go on",
            )
        }
        ExporterFault::Store(StoreFault::Ledger(LedgerFault::Damaged { .. }))
        | ExporterFault::Ledger(LedgerFault::Damaged { .. }) => {
            Failure::new("the ledger is damaged, so nothing goes on").because(&fault).hint(DAMAGED)
        }
        ExporterFault::Store(store) => store_failure(store),
        _ if fault.is_failed_sync() => Failure::new("the disk could not make durable what was written").because(&fault).hint(
            "check the disk (kernel log, SMART) before you start again; what was acknowledged is safe, the rest is read again",
        ),
        _ => Failure::new("the export stopped").because(&fault).hint("what was accepted is safe; a restart goes on"),
    }
}

/// A state directory that cannot be worked with.
#[expect(clippy::wildcard_enum_match_arm, reason = "every other fault reads the same")]
pub fn store_failure(fault: &StoreFault) -> Failure {
    let refused = |what: &str| Failure::new(what).because(fault);
    match fault {
        StoreFault::Locked(dir) => Failure {
            exit: exit::LOCKED,
            ..Failure::new(format!("another hourdrop works with {}", dir.display()))
                .hint("wait until it is done, or stop it: one state directory has one instance")
        },
        StoreFault::Inconsistent { .. } => refused("the state directory is not complete").hint(
            "put the missing part back, or `hourdrop recover --reason ...` builds it again; it is never made anew by itself",
        ),
        _ if fault.lacks_journal() => {
            refused("the journal does not belong to this state").hint(
                "put the right one back; where it is lost, `hourdrop recover --reason ...` goes on without it and says what may be lost",
            )
        }
        StoreFault::Beside(BesideFault::ArchiveRolledBack { .. }) => refused("state and archive do not fit together")
            .hint("mount or restore the right archive, .log included; `hourdrop recover --reason ...` writes its log anew"),
        _ if fault.log_is_damaged() => refused("the archive's log is damaged")
            .hint("`hourdrop recover --reason ...` goes on from what the ledger and the rest of the log say"),
        StoreFault::Beside(_) => refused("state and archive do not fit together").hint(
            "nothing was written; put the newest state directory back, or `hourdrop recover --reason ...` builds the ledger again and goes on above the highest number",
        ),
        StoreFault::OldPlan { .. } => refused("a plan of another version is not finished")
            .hint("finish it with the version that made it: `hourdrop once`, then upgrade"),
        _ => refused("the export stopped").hint("what was accepted is safe; a restart goes on"),
    }
}

/// Why a ledger could not be rebuilt, with advice.
#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` hands over")]
#[expect(clippy::wildcard_enum_match_arm, reason = "every other fault reads the same")]
pub fn recover_failure(fault: RecoverFault) -> Failure {
    let failed = || Failure::new("the ledger was not rebuilt; the old state is as it was").because(&fault);
    match &fault {
        RecoverFault::Store(locked @ StoreFault::Locked(_)) => store_failure(locked),
        RecoverFault::Mixed(_) => failed().hint("put the parts of one store together: state, journal and archive"),
        RecoverFault::ArchiveTooOld { .. } => failed().hint(
            "mount the newest archive; if it is lost, --archive-from-backup goes on and holds what may have been sent since",
        ),
        _ => failed(),
    }
}

/// A line on the terminal that follows the work, and the acknowledgements for standard input.
struct Teller {
    bar: ProgressBar,
    stdin: BTreeSet<String>,
    accepted: AtomicU64,
    read: AtomicU64,
    sealed: AtomicU64,
    delivered: AtomicU64,
}

impl Teller {
    fn new(context: &Context, config: &Config) -> Self {
        let quiet = context.global.quiet || context.global.json || context.global.verbose > 0;
        let bar =
            if quiet || !std::io::stderr().is_terminal() { ProgressBar::hidden() } else { ProgressBar::new_spinner() };
        if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed} {msg}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(200));
        let stdin = config.sources.iter().filter(|source| source.kind == SourceKind::Stdin);
        Self {
            bar,
            stdin: stdin.map(|source| source.id.to_string()).collect(),
            accepted: AtomicU64::new(0),
            read: AtomicU64::new(0),
            sealed: AtomicU64::new(0),
            delivered: AtomicU64::new(0),
        }
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

impl Progress for Teller {
    fn read(&self, source: &str, records: u64, unread: u64) {
        let read = self.read.fetch_add(records, Ordering::Relaxed) + records;
        let (read, unread) = (super::table::grouped(read), super::table::grouped(unread >> 20));
        self.bar.set_message(format!("reading {source}: {read} records, {unread} MiB to go"));
    }

    fn rendered(&self, frames: u64, of: u64) {
        let percent = (frames * 100).checked_div(of).unwrap_or(0);
        self.bar.set_message(format!("rendering hours: {percent} %"));
    }

    fn sealed(&self, files: u64) {
        let sealed = self.sealed.fetch_add(files, Ordering::Relaxed) + files;
        self.bar.set_message(format!("{sealed} files in the archive"));
    }

    fn delivered(&self, partner: &str, file: &str) {
        let delivered = self.delivered.fetch_add(1, Ordering::Relaxed) + 1;
        self.bar.set_message(format!("{delivered} files delivered, {partner}: {file}"));
    }

    fn before(&self, source: &str, records: u64) {
        if self.stdin.contains(source) {
            render::begin(records);
        }
    }

    fn accepted(&self, source: &str, records: u64) {
        if self.stdin.contains(source) && records > 0 {
            let accepted = self.accepted.fetch_add(records, Ordering::Relaxed) + records;
            render::acknowledge(accepted);
        }
    }
}
