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

/// Whether two labels are of one account at one host: protocol and port may change, and what lies there stays.
#[must_use]
pub fn is_same_account(one: &str, other: &str) -> bool {
    let account = |label: &str| {
        let (protocol, rest) = label.split_once("://")?;
        let (account, _port) = rest.rsplit_once(':')?;
        (protocol != "file").then(|| account.to_owned())
    };
    account(one).is_some_and(|one| account(other) == Some(one))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_stays_one_when_protocol_and_port_change() {
        let old = "ftp://cdr@a.example:21";
        for (other, expected) in [
            ("ftp://cdr@a.example:2121", true),
            ("sftp://cdr@a.example:22", true),
            ("ftp://cdr@b.example:21", false),
            ("ftp://other@a.example:21", false),
            ("file://cdr@a.example:21", false),
        ] {
            assert_eq!(is_same_account(old, other), expected, "{other}");
        }
        assert!(is_same_account("ftp://cdr@[::1]:21", "ftps://cdr@[::1]:990"));
        assert!(!is_same_account("ftp://cdr@[::1]:21", "ftp://cdr@[::2]:21"));
        assert!(!is_same_account("file:///srv/a:1", "file:///srv/a:2"));
    }

    #[test]
    fn what_is_put_together_comes_apart_and_a_path_alone_stays_one() {
        let label = server_label("file:///srv/a b");
        for path in ["out/a.dat", "/out/a b.dat", "a.dat", "out dir/a.dat"] {
            assert_eq!(split(&at_server(Some(&label), path)), (Some("file:///srv/a%20b"), path));
            assert_eq!(split(&at_server(None, path)), (None, path));
        }
    }
}
