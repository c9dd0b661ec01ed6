//! Values at fixed positions. Widths are bytes of the file's charset; a character is never split.

use super::fault::CellFault;
use super::text::{TextEncoder, as_text, is_stopped, push_control};
use crate::format::dialect::{Dialect, Misfit};
use crate::format::spec::{Align, FixedSpec};

/// Place and padding of one cell, ready to use.
#[derive(Debug, Clone, Copy)]
pub(in crate::format) struct FixedShape {
    pub width: usize,
    pub align: Align,
    /// The fill character in the charset of the file.
    pub fill: [u8; 8],
    pub fill_length: usize,
    pub zero_filled: bool,
    pub cut: bool,
}

impl FixedShape {
    /// The shape of a cell; `number` decides the side when the format does not.
    pub fn new(fixed: &FixedSpec, number: bool, dialect: &Dialect) -> Self {
        let right = number || fixed.fill == '0';
        let mut text = [0u8; 4];
        let mut encoded = Vec::new();
        let done = dialect.charset.append(fixed.fill.encode_utf8(&mut text), &Misfit::Reject, &mut encoded);
        assert!(done.is_ok() && encoded.len() <= 8, "a fill character that is in the charset");
        let mut fill = [0u8; 8];
        fill.iter_mut().zip(&encoded).for_each(|(to, from)| *to = *from);
        Self {
            width: fixed.width(),
            align: fixed.align.unwrap_or(if right { Align::Right } else { Align::Left }),
            fill,
            fill_length: encoded.len(),
            zero_filled: fixed.fill == '0',
            cut: fixed.cut,
        }
    }

    /// True when a number that begins with this byte has its sign there, to stand before the zeros.
    pub(super) const fn moves_sign(&self, number: bool, first: u8) -> bool {
        number && self.zero_filled && matches!(first, b'-' | b'+')
    }

    fn push_fill(&self, bytes: usize, out: &mut Vec<u8>) {
        match self.fill.get(..self.fill_length).unwrap_or_default() {
            [fill] => out.resize(out.len() + bytes, *fill),
            fill => out.extend(fill.iter().copied().cycle().take(bytes)),
        }
    }
}

/// Writes the values of fixed-width lines.
#[derive(Debug, Clone)]
pub(super) struct FixedWriter {
    controls: Misfit,
    encoder: TextEncoder,
    /// Bytes that cannot be copied as they are.
    stop: [bool; 256],
    cleaned: String,
    encoded: Vec<u8>,
}

impl FixedWriter {
    pub fn new(dialect: &Dialect) -> Self {
        let encoder = TextEncoder::new(dialect);
        let stop = encoder.stops(b"");
        let cleaned = String::new();
        Self { controls: dialect.controls.clone(), encoder, stop, cleaned, encoded: Vec::new() }
    }

    /// Appends one value, filled to the width of its cell.
    pub fn put(&mut self, shape: &FixedShape, number: bool, value: &[u8], out: &mut Vec<u8>) -> Result<(), CellFault> {
        if value.is_empty() && number && shape.zero_filled {
            return Err(CellFault::EmptyNumber);
        }
        if value.len() <= shape.width && !is_stopped(&self.stop, value) {
            return pad(shape, number, value, 1, out);
        }
        self.clean(as_text(value)?)?;
        self.encoded.clear();
        self.encoder.append(&self.cleaned, &mut self.encoded)?;
        if self.encoded.len() > shape.width {
            if !shape.cut {
                return Err(CellFault::TooLong { bytes: self.encoded.len(), width: shape.width });
            }
            self.cut(shape.width)?;
        }
        pad(shape, number, &self.encoded, self.encoder.charset().unit_bytes(), out)
    }

    fn clean(&mut self, text: &str) -> Result<(), CellFault> {
        self.cleaned.clear();
        for (index, character) in text.chars().enumerate() {
            match character {
                '\n' | '\r' if self.controls == Misfit::Keep => {
                    return Err(CellFault::LineEnd { character: index + 1 });
                }
                control if control.is_ascii_control() => {
                    push_control(control, index + 1, &self.controls, &mut self.cleaned)?;
                }
                other => self.cleaned.push(other),
            }
        }
        Ok(())
    }

    /// Encodes as many characters as fit.
    fn cut(&mut self, width: usize) -> Result<(), CellFault> {
        let mut low = 0;
        let mut used = 0;
        for (at, character) in self.cleaned.char_indices() {
            self.encoded.clear();
            self.encoder.append(character.encode_utf8(&mut [0u8; 4]), &mut self.encoded)?;
            used += self.encoded.len();
            if used > width {
                break;
            }
            low = at + character.len_utf8();
        }
        self.encoded.clear();
        self.encoder.append(self.cleaned.get(..low).unwrap_or_default(), &mut self.encoded)
    }
}

/// Appends encoded bytes with their padding. A sign stands before the zeros: `-0012`.
fn pad(shape: &FixedShape, number: bool, value: &[u8], unit: usize, out: &mut Vec<u8>) -> Result<(), CellFault> {
    let missing = shape.width - value.len();
    if shape.fill_length == 0 || !missing.is_multiple_of(shape.fill_length) {
        return Err(CellFault::Unfillable { bytes: missing });
    }
    let signed = value.get(..unit).is_some_and(|first| first.iter().any(|byte| shape.moves_sign(number, *byte)));
    match shape.align {
        Align::Left => {
            out.extend_from_slice(value);
            shape.push_fill(missing, out);
        }
        Align::Right => {
            let (sign, digits) = value.split_at(if signed { unit } else { 0 });
            out.extend_from_slice(sign);
            shape.push_fill(missing, out);
            out.extend_from_slice(digits);
        }
    }
    Ok(())
}
