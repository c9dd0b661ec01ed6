//! What a format says about the file as a whole, for reading and for writing alike: kind, separators, quotes,
//! escapes, line ends and charset.

use super::charset::Charset;
use crate::document::{Place, Table, Value};

/// How records are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FormatKind {
    /// Values between separators.
    Delimited,
    /// Values at fixed positions.
    Fixed,
    /// One JSON object for each line.
    JsonLines,
}

/// Which bytes end a line that is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum LineEnd {
    /// `0x0A`.
    #[default]
    Lf,
    /// `0x0D 0x0A`.
    CrLf,
    /// `0x0D`.
    Cr,
}

impl LineEnd {
    /// The bytes.
    #[must_use]
    pub const fn bytes(self) -> &'static [u8] {
        match self {
            Self::Lf => b"\n",
            Self::CrLf => b"\r\n",
            Self::Cr => b"\r",
        }
    }
}

/// Which bytes end a line that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ReadLineEnd {
    /// LF or CRLF, mixed as they come.
    #[default]
    LfOrCrLf,
    /// CR alone.
    Cr,
    /// LF, CRLF or CR, mixed as they come.
    Any,
}

/// When a written value is put in quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Quoting {
    /// Only when it holds a separator, a quote or a line end.
    #[default]
    Needed,
    /// Always.
    Always,
}

/// How separators, quotes and line ends inside a value are protected.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub enum Escape {
    /// A quote inside quotes is doubled (RFC 4180). Without quotes nothing protects a separator.
    #[default]
    Doubled,
    /// This character stands before the protected one.
    Character(char),
    /// Texts are replaced by others, such as `|` by `%7C`; reading reverses it.
    Replace(Vec<(String, String)>),
}

/// What to do with something in a value that the file cannot hold.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub enum Misfit {
    /// The record goes to quarantine.
    #[default]
    Reject,
    /// It is replaced by this text.
    Replace(String),
    /// It is left out.
    Drop,
    /// It is written as it is.
    Keep,
}

/// The settings of a file as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dialect {
    /// How records are laid out.
    pub kind: FormatKind,
    /// Between two values of a delimited record; one or more characters.
    pub separator: String,
    /// The quote character; `None` when quotes are ordinary characters.
    pub quote: Option<char>,
    /// When written values are quoted.
    pub quoting: Quoting,
    /// How special characters inside values are protected.
    pub escape: Escape,
    /// End of a written line.
    pub line_end: LineEnd,
    /// Ends of the lines that are read.
    pub read_line_end: ReadLineEnd,
    /// Bytes of every line of a fixed-width file without its end; `None` when not declared.
    pub line_bytes: Option<usize>,
    /// The charset of the file.
    pub charset: Charset,
    /// Characters of a value that the charset does not have (writing), or bytes that are not in it (reading: `Reject`
    /// or `Replace`).
    pub unmappable: Misfit,
    /// Control characters (U+0000 to U+001F, U+007F) in values that are written.
    pub controls: Misfit,
    /// Separators and line ends in values that are written and that nothing protects.
    pub separators: Misfit,
}

const KINDS: [(&str, FormatKind); 3] =
    [("delimited", FormatKind::Delimited), ("fixed", FormatKind::Fixed), ("json-lines", FormatKind::JsonLines)];
const READ_ENDS: [(&str, ReadLineEnd); 5] = [
    ("auto", ReadLineEnd::LfOrCrLf),
    ("LF", ReadLineEnd::LfOrCrLf),
    ("CRLF", ReadLineEnd::LfOrCrLf),
    ("CR", ReadLineEnd::Cr),
    ("any", ReadLineEnd::Any),
];

impl Dialect {
    /// Reads the keys `kind`, `separator`, `quote`, `quoting`, `escape`, `line`, `charset`, `controls` and
    /// `separators` of a format file. Problems are reported to the table; defaults stand in for what is wrong.
    #[must_use]
    pub fn read(table: &Table<'_>) -> Self {
        table.require("kind");
        let kind = table.choice("kind", &KINDS).map_or(FormatKind::Delimited, |placed| placed.value);
        let (charset, unmappable) = read_charset(table);
        let (line_end, read_line_end, line_bytes) = read_line(table);
        let mut dialect = Self {
            kind,
            separator: ",".to_owned(),
            quote: None,
            quoting: Quoting::default(),
            escape: Escape::default(),
            line_end,
            read_line_end,
            line_bytes,
            charset,
            unmappable,
            controls: read_misfit(table, "controls"),
            separators: Misfit::default(),
        };
        if kind == FormatKind::Delimited {
            dialect.read_delimited(table);
        }
        dialect
    }

    fn read_delimited(&mut self, table: &Table<'_>) {
        if let Some(separator) = table.text("separator") {
            if separator.value.is_empty() || separator.value.contains(['\n', '\r']) {
                table
                    .problems()
                    .add(separator.place.error("`separator` must be one or more characters, not a line end"));
            } else {
                self.separator = separator.value;
            }
        }
        if let Some(quote) = table.text("quote") {
            self.quote = match quote.value.as_str() {
                "none" | "" => None,
                text => one_character(text).filter(|c| c.is_ascii() && !c.is_ascii_control()).or_else(|| {
                    let message = "`quote` must be one ASCII character or \"none\"";
                    table.problems().add(quote.place.error(message));
                    None
                }),
            };
        }
        if let Some(quoting) = table.choice("quoting", &[("needed", Quoting::Needed), ("always", Quoting::Always)]) {
            self.quoting = quoting.value;
            if self.quote.is_none() {
                let hint = "write quote = '\"'";
                table.problems().add(quoting.place.error_with_hint("`quoting` needs a `quote` character", hint));
            }
        }
        if let Some(escape) = table.value("escape") {
            self.escape = read_escape(&escape, table);
        }
        self.separators = read_misfit(table, "separators");
    }
}

fn read_escape(value: &Value<'_>, table: &Table<'_>) -> Escape {
    let refuse = |place: &Place| {
        let hint = "write escape = '\\', escape = \"doubled\" or escape = { \"|\" = \"%7C\" }";
        table.problems().add(place.error_with_hint("`escape` is a character or a table of replacements", hint));
        Escape::Doubled
    };
    match value {
        Value::Text(text) if text.value == "doubled" => Escape::Doubled,
        Value::Text(text) => match one_character(&text.value) {
            Some(character) if character.is_ascii() => Escape::Character(character),
            Some(_) | None => refuse(&text.place),
        },
        Value::Table(pairs) => {
            let mut replacements = Vec::new();
            for (from, to) in pairs.entries() {
                match to {
                    Value::Text(to) if !to.value.is_empty() => replacements.push((from.value, to.value)),
                    Value::Text(_)
                    | Value::Integer(_)
                    | Value::Bool(_)
                    | Value::Table(_)
                    | Value::List(_)
                    | Value::Other(_) => {
                        refuse(to.place());
                    }
                }
            }
            Escape::Replace(replacements)
        }
        Value::Integer(_) | Value::Bool(_) | Value::List(_) | Value::Other(_) => refuse(value.place()),
    }
}

fn one_character(text: &str) -> Option<char> {
    let mut characters = text.chars();
    characters.next().filter(|_| characters.next().is_none())
}

fn read_charset(table: &Table<'_>) -> (Charset, Misfit) {
    let (name, unmappable) = match table.value("charset") {
        None => return (Charset::Utf8, Misfit::default()),
        Some(Value::Text(name)) => (Some(name), Misfit::default()),
        Some(Value::Table(inner)) => {
            let found = (inner.required_text("name"), read_misfit(&inner, "unmappable"));
            inner.finish();
            found
        }
        Some(other) => {
            let hint = "write charset = \"GB18030\" or charset = { name = \"GBK\", unmappable = \"?\" }";
            table.problems().add(other.place().error_with_hint("`charset` is a name or a table", hint));
            (None, Misfit::default())
        }
    };
    let charset = name.and_then(|name| {
        let found = Charset::parse(&name.value);
        if found.is_none() {
            let hint = "known are UTF-8, UTF-16LE, UTF-16BE, ASCII, GBK, GB18030, Big5, Shift_JIS, EUC-KR, windows-125x, ISO-8859-x";
            table.problems().add(name.place.error_with_hint(format!("unknown charset \"{}\"", name.value), hint));
        }
        found
    });
    (charset.unwrap_or(Charset::Utf8), unmappable)
}

/// Reads `"reject"`, `"drop"`, `"keep"`, or any other text as the replacement.
fn read_misfit(table: &Table<'_>, key: &'static str) -> Misfit {
    match table.text(key) {
        None => Misfit::Reject,
        Some(text) => match text.value.as_str() {
            "reject" => Misfit::Reject,
            "drop" | "" => Misfit::Drop,
            "keep" => Misfit::Keep,
            other => Misfit::Replace(other.to_owned()),
        },
    }
}

fn read_line(table: &Table<'_>) -> (LineEnd, ReadLineEnd, Option<usize>) {
    let Some(line) = table.table("line") else { return (LineEnd::default(), ReadLineEnd::default(), None) };
    let bytes = line.integer("bytes", 1..65_536).and_then(|n| usize::try_from(n.value).ok());
    let read_end = line.choice("end", &READ_ENDS).map(|end| end.value).unwrap_or_default();
    let end = match line.text("end").map(|text| text.value).as_deref() {
        Some("CRLF") => LineEnd::CrLf,
        Some("CR") => LineEnd::Cr,
        Some(_) | None => LineEnd::Lf,
    };
    line.finish();
    (end, read_end, bytes)
}
