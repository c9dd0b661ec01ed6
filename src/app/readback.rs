//! What a feed will do next, told before it happens: the next hours with their names, numbers and closing times.

use crate::domain::counter::{CounterRule, CounterState, Sequence};
use crate::domain::period::Partition;
use crate::domain::time::UtcTime;
use crate::feed::definition::FeedDefinition;
use crate::feed::names;
use crate::format::template::{FileFacts, Template};
use crate::ledger::{Ledger, LedgerFault};

/// One hour to come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NextHour {
    /// Which.
    pub partition: Partition,
    /// Name of its part file, if it needs only one.
    pub file: String,
    /// Number of the part file; `None` when the counter is at its end.
    pub sequence: Option<Sequence>,
    /// Name of its manifest.
    pub manifest: Option<String>,
    /// When it closes, if its sources have been read that far.
    pub closes_at: UtcTime,
    /// When it is overdue.
    pub overdue_at: UtcTime,
}

/// The next `count` hours of a feed, each with one part file: from the last closed hour on, or from the beginning of
/// the feed when the ledger does not know it yet.
///
/// # Errors
/// [`LedgerFault`].
pub fn next_hours(
    definition: &FeedDefinition,
    ledger: Option<&Ledger>,
    now: UtcTime,
    count: usize,
) -> Result<Vec<NextHour>, LedgerFault> {
    let mut parts = CounterState::fresh();
    let mut manifests = CounterState::fresh();
    let mut closed_second = None;
    if let Some(ledger) = ledger {
        parts = ledger.counter(&definition.counter_name())?;
        manifests = ledger.counter(&definition.manifest_counter_name())?;
        closed_second = ledger.progress(&definition.id)?.closed_second;
    }
    let begin = closed_second.and_then(UtcTime::from_seconds).or(definition.starts_at).unwrap_or(now);
    let mut partition = definition.period.partition_at(begin);
    let mut hours = Vec::new();
    while hours.len() < count && definition.ends_at.is_none_or(|end| partition.start_time() < end) {
        hours.push(hour(definition, partition, &mut parts, &mut manifests));
        partition = definition.period.next(partition);
    }
    Ok(hours)
}

fn hour(
    definition: &FeedDefinition,
    partition: Partition,
    parts: &mut CounterState,
    manifests: &mut CounterState,
) -> NextHour {
    let closes_at = partition.end_time().after(definition.grace);
    let zone = definition.period.zone();
    let give = |counter: &mut CounterState, rule: &CounterRule| counter.give(rule, &rule.reset.label(partition, zone));
    let sequence = give(parts, &definition.sequence);
    let name = |template: &Template, sequence: Option<Sequence>| {
        let facts = names::facts(definition, partition, closes_at);
        let facts = FileFacts { sequence: sequence.map_or(0, |given| given.number), ..facts };
        let mut name = String::new();
        template.render(&facts, None, &mut name);
        name
    };
    let manifest = definition.manifest.as_ref().map(|manifest| {
        let sequence = give(manifests, &manifest.sequence);
        name(&manifest.name, sequence)
    });
    NextHour {
        partition,
        file: name(&definition.name, sequence),
        sequence,
        manifest,
        closes_at,
        overdue_at: partition.end_time().after(definition.deadline),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::report::hours::tests::definition;
    use crate::domain::period::offset_label;

    fn at(text: &str) -> UtcTime {
        let at = chrono::DateTime::parse_from_rfc3339(text).expect("time");
        UtcTime::from_seconds(at.timestamp()).expect("range")
    }

    #[test]
    fn clocks_going_back_are_seen_in_the_next_hours() {
        let definition =
            definition("zone = \"America/New_York\"\nstarts_at = \"2024-11-03T00:00:00-04:00\"\ngrace = \"10m\"");
        let hours = next_hours(&definition, None, at("2026-01-01T00:00:00Z"), 4).expect("hours");
        let zone = definition.period.zone();
        let seen: Vec<String> = hours
            .iter()
            .map(|h| {
                format!(
                    "{} {} {}",
                    h.file,
                    offset_label(zone.offset_at(h.partition.start)),
                    h.closes_at.seconds() - h.partition.end
                )
            })
            .collect();
        let expected = [
            "C_2024110300_00001.csv -04:00 600",
            "C_2024110301_00002.csv -04:00 600",
            "C_2024110301_00003.csv -05:00 600",
            "C_2024110302_00004.csv -05:00 600",
        ];
        assert_eq!(seen, expected);
    }

    #[test]
    fn a_daily_counter_begins_again_at_local_midnight_and_the_feed_ends_where_it_ends() {
        let definition = definition(
            "zone = \"Asia/Shanghai\"\nstarts_at = \"2026-05-01T22:00:00+08:00\"\nends_at = \"2026-05-02T01:00:00+08:00\"\n\
             sequence = { first = 7, reset = \"day\" }",
        );
        let hours = next_hours(&definition, None, at("2026-01-01T00:00:00Z"), 10).expect("hours");
        let seen: Vec<(&str, u64)> =
            hours.iter().map(|h| (h.file.as_str(), h.sequence.expect("number").number)).collect();
        let expected = [("C_2026050122_00007.csv", 7), ("C_2026050123_00008.csv", 8), ("C_2026050200_00007.csv", 7)];
        assert_eq!(seen, expected);
    }

    #[test]
    fn a_feed_without_a_beginning_begins_now() {
        let hours = next_hours(&definition(""), None, at("2026-01-01T10:30:00Z"), 1).expect("hours");
        assert_eq!(hours[0].partition.start_time(), at("2026-01-01T10:00:00Z"));
        assert_eq!(hours[0].manifest.as_deref(), Some("p_f_20260101T100000Z_r00.json"));
    }
}
