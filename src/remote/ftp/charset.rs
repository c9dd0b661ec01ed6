//! The charset of names on the wire: what is sent, and what a listing shows.

use encoding_rs::{Encoding, UTF_8};
use std::io;

/// Telnet's escape byte, RFC 854, which some servers take for a command (RFC 959, 4.1 and 5.3).
const TELNET_ESCAPE: u8 = 0xff;
/// Stands for bytes that are no character.
const NO_CHARACTER: char = '\u{fffd}';
/// Where characters for private use begin, which stand for bytes.
const PRIVATE_USE: u32 = 0xe000;

/// A charset in which a server keeps names. ASCII characters are single bytes in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NameCharset(&'static Encoding);

impl Default for NameCharset {
    fn default() -> Self {
        Self(UTF_8)
    }
}

/// Why a text cannot be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unsendable {
    /// A line end would begin another command; other control characters are no better.
    #[error("contains a control character")]
    Control,
    /// The charset lacks a character.
    #[error("has a character that cannot be sent in {0}")]
    Charset(&'static str),
}

impl NameCharset {
    /// Parses a name of the WHATWG encoding standard, such as `utf-8`, `gbk` or `windows-1252`. Only charsets in which
    /// ASCII characters are single bytes can be used in commands.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let encoding = Encoding::for_label(name.as_bytes())?;
        // The standard takes ASCII for windows-1252, which is more than it says.
        let is_ascii = name.to_ascii_lowercase().contains("ascii");
        (encoding.is_ascii_compatible() && !is_ascii && encoding != encoding_rs::X_USER_DEFINED)
            .then_some(Self(encoding))
    }

    /// The name of the charset.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.0.name()
    }

    /// Whether it is UTF-8.
    #[must_use]
    pub fn is_utf8(self) -> bool {
        self.0 == UTF_8
    }

    /// The bytes of a text.
    ///
    /// # Errors
    /// [`Unsendable`]; also for the character that stands for undecodable bytes, so that no name of ours equals
    /// one that could not be read.
    pub fn encode(self, text: &str) -> Result<Vec<u8>, Unsendable> {
        if text.chars().any(char::is_control) {
            return Err(Unsendable::Control);
        }
        let (bytes, _, lacks) = self.0.encode(text);
        if lacks || text.contains(NO_CHARACTER) || bytes.contains(&TELNET_ESCAPE) {
            return Err(Unsendable::Charset(self.name()));
        }
        Ok(bytes.into_owned())
    }

    /// The text of bytes. Where it would not give the same bytes again every byte beyond ASCII becomes U+FFFD: two
    /// names that differ never look the same as one that can be sent.
    #[must_use]
    pub fn decode(self, bytes: &[u8]) -> String {
        let text = self.0.decode_without_bom_handling_and_without_replacement(bytes);
        match text {
            Some(text) if *self.0.encode(&text).0 == *bytes => text.into_owned(),
            _ => bytes.iter().map(|byte| if byte.is_ascii() { char::from(*byte) } else { NO_CHARACTER }).collect(),
        }
    }

    /// Bytes as a text with one character for each, so that a line can be taken apart before its name is decoded: in
    /// some charsets the second byte of a character is that of a letter, a backslash or a bar.
    #[must_use]
    pub(super) fn carry(bytes: &[u8]) -> String {
        let private = |byte: u8| char::from_u32(PRIVATE_USE + u32::from(byte)).unwrap_or(NO_CHARACTER);
        bytes.iter().map(|byte| if byte.is_ascii() { char::from(*byte) } else { private(*byte) }).collect()
    }

    /// The text of a part of what [`NameCharset::carry`] gave.
    #[must_use]
    pub(super) fn decode_carried(self, carried: &str) -> String {
        let byte = |character: char| {
            let code = u32::from(character);
            u8::try_from(if character.is_ascii() { code } else { code.wrapping_sub(PRIVATE_USE) }).ok()
        };
        self.decode(&carried.chars().filter_map(byte).collect::<Vec<u8>>())
    }
}

impl suppaftp::Encoding for NameCharset {
    fn decode(&self, bytes: &[u8]) -> String {
        Self::decode(*self, bytes)
    }

    /// The last guard before the wire: whatever command is built, it is one line of printable characters.
    fn encode(&self, line: &str) -> io::Result<Vec<u8>> {
        let command = line.strip_suffix("\r\n").unwrap_or(line);
        let refused = |reason: Unsendable| io::Error::new(io::ErrorKind::InvalidInput, format!("the command {reason}"));
        let mut bytes = Self::encode(*self, command).map_err(refused)?;
        bytes.extend_from_slice(line.get(command.len()..).unwrap_or_default().as_bytes());
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn charset(name: &str) -> NameCharset {
        NameCharset::parse(name).expect(name)
    }

    #[test]
    fn names_become_the_bytes_of_the_charset_and_come_back() {
        for (name, text, bytes) in [
            ("utf-8", "话单", "话单".as_bytes()),
            ("gbk", "话单 1.dat", b"\xbb\xb0\xb5\xa5 1.dat"),
            // The second byte of a character may be a backslash or a bar.
            ("gbk", "誠|", b"\xd5\x5c|"),
            ("gbk", "€", b"\x80"),
            ("windows-1252", "M\u{fc}ller €", b"M\xfcller \x80"),
            ("shift_jis", "表", b"\x95\x5c"),
        ] {
            assert_eq!(charset(name).encode(text).as_deref(), Ok(bytes), "{name} {text}");
            assert_eq!(charset(name).decode(bytes), text, "{name}");
            assert_eq!(charset(name).decode_carried(&NameCharset::carry(bytes)), text, "{name}");
        }
    }

    #[test]
    fn bytes_that_are_no_name_of_ours_look_like_none() {
        for (name, bytes) in [
            ("utf-8", &b"a\xff\xfe.dat"[..]),
            ("utf-8", b"\xed\xa0\x80"),
            ("utf-8", b"\xc0\xaf"),
            ("gbk", b"a\xbb"),
            ("gbk", b"\xbb\xb0\xff"),
            // Another way to write a character.
            ("gbk", b"\xa2\xe3"),
            ("windows-1252", b"\xff"),
        ] {
            let text = charset(name).decode(bytes);
            let foreign = text.is_empty() || charset(name).encode(&text).is_err();
            assert!(foreign, "{name}: {bytes:?} looks like {text:?}, which can be sent");
        }
    }

    #[test]
    fn what_the_charset_lacks_is_refused() {
        for (name, text) in [
            ("windows-1252", "话单.dat"),
            ("gbk", "😀"),
            ("utf-8", "a\u{fffd}"),
            ("gb18030", "\u{fffd}"),
            ("windows-1252", "ÿ"),
        ] {
            assert_eq!(charset(name).encode(text), Err(Unsendable::Charset(charset(name).name())), "{name} {text}");
        }
        for name in ["utf-16", "utf-16be", "iso-2022-jp", "replacement", "x-user-defined", "ascii", "us-ascii", "x", ""]
        {
            assert_eq!(NameCharset::parse(name), None, "{name}");
        }
    }

    #[test]
    fn no_control_character_passes_in_any_charset() {
        let controls = (0..=0x9f).filter_map(char::from_u32).filter(|character| character.is_control());
        assert_eq!(controls.clone().count(), 65);
        for name in ["utf-8", "gbk", "windows-1252", "big5", "koi8-r"] {
            let names = charset(name);
            assert_eq!(suppaftp::Encoding::encode(&names, "NOOP\r\n").expect("a line"), b"NOOP\r\n");
            for control in controls.clone() {
                for command in [format!("STOR a{control}b"), format!("STOR a{control}"), format!("STOR a{control}\r\n")]
                {
                    // Only one line end at the very end is not part of the command.
                    let ends_line = command.strip_suffix("\r\n").is_some_and(|rest| !rest.contains(char::is_control));
                    assert!(ends_line || suppaftp::Encoding::encode(&names, &command).is_err(), "{name} {command:?}");
                }
            }
            let sent = (0x20..0x3000u32).filter_map(char::from_u32).filter_map(|c| names.encode(&c.to_string()).ok());
            assert!(sent.flatten().all(|byte| byte >= 0x20 && byte != 0x7f && byte != 0xff), "{name}");
            assert_eq!(suppaftp::Encoding::decode(&names, b"a"), names.decode(b"a"));
        }
    }
}
