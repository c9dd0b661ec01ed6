//! Opening the exporter from the command line: the world it works in, its log, what it tells while it works.

use super::render;
use super::{Context, Failure, exit};
use crate::app::config::{Config, SourceKind};
use crate::app::exporter::{Exporter, World};
use crate::app::fault::ExporterFault;
use crate::app::progress::Progress;
use crate::app::store::StoreFault;
use crate::disk::RealDisk;
use crate::ledger::LedgerFault;
use indicatif::{ProgressBar, ProgressStyle};
use std::collections::BTreeSet;
use std::io::{IsTerminal, Read};
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
    World::new(Arc::new(RealDisk), context.clock(), progress)
}

/// Opens the exporter.
///
/// # Errors
/// As people read them, with the exit code.
pub fn open(config: Config, world: &World, to_the_end: bool) -> Result<Exporter, Failure> {
    let reads_stdin = config.sources.iter().any(|source| source.kind == SourceKind::Stdin);
    let input: Option<Box<dyn Read + Send>> = reads_stdin.then(|| Box::new(std::io::stdin()) as Box<dyn Read + Send>);
    Exporter::open(config, world, input, to_the_end).map_err(failure)
}

/// What to do about a damaged ledger.
const DAMAGED: &str = "`hourdrop verify` names everything that differs; `hourdrop recover` makes a new ledger from the \
                       archive";

/// A fault of the exporter with its exit code and advice.
#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` hands over")]
#[expect(clippy::wildcard_enum_match_arm, reason = "every other fault reads the same")]
pub fn failure(fault: ExporterFault) -> Failure {
    match &fault {
        ExporterFault::Store(StoreFault::Locked(dir)) => Failure {
            exit: exit::LOCKED,
            ..Failure::new(format!("another hourdrop works with {}", dir.display()))
                .hint("wait until it is done, or stop it: one state directory has one instance")
        },
        ExporterFault::Store(StoreFault::Inconsistent { .. }) => Failure::new("the state directory is not complete")
            .because(&fault)
            .hint("put the missing part back; it is never made anew beside the others"),
        ExporterFault::Store(StoreFault::Ledger(LedgerFault::Damaged { .. }))
        | ExporterFault::Ledger(LedgerFault::Damaged { .. }) => {
            Failure::new("the ledger is damaged, so nothing goes on").because(&fault).hint(DAMAGED)
        }
        ExporterFault::NotHeld { .. } => Failure { exit: exit::USAGE, ..Failure::new(fault.to_string()) }
            .hint("`hourdrop status` shows what is held"),
        _ => Failure::new("the export stopped").because(&fault).hint("what was accepted is safe; a restart goes on"),
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

    fn accepted(&self, source: &str, records: u64) {
        if self.stdin.contains(source) && records > 0 {
            let accepted = self.accepted.fetch_add(records, Ordering::Relaxed) + records;
            render::acknowledge(accepted);
        }
    }
}
