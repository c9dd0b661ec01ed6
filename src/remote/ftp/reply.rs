//! What an FTP server's reply means.

use super::super::fault::clean_reply;
use super::super::{FaultKind, Outcome, RemoteFault};

/// A reply that was read to its end: its code and its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    code: u16,
    text: String,
}

impl Reply {
    /// Reads the bytes of a reply; `None` when they do not start with three digits.
    ///
    /// The digits are read here because the client library knows only some codes.
    #[must_use]
    pub fn read(body: &[u8]) -> Option<Self> {
        let body = String::from_utf8_lossy(body);
        let (digits, rest) = body.split_at_checked(3)?;
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let text = rest.strip_prefix([' ', '-']).unwrap_or(rest);
        Some(Self { code: digits.parse().ok()?, text: text.to_owned() })
    }

    /// Its three digits.
    #[must_use]
    pub const fn code(&self) -> u16 {
        self.code
    }

    /// The command was carried out.
    #[must_use]
    pub const fn is_positive(&self) -> bool {
        matches!(self.code, 200..=299)
    }

    /// A reply that announces another one: no answer to a command without transfer.
    #[must_use]
    pub const fn is_preliminary(&self) -> bool {
        matches!(self.code, 100..=199)
    }

    /// The command is not known or not implemented.
    #[must_use]
    pub const fn is_unknown_command(&self) -> bool {
        matches!(self.code, 500 | 502 | 504)
    }

    /// The server refuses this way to open a data connection, RFC 2428.
    #[must_use]
    pub const fn refuses_passive_mode(&self) -> bool {
        matches!(self.code, 500..=504 | 522)
    }

    /// The way some servers list an empty directory.
    #[must_use]
    pub fn says_no_files(&self) -> bool {
        matches!(self.code, 450 | 550) && self.text.to_ascii_lowercase().contains("no files")
    }

    /// The number in a reply to SIZE: `213 1048576`.
    #[must_use]
    pub fn number(&self) -> Option<u64> {
        if self.code == 213 { self.text.trim().parse().ok() } else { None }
    }

    /// The path in a reply to PWD: `257 "/a ""quoted"" name" is the current directory`.
    #[must_use]
    pub fn quoted_path(&self) -> Option<String> {
        let mut characters = self.text.split_once('"')?.1.chars().peekable();
        let mut path = String::new();
        while let Some(character) = characters.next() {
            if character == '"' && characters.next_if_eq(&'"').is_none() {
                return (!path.is_empty() && !path.chars().any(char::is_control)).then_some(path);
            }
            path.push(character);
        }
        None
    }

    /// The last line of the text; in a reply of several lines the code is taken off.
    #[must_use]
    pub fn last_line(&self) -> &str {
        let last = self.text.trim_end().lines().next_back().unwrap_or_default();
        let is_first = !self.text.trim_end().contains('\n');
        if is_first { last } else { last.strip_prefix(&format!("{} ", self.code)).unwrap_or(last) }
    }

    /// The features that a reply to FEAT lists, RFC 2389.
    #[must_use]
    pub fn features(&self) -> Features {
        if self.code != 211 {
            return Features(Vec::new());
        }
        Features(self.text.lines().skip(1).map(|line| line.trim().to_ascii_uppercase()).collect())
    }

    /// The reply itself if it is positive.
    ///
    /// # Errors
    /// What any other reply means.
    pub fn accepted(self, operation: &'static str) -> Result<Self, RemoteFault> {
        if self.is_positive() { Ok(self) } else { Err(self.fault(operation, Outcome::NotDone)) }
    }

    /// A positive reply without the content it must have.
    #[must_use]
    pub fn senseless(&self, operation: &'static str) -> RemoteFault {
        RemoteFault { kind: FaultKind::Protocol, ..self.fault(operation, Outcome::NotDone) }
    }

    /// This reply as a fault. A server that closes the connection says nothing about the command: then a
    /// not-done becomes unknown, unless it was a question.
    #[must_use]
    pub fn fault(&self, operation: &'static str, outcome: Outcome) -> RemoteFault {
        let closing = self.code == 421 && matches!(operation, "rename" | "remove" | "create directory");
        RemoteFault {
            reply: Some((self.code, clean_reply(&self.text))),
            ..RemoteFault::new(self.kind(operation), operation, if closing { Outcome::Unknown } else { outcome })
        }
    }

    fn kind(&self, operation: &'static str) -> FaultKind {
        let text = self.text.to_ascii_lowercase();
        let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
        match self.code {
            421 | 450 | 434 => FaultKind::Busy,
            425 | 426 => FaultKind::Unreachable,
            // One code for a wrong password and for a limit of connections: only the text tells.
            430 | 530 if says(&["maximum", "too many", "limit", "try again later"]) => FaultKind::Busy,
            430 | 530 => FaultKind::Auth,
            _ if says(&["quota"]) => FaultKind::Quota,
            _ if says(&["no space", "disk full", "disk is full"]) => FaultKind::DiskFull,
            452 => FaultKind::DiskFull,
            552 => FaultKind::Quota,
            550 | 553 if says(&["permission", "denied", "not permitted", "read-only", "not a ", "not allowed"]) => {
                FaultKind::Denied
            }
            550 | 553 if says(&["no such", "not found", "cannot find", "does not exist"]) => FaultKind::NotFound,
            550 if matches!(operation, "size" | "list" | "remove" | "read") => FaultKind::NotFound,
            532 | 550 | 551 | 553 => FaultKind::Denied,
            451 => FaultKind::Io,
            400..=499 => FaultKind::Busy,
            _ => FaultKind::Protocol,
        }
    }
}

/// The features of a server, one a line, in capital letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Features(Vec<String>);

impl Features {
    /// Whether the server has this feature; `name` in capital letters.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.0.iter().any(|feature| feature.split_whitespace().next() == Some(name))
    }

    /// Whether a feature lists a value, as in `HASH MD5;SHA-1*;SHA-256`; both in capital letters.
    #[must_use]
    pub fn lists(&self, name: &str, value: &str) -> bool {
        let values = self.0.iter().filter_map(|feature| feature.split_once(char::is_whitespace));
        let mut values = values.filter(|(feature, _)| *feature == name).flat_map(|(_, values)| values.split(';'));
        values.any(|listed| listed.trim().trim_end_matches('*') == value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(text: &str) -> Reply {
        Reply::read(text.as_bytes()).expect("reply")
    }

    #[test]
    fn replies_of_real_servers_are_sorted_by_what_they_mean() {
        use FaultKind::{Auth, Busy, Denied, DiskFull, Io, NotFound, Protocol, Quota, Unreachable};
        for (operation, text, kind) in [
            ("login", "530 Login incorrect.", Auth),
            ("login", "530 Sorry, the maximum number of clients (3) for this host are already connected.", Busy),
            ("connect", "421 There are too many connections from your internet address.", Busy),
            ("upload", "553 Could not create file.", Denied),
            ("upload", "552 Transfer aborted. Disk quota exceeded", Quota),
            ("upload", "451 Error writing file: No space left on device", DiskFull),
            ("upload", "451 Failure writing to local file.", Io),
            ("upload", "452 x: No space left on device", DiskFull),
            ("upload", "426 Connection closed; transfer aborted.", Unreachable),
            ("upload", "425 Unable to build data connection: Operation not permitted", Unreachable),
            ("size", "550 Could not get file size.", NotFound),
            ("size", "550 x: not a regular file", Denied),
            ("list", "550 Failed to change directory.", NotFound),
            ("rename", "550 Rename failed.", Denied),
            ("rename", "550 x: No such file or directory", NotFound),
            ("remove", "550 Permission denied.", Denied),
            ("size", "202 whatever", Protocol),
            ("rename", "451 Rename/move failure: No such file or directory", Io),
        ] {
            assert_eq!(reply(text).fault(operation, Outcome::NotDone).kind, kind, "{operation}: {text}");
        }
    }

    #[test]
    fn a_closing_server_leaves_a_rename_in_doubt() {
        let outcome = |operation| reply("421 Timeout.").fault(operation, Outcome::NotDone).outcome;
        assert_eq!((outcome("rename"), outcome("size")), (Outcome::Unknown, Outcome::NotDone));
    }

    #[test]
    fn sizes_and_paths_are_read_exactly_or_not_at_all() {
        assert_eq!(reply("213 1048576\r\n").number(), Some(1_048_576));
        for bad in ["213 12 bytes", "213 -1", "213", "250 12", "213 99999999999999999999"] {
            assert_eq!(reply(bad).number(), None, "{bad}");
        }
        assert_eq!(reply("257 \"/a \"\"b\"\"\" is current").quoted_path().as_deref(), Some("/a \"b\""));
        for bad in ["257 /a", "257 \"/a", "257 \"\" x"] {
            assert_eq!(reply(bad).quoted_path(), None, "{bad}");
        }
    }

    #[test]
    fn features_are_found_whatever_their_case_and_indent() {
        let features = reply("211-Features:\r\n EPSV\r\nutf8\r\n MLST size*;type*;\r\n211 End\r\n").features();
        assert!(features.contains("EPSV") && features.contains("UTF8") && features.contains("MLST"));
        assert!(!features.contains("SIZE"));
        assert!(!reply("500 EPSV? what?").features().contains("EPSV"));
    }

    #[test]
    fn bytes_without_a_code_are_no_reply() {
        for bad in [&b"xx"[..], b"2x0 hello", b"\xff\xff\xff\xff"] {
            assert_eq!(Reply::read(bad), None);
        }
    }
}
