//! A whole export with a partner's FTP server built in.

use super::arguments::DemoArguments;
use super::{Answer, Context, Failure};

/// The command.
pub fn run(_context: &Context, _arguments: &DemoArguments) -> Result<Answer, Failure> {
    Err(anyhow::anyhow!("not wired").into())
}
