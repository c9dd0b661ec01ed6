//! Time layouts. STAND-IN with the agreed interface, to be replaced by the real module at merge.

use crate::domain::period::{LocalTime, Zone, offset_label};
use crate::domain::time::UtcTime;
use chrono::format::{Item, Parsed, StrftimeItems};
use chrono::{DateTime, FixedOffset};

/// Which of two instants a local time that occurred twice means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Ambiguous {
    /// The first.
    First,
    /// The second.
    Second,
    /// Neither.
    #[default]
    Reject,
}

/// Why a text is not a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not a time in the declared layout")]
pub struct TimeFault;

/// A layout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TimeLayout {
    /// RFC 3339.
    Rfc3339,
    /// Whole seconds since the epoch.
    EpochSeconds,
    /// strftime.
    Pattern(String),
}

impl TimeLayout {
    /// Compiles a layout.
    pub fn compile(text: &str) -> Result<Self, String> {
        match text {
            "rfc3339" => Ok(Self::Rfc3339),
            "epoch_s" => Ok(Self::EpochSeconds),
            _ if StrftimeItems::new(text).any(|item| matches!(item, Item::Error)) => Err("unknown letter".to_owned()),
            _ => Ok(Self::Pattern(text.to_owned())),
        }
    }

    /// Parses.
    pub fn parse(&self, bytes: &[u8], zone: Zone, ambiguous: Ambiguous) -> Result<UtcTime, TimeFault> {
        let text = std::str::from_utf8(bytes).map_err(|_| TimeFault)?;
        let seconds = match self {
            Self::Rfc3339 => DateTime::parse_from_rfc3339(text).map_err(|_| TimeFault)?.timestamp(),
            Self::EpochSeconds => text.parse().map_err(|_| TimeFault)?,
            Self::Pattern(pattern) => {
                let mut parsed = Parsed::new();
                chrono::format::parse(&mut parsed, text, StrftimeItems::new(pattern)).map_err(|_| TimeFault)?;
                if let Ok(at) = parsed.to_datetime() {
                    at.timestamp()
                } else {
                    if parsed.minute().is_none() {
                        parsed.set_minute(0).map_err(|_| TimeFault)?;
                    }
                    let local = parsed.to_naive_datetime_with_offset(0).map_err(|_| TimeFault)?;
                    match (zone.instants_of(local), ambiguous) {
                        (LocalTime::Once(at), _) | (LocalTime::Twice(at, _), Ambiguous::First) => at,
                        (LocalTime::Twice(_, at), Ambiguous::Second) => at,
                        (LocalTime::Never, _) | (LocalTime::Twice(..), Ambiguous::Reject) => return Err(TimeFault),
                    }
                }
            }
        };
        UtcTime::from_seconds(seconds).ok_or(TimeFault)
    }

    /// Writes.
    pub fn write(&self, at: UtcTime, zone: Zone, out: &mut Vec<u8>) {
        let offset = zone.offset_at(at.seconds());
        let Some(east) = FixedOffset::east_opt(offset) else { return };
        let Some(utc) = DateTime::from_timestamp(at.seconds(), at.subsecond_nanos()) else { return };
        let local = utc.with_timezone(&east);
        let text = match self {
            Self::Rfc3339 => {
                let offset = if offset == 0 { "Z".to_owned() } else { offset_label(offset) };
                format!("{}{offset}", local.format("%Y-%m-%dT%H:%M:%S%.f"))
            }
            Self::EpochSeconds => at.seconds().to_string(),
            Self::Pattern(pattern) => local.format(pattern).to_string(),
        };
        out.extend_from_slice(text.as_bytes());
    }

    #[must_use]
    /// True when the output tells the UTC offset.
    pub fn shows_offset(&self) -> bool {
        match self {
            Self::Rfc3339 | Self::EpochSeconds => true,
            Self::Pattern(pattern) => pattern.contains("%z") || pattern.contains("%:z"),
        }
    }
}
