//! `preview`: the exact bytes that a feed would write for an input.

mod dump;

use super::arguments::PreviewArguments;
use super::json::hex;
use super::times::Face;
use super::{Answer, Context, Failure, exit};
use crate::app::config::{Config, SourceConfig};
use crate::app::preview::{Preview, PreviewFault, PreviewHour, PreviewReject, preview};
use crate::feed::definition::FeedDefinition;
use crate::format::dialect::{Dialect, FormatKind};
use dump::{hex_dump, ruler, visible};
use serde_json::{Value, json};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// The command. It needs no state and touches none.
pub fn run(context: &Context, arguments: &PreviewArguments) -> Result<Answer, Failure> {
    let config = context.config(false)?;
    let feed = context.feed(&config, &arguments.feed)?;
    let source = choose_source(&config, feed, arguments.source.as_deref())?;
    let mut inputs = Vec::new();
    for path in &arguments.inputs {
        inputs.push((path.display().to_string(), open(path)?));
    }
    let found = preview(feed, source, inputs, usize::from(arguments.records), context.now()).map_err(failure)?;
    let sheet =
        Sheet { feed, source, inputs: &arguments.inputs, face: context.face(feed.period.zone()), hex: arguments.hex };
    let mut notes = Vec::new();
    if feed.starts_at.is_some() || feed.ends_at.is_some() {
        notes.push("starts_at and ends_at of the feed are left out of account".to_owned());
    }
    if found.more {
        notes.push(format!("more records follow; -n shows more than {}", arguments.records));
    }
    if let Some((index, problem)) = &found.unfit {
        let name = arguments.inputs.get(*index).map(|path| path.display().to_string()).unwrap_or_default();
        let failure = Failure::new(format!("{name} is not what format {} says", source.format.name));
        return Err(failure.because(problem));
    }
    Ok(Answer {
        text: sheet.text(&found),
        json: vec![sheet.json(&found)],
        notes,
        exit: exit::DONE,
        ..Answer::default()
    })
}

fn open(path: &Path) -> Result<Box<dyn Read>, Failure> {
    if path == Path::new("-") {
        return Ok(Box::new(std::io::stdin()));
    }
    let file =
        File::open(path).map_err(|fault| Failure::new(format!("cannot read {}", path.display())).because(fault))?;
    Ok(Box::new(file))
}

fn failure(fault: PreviewFault) -> Failure {
    match fault {
        PreviewFault::Format(problems) => {
            Failure { problems, ..Failure::configuration("the format does not fit the source") }
        }
        PreviewFault::Read { name, source } => Failure::new(format!("cannot read {name}")).because(source),
        PreviewFault::Feed(_) | PreviewFault::Frame(_) => Failure::new(fault.to_string()),
    }
}

fn choose_source<'c>(
    config: &'c Config,
    feed: &FeedDefinition,
    typed: Option<&str>,
) -> Result<&'c SourceConfig, Failure> {
    let own: Vec<&str> = feed.sources.iter().map(|source| source.value.as_str()).collect();
    let name = match (typed, own.as_slice()) {
        (Some(typed), own) if own.contains(&typed) => typed,
        (Some(typed), own) => {
            let failure = Failure::usage(format!("{} does not read the source \"{typed}\"", feed.id));
            return Err(failure.hint(format!("it reads {}", own.join(", "))));
        }
        (None, [only]) => only,
        (None, several) => {
            let failure = Failure::usage(format!("{} reads several sources", feed.id));
            return Err(failure.hint(format!("add --source {}", several.join(" or --source "))));
        }
    };
    config
        .sources
        .iter()
        .find(|source| source.id.as_str() == name)
        .ok_or_else(|| Failure::usage(format!("there is no source \"{name}\"")))
}

struct Sheet<'s> {
    feed: &'s FeedDefinition,
    source: &'s SourceConfig,
    inputs: &'s [std::path::PathBuf],
    face: Face,
    hex: bool,
}

impl Sheet<'_> {
    fn input(&self, index: usize) -> String {
        self.inputs.get(index).map(|path| path.display().to_string()).unwrap_or_default()
    }

    fn text(&self, found: &Preview) -> String {
        let mut text = String::new();
        for hour in &found.hours {
            text.push_str(&self.hour(hour));
            text.push('\n');
        }
        if found.hours.is_empty() {
            text.push_str("no record reaches the partner\n");
        }
        for reject in &found.rejects {
            text.push_str(&self.reject(reject));
        }
        if found.reject_count > found.rejects.len() as u64 {
            text.push_str(&format!("and {} more rejected\n", found.reject_count - found.rejects.len() as u64));
        }
        if found.filtered > 0 {
            text.push_str(&format!("{} left out by the filter\n", found.filtered));
        }
        text
    }

    fn hour(&self, hour: &PreviewHour) -> String {
        let dialect = &self.feed.format.dialect;
        let mut text = format!("{}  {}  {}\n", self.feed.id, self.face.hour(hour.partition), hour.file);
        if dialect.kind == FormatKind::Fixed && !self.hex {
            text.push_str(&ruler(dialect.line_bytes.unwrap_or(80), "        "));
        }
        text.push_str(&self.written("header", &hour.header));
        for record in &hour.records {
            let origin = record.origin;
            text.push_str(&format!(
                "  in    {}  ({} line {})\n",
                self.raw(&record.raw),
                self.input(record.input),
                origin.line
            ));
            text.push_str(&self.written("out", &record.written));
        }
        text.push_str(&self.written("trailer", &hour.trailer));
        text
    }

    /// Bytes as they are written: each line after a label, or a dump.
    fn written(&self, label: &str, bytes: &[u8]) -> String {
        if bytes.is_empty() {
            return String::new();
        }
        if self.hex {
            return format!("  {label}\n{}", hex_dump(bytes, "    "));
        }
        let short = match label {
            "header" => "head",
            "trailer" => "tail",
            other => other,
        };
        let lines = visible(&self.feed.format.dialect, bytes);
        lines.iter().map(|line| format!("  {short:<4}  {line}\n")).collect::<Vec<_>>().concat()
    }

    fn raw(&self, raw: &[u8]) -> String {
        visible(&self.source.format.dialect, raw).join("\u{240A}")
    }

    fn reject(&self, reject: &PreviewReject) -> String {
        let place = format!(
            "{} record {}, line {}, byte {}",
            self.input(reject.input),
            reject.origin.record,
            reject.origin.line,
            reject.origin.byte
        );
        format!("rejected  {place}: {}\n  in    {}\n", reject.reason, self.raw(&reject.raw))
    }

    fn json(&self, found: &Preview) -> Value {
        let text = |dialect: &Dialect, bytes: &[u8]| {
            json!({
                "text": visible(dialect, bytes).join("\n"),
                "hex": hex(bytes),
            })
        };
        let (read, write) = (&self.source.format.dialect, &self.feed.format.dialect);
        let hour = |hour: &PreviewHour| {
            let records = hour.records.iter().map(|record| {
                json!({
                    "input": self.input(record.input),
                    "record": record.origin.record,
                    "line": record.origin.line,
                    "byte": record.origin.byte,
                    "in": text(read, &record.raw),
                    "out": text(write, &record.written),
                })
            });
            json!({
                "start": self.face.iso(hour.partition.start),
                "end": self.face.iso(hour.partition.end),
                "file": hour.file,
                "header": text(write, &hour.header),
                "records": records.collect::<Vec<_>>(),
                "trailer": text(write, &hour.trailer),
            })
        };
        let reject = |reject: &PreviewReject| {
            json!({
                "input": self.input(reject.input),
                "record": reject.origin.record,
                "line": reject.origin.line,
                "byte": reject.origin.byte,
                "reason": reject.reason,
            })
        };
        json!({
            "feed": self.feed.id.to_string(),
            "hours": found.hours.iter().map(hour).collect::<Vec<_>>(),
            "rejects": found.rejects.iter().map(reject).collect::<Vec<_>>(),
            "reject_count": found.reject_count,
            "filtered": found.filtered,
            "more": found.more,
        })
    }
}
