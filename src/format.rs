//! Formats: what a partner's files look like, as data. Bytes in, bytes out; no I/O.

pub mod charset;
pub mod decode;
pub mod dialect;
pub mod expression;
pub mod guess;
pub mod time_layout;
