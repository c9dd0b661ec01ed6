//! Small pieces of answers for programs.

use serde_json::Value;
use std::fmt::Write;

/// Adds a key to an object; anything else stays as it is.
pub fn set(value: &mut Value, key: &str, inner: Value) {
    if let Some(object) = value.as_object_mut() {
        object.insert(key.to_owned(), inner);
    }
}

/// Bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let written = write!(text, "{byte:02x}");
        assert!(written.is_ok(), "writing to a text cannot fail");
        text
    })
}
