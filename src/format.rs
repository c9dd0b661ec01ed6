//! Formats: what a partner's files look like, as data. Bytes in, bytes out; no I/O.

pub mod charset;
pub mod decode;
pub mod dialect;
pub mod encode;
pub mod expression;
pub mod guess;
pub mod manifest;
pub mod spec;
pub mod template;
pub mod time_layout;
pub mod totals;
pub mod verify;
