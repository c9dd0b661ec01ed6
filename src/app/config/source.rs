//! `[source.NAME]`: where records come from.

use super::{FormatLibrary, resolve};
use crate::document::{Table, Value};
use crate::domain::ids::SourceId;
use crate::domain::time::Length;
use crate::format::decode::spec::ReadSpec;
use crate::format::spec::FormatSpec;
use crate::intake::files::{FileRules, FinishedRule, KnownContent, NumberPattern, ThenRule};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where the bytes come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceKind {
    /// A file, a pattern with `*` in its last part, or a directory.
    Files(FileRules),
    /// Standard input.
    Stdin,
}

/// A source.
#[derive(Debug, Clone)]
pub struct SourceConfig {
    /// Its name.
    pub id: SourceId,
    /// Where its bytes come from.
    pub kind: SourceKind,
    /// A source that gives nothing for this long is not believed to be empty.
    pub silent_max: Option<Length>,
    /// The format that describes it.
    pub format: Arc<FormatSpec>,
    /// How the format is read.
    pub read: Arc<ReadSpec>,
}

const POLICIES: [(&str, KnownContent); 3] =
    [("hold", KnownContent::Hold), ("skip", KnownContent::Skip), ("read", KnownContent::Read)];

pub(super) fn read(config: &Path, table: Table<'_>, id: SourceId, formats: &FormatLibrary) -> Option<SourceConfig> {
    let problems = table.problems().clone();
    let kind = read_kind(config, &table);
    let silent_max = table.length("silent_max").map(|l| l.value);
    let format_name = table.required_text("format");
    let format = format_name.as_ref().and_then(|name| formats.find(name, &problems));
    table.finish();
    let format = format?;
    let Some(read) = format.read.clone() else {
        let message = format!("format \"{}\" has no [read] table: it only writes", format.name);
        problems.add(format_name?.place.error(message));
        return None;
    };
    Some(SourceConfig { id, kind: kind?, silent_max, format, read })
}

fn read_kind(config: &Path, table: &Table<'_>) -> Option<SourceKind> {
    let files = table.text("files");
    let stdin = table.bool("stdin").is_some_and(|b| b.value);
    match (files, stdin) {
        (Some(path), false) => read_files(config, table, resolve(config, &path.value)).map(SourceKind::Files),
        (None, true) => Some(SourceKind::Stdin),
        (Some(path), true) => {
            table.problems().add(path.place.error("a source is either `files` or `stdin`"));
            None
        }
        (None, false) => {
            if !table.has("files") {
                let hint = "write files = \"/path/cdr_*.csv\", files = \"/path/dir\" or stdin = true";
                table.problems().add(table.place().error_with_hint(format!("`{}` has no input", table.path()), hint));
            }
            None
        }
    }
}

fn read_files(config: &Path, table: &Table<'_>, path: PathBuf) -> Option<FileRules> {
    let finished = read_finished(table);
    let then = read_then(config, table);
    let known_content = table.choice("known_content", &POLICIES).map(|c| c.value).unwrap_or_default();
    let changed_content = table.choice("changed_content", &POLICIES).map(|c| c.value).unwrap_or_default();
    let numbered = read_numbered(table);
    if finished == Some(FinishedRule::Append) && then.as_ref().is_some_and(|then| *then != ThenRule::Keep) {
        let message = "a log that is appended to is never finished, so nothing can be done with it `then`";
        table.problems().add(table.place_of("then").error(message));
    }
    let (finished, then) = (finished?, then?);
    Some(FileRules { path, finished, then, known_content, changed_content, numbered: numbered? })
}

fn read_finished(table: &Table<'_>) -> Option<FinishedRule> {
    let Some(text) = table.text("finished") else {
        let hint = "\"renamed\", \"marker:*.done\", \"quiet:60s\" or \"append\" (a log that grows and rotates)";
        let message = format!("`{}` must say when a file is `finished`", table.path());
        table.problems().add(table.place_of("finished").error_with_hint(message, hint));
        return None;
    };
    let rule = match text.value.split_once(':') {
        None if text.value == "renamed" => Some(FinishedRule::Renamed),
        None if text.value == "append" => Some(FinishedRule::Append),
        Some(("marker", pattern)) if pattern.contains('*') => Some(FinishedRule::Marker(pattern.to_owned())),
        Some(("quiet", length)) => Length::parse(length).map(FinishedRule::Quiet),
        Some(_) | None => None,
    };
    if rule.is_none() {
        let hint = "write \"renamed\", \"marker:*.done\", \"quiet:60s\" or \"append\"";
        table.problems().add(text.place.error_with_hint("`finished` is not a known rule", hint));
    }
    rule
}

fn read_then(config: &Path, table: &Table<'_>) -> Option<ThenRule> {
    let Some(text) = table.text("then") else { return Some(ThenRule::Keep) };
    let rule = match text.value.split_once(':') {
        None if text.value == "keep" => Some(ThenRule::Keep),
        None if text.value == "delete" => Some(ThenRule::Delete),
        Some(("move", dir)) if !dir.is_empty() => Some(ThenRule::Move(resolve(config, dir))),
        Some(_) | None => None,
    };
    if rule.is_none() {
        let hint = "write \"keep\", \"delete\" or \"move:/path\"";
        table.problems().add(text.place.error_with_hint("`then` is not a known rule", hint));
    }
    rule
}

/// The outer `Option` is `None` when the pattern cannot be read.
#[expect(clippy::option_option, reason = "absent and unreadable are different")]
fn read_numbered(table: &Table<'_>) -> Option<Option<NumberPattern>> {
    let Some(value) = table.value("numbered") else { return Some(None) };
    let pattern = match &value {
        Value::Text(text) => text.value.split_once("{n}"),
        Value::Integer(_) | Value::Bool(_) | Value::Table(_) | Value::List(_) | Value::Other(_) => None,
    };
    let Some((before, after)) = pattern else {
        let message = "`numbered` is a text with {n} where the number stands: \"cdr_{n}.csv\"";
        table.problems().add(value.place().error(message));
        return None;
    };
    Some(Some(NumberPattern { before: before.to_owned(), after: after.to_owned() }))
}
