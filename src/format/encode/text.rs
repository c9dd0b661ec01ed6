//! Text to bytes: the control-character rule and the charset.

use super::fault::CellFault;
use crate::format::charset::Charset;
use crate::format::dialect::{Dialect, Misfit};

/// Slots of the cache of encoded characters; a power of two.
const CACHE_SLOTS: usize = 2048;

#[derive(Debug, Clone, Copy, Default)]
struct Encoded {
    character: u32,
    bytes: [u8; 4],
    length: u8,
}

/// Writes text in the charset of a format. Remembers encoded characters: the tables of the large charsets are
/// searched from the front, and names repeat their characters.
#[derive(Debug, Clone)]
pub(super) struct TextEncoder {
    charset: Charset,
    unmappable: Misfit,
    cache: Vec<Encoded>,
}

impl TextEncoder {
    pub fn new(dialect: &Dialect) -> Self {
        // ISO-2022-JP switches tables within a text, so a character alone has other bytes.
        let cacheable = matches!(dialect.charset, Charset::Table(_)) && dialect.charset.is_ascii_compatible();
        let cache = if cacheable { vec![Encoded::default(); CACHE_SLOTS] } else { Vec::new() };
        Self { charset: dialect.charset, unmappable: dialect.unmappable.clone(), cache }
    }

    fn copies(&self, byte: u8) -> bool {
        match self.charset {
            Charset::Utf8 => true,
            Charset::Ascii | Charset::Utf16Le | Charset::Utf16Be | Charset::Table(_) => {
                byte.is_ascii() && self.charset.is_ascii_compatible()
            }
        }
    }

    /// Which bytes of a value cannot be copied as they are: control characters, those in `special`, and those that are
    /// other bytes in the charset.
    pub fn stops(&self, special: &[u8]) -> [bool; 256] {
        let mut stop = [false; 256];
        for (byte, stop) in (0..=255u8).zip(&mut stop) {
            *stop = byte.is_ascii_control() || special.contains(&byte) || !self.copies(byte);
        }
        stop
    }

    pub const fn charset(&self) -> Charset {
        self.charset
    }

    pub fn append(&mut self, text: &str, out: &mut Vec<u8>) -> Result<(), CellFault> {
        if self.cache.is_empty() {
            return self.append_uncached(text, 0, out);
        }
        let mut buffer = [0u8; 4];
        for (index, character) in text.chars().enumerate() {
            if character.is_ascii() {
                out.push(character as u8);
                continue;
            }
            let slot = character as usize % CACHE_SLOTS;
            if let Some(found) = self.cache.get(slot).filter(|found| found.character == u32::from(character)) {
                out.extend_from_slice(found.bytes.get(..usize::from(found.length)).unwrap_or_default());
                continue;
            }
            let start = out.len();
            self.append_uncached(character.encode_utf8(&mut buffer), index, out)?;
            let bytes = out.get(start..).unwrap_or_default();
            if let (Some(slot), Ok(length)) = (self.cache.get_mut(slot), u8::try_from(bytes.len()))
                && bytes.len() <= 4
            {
                slot.bytes.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
                (slot.character, slot.length) = (u32::from(character), length);
            }
        }
        Ok(())
    }

    fn append_uncached(&self, text: &str, before: usize, out: &mut Vec<u8>) -> Result<(), CellFault> {
        self.charset.append(text, &self.unmappable, out).map_err(|fault| CellFault::Unmappable {
            character: before + fault.character,
            charset: self.charset.name(),
        })
    }
}

/// Appends a text that is short as a rule: two copies of fixed length that overlap are a few instructions.
#[inline]
pub(super) fn append_few(text: &[u8], out: &mut Vec<u8>) {
    match (text, text.first_chunk::<8>(), text.last_chunk::<8>()) {
        ([], ..) => {}
        ([byte], ..) => out.push(*byte),
        (_, Some(first), Some(last)) if text.len() <= 16 => {
            let end = out.len() + text.len();
            out.extend_from_slice(first);
            out.truncate(end - 8);
            out.extend_from_slice(last);
        }
        (text, ..) => out.extend_from_slice(text),
    }
}

/// True when a byte of the value is one of `stop`. All are looked at: most values are short and have none.
#[inline]
pub(super) fn is_stopped(stop: &[bool; 256], value: &[u8]) -> bool {
    let (fours, rest) = value.as_chunks::<4>();
    let stops = |byte: u8| stop.get(usize::from(byte)).copied().unwrap_or(true);
    fours.iter().any(|[a, b, c, d]| stops(*a) | stops(*b) | stops(*c) | stops(*d)) || rest.iter().any(|b| stops(*b))
}

/// Appends what the rule makes of a control character.
pub(super) fn push_control(control: char, character: usize, rule: &Misfit, out: &mut String) -> Result<(), CellFault> {
    match rule {
        Misfit::Reject => return Err(CellFault::Control { code: u32::from(control), character }),
        Misfit::Replace(with) => out.push_str(with),
        Misfit::Drop => {}
        Misfit::Keep => out.push(control),
    }
    Ok(())
}

/// The value as text.
pub(super) fn as_text(value: &[u8]) -> Result<&str, CellFault> {
    std::str::from_utf8(value).map_err(|_| CellFault::NotText)
}
