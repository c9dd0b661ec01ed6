//! Tests of the parts together.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking, and its names are its documentation"
)]

mod remote_suite;
mod scripted_server;
mod servers;
