//! `answers`: where a partner's answer files (回执) lie and what they say.

use crate::document::{Placed, Table};
use crate::domain::time::Length;
use crate::feed::definition::FormatFinder;
use crate::format::decode::spec::ReadSpec;
use crate::format::spec::FormatSpec;
use crate::record::FieldKind;
use crate::remote::RemotePath;
use std::sync::Arc;

/// How a partner answers.
#[derive(Debug, Clone)]
pub struct AnswerRule {
    /// The directory of the answer files.
    pub directory: RemotePath,
    /// Their names.
    pub pattern: glob::Pattern,
    /// The format that describes them.
    pub format: Arc<FormatSpec>,
    /// How it is read.
    pub read: Arc<ReadSpec>,
    /// Place of the field that names our file.
    pub file: usize,
    /// Place of the field with the verdict.
    pub status: usize,
    /// Place of the field that names a record; empty there: the whole file is meant.
    pub record: Option<usize>,
    /// Place of the field that says why.
    pub reason: Option<usize>,
    /// Values of the verdict that mean accepted.
    pub accepted: Vec<String>,
    /// Those that mean rejected.
    pub rejected: Vec<String>,
    /// Answer files are removed at the partner when they have been read and kept.
    pub deletes: bool,
    /// The next batch of a feed waits for the answer to the one before.
    pub gate: bool,
    /// The least time between two looks.
    pub look_every: Length,
}

impl AnswerRule {
    pub(super) fn read(table: Table<'_>, formats: &FormatFinder<'_>, drop: Option<&RemotePath>) -> Option<Self> {
        let problems = table.problems().clone();
        let directory = match table.text("dir") {
            None => drop.cloned(),
            Some(text) => match RemotePath::parse(&text.value) {
                Ok(path) => Some(path),
                Err(fault) => {
                    problems.add(text.place.error(fault.to_string()));
                    None
                }
            },
        };
        let pattern = table.required_text("pattern").and_then(|text| match glob::Pattern::new(&text.value) {
            Ok(pattern) => Some(pattern),
            Err(fault) => {
                problems.add(text.place.error(format!("not a pattern: {}", fault.msg)));
                None
            }
        });
        let name = table.required_text("format");
        let format = name.as_ref().and_then(|name| formats(name, &problems));
        let read = format.as_ref().and_then(|format| format.read.clone());
        if let (Some(format), None, Some(name)) = (&format, &read, &name) {
            let message = format!("format \"{}\" has no [read] table: it only writes", format.name);
            problems.add(name.place.error(message));
        }
        let texts =
            [table.required_text("file"), table.required_text("status"), table.text("record"), table.text("reason")];
        let [file, status, record, reason] = texts.map(|name| field(&table, read.as_deref(), name));
        let [accepted, rejected] =
            [words(&table, table.texts("accepted"), "accepted"), words(&table, table.texts("rejected"), "rejected")];
        if let Some(word) = accepted.iter().find(|word| rejected.contains(word)) {
            let message = format!("\"{word}\" means both accepted and rejected");
            problems.add(table.place_of("rejected").error(message));
        }
        let then = table.choice("then", &[("keep", false), ("delete", true)]).is_some_and(|then| then.value);
        let gate = table.bool("gate").is_some_and(|gate| gate.value);
        let look_every = table.length("look_every").map_or(Length::from_seconds(60), |length| length.value);
        table.finish();
        Some(Self {
            directory: directory?,
            pattern: pattern?,
            format: format?,
            read: read?,
            file: file?,
            status: status?,
            record,
            reason,
            accepted,
            rejected,
            deletes: then,
            gate,
            look_every,
        })
    }
}

/// The place of a field of the format that is a text.
fn field(table: &Table<'_>, read: Option<&ReadSpec>, name: Option<Placed<String>>) -> Option<usize> {
    let (name, schema) = (name?, read?.schema());
    let found = schema
        .index_of(&name.value)
        .filter(|place| schema.fields.get(*place).is_some_and(|field| field.kind != FieldKind::Time));
    if found.is_none() {
        let message = format!("the format reads no text field \"{}\"", name.value);
        let known = schema.names().collect::<Vec<_>>().join(", ");
        table.problems().add(name.place.error_with_hint(message, format!("it reads {known}")));
    }
    found
}

fn words(table: &Table<'_>, list: Option<Vec<Placed<String>>>, key: &'static str) -> Vec<String> {
    if list.is_none() && !table.has(key) {
        let hint = "list the values of the status field, as in accepted = [\"0\"] and rejected = [\"1\"]";
        table.problems().add(table.place().error_with_hint(format!("`{key}` is missing"), hint));
    }
    list.unwrap_or_default().into_iter().map(|word| word.value).collect()
}
