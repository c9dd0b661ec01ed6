//! What a trailer states about the records before it.

use super::spec::TrailerSpec;
use crate::record::Decimal;
use std::cmp::Ordering;

impl TrailerSpec {
    /// What is wrong with the number of records that the trailer states, when it has to state one.
    pub(super) fn problem(&self, stated: Option<&[u8]>, records: u64) -> Option<String> {
        self.count.as_ref()?;
        let stated = stated.and_then(|text| Decimal::parse(text.trim_ascii()).ok());
        match stated.map(|stated| (stated, stated.partial_cmp(&Decimal::from_integer(records)))) {
            Some((_, Some(Ordering::Equal))) => None,
            Some((stated, _)) => Some(format!("the trailer states {stated} records, the file has {records}")),
            None => Some("the trailer holds no number of records where the format says".to_owned()),
        }
    }
}
