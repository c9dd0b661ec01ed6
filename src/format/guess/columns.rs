//! What the values of a column are.

use crate::domain::period::Zone;
use crate::domain::time::UtcTime;
use crate::format::time_layout::{Ambiguous, TimeFault, TimeLayout};
use crate::record::Decimal;

/// A column of a sample.
pub(super) struct Column {
    /// Name of the field.
    pub(super) name: String,
    /// What the column is called in the file, or the path to it; empty when it has a number only.
    pub(super) header: String,
    /// Column number, from 1.
    pub(super) number: usize,
    pub(super) guess: Guess,
    /// A text that means that there is no value.
    pub(super) null: Option<&'static str>,
}

/// What its values are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Guess {
    Text,
    Number,
    Time { layout: &'static str, local: bool, other: Option<&'static str> },
}

impl Guess {
    pub(super) const fn needs_zone(&self) -> bool {
        matches!(self, Self::Time { local: true, .. })
    }
}

/// 1990-01-01 and 2100-01-01: times outside are no times of records.
const PLAUSIBLE: std::ops::Range<i64> = 631_152_000..4_102_444_800;
const YEAR: i64 = 366 * 86_400;

const LAYOUTS: [&str; 25] = [
    "rfc3339",
    "%Y-%m-%d %H:%M:%S",
    "%Y-%m-%dT%H:%M:%S",
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y-%m-%d %H:%M:%S %z",
    "%Y-%m-%d %H:%M:%S%.f %z",
    "%Y/%m/%d %H:%M:%S",
    "%Y/%m/%d %H:%M:%S%.f",
    "%d/%m/%Y %H:%M:%S",
    "%m/%d/%Y %H:%M:%S",
    "%d.%m.%Y %H:%M:%S",
    "%d/%b/%Y:%H:%M:%S %z",
    "%Y%m%d%H%M%S",
    "%Y%m%d%H%M%S%z",
    "%Y%m%d%H%M%S%.f",
    "%Y%m%d %H%M%S",
    "%Y%m%d %H:%M:%S",
    "%Y%m%dT%H%M%S%z",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%d",
    "%Y/%m/%d",
    "%d/%m/%Y",
    "%m/%d/%Y",
    "%d.%m.%Y",
];
const EPOCHS: [(&str, std::ops::RangeInclusive<usize>); 3] =
    [("epoch_s", 9..=10), ("epoch_ms", 12..=13), ("epoch_us", 15..=16)];
const NULLS: [&str; 8] = ["-", "NULL", "null", "\\N", "N/A", "NA", "None", "nil"];
/// Parts of the names of columns that hold times, and of those that hold digits that are no amounts.
const TIME_WORDS: [&str; 10] = ["time", "date", "stamp", "start", "end", "begin", "stop", "epoch", "answer", "_at"];
const IDENTITY_WORDS: [&str; 16] = [
    "number", "caller", "called", "callee", "calling", "phone", "imsi", "imei", "msisdn", "iccid", "_id", "cell",
    "account", "ref", "prefix", "cic",
];

/// Guesses what `values` are; `name` is what the column is called, or empty.
pub(super) fn guess(name: &str, values: &[&str]) -> (Guess, Option<&'static str>) {
    let filled: Vec<&str> = values.iter().map(|value| value.trim()).filter(|value| !value.is_empty()).collect();
    let null = NULLS.into_iter().find(|null| filled.contains(null));
    let known: Vec<&str> = filled.iter().copied().filter(|value| Some(*value) != null).collect();
    let guess = if known.is_empty() { Guess::Text } else { guess_filled(&name.to_lowercase(), &known) };
    let null = null.filter(|_| guess != Guess::Text);
    // White space around a value must not make a column undecodable.
    let padded = values.iter().any(|value| value.trim() != *value);
    if padded { (Guess::Text, None) } else { (guess, null) }
}

fn guess_filled(name: &str, values: &[&str]) -> Guess {
    let hints = |words: &[&str]| words.iter().any(|word| name.contains(word));
    let identity = hints(&IDENTITY_WORDS) && !hints(&TIME_WORDS);
    if !identity && let Some(layout) = epoch(values, hints(&TIME_WORDS)) {
        return Guess::Time { layout, local: false, other: None };
    }
    if let Some(time) = calendar(values) {
        return time;
    }
    if !identity && values.iter().all(|value| is_amount(value)) { Guess::Number } else { Guess::Text }
}

fn epoch(values: &[&str], named: bool) -> Option<&'static str> {
    EPOCHS.into_iter().find_map(|(layout, digits)| {
        let whole = |value: &str| value.split('.').next().is_some_and(|whole| digits.contains(&whole.len()));
        if !values.iter().all(|value| whole(value)) {
            return None;
        }
        let seconds = all_times(layout, values)?;
        // Digits without a name are times only when they lie close together.
        let (least, most) = (seconds.iter().min()?, seconds.iter().max()?);
        (named || most - least < YEAR).then_some(layout)
    })
}

fn calendar(values: &[&str]) -> Option<Guess> {
    let mut fitting = LAYOUTS.into_iter().filter(|layout| all_times(layout, values).is_some());
    let layout = fitting.next()?;
    let swapped = layout.replace("%d/%m", "%m/%d");
    let other = fitting.find(|other| *other == swapped);
    let local = !TimeLayout::compile(layout).is_ok_and(|layout| layout.shows_offset());
    Some(Guess::Time { layout, local, other })
}

/// The seconds that the values stand for when all are plausible times of this layout.
fn all_times(layout: &str, values: &[&str]) -> Option<Vec<i64>> {
    let layout = TimeLayout::compile(layout).ok()?;
    values
        .iter()
        .map(|value| {
            let at: Result<UtcTime, TimeFault> = layout.parse(value.as_bytes(), Zone::UTC, Ambiguous::Reject);
            at.ok().map(UtcTime::seconds).filter(|second| PLAUSIBLE.contains(second))
        })
        .collect()
}

/// Numbers to count with: no leading zeros and signs, which telephone numbers have, and not many digits.
fn is_amount(value: &str) -> bool {
    let unsigned = value.strip_prefix('-').unwrap_or(value);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let padded = whole.len() > 1 && whole.starts_with('0');
    let short = whole.len() <= if fraction.is_empty() { 8 } else { 15 };
    !value.starts_with('+') && !padded && short && Decimal::parse(value.as_bytes()).is_ok()
}

impl Column {
    /// Why the guess can be wrong.
    pub(super) fn note(&self) -> Option<String> {
        match &self.guess {
            Guess::Time { other: Some(other), .. } => Some(format!("\"{other}\" fits as well")),
            Guess::Time { layout, .. } if layout.starts_with("epoch") && self.header.is_empty() => {
                Some("digits that are plausible as a time".to_owned())
            }
            Guess::Text | Guess::Number | Guess::Time { .. } => None,
        }
    }
}

/// Names of fields for columns called `headers`: short, of ASCII letters where possible, none twice.
pub(super) fn names(headers: &[String]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for (index, header) in headers.iter().enumerate() {
        let plain: String = header
            .trim()
            .chars()
            .map(|c| if c.is_alphanumeric() { c.to_ascii_lowercase() } else { '_' })
            .take(40)
            .collect();
        let plain = plain.trim_matches('_');
        let base = if plain.is_empty() { format!("column_{}", index + 1) } else { plain.to_owned() };
        let mut name = base.clone();
        let mut count = 2;
        while names.contains(&name) {
            name = format!("{base}_{count}");
            count += 1;
        }
        names.push(name);
    }
    names
}
