//! `spool salvage`: puts damaged segments aside and lets the rest go on.

use super::{frames_text, name};
use crate::app::journal::salvage;
use crate::cli::arguments::SpoolSalvageArguments;
use crate::cli::work::{Log, begin_log, failure};
use crate::cli::{Answer, Context, Failure};
use crate::disk::{Disk, RealDisk};
use serde_json::json;
use std::sync::Arc;

/// The command. Nothing is done when nothing is damaged.
pub fn run(context: &Context, arguments: &SpoolSalvageArguments) -> Result<Answer, Failure> {
    begin_log(context, Log::Trouble);
    let config = context.config(false)?;
    drop(context.needed_ledger(&config)?);
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let clock = context.clock();
    let mended = salvage(&disk, &config, clock.as_ref(), &arguments.reason).map_err(failure)?;
    let mut text = String::new();
    let mut json = Vec::new();
    for segment in &mended {
        text.push_str(&format!("{} is mended", name(&segment.path)));
        for lost in &segment.lost {
            text.push_str(&format!("; {} lost: {}", frames_text(lost.first.0, lost.last.0), lost.what));
        }
        if let Some(aside) = &segment.aside {
            text.push_str(&format!("; the damaged file is {}", aside.display()));
        }
        text.push('\n');
        let lost = segment.lost.iter().map(|lost| json!({ "first_lsn": lost.first.0, "last_lsn": lost.last.0 }));
        json.push(json!({
            "segment": name(&segment.path),
            "aside": segment.aside.as_ref().map(|path| path.display().to_string()),
            "lost": lost.collect::<Vec<_>>(),
        }));
    }
    let mut notes = Vec::new();
    if mended.is_empty() {
        "nothing is damaged: nothing to do\n".clone_into(&mut text);
    } else {
        notes.push("next: hourdrop once; hours that lack records are held, all others go on".to_owned());
    }
    Ok(Answer { text, json, notes, ..Answer::default() })
}
