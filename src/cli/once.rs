//! One pass: reads everything there is, closes what can be closed, delivers.

use super::arguments::OnceArguments;
use super::{Answer, Context, Failure};

/// The command.
pub fn run(_context: &Context, _arguments: &OnceArguments) -> Result<Answer, Failure> {
    Err(anyhow::anyhow!("not wired").into())
}
