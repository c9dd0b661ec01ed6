//! Why a line cannot be written. Faults say where and why, never what the value was.

use crate::record::DecimalFault;
use std::fmt;
use std::sync::Arc;

/// Where a cell stands in its line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CellPosition {
    /// Column of a delimited line or place in a JSON object, from 1.
    Column(usize),
    /// First and last byte of a fixed-width line, from 1.
    Bytes(usize, usize),
}

impl fmt::Display for CellPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Column(column) => write!(f, "column {column}"),
            Self::Bytes(from, to) => write!(f, "bytes {from}-{to}"),
        }
    }
}

/// Why a value does not fit its cell. Characters are counted from 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CellFault {
    /// The cell is required.
    #[error("is empty and must not be")]
    Empty,
    /// Zeros would say something that is not known.
    #[error("is empty, which a number filled with zeros cannot show (set `default`)")]
    EmptyNumber,
    /// Not a number, too long, or not to be rounded.
    #[error(transparent)]
    Number(#[from] DecimalFault),
    /// A control character, and the format rejects them.
    #[error("holds the control character U+{code:04X} at character {character}")]
    Control {
        /// The code point.
        code: u32,
        /// Its place.
        character: usize,
    },
    /// A line end that nothing protects.
    #[error("holds a line end at character {character}")]
    LineEnd {
        /// Its place.
        character: usize,
    },
    /// A separator that nothing protects.
    #[error("holds the separator at character {character}, and nothing protects it")]
    Separator {
        /// Its place.
        character: usize,
    },
    /// A character that the charset does not have.
    #[error("holds a character at place {character} that is not in {charset}")]
    Unmappable {
        /// Its place.
        character: usize,
        /// Name of the charset.
        charset: &'static str,
    },
    /// Longer than its cell.
    #[error("has {bytes} bytes, the cell holds {width}")]
    TooLong {
        /// Bytes in the charset of the file.
        bytes: usize,
        /// Bytes of the cell.
        width: usize,
    },
    /// The fill character has several bytes and does not fit a whole number of times.
    #[error("leaves {bytes} bytes, which the fill character cannot fill")]
    Unfillable {
        /// Bytes left over.
        bytes: usize,
    },
    /// Not in the lookup, which rejects what it does not list.
    #[error("is not in the lookup `{lookup}`")]
    NotListed {
        /// Name of the lookup.
        lookup: String,
    },
    /// Not UTF-8.
    #[error("is not text")]
    NotText,
    /// A sum has more digits than can be kept exactly.
    #[error("makes a sum that has more digits than can be kept exactly")]
    SumTooLong,
    /// A record cell shows facts about the file and [`super::Layout::begin_file`] was not called.
    #[error("needs facts about the file that are not known yet")]
    NoFacts,
}

/// A line that cannot be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenderFault {
    /// One value. Of a record, it goes to quarantine; of a header or trailer, it holds the hour.
    #[error("cell `{cell}` ({position}) {reason}")]
    Cell {
        /// Name of the cell.
        cell: Arc<str>,
        /// Where it stands.
        position: CellPosition,
        /// What is wrong.
        reason: CellFault,
    },
    /// A count or sum that its cell cannot show: the records are right and the hour is held.
    #[error("the total in cell `{cell}` ({position}) {reason}")]
    Total {
        /// Name of the cell.
        cell: Arc<str>,
        /// Where it stands.
        position: CellPosition,
        /// What is wrong.
        reason: CellFault,
    },
}
