//! Proofs about file names: no name of a feed ever repeats, and the partner's patterns match them.
//!
//! Two hours can share a local label (clocks going back), two parts an hour, two revisions a part. A template is
//! accepted when something in it tells each of these apart. Hours are enumerated for five years; where a name shows all of
//! an hour's start that is needed only around changes of clocks.

use super::definition::{FeedDefinition, LatePolicy};
use crate::document::{Place, Problem};
use crate::domain::counter::{CounterReset, CounterRule};
use crate::domain::ids::FileName;
use crate::domain::period::Partition;
use crate::domain::time::{Length, UtcTime};
use crate::format::template::{FileFacts, Template, Variable};
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

const ENUMERATED: Length = Length::from_seconds(5 * 366 * 86_400);
/// No clock is put on or back by more than this.
const AROUND_CHANGE: Length = Length::from_seconds(2 * 86_400);

/// Facts about a file of a feed, as far as its name needs them.
#[must_use]
pub fn facts(definition: &FeedDefinition, partition: Partition, sealed_at: UtcTime) -> FileFacts<'_> {
    FileFacts {
        partner: definition.id.partner.as_str(),
        feed: definition.id.feed.as_str(),
        file: "",
        partition,
        zone: definition.period.zone(),
        sealed_at,
        sequence: 0,
        revision: 0,
        part: 1,
        parts: 1,
        previous_manifest: None,
        voided: &[],
    }
}

/// The name templates of a feed with the places they are written at: part files, then the manifest.
pub fn templates(definition: &FeedDefinition) -> impl Iterator<Item = (&Template, &Place)> {
    let manifest = definition.manifest.as_ref().map(|manifest| (&manifest.name, &manifest.name_place));
    std::iter::once((&definition.name, &definition.name_place)).chain(manifest)
}

/// The name that a template gives.
///
/// # Errors
/// [`crate::domain::ids::NameFault`] when it is not a usable file name.
pub fn file_name(template: &Template, facts: &FileFacts<'_>) -> Result<FileName, crate::domain::ids::NameFault> {
    let mut name = String::new();
    template.render(facts, None, &mut name);
    FileName::parse(&name)
}

/// Finds ways in which a name of this feed could repeat, from `now` on.
#[must_use]
pub fn check_names(definition: &FeedDefinition, now: UtcTime) -> Vec<Problem> {
    let splits = definition.records_max.is_some() || definition.bytes_max.is_some();
    let mut problems = check_template(
        definition,
        &definition.name,
        &definition.name_place,
        definition.sequence,
        splits.then_some(Variable::Part),
        now,
    );
    if let Some(manifest) = &definition.manifest {
        let place = &manifest.name_place;
        problems.extend(check_template(definition, &manifest.name, place, manifest.sequence, None, now));
    }
    problems
}

fn check_template(
    definition: &FeedDefinition,
    template: &Template,
    place: &Place,
    counter: CounterRule,
    part: Option<Variable>,
    now: UtcTime,
) -> Vec<Problem> {
    let numbered = template.uses(Variable::Seq);
    let never_repeats = counter.reset == CounterReset::Never && (counter.last.is_none() || counter.then.is_none());
    let mut problems = Vec::new();
    let partition = definition.period.partition_at(now);
    if let Err(fault) = file_name(template, &facts(definition, partition, now)) {
        problems.push(place.error(fault.to_string()));
    }
    if numbered && never_repeats {
        return problems;
    }
    if definition.late == LatePolicy::Supplement && !numbered && !template.uses(Variable::Revision) {
        let message = "a late record would give a second file this name";
        problems
            .push(place.error_with_hint(message, "add {revision} or {seq}, or set late = \"next\" or \"quarantine\""));
    }
    if part.is_some_and(|part| !numbered && !template.uses(part)) {
        let message = "an hour that is cut into several part files would give all of them this name";
        problems.push(place.error_with_hint(message, "add {part} or {seq}"));
    }
    if let Some((label, first, second)) = repeated_label(definition, template, now) {
        let time = |partition: Partition| describe(definition, partition);
        let message = format!("two hours would get the name `{label}`: {} and {}", time(first), time(second));
        let hint = "add {seq}, {offset} or %z, or write the time in UTC: {start:%Y%m%d%H@UTC}";
        problems.push(place.error_with_hint(message, hint));
    }
    problems
}

/// The first label that two hours share within five years.
fn repeated_label(
    definition: &FeedDefinition,
    template: &Template,
    now: UtcTime,
) -> Option<(String, Partition, Partition)> {
    let begin = definition.starts_at.map_or(now, |start| start.min(now));
    let end = now.after(ENUMERATED);
    let (zone, seconds) = (definition.period.zone(), definition.period.nominal_seconds());
    let Some(shown_in) = template.start_shown_in(seconds) else {
        return repeated_within(definition, template, begin, end);
    };
    // Only a change of clocks can make two hours look the same: one of those by which the hours are cut, or of those that
    // are shown.
    let (from, to) = (begin.seconds(), end.seconds());
    let mut changes: Vec<i64> = zone.changes(from, to).chain(shown_in.unwrap_or(zone).changes(from, to)).collect();
    changes.sort_unstable();
    changes.dedup();
    changes.into_iter().find_map(|change| {
        let at = UtcTime::from_seconds(change)?;
        repeated_within(definition, template, at.before(AROUND_CHANGE).max(begin), at.after(AROUND_CHANGE).min(end))
    })
}

/// The first label that two hours share between two times.
fn repeated_within(
    definition: &FeedDefinition,
    template: &Template,
    begin: UtcTime,
    end: UtcTime,
) -> Option<(String, Partition, Partition)> {
    let mut seen: HashMap<u64, Partition> = HashMap::new();
    let mut partition = definition.period.partition_at(begin);
    let mut label = String::new();
    while partition.start_time() < end {
        label.clear();
        template.render(&facts(definition, partition, begin), None, &mut label);
        let mut hash = DefaultHasher::new();
        label.hash(&mut hash);
        if let Some(first) = seen.insert(hash.finish(), partition) {
            return Some((label, first, partition));
        }
        partition = definition.period.next(partition);
    }
    None
}

/// An hour in words: `2026-11-01 01:00-02:00 -04:00`.
#[must_use]
pub fn describe(definition: &FeedDefinition, partition: Partition) -> String {
    let zone = definition.period.zone();
    // Both ends on the clock that is in force when the hour begins.
    let in_force = zone.offset_at(partition.start);
    let clock = |second: i64, layout: &str| {
        let local = chrono::DateTime::from_timestamp(second + i64::from(in_force), 0).unwrap_or_default();
        local.format(layout).to_string()
    };
    let offset = crate::domain::period::offset_label(in_force);
    format!("{}-{} {offset}", clock(partition.start, "%Y-%m-%d %H:%M"), clock(partition.end, "%H:%M"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(settings: &str) -> Vec<String> {
        let format = "kind = \"delimited\"\nrecord = [{ field = \"a\" }]\n";
        let text = format!(
            "feed = \"p/f\"\n[formats]\nx = '''{format}'''\n[settings]\nsource = \"s\"\nformat = \"x\"\n\
             hour_by = \"at\"\nmanifest = false\n{settings}"
        );
        let definition = FeedDefinition::from_stored(&text).expect("a definition");
        // 2026-11-21 00:00 UTC.
        let now = UtcTime::from_seconds(1_795_219_200).expect("range");
        check_names(&definition, now).into_iter().map(|problem| problem.message).collect()
    }

    #[test]
    fn a_local_label_repeats_where_clocks_go_back() {
        let found = problems("zone = \"America/New_York\"\nlate = \"next\"\nname = \"{start:%Y%m%d%H}\"");
        assert_eq!(
            found,
            [
                "two hours would get the name `2027110701`: 2027-11-07 01:00-02:00 -04:00 and 2027-11-07 01:00-02:00 -05:00"
            ]
        );
        for good in ["{start:%Y%m%d%H%z}", "{start:%Y%m%d%H}{offset}", "{start:%Y%m%d%H@UTC}", "{seq}"] {
            let settings = format!("zone = \"America/New_York\"\nlate = \"next\"\nname = \"{good}\"");
            assert_eq!(problems(&settings), [""; 0], "{good}");
        }
        assert_eq!(problems("zone = \"Asia/Shanghai\"\nlate = \"next\"\nname = \"{start:%Y%m%d%H}\""), [""; 0]);
    }

    /// Names that are looked at around changes of clocks only, against all hours of five years.
    #[test]
    fn hours_around_changes_of_clocks_tell_what_all_hours_tell() {
        let now = UtcTime::from_seconds(1_795_219_200).expect("range");
        let mut repeated = 0;
        for zone in ["America/New_York", "Australia/Lord_Howe", "Asia/Shanghai", "Africa/Casablanca", "+05:45"] {
            for period in ["15m", "1h", "6h", "1d"] {
                for name in ["%Y%m%d%H%M", "%Y%m%d%H", "%d.%m.%Y_%H%M%S", "%Y%m%d", "%Y%m%d%H%M@UTC", "%Y%m%d%H@UTC"] {
                    let format = "kind = \"delimited\"\nrecord = [{ field = \"a\" }]\n";
                    let text = format!(
                        "feed = \"p/f\"\n[formats]\nx = '''{format}'''\n[settings]\nsource = \"s\"\nformat = \"x\"\n\
                         hour_by = \"at\"\nmanifest = false\nzone = \"{zone}\"\nperiod = \"{period}\"\n\
                         name = \"{{start:{name}}}\"\n"
                    );
                    let definition = FeedDefinition::from_stored(&text).expect("a definition");
                    let all = repeated_within(&definition, &definition.name, now, now.after(ENUMERATED));
                    let found = repeated_label(&definition, &definition.name, now);
                    assert_eq!(
                        found.as_ref().map(|found| &found.0),
                        all.as_ref().map(|all| &all.0),
                        "{zone} {period} {name}"
                    );
                    repeated += usize::from(all.is_some());
                }
            }
        }
        assert!(repeated > 20, "{repeated}");
    }

    #[test]
    fn a_label_must_be_as_fine_as_the_period() {
        let found = problems("period = \"30m\"\nlate = \"next\"\nname = \"{start:%Y%m%d%H}\"");
        assert!(found[0].starts_with("two hours would get the name"), "{found:?}");
        let yearless = problems("late = \"next\"\nname = \"{start:%m%d%H}\"");
        assert!(yearless[0].contains("2026-11-21") && yearless[0].contains("2027-11-21"), "{yearless:?}");
    }

    #[test]
    fn supplements_and_parts_need_something_that_tells_them_apart() {
        assert_eq!(problems("name = \"{start}\""), ["a late record would give a second file this name"]);
        assert_eq!(problems("name = \"{start}_{revision}\""), [""; 0]);
        let parts = "late = \"next\"\nrecords_max = 5\n";
        assert_eq!(
            problems(&format!("{parts}name = \"{{start}}\"")),
            ["an hour that is cut into several part files would give all of them this name"]
        );
        assert_eq!(problems(&format!("{parts}name = \"{{start}}_{{part}}\"")), [""; 0]);
    }

    #[test]
    fn a_number_that_comes_again_does_not_tell_hours_apart() {
        let wraps = "sequence = { first = 1, last = 99, then = 1 }\n";
        let found = problems(&format!("{wraps}name = \"CDR_{{seq:02}}\""));
        assert!(found[0].starts_with("two hours would get the name `CDR_00`"), "{found:?}");
        assert_eq!(problems(&format!("{wraps}name = \"CDR_{{start}}_{{seq:02}}\"")), [""; 0]);
        assert_eq!(problems("name = \"CDR_{seq:02}\""), [""; 0], "a number without end is enough");
    }

    #[test]
    fn names_that_no_server_takes_are_refused() {
        assert!(problems("name = \"a/{seq}\"")[0].contains("path separator"));
        assert!(problems("name = \".{seq}\"")[0].contains("starts with"));
    }
}
