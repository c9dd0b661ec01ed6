//! The alarm about an archived file that is not as it was archived.

use super::DeliveryContext;
use crate::domain::delivery::{FileState, HeldReason};
use crate::ledger::LedgerFault;
use crate::ledger::delivery::FileToSend;

/// Raises the alarm when the file is held for that, and clears it when its bytes came through.
pub(super) fn report(context: &DeliveryContext, file: &FileToSend, state: &FileState) -> Result<(), LedgerFault> {
    let alarms = match state {
        FileState::Held { reason: HeldReason::Damaged, .. } => {
            let path = context.archive.full_path(&file.archive_path);
            let message = format!("{} is not as it was archived: it is held", path.display());
            let hint = "put a copy with the hash that `hourdrop files --long` shows there, then release the hour; \
                        `hourdrop verify` looks at the others";
            vec![("HD0701", message, hint.to_owned())]
        }
        FileState::Uploaded { .. } | FileState::Void => Vec::new(),
        FileState::Pending { .. }
        | FileState::Uploading { .. }
        | FileState::Renaming { .. }
        | FileState::Delivered { .. }
        | FileState::Held { .. } => return Ok(()),
    };
    let subject = format!("archive {}", file.archive_path);
    context.ledger.lock().replace_alarms(&subject, &alarms, context.clock.now()).map(|_| ())
}
