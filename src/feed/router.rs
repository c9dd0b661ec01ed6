//! Filter and hour of one record. A pure function of the record, the feed's definitions and the time at which the
//! record was accepted, so reading the spool again after a crash routes every record as it was routed before.

use super::definition::FeedDefinition;
use crate::domain::ids::FeedId;
use crate::domain::period::Partition;
use crate::domain::time::UtcTime;
use crate::format::expression::{Filter, FilterFault};
use crate::record::{FieldKind, Record, Schema};
use std::sync::Arc;

/// What a feed does with a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// It belongs to this hour, by this time.
    Accepted(Partition, UtcTime),
    /// The filter leaves it out; the hour where its time is usable.
    Filtered(Option<Partition>),
    /// It cannot be routed and goes to quarantine.
    Rejected(RouteFault),
}

/// Why a record cannot be routed. One bad time does no harm: it creates no hour and moves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RouteFault {
    /// The time field is empty.
    #[error("`{0}` is empty, so the record belongs to no hour")]
    NoTime(String),
    /// Before the feed begins.
    #[error("`{0}` lies before the feed's starts_at")]
    BeforeStart(String),
    /// Too old, and the feed has no `starts_at`.
    #[error("`{0}` lies further in the past than behind_max allows")]
    TooOld(String),
    /// At or after the end of the feed.
    #[error("`{0}` lies behind the feed's ends_at")]
    AfterEnd(String),
    /// In the future.
    #[error("`{0}` lies further in the future than ahead_max allows")]
    Ahead(String),
    /// The filter needs a value that the record does not have.
    #[error("where: {0}")]
    Filter(FilterFault),
    /// The definition of its hour does not fit the fields that the record has.
    #[error("the definition that its hour needs does not fit the fields of its source: {0}")]
    Unfit(String),
    /// The hour was sealed, and the feed sends late records to quarantine.
    #[error("late: its hour was sealed before the record came")]
    Late,
}

/// A feed's definitions, each valid from a partition on, compiled for the fields of the source that came last.
#[derive(Debug)]
pub struct FeedRouter {
    versions: Vec<(i64, Arc<FeedDefinition>)>,
    starts_at: Option<UtcTime>,
    compiled: Option<(Arc<Schema>, Vec<CompiledVersion>)>,
}

/// A version for the fields of a source, or why it does not fit them.
type CompiledVersion = Result<Compiled, RouterFault>;

#[derive(Debug)]
struct Compiled {
    filter: Option<Filter>,
    hour_by: usize,
    /// Of the record before.
    last: Partition,
}

/// A definition does not fit the fields of a source.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("feed {feed}: {message}")]
pub struct RouterFault {
    /// Which feed.
    pub feed: FeedId,
    /// What does not fit.
    pub message: String,
}

impl FeedRouter {
    /// A router over `versions`, oldest first, each with the partition start from which it is valid. `starts_at`
    /// is where a feed begins that was added when its sources had given records before.
    ///
    /// # Panics
    /// When there is no version.
    #[must_use]
    pub fn new(versions: Vec<(i64, Arc<FeedDefinition>)>, starts_at: Option<UtcTime>) -> Self {
        assert!(!versions.is_empty(), "a feed has a definition");
        Self { versions, starts_at, compiled: None }
    }

    /// The definition that the configuration has now.
    #[must_use]
    pub fn current(&self) -> &Arc<FeedDefinition> {
        match self.versions.as_slice() {
            [.., (_, last)] => last,
            [] => unreachable!("a feed has a definition"),
        }
    }

    /// The definition in force for a partition that starts at `start_second`.
    #[must_use]
    pub fn version_at(&self, start_second: i64) -> &Arc<FeedDefinition> {
        let found = self.versions.iter().rev().find(|(from, _)| *from <= start_second);
        found.or(self.versions.first()).map_or_else(|| self.current(), |(_, definition)| definition)
    }

    /// The definition that renders late or released records of a partition: the configuration's, so that a mended
    /// format can take what an earlier one could not, unless it cuts time in another way.
    #[must_use]
    pub fn mended_version_at(&self, start_second: i64) -> &Arc<FeedDefinition> {
        let (known, current) = (self.version_at(start_second), self.current());
        let same_hours = known.period == current.period && known.hour_by.value == current.hour_by.value;
        if same_hours { current } else { known }
    }

    /// The definition with this hash.
    #[must_use]
    pub fn version_with_hash(&self, hash: &str) -> Option<&Arc<FeedDefinition>> {
        self.versions.iter().map(|(_, definition)| definition).find(|definition| definition.hash == hash)
    }

    /// Where the feed begins; `None` with its first record.
    #[must_use]
    pub fn starts_at(&self) -> Option<UtcTime> {
        self.current().starts_at.max(self.starts_at)
    }

    /// Prepares for records of `schema`. Fields change with time: no definition need fit the records of other times,
    /// which may lie in the spool for long. What becomes of them is for [`FeedRouter::route`] to say; that a feed fits
    /// its source as it is now is for [`check_fit`].
    pub fn prepare(&mut self, schema: &Arc<Schema>) {
        if self.compiled.as_ref().is_some_and(|(known, _)| Arc::ptr_eq(known, schema) || known == schema) {
            return;
        }
        let compiled = self.versions.iter().map(|(_, definition)| compile(definition, schema)).collect();
        self.compiled = Some((Arc::clone(schema), compiled));
    }

    /// What the feed does with a record of the prepared schema that was accepted at `accepted_at`.
    #[inline]
    pub fn route(&mut self, record: Record<'_>, accepted_at: UtcTime) -> Route {
        match self.route_like_the_last(record, accepted_at) {
            Some((partition, at)) => Route::Accepted(partition, at),
            None => self.route_anew(record, accepted_at),
        }
    }

    /// The hour of the last record and the time of this one, where that is all there is to say: its feed takes every
    /// record of that hour, and always did.
    #[inline]
    fn route_like_the_last(&self, record: Record<'_>, accepted_at: UtcTime) -> Option<(Partition, UtcTime)> {
        let ([(_, definition)], Some((_, compiled))) = (self.versions.as_slice(), &self.compiled) else { return None };
        let [Ok(plan)] = compiled.as_slice() else { return None };
        let at = plan.time(definition, record, accepted_at).ok()?;
        let is_after_start = self.starts_at.is_none_or(|start| at >= start);
        (is_after_start && plan.filter.is_none() && plan.last.contains(at)).then_some((plan.last, at))
    }

    fn route_anew(&mut self, record: Record<'_>, accepted_at: UtcTime) -> Route {
        let starts_at = self.starts_at;
        let Some((_, compiled)) = &mut self.compiled else { return Route::Filtered(None) };
        let mut unfit: Option<(i64, &RouterFault)> = None;
        let mut versions = self.versions.iter().zip(compiled.iter_mut()).rev().peekable();
        while let Some(((from, definition), plan)) = versions.next() {
            let plan = match plan {
                Ok(plan) => plan,
                Err(fault) => {
                    unfit = Some((*from, fault));
                    continue;
                }
            };
            let (route, partition) = plan.route(definition, starts_at, record, accepted_at);
            if let Some((_, fault)) = unfit.filter(|(from, _)| partition.is_some_and(|p| p.start >= *from)) {
                return Route::Rejected(RouteFault::Unfit(fault.message.clone()));
            }
            // A record of an hour before this version took effect belongs to the version before.
            if versions.peek().is_none() || partition.is_none_or(|p| p.start >= *from) {
                return route;
            }
        }
        let unfit = unfit.map(|(_, fault)| RouteFault::Unfit(fault.message.clone()));
        unfit.filter(|_| !self.is_of_before(record, accepted_at)).map_or(Route::Filtered(None), Route::Rejected)
    }

    /// True for a record that came before the feed begins and whose time, where a definition can tell it, lies there,
    /// too.
    fn is_of_before(&self, record: Record<'_>, accepted_at: UtcTime) -> bool {
        let Some(start) = self.starts_at().filter(|start| accepted_at < *start) else { return false };
        let mut fields = self.versions.iter().rev().filter_map(|(_, known)| time_field(known, record.schema()));
        fields.next().and_then(|field| record.time(field)).is_none_or(|at| at < start)
    }
}

/// Whether a definition fits the fields of its source.
///
/// # Errors
/// [`RouterFault`] when it names a field that the source does not have, or that is not a time.
pub fn check_fit(definition: &FeedDefinition, schema: &Schema) -> Result<(), RouterFault> {
    compile(definition, schema).map(|_| ())
}

/// The field by which a record belongs to an hour, where the source has it.
fn time_field(definition: &FeedDefinition, schema: &Schema) -> Option<usize> {
    let index = schema.index_of(&definition.hour_by.value)?;
    schema.fields.get(index).filter(|field| field.kind == FieldKind::Time).map(|_| index)
}

/// Compiles filter and time field.
fn compile(definition: &FeedDefinition, schema: &Schema) -> Result<Compiled, RouterFault> {
    let fault = |message| RouterFault { feed: definition.id.clone(), message };
    let hour_by = time_field(definition, schema)
        .ok_or_else(|| fault(format!("hour_by: the source has no time field `{}`", definition.hour_by.value)))?;
    let filter = match &definition.filter {
        None => None,
        Some(expression) => {
            Some(expression.value.compile(schema).map_err(|problem| fault(format!("where: {problem}")))?)
        }
    };
    Ok(Compiled { filter, hour_by, last: Partition { start: 0, end: 0 } })
}

impl Compiled {
    fn route(
        &mut self,
        definition: &FeedDefinition,
        starts_at: Option<UtcTime>,
        record: Record<'_>,
        accepted_at: UtcTime,
    ) -> (Route, Option<Partition>) {
        let timed = self.time(definition, record, accepted_at);
        // What came before a feed was added is not the feed's: no fault, and nothing to be quarantined. Where the spool
        // does not hold it whole any more that is so even behind the configured start.
        let was_before = timed.as_ref().is_ok_and(|at| starts_at.is_some_and(|start| *at < start));
        if was_before {
            return (Route::Filtered(None), None);
        }
        let partition = timed.as_ref().ok().map(|at| self.partition(definition, *at));
        let wanted = self.filter.as_ref().map_or(Ok(true), |filter| filter.matches(record));
        let route = match (wanted, timed, partition) {
            (Ok(false), _, partition) => Route::Filtered(partition),
            (Err(fault), ..) => Route::Rejected(RouteFault::Filter(fault)),
            (Ok(true), Ok(at), Some(partition)) => Route::Accepted(partition, at),
            (Ok(true), Err(fault), _) => Route::Rejected(fault),
            (Ok(true), Ok(_), None) => Route::Filtered(None),
        };
        (route, partition)
    }

    fn time(
        &self,
        definition: &FeedDefinition,
        record: Record<'_>,
        accepted_at: UtcTime,
    ) -> Result<UtcTime, RouteFault> {
        let name = || definition.hour_by.value.clone();
        let at = record.time(self.hour_by).ok_or_else(|| RouteFault::NoTime(name()))?;
        if definition.starts_at.is_some_and(|start| at < start) {
            Err(RouteFault::BeforeStart(name()))
        } else if definition.starts_at.is_none() && at < accepted_at.before(definition.behind_max) {
            Err(RouteFault::TooOld(name()))
        } else if definition.ends_at.is_some_and(|end| at >= end) {
            Err(RouteFault::AfterEnd(name()))
        } else if at > accepted_at.after(definition.ahead_max) {
            Err(RouteFault::Ahead(name()))
        } else {
            Ok(at)
        }
    }

    fn partition(&mut self, definition: &FeedDefinition, at: UtcTime) -> Partition {
        if !self.last.contains(at) {
            self.last = definition.period.partition_at(at);
        }
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Origin, RecordBlock, SchemaField};

    const HOUR: i64 = 3600;
    /// 2026-11-01 00:00 UTC.
    const START: i64 = 1_793_491_200;

    fn hour(index: i64) -> UtcTime {
        UtcTime::from_seconds(START + index * HOUR).expect("range")
    }

    fn definition(settings: &str) -> Arc<FeedDefinition> {
        let format = "kind = \"delimited\"\nrecord = [{ field = \"at\" }]\n";
        let text = format!(
            "feed = \"p/f\"\n[formats]\nx = '''{format}'''\n[settings]\nsource = \"s\"\nformat = \"x\"\n\
             hour_by = \"at\"\nname = \"{{start:%Y%m%d%H}}_{{seq}}\"\n{settings}"
        );
        Arc::new(FeedDefinition::from_stored(&text).expect("a definition"))
    }

    /// What becomes of a record of each hour from 0 on, accepted soon after its time.
    fn fates(settings: &str, begins: Option<UtcTime>) -> [&'static str; 4] {
        let mut router = FeedRouter::new(vec![(i64::MIN, definition(settings))], begins);
        let field = SchemaField { name: "at".to_owned(), kind: FieldKind::Time, unit: String::new() };
        let mut block = RecordBlock::new(Arc::new(Schema { fields: vec![field] }));
        for index in 0..4 {
            block.push_time(Some(hour(index)));
            block.finish_record(Origin { record: 1, line: 1, byte: 0 });
        }
        router.prepare(block.schema());
        let mut records = block.iter();
        [0, 1, 2, 3].map(|index| match router.route(records.next().expect("a record"), hour(index)) {
            Route::Accepted(..) => "accepted",
            Route::Filtered(_) => "filtered",
            Route::Rejected(_) => "rejected",
        })
    }

    #[test]
    fn a_feed_that_was_added_takes_nothing_from_before_it_begins() {
        let (configured, begins) = ("starts_at = \"2026-11-01T01:00:00Z\"", Some(hour(2)));
        assert_eq!(fates(configured, None), ["rejected", "accepted", "accepted", "accepted"]);
        assert_eq!(fates("", begins), ["filtered", "filtered", "accepted", "accepted"]);
        // The spool does not hold the hour from 01:00 on whole: half of it must not be stated as all of it.
        assert_eq!(fates(configured, begins), ["rejected", "filtered", "accepted", "accepted"]);
    }
}
