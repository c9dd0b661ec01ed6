//! Lets a held hour or file go on.

use super::arguments::ReleaseArguments;
use super::{Answer, Context, Failure};

/// The command.
pub fn run(_context: &Context, _arguments: &ReleaseArguments) -> Result<Answer, Failure> {
    Err(anyhow::anyhow!("not wired").into())
}
