//! hourdrop: architecture document, written when the parts stand.
pub mod clock;
pub mod disk;
pub mod document;
pub mod domain;
pub mod format;
pub mod ledger;
pub mod record;
pub mod spool;
