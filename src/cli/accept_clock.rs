//! Says that the machine's clock is right after it has jumped.

use super::arguments::AcceptClockArguments;
use super::work::{Log, begin_log, failure, open, world};
use super::{Answer, Context, Failure};
use serde_json::json;

/// The command. Nothing is done when the clock is believed anyway.
pub fn run(context: &Context, arguments: &AcceptClockArguments) -> Result<Answer, Failure> {
    begin_log(context, Log::Trouble);
    let config = context.config(false)?;
    let world = world(context, &config);
    let before = open(config, &world, false)?.accept_clock(&arguments.reason).map_err(failure)?;
    let text = match &before {
        Some(before) => format!("the clock was {before}; it is believed now, and the next pass goes on by it\n"),
        None => "the clock is believed already: nothing to do\n".to_owned(),
    };
    Ok(Answer { text, json: vec![json!({ "accepted": before.is_some(), "was": before })], ..Answer::default() })
}
