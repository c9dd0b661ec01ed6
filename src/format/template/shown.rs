//! What a name shows that a template could have given: the other way round. Exact: a name matches when the template can
//! give it, and then the numbers and times in it are known.

use super::{FileFacts, Piece, Template, Variable};
use crate::domain::period::Zone;
use crate::domain::time::UtcTime;
use crate::format::time_layout::{Ambiguous, TimeLayout};

/// What a name shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shown {
    numbers: Vec<(Variable, u64)>,
    times: Vec<(Variable, UtcTime)>,
}

impl Shown {
    /// The number that stands for a variable.
    #[must_use]
    pub fn number(&self, variable: Variable) -> Option<u64> {
        self.numbers.iter().find(|(known, _)| *known == variable).map(|(_, number)| *number)
    }

    /// The time that stands for a variable, as exactly as the name shows it.
    #[must_use]
    pub fn time(&self, variable: Variable) -> Option<UtcTime> {
        self.times.iter().find(|(known, _)| *known == variable).map(|(_, at)| *at)
    }
}

impl Template {
    /// Reads a name; `None` when this template cannot have given it to a file of `partner` and `feed`, whose times are on
    /// the clock of `zone`.
    #[must_use]
    pub fn read_name(&self, name: &str, partner: &str, feed: &str, zone: Zone) -> Option<Shown> {
        let context = Context { partner, feed, zone };
        let mut shown = Shown::default();
        context.read(&self.pieces, name, &mut shown).then_some(shown)
    }

    /// True when the name that the template gives for these facts is this one.
    #[must_use]
    pub fn gives(&self, facts: &FileFacts<'_>, name: &str) -> bool {
        let mut given = String::new();
        self.render(facts, None, &mut given);
        given == name
    }
}

struct Context<'a> {
    partner: &'a str,
    feed: &'a str,
    zone: Zone,
}

impl Context<'_> {
    fn read(&self, pieces: &[Piece], name: &str, shown: &mut Shown) -> bool {
        let Some((piece, rest)) = pieces.split_first() else { return name.is_empty() };
        match piece {
            Piece::Literal(text) => self.behind(text, rest, name, shown),
            Piece::Number { variable: Variable::Records, .. } => self.read(rest, name, shown),
            Piece::Number { variable, width } => {
                let digits = name.bytes().take_while(u8::is_ascii_digit).count();
                let fits = |length: &usize| *length == *width || !name.starts_with('0');
                // The longest first: a counter that has outgrown its width shows all its digits.
                (*width..=digits).rev().filter(fits).any(|length| {
                    let Some((text, behind)) = name.split_at_checked(length) else { return false };
                    let Ok(number) = text.parse() else { return false };
                    if shown.number(*variable).is_some_and(|known| known != number) {
                        return false;
                    }
                    shown.numbers.push((*variable, number));
                    let found = self.read(rest, behind, shown);
                    if !found {
                        shown.numbers.pop();
                    }
                    found
                })
            }
            Piece::Time { variable, layout, zone } => (1..=name.len()).rev().any(|length| {
                let Some((text, behind)) = name.split_at_checked(length) else { return false };
                let before = shown.times.len();
                match layout.parse(text.as_bytes(), zone.unwrap_or(self.zone), Ambiguous::First) {
                    Ok(at) => shown.times.push((*variable, at)),
                    Err(_) if has_shape(layout, text) => {}
                    Err(_) => return false,
                }
                let found = self.read(rest, behind, shown);
                if !found {
                    shown.times.truncate(before);
                }
                found
            }),
            Piece::Word(Variable::Partner) => self.behind(self.partner, rest, name, shown),
            Piece::Word(Variable::Feed) => self.behind(self.feed, rest, name, shown),
            Piece::Word(Variable::Offset) => {
                let Some((text, behind)) = name.split_at_checked(5) else { return false };
                let digits = text.get(1..).unwrap_or_default();
                let is_offset = text.starts_with(['+', '-']) && digits.bytes().all(|byte| byte.is_ascii_digit());
                is_offset && self.read(rest, behind, shown)
            }
            // Names are given before anything else is known of a file: these stand for nothing.
            Piece::Word(_) => self.read(rest, name, shown),
        }
    }

    fn behind(&self, text: &str, rest: &[Piece], name: &str, shown: &mut Shown) -> bool {
        name.strip_prefix(text).is_some_and(|behind| self.read(rest, behind, shown))
    }
}

/// A layout that shows no whole time, such as `%m%d`, can be told by the places of its digits alone.
fn has_shape(layout: &TimeLayout, text: &str) -> bool {
    if layout.names_a_date() {
        return false;
    }
    let mut sample = Vec::new();
    layout.write(UtcTime::from_nanos(0), Zone::UTC, &mut sample);
    let alike = |(known, found): (&u8, u8)| *known == found || known.is_ascii_digit() && found.is_ascii_digit();
    sample.len() == text.len() && sample.iter().zip(text.bytes()).all(alike)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(template: &str, name: &str) -> Option<Shown> {
        let zone = Zone::parse("Asia/Shanghai").expect("zone");
        Template::parse(template).expect("template").read_name(name, "huaxin", "voice", zone)
    }

    fn sequence(template: &str, name: &str) -> Option<u64> {
        shown(template, name).and_then(|shown| shown.number(Variable::Seq))
    }

    #[test]
    fn a_name_shows_the_number_that_it_was_given() {
        let template = "HX_{start:%Y%m%d%H}_{seq:05}.dat";
        assert_eq!(sequence(template, "HX_2024110310_00057.dat"), Some(57));
        assert_eq!(sequence(template, "HX_2024110310_123456.dat"), Some(123_456));
        for foreign in [
            "HX_2024110310_0057.dat",
            "HX_2024110310_000057.dat",
            "HX_2024130310_00057.dat",
            "HX_2024110310_00057.dat.0123abcd-1.tmp",
            "XHX_2024110310_00057.dat",
            "HX_2024110310_0005x.dat",
            "",
        ] {
            assert_eq!(shown(template, foreign), None, "{foreign}");
        }
    }

    #[test]
    fn numbers_without_anything_between_them_are_told_apart_where_they_can_be() {
        assert_eq!(sequence("{start:%Y%m%d%H%M%S}{seq:04}", "202411031000000057"), Some(57));
        assert_eq!(sequence("{partner}-{feed}-{seq}{part:02}", "huaxin-voice-5701"), Some(57));
        assert_eq!(sequence("{seq}-{seq:03}", "57-057"), Some(57));
        assert_eq!(sequence("{start:%m%d}{seq:04}", "11030057"), Some(57), "the year is not shown");
        assert_eq!(sequence("{start:%m%d}{seq:04}", "11x30057"), None);
        assert_eq!(sequence("{seq}-{seq:03}", "57-058"), None);
        assert_eq!(sequence("{partner}{seq}", "meridian57"), None);
    }

    #[test]
    fn a_name_shows_its_hour() {
        let shown = shown("M{start:%Y%m%d%H%M%z}_{revision:02}", "M202411031000+0800_03").expect("shown");
        assert_eq!(shown.time(Variable::Start), UtcTime::from_seconds(1_730_599_200));
        assert_eq!(shown.number(Variable::Revision), Some(3));
    }
}
