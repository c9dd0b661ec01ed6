//! Fields of delimited records: separators, quotes and escapes.
//!
//! A quote opens a quoted value only at the very start of a field; anywhere else it is an ordinary character. A line
//! end inside quotes, or behind an escape character, is part of the value: the record then goes on in the next line.
//! Lines without a quote, an escape and a replaced text are not copied.

use super::marks::Marked;
use crate::format::dialect::{Dialect, Escape, LineEnd};
use memchr::memmem::Finder;

/// What a line did to the record under construction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// The record is complete.
    Complete,
    /// It goes on in the next line.
    Open,
    /// Something other than a separator stands behind a closing quote.
    StrayBehindQuote,
}

/// Where in the record the reading stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    FieldStart,
    Unquoted,
    Quoted,
    AfterQuote,
}

/// Splits records into fields.
#[derive(Debug, Clone)]
pub(super) struct Splitter {
    separator: Vec<u8>,
    first: u8,
    finder: Finder<'static>,
    quote: Option<u8>,
    escape: Option<u8>,
    /// Texts that stand in the file, and what they mean; the longest first.
    replaced: Vec<(Finder<'static>, Vec<u8>)>,
    place: Place,
    /// Values of the record under construction, unless it is `plain`.
    owned: Vec<u8>,
    /// Bounds of its fields.
    spans: Vec<(u32, u32)>,
    field_start: usize,
    scratch: Vec<u8>,
    /// The bounds are those of the line itself.
    plain: bool,
}

/// The fields of a complete record.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row<'a> {
    bytes: &'a [u8],
    spans: &'a [(u32, u32)],
}

impl<'a> Row<'a> {
    pub(super) const fn len(self) -> usize {
        self.spans.len()
    }

    pub(super) fn get(self, column: usize) -> Option<&'a [u8]> {
        let (start, end) = *self.spans.get(column)?;
        self.bytes.get(start as usize..end as usize)
    }

    /// What the fields lie in.
    pub(super) const fn bytes(self) -> &'a [u8] {
        self.bytes
    }

    /// Where the fields lie in [`Row::bytes`].
    pub(super) const fn bounds(self) -> &'a [(u32, u32)] {
        self.spans
    }
}

impl Splitter {
    pub(super) fn new(dialect: &Dialect) -> Self {
        let separator = dialect.separator.as_bytes().to_vec();
        let byte = |character: char| u8::try_from(character).ok();
        let (escape, replaced) = match &dialect.escape {
            Escape::Doubled => (None, &[][..]),
            Escape::Character(character) => (byte(*character), &[][..]),
            Escape::Replace(pairs) => (None, pairs.as_slice()),
        };
        let mut replaced: Vec<_> = replaced
            .iter()
            .map(|(meant, written)| (Finder::new(written.as_bytes()).into_owned(), meant.as_bytes().to_vec()))
            .collect();
        replaced.sort_by_key(|(written, _)| std::cmp::Reverse(written.needle().len()));
        Self {
            first: separator.first().copied().unwrap_or(b','),
            finder: Finder::new(&separator).into_owned(),
            separator,
            quote: dialect.quote.and_then(byte),
            escape,
            replaced,
            place: Place::FieldStart,
            owned: Vec::new(),
            spans: Vec::new(),
            field_start: 0,
            scratch: Vec::new(),
            plain: true,
        }
    }

    /// Reads the first line of a record.
    #[inline]
    pub(super) fn begin(&mut self, line: &[u8], end: Option<LineEnd>) -> Progress {
        self.spans.clear();
        self.plain = !self.has_specials(line);
        if self.plain {
            self.split_plain(line);
            return Progress::Complete;
        }
        self.owned.clear();
        self.field_start = 0;
        self.place = Place::FieldStart;
        self.go_on(line, end)
    }

    /// What to look for so that lines can be split by places; `None` when separators alone do not tell.
    pub(super) fn marked(&self) -> Option<Marked> {
        let is_simple = self.separator.len() == 1 && self.replaced.is_empty();
        is_simple.then_some(Marked { separator: self.first, quote: self.quote, escape: self.escape })
    }

    /// The fields of the record that is complete; `line` is its only line when it was a single one.
    #[inline]
    pub(super) fn row<'a>(&'a self, line: &'a [u8]) -> Row<'a> {
        Row { bytes: if self.plain { line } else { &self.owned }, spans: &self.spans }
    }

    #[inline]
    fn has_specials(&self, line: &[u8]) -> bool {
        let marked = match (self.quote, self.escape) {
            (Some(quote), Some(escape)) => memchr::memchr2(quote, escape, line).is_some(),
            (Some(mark), None) | (None, Some(mark)) => memchr::memchr(mark, line).is_some(),
            (None, None) => false,
        };
        marked || self.replaced.iter().any(|(written, _)| written.find(line).is_some())
    }

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "a line of more than 1 MiB does not come here")]
    fn split_plain(&mut self, line: &[u8]) {
        let mut start = 0u32;
        if self.separator.len() == 1 {
            for at in memchr::memchr_iter(self.first, line) {
                self.spans.push((start, at as u32));
                start = at as u32 + 1;
            }
        } else {
            for at in self.finder.find_iter(line) {
                self.spans.push((start, at as u32));
                start = (at + self.separator.len()) as u32;
            }
        }
        self.spans.push((start, line.len() as u32));
    }

    /// Reads the next line of a record that began on an earlier one.
    pub(super) fn go_on(&mut self, line: &[u8], end: Option<LineEnd>) -> Progress {
        let mut rest = line;
        loop {
            let step = match self.place {
                Place::FieldStart => Ok(self.open_field(rest)),
                Place::Unquoted => self.unquoted(rest, end),
                Place::Quoted => self.quoted(rest, end),
                Place::AfterQuote => self.after_quote(rest),
            };
            match step {
                Ok(left) => rest = left,
                Err(progress) => return progress,
            }
        }
    }

    fn open_field<'a>(&mut self, rest: &'a [u8]) -> &'a [u8] {
        match rest.split_first() {
            Some((first, behind)) if Some(*first) == self.quote => {
                self.place = Place::Quoted;
                behind
            }
            Some(_) | None => {
                self.place = Place::Unquoted;
                rest
            }
        }
    }

    /// Takes the text up to the next separator or escape. `Err` when the line is used up.
    fn unquoted<'a>(&mut self, rest: &'a [u8], end: Option<LineEnd>) -> Result<&'a [u8], Progress> {
        let found = match self.escape {
            Some(escape) => memchr::memchr2(self.first, escape, rest),
            None if self.separator.len() == 1 => memchr::memchr(self.first, rest),
            None => self.finder.find(rest),
        };
        let Some((text, special)) = found.and_then(|at| rest.split_at_checked(at)) else {
            self.owned.extend_from_slice(rest);
            self.end_field();
            return Err(Progress::Complete);
        };
        self.owned.extend_from_slice(text);
        if let Some(behind) = special.strip_prefix(self.separator.as_slice()) {
            self.end_field();
            self.place = Place::FieldStart;
            return Ok(behind);
        }
        let (mark, behind) = special.split_first().unwrap_or((&0, &[]));
        if Some(*mark) == self.escape {
            return self.escaped(behind, end);
        }
        self.owned.push(*mark);
        Ok(behind)
    }

    /// Takes the text up to the closing quote.
    fn quoted<'a>(&mut self, rest: &'a [u8], end: Option<LineEnd>) -> Result<&'a [u8], Progress> {
        let quote = self.quote.unwrap_or(b'"');
        let found = match self.escape {
            Some(escape) => memchr::memchr2(quote, escape, rest),
            None => memchr::memchr(quote, rest),
        };
        let Some((text, special)) = found.and_then(|at| rest.split_at_checked(at)) else {
            self.owned.extend_from_slice(rest);
            self.owned.extend_from_slice(end.map_or(b"", LineEnd::bytes));
            return Err(Progress::Open);
        };
        self.owned.extend_from_slice(text);
        let (mark, behind) = special.split_first().unwrap_or((&0, &[]));
        if *mark != quote {
            return self.escaped(behind, end);
        }
        match behind.split_first() {
            Some((second, behind)) if *second == quote => {
                self.owned.push(quote);
                Ok(behind)
            }
            Some(_) | None => {
                self.place = Place::AfterQuote;
                Ok(behind)
            }
        }
    }

    fn after_quote<'a>(&mut self, rest: &'a [u8]) -> Result<&'a [u8], Progress> {
        if rest.is_empty() {
            self.end_field();
            return Err(Progress::Complete);
        }
        let behind = rest.strip_prefix(self.separator.as_slice()).ok_or(Progress::StrayBehindQuote)?;
        self.end_field();
        self.place = Place::FieldStart;
        Ok(behind)
    }

    /// Takes the byte behind an escape as it is. At the end of the line, that is the line end, of which CR and LF are
    /// two bytes: behind an escaped CR, LF ends the record.
    fn escaped<'a>(&mut self, behind: &'a [u8], end: Option<LineEnd>) -> Result<&'a [u8], Progress> {
        if let Some((byte, behind)) = behind.split_first() {
            self.owned.push(*byte);
            return Ok(behind);
        }
        if end == Some(LineEnd::CrLf) && self.place == Place::Unquoted {
            self.owned.push(b'\r');
            self.end_field();
            return Err(Progress::Complete);
        }
        self.owned.extend_from_slice(end.map_or(b"", LineEnd::bytes));
        Err(Progress::Open)
    }

    fn end_field(&mut self) {
        if !self.replaced.is_empty() {
            self.put_back();
        }
        let bound = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        self.spans.push((bound(self.field_start), bound(self.owned.len())));
        self.field_start = self.owned.len();
    }

    /// Puts back what was replaced in the field that ends here, from left to right, so that `%257C` means `%7C`.
    fn put_back(&mut self) {
        self.scratch.clear();
        let mut rest = self.owned.get(self.field_start..).unwrap_or_default();
        while let Some((first, behind)) = rest.split_first() {
            let found =
                self.replaced.iter().find_map(|(written, meant)| Some((rest.strip_prefix(written.needle())?, meant)));
            if let Some((left, meant)) = found {
                self.scratch.extend_from_slice(meant);
                rest = left;
            } else {
                self.scratch.push(*first);
                rest = behind;
            }
        }
        self.owned.truncate(self.field_start);
        self.owned.extend_from_slice(&self.scratch);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{Document, Problems, read_document};

    fn splitter(keys: &str) -> Splitter {
        let problems = Problems::default();
        let document = Document { name: "test".to_owned(), text: format!("kind = \"delimited\"\n{keys}") };
        let dialect = read_document(document, &problems, |table| Dialect::read(&table)).expect("TOML");
        assert_eq!(problems.take(), []);
        Splitter::new(&dialect)
    }

    /// The fields of a record given as lines; an error when it does not end with the last one.
    fn split(keys: &str, lines: &[(&str, LineEnd)]) -> Result<Vec<String>, Progress> {
        let mut splitter = splitter(keys);
        let mut progress = Progress::Open;
        for (index, (line, end)) in lines.iter().enumerate() {
            assert_eq!(progress, Progress::Open, "complete before line {index}");
            let line = line.as_bytes();
            progress = if index == 0 { splitter.begin(line, Some(*end)) } else { splitter.go_on(line, Some(*end)) };
        }
        if progress != Progress::Complete {
            return Err(progress);
        }
        let row = splitter.row(lines[0].0.as_bytes());
        Ok((0..row.len()).map(|at| String::from_utf8(row.get(at).expect("field").to_vec()).expect("UTF-8")).collect())
    }

    fn one(keys: &str, line: &str) -> Result<Vec<String>, Progress> {
        split(keys, &[(line, LineEnd::Lf)])
    }

    #[expect(clippy::unnecessary_wraps, reason = "it is what `split` returns")]
    fn fields(list: &[&str]) -> Result<Vec<String>, Progress> {
        Ok(list.iter().map(|field| (*field).to_owned()).collect())
    }

    const QUOTED: &str = "quote = '\"'";

    #[test]
    fn separators_of_one_or_more_characters_part_fields() {
        assert_eq!(one("", "a,,c,"), fields(&["a", "", "c", ""]));
        assert_eq!(one("separator = \"|~|\"", "a|~||~|b|~c|~|~|"), fields(&["a", "", "b|~c", "~|"]));
        assert_eq!(one("separator = \"¦\"", "a¦é¦"), fields(&["a", "é", ""]));
        assert_eq!(one("separator = \"|~|\"\nquote = '\"'", "\"a|~|b\"|~|c\"d"), fields(&["a|~|b", "c\"d"]));
        assert_eq!(one("", "\"a,b\""), fields(&["\"a", "b\""]), "quotes are data unless declared");
    }

    #[test]
    fn quotes_are_doubled_inside_quotes_and_ordinary_elsewhere() {
        assert_eq!(one(QUOTED, r#""a,b","say ""hi""",c"d,"""#), fields(&["a,b", "say \"hi\"", "c\"d", ""]));
        assert_eq!(one(QUOTED, r#" "a",b"#), fields(&[" \"a\"", "b"]));
        assert_eq!(one(QUOTED, r#""a"b,c"#), Err(Progress::StrayBehindQuote));
        assert_eq!(one(QUOTED, r#""a" ,c"#), Err(Progress::StrayBehindQuote));
        assert_eq!(one(QUOTED, "\"a,c"), Err(Progress::Open));
        assert_eq!(one("quote = \"'\"", "'it''s',\"x"), fields(&["it's", "\"x"]));
    }

    #[test]
    fn quoted_line_ends_are_kept_as_they_were() {
        let lines = [("a,\"b", LineEnd::CrLf), ("", LineEnd::Lf), ("c\"\"d\",e", LineEnd::CrLf)];
        assert_eq!(split(QUOTED, &lines), fields(&["a", "b\r\n\nc\"d", "e"]));
    }

    #[test]
    fn an_escape_character_protects_the_next_one() {
        let keys = "escape = '\\'";
        assert_eq!(one(keys, r"a\,b,c\\,\d"), fields(&["a,b", "c\\", "d"]));
        assert_eq!(split(keys, &[(r"a\", LineEnd::Lf), ("b,c", LineEnd::Lf)]), fields(&["a\nb", "c"]));
        assert_eq!(split(keys, &[(r"a,b\", LineEnd::CrLf)]), fields(&["a", "b\r"]), "the CR is escaped, the LF is not");
        let keys = "escape = '\\'\nquote = '\"'\nseparator = \"||\"";
        assert_eq!(one(keys, r#""a\"b||c"||d\||e|f"#), fields(&["a\"b||c", "d||e|f"]));
        assert_eq!(split(keys, &[(r#""a\"#, LineEnd::CrLf), ("b\"", LineEnd::Lf)]), fields(&["a\r\nb"]));
    }

    #[test]
    fn replaced_texts_are_put_back() {
        let keys = "separator = \"|\"\nescape = { \"|\" = \"%7C\", \"%\" = \"%25\", \"\\n\" = \"%0A\" }";
        assert_eq!(one(keys, "a%7Cb|%257C|%0A|%41%"), fields(&["a|b", "%7C", "\n", "%41%"]));
        assert_eq!(one(keys, "a|b"), fields(&["a", "b"]));
    }
}
