//! Servers that hourdrop runs itself.

pub mod ftp_server;

pub use ftp_server::{Access, Account, FtpServer, Limits, ServerSettings};
