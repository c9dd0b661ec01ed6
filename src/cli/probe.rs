//! `probe`: what a delivery to a partner would meet, on one screen.

mod words;

use super::arguments::ProbeArguments;
use super::table::{counted, statements};
use super::times::Face;
use super::{Answer, Context, Failure, exit};
use crate::app::config::{Config, PartnerConfig};
use crate::app::probe::{Advice, Left, Mark, ProbeContext, ProbeFault, ProbeReport, Topic, Verdict, probe};
use crate::disk::RealDisk;
use crate::domain::period::Zone;
use crate::remote::Address;
use serde_json::{Value, json};
use std::sync::Arc;

/// The command: one report for each server. Exit code 5 when trying again later may help, 1 when something must be
/// changed before, at any of them.
pub fn run(context: &Context, arguments: &ProbeArguments) -> Result<Answer, Failure> {
    let config = context.config(false)?;
    let partner = choose(&config, &arguments.partner)?;
    let addresses = choose_servers(partner, arguments.endpoint)?;
    let ledger = context.ledger(&config)?;
    let surroundings =
        ProbeContext { config: &config, disk: Arc::new(RealDisk), clock: context.clock(), ledger: ledger.as_ref() };
    let reports = addresses.into_iter().map(|address| probe(&surroundings, partner, address));
    let reports = reports.collect::<Result<Vec<_>, _>>().map_err(refused)?;
    let face = context.face(Zone::UTC);
    let screens: Vec<String> = reports.iter().map(|report| screen(report, face, context.terminal.width)).collect();
    let found = |verdict| reports.iter().any(|report| report.verdict() == verdict);
    Ok(Answer {
        text: screens.join("\n"),
        json: reports.iter().map(|report| as_json(report, face)).collect(),
        exit: match (found(Verdict::Unusable), found(Verdict::Temporary)) {
            (true, _) => exit::FAILED,
            (false, true) => exit::REMOTE,
            (false, false) => exit::DONE,
        },
        ..Answer::default()
    })
}

/// All servers of a partner, or the one with this number, from 1.
fn choose_servers(partner: &PartnerConfig, number: Option<usize>) -> Result<Vec<&Address>, Failure> {
    let Some(number) = number else { return Ok(partner.addresses().collect()) };
    let index = number.checked_sub(1);
    let found = index.and_then(|index| partner.addresses().nth(index));
    found.map(|address| vec![address]).ok_or_else(|| {
        let count = counted(partner.addresses().count() as u64, "endpoint");
        Failure::usage(format!("partner {} has no endpoint {number}", partner.id)).hint(format!("it has {count}"))
    })
}

fn choose<'c>(config: &'c Config, name: &str) -> Result<&'c PartnerConfig, Failure> {
    config.partners.iter().find(|partner| partner.id.as_str() == name).ok_or_else(|| {
        let names: Vec<&str> = config.partners.iter().map(|partner| partner.id.as_str()).collect();
        let near = crate::document::nearest(name, names.iter().copied());
        let hint =
            near.map_or_else(|| format!("partners are {}", names.join(", ")), |near| format!("did you mean {near}?"));
        Failure::usage(format!("there is no partner \"{name}\"")).hint(hint)
    })
}

fn refused(fault: ProbeFault) -> Failure {
    let failure = match &fault {
        ProbeFault::Secret(_) | ProbeFault::Path(_) => Failure::configuration("nothing can be tried"),
        ProbeFault::Ledger(_) => Failure::new("nothing can be tried"),
    };
    failure.because(fault)
}

const fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Usable => "usable: deliveries work",
        Verdict::Temporary => "NOT USABLE NOW: try again later",
        Verdict::Unusable => "NOT USABLE: no delivery until what failed is changed",
    }
}

const fn mark_word(mark: Mark) -> &'static str {
    match mark {
        Mark::Good => "ok",
        Mark::Note => "-",
        Mark::Warn => "warn",
        Mark::Fail | Mark::FailNow => "FAIL",
    }
}

fn screen(report: &ProbeReport, face: Face, width: usize) -> String {
    let mut text = format!("hourdrop probe {}  {}\n", report.partner, report.endpoint);
    let row = |(topic, mark): (Topic, Mark)| {
        let (topic, said) = words::say(report, topic, face);
        [format!("{:<4}  {topic}", mark_word(mark)), said]
    };
    text.push_str(&statements(report.judged().into_iter().map(row).collect(), width));
    text.push_str(&format!("{}\n", verdict(report.verdict())));
    if !report.advice.is_empty() {
        text.push_str(&format!("SETTINGS for [partner.{}]\n", report.partner));
    }
    for Advice { line, why, is_needed } in &report.advice {
        text.push_str(&format!("  # {}: {why}\n  {line}\n", if *is_needed { "needed" } else { "better" }));
    }
    text
}

fn as_json(report: &ProbeReport, face: Face) -> Value {
    let check = |(topic, mark): (Topic, Mark)| {
        let (topic, said) = words::say(report, topic, face);
        json!({ "topic": topic, "mark": mark_word(mark).to_lowercase(), "said": said })
    };
    let advice = |Advice { line, why, is_needed }: &Advice| json!({ "line": line, "why": why, "needed": is_needed });
    let left = |Left { path, why }: &Left| json!({ "path": path.as_str(), "why": why });
    let tls = report.reach.as_ref().and_then(|reach| reach.tls.as_ref());
    let ssh = report.reach.as_ref().and_then(|reach| reach.ssh.as_ref());
    let facts = report.facts.done();
    let iso = |at: crate::domain::time::UtcTime| face.iso(at.seconds());
    json!({
        "partner": report.partner.as_str(),
        "endpoint": report.endpoint.to_string(),
        "directory": report.directory.as_str(),
        "verdict": match report.verdict() {
            Verdict::Usable => "usable",
            Verdict::Temporary => "not now",
            Verdict::Unusable => "not usable",
        },
        "checks": report.judged().into_iter().map(check).collect::<Vec<_>>(),
        "tls": tls.map(|tls| json!({
            "version": tls.version.map(words::version),
            "cipher": tls.cipher,
            "offers_1_3": tls.offers_1_3,
            "fingerprint": tls.certificate.fingerprint.map(|print| format!("sha256:{print}")),
            "subject": tls.certificate.subject,
            "issuer": tls.certificate.issuer,
            "names": tls.certificate.names,
            "not_before": tls.certificate.valid.map(|(from, _)| iso(from)),
            "not_after": tls.certificate.valid.map(|(_, to)| iso(to)),
            "distrust": tls.distrust,
        })),
        "host_keys": ssh.map(|ssh| ssh.keys.iter().map(|key| json!({
            "kind": key.kind, "fingerprint": key.fingerprint,
        })).collect::<Vec<_>>()),
        "login_methods": ssh.map(|ssh| &ssh.methods),
        "features": facts.map(|facts| &facts.features),
        "hashes": facts.map(|facts| &facts.hashes),
        "clock_ahead_seconds": report.trials.clock_ahead.done().copied().flatten(),
        "bytes_per_second": report.trials.speed.done().map(|(bytes, took)| words::rate(*bytes, *took)),
        "settings": report.advice.iter().map(advice).collect::<Vec<_>>(),
        "left": report.left.iter().map(left).collect::<Vec<_>>(),
    })
}
