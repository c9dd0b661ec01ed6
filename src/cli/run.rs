//! Reads, closes and delivers until it is stopped.

use super::arguments::RunArguments;
use super::{Answer, Context, Failure};

/// The command.
pub fn run(_context: &Context, _arguments: &RunArguments) -> Result<Answer, Failure> {
    Err(anyhow::anyhow!("not wired").into())
}
