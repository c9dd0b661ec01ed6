//! Cuts a file into lines without holding more than one.

use crate::format::dialect::{Dialect, LineEnd};
use crate::format::encode::line_end_bytes;
use std::io::{self, Read};

const CHUNK_BYTES: usize = 64 * 1024;
/// A longer line is not looked at further: the file is no file of lines.
pub(super) const LINE_BYTES_MAX: usize = 1024 * 1024;

/// How a line ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// As the format says.
    Right,
    /// By other bytes, which are not part of the content.
    Wrong(&'static str),
    /// Not at all: the file ends, or the line is too long.
    Missing,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RawLine {
    /// From 1.
    pub number: u64,
    /// Offset of its first byte.
    pub byte: u64,
    /// Without its end.
    pub content: Vec<u8>,
    pub ending: Ending,
}

/// Reads lines.
pub(super) struct LineReader<R> {
    input: R,
    /// The last unit of a line end, which every line end has.
    last: Vec<u8>,
    end: LineEnd,
    buffer: Vec<u8>,
    start: usize,
    at_end: bool,
    byte: u64,
    number: u64,
}

impl<R: Read> LineReader<R> {
    pub fn new(dialect: &Dialect, input: R) -> Self {
        let unit = dialect.charset.unit_bytes();
        let whole = line_end_bytes(dialect);
        let last = whole.get(whole.len() - unit..).unwrap_or_default().to_vec();
        let end = dialect.line_end;
        Self { input, last, end, buffer: Vec::new(), start: 0, at_end: false, byte: 0, number: 0 }
    }

    /// Bytes of the lines so far.
    pub const fn bytes(&self) -> u64 {
        self.byte
    }

    /// The next line.
    pub fn next(&mut self) -> io::Result<Option<RawLine>> {
        let unit = self.last.len();
        let mut searched = 0;
        loop {
            let rest = self.buffer.get(self.start..).unwrap_or_default();
            let tail = rest.get(searched..).unwrap_or_default();
            if let Some(found) = tail.chunks_exact(unit).position(|piece| piece == self.last) {
                let length = searched + found * unit;
                return Ok(Some(self.take(length, length + unit)));
            }
            searched = rest.len() - rest.len() % unit;
            let length = rest.len();
            if self.at_end || length > LINE_BYTES_MAX {
                return Ok((length > 0).then(|| self.take(length, length)));
            }
            self.fill()?;
        }
    }

    fn take(&mut self, length: usize, whole: usize) -> RawLine {
        let mut content = self.buffer.get(self.start..self.start + length).unwrap_or_default().to_vec();
        let unit = self.last.len();
        let carriage_return: Vec<u8> =
            self.last.iter().map(|byte| if *byte == b'\n' { b'\r' } else { *byte }).collect();
        let returned = self.end != LineEnd::Cr && content.ends_with(&carriage_return) && content.len() % unit == 0;
        let ending = match (self.end, returned) {
            _ if whole == length => Ending::Missing,
            (LineEnd::CrLf, false) => Ending::Wrong("LF alone"),
            (LineEnd::Lf, true) => Ending::Wrong("CRLF"),
            (LineEnd::CrLf | LineEnd::Cr | LineEnd::Lf, _) => Ending::Right,
        };
        if returned && ending != Ending::Missing {
            content.truncate(content.len() - unit);
        }
        self.number += 1;
        let line = RawLine { number: self.number, byte: self.byte, content, ending };
        self.start += whole;
        self.byte += whole as u64;
        line
    }

    fn fill(&mut self) -> io::Result<()> {
        self.buffer.drain(..self.start);
        self.start = 0;
        let before = self.buffer.len();
        self.buffer.resize(before + CHUNK_BYTES, 0);
        let room = self.buffer.get_mut(before..).unwrap_or_default();
        let read = loop {
            match self.input.read(room) {
                Err(fault) if fault.kind() == io::ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        self.buffer.truncate(before + *read.as_ref().unwrap_or(&0));
        self.at_end = read? == 0;
        Ok(())
    }
}
