//! What every command needs: the global arguments, the configuration, the ledger, the clock.

use super::arguments::GlobalArguments;
use super::exit;
use super::terminal::Terminal;
use super::times::Face;
use super::work::store_failure;
use crate::app::beside::Beside;
use crate::app::config::{self, Config, Loaded};
use crate::app::report::{self, Depth, FeedBook};
use crate::app::store::refuse_lost_ledger;
use crate::clock::{Clock, SystemClock};
use crate::disk::RealDisk;
use crate::document::{Problem, Severity};
use crate::domain::period::Zone;
use crate::domain::time::UtcTime;
use crate::feed::definition::FeedDefinition;
use crate::ledger::{Ledger, LedgerFault};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const HERE: &str = "hourdrop.toml";
const SYSTEM: &str = "/etc/hourdrop/hourdrop.toml";
const DEMO: &str = "hourdrop-demo/hourdrop.toml";

/// What a command found, ready to be printed.
#[derive(Debug, Default)]
pub struct Answer {
    /// For standard output, unless `--json`.
    pub text: String,
    /// For standard output with `--json`, one object per line.
    pub json: Vec<Value>,
    /// For standard error; left out with `--quiet` and `--json`.
    pub notes: Vec<String>,
    /// Problems of configuration or format files, for standard error; left out with `--json`.
    pub problems: Vec<Problem>,
    /// The exit code.
    pub exit: u8,
}

/// Why a command gave no answer, rendered once.
#[derive(Debug, Default)]
pub struct Failure {
    /// The exit code.
    pub exit: u8,
    /// What could not be done.
    pub error: String,
    /// Why not.
    pub cause: Option<String>,
    /// What to do about it.
    pub hint: Option<String>,
    /// Problems of configuration or format files, shown before.
    pub problems: Vec<Problem>,
}

impl Failure {
    /// A failure with exit code 1.
    pub fn new(error: impl Into<String>) -> Self {
        Self { exit: exit::FAILED, error: error.into(), ..Self::default() }
    }

    /// The same with a cause.
    #[must_use]
    pub fn because(self, cause: impl std::fmt::Display) -> Self {
        Self { cause: Some(cause.to_string()), ..self }
    }

    /// The same with advice.
    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// Something typed that parses but does not fit.
    pub fn usage(error: impl Into<String>) -> Self {
        Self { exit: exit::USAGE, ..Self::new(error) }
    }

    /// The configuration cannot be used.
    pub fn configuration(error: impl Into<String>) -> Self {
        Self { exit: exit::CONFIGURATION, ..Self::new(error) }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(fault: anyhow::Error) -> Self {
        let causes: Vec<String> = fault.chain().skip(1).map(ToString::to_string).collect();
        let cause = (!causes.is_empty()).then(|| causes.join(": "));
        Self { cause, ..Self::new(fault.to_string()) }
    }
}

impl From<LedgerFault> for Failure {
    fn from(fault: LedgerFault) -> Self {
        Self::new("the ledger cannot be read").because(fault)
    }
}

/// What every command needs.
pub struct Context {
    /// The global arguments.
    pub global: GlobalArguments,
    /// What the terminal can show.
    pub terminal: Terminal,
    clock: Arc<dyn Clock>,
}

impl Context {
    /// Looks at the terminal and takes the machine's clock.
    #[must_use]
    pub fn new(global: GlobalArguments) -> Self {
        let terminal = Terminal::look(global.color);
        Self { global, terminal, clock: clock() }
    }

    /// The clock.
    #[must_use]
    pub fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.clock)
    }

    /// The current time.
    #[must_use]
    pub fn now(&self) -> UtcTime {
        self.clock.now()
    }

    /// How times of a zone are shown.
    #[must_use]
    pub fn face(&self, zone: Zone) -> Face {
        Face { zone: if self.global.utc { Zone::UTC } else { zone } }
    }

    /// Path of the configuration: what was typed, else here, else the system's.
    #[must_use]
    pub fn config_path(&self, demo: bool) -> PathBuf {
        match &self.global.config {
            _ if demo => PathBuf::from(DEMO),
            Some(path) => path.clone(),
            None if Path::new(HERE).exists() || !Path::new(SYSTEM).exists() => PathBuf::from(HERE),
            None => PathBuf::from(SYSTEM),
        }
    }

    /// Reads a configuration with all its problems.
    ///
    /// # Errors
    /// When the file itself cannot be read.
    pub fn load(&self, path: &Path) -> Result<Loaded, Failure> {
        config::load(path, self.now()).map_err(|fault| {
            let hint = if path == Path::new(DEMO) {
                "`hourdrop demo` makes it"
            } else {
                "`hourdrop init` writes a first configuration; --config FILE names another one"
            };
            Failure::configuration(format!("cannot read the configuration {}", fault.path.display()))
                .because(fault.source)
                .hint(hint)
        })
    }

    /// The configuration, for commands that need it without error.
    ///
    /// # Errors
    /// When it cannot be read or has errors; then the first of them is the cause.
    pub fn config(&self, demo: bool) -> Result<Config, Failure> {
        let path = self.config_path(demo);
        let loaded = self.load(&path)?;
        loaded.config.ok_or_else(|| {
            let errors: Vec<&Problem> =
                loaded.problems.iter().filter(|problem| problem.severity == Severity::Error).collect();
            let count = errors.len();
            let failure = Failure::configuration(format!(
                "the configuration {} has {count} error{}",
                path.display(),
                if count == 1 { "" } else { "s" }
            ));
            let cause = errors.first().map(|p| format!("{}:{}: {}", p.document.name, p.line(), p.message));
            Failure { cause, ..failure }.hint(format!("`hourdrop check {}` shows everything", path.display()))
        })
    }

    /// The ledger, for reading; `None` when nothing was ever accepted.
    ///
    /// # Errors
    /// When it is there and cannot be read, or is missing although something was accepted.
    pub fn ledger(&self, config: &Config) -> Result<Option<Ledger>, Failure> {
        let path = config.ledger_path();
        if !path.exists() {
            let lost = refuse_lost_ledger(&RealDisk, &config.state, &Beside::of(config));
            return lost.map(|()| None).map_err(|fault| store_failure(&fault));
        }
        Ok(Some(Ledger::open_read_only(&path)?))
    }

    /// The ledger of a command that is of no use without one.
    ///
    /// # Errors
    /// When there is none, or it cannot be read.
    pub fn needed_ledger(&self, config: &Config) -> Result<Ledger, Failure> {
        self.ledger(config)?.ok_or_else(|| {
            Failure::new("there is nothing to report yet")
                .because(format!("{} does not exist: no record was ever accepted", config.ledger_path().display()))
                .hint("`hourdrop once` reads what is there and exports it")
        })
    }

    /// The books of the feeds that `name` stands for: all without a name.
    ///
    /// # Errors
    /// When no feed has that name, or several have.
    pub fn books(&self, config: &Config, ledger: &Ledger, name: Option<&str>) -> Result<Vec<FeedBook>, Failure> {
        let books = report::books(config, Some(ledger), Depth::Everything)?;
        let Some(name) = name else { return Ok(books) };
        let names: Vec<String> = books.iter().map(|book| book.definition.id.to_string()).collect();
        let chosen = choose_feed(&names, name)?;
        Ok(books.into_iter().filter(|book| book.definition.id.to_string() == chosen).collect())
    }

    /// The one feed of the configuration that `name` stands for.
    ///
    /// # Errors
    /// When no feed has that name, or several have.
    pub fn feed<'c>(&self, config: &'c Config, name: &str) -> Result<&'c std::sync::Arc<FeedDefinition>, Failure> {
        let names: Vec<String> = config.feeds().map(|feed| feed.id.to_string()).collect();
        let chosen = choose_feed(&names, name)?;
        config.feeds().find(|feed| feed.id.to_string() == chosen).ok_or_else(|| Failure::usage("no such feed"))
    }
}

/// The feed called `partner/feed`, or the only one whose partner or feed has that name.
fn choose_feed(names: &[String], name: &str) -> Result<String, Failure> {
    if let Some(exact) = names.iter().find(|known| *known == name) {
        return Ok(exact.clone());
    }
    let halves = |known: &&String| known.split('/').any(|half| half == name);
    let matches: Vec<&String> = names.iter().filter(halves).collect();
    match matches.as_slice() {
        [one] => Ok((*one).clone()),
        [] => {
            let near = crate::document::nearest(name, names.iter().map(String::as_str));
            let hint =
                near.map_or_else(|| format!("feeds are {}", names.join(", ")), |near| format!("did you mean {near}?"));
            Err(Failure::usage(format!("there is no feed \"{name}\"")).hint(hint))
        }
        several => {
            let list = several.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
            Err(Failure::usage(format!("\"{name}\" can be several feeds")).hint(format!("name one of {list}")))
        }
    }
}

#[cfg(not(feature = "test-clock"))]
fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock)
}

/// Tests set the clock by `HOURDROP_TEST_CLOCK`: see [`crate::clock::from_text`]. `HOURDROP_TEST_UPTIME`, seconds and the
/// name of a start of the machine such as `3600@monday`, sets the other reading of a clock that stands still; without it
/// nobody has ever set the clock.
#[cfg(feature = "test-clock")]
#[expect(clippy::disallowed_methods, reason = "the seam for tests, never in a default build")]
fn clock() -> Arc<dyn Clock> {
    let up = std::env::var("HOURDROP_TEST_UPTIME").ok().and_then(|text| {
        let (seconds, boot) = text.split_once('@')?;
        Some((crate::domain::time::Length::from_seconds(seconds.parse().ok()?), boot.to_owned()))
    });
    let set = std::env::var("HOURDROP_TEST_CLOCK").ok();
    set.and_then(|text| crate::clock::from_text(&text, up)).unwrap_or_else(|| Arc::new(SystemClock))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_feed_is_found_by_a_half_of_its_name_when_that_is_enough() {
        let names: Vec<String> = ["huaxin/voice", "huaxin/sms", "meridian/calls"].map(str::to_owned).to_vec();
        for (typed, found) in [("huaxin/sms", "huaxin/sms"), ("voice", "huaxin/voice"), ("meridian", "meridian/calls")]
        {
            assert_eq!(choose_feed(&names, typed).expect("feed"), found);
        }
        let several = choose_feed(&names, "huaxin").expect_err("two feeds");
        assert_eq!((several.exit, several.hint.as_deref()), (2, Some("name one of huaxin/voice, huaxin/sms")));
        let none = choose_feed(&names, "huaxin/vioce").expect_err("no feed");
        assert_eq!(none.hint.as_deref(), Some("did you mean huaxin/voice?"));
    }
}
