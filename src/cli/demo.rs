//! A whole export with a partner's FTP server built in. It differs from `once` only in the configuration and the
//! server that are made for it.

use super::arguments::DemoArguments;
use super::once::pass;
use super::table::{counted, grouped};
use super::work::{Log, begin_log};
use super::{Answer, Context, Failure, exit, render};
use crate::app::config;
use crate::app::demo::{self, DemoFeed, DemoReport, PARTNERS, PASSWORD};
use crate::ledger::Ledger;
use crate::serve::ftp_server::{Access, Account, FtpServer, ServerSettings};
use secrecy::SecretString;
use serde_json::{Value, json};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::path::Path;
use std::time::Instant;

/// Where the demonstration lives.
pub const DIR: &str = "hourdrop-demo";

/// The command.
pub fn run(context: &Context, arguments: &DemoArguments) -> Result<Answer, Failure> {
    begin_log(context, Log::Trouble);
    let begun = Instant::now();
    let dir = Path::new(DIR);
    let failed = |what: &str, fault: std::io::Error| Failure::new(what).because(fault);
    demo::prepare(dir).map_err(|fault| failed("the demo's directory cannot be made", fault))?;
    let accounts = PARTNERS.map(|partner| Account {
        name: partner.to_owned(),
        password: SecretString::from(PASSWORD),
        root: demo::root_of(dir, partner),
        access: Access::Full,
    });
    let server = FtpServer::bind(ServerSettings::on_loopback(0)).and_then(|bound| bound.serve(&accounts));
    let server = server.map_err(|fault| Failure::new("the FTP server cannot be started").because(fault))?;
    let port = server.address().port();
    let path = demo::configure(dir, port).map_err(|fault| failed("the configuration cannot be written", fault))?;
    let loaded = config::load(&path, context.now()).map_err(|fault| Failure::configuration(fault.to_string()))?;
    let Some(config) = loaded.config else {
        return Err(Failure {
            problems: loaded.problems,
            ..Failure::configuration("the demo's configuration has errors")
        });
    };
    let once = pass(context, config.clone())?;
    let ledger = Ledger::open_read_only(&config.ledger_path())?;
    let report = demo::report(dir, &config, &ledger)?;
    let whole = report.identical && once.exit_code() == 0;
    let text = screen(&report, port, begun.elapsed().as_secs_f64(), arguments.serve);
    let answer = Answer {
        text,
        json: vec![json(&report, port)],
        exit: if whole { exit::DONE } else { once.exit_code().max(exit::FAILED) },
        ..Answer::default()
    };
    if arguments.serve { serve(context, &answer, server) } else { Ok(answer) }
}

/// Shows the screen and keeps the server up until the program is asked to stop.
fn serve(context: &Context, answer: &Answer, server: FtpServer) -> Result<Answer, Failure> {
    let mut signals =
        Signals::new([SIGTERM, SIGINT]).map_err(|fault| Failure::new("signals cannot be caught").because(fault))?;
    render::show(context, answer);
    signals.forever().next();
    drop(server);
    Ok(Answer { exit: answer.exit, ..Answer::default() })
}

fn screen(report: &DemoReport, port: u16, seconds: f64, serving: bool) -> String {
    let mut lines = vec![format!("{:<72}finished in {seconds:.1} s", "hourdrop demo")];
    for (files, records, quarantined, place) in &report.sources {
        let what = format!(
            "{}, {}, {} quarantined",
            counted(*files, "file"),
            counted(*records, "call record"),
            grouped(*quarantined)
        );
        lines.push(format!("  in              {what:<52}{place}"));
    }
    lines.extend(report.feeds.iter().map(feed_line));
    lines.push(balance(report));
    let (parts, manifests) = report.archived;
    let same =
        if report.identical { "byte for byte what lies on the FTP server" } else { "NOT what lies on the FTP server" };
    lines.push(format!("  archive         {} + {}, {same}", counted(parts, "file"), counted(manifests, "manifest")));
    let kept = if serving { "" } else { "     (`demo --serve` keeps the server up)" };
    lines.push(format!("what {} saw at ftp://{}@127.0.0.1:{port}/{kept}", PARTNERS[0], PARTNERS[0]));
    for (file, hour) in &report.seen {
        let size = format!("{} B", grouped(file.bytes.unwrap_or(0)));
        let what = if file.part.0 > 0 {
            format!("{}   {hour}", counted(file.records, "record"))
        } else {
            format!("the hour's manifest, appeared last      ... {} more", report.more)
        };
        lines.push(format!("  {:<26}{size:>11}   {what}", file.name));
    }
    for feed in &report.feeds {
        if let Some((hour, [one, two], [first, second])) = &feed.twins {
            let records =
                if first == second { format!("{first} records each") } else { format!("{first} and {second} records") };
            lines.push(format!(
                "note  {} has two hours {hour} at {one} and at {two} (clocks went back), {records}",
                feed.name
            ));
        }
    }
    lines.extend(next_lines(port, serving));
    lines.join("\n") + "\n"
}

fn next_lines(port: u16, serving: bool) -> Vec<String> {
    let take = format!("take the files as the partner would: lftp -u huaxin,{PASSWORD} 127.0.0.1");
    let first = if serving {
        format!("next  {take}:{port}     (Ctrl-C ends the server)")
    } else {
        format!("next  hourdrop demo --serve     then {take}:PORT")
    };
    vec![
        first,
        "      hourdrop status --demo     hourdrop hours --demo     hourdrop init --from-sample your.csv".to_owned(),
    ]
}

fn feed_line(feed: &DemoFeed) -> String {
    let delivered = if feed.delivered { "delivered, verified" } else { "NOT delivered" };
    format!(
        "  {:<15} {:<9} {:<9} {:<15} {delivered:<21}{:<24}{}",
        feed.name,
        counted(feed.hours, "hour"),
        counted(feed.files, "file"),
        counted(feed.records, "record"),
        feed.layout,
        feed.zone
    )
}

fn balance(report: &DemoReport) -> String {
    let sum = |pick: fn(&DemoFeed) -> u64| report.feeds.iter().map(pick).sum::<u64>();
    let (received, delivered) = (sum(|feed| feed.counts.received), sum(|feed| feed.records));
    let (filtered, quarantined) = (sum(|feed| feed.counts.filtered), sum(|feed| feed.counts.quarantined));
    let pending = received.saturating_sub(delivered + filtered + quarantined);
    format!(
        "  balance         received {} = delivered {} + filtered {} + quarantined {} + pending {}",
        grouped(received),
        grouped(delivered),
        grouped(filtered),
        grouped(quarantined),
        grouped(pending)
    )
}

fn json(report: &DemoReport, port: u16) -> Value {
    json!({
        "port": port,
        "feeds": report.feeds.iter().map(|feed| json!({ "feed": feed.name, "hours": feed.hours, "files": feed.files,
            "records": feed.records, "delivered": feed.delivered })).collect::<Vec<_>>(),
        "archive": { "files": report.archived.0, "manifests": report.archived.1, "identical": report.identical },
    })
}
