//! What persons order: `pause`, `resume`, `hold`, `release`, `void`, `settle`. The command does it itself when nobody
//! else works with the state directory; else it leaves a request and waits for the answer.

use super::arguments::{
    HoldArguments, PauseArguments, ReleaseArguments, SettleArguments, SettleWay, TargetArguments, VoidArguments, Wait,
};
use super::table::counted;
use super::times::parse_time;
use super::work::{Log, begin_log, failure, world};
use super::{Answer, Context, Failure, exit};
use crate::app::config::Config;
use crate::app::exporter::{Exporter, World};
use crate::app::fault::ExporterFault;
use crate::app::operator::{Done, Order, Refusal, SettleAs, Subject, Target, waiting};
use crate::app::report::hours::hours;
use crate::app::requests::{self, Request};
use crate::app::store::StoreFault;
use crate::domain::ids::{FeedId, PartnerId, SourceId};
use crate::domain::time::Length;
use crate::feed::definition::FeedDefinition;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Instant;

/// What became of an order.
pub struct Told {
    /// The answer; `None` when the instance that works has not come to it yet.
    pub answer: Option<Done>,
    /// It was done here, and the next pass goes on from it.
    pub is_ours: bool,
}

/// `pause`.
pub fn pause(context: &Context, arguments: &PauseArguments) -> Result<Answer, Failure> {
    let config = begin(context)?;
    let subject = subject(&config, &arguments.subject)?;
    let what = subject.to_string();
    carry_out(context, &config, Order::Pause(subject), &what, &arguments.why.reason, &arguments.why.wait)
}

/// `resume`.
pub fn resume(context: &Context, arguments: &PauseArguments) -> Result<Answer, Failure> {
    let config = begin(context)?;
    let subject = match paused_subject(context, &config, &arguments.subject)? {
        Some(subject) => subject,
        None => subject(&config, &arguments.subject)?,
    };
    let what = subject.to_string();
    carry_out(context, &config, Order::Resume(subject), &what, &arguments.why.reason, &arguments.why.wait)
}

/// `hold`.
pub fn hold(context: &Context, arguments: &HoldArguments) -> Result<Answer, Failure> {
    let config = begin(context)?;
    let (target, what) = target(context, &config, &arguments.target)?;
    carry_out(context, &config, Order::Hold(target), &what, &arguments.why.reason, &arguments.why.wait)
}

/// `release`.
pub fn release(context: &Context, arguments: &ReleaseArguments) -> Result<Answer, Failure> {
    let config = begin(context)?;
    let (target, what) = target(context, &config, &arguments.target)?;
    carry_out(context, &config, Order::Release(target), &what, &arguments.why.reason, &arguments.why.wait)
}

/// `void`.
pub fn void(context: &Context, arguments: &VoidArguments) -> Result<Answer, Failure> {
    let config = begin(context)?;
    let (order, what) = if arguments.waiting {
        let feed = feed(context, &config, &arguments.target.subject)?.id.clone();
        let what = feed.to_string();
        (Order::VoidWaiting(feed), what)
    } else {
        let (target, what) = target(context, &config, &arguments.target)?;
        (Order::Void(target), what)
    };
    carry_out(context, &config, order, &what, &arguments.why.reason, &arguments.why.wait)
}

/// `settle`.
pub fn settle(context: &Context, arguments: &SettleArguments) -> Result<Answer, Failure> {
    let config = begin(context)?;
    let (order, what) = if arguments.all {
        let feed = feed(context, &config, &arguments.target.subject)?.id.clone();
        let what = feed.to_string();
        let order = match arguments.how {
            SettleWay::Delivered => Order::SettleAll(feed, SettleAs::Delivered),
            SettleWay::Resend => Order::SettleAll(feed, SettleAs::Resend),
            SettleWay::PickedUp => Order::AllPickedUp(feed),
        };
        (order, what)
    } else {
        let (target, what) = target(context, &config, &arguments.target)?;
        let order = match arguments.how {
            SettleWay::Delivered => Order::Settle(target, SettleAs::Delivered),
            SettleWay::Resend => Order::Settle(target, SettleAs::Resend),
            SettleWay::PickedUp => Order::PickedUp(target),
        };
        (order, what)
    };
    carry_out(context, &config, order, &what, &arguments.why.reason, &arguments.why.wait)
}

fn begin(context: &Context) -> Result<Config, Failure> {
    begin_log(context, Log::Trouble);
    context.config(false)
}

/// What is paused under that name, even if the configuration does not have it any more.
fn paused_subject(context: &Context, config: &Config, typed: &str) -> Result<Option<Subject>, Failure> {
    let Some(ledger) = context.ledger(config)? else { return Ok(None) };
    let paused = ledger.paused()?;
    let named =
        |subject: &str| argument_of(subject) == typed || subject.split_once(' ').is_some_and(|(_, name)| name == typed);
    let mut found = paused.iter().filter(|paused| named(&paused.subject)).filter_map(|paused| {
        match paused.subject.split_once(' ')? {
            ("partner", name) => PartnerId::parse(name).ok().map(Subject::Partner),
            ("feed", name) => FeedId::parse(name).ok().map(Subject::Feed),
            (_, name) => SourceId::parse(name).ok().map(Subject::Source),
        }
    });
    let first = found.next();
    // Two of one name are told apart by the configuration.
    Ok(first.filter(|_| found.next().is_none()))
}

/// The partner, feed or source of that name.
fn subject(config: &Config, typed: &str) -> Result<Subject, Failure> {
    let partner = |name: &str| {
        let known = PartnerId::parse(name).ok().filter(|id| config.partner(id).is_some());
        known.map(Subject::Partner)
    };
    let source = |name: &str| SourceId::parse(name).ok().filter(|id| config.source(id).is_some()).map(Subject::Source);
    let found = if let Some(name) = typed.strip_prefix("partner:") {
        vec![partner(name)]
    } else if let Some(name) = typed.strip_prefix("source:") {
        vec![source(name)]
    } else {
        let feed = config.feeds().find(|feed| feed.id.to_string() == typed);
        vec![partner(typed), source(typed), feed.map(|feed| Subject::Feed(feed.id.clone()))]
    };
    let mut found: Vec<Subject> = found.into_iter().flatten().collect();
    match (found.pop(), found.is_empty()) {
        (Some(subject), true) => Ok(subject),
        (Some(_), false) => Err(Failure::usage(format!("\"{typed}\" is a partner and a source"))
            .hint(format!("write partner:{typed} or source:{typed}"))),
        (None, _) => {
            let names = config.partners.iter().map(|partner| partner.id.to_string());
            let names = names.chain(config.sources.iter().map(|source| source.id.to_string()));
            let names: Vec<String> = names.chain(config.feeds().map(|feed| feed.id.to_string())).collect();
            Err(Failure::usage(format!("there is no partner, feed or source \"{typed}\""))
                .hint(format!("known are {}", names.join(", "))))
        }
    }
}

/// A feed of the configuration, or one that only the ledger knows.
fn feed(context: &Context, config: &Config, typed: &str) -> Result<Arc<FeedDefinition>, Failure> {
    if let Some(ledger) = context.ledger(config)? {
        let books = context.books(config, &ledger, Some(typed));
        if let Some(book) = books?.into_iter().next() {
            return Ok(book.definition);
        }
    }
    Ok(Arc::clone(context.feed(config, typed)?))
}

/// The hour or file that was typed, and how it is called.
fn target(context: &Context, config: &Config, typed: &TargetArguments) -> Result<(Target, String), Failure> {
    let ledger = context.ledger(config)?;
    if let Some(hour) = &typed.hour {
        let definition = feed(context, config, &typed.subject)?;
        let zone = definition.period.zone();
        let at = parse_time(hour, zone)?;
        let known = match &ledger {
            None => None,
            Some(ledger) => {
                let books = context.books(config, ledger, Some(&definition.id.to_string()))?;
                books
                    .first()
                    .and_then(|book| hours(book).into_iter().map(|hour| hour.partition).find(|hour| hour.contains(at)))
            }
        };
        let hour = known.unwrap_or_else(|| definition.period.partition_at(at));
        let what = format!("{} {}", definition.id, context.face(zone).hour(hour));
        return Ok((Target::Hour(definition.id.clone(), hour), what));
    }
    let name = &typed.subject;
    let feeds = match &ledger {
        None => Vec::new(),
        Some(ledger) => ledger.feeds_with_file(name)?,
    };
    let asked = |feed: &FeedId| typed.feed.as_ref().is_none_or(|asked| feed.to_string() == *asked);
    let mut found: Vec<FeedId> = feeds.into_iter().filter(asked).collect();
    match (found.pop(), found.is_empty()) {
        (Some(feed), true) => Ok((Target::File(feed, name.clone()), name.clone())),
        (Some(feed), false) => {
            let failure = Failure::usage(format!("several feeds have a file {name}"));
            Err(failure.hint(format!("name the feed: --feed {feed}")))
        }
        (None, _) if feed(context, config, name).is_ok() => Err(Failure::usage(format!("which hour of {name}?"))
            .hint("write it behind: 2026-12-21T09:00; `hourdrop hours` lists them")),
        (None, _) => Err(Failure::new(format!("there is no file \"{name}\"")).hint("`hourdrop files` lists them")),
    }
}

fn carry_out(
    context: &Context,
    config: &Config,
    order: Order,
    what: &str,
    reason: &str,
    wait: &Wait,
) -> Result<Answer, Failure> {
    let sentence_of = order.clone();
    let told = give(context, config, order, reason, wait)?;
    let text = match &told.answer {
        Some(done) => sentence(&sentence_of, what, done),
        None => {
            format!("{what}: the instance that works has not come to it yet; it is done as soon as it does\n")
        }
    };
    let next = told.is_ours && told.answer.as_ref().is_some_and(|done| done.changed);
    Ok(Answer {
        text,
        json: vec![answer_json(what, &told)],
        notes: if next { vec!["next: hourdrop once".to_owned()] } else { Vec::new() },
        exit: if told.answer.is_some() { exit::DONE } else { exit::INCOMPLETE },
        ..Answer::default()
    })
}

/// Gives an order: carries it out, or asks the instance that works to do so.
///
/// # Errors
/// Why it is refused, or what failed.
pub fn give(context: &Context, config: &Config, order: Order, reason: &str, wait: &Wait) -> Result<Told, Failure> {
    let world = World { renders_ahead: false, ..world(context, config) };
    let done = |answer| Ok(Told { answer: Some(answer), is_ours: true });
    match Exporter::open(config.clone(), &world, None, false) {
        Ok(mut exporter) => {
            exporter.execute_requests().map_err(failure)?;
            exporter.order(&order, reason, None).map_err(failure)?.map_err(refused).and_then(done)
        }
        Err(ExporterFault::Store(StoreFault::Locked(_))) => ask(config, &world, order, reason, wait),
        Err(fault) => match (&fault, &order) {
            (ExporterFault::FeedGone { .. } | ExporterFault::SourceChanged { .. }, Order::VoidWaiting(feed)) => {
                waiting::let_go(config, &world, feed, reason).map_err(failure)?.map_err(refused).and_then(done)
            }
            _ => Err(failure(fault)),
        },
    }
}

/// Leaves a request and waits for the answer. When the other instance ends meanwhile, the request is executed here.
fn ask(config: &Config, world: &World, order: Order, reason: &str, wait: &Wait) -> Result<Told, Failure> {
    let request = Request { order, reason: reason.to_owned() };
    let disk = world.disk.as_ref();
    let name = requests::leave(disk, &config.state, &request, world.clock.now()).map_err(failure)?;
    let wait = Length::parse(&wait.wait).ok_or_else(|| Failure::usage("--wait is not a length of time such as 30s"))?;
    let step = Length::parse("100ms").unwrap_or(Length::ZERO);
    let (begun, (never, silent)) = (Instant::now(), sync_channel(1));
    loop {
        if let Some(answer) = requests::answer(disk, &config.state, &name).map_err(failure)? {
            return answer.map(|done| Told { answer: Some(done), is_ours: false }).map_err(refused);
        }
        if begun.elapsed() >= wait.as_std() {
            drop(never);
            return Ok(Told { answer: None, is_ours: false });
        }
        world.clock.wait(step, &silent);
        if let Ok(mut exporter) = Exporter::open(config.clone(), world, None, false) {
            exporter.execute_requests().map_err(failure)?;
        }
    }
}

fn refused(refusal: Refusal) -> Failure {
    Failure::new(refusal.what).hint(refusal.advice)
}

/// What was done, for people.
fn sentence(order: &Order, what: &str, done: &Done) -> String {
    let files = match done.files.as_slice() {
        [one] => one.clone(),
        several => counted(several.len() as u64, "file"),
    };
    let records = counted(done.records, "record");
    let text = match order {
        Order::Pause(_) | Order::Resume(_) | Order::Hold(_) if !done.changed => format!("{what} was so already"),
        _ if !done.changed => format!("nothing of {what} is left to change"),
        Order::Pause(Subject::Source(_)) => format!("{what} is paused: it is not read, and its hours wait"),
        Order::Pause(_) => format!("{what} is paused: nothing is sent, when the file on its way has arrived"),
        Order::Resume(_) => format!("{what} goes on"),
        Order::Hold(_) if done.files.is_empty() => format!("{what} is held: it is not sealed until it is released"),
        Order::Hold(_) => format!("{what} is held: {files} wait until released"),
        Order::Release(_) if done.files.is_empty() => format!("{what} is released: the next pass takes it up"),
        Order::Release(_) => format!("{what} is released: {files} to be sent"),
        Order::Void(_) | Order::VoidWaiting(_) if done.files.is_empty() => {
            format!("{what} is void: {records} that waited are let go")
        }
        Order::Void(_) | Order::VoidWaiting(_) => format!("{what} is void: {files} with {records} are never sent"),
        Order::Settle(_, SettleAs::Delivered) | Order::SettleAll(_, SettleAs::Delivered) => {
            format!("{what} is settled: {files} delivered, on your word")
        }
        Order::PickedUp(_) | Order::AllPickedUp(_) => format!("{what} is settled: {files} picked up, on your word"),
        Order::Settle(..) | Order::SettleAll(..) => format!("{what} is settled: {files} to be sent again"),
        Order::Retry(_) => String::new(),
    };
    format!("{text}\n")
}

fn answer_json(what: &str, told: &Told) -> Value {
    let empty = Done::default();
    let done = told.answer.as_ref().unwrap_or(&empty);
    json!({
        "subject": what,
        "executed": told.answer.is_some(),
        "changed": done.changed,
        "files": done.files,
        "hours": done.hours,
        "records": done.records,
    })
}

/// How the subject of a pause is typed.
pub fn argument_of(subject: &str) -> String {
    match subject.split_once(' ') {
        Some(("feed", name)) => name.to_owned(),
        Some((kind, name)) => format!("{kind}:{name}"),
        None => subject.to_owned(),
    }
}
