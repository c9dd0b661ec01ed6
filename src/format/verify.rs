//! Checks one file as its partner would: nothing is known but the format.
//!
//! Every line is taken apart by the cells that wrote it: line ends, charset, widths, number of columns, constant
//! texts, shapes of numbers and times, values of lookups. Records are counted and summed again and compared with what
//! header and trailer say. Problems name line, byte and cell, what was expected and what kind of thing was found; they
//! never show the value.
//!
//! A cell that shows a field of unknown kind accepts any text: the fields of the source are not known here.

mod check;
mod columns;
mod lines;
mod shape;

#[cfg(test)]
mod tests;

use super::encode::CellPosition;
use super::spec::FormatSpec;
use crate::record::Decimal;
use std::io::Read;

/// How many problems are kept; the others are only counted.
pub const PROBLEMS_MAX: usize = 100;

/// What a check of a file found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VerifyReport {
    /// Bytes read.
    pub bytes: u64,
    /// Lines, header and trailer included. A value with line ends in quotes is part of one line.
    pub lines: u64,
    /// Lines that are records.
    pub records: u64,
    /// Sums of the record cells that the format sums, as written.
    pub sums: Vec<(String, Decimal)>,
    /// The first problems, in the order of the file; those of totals last.
    pub problems: Vec<VerifyProblem>,
    /// Number of all problems.
    pub problem_count: u64,
}

impl VerifyReport {
    /// True when nothing is wrong.
    #[must_use]
    pub const fn is_good(&self) -> bool {
        self.problem_count == 0
    }

    fn add(&mut self, problem: VerifyProblem) {
        self.problem_count += 1;
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(problem);
        }
    }
}

/// One thing that is wrong in a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, byte {byte}{}: expected {expected}, found {found}", .cell.as_ref().map(ToString::to_string).unwrap_or_default())]
pub struct VerifyProblem {
    /// The line, from 1.
    pub line: u64,
    /// The byte in the file, from 0.
    pub byte: u64,
    /// The cell; `None` when the line as a whole is wrong.
    pub cell: Option<CellAddress>,
    /// What the format asks for.
    pub expected: String,
    /// What kind of thing stands there; never the value itself.
    pub found: String,
}

/// Name and place of a cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CellAddress {
    /// Name; empty when it has none.
    pub name: String,
    /// Where it stands in its line.
    pub position: CellPosition,
}

impl std::fmt::Display for CellAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.name.is_empty() {
            write!(f, ", {}", self.position)
        } else {
            write!(f, ", {} `{}`", self.position, self.name)
        }
    }
}

/// Why a file could not be checked.
#[derive(Debug, thiserror::Error)]
pub enum VerifyFault {
    /// It could not be read.
    #[error("the file cannot be read: {0}")]
    Read(#[from] std::io::Error),
    /// The format describes no `record`.
    #[error("the format `{format}` describes no `record`, so no file can be checked against it")]
    NothingToCheck {
        /// Name of the format.
        format: String,
    },
}

/// Checks a file against its format.
///
/// # Errors
/// [`VerifyFault`] when the file cannot be read or the format has no `record`. What is wrong with the file is in the
/// report.
pub fn verify(spec: &FormatSpec, bytes: impl Read) -> Result<VerifyReport, VerifyFault> {
    let Some(write) = &spec.write else { return Err(VerifyFault::NothingToCheck { format: spec.name.clone() }) };
    Ok(check::Checker::new(&spec.dialect, write).run(bytes)?)
}
