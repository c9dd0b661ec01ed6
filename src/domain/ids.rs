//! Identities and numbers. Every one is a type of its own, so a sequence number cannot be passed where a
//! position in the spool is meant. Constructors parse: a value of these types is valid.

use std::fmt;
use std::sync::Arc;

/// Longest partner, feed or source name in bytes.
const NAME_BYTES_MAX: usize = 32;
/// Longest file name in bytes that hourdrop hands to a partner; leaves room for the temporary suffix.
const FILE_NAME_BYTES_MAX: usize = 200;

/// Why a text is not a valid name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameFault {
    /// Not `[a-z0-9_-]{1,32}`.
    #[error("expected 1 to 32 of a-z, 0-9, `_` and `-`, starting with a letter or digit, found `{found}`")]
    Identifier {
        /// The refused text.
        found: String,
    },
    /// Not usable as a bare file name on every server.
    #[error("file name `{found}` {reason}")]
    FileName {
        /// The refused text, control characters escaped.
        found: String,
        /// What is wrong with it.
        reason: &'static str,
    },
}

fn parse_identifier(text: &str) -> Result<Arc<str>, NameFault> {
    let lower = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let valid = text.len() <= NAME_BYTES_MAX
        && text.bytes().next().is_some_and(lower)
        && text.bytes().all(|b| lower(b) || b == b'_' || b == b'-');
    if valid { Ok(Arc::from(text)) } else { Err(NameFault::Identifier { found: text.escape_debug().to_string() }) }
}

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Parses `[a-z0-9_-]{1,32}`.
            ///
            /// # Errors
            /// [`NameFault::Identifier`] for anything else.
            pub fn parse(text: &str) -> Result<Self, NameFault> {
                parse_identifier(text).map(Self)
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

name_type!(
    /// Who receives: one endpoint with its credentials, directories and expectations.
    PartnerId
);
name_type!(
    /// Where records come from.
    SourceId
);
name_type!(
    /// One kind of record for one partner, unique within the partner.
    FeedName
);

/// A feed with its partner, written `partner/feed`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FeedId {
    /// The receiver.
    pub partner: PartnerId,
    /// The feed within the partner.
    pub feed: FeedName,
}

impl FeedId {
    /// Parses `partner/feed`.
    ///
    /// # Errors
    /// [`NameFault::Identifier`] when there is no `/` or a half is not a name.
    pub fn parse(text: &str) -> Result<Self, NameFault> {
        let (partner, feed) =
            text.split_once('/').ok_or_else(|| NameFault::Identifier { found: text.escape_debug().to_string() })?;
        Ok(Self { partner: PartnerId::parse(partner)?, feed: FeedName::parse(feed)? })
    }
}

impl fmt::Display for FeedId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}/{}", self.partner, self.feed))
    }
}

macro_rules! number_type {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);

        impl $name {
            /// The number after this one.
            #[must_use]
            pub const fn next(self) -> Self {
                Self(self.0 + 1)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

number_type!(
    /// Log sequence number: the position of a frame in the spool, counted from 1 for the life of the store.
    Lsn(u64)
);
number_type!(
    /// How often a partition was sealed: 0 for the first time, 1 for the first supplement.
    Revision(u32)
);
number_type!(
    /// Number of a part file within its batch, from 1.
    PartNumber(u32)
);

/// A bare file name that is safe on every server and in every manifest: no separator, no control
/// character, no leading `.` or `-`, at most 200 bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileName(Arc<str>);

impl FileName {
    /// Parses a bare file name.
    ///
    /// # Errors
    /// [`NameFault::FileName`] with the reason.
    pub fn parse(text: &str) -> Result<Self, NameFault> {
        let reason = if text.is_empty() {
            "is empty"
        } else if text.len() > FILE_NAME_BYTES_MAX {
            "is longer than 200 bytes"
        } else if text.starts_with(['.', '-']) {
            "starts with `.` or `-`"
        } else if text.contains(['/', '\\']) {
            "contains a path separator"
        } else if text.chars().any(char::is_control) {
            "contains a control character"
        } else {
            return Ok(Self(Arc::from(text)));
        };
        Err(NameFault::FileName { found: text.escape_debug().to_string(), reason })
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A SHA-256 digest, printed as 64 lower-case hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sha256Digest(pub [u8; 32]);

impl Sha256Digest {
    /// Parses 64 hexadecimal digits of either case.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut digest = [0u8; 32];
        if text.len() != 64 {
            return None;
        }
        for (byte, pair) in digest.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(Self(digest))
    }
}

impl fmt::Display for Sha256Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// How an input was hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HashedBy {
    /// BLAKE3 with 256 bits: as hard to forge as SHA-256, in a third of the time.
    Blake3,
    /// SHA-256, by releases before.
    Sha256,
}

/// Hash of an input's bytes, by which it is known again. Printed as `blake3:` or `sha256:` and 64 lower-case hexadecimal
/// digits. It says what was read; what is delivered has a [`Sha256Digest`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct InputHash {
    /// How.
    pub by: HashedBy,
    /// Its bytes.
    pub digest: [u8; 32],
}

impl InputHash {
    /// Parses what it is printed as.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (word, digits) = text.split_once(':')?;
        let by = [HashedBy::Blake3, HashedBy::Sha256].into_iter().find(|by| by.word() == word)?;
        Sha256Digest::parse(digits).map(|Sha256Digest(digest)| Self { by, digest })
    }

    /// Its hexadecimal digits.
    #[must_use]
    pub fn digits(&self) -> String {
        Sha256Digest(self.digest).to_string()
    }
}

impl HashedBy {
    /// Its name.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Blake3 => "blake3",
            Self::Sha256 => "sha256",
        }
    }
}

impl fmt::Display for InputHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.by.word(), self.digits())
    }
}

/// What a file is, whatever it is called: its file system and its number there. A name may lead to another file later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileKey {
    /// The file system.
    pub device: u64,
    /// The number of the file in it.
    pub inode: u64,
}

impl FileKey {
    /// Parses what it is printed as.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (device, inode) = text.split_once('-')?;
        let number = |text: &str| u64::from_str_radix(text, 16).ok().filter(|_| text.len() == 16);
        Some(Self { device: number(device)?, inode: number(inode)? })
    }
}

impl fmt::Display for FileKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{:016x}", self.device, self.inode)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_lower_case_and_short() {
        for good in ["a", "huaxin", "mvno-1", "x_y", &"a".repeat(32)] {
            assert_eq!(PartnerId::parse(good).map(|id| id.to_string()), Ok(good.to_owned()));
        }
        for bad in ["", "A", "-a", "_a", "a/b", "a b", "é", "..", &"a".repeat(33)] {
            assert!(PartnerId::parse(bad).is_err(), "{bad} was accepted");
        }
    }

    #[test]
    fn file_names_cannot_leave_their_directory_or_hide() {
        for good in ["HX_2024110310_00001.dat", "话单.dat", "a b"] {
            assert!(FileName::parse(good).is_ok(), "{good} was refused");
        }
        for bad in ["", ".", "..", ".hidden", "-rf", "a/b", "a\\b", "a\nb", "a\0b", &"x".repeat(201)] {
            assert!(FileName::parse(bad).is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn digests_print_and_parse() {
        let digest = Sha256Digest([0xab; 32]);
        assert_eq!(Sha256Digest::parse(&digest.to_string()), Some(digest));
        assert_eq!(Sha256Digest::parse("ab"), None);
    }

    #[test]
    fn hashes_of_inputs_print_and_parse() {
        for by in [HashedBy::Blake3, HashedBy::Sha256] {
            let hash = InputHash { by, digest: [0xab; 32] };
            assert_eq!(InputHash::parse(&hash.to_string()), Some(hash));
        }
        let digits = "ab".repeat(32);
        for bad in [digits.clone(), format!("md5:{digits}"), format!("blake3:{}", &digits[1..]), "blake3:".to_owned()] {
            assert_eq!(InputHash::parse(&bad), None, "{bad}");
        }
    }

    #[test]
    fn file_keys_print_and_parse() {
        let key = FileKey { device: 0xfd00, inode: u64::MAX };
        assert_eq!(FileKey::parse(&key.to_string()), Some(key));
        for bad in ["", "-", "1-2", "000000000000fd00-000000000000000g", "000000000000fd00_0000000000000001"] {
            assert_eq!(FileKey::parse(bad), None, "{bad}");
        }
    }
}
