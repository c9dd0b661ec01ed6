//! `check`: every problem of the configuration, then the configuration read back in plain words.

mod words;

pub use words::written;

use super::arguments::CheckArguments;
use super::render::problem_json;
use super::table::{counted, left, right, statements, table};
use super::times::Face;
use super::{Answer, Context, Failure, exit};
use crate::app::config::{Config, Loaded, PartnerConfig};
use crate::app::readback::{NextHour, next_hours};
use crate::document::Severity;
use crate::feed::definition::FeedDefinition;
use crate::ledger::Ledger;
use serde_json::{Value, json};

/// How many hours to come are told.
const HOURS: usize = 3;

/// The command.
pub fn run(context: &Context, arguments: &CheckArguments) -> Result<Answer, Failure> {
    let path = arguments.file.clone().unwrap_or_else(|| context.config_path(false));
    let Loaded { config, problems } = context.load(&path)?;
    let count = |severity| problems.iter().filter(|problem| problem.severity == severity).count() as u64;
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    let failed = errors > 0 || (arguments.deny_warnings && warnings > 0);
    let ledger = match &config {
        Some(config) => context.ledger(config)?,
        None => None,
    };
    let mut text = String::new();
    let mut feeds = Vec::new();
    if let Some(config) = &config {
        for partner in &config.partners {
            for definition in &partner.feeds {
                let hours = next_hours(definition, ledger.as_ref(), context.now(), HOURS)?;
                let feed = Feed { config, partner, definition, hours };
                text.push_str(&feed.text(context));
                feeds.push(feed.json(context.face(definition.period.zone())));
            }
        }
        text.push_str(&summary(config, ledger.as_ref()));
    }
    let shown: Vec<Value> = problems.iter().map(problem_json).collect();
    let verdict = format!("{}: {}", path.display(), if failed { "not usable" } else { "good" });
    Ok(Answer {
        text,
        json: vec![json!({
            "config": path.display().to_string(),
            "good": !failed,
            "errors": errors,
            "warnings": warnings,
            "problems": shown,
            "feeds": feeds,
        })],
        notes: vec![verdict],
        problems,
        exit: if failed { exit::CONFIGURATION } else { exit::DONE },
    })
}

fn summary(config: &Config, ledger: Option<&Ledger>) -> String {
    let state = match ledger {
        Some(_) => format!("state in {}", config.state.display()),
        None => format!("state in {} (nothing was accepted yet)", config.state.display()),
    };
    format!("{state}, archive in {}, kept {}\n", config.archive.display(), words::retention(config.keep))
}

/// One feed to be read back.
struct Feed<'c> {
    config: &'c Config,
    partner: &'c PartnerConfig,
    definition: &'c FeedDefinition,
    hours: Vec<NextHour>,
}

impl Feed<'_> {
    fn text(&self, context: &Context) -> String {
        let face = context.face(self.definition.period.zone());
        let rows = words::feed(self.config, self.partner, self.definition, face);
        let rows = rows.into_iter().map(|(topic, said)| [topic.to_owned(), said]).collect();
        let columns = [left("  NEXT HOURS"), left("CLOSES"), right("SEQ"), left("FILE")];
        let cells = |hour: &NextHour| {
            vec![
                format!("  {}", face.hour(hour.partition)),
                face.second_beside(hour.closes_at, hour.partition.start),
                hour.sequence.map_or_else(|| "at its end".to_owned(), |given| given.to_string()),
                hour.file.clone(),
            ]
        };
        let mut text = format!("{}\n{}", self.definition.id, statements(rows, context.terminal.width));
        if self.hours.is_empty() {
            text.push_str("  no further hours: the feed ends\n\n");
        } else {
            text.push_str(&table(&columns, self.hours.iter().map(cells).collect()));
            text.push('\n');
        }
        text
    }

    fn json(&self, face: Face) -> Value {
        let said = words::feed(self.config, self.partner, self.definition, face);
        let said: serde_json::Map<String, Value> =
            said.into_iter().map(|(topic, text)| (topic.to_owned(), json!(text))).collect();
        let hours = self.hours.iter().map(|hour| {
            json!({
                "start": face.iso(hour.partition.start),
                "end": face.iso(hour.partition.end),
                "file": hour.file,
                "manifest": hour.manifest,
                "sequence": hour.sequence.map(|given| given.number),
                "closes_at": face.iso(hour.closes_at.seconds()),
                "overdue_at": face.iso(hour.overdue_at.seconds()),
            })
        });
        json!({ "feed": self.definition.id.to_string(), "readback": said, "next_hours": hours.collect::<Vec<_>>() })
    }
}

/// `3 fields`: used by the words.
fn fields(count: usize) -> String {
    counted(count as u64, "field")
}
