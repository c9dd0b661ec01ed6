//! The application: configuration, and the one place where things happen.
//!
//! - [`config`]: the configuration file with all its problems.
//! - [`store`]: the state directory: lock, identity, ledger and spool.
//! - [`exporter`]: `once` and `run`, made of [`intake`], [`sealing`] and [`delivery`]; [`fault`]: why they stop.
//! - [`clock_watch`]: what is done when the wall clock jumps.
//! - [`progress`]: how all of them tell what they do.
//! - [`journal`]: looking at the spool from outside, and mending it.
//! - [`report`], [`readback`], [`preview`], [`init`], [`quarantine`]: what the other commands need.

pub mod clock_watch;
pub mod config;
pub mod delivery;
pub mod demo;
pub mod exporter;
pub mod fault;
pub mod feeds;
pub mod history;
pub mod init;
pub mod intake;
pub mod journal;
pub mod preview;
pub mod progress;
pub mod quarantine;
pub mod readback;
pub mod report;
pub mod sealing;
pub mod shared_ledger;
pub mod store;
