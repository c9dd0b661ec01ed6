//! Reading a column of times, of which most differ from the one before in their seconds alone.

use super::calendar::{Ambiguous, LocalClock};
use super::{Kind, SECOND, TimeFault, TimeLayout};
use crate::domain::period::Zone;
use crate::domain::time::UtcTime;

/// A layout with its zone and a memory of the last text and of the zone's offset in the last hour: for columns of a
/// million times, of which many are the same or differ in their seconds alone.
#[derive(Debug, Clone)]
pub struct TimeParser {
    layout: TimeLayout,
    clock: LocalClock,
    /// Where the seconds stand in a text, when they are two digits in all texts.
    second_at: Option<usize>,
    last: Option<KnownText>,
}

impl TimeParser {
    /// A parser of `layout`; `zone` and `ambiguous` are used when it shows no offset.
    #[must_use]
    pub fn new(layout: TimeLayout, zone: Zone, ambiguous: Ambiguous) -> Self {
        let second_at = layout.second_at();
        Self { layout, clock: LocalClock::new(zone, ambiguous), second_at, last: None }
    }

    /// Reads a time.
    ///
    /// # Errors
    /// [`TimeFault`].
    #[inline]
    pub fn parse(&mut self, bytes: &[u8]) -> Result<UtcTime, TimeFault> {
        match self.last.as_ref().and_then(|last| last.time_of(bytes)) {
            Some(at) => Ok(at),
            None => self.parse_anew(bytes),
        }
    }

    fn parse_anew(&mut self, bytes: &[u8]) -> Result<UtcTime, TimeFault> {
        let at = self.layout.parse_with(bytes, &mut self.clock)?;
        // An epoch is counted as quickly as compared.
        if !matches!(self.layout.0, Kind::Epoch(_)) {
            let is_steady = self.layout.shows_offset() || self.clock.is_steady_at(at.seconds());
            self.last = KnownText::new(bytes, self.second_at.filter(|_| is_steady), at);
        }
        Ok(at)
    }
}

/// A text that was read, and what texts say that differ in their seconds alone.
#[derive(Debug, Clone)]
struct KnownText {
    length: usize,
    /// The first and the last bytes, which together are the whole, and which of them are compared.
    ends: [u128; 2],
    compared: [u128; 2],
    second_at: Option<usize>,
    /// The time, in nanoseconds; that at the minute's first second where seconds may differ.
    at: i64,
}

impl KnownText {
    /// `None` when the text is too short or too long to be remembered.
    fn new(bytes: &[u8], second_at: Option<usize>, at: UtcTime) -> Option<Self> {
        let length = bytes.len();
        let (ends, width) = ends_of(bytes)?;
        let second = second_at.and_then(|place| second_in(bytes, place));
        let second_at = second_at.filter(|_| second.is_some());
        let nanos = second.map_or(Some(at.nanos()), |second| at.nanos().checked_sub(second))?;
        let mut compared = [u128::MAX; 2];
        for place in second_at.into_iter().flat_map(|place| [place, place + 1]) {
            for (mask, start) in compared.iter_mut().zip([0, length - width]) {
                if let Some(byte) = place.checked_sub(start).filter(|byte| *byte < width) {
                    *mask &= !(0xff << (8 * byte));
                }
            }
        }
        Some(Self { length, ends, compared, second_at, at: nanos })
    }

    #[inline]
    fn time_of(&self, bytes: &[u8]) -> Option<UtcTime> {
        if bytes.len() != self.length {
            return None;
        }
        let ([head, tail], _) = ends_of(bytes)?;
        let differs = (head ^ self.ends[0]) & self.compared[0] | (tail ^ self.ends[1]) & self.compared[1];
        if differs != 0 {
            return None;
        }
        let second = self.second_at.map_or(Some(0), |place| second_in(bytes, place))?;
        self.at.checked_add(second).map(UtcTime::from_nanos)
    }
}

/// The first and the last 16 bytes of a text, or 8 of a short one, and how many these are.
#[inline]
fn ends_of(bytes: &[u8]) -> Option<([u128; 2], usize)> {
    let long = |bytes: &[u8; 16]| u128::from_le_bytes(*bytes);
    let short = |bytes: &[u8; 8]| u128::from(u64::from_le_bytes(*bytes));
    match bytes.len() {
        16..=32 => Some(([long(bytes.first_chunk()?), long(bytes.last_chunk()?)], 16)),
        8..16 => Some(([short(bytes.first_chunk()?), short(bytes.last_chunk()?)], 8)),
        _ => None,
    }
}

/// The two digits at `place` as nanoseconds; `None` for 60, which is no second like others.
#[inline]
fn second_in(bytes: &[u8], place: usize) -> Option<i64> {
    let [tens, units] = *bytes.get(place..)?.first_chunk::<2>()?;
    let (tens, units) = (tens.wrapping_sub(b'0'), units.wrapping_sub(b'0'));
    (tens < 6 && units < 10).then(|| i64::from(tens * 10 + units) * SECOND)
}
