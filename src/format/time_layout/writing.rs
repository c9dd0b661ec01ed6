//! Writing a column of times, of which most differ from the one before in their seconds alone.

use super::calendar::{DateCache, OffsetCache};
use super::{Kind, SECOND, TimeLayout, numeric};
use crate::domain::period::Zone;
use crate::domain::time::UtcTime;
use std::ops::Range;

/// A layout with its zone and a memory of the last minute, for writing: of times one after the other most differ in their
/// seconds alone.
#[derive(Debug, Clone)]
pub struct TimeWriter {
    layout: TimeLayout,
    zone: Zone,
    offsets: OffsetCache,
    dates: DateCache,
    /// Where the seconds stand in a text, when nothing else changes within a minute.
    second_at: Option<usize>,
    /// The instants whose texts differ from the last one in their seconds alone, and when the clock shows 0 of these, in
    /// nanoseconds.
    minute: Range<i64>,
    second_zero: i64,
    /// The last text, and zeros behind it.
    text: Vec<u8>,
    length: usize,
}

impl TimeWriter {
    /// Zeros behind a text, which may be copied along with it.
    const BYTES_BEHIND: usize = 64;

    /// A writer of `layout` in `zone`.
    #[must_use]
    pub fn new(layout: TimeLayout, zone: Zone) -> Self {
        let second_at = layout.second_at();
        let (offsets, dates) = (OffsetCache::new(), DateCache::new());
        let (minute, text) = (0..0, Vec::new());
        Self { layout, zone, offsets, dates, second_at, minute, second_zero: 0, text, length: 0 }
    }

    /// Bytes that begin with the text of `at`, and its length.
    #[inline]
    pub fn text(&mut self, at: UtcTime) -> (&[u8], usize) {
        let nanos = at.nanos();
        if !self.minute.contains(&nanos) || (self.shows_fractions() && nanos.rem_euclid(SECOND) != 0) {
            self.write_anew(at);
        } else if let Some(place) = self.second_at.and_then(|at| self.text.get_mut(at..at + 2)) {
            let second = (nanos - self.second_zero) / SECOND;
            place.copy_from_slice(&numeric::two_digits(second.unsigned_abs()));
        }
        (&self.text, self.length)
    }

    /// Fractions of a second are shown where there are any.
    const fn shows_fractions(&self) -> bool {
        matches!(self.layout.0, Kind::Rfc3339)
    }

    fn write_anew(&mut self, at: UtcTime) {
        let seconds = at.seconds();
        let (offset, known) =
            if self.layout.needs_offset() { self.offsets.offset_at(self.zone, seconds) } else { (0, seconds..seconds) };
        self.text.clear();
        self.layout.write_at_offset(at, self.zone, (offset, &mut self.dates), &mut self.text);
        self.length = self.text.len();
        self.text.resize(self.length + Self::BYTES_BEHIND, 0);
        self.minute = at.nanos()..at.nanos().saturating_add(1);
        if self.second_at.is_some() && !(self.shows_fractions() && at.subsecond_nanos() != 0) {
            let zero = seconds - (seconds + i64::from(offset)).rem_euclid(60);
            let ends = [zero, zero.max(known.start), (zero + 60).min(known.end)].map(|at| at.checked_mul(SECOND));
            // The first and the last minute that can be counted are not whole.
            if let [Some(zero), Some(begin), Some(end)] = ends {
                (self.second_zero, self.minute) = (zero, begin..end);
            }
        }
    }
}
