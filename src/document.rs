//! Reads TOML documents so that *all* problems are found in one go, each with file, place and the nearest known key.
//!
//! Readers ask a [`Table`] for each key they know; [`Table::finish`] then reports every key nobody asked for. So the
//! list of known keys is the code that reads them, and cannot fall behind it. serde is not used here: it stops at
//! the first error and loses the place of errors inside flattened or tagged values.

#![expect(clippy::wildcard_enum_match_arm, reason = "a value of any other shape is reported with the shape it has")]

use crate::domain::time::Length;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A text with the name under which problems are reported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Path as the operator would write it.
    pub name: String,
    /// The whole text.
    pub text: String,
}

/// How bad a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The configuration cannot be used.
    Error,
    /// It can, but is probably not what was meant.
    Warning,
}

/// One thing that is wrong in a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Error or warning.
    pub severity: Severity,
    /// Where: the document and the byte range in it.
    pub document: Arc<Document>,
    /// Byte range in the document's text.
    pub span: Range<usize>,
    /// What is wrong, with what was expected and found.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Problem {
    /// Line number of the problem, from 1.
    #[must_use]
    pub fn line(&self) -> usize {
        let start = self.span.start.min(self.document.text.len());
        self.document.text.as_bytes().iter().take(start).filter(|byte| **byte == b'\n').count() + 1
    }
}

/// A place in a document, kept beside a value so that later checks can point at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    document: Arc<Document>,
    span: Range<usize>,
}

impl Place {
    /// An error at this place.
    #[must_use]
    pub fn error(&self, message: impl Into<String>) -> Problem {
        self.problem(Severity::Error, message.into(), None)
    }

    /// An error at this place, with advice.
    #[must_use]
    pub fn error_with_hint(&self, message: impl Into<String>, hint: impl Into<String>) -> Problem {
        self.problem(Severity::Error, message.into(), Some(hint.into()))
    }

    /// A warning at this place.
    #[must_use]
    pub fn warning(&self, message: impl Into<String>, hint: impl Into<String>) -> Problem {
        self.problem(Severity::Warning, message.into(), Some(hint.into()))
    }

    fn problem(&self, severity: Severity, message: String, hint: Option<String>) -> Problem {
        Problem { severity, document: Arc::clone(&self.document), span: self.span.clone(), message, hint }
    }
}

/// A value with the place it was written at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed<T> {
    /// The value.
    pub value: T,
    /// Where it stands.
    pub place: Place,
}

impl<T> Placed<T> {
    /// The same place with another value.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Placed<U> {
        Placed { value: change(self.value), place: self.place }
    }
}

/// Collects problems while documents are read.
#[derive(Debug, Clone, Default)]
pub struct Problems(Rc<RefCell<Vec<Problem>>>);

impl Problems {
    /// Notes a problem.
    pub fn add(&self, problem: Problem) {
        self.0.borrow_mut().push(problem);
    }

    /// Notes several problems.
    pub fn add_all(&self, problems: Vec<Problem>) {
        self.0.borrow_mut().extend(problems);
    }

    /// All problems so far, in the order in which they were found.
    #[must_use]
    pub fn take(&self) -> Vec<Problem> {
        std::mem::take(&mut self.0.borrow_mut())
    }

    /// True when at least one problem forbids using the documents.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.0.borrow().iter().any(|problem| problem.severity == Severity::Error)
    }
}

/// Parses a document and hands its root table to `read`. Syntax errors are added to `problems` (all of them);
/// `read` still sees what could be parsed when there are none.
pub fn read_document<T>(document: Document, problems: &Problems, read: impl FnOnce(Table<'_>) -> T) -> Option<T> {
    let document = Arc::new(document);
    let (root, mut errors) = DeTable::parse_recoverable(&document.text);
    errors.sort_by_key(|error| error.span().map(|span| span.start));
    for error in &errors {
        let span = error.span().unwrap_or(0..0);
        let place = Place { document: Arc::clone(&document), span };
        problems.add(place.error(format!("not valid TOML: {}", error.message())));
    }
    if !errors.is_empty() {
        return None;
    }
    let span = root.span();
    let place = Place { document: Arc::clone(&document), span };
    Some(read(Table::new(root.get_ref(), place, String::new(), problems.clone())))
}

/// One table of a document, and which of its keys were asked for.
pub struct Table<'a> {
    entries: &'a DeTable<'a>,
    place: Place,
    path: String,
    asked: RefCell<Vec<&'static str>>,
    problems: Problems,
}

/// Any TOML value, for keys that accept several shapes.
pub enum Value<'a> {
    /// A string.
    Text(Placed<String>),
    /// A whole number.
    Integer(Placed<i64>),
    /// `true` or `false`.
    Bool(Placed<bool>),
    /// A table.
    Table(Table<'a>),
    /// A list.
    List(Placed<Vec<Value<'a>>>),
    /// A float or a date: nothing in hourdrop's documents is one.
    Other(Place),
}

impl Value<'_> {
    /// Where the value stands.
    #[must_use]
    pub fn place(&self) -> &Place {
        match self {
            Self::Text(placed) => &placed.place,
            Self::Integer(placed) => &placed.place,
            Self::Bool(placed) => &placed.place,
            Self::Table(table) => &table.place,
            Self::List(placed) => &placed.place,
            Self::Other(place) => place,
        }
    }

    const fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "text",
            Self::Integer(_) => "a number",
            Self::Bool(_) => "true or false",
            Self::Table(_) => "a table",
            Self::List(_) => "a list",
            Self::Other(_) => "a float or date",
        }
    }
}

impl<'a> Table<'a> {
    fn new(entries: &'a DeTable<'a>, place: Place, path: String, problems: Problems) -> Self {
        Self { entries, place, path, asked: RefCell::default(), problems }
    }

    /// The dotted path of the table in its document; empty for the root.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Where the table stands.
    #[must_use]
    pub const fn place(&self) -> &Place {
        &self.place
    }

    /// The collector this table reports to.
    #[must_use]
    pub const fn problems(&self) -> &Problems {
        &self.problems
    }

    /// True when the key is present. Does not count as asking for it.
    #[must_use]
    pub fn has(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    /// Any value under a key.
    pub fn value(&self, key: &'static str) -> Option<Value<'a>> {
        self.asked.borrow_mut().push(key);
        self.entries.get(key).map(|value| self.wrap(key, value))
    }

    /// Where the value of a key stands, or the table itself when the key is absent.
    #[must_use]
    pub fn place_of(&self, key: &str) -> Place {
        self.entries.get(key).map_or_else(|| self.place.clone(), |value| self.at(value.span()))
    }

    fn at(&self, span: Range<usize>) -> Place {
        Place { document: Arc::clone(&self.place.document), span }
    }

    fn wrap(&self, key: &str, value: &'a Spanned<DeValue<'a>>) -> Value<'a> {
        let place = self.at(value.span());
        match value.get_ref() {
            DeValue::String(text) => Value::Text(Placed { value: text.to_string(), place }),
            DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
                Ok(value) => Value::Integer(Placed { value, place }),
                Err(_) => Value::Other(place),
            },
            DeValue::Boolean(value) => Value::Bool(Placed { value: *value, place }),
            DeValue::Table(entries) => {
                let path = if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) };
                Value::Table(Table::new(entries, place, path, self.problems.clone()))
            }
            DeValue::Array(items) => {
                let items = items.iter().map(|item| self.wrap(key, item)).collect();
                Value::List(Placed { value: items, place })
            }
            DeValue::Float(_) | DeValue::Datetime(_) => Value::Other(place),
        }
    }

    fn wrong_type(&self, key: &str, expected: &str, found: &Value<'_>) {
        let message = format!("`{key}` must be {expected}, found {}", found.kind());
        self.problems.add(found.place().error(message));
    }

    /// An optional text.
    pub fn text(&self, key: &'static str) -> Option<Placed<String>> {
        match self.value(key)? {
            Value::Text(text) => Some(text),
            other => {
                self.wrong_type(key, "text in quotes", &other);
                None
            }
        }
    }

    /// A text that must be there.
    pub fn required_text(&self, key: &'static str) -> Option<Placed<String>> {
        self.require(key);
        self.text(key)
    }

    /// Reports a missing key.
    pub fn require(&self, key: &'static str) {
        if !self.has(key) {
            let whose = if self.path.is_empty() { "the document".to_owned() } else { format!("`{}`", self.path) };
            self.problems.add(self.place.error(format!("{whose} needs the key `{key}`")));
        }
    }

    /// An optional truth value.
    pub fn bool(&self, key: &'static str) -> Option<Placed<bool>> {
        match self.value(key)? {
            Value::Bool(value) => Some(value),
            other => {
                self.wrong_type(key, "true or false", &other);
                None
            }
        }
    }

    /// An optional whole number within a range.
    pub fn integer(&self, key: &'static str, range: Range<i64>) -> Option<Placed<i64>> {
        match self.value(key)? {
            Value::Integer(number) if range.contains(&number.value) => Some(number),
            Value::Integer(number) => {
                let message = format!("`{key}` must be {} to {}, found {}", range.start, range.end - 1, number.value);
                self.problems.add(number.place.error(message));
                None
            }
            other => {
                self.wrong_type(key, "a whole number", &other);
                None
            }
        }
    }

    /// An optional number of at least zero.
    pub fn count(&self, key: &'static str) -> Option<Placed<u64>> {
        self.integer(key, 0..i64::MAX).map(|number| number.map(|value| u64::try_from(value).unwrap_or(0)))
    }

    /// An optional length of time such as `"15m"`.
    pub fn length(&self, key: &'static str) -> Option<Placed<Length>> {
        let text = self.text(key)?;
        let parsed = Length::parse(&text.value);
        if parsed.is_none() {
            let message = format!("`{key}` must be a length of time, found \"{}\"", text.value);
            self.problems.add(text.place.error_with_hint(message, "write \"90s\", \"15m\", \"1h30m\" or \"7d\""));
        }
        Some(Placed { value: parsed?, place: text.place })
    }

    /// An optional size in bytes such as `"256MiB"`.
    pub fn size(&self, key: &'static str) -> Option<Placed<u64>> {
        let text = self.text(key)?;
        let parsed = parse_size(&text.value);
        if parsed.is_none() {
            let message = format!("`{key}` must be a size, found \"{}\"", text.value);
            self.problems.add(text.place.error_with_hint(message, "write \"512B\", \"256MiB\" or \"2GB\""));
        }
        Some(Placed { value: parsed?, place: text.place })
    }

    /// An optional list of texts; a single text counts as a list of one.
    pub fn texts(&self, key: &'static str) -> Option<Vec<Placed<String>>> {
        match self.value(key)? {
            Value::Text(text) => Some(vec![text]),
            Value::List(list) => Some(
                list.value
                    .into_iter()
                    .filter_map(|item| match item {
                        Value::Text(text) => Some(text),
                        other => {
                            self.wrong_type(key, "a list of texts", &other);
                            None
                        }
                    })
                    .collect(),
            ),
            other => {
                self.wrong_type(key, "a text or a list of texts", &other);
                None
            }
        }
    }

    /// An optional choice between fixed words.
    pub fn choice<T: Copy>(&self, key: &'static str, choices: &[(&'static str, T)]) -> Option<Placed<T>> {
        let text = self.text(key)?;
        let chosen = choices.iter().find(|(word, _)| *word == text.value).map(|(_, value)| *value);
        if chosen.is_none() {
            let words = choices.iter().map(|(word, _)| *word);
            let message = format!("`{key}` must be {}, found \"{}\"", one_of(words.clone()), text.value);
            let hint = nearest(&text.value, words).map(|word| format!("did you mean \"{word}\"?"));
            let mut problem = text.place.error(message);
            problem.hint = hint;
            self.problems.add(problem);
        }
        Some(Placed { value: chosen?, place: text.place })
    }

    /// An optional table.
    pub fn table(&self, key: &'static str) -> Option<Table<'a>> {
        match self.value(key)? {
            Value::Table(table) => Some(table),
            other => {
                self.wrong_type(key, "a table", &other);
                None
            }
        }
    }

    /// An optional list of tables.
    pub fn tables(&self, key: &'static str) -> Option<Vec<Table<'a>>> {
        match self.value(key)? {
            Value::List(list) => Some(
                list.value
                    .into_iter()
                    .filter_map(|item| match item {
                        Value::Table(table) => Some(table),
                        other => {
                            self.wrong_type(key, "a list of tables", &other);
                            None
                        }
                    })
                    .collect(),
            ),
            other => {
                self.wrong_type(key, "a list of tables", &other);
                None
            }
        }
    }

    /// All entries of a table whose keys are names chosen by the operator, in the order of the document. Counts as
    /// asking for every key.
    #[must_use]
    pub fn entries(&self) -> Vec<(Placed<String>, Value<'a>)> {
        let mut found: Vec<_> = self
            .entries
            .iter()
            .map(|(key, value)| {
                let name = Placed { value: key.get_ref().to_string(), place: self.at(key.span()) };
                let value = self.wrap(&name.value, value);
                (name, value)
            })
            .collect();
        found.sort_by_key(|(name, _)| name.place.span.start);
        found
    }

    /// Reports every key that nobody asked for, with the nearest known one.
    pub fn finish(self) {
        self.report_unknown();
    }

    /// As [`Table::finish`], for a table that is still needed.
    pub fn report_unknown(&self) {
        let asked = self.asked.borrow();
        for (key, _) in self.entries {
            let name: &str = key.get_ref();
            if asked.contains(&name) {
                continue;
            }
            let place = Place { document: Arc::clone(&self.place.document), span: key.span() };
            let whose = if self.path.is_empty() { String::new() } else { format!(" in `{}`", self.path) };
            let mut problem = place.error(format!("unknown key `{name}`{whose}"));
            problem.hint = Some(match nearest(name, asked.iter().copied()) {
                Some(known) => format!("did you mean `{known}`?"),
                None => format!("known keys are {}", listing(&asked)),
            });
            self.problems.add(problem);
        }
    }

    /// The table as TOML text of its own, with the keys in alphabetical order: a stable form for hashing and storing.
    #[must_use]
    pub fn canonical_text(&self) -> String {
        toml::to_string(&plain_table(self.entries)).unwrap_or_default()
    }
}

fn plain_table(entries: &DeTable<'_>) -> toml::Table {
    let sorted: BTreeMap<_, _> =
        entries.iter().map(|(key, value)| (key.get_ref().to_string(), value.get_ref())).collect();
    sorted.into_iter().map(|(key, value)| (key, plain_value(value))).collect()
}

fn plain_value(value: &DeValue<'_>) -> toml::Value {
    match value {
        DeValue::String(text) => toml::Value::String(text.to_string()),
        DeValue::Integer(number) => {
            toml::Value::Integer(i64::from_str_radix(number.as_str(), number.radix()).unwrap_or_default())
        }
        DeValue::Float(number) => toml::Value::Float(number.as_str().parse().unwrap_or_default()),
        DeValue::Boolean(value) => toml::Value::Boolean(*value),
        DeValue::Datetime(at) => toml::Value::Datetime(*at),
        DeValue::Array(items) => toml::Value::Array(items.iter().map(|item| plain_value(item.get_ref())).collect()),
        DeValue::Table(entries) => toml::Value::Table(plain_table(entries)),
    }
}

/// Parses a size in bytes: `"512B"`, `"64KiB"`, `"256MiB"`, `"2GB"`, `"1TiB"`.
#[must_use]
pub fn parse_size(text: &str) -> Option<u64> {
    const UNITS: [(&str, u64); 9] = [
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("TiB", 1 << 40),
        ("kB", 1_000),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
        ("TB", 1_000_000_000_000),
        ("B", 1),
    ];
    if text == "0" {
        return Some(0);
    }
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let (_, scale) = UNITS.iter().find(|(name, _)| *name == unit.trim_start())?;
    number.parse::<u64>().ok()?.checked_mul(*scale)
}

/// The known word nearest to `word`, when it is near enough to be a typing mistake.
pub fn nearest<'w>(word: &str, known: impl Iterator<Item = &'w str>) -> Option<&'w str> {
    let limit = (word.chars().count() / 3).max(1) + 1;
    known
        .map(|candidate| (edit_distance(word, candidate), candidate))
        .filter(|(d, _)| *d <= limit)
        .min()
        .map(|(_, w)| w)
}

/// Levenshtein distance over characters, adjacent swaps counted as one.
fn edit_distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, to) in b.iter().enumerate() {
            let at = |line: &[usize], k: usize| line.get(k).copied().unwrap_or(usize::MAX / 2);
            let swapped = i > 0 && j > 0 && a.get(i - 1) == Some(to) && b.get(j - 1) == Some(from);
            let swap = if swapped { at(&before, j - 1) + 1 } else { usize::MAX };
            let change = at(&above, j) + usize::from(from != to);
            row.push(change.min(at(&above, j + 1) + 1).min(at(&row, j) + 1).min(swap));
        }
        before = std::mem::replace(&mut above, row);
    }
    above.last().copied().unwrap_or(0)
}

fn one_of<'w>(words: impl Iterator<Item = &'w str>) -> String {
    let quoted: Vec<String> = words.map(|word| format!("\"{word}\"")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => quoted.join(""),
    }
}

fn listing(words: &[&str]) -> String {
    let mut sorted = words.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    sorted.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn problems_of(text: &str, read: impl FnOnce(Table<'_>)) -> Vec<(usize, String, Option<String>)> {
        let problems = Problems::default();
        let document = Document { name: "test.toml".to_owned(), text: text.to_owned() };
        read_document(document, &problems, read);
        problems.take().into_iter().map(|p| (p.line(), p.message, p.hint)).collect()
    }

    #[test]
    fn every_problem_is_found_with_its_line_and_the_nearest_key() {
        let text = "grace = 5\nfromat = \"x\"\nperiod = \"1 hour\"\nsize = \"3 bags\"\nlate = \"suplement\"\n";
        let found = problems_of(text, |table| {
            table.length("grace");
            table.required_text("format");
            table.length("period");
            table.size("size");
            table.choice("late", &[("supplement", 1), ("next", 2)]);
            table.finish();
        });
        let lines: Vec<usize> = found.iter().map(|(line, ..)| *line).collect();
        assert_eq!(lines, [1, 1, 3, 4, 5, 2]);
        assert_eq!(found[1].1, "the document needs the key `format`");
        assert_eq!(found[4].2.as_deref(), Some("did you mean \"supplement\"?"));
        assert_eq!(found[5].1, "unknown key `fromat`");
        assert_eq!(found[5].2.as_deref(), Some("did you mean `format`?"));
    }

    #[test]
    fn all_syntax_errors_are_reported() {
        let found = problems_of("a = \nb = 1\nc = = 2\n", |_| ());
        let lines: BTreeSet<usize> = found.iter().map(|(line, ..)| *line).collect();
        assert_eq!(lines, BTreeSet::from([1, 3]));
    }

    #[test]
    fn sizes_need_a_unit() {
        assert_eq!(parse_size("256MiB"), Some(268_435_456));
        assert_eq!(parse_size("2GB"), Some(2_000_000_000));
        assert_eq!(parse_size("0"), Some(0), "nothing is nothing in every unit");
        for bad in ["", "5", "MiB", "-1B", "1.5GB", "99999999999TiB"] {
            assert_eq!(parse_size(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_nearest_word_must_be_near() {
        let known = ["format", "period", "zone"];
        assert_eq!(nearest("fromat", known.into_iter()), Some("format"));
        assert_eq!(nearest("perod", known.into_iter()), Some("period"));
        assert_eq!(nearest("colour", known.into_iter()), None);
    }
}
