//! What intake asks about earlier input, answered by the ledger.

use crate::domain::ids::{Sha256Digest, SourceId};
use crate::intake::{InputHistory, KnownInput, ReadPosition};
use crate::ledger::Ledger;
use crate::ledger::intake::InputRow;
use crate::record::Origin;
use std::io;

/// The ledger as intake sees it.
pub struct LedgerHistory<'a>(pub &'a Ledger);

fn known(row: InputRow) -> KnownInput {
    let InputRow { name, bytes, modified_nanos, sha256, .. } = row;
    KnownInput { name, bytes, modified_nanos, sha256 }
}

impl InputHistory for LedgerHistory<'_> {
    fn finished(&self, source: &SourceId, name: &str) -> Result<Option<KnownInput>, String> {
        self.0.input_named(source, name).map(|row| row.map(known)).map_err(|fault| fault.to_string())
    }

    fn with_content(
        &self,
        source: &SourceId,
        bytes: u64,
        sha256: &mut dyn FnMut() -> io::Result<Sha256Digest>,
    ) -> Result<Option<KnownInput>, String> {
        if !self.0.has_input_of(source, bytes).map_err(|fault| fault.to_string())? {
            return Ok(None);
        }
        let sha256 = sha256().map_err(|error| error.to_string())?;
        self.0.input_with_content(source, bytes, &sha256).map(|row| row.map(known)).map_err(|fault| fault.to_string())
    }

    fn position(&self, source: &SourceId, name: &str) -> Result<Option<ReadPosition>, String> {
        let row = self.0.position(source, name).map_err(|fault| fault.to_string())?;
        Ok(row.map(|row| ReadPosition {
            after: Origin { record: row.record, line: row.line, byte: row.byte },
            prefix_crc: row.prefix_crc,
        }))
    }

    fn unfinished(&self, source: &SourceId) -> Result<Vec<String>, String> {
        self.0.unfinished_inputs(source).map_err(|fault| fault.to_string())
    }

    fn latest_names(&self, source: &SourceId, limit: u32) -> Result<Vec<String>, String> {
        self.0.latest_input_names(source, limit).map_err(|fault| fault.to_string())
    }
}
