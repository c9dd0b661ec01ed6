//! Listings: LIST as most servers write it, NLST, and the facts of MLSD and MLST (RFC 3659, 7). All times are UTC.

use super::directory::{Entry, EntryKind};
use chrono::DateTime;
use std::os::unix::ffi::OsStrExt;

/// `YYYYMMDDHHMMSS` (RFC 3659, 2.3).
pub(super) fn time_value(seconds: i64) -> String {
    DateTime::from_timestamp(seconds, 0).map(|time| time.format("%Y%m%d%H%M%S").to_string()).unwrap_or_default()
}

/// The line of LIST. It states the day; MLSD and MDTM state the second.
pub(super) fn long_line(entry: &Entry) -> Vec<u8> {
    let kind = match entry.kind {
        EntryKind::File => "-rw-r--r--",
        EntryKind::Directory => "drwxr-xr-x",
    };
    let day = DateTime::from_timestamp(entry.modified, 0).map(|time| time.format("%b %e  %Y").to_string());
    line(format!("{kind} 1 ftp ftp {:>14} {} ", entry.bytes, day.unwrap_or_default()), entry)
}

/// The line of NLST.
pub(super) fn short_line(entry: &Entry) -> Vec<u8> {
    line(String::new(), entry)
}

/// The line of MLSD.
pub(super) fn facts_line(entry: &Entry) -> Vec<u8> {
    let (device, file) = entry.unique;
    let kind = match entry.kind {
        EntryKind::File => format!("type=file;size={}", entry.bytes),
        EntryKind::Directory => "type=dir".to_owned(),
    };
    line(format!("{kind};modify={};unique={device:x}:{file:x}; ", time_value(entry.modified)), entry)
}

fn line(before: String, entry: &Entry) -> Vec<u8> {
    let mut line = before.into_bytes();
    line.extend_from_slice(entry.name.as_bytes());
    line.extend_from_slice(b"\r\n");
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_written_as_clients_read_them() {
        let entry = Entry {
            name: "HX 01.dat".into(),
            kind: EntryKind::File,
            bytes: 1234,
            modified: 1_730_606_730,
            unique: (0xfe01, 0x2a),
        };
        let text = |line: Vec<u8>| String::from_utf8(line).expect("text");
        assert_eq!(text(long_line(&entry)), "-rw-r--r-- 1 ftp ftp           1234 Nov  3  2024 HX 01.dat\r\n");
        assert_eq!(text(short_line(&entry)), "HX 01.dat\r\n");
        let facts = "type=file;size=1234;modify=20241103040530;unique=fe01:2a; HX 01.dat\r\n";
        assert_eq!(text(facts_line(&entry)), facts);
        let directory = Entry { kind: EntryKind::Directory, ..entry };
        assert!(text(facts_line(&directory)).starts_with("type=dir;modify="));
        assert!(text(long_line(&directory)).starts_with("drwxr-xr-x 1 ftp"));
    }
}
