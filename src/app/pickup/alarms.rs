//! What a person must know about a partner's directory. Alarms stand as long as the last look says so.

use super::compare::names;
use super::look::Report;
use super::{Server, subject};
use crate::app::config::{PartnerConfig, PickupRule};
use crate::app::delivery::DeliveryContext;
use crate::domain::period::Zone;

/// Files were not taken in time.
const HD_OVERDUE: &str = "HD0211";
/// Something that is not ours lies there.
const HD_FOREIGN: &str = "HD0212";
/// A manifest and its files were not taken together.
const HD_MISMATCH: &str = "HD0213";
/// A file that was missed is there again.
const HD_BACK: &str = "HD0214";
/// The directory cannot be looked at.
const HD_BLIND: &str = "HD0215";
/// A file that is to be removed is not as we left it.
const HD_CHANGED: &str = "HD0216";
/// Files wait where nobody looks any more.
const HD_ELSEWHERE: &str = "HD0217";

type Alarm = (&'static str, String, String);

/// Raises and clears the alarms of a partner after a look.
pub(super) fn tell(
    context: &DeliveryContext,
    partner: &PartnerConfig,
    rule: &PickupRule,
    server: Server<'_>,
    report: &Report,
) {
    let list = |names_of: &[String]| names(names_of.iter().map(String::as_str));
    let mut alarms: Vec<Alarm> = Vec::new();
    let mut raise = |code, message: String, hint: &str| alarms.push((code, message, hint.to_owned()));
    if let Some((delivered_at, oldest)) = &report.oldest {
        let within = rule.within.unwrap_or_default();
        let since = Zone::UTC.clock_text(delivered_at.seconds(), "%Y-%m-%dT%H:%M:%SZ");
        let (count, are) = (report.overdue, if report.overdue == 1 { "file was" } else { "files were" });
        let message =
            format!("{count} {are} not picked up within {within}; the oldest, {oldest}, was delivered {since}");
        raise(HD_OVERDUE, message, "ask the partner whether its program runs; the alarm ends when the files are taken");
    }
    if !report.foreign.is_empty() {
        let message = format!("files that are not ours lie in the drop directory: {}", list(&report.foreign));
        raise(HD_FOREIGN, message, "hourdrop never touches them; what belongs there can stand in `pickup.ignore`");
    }
    for mismatch in report.mismatches.iter().take(1) {
        let more = report.mismatches.len() - 1;
        let more = if more > 0 { format!("; the same of {more} more") } else { String::new() };
        let hint = "the partner may have read half an hour: ask whether it goes by the manifest";
        raise(HD_MISMATCH, format!("{mismatch}{more}"), hint);
    }
    if !report.back.is_empty() {
        let message = format!("files that were picked up are there again: {}", list(&report.back));
        raise(HD_BACK, message, "the partner may have restored its directory: ask before it reads them twice");
    }
    if !report.changed.is_empty() {
        let message = format!("not removed, because they are not as hourdrop left them: {}", list(&report.changed));
        raise(HD_CHANGED, message, "ask who writes there; the alarm ends when somebody has taken them away");
    }
    if !report.elsewhere.is_empty() {
        let message = format!("files wait where the configuration does not lead any more: {}", list(&report.elsewhere));
        let hint = "when the partner has them, `hourdrop settle FEED HOUR --as picked-up --reason ...`; if the place only has \
                    another address, put the old one into `formerly`";
        raise(HD_ELSEWHERE, message, hint);
    }
    if let Some(what) = &report.no_moved {
        let message = format!("cannot list the directory that the partner moves files to: {what}");
        raise(HD_BLIND, message, "until then a file that is gone counts as taken, without that evidence");
    }
    replace(context, partner, server.0, &alarms);
}

/// A look was not possible. What the last one said stands no longer.
pub(super) fn failed(context: &DeliveryContext, partner: &PartnerConfig, server: Server<'_>, what: &str) {
    tracing::warn!(partner = %partner.id, "cannot look at the partner's directory: {what}");
    let message = format!("cannot look at the partner's directory: {what}");
    let hint = "nothing counts as picked up until a listing shows what is there; deliveries go on".to_owned();
    replace(context, partner, server.0, &[(HD_BLIND, message, hint)]);
}

/// Makes the alarms of a server exactly these.
pub(super) fn replace(context: &DeliveryContext, partner: &PartnerConfig, server: usize, alarms: &[Alarm]) {
    let subject = subject(partner, "pickup", server);
    if let Err(fault) = context.ledger.lock().replace_alarms(&subject, alarms, context.clock.now()) {
        tracing::error!("cannot record an alarm: {fault}");
    }
}
