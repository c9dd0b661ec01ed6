//! hourdrop: architecture document, written when the parts stand.
pub mod clock;
pub mod deliver;
pub mod disk;
pub mod document;
pub mod domain;
pub mod format;
pub mod record;
pub mod remote;
pub mod serve;
