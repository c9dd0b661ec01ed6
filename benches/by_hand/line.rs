//! One line of call records, from 16 columns to ten.

use crate::Rendered;

const COLUMNS: usize = 16;
/// The partner's clock is +08:00.
const ZONE_SECONDS: i64 = 8 * 3600;
const DAY: i64 = 86_400;

/// Renders lines, and remembers the last day that it has seen.
#[derive(Default)]
pub struct Lines {
    read: Option<([u8; 10], i64)>,
    written: Option<(i64, [u8; 8])>,
}

impl Lines {
    /// Renders every line of a piece into the hour of its start.
    pub fn render(&mut self, piece: &[u8], parts: &mut Rendered) {
        let (mut at, mut current) = (0, usize::MAX);
        while at < piece.len() {
            let (fields, is_quoted, end) = split(piece, at);
            let field = |column: usize| &piece[fields[column].0..fields[column].1];
            let start = self.seconds(field(4)) + ZONE_SECONDS;
            let hour = start.div_euclid(3600);
            if parts.get(current).is_none_or(|part| part.0 != hour) {
                current = parts.iter().position(|part| part.0 == hour).unwrap_or_else(|| {
                    parts.push((hour, Vec::new(), 0));
                    parts.len() - 1
                });
            }
            let (_, line, records) = &mut parts[current];
            *records += 1;
            for column in [0, 1] {
                line.extend_from_slice(field(column));
                line.push(b'|');
            }
            self.write(start, line);
            line.push(b'|');
            if let Some(seconds) = number(field(5)) {
                self.write(seconds + ZONE_SECONDS, line);
            }
            line.push(b'|');
            for column in [2, 3, 7, 11, 10] {
                line.extend_from_slice(field(column));
                line.push(b'|');
            }
            unquote(field(15), is_quoted, line);
            line.push(b'\n');
            at = end;
        }
    }

    /// Seconds since the epoch of `2026-03-14T00:00:00+08:00`.
    fn seconds(&mut self, text: &[u8]) -> i64 {
        let day = match self.read {
            Some((known, seconds)) if text.starts_with(&known) => seconds,
            _ => {
                let year = two(text, 0) * 100 + two(text, 2);
                let seconds = days(year, two(text, 5), two(text, 8)) * DAY;
                self.read = text.first_chunk().map(|day| (*day, seconds));
                seconds
            }
        };
        let offset = two(text, 20) * 3600 + two(text, 23) * 60;
        let clock = two(text, 11) * 3600 + two(text, 14) * 60 + two(text, 17);
        day + clock - if text[19] == b'-' { -offset } else { offset }
    }

    /// Writes `20260314000000`.
    fn write(&mut self, seconds: i64, line: &mut Vec<u8>) {
        let (day, second) = (seconds.div_euclid(DAY), seconds.rem_euclid(DAY));
        let text = match self.written {
            Some((known, text)) if known == day => text,
            _ => {
                let (year, month, day_of_month) = date(day);
                let text = format!("{year:04}{month:02}{day_of_month:02}");
                let text = *text.as_bytes().first_chunk().expect("eight digits");
                self.written = Some((day, text));
                text
            }
        };
        line.extend_from_slice(&text);
        for part in [second / 3600, second / 60 % 60, second % 60] {
            let digit = |digit: i64| b'0' + u8::try_from(digit).unwrap_or_default();
            line.extend_from_slice(&[digit(part / 10), digit(part % 10)]);
        }
    }
}

/// The fields of the line at `at` without quotes, whether the last one is quoted, and where the next line begins.
fn split(piece: &[u8], at: usize) -> ([(usize, usize); COLUMNS], bool, usize) {
    let (mut fields, mut start) = ([(0, 0); COLUMNS], at);
    for column in 0..COLUMNS {
        let is_quoted = piece[start] == b'"';
        let end = if is_quoted {
            let mut at = start + 1;
            loop {
                at += memchr::memchr(b'"', &piece[at..]).expect("a quote that ends the field");
                if piece.get(at + 1) != Some(&b'"') {
                    break;
                }
                at += 2;
            }
            fields[column] = (start + 1, at);
            at + 1
        } else {
            let end = start + memchr::memchr2(b',', b'\n', &piece[start..]).expect("the end of a field");
            fields[column] = (start, end);
            end
        };
        if piece.get(end).is_none_or(|byte| *byte == b'\n') {
            assert_eq!(column + 1, COLUMNS, "16 columns");
            return (fields, is_quoted, end + 1);
        }
        start = end + 1;
    }
    unreachable!("a line with more than 16 columns");
}

fn unquote(field: &[u8], is_quoted: bool, line: &mut Vec<u8>) {
    if !is_quoted || memchr::memchr(b'"', field).is_none() {
        return line.extend_from_slice(field);
    }
    let mut at = 0;
    while at < field.len() {
        line.push(field[at]);
        at += if field[at] == b'"' { 2 } else { 1 };
    }
}

fn number(text: &[u8]) -> Option<i64> {
    let digits = || text.iter().fold(0, |number, digit| number * 10 + i64::from(digit - b'0'));
    (!text.is_empty()).then(digits)
}

fn two(text: &[u8], at: usize) -> i64 {
    i64::from(text[at] - b'0') * 10 + i64::from(text[at + 1] - b'0')
}

/// Days since 1970-01-01 of a date, and back; Howard Hinnant, "chrono-compatible low-level date algorithms".
const fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

const fn date(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + if month <= 2 { 1 } else { 0 };
    (year, month, day_of_year - (153 * shifted + 2) / 5 + 1)
}

/// The name of an hour since the epoch at +00:00: `2026031400`.
pub fn hour_name(hour: i64) -> String {
    let (year, month, day) = date(hour.div_euclid(24));
    format!("{year:04}{month:02}{day:02}{:02}", hour.rem_euclid(24))
}
