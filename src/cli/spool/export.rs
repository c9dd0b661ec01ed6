//! `spool export`: the records that can be read, as lines of JSON.

use super::name;
use crate::app::config::Config;
use crate::app::journal::{Journal, Wanted, export};
use crate::cli::arguments::SpoolExportArguments;
use crate::cli::table::counted;
use crate::cli::work::failure;
use crate::cli::{Answer, Context, Failure, exit, render};
use crate::disk::{Disk, DiskFile, RealDisk, SyncPoint};
use crate::domain::ids::SourceId;
use serde_json::{Value, json};
use std::io::{self, BufWriter, Write};
use std::ops::RangeInclusive;
use std::path::Path;

/// The command. Exit code 4 when some frames are damaged: the others are exported.
pub fn run(context: &Context, arguments: &SpoolExportArguments) -> Result<Answer, Failure> {
    let config = context.config(false)?;
    let wanted = wanted(context, &config, arguments)?;
    drop(context.needed_ledger(&config)?);
    let journal = Journal::open(&RealDisk, &config).map_err(failure)?;
    let to_stdout = arguments.out.as_os_str() == "-";
    let mut records = 0;
    let damage = if to_stdout {
        let mut reads = true;
        export(&journal, &wanted, &mut |line| {
            records += 1;
            reads = reads && render::json_line(line);
        })
        .map_err(failure)?
    } else {
        let path = arguments.out.join("records.jsonl");
        let failed = |fault: io::Error| Failure::new(format!("cannot write {}", path.display())).because(fault);
        let mut file = Lines::create(&path).map_err(failed)?;
        let damage = export(&journal, &wanted, &mut |line| {
            records += 1;
            file.line(line);
        });
        file.end().map_err(failed)?;
        damage.map_err(failure)?
    };
    let mut notes: Vec<String> = damage
        .iter()
        .map(|damage| format!("left out: {} frames, {} in {}", damage.frames(), damage.what, name(&damage.path)))
        .collect();
    if to_stdout {
        notes.push(format!("{} exported", counted(records, "record")));
    }
    let code = if damage.is_empty() { exit::DONE } else { exit::INCOMPLETE };
    let (mut text, mut json) = (String::new(), Vec::new());
    if !to_stdout {
        text = format!("{} exported to {}\n", counted(records, "record"), arguments.out.display());
        json.push(json!({ "records": records, "damaged_places": damage.len() }));
    }
    Ok(Answer { text, json, notes, exit: code, ..Answer::default() })
}

fn wanted(context: &Context, config: &Config, arguments: &SpoolExportArguments) -> Result<Wanted, Failure> {
    let feed = arguments.feed.as_ref().map(|name| context.feed(config, name)).transpose()?;
    let source = arguments.source.as_ref().map(|name| SourceId::parse(name)).transpose();
    let lsns = arguments.lsn.as_ref().map(|text| {
        parse_range(text).ok_or_else(|| Failure::usage(format!("\"{text}\" is no range of frames")).hint("write 3..7"))
    });
    Ok(Wanted {
        feed: feed.map(|feed| feed.id.clone()),
        source: source.map_err(|fault| Failure::usage(fault.to_string()))?,
        lsns: lsns.transpose()?,
        content: arguments.content,
    })
}

/// `3..7` with both ends, `3..`, `..7`, `3`.
fn parse_range(text: &str) -> Option<RangeInclusive<u64>> {
    let Some((first, last)) = text.split_once("..") else {
        let only = text.parse().ok()?;
        return Some(only..=only);
    };
    let first = if first.is_empty() { 0 } else { first.parse().ok()? };
    let last = if last.is_empty() { u64::MAX } else { last.parse().ok()? };
    Some(first..=last)
}

/// A new file of lines. What goes wrong while it is written is told at the end.
struct Lines {
    file: BufWriter<Box<dyn DiskFile>>,
    written: io::Result<()>,
}

impl Lines {
    fn create(path: &Path) -> io::Result<Self> {
        if let Some(dir) = path.parent() {
            RealDisk.create_dir_all(dir, SyncPoint::StateFile)?;
        }
        Ok(Self { file: BufWriter::new(RealDisk.create_new(path)?), written: Ok(()) })
    }

    fn line(&mut self, value: &Value) {
        if self.written.is_ok() {
            self.written = writeln!(self.file, "{value}");
        }
    }

    fn end(self) -> io::Result<()> {
        self.written?;
        self.file.into_inner().map_err(io::IntoInnerError::into_error)?.sync(SyncPoint::StateFile)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_frames_hold_both_ends() {
        let ranges = [("3..7", 3..=7), ("3..", 3..=u64::MAX), ("..7", 0..=7), ("3", 3..=3)];
        for (text, range) in ranges {
            assert_eq!(parse_range(text), Some(range), "{text}");
        }
        assert_eq!((parse_range("a..3"), parse_range("")), (None, None));
    }
}
