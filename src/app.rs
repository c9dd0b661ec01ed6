//! The application: configuration, and the one place where things happen.
//!
//! - [`config`]: the configuration file with all its problems.
//! - [`store`]: the state directory: lock, identity, ledger and spool; [`beside`]: whether it fits the archive.
//! - [`exporter`]: `once` and `run`, made of [`intake`], [`sealing`] and [`delivery`]; [`fault`]: why they stop; [`ahead`]: whether
//!   a partner knows more than the ledger; [`space`]: what is done when there is no room on a disk or in the spool;
//!   [`clock_watch`]: what is done when the wall clock jumps.
//! - [`pickup`]: what the partner does with delivered files; [`answers`]: what it says of them.
//! - [`operator`]: what persons order; [`requests`]: how they order it while an instance works.
//! - [`recover`]: the ledger again, from the archive and its log; [`journal`]: looking at the spool from outside, and
//!   mending it.
//! - [`pickup_desk`]: what the built-in server asks before a partner's deletion is carried out.
//! - [`progress`]: how all of them tell what they do.
//! - [`probe`]: what a delivery to a partner would meet.
//! - [`report`], [`readback`], [`preview`], [`init`], [`quarantine`], [`verify`]: what the other commands need.

pub mod ahead;
pub mod answers;
pub mod beside;
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
pub mod operator;
pub mod pickup;
pub mod pickup_desk;
pub mod preview;
pub mod probe;
pub mod progress;
pub mod quarantine;
pub mod readback;
pub mod recover;
pub mod report;
pub mod requests;
pub mod sealing;
pub mod shared_ledger;
pub mod space;
pub mod stopped;
pub mod store;
pub mod verify;
