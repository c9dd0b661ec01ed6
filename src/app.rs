//! The application: configuration, and the one place where things happen.

pub mod config;
