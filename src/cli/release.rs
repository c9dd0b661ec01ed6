//! Lets a held hour go on, whether it was held before it was sealed or on its way.

use super::arguments::ReleaseArguments;
use super::times::parse_time;
use super::work::{Log, begin_log, failure, open, world};
use super::{Answer, Context, Failure};
use serde_json::json;

/// The command.
pub fn run(context: &Context, arguments: &ReleaseArguments) -> Result<Answer, Failure> {
    begin_log(context, Log::Trouble);
    let config = context.config(false)?;
    let feed = std::sync::Arc::clone(context.feed(&config, &arguments.feed)?);
    let face = context.face(feed.period.zone());
    let partition = feed.period.partition_at(parse_time(&arguments.hour, face.zone)?);
    let world = world(context, &config);
    let mut exporter = open(config, &world, false)?;
    exporter.release_hour(&feed.id, partition.start, &arguments.reason).map_err(failure)?;
    Ok(Answer {
        text: format!("{} {} is released: the next pass takes it up\n", feed.id, face.hour(partition)),
        json: vec![json!({ "feed": feed.id.to_string(), "start_second": partition.start, "released": true })],
        notes: vec!["next: hourdrop once".to_owned()],
        ..Answer::default()
    })
}
