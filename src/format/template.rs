//! Texts with variables: file names, and cells of headers, trailers and manifests.
//!
//! ```text
//! HX_{start:%Y%m%d%H}_{seq:05}.dat      {start:%Y%m%d%H@UTC}      {{literal braces}}
//! ```
//! A time variable is `{name:LAYOUT@ZONE}`; layout and zone may be left out (`%Y%m%d%H`, the feed's zone). A number
//! variable is `{name:WIDTH}`, filled with zeros.

mod shown;

use super::time_layout::TimeLayout;
use crate::document::nearest;
use crate::domain::ids::Sha256Digest;
use crate::domain::period::{Partition, Zone};
use crate::domain::time::{Length, UtcTime};
pub use shown::Shown;
use std::fmt::Write as _;

const DEFAULT_LAYOUT: &str = "%Y%m%d%H";
/// Widest zero-filled number; `u64::MAX` has 20 digits.
const NUMBER_WIDTH_MAX: usize = 20;

/// What is known about a file when it is planned.
#[derive(Debug, Clone, Copy)]
pub struct FileFacts<'a> {
    /// Who receives it.
    pub partner: &'a str,
    /// The feed within the partner.
    pub feed: &'a str,
    /// The file's final name; empty while the name itself is rendered.
    pub file: &'a str,
    /// The interval of the records.
    pub partition: Partition,
    /// The feed's zone.
    pub zone: Zone,
    /// When the batch was planned.
    pub sealed_at: UtcTime,
    /// The file's sequence number.
    pub sequence: u64,
    /// How often the partition was sealed before.
    pub revision: u32,
    /// Number of the part file within the batch, from 1.
    pub part: u32,
    /// How many part files the batch has.
    pub parts: u32,
    /// SHA-256 of the feed's manifest before this one.
    pub previous_manifest: Option<Sha256Digest>,
    /// Numbers of part files that were given up and that this manifest states.
    pub voided: &'a [u64],
}

/// A name that may stand in braces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Variable {
    /// Start of the partition.
    Start,
    /// End of the partition, exclusive.
    End,
    /// One second before the end.
    EndInclusive,
    /// When the batch was planned.
    Sealed,
    /// Sequence number of the file.
    Seq,
    /// Revision of the batch.
    Revision,
    /// Number of the part file, from 1.
    Part,
    /// Number of part files.
    Parts,
    /// Name of the partner.
    Partner,
    /// Name of the feed.
    Feed,
    /// Offset of the feed's zone at the start of the partition, such as `+0800`.
    Offset,
    /// Final name of the file.
    File,
    /// Number of records in the file.
    Records,
    /// SHA-256 of the feed's manifest before this one, or nothing.
    Previous,
    /// Numbers of part files that were given up, with blanks between them, or nothing.
    Voided,
}

const VARIABLES: [(&str, Variable); 15] = [
    ("start", Variable::Start),
    ("end", Variable::End),
    ("end_inclusive", Variable::EndInclusive),
    ("sealed", Variable::Sealed),
    ("seq", Variable::Seq),
    ("revision", Variable::Revision),
    ("part", Variable::Part),
    ("parts", Variable::Parts),
    ("partner", Variable::Partner),
    ("feed", Variable::Feed),
    ("offset", Variable::Offset),
    ("file", Variable::File),
    ("records", Variable::Records),
    ("previous", Variable::Previous),
    ("voided", Variable::Voided),
];

impl Variable {
    const fn is_time(self) -> bool {
        matches!(self, Self::Start | Self::End | Self::EndInclusive | Self::Sealed)
    }

    const fn is_number(self) -> bool {
        matches!(self, Self::Seq | Self::Revision | Self::Part | Self::Parts | Self::Records)
    }
}

/// Why a text is not a template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateFault {
    /// A brace without its partner.
    #[error("`{brace}` at character {character} has no partner; write `{{{{` or `}}}}` for a brace itself")]
    Brace {
        /// The brace.
        brace: char,
        /// Its place, from 1.
        character: usize,
    },
    /// No such variable.
    #[error("unknown variable `{{{found}}}`{}", .nearest.map(|name| format!(", did you mean `{{{name}}}`?")).unwrap_or_default())]
    UnknownVariable {
        /// What was written.
        found: String,
        /// The known name nearest to it.
        nearest: Option<&'static str>,
    },
    /// No such zone.
    #[error("unknown time zone `{found}`")]
    UnknownZone {
        /// What was written.
        found: String,
    },
    /// The layout of a time cannot be used.
    #[error("time layout `{layout}`: {reason}")]
    Layout {
        /// The layout.
        layout: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A width that is not 1 to 20, or an option where none is possible.
    #[error("`{{{variable}}}` cannot have the option `{found}`; numbers take a width such as `{{seq:05}}`")]
    Option {
        /// The variable.
        variable: String,
        /// The option.
        found: String,
    },
}

#[derive(Debug, Clone)]
pub(super) enum Piece {
    Literal(String),
    Time { variable: Variable, layout: TimeLayout, zone: Option<Zone> },
    Number { variable: Variable, width: usize },
    Word(Variable),
}

/// A parsed template.
#[derive(Debug, Clone)]
pub struct Template {
    text: String,
    pieces: Vec<Piece>,
}

impl Template {
    /// Parses a template.
    ///
    /// # Errors
    /// [`TemplateFault`] with the first thing that is wrong.
    pub fn parse(text: &str) -> Result<Self, TemplateFault> {
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut characters = text.char_indices().peekable();
        let mut count = 0;
        while let Some((at, character)) = characters.next() {
            count += 1;
            match character {
                '{' | '}' if characters.next_if(|(_, next)| *next == character).is_some() => {
                    count += 1;
                    literal.push(character);
                }
                '{' => {
                    let inner = text.get(at + 1..).unwrap_or_default();
                    let close = inner.find('}').ok_or(TemplateFault::Brace { brace: '{', character: count })?;
                    let inner = inner.get(..close).unwrap_or_default();
                    if !literal.is_empty() {
                        pieces.push(Piece::Literal(std::mem::take(&mut literal)));
                    }
                    pieces.push(parse_variable(inner)?);
                    count += inner.chars().count() + 1;
                    while characters.next_if(|(next, _)| *next <= at + 1 + close).is_some() {}
                }
                '}' => return Err(TemplateFault::Brace { brace: '}', character: count }),
                other => literal.push(other),
            }
        }
        if !literal.is_empty() {
            pieces.push(Piece::Literal(literal));
        }
        Ok(Self { text: text.to_owned(), pieces })
    }

    /// The template as it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// The variables in it, in order, with repetitions.
    pub fn variables(&self) -> impl Iterator<Item = Variable> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Literal(_) => None,
            Piece::Time { variable, .. } | Piece::Number { variable, .. } | Piece::Word(variable) => Some(*variable),
        })
    }

    /// True when `variable` is in it.
    #[must_use]
    pub fn uses(&self, variable: Variable) -> bool {
        self.variables().any(|used| used == variable)
    }

    /// Smallest number of digits of `{seq}`; `None` when it is not in the template.
    #[must_use]
    pub fn seq_width(&self) -> Option<usize> {
        self.pieces.iter().find_map(|piece| match piece {
            Piece::Number { variable: Variable::Seq, width } => Some(*width),
            Piece::Number { .. } | Piece::Literal(_) | Piece::Time { .. } | Piece::Word(_) => None,
        })
    }

    /// The zone in whose time the text shows the start of an hour so finely that hours of `seconds` have different texts
    /// while the clock of that zone is not changed; `None` inside is the feed's. `None` when it shows it otherwise.
    #[must_use]
    pub fn start_shown_in(&self, seconds: i64) -> Option<Option<Zone>> {
        self.pieces.iter().find_map(|piece| match piece {
            Piece::Time { variable: Variable::Start, layout, zone } if layout.tells_apart(seconds) => Some(*zone),
            Piece::Time { .. } | Piece::Literal(_) | Piece::Number { .. } | Piece::Word(_) => None,
        })
    }

    /// True when the text tells two hours of the same local name apart: it shows an offset, or a time in a zone that
    /// never changes its offset.
    #[must_use]
    pub fn shows_offset(&self) -> bool {
        self.pieces.iter().any(|piece| match piece {
            Piece::Time { layout, zone, .. } => layout.shows_offset() || matches!(zone, Some(Zone::Fixed(_))),
            Piece::Word(variable) => *variable == Variable::Offset,
            Piece::Literal(_) | Piece::Number { .. } => false,
        })
    }

    /// Appends the text for a file. `records` is `None` while it is not known; `{records}` is then left out.
    pub fn render(&self, facts: &FileFacts<'_>, records: Option<u64>, out: &mut String) {
        for piece in &self.pieces {
            match piece {
                Piece::Literal(text) => out.push_str(text),
                Piece::Time { variable, layout, zone } => {
                    let mut bytes = Vec::new();
                    layout.write(time_of(*variable, facts), zone.unwrap_or(facts.zone), &mut bytes);
                    out.push_str(&String::from_utf8_lossy(&bytes));
                }
                Piece::Number { variable, width } => {
                    if let Some(number) = number_of(*variable, facts, records) {
                        push(out, format_args!("{number:0width$}"));
                    }
                }
                Piece::Word(variable) => push_word(*variable, facts, out),
            }
        }
    }
}

fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    let written = out.write_fmt(text);
    assert!(written.is_ok(), "writing to a text cannot fail");
}

fn time_of(variable: Variable, facts: &FileFacts<'_>) -> UtcTime {
    match variable {
        Variable::End => facts.partition.end_time(),
        Variable::EndInclusive => facts.partition.end_time().before(Length::from_seconds(1)),
        Variable::Sealed => facts.sealed_at,
        Variable::Start
        | Variable::Seq
        | Variable::Revision
        | Variable::Part
        | Variable::Parts
        | Variable::Partner
        | Variable::Feed
        | Variable::Offset
        | Variable::File
        | Variable::Records
        | Variable::Previous
        | Variable::Voided => facts.partition.start_time(),
    }
}

fn number_of(variable: Variable, facts: &FileFacts<'_>, records: Option<u64>) -> Option<u64> {
    match variable {
        Variable::Seq => Some(facts.sequence),
        Variable::Revision => Some(u64::from(facts.revision)),
        Variable::Part => Some(u64::from(facts.part)),
        Variable::Parts => Some(u64::from(facts.parts)),
        Variable::Records => records,
        Variable::Start
        | Variable::End
        | Variable::EndInclusive
        | Variable::Sealed
        | Variable::Partner
        | Variable::Feed
        | Variable::Offset
        | Variable::File
        | Variable::Previous
        | Variable::Voided => None,
    }
}

fn push_word(variable: Variable, facts: &FileFacts<'_>, out: &mut String) {
    match variable {
        Variable::Partner => out.push_str(facts.partner),
        Variable::Feed => out.push_str(facts.feed),
        Variable::File => out.push_str(facts.file),
        Variable::Offset => {
            let offset = facts.zone.offset_at(facts.partition.start);
            let minutes = offset.abs() / 60;
            let sign = if offset < 0 { '-' } else { '+' };
            push(out, format_args!("{sign}{:02}{:02}", minutes / 60, minutes % 60));
        }
        Variable::Previous => {
            if let Some(digest) = facts.previous_manifest {
                push(out, format_args!("{digest}"));
            }
        }
        Variable::Voided => {
            for (index, number) in facts.voided.iter().enumerate() {
                push(out, format_args!("{}{number}", if index > 0 { " " } else { "" }));
            }
        }
        Variable::Start
        | Variable::End
        | Variable::EndInclusive
        | Variable::Sealed
        | Variable::Seq
        | Variable::Revision
        | Variable::Part
        | Variable::Parts
        | Variable::Records => {}
    }
}

fn parse_variable(inner: &str) -> Result<Piece, TemplateFault> {
    let (head, zone) = match inner.split_once('@') {
        Some((head, zone)) => (head, Some(zone)),
        None => (inner, None),
    };
    let (name, option) = match head.split_once(':') {
        Some((name, option)) => (name, Some(option)),
        None => (head, None),
    };
    let Some((_, variable)) = VARIABLES.iter().find(|(known, _)| *known == name) else {
        let nearest = nearest(name, VARIABLES.iter().map(|(known, _)| *known));
        return Err(TemplateFault::UnknownVariable { found: name.to_owned(), nearest });
    };
    if variable.is_time() {
        return parse_time(*variable, option.unwrap_or(DEFAULT_LAYOUT), zone);
    }
    let refuse = |found: &str| TemplateFault::Option { variable: name.to_owned(), found: found.to_owned() };
    match (variable.is_number(), option, zone) {
        (_, _, Some(zone)) => Err(refuse(&format!("@{zone}"))),
        (true, None, None) => Ok(Piece::Number { variable: *variable, width: 1 }),
        (true, Some(width), None) => match width.parse::<usize>() {
            Ok(width) if (1..=NUMBER_WIDTH_MAX).contains(&width) => Ok(Piece::Number { variable: *variable, width }),
            Ok(_) | Err(_) => Err(refuse(width)),
        },
        (false, None, None) => Ok(Piece::Word(*variable)),
        (false, Some(option), None) => Err(refuse(option)),
    }
}

fn parse_time(variable: Variable, layout: &str, zone: Option<&str>) -> Result<Piece, TemplateFault> {
    let zone = match zone {
        None => None,
        Some(found) => Some(Zone::parse(found).ok_or_else(|| TemplateFault::UnknownZone { found: found.to_owned() })?),
    };
    let compiled =
        TimeLayout::compile(layout).map_err(|reason| TemplateFault::Layout { layout: layout.to_owned(), reason })?;
    Ok(Piece::Time { variable, layout: compiled, zone })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> FileFacts<'static> {
        FileFacts {
            partner: "huaxin",
            feed: "voice",
            file: "HX.dat",
            partition: Partition { start: 1_730_599_200, end: 1_730_602_800 },
            zone: Zone::parse("Asia/Shanghai").expect("zone"),
            sealed_at: UtcTime::from_seconds(1_730_603_405).expect("range"),
            sequence: 4712,
            revision: 1,
            part: 2,
            parts: 3,
            previous_manifest: Some(Sha256Digest([0xab; 32])),
            voided: &[950, 951],
        }
    }

    fn rendered(text: &str) -> String {
        let mut out = String::new();
        Template::parse(text).expect("template").render(&facts(), Some(135), &mut out);
        out
    }

    #[test]
    fn every_variable_has_its_value() {
        let cases = [
            ("HX_{start:%Y%m%d%H}_{seq:05}.dat", "HX_2024110310_04712.dat"),
            ("{start}", "2024110310"),
            ("{voided}", "950 951"),
            ("{start@UTC}-{end:%H%M@-05:00}", "2024110302-2200"),
            ("{end:%Y%m%d%H%M%S} {end_inclusive:%Y%m%d%H%M%S}", "20241103110000 20241103105959"),
            ("{sealed:%Y%m%d%H%M%S}", "20241103111005"),
            ("{seq} {seq:2} {revision:02} {part:02} {parts}", "4712 4712 01 02 3"),
            ("{partner}/{feed} {file} {offset} {records:04}", "huaxin/voice HX.dat +0800 0135"),
            ("{previous}", &"ab".repeat(32)),
            ("{{{seq}}}话{{}}", "{4712}话{}"),
            ("", ""),
        ];
        for (template, expected) in cases {
            assert_eq!(rendered(template), expected, "{template}");
        }
    }

    #[test]
    fn faults_name_the_place_and_the_nearest_variable() {
        let fault = |text: &str| Template::parse(text).map(|_| ()).expect_err(text).to_string();
        assert_eq!(fault("{strat}"), "unknown variable `{strat}`, did you mean `{start}`?");
        assert_eq!(fault("话{start"), "`{` at character 2 has no partner; write `{{` or `}}` for a brace itself");
        assert_eq!(fault("a}"), "`}` at character 2 has no partner; write `{{` or `}}` for a brace itself");
        assert_eq!(fault("{start@Asia/Shangai}"), "unknown time zone `Asia/Shangai`");
        assert!(fault("{seq:99}").starts_with("`{seq}` cannot have the option `99`"));
        assert!(fault("{partner:3}").starts_with("`{partner}` cannot have the option `3`"));
        assert!(fault("{seq@UTC}").starts_with("`{seq}` cannot have the option `@UTC`"));
        assert!(fault("{start:%Q}").starts_with("time layout `%Q`"));
    }

    #[test]
    fn a_template_tells_what_it_uses() {
        let template = Template::parse("{start:%Y%m%d%H}_{seq:05}_{revision}").expect("template");
        assert!(template.uses(Variable::Revision) && !template.uses(Variable::Part));
        assert_eq!(template.seq_width(), Some(5));
        assert!(!template.shows_offset());
        for shown in ["{offset}", "{start:%H%z}", "{start@UTC}"] {
            assert!(Template::parse(shown).expect("template").shows_offset(), "{shown}");
        }
    }
}
