//! Lets records in quarantine come in again.

use crate::cli::arguments::QuarantineRetryArguments;
use crate::cli::{Answer, Context, Failure};

/// The command.
pub fn run(_context: &Context, _arguments: &QuarantineRetryArguments) -> Result<Answer, Failure> {
    Err(anyhow::anyhow!("not wired").into())
}
