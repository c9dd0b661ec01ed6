//! JSON lines: one object for each line.
//!
//! `serde_json` walks the object; only the values under a field's path are looked at, as their exact text, so numbers
//! keep every digit. What lies elsewhere is checked and skipped without recursion, however deep it is. A field that is there twice makes the record undecodable:
//! readers disagree on which one counts (RFC 8259 section 4).

use super::spec::{ReadSpec, Source};
use super::value::{FieldFault, ValueFault, ValueKind, ValueReader};
use crate::record::RecordBlock;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;
use std::ops::Range;

/// Reads JSON lines.
#[derive(Debug, Clone)]
pub(super) struct JsonLines {
    paths: Vec<Node>,
    /// Where in the line the value of each field stands.
    found: Vec<Option<Range<usize>>>,
    unescaped: Vec<u8>,
    expanded: Vec<u8>,
}

/// A place in the tree of paths; index 0 is the object itself.
#[derive(Debug, Clone, Default)]
struct Node {
    /// Keys below it. A key with points in it can stand for several steps of a path.
    keys: Vec<(String, usize)>,
    /// The fields whose paths end here.
    fields: Vec<usize>,
}

impl JsonLines {
    pub(super) fn new(read: &ReadSpec) -> Self {
        let mut paths = vec![Node::default()];
        for (field, spec) in read.fields.iter().enumerate() {
            if let Source::Path(path) = &spec.source {
                add_path(&mut paths, path, field);
            }
        }
        Self { paths, found: vec![None; read.fields.len()], unescaped: Vec::new(), expanded: Vec::new() }
    }

    /// Appends the record in `line`.
    pub(super) fn push(
        &mut self,
        line: &str,
        values: &mut [ValueReader],
        block: &mut RecordBlock,
    ) -> Result<(), String> {
        if !line.trim_start().starts_with('{') {
            return Err("the line is not a JSON object".to_owned());
        }
        self.found.fill(None);
        let mut search = Search { paths: &self.paths, line, found: &mut self.found, twice: None };
        let mut json = serde_json::Deserializer::from_str(line);
        let walked = Step { search: &mut search, node: 0 }.deserialize(&mut json).and_then(|()| json.end());
        let twice = search.twice;
        if let Err(error) = walked {
            return Err(format!("the line is not valid JSON at character {}", error.column()));
        }
        for (index, (value, found)) in values.iter_mut().zip(&self.found).enumerate() {
            let text = found.clone().and_then(|range| line.get(range)).unwrap_or("null");
            let pushed = if twice == Some(index) {
                Err(ValueFault::Twice)
            } else {
                let plain = plain_text(text, &mut self.unescaped);
                plain.and_then(|text| push_value(text, value, &mut self.expanded, block))
            };
            if let Err(fault) = pushed {
                return Err(FieldFault { field: &value.name, fault }.to_string());
            }
        }
        Ok(())
    }
}

fn add_path(paths: &mut Vec<Node>, path: &str, field: usize) {
    // Nodes of this path by the number of bytes that they have consumed.
    let mut along = vec![(0usize, 0usize)];
    let ends = path.match_indices('.').map(|(at, _)| at).chain([path.len()]);
    for end in ends {
        let mut node = None;
        for (start, from) in &along {
            let key = path.get(*start..end).unwrap_or_default();
            let known = paths.get(*from).and_then(|node| node.keys.iter().find(|(k, _)| k == key)).map(|(_, to)| *to);
            node = node.or(known);
        }
        let to = node.unwrap_or_else(|| {
            paths.push(Node::default());
            paths.len() - 1
        });
        for (start, from) in &along {
            let key = path.get(*start..end).unwrap_or_default().to_owned();
            if let Some(node) = paths.get_mut(*from)
                && !node.keys.iter().any(|(known, _)| *known == key)
            {
                node.keys.push((key, to));
            }
        }
        along.push((end + 1, to));
    }
    if let Some(node) = along.last().and_then(|(_, last)| paths.get_mut(*last)) {
        node.fields.push(field);
    }
}

/// A number with an exponent, as some programs write very small ones, becomes the same number without.
fn push_value(
    text: &[u8],
    value: &mut ValueReader,
    expanded: &mut Vec<u8>,
    block: &mut RecordBlock,
) -> Result<(), ValueFault> {
    if matches!(value.kind, ValueKind::Number) && expand(text, expanded).is_some() {
        return value.push(expanded, block);
    }
    value.push(text, block)
}

/// Writes `5e-05` as `0.00005`; `None` when there is no exponent, or one that moves the point by more than 40 digits.
fn expand(number: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let at = memchr::memchr2(b'e', b'E', number)?;
    let (mantissa, exponent) = number.split_at_checked(at)?;
    let exponent: i32 = std::str::from_utf8(exponent.get(1..)?).ok()?.parse().ok()?;
    let exponent = Some(exponent).filter(|exponent| (-40..=40).contains(exponent))?;
    let (sign, mantissa) = match mantissa {
        [b'-', rest @ ..] => (&b"-"[..], rest),
        rest => (&b""[..], rest),
    };
    let point = memchr::memchr(b'.', mantissa).unwrap_or(mantissa.len());
    let digits = || mantissa.iter().filter(|byte| **byte != b'.');
    if digits().count() == 0 || !digits().all(u8::is_ascii_digit) {
        return None;
    }
    let whole = i32::try_from(point).ok()? + exponent;
    out.clear();
    out.extend_from_slice(sign);
    if whole <= 0 {
        out.extend_from_slice(b"0.");
        out.resize(out.len() + usize::try_from(-whole).ok()?, b'0');
    }
    let mut place = 0;
    for digit in digits() {
        if place == whole && place > 0 {
            out.push(b'.');
        }
        out.push(*digit);
        place += 1;
    }
    out.resize(out.len() + usize::try_from(whole - place).unwrap_or(0), b'0');
    Some(())
}

/// The text of a JSON value: strings without quotes and escapes, nothing for null.
fn plain_text<'a>(value: &'a str, unescaped: &'a mut Vec<u8>) -> Result<&'a [u8], ValueFault> {
    match value.as_bytes() {
        b"null" => Ok(&[]),
        [b'"', inner @ .., b'"'] => {
            if memchr::memchr(b'\\', inner).is_none() {
                return Ok(inner);
            }
            unescaped.clear();
            unescape(inner, unescaped).ok_or(ValueFault::Surrogate)?;
            Ok(unescaped)
        }
        [b'{' | b'[', ..] => Err(ValueFault::Structure),
        other => Ok(other),
    }
}

/// Resolves the escapes of a JSON string whose syntax was checked; `None` for half a surrogate pair.
fn unescape(string: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let mut rest = string;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        let (text, escape) = rest.split_at_checked(at)?;
        out.extend_from_slice(text);
        let (letter, behind) = escape.get(1..)?.split_first()?;
        rest = behind;
        match letter {
            b'b' => out.push(0x08),
            b'f' => out.push(0x0C),
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            b'u' => {
                let (first, behind) = code_unit(behind)?;
                rest = behind;
                let mut units = [first, 0];
                let mut length = 1;
                if (0xD800..0xDC00).contains(&first) {
                    let (second, behind) = code_unit(rest.strip_prefix(b"\\u")?)?;
                    rest = behind;
                    units = [first, second];
                    length = 2;
                }
                let character = char::decode_utf16(units.into_iter().take(length)).next()?.ok()?;
                out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            }
            other => out.push(*other),
        }
    }
    out.extend_from_slice(rest);
    Some(())
}

fn code_unit(bytes: &[u8]) -> Option<(u16, &[u8])> {
    let (digits, rest) = bytes.split_at_checked(4)?;
    Some((u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?, rest))
}

/// A walk through one line.
struct Search<'a, 'de> {
    paths: &'a [Node],
    line: &'de str,
    found: &'a mut [Option<Range<usize>>],
    /// A field that was found more than once.
    twice: Option<usize>,
}

impl Search<'_, '_> {
    fn note(&mut self, node: usize, value: &str) {
        // The value is a part of the line.
        let start = (value.as_ptr() as usize).saturating_sub(self.line.as_ptr() as usize);
        for field in self.paths.get(node).map(|node| node.fields.as_slice()).unwrap_or_default() {
            if let Some(found) = self.found.get_mut(*field)
                && found.replace(start..start + value.len()).is_some()
            {
                self.twice = Some(*field);
            }
        }
    }
}

/// Looks for fields in one value.
struct Step<'s, 'a, 'de> {
    search: &'s mut Search<'a, 'de>,
    node: usize,
}

impl<'de> DeserializeSeed<'de> for Step<'_, '_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Step<'_, '_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<(), M::Error> {
        let paths = self.search.paths;
        let node = paths.get(self.node).ok_or_else(|| M::Error::custom("no such node"))?;
        while let Some(below) = map.next_key_seed(Key(node))? {
            match below.and_then(|below| Some((below, paths.get(below)?))) {
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
                Some((below, found)) if found.fields.is_empty() => {
                    map.next_value_seed(Step { search: self.search, node: below })?;
                }
                Some((below, _)) => {
                    let value: &RawValue = map.next_value()?;
                    self.search.note(below, value.get());
                }
            }
        }
        Ok(())
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut list: S) -> Result<(), S::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

/// Finds out where a key leads.
struct Key<'a>(&'a Node);

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<usize>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Option<usize>, E> {
        Ok(self.0.keys.iter().find(|(known, _)| known == key).map(|(_, node)| *node))
    }
}
