//! Requests and their answers as JSON documents.

use crate::app::operator::{Done, Order, Refusal, SettleAs, Subject, Target};
use crate::app::quarantine::RetryReport;
use crate::domain::ids::{FeedId, PartnerId, SourceId};
use crate::domain::period::Partition;
use crate::ledger::reports::QuarantineFilter;
use serde_json::{Value, json};

/// An order with the reason that was given for it.
#[derive(Debug, Clone)]
pub struct Request {
    /// What is to be done.
    pub order: Order,
    /// Why.
    pub reason: String,
}

const PAUSE: &str = "pause";
const RESUME: &str = "resume";
const HOLD: &str = "hold";
const RELEASE: &str = "release";
const VOID: &str = "void";
const VOID_WAITING: &str = "void waiting";
const SETTLE: &str = "settle";
const SETTLE_ALL: &str = "settle all";
const PICKED_UP: &str = "picked up";
const ALL_PICKED_UP: &str = "all picked up";
const RETRY: &str = "retry";

impl Request {
    /// The document.
    #[must_use]
    pub fn write(&self) -> String {
        let (word, mut value) = match &self.order {
            Order::Pause(subject) => (PAUSE, subject_json(subject)),
            Order::Resume(subject) => (RESUME, subject_json(subject)),
            Order::Hold(target) => (HOLD, target_json(target)),
            Order::Release(target) => (RELEASE, target_json(target)),
            Order::Void(target) => (VOID, target_json(target)),
            Order::VoidWaiting(feed) => (VOID_WAITING, json!({ "feed": feed.to_string() })),
            Order::Settle(target, how) => (SETTLE, with(target_json(target), "as", json!(as_word(*how)))),
            Order::SettleAll(feed, how) => (SETTLE_ALL, json!({ "feed": feed.to_string(), "as": as_word(*how) })),
            Order::PickedUp(target) => (PICKED_UP, target_json(target)),
            Order::AllPickedUp(feed) => (ALL_PICKED_UP, json!({ "feed": feed.to_string() })),
            Order::Retry(filters) => (RETRY, json!({ "filters": filters.iter().map(filter_json).collect::<Vec<_>>() })),
        };
        value = with(value, "order", json!(word));
        value = with(value, "reason", json!(self.reason));
        format!("{value:#}\n")
    }

    /// Reads what [`Request::write`] writes.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(text).ok()?;
        let reason = value.get("reason")?.as_str()?.to_owned();
        let order = match value.get("order")?.as_str()? {
            PAUSE => Order::Pause(subject(&value)?),
            RESUME => Order::Resume(subject(&value)?),
            HOLD => Order::Hold(target(&value)?),
            RELEASE => Order::Release(target(&value)?),
            VOID => Order::Void(target(&value)?),
            VOID_WAITING => Order::VoidWaiting(feed(&value)?),
            SETTLE => Order::Settle(target(&value)?, settle_as(&value)?),
            SETTLE_ALL => Order::SettleAll(feed(&value)?, settle_as(&value)?),
            PICKED_UP => Order::PickedUp(target(&value)?),
            ALL_PICKED_UP => Order::AllPickedUp(feed(&value)?),
            RETRY => Order::Retry(value.get("filters")?.as_array()?.iter().map(filter).collect::<Option<_>>()?),
            _ => return None,
        };
        Some(Self { order, reason })
    }
}

fn with(mut value: Value, key: &str, inner: Value) -> Value {
    if let Some(object) = value.as_object_mut() {
        object.insert(key.to_owned(), inner);
    }
    value
}

fn subject_json(subject: &Subject) -> Value {
    match subject {
        Subject::Partner(id) => json!({ "partner": id.as_str() }),
        Subject::Feed(id) => json!({ "feed": id.to_string() }),
        Subject::Source(id) => json!({ "source": id.as_str() }),
    }
}

fn subject(value: &Value) -> Option<Subject> {
    let text = |key: &str| value.get(key).and_then(Value::as_str);
    if let Some(partner) = text("partner") {
        return PartnerId::parse(partner).ok().map(Subject::Partner);
    }
    match text("source") {
        Some(source) => SourceId::parse(source).ok().map(Subject::Source),
        None => feed(value).map(Subject::Feed),
    }
}

fn target_json(target: &Target) -> Value {
    match target {
        Target::Hour(feed, hour) => json!({ "feed": feed.to_string(), "start": hour.start, "end": hour.end }),
        Target::File(feed, name) => json!({ "feed": feed.to_string(), "file": name }),
    }
}

fn target(value: &Value) -> Option<Target> {
    let feed = feed(value)?;
    if let Some(name) = value.get("file") {
        return Some(Target::File(feed, name.as_str()?.to_owned()));
    }
    let second = |key: &str| value.get(key).and_then(Value::as_i64);
    Some(Target::Hour(feed, Partition { start: second("start")?, end: second("end")? }))
}

fn feed(value: &Value) -> Option<FeedId> {
    FeedId::parse(value.get("feed")?.as_str()?).ok()
}

const fn as_word(how: SettleAs) -> &'static str {
    match how {
        SettleAs::Delivered => "delivered",
        SettleAs::Resend => "resend",
    }
}

fn settle_as(value: &Value) -> Option<SettleAs> {
    let word = value.get("as")?.as_str()?;
    [SettleAs::Delivered, SettleAs::Resend].into_iter().find(|how| as_word(*how) == word)
}

fn filter_json(filter: &QuarantineFilter) -> Value {
    json!({
        "feed": filter.feed.as_ref().map(ToString::to_string),
        "source": filter.source.as_ref().map(SourceId::as_str),
        "id": filter.id,
    })
}

fn filter(value: &Value) -> Option<QuarantineFilter> {
    let text = |key: &str| value.get(key).and_then(Value::as_str);
    Some(QuarantineFilter {
        feed: text("feed").map(FeedId::parse).transpose().ok()?,
        source: text("source").map(SourceId::parse).transpose().ok()?,
        id: value.get("id").and_then(Value::as_i64),
        ..QuarantineFilter::default()
    })
}

/// An answer as a document.
pub(super) fn write_answer(answer: &Result<Done, Refusal>) -> String {
    let value = match answer {
        Err(Refusal { what, advice }) => json!({ "refused": what, "advice": advice }),
        Ok(done) => {
            let stay = done.retry.stay.iter().map(|(id, reason)| json!({ "id": id, "reason": reason }));
            json!({
                "changed": done.changed,
                "files": done.files,
                "hours": done.hours,
                "records": done.records,
                "retried": done.retry.retried,
                "stay": stay.collect::<Vec<_>>(),
            })
        }
    };
    format!("{value:#}\n")
}

/// Reads what [`write_answer`] writes.
pub(super) fn read_answer(text: &str) -> Option<Result<Done, Refusal>> {
    let value: Value = serde_json::from_str(text).ok()?;
    if let Some(what) = value.get("refused") {
        let advice = value.get("advice")?.as_str()?.to_owned();
        return Some(Err(Refusal { what: what.as_str()?.to_owned(), advice }));
    }
    let list = |key: &str| value.get(key).and_then(Value::as_array);
    let stay = |entry: &Value| Some((entry.get("id")?.as_i64()?, entry.get("reason")?.as_str()?.to_owned()));
    Some(Ok(Done {
        changed: value.get("changed")?.as_bool()?,
        files: list("files")?.iter().map(|name| name.as_str().map(str::to_owned)).collect::<Option<_>>()?,
        hours: value.get("hours")?.as_u64()?,
        records: value.get("records")?.as_u64()?,
        retry: RetryReport {
            retried: list("retried")?.iter().map(Value::as_i64).collect::<Option<_>>()?,
            stay: list("stay")?.iter().map(stay).collect::<Option<_>>()?,
        },
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_order_reads_back_as_it_was_written() {
        let feed = FeedId::parse("huaxin/voice").expect("feed");
        let hour = Target::Hour(feed.clone(), Partition { start: 0, end: 3600 });
        let file = Target::File(feed.clone(), "a \"b\".dat".to_owned());
        let source = SourceId::parse("switch").expect("source");
        let filter = |id| QuarantineFilter {
            feed: Some(feed.clone()),
            source: Some(source.clone()),
            id,
            ..QuarantineFilter::default()
        };
        let orders = [
            Order::Pause(Subject::Partner(PartnerId::parse("huaxin").expect("partner"))),
            Order::Resume(Subject::Feed(feed.clone())),
            Order::Pause(Subject::Source(source.clone())),
            Order::Hold(hour.clone()),
            Order::Release(file.clone()),
            Order::Void(hour.clone()),
            Order::VoidWaiting(feed.clone()),
            Order::Settle(file.clone(), SettleAs::Delivered),
            Order::PickedUp(file),
            Order::AllPickedUp(feed.clone()),
            Order::SettleAll(feed.clone(), SettleAs::Resend),
            Order::Retry(vec![filter(Some(7)), filter(None)]),
        ];
        for order in orders {
            let request = Request { order, reason: "on\ntwo lines".to_owned() };
            let read = Request::read(&request.write()).expect("a request");
            assert_eq!(format!("{read:?}"), format!("{request:?}"));
        }
        assert!(Request::read("{}").is_none() && Request::read("").is_none());
    }

    #[test]
    fn every_answer_reads_back_as_it_was_written() {
        let retry = RetryReport { retried: vec![3], stay: vec![(4, "why".to_owned())] };
        let done = Done { changed: true, files: vec!["a".to_owned()], hours: 2, records: 5, retry };
        let refusal = Refusal { what: "no".to_owned(), advice: "do".to_owned() };
        for answer in [Ok(done), Ok(Done::default()), Err(refusal)] {
            assert_eq!(read_answer(&write_answer(&answer)), Some(answer));
        }
    }
}
