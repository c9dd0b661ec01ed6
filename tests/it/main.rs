//! Tests of the parts together.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    clippy::case_sensitive_file_extension_comparisons,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and its names are its documentation"
)]

mod adoption;
mod answers;
mod cli_reports;
mod clock_jumps;
mod combinations;
mod connections;
mod control_proxy;
mod damaged_archive;
mod delivering;
mod delivery_crash;
mod drafts;
mod faults;
mod flips;
mod full_disk;
mod groups;
mod hard_cases;
mod hour_end_to_end;
mod lost_replies;
mod one_fault;
mod open_files;
mod operator;
mod overlap;
mod partner_rules;
mod pickup;
mod pickup_server;
mod policies;
mod probe;
mod quiet_times;
mod reactions;
mod readme;
mod recover;
mod remote_files_max;
mod remote_suite;
mod requests;
mod robot;
mod run_command;
mod sample_data;
mod scripted_server;
mod servers;
mod sim;
mod site;
mod small_disk;
mod sources;
mod spool_damage;
mod standby;
mod state_fixture;
mod stopping_disk;
mod stream;
mod sums;
mod tidy;
mod verify;
mod wire;
