//! Where a file lies at a partner.
//!
//! The ledger keeps a path at the partner as text that begins with the server, `sftp://cdr@a.example:22 out/CDR_1.dat`:
//! the partner may have several, or move to another one while files wait there or are in doubt. A path alone, as ledgers
//! had it before, is one at the partner's first server. A path never holds `://`, so the two cannot be mistaken for each
//! other.

use std::sync::Arc;

/// The name of a server in such a text: its URL without password and directory.
#[must_use]
pub fn server_label(url: &str) -> String {
    url.replace(' ', "%20")
}

/// A path at a server as it is kept.
#[must_use]
pub fn at_server(label: Option<&str>, path: &str) -> Arc<str> {
    label.map_or_else(|| Arc::from(path), |label| Arc::from(format!("{label} {path}")))
}

/// The label of the server, and the path there.
#[must_use]
pub fn split(text: &str) -> (Option<&str>, &str) {
    match text.split_once(' ') {
        Some((label, path)) if label.contains("://") => (Some(label), path),
        Some(_) | None => (None, text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_together_comes_apart_and_a_path_alone_stays_one() {
        let label = server_label("file:///srv/a b");
        for path in ["out/a.dat", "/out/a b.dat", "a.dat", "out dir/a.dat"] {
            assert_eq!(split(&at_server(Some(&label), path)), (Some("file:///srv/a%20b"), path));
            assert_eq!(split(&at_server(None, path)), (None, path));
        }
    }
}
