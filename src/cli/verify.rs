//! `verify`: what is kept, proved again.

use super::arguments::VerifyArguments;
use super::table::{counted, left, table};
use super::times::parse_time;
use super::{Answer, Context, Failure, exit};
use crate::app::verify::{Difference, Verified, Wanted, verify};
use crate::disk::{Disk, RealDisk};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use std::io::IsTerminal;
use std::sync::Arc;

/// The command. Exit code 4 when anything differs.
pub fn run(context: &Context, arguments: &VerifyArguments) -> Result<Answer, Failure> {
    let config = context.config(arguments.state.demo)?;
    let ledger = context.needed_ledger(&config)?;
    let mut wanted = Wanted::default();
    if let Some(name) = &arguments.feed {
        let book = context.books(&config, &ledger, Some(name))?.pop();
        wanted.feed = book.as_ref().map(|book| book.definition.id.clone());
        if let (Some(hour), Some(book)) = (&arguments.hour, book) {
            wanted.hour = Some(parse_time(hour, book.definition.period.zone())?);
        }
    }
    let bar = bar(context);
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let found = verify(&disk, &config, &ledger, &wanted, &mut |read, of| {
        bar.set_length(of);
        bar.set_position(read);
    });
    bar.finish_and_clear();
    let found = found.map_err(|fault| Failure::new("nothing can be said").because(fault))?;
    let code = if found.differences.is_empty() { exit::DONE } else { exit::INCOMPLETE };
    Ok(Answer { text: screen(&found, &wanted), json: vec![as_json(&found)], exit: code, ..Answer::default() })
}

fn bar(context: &Context) -> ProgressBar {
    if context.global.quiet || context.global.json || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::no_length();
    match ProgressStyle::with_template("{bar:40} {bytes} of {total_bytes}, {eta} to go") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

fn screen(found: &Verified, wanted: &Wanted) -> String {
    let mut text = format!(
        "{} read again, {} rendered again",
        counted(found.files, "archived file"),
        counted(found.manifests, "manifest")
    );
    if found.expired > 0 {
        text.push_str(&format!(", {} not kept any more", counted(found.expired, "file")));
    }
    if wanted.feed.is_none() {
        text.push_str(&format!(
            ", {} and {} checked",
            counted(found.facts, "fact"),
            counted(found.frames, "spool frame")
        ));
    }
    if found.manifests_of_others > 0 {
        let others = counted(found.manifests_of_others, "manifest");
        text.push_str(&format!("; of {others} by another version only the hash was compared"));
    }
    if found.differences.is_empty() {
        text.push_str(": everything is as it was written\n");
        return text;
    }
    let differences = if found.differences.len() == 1 { "DIFFERENCE" } else { "DIFFERENCES" };
    text.push_str(&format!(": {} {differences}\n", found.differences.len()));
    let row = |difference: &Difference| {
        vec![difference.place.to_owned(), difference.subject.clone(), difference.what.clone()]
    };
    let columns = [left("WHERE"), left("WHAT"), left("DIFFERENCE")];
    text.push_str(&table(&columns, found.differences.iter().map(row).collect()));
    text
}

fn as_json(found: &Verified) -> Value {
    let difference = |difference: &Difference| json!({ "place": difference.place, "subject": difference.subject, "difference": difference.what });
    json!({
        "files": found.files,
        "bytes": found.bytes,
        "expired_files": found.expired,
        "manifests": found.manifests,
        "manifests_by_hash_only": found.manifests_of_others,
        "facts": found.facts,
        "spool_frames": found.frames,
        "differences": found.differences.iter().map(difference).collect::<Vec<_>>(),
    })
}
