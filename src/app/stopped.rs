//! `state/STOPPED`: why the program did not start, or ended by itself, for whoever asks later.
//!
//! A start that succeeds removes it. It is a note and nothing depends on it: where it cannot be written, as in a state
//! directory that is lost, there is none.

use super::store::{publish, remove_if_there};
use crate::disk::Disk;
use crate::domain::time::UtcTime;
use crate::ledger::intake::Alarm;
use serde_json::{Value, json};
use std::io::Read;
use std::path::Path;

/// The program did not start, or ended by itself.
const HD_STOPPED: &str = "HD0101";
const NAME: &str = "STOPPED";

/// Leaves the note in the state directory: what happened with its cause, and what to do.
pub fn note(disk: &dyn Disk, state: &Path, message: &str, hint: &str, at: UtcTime) {
    let text = json!({ "message": message, "hint": hint, "at": at.nanos() });
    clear(disk, state);
    if let Err(fault) = publish(disk, &state.join(NAME), format!("{text:#}\n").as_bytes()) {
        tracing::debug!("no note of it is left in the state directory: {fault}");
    }
}

/// Removes the note.
pub fn clear(disk: &dyn Disk, state: &Path) {
    if let Err(fault) = remove_if_there(disk, &state.join(NAME)) {
        tracing::warn!("{fault}");
    }
}

/// What the note says, as something that needs a person.
#[must_use]
pub fn read(disk: &dyn Disk, state: &Path) -> Option<Alarm> {
    let mut text = String::new();
    disk.open_read(&state.join(NAME)).ok()?.read_to_string(&mut text).ok()?;
    let value: Value = serde_json::from_str(&text).ok()?;
    let part = |key: &str| Some(value.get(key)?.as_str()?.to_owned());
    Some(Alarm {
        subject: "hourdrop".to_owned(),
        code: HD_STOPPED.to_owned(),
        message: part("message")?,
        hint: part("hint")?,
        since: UtcTime::from_nanos(value.get("at")?.as_i64()?),
    })
}
