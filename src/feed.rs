//! Feeds: which records a partner gets, by which time they belong to an hour, and what waits to be sealed.
//!
//! - [`definition`]: what the configuration says about a feed, and the text under which it is stored.
//! - [`names`]: proofs that a feed's file names never repeat.
//! - [`router`]: filter and hour of one record, compiled for the fields of a source.
//! - [`pending`]: which frames hold records of which open hour.

pub mod definition;
pub mod names;
pub mod pending;
pub mod router;
