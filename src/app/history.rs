//! What intake asks about earlier input, answered by the ledger.

use crate::domain::ids::{HashedBy, InputHash, SourceId};
use crate::intake::{InputHistory, KnownInput, ReadPosition};
use crate::ledger::Ledger;
use crate::ledger::intake::InputRow;
use crate::record::Origin;
use std::io;

/// The ledger as intake sees it.
pub struct LedgerHistory<'a>(pub &'a Ledger);

fn known(row: InputRow) -> KnownInput {
    let InputRow { name, bytes, modified_nanos, hash, .. } = row;
    KnownInput { name, bytes, modified_nanos, hash }
}

impl InputHistory for LedgerHistory<'_> {
    fn finished(&self, source: &SourceId, name: &str) -> Result<Option<KnownInput>, String> {
        self.0.input_named(source, name).map(|row| row.map(known)).map_err(|fault| fault.to_string())
    }

    fn with_content(
        &self,
        source: &SourceId,
        bytes: u64,
        hash: &mut dyn FnMut(HashedBy) -> io::Result<InputHash>,
    ) -> Result<Option<KnownInput>, String> {
        for by in self.0.hashes_of(source, bytes).map_err(|fault| fault.to_string())? {
            let hash = hash(by).map_err(|error| error.to_string())?;
            let found = self.0.input_with_content(source, bytes, &hash).map_err(|fault| fault.to_string())?;
            if found.is_some() {
                return Ok(found.map(known));
            }
        }
        Ok(None)
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
