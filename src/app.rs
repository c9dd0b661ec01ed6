//! The application: configuration, and the one place where things happen.

pub mod config;
pub mod init;
pub mod preview;
pub mod readback;
pub mod report;
