//! Samples of JSON lines.

use super::charset::GuessedCharset;
use super::columns::{Column, guess, names};
use super::delimited::write_charset;
use super::{Draft, quoted};
use serde_json::Value;

/// Most fields that are drafted.
const FIELDS_MAX: usize = 200;
const LINES_MAX: usize = 20;

/// True when the first lines are JSON objects.
pub(super) fn looks_like(text: &str) -> bool {
    let mut lines = text.lines().filter(|line| !line.trim().is_empty()).take(LINES_MAX).peekable();
    let objects = |line: &str| serde_json::from_str::<serde_json::Map<String, Value>>(line).is_ok();
    lines.peek().is_some() && lines.all(|line| objects(line.trim_start_matches('\u{FEFF}')))
}

pub(super) fn draft(draft: &mut Draft, charset: &GuessedCharset, sample: &[u8]) {
    let text = charset.text(sample);
    let mut found = Found::default();
    for line in text.lines() {
        if let Ok(object) = serde_json::from_str::<Value>(line.trim_start_matches('\u{FEFF}')) {
            found.walk("", &object);
        }
    }
    found.leaves.retain(|(path, _)| !found.inner.contains(path) && !path.split('.').any(str::is_empty));
    draft.key("kind", "\"json-lines\"", None);
    write_charset(draft, charset);
    draft.line("\n[read]");
    if found.leaves.len() > FIELDS_MAX {
        let note = format!("only {FIELDS_MAX} of {} paths are drafted", found.leaves.len());
        draft.line(&format!("# unsure: {note}"));
        draft.unsure.push(format!("fields: {note}"));
        found.leaves.truncate(FIELDS_MAX);
    }
    let paths: Vec<String> = found.leaves.iter().map(|(path, _)| path.clone()).collect();
    let columns: Vec<Column> = names(&paths)
        .into_iter()
        .zip(found.leaves)
        .map(|(name, (path, values))| {
            let (guess, null) = guess(&path, &values.iter().map(String::as_str).collect::<Vec<_>>());
            Column { name, header: path, number: 0, guess, null }
        })
        .collect();
    draft.fields(&columns, |column| {
        if column.header == column.name { String::new() } else { format!("column = {}", quoted(&column.header)) }
    });
}

/// What was found under which path, in the order of appearance.
#[derive(Default)]
struct Found {
    leaves: Vec<(String, Vec<String>)>,
    /// Paths that hold objects or lists.
    inner: Vec<String>,
}

impl Found {
    fn walk(&mut self, path: &str, value: &Value) {
        let text = match value {
            Value::Object(object) => {
                self.note_inner(path);
                for (key, value) in object {
                    self.walk(&if path.is_empty() { key.clone() } else { format!("{path}.{key}") }, value);
                }
                return;
            }
            Value::Array(_) => return self.note_inner(path),
            Value::Null => String::new(),
            Value::Bool(value) => value.to_string(),
            Value::Number(number) => number.to_string(),
            Value::String(text) => text.clone(),
        };
        match self.leaves.iter_mut().find(|(known, _)| known == path) {
            Some((_, values)) => values.push(text),
            None => self.leaves.push((path.to_owned(), vec![text])),
        }
    }

    fn note_inner(&mut self, path: &str) {
        if !self.inner.iter().any(|known| known == path) {
            self.inner.push(path.to_owned());
        }
    }
}
