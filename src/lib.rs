//! hourdrop: architecture document, written when the parts stand.
pub mod app;
pub mod cli;
pub mod clock;
pub mod deliver;
pub mod disk;
pub mod document;
pub mod domain;
pub mod feed;
pub mod format;
pub mod intake;
pub mod ledger;
pub mod record;
pub mod remote;
pub mod serve;
pub mod spool;
