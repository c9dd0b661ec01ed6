//! Tests of the parts together.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking, and its names are its documentation"
)]

mod cli_reports;
mod delivering;
mod delivery_crash;
mod lost_replies;
mod remote_suite;
mod scripted_server;
mod servers;
