//! How the work tells what it does. Each decision is also one log line.

/// Listens to the work. Every method has an empty default.
pub trait Progress: Send + Sync {
    /// Bytes of a source were read; `unread` are still to come.
    fn read(&self, _source: &str, _records: u64, _unread: u64) {}
    /// Frames of the spool were rendered, of so many.
    fn rendered(&self, _frames: u64, _of: u64) {}
    /// Files lie in the archive.
    fn sealed(&self, _files: u64) {}
    /// Bytes of a file were sent.
    fn sending(&self, _partner: &str, _file: &str, _sent: u64, _bytes: u64) {}
    /// A file was delivered.
    fn delivered(&self, _partner: &str, _file: &str) {}
    /// The work begins; earlier runs accepted so many records of a source, rejected ones counted.
    fn before(&self, _source: &str, _records: u64) {}
    /// Records of a source are durable, rejected ones counted.
    fn accepted(&self, _source: &str, _records: u64) {}
}

/// Nobody listens.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {}
