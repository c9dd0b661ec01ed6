//! The partner's answers (回执): fetched, kept byte for byte in the archive, decoded, and laid to the files they speak of.
//!
//! An answer file counts as a whole or not at all. What cannot be read, names a file that was not delivered, or says
//! something else than an answer before is kept and reported, and nothing is guessed from it.

use super::config::{AnswerRule, PartnerConfig};
use super::delivery::DeliveryContext;
use super::pickup::{LookFault, subject};
use crate::deliver::StoreMark;
use crate::domain::answer::{AnsweredFile, Discord, FileVerdict, Statement, Verdict, discord, sum_up};
use crate::domain::delivery::FileState;
use crate::domain::ids::{FeedId, FileName, Sha256Digest};
use crate::domain::pickup::Stamp;
use crate::format::decode::{Decoded, Decoder};
use crate::ledger::answers::{AnswerRow, Answered, Rejection};
use crate::ledger::delivery::BatchToSend;
use crate::ledger::{Ledger, LedgerFault};
use crate::record::Record;
use crate::remote::{EntryKind, Remote, RemoteEntry, RemotePath};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

/// Files or records were rejected.
const HD_REJECTED: &str = "HD0221";
/// An answer cannot be read.
const HD_UNREADABLE: &str = "HD0222";
/// An answer is about a file that was not delivered.
const HD_UNKNOWN: &str = "HD0223";
/// An answer says something else than the one before.
const HD_CONTRADICTS: &str = "HD0224";
/// The directory of the answers cannot be looked at.
const HD_BLIND: &str = "HD0225";

/// An answer is larger than what is read.
const HD_TOO_LARGE: &str = "HD0226";

/// An answer is not larger than this.
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// True for an alarm that an answer has raised: a person has to look at it.
pub(super) fn is_about_answer(alarm: &crate::ledger::intake::Alarm) -> bool {
    [HD_REJECTED, HD_UNREADABLE, HD_UNKNOWN, HD_CONTRADICTS, HD_TOO_LARGE].contains(&alarm.code.as_str())
}

/// True for the alarm that answers could not be looked for: trouble with the partner's server.
pub(super) fn cannot_look(alarm: &crate::ledger::intake::Alarm) -> bool {
    alarm.code == HD_BLIND
}

/// Why an answer does not count: code and words.
type Problem = (&'static str, String);
type Alarm = (&'static str, String, String);

/// Fetches the answers that are new and records what they say.
///
/// # Errors
/// [`LookFault`]; the next look goes on from what is recorded.
pub(super) fn look(
    context: &DeliveryContext,
    partner: &PartnerConfig,
    rule: &AnswerRule,
    server: usize,
    session: &mut dyn Remote,
) -> Result<(), LookFault> {
    let mut entries = session.list(&rule.directory)?;
    entries.retain(|entry| entry.kind != EntryKind::Directory && is_answer(&entry.name, rule, &context.mark));
    entries.sort_by(|one, other| one.name.cmp(&other.name));
    let mut problems = Vec::new();
    for entry in entries {
        let bytes = match entry.bytes {
            Some(bytes) => Some(bytes),
            None => session.size(&rule.directory.join_part(&entry.name))?,
        };
        if bytes.is_some_and(|bytes| bytes > ANSWER_BYTES_MAX as u64) {
            // Those behind it are read all the same.
            let words = format!("{}: it has more than {ANSWER_BYTES_MAX} bytes and is not fetched", shown(&entry.name));
            problems.push((HD_TOO_LARGE.to_owned(), words));
            continue;
        }
        let answer = match known(context, partner, rule, bytes, &entry)? {
            Some(answer) => answer,
            None => fetch(context, partner, rule, session, &entry)?,
        };
        match answer.problem {
            Some((code, words)) => problems.push((code, format!("{}: {words}", shown(&answer.name)))),
            None if rule.deletes => session.remove(&rule.directory.join_part(&entry.name))?,
            None => {}
        }
    }
    tell(context, partner, server, &problems);
    Ok(())
}

/// Of a partner whose answers are waited for: the next batch of a feed, as long as the one before is accepted. What has
/// begun goes on.
///
/// # Errors
/// [`LedgerFault`].
pub(super) fn gate(
    ledger: &Ledger,
    partner: &PartnerConfig,
    feed: &FeedId,
    mut batches: Vec<BatchToSend>,
) -> Result<Vec<BatchToSend>, LedgerFault> {
    let has_begun = |batch: &BatchToSend| batch.files.iter().any(|file| file.state != FileState::default());
    if partner.answers.as_ref().is_some_and(|rule| rule.gate) {
        if ledger.not_accepted(feed)?.is_empty() {
            batches.truncate(1);
        } else {
            batches.retain(has_begun);
        }
    }
    Ok(batches)
}

fn is_answer(name: &str, rule: &AnswerRule, mark: &StoreMark) -> bool {
    rule.pattern.matches(name) && !mark.is_temporary(name) && FileName::parse(name).is_ok()
}

fn shown(name: &str) -> String {
    name.escape_debug().to_string()
}

fn stamp(entry: &RemoteEntry) -> Stamp {
    Stamp { modified: entry.modified, unique: entry.unique.as_deref().map(Into::into) }
}

/// An answer file that was read before: same name, same size, and nothing that the server states has changed. Where
/// answers are removed there is none, so that each is read before: some servers state nothing but the size.
fn known(
    context: &DeliveryContext,
    partner: &PartnerConfig,
    rule: &AnswerRule,
    bytes: Option<u64>,
    entry: &RemoteEntry,
) -> Result<Option<AnswerRow>, LookFault> {
    if rule.deletes {
        return Ok(None);
    }
    let Some(last) = context.ledger.lock().answers_named(&partner.id, &entry.name)?.pop() else { return Ok(None) };
    Ok((bytes == Some(last.bytes) && stamp(entry).agrees_with(&last.stamp)).then_some(last))
}

/// Reads an answer file, keeps it, and records what it says. One whose bytes were read before is not read again.
fn fetch(
    context: &DeliveryContext,
    partner: &PartnerConfig,
    rule: &AnswerRule,
    session: &mut dyn Remote,
    entry: &RemoteEntry,
) -> Result<AnswerRow, LookFault> {
    let mut body = Body::default();
    session.read(&rule.directory.join_part(&entry.name), &mut body)?;
    let hash = Sha256Digest(Sha256::digest(&body.0).into());
    let before = context.ledger.lock().answers_named(&partner.id, &entry.name)?;
    if let Some(same) = before.into_iter().find(|known| known.sha256 == hash.to_string()) {
        return Ok(same);
    }
    let path = format!(".answers/{}/{}_{}", partner.id, hash.to_string().get(..16).unwrap_or_default(), entry.name);
    context.archive.keep(&path, &body.0, &hash)?;
    let laid = match decode(rule, &body.0) {
        Ok(said) => lay(&context.ledger.lock(), partner, said)?,
        Err(problem) => Err(problem),
    };
    let (answered, problem) = match laid {
        Ok(answered) => (answered, None),
        Err((code, words)) => (Vec::new(), Some((code.to_owned(), words))),
    };
    let bytes = body.0.len() as u64;
    let name = entry.name.clone();
    let answer = AnswerRow { name, bytes, sha256: hash.to_string(), stamp: stamp(entry), problem };
    context.ledger.lock().record_answer(&partner.id, &answer, &path, &answered, context.clock.now())?;
    tracing::info!(partner = %partner.id, answer = %shown(&answer.name), files = answered.len(), "answer read");
    Ok(answer)
}

/// The bytes of an answer, as long as they are few enough.
#[derive(Default)]
struct Body(Vec<u8>);

impl Write for Body {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > ANSWER_BYTES_MAX {
            return Err(io::Error::other(format!("an answer of more than {ANSWER_BYTES_MAX} bytes")));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What an answer says.
fn decode(rule: &AnswerRule, bytes: &[u8]) -> Result<BTreeMap<String, FileVerdict>, Problem> {
    let unreadable = |words: String| (HD_UNREADABLE, words);
    let mut decoder = Decoder::new(&rule.format.dialect, &rule.read);
    let mut out = Decoded::new(rule.read.schema());
    decoder.push(bytes, &mut out);
    decoder.finish(&mut out);
    if let Some(words) = decoder.head_problem().or_else(|| decoder.trailer_problem()) {
        return Err(unreadable(words));
    }
    if let Some(reject) = out.rejects.first() {
        return Err(unreadable(format!("line {}: {}", reject.origin.line, reject.reason)));
    }
    let statements: Result<Vec<Statement>, String> = out.block.iter().map(|record| statement(rule, record)).collect();
    let statements = statements.map_err(unreadable)?;
    if statements.is_empty() {
        return Err(unreadable("it says nothing".to_owned()));
    }
    sum_up(&statements).map_err(|file| unreadable(format!("{} is accepted and rejected in one answer", shown(&file))))
}

fn statement(rule: &AnswerRule, record: Record<'_>) -> Result<Statement, String> {
    let line = record.origin().line;
    let text = |place: usize| String::from_utf8_lossy(record.field(place)).trim().to_owned();
    let (file, status) = (text(rule.file), text(rule.status));
    let is_accepted = rule.accepted.contains(&status);
    if !is_accepted && !rule.rejected.contains(&status) {
        let words = "the status is neither one of `accepted` nor one of `rejected`";
        return Err(format!("line {line}: {words}: {}", shown(&status)));
    }
    let is_of_record = rule.record.is_some_and(|place| !text(place).is_empty());
    let reason = rule.reason.map(|place| shown(&text(place))).unwrap_or_default();
    Ok(Statement { file, is_accepted, is_of_record, reason })
}

/// Finds the files that an answer speaks of, or why nothing of it counts.
fn lay(
    ledger: &Ledger,
    partner: &PartnerConfig,
    said: BTreeMap<String, FileVerdict>,
) -> Result<Result<Vec<Answered>, Problem>, LedgerFault> {
    let mut answered = Vec::new();
    let mut batches = BTreeSet::new();
    for (name, said) in said {
        let found = ledger.tracked_by_name(&name)?;
        let ours = found.into_iter().rfind(|(feed, _, file)| feed.partner == partner.id && file.delivered_at.is_some());
        let Some((feed, batch, file)) = ours else {
            return Ok(Err((HD_UNKNOWN, format!("it is about {}, which was not delivered", shown(&name)))));
        };
        if let Some(before) = ledger.verdict_of(file.row)?.filter(|before| *before != said.verdict) {
            let words = format!("{name} is {} by it, and was {} before", said.verdict.word(), before.word());
            return Ok(Err((HD_CONTRADICTS, words)));
        }
        batches.insert(batch);
        answered.push(Answered { feed, file: file.row, name, said });
    }
    let spoken: BTreeMap<i64, &FileVerdict> = answered.iter().map(|answered| (answered.file, &answered.said)).collect();
    for batch in batches {
        let files = ledger.answered_files(batch)?.into_iter();
        let files = files.map(|(row, file)| AnsweredFile { now: spoken.get(&row).copied().cloned(), ..file });
        if let Some(problem) = discord(&files.collect::<Vec<_>>()).map(|discord| in_words(&discord)) {
            return Ok(Err(problem));
        }
    }
    Ok(Ok(answered))
}

fn in_words(discord: &Discord<'_>) -> Problem {
    let now = |file: &AnsweredFile| file.now.as_ref().map_or("", |said| said.verdict.word());
    let before = |file: &AnsweredFile| file.before.map_or("", Verdict::word);
    match discord {
        Discord::WithBefore(file, other) => {
            let words =
                format!("{} is {} by it, and {} was {} before", file.name, now(file), other.name, before(other));
            (HD_CONTRADICTS, words)
        }
        Discord::InOneAnswer(file, other) => {
            let words = format!("{} is {}, and {} is {} in one answer", file.name, now(file), other.name, now(other));
            (HD_UNREADABLE, words)
        }
    }
}

/// Raises and clears the alarms about the answers at a server.
fn tell(context: &DeliveryContext, partner: &PartnerConfig, server: usize, problems: &[(String, String)]) {
    let mut alarms: Vec<Alarm> = Vec::new();
    for (code, words) in problems {
        let (code, hint) = match code.as_str() {
            HD_UNKNOWN => (HD_UNKNOWN, "ask the partner which file is meant; nothing of the answer counts"),
            HD_CONTRADICTS => (HD_CONTRADICTS, "ask the partner which answer holds; the one before stands"),
            HD_TOO_LARGE => (HD_TOO_LARGE, "ask the partner for smaller answers, or narrow the `pattern` of `answers`"),
            _ => (
                HD_UNREADABLE,
                "compare it with the format of `answers`; nothing of it counts. It is kept in the archive",
            ),
        };
        alarms.push((code, format!("answer {words}"), hint.to_owned()));
    }
    alarms.extend(all_rejected(context, partner, server));
    replace(context, partner, server, &alarms);
}

/// Whatever was rejected, wherever it was said: it stands with the first server.
fn all_rejected(context: &DeliveryContext, partner: &PartnerConfig, server: usize) -> Vec<Alarm> {
    if server > 0 {
        return Vec::new();
    }
    match context.ledger.lock().rejections(&partner.id) {
        Ok(rejections) => rejections.iter().map(|rejection| rejected(partner, rejection)).collect(),
        Err(fault) => {
            tracing::error!("cannot read the answers: {fault}");
            Vec::new()
        }
    }
}

fn rejected(partner: &PartnerConfig, rejection: &Rejection) -> Alarm {
    let Rejection { id, name, records, reason } = rejection;
    let what = match records {
        0 => "the file".to_owned(),
        1 => "1 record".to_owned(),
        several => format!("{several} records"),
    };
    let reason = if reason.is_empty() { String::new() } else { format!(": {reason}") };
    let hour = partner.feeds.iter().find(|feed| feed.id == id.feed).map_or_else(
        || id.partition.start.to_string(),
        |feed| feed.period.zone().clock_text(id.partition.start, "%Y-%m-%dT%H:%M"),
    );
    let hint = format!("when it is settled with the partner: hourdrop release {} {hour} --reason ...", id.feed);
    (HD_REJECTED, format!("{name}: the partner rejected {what}{reason}"), hint)
}

/// The answers could not be looked at.
pub(super) fn failed(
    context: &DeliveryContext,
    partner: &PartnerConfig,
    server: usize,
    directory: &RemotePath,
    what: &str,
) {
    tracing::warn!(partner = %partner.id, "cannot look for answers: {what}");
    let message = format!("cannot look for answers in {directory}: {what}");
    let mut alarms = vec![(HD_BLIND, message, "hourdrop looks again; no answer is lost".to_owned())];
    alarms.extend(all_rejected(context, partner, server));
    replace(context, partner, server, &alarms);
}

/// Makes the alarms about the answers at a server exactly these.
pub(super) fn replace(context: &DeliveryContext, partner: &PartnerConfig, server: usize, alarms: &[Alarm]) {
    let subject = subject(partner, "answers", server);
    if let Err(fault) = context.ledger.lock().replace_alarms(&subject, alarms, context.clock.now()) {
        tracing::error!("cannot record an alarm: {fault}");
    }
}
