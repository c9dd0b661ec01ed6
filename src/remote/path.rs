//! Paths at a partner.

use crate::domain::ids::FileName;
use std::fmt;
use std::sync::Arc;

/// Longest path in bytes: what every server seen so far takes in one command line.
const PATH_BYTES_MAX: usize = 1024;

/// Why a text is not a usable path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("remote path `{found}` {reason}")]
pub struct PathFault {
    /// The refused text, control characters escaped.
    pub found: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

/// A path at a partner, with `/` between its parts. With a leading `/` it starts at the server's root, otherwise at
/// the directory that the login leads to. Never contains `.` or `..`, control characters (a line end would smuggle a
/// second command into the control connection) or parts that a server may take for an option.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RemotePath(Arc<str>);

impl RemotePath {
    /// The directory that the login leads to.
    #[must_use]
    pub fn login_directory() -> Self {
        Self(Arc::from("."))
    }

    /// Parses a path. Empty and `.` are the login directory; doubled and trailing slashes are dropped.
    ///
    /// # Errors
    /// [`PathFault`] with the reason.
    pub fn parse(text: &str) -> Result<Self, PathFault> {
        let parts = || text.split('/').filter(|part| !part.is_empty() && *part != ".");
        let reason = if text.len() > PATH_BYTES_MAX {
            "is longer than 1024 bytes"
        } else if text.chars().any(char::is_control) {
            "contains a control character"
        } else if parts().any(|part| part == "..") {
            "contains `..`"
        } else if parts().any(|part| part.starts_with('-')) {
            "has a part that starts with `-`, which servers take for an option"
        } else if parts().any(|part| part.starts_with(' ') || part.ends_with(' ')) {
            "has a part that starts or ends with a space, which servers cut off"
        } else {
            let joined = parts().collect::<Vec<_>>().join("/");
            return Ok(match (text.starts_with('/'), joined.as_str()) {
                (true, _) => Self(Arc::from(format!("/{joined}"))),
                (false, "") => Self::login_directory(),
                (false, _) => Self(Arc::from(joined)),
            });
        };
        Err(PathFault { found: text.escape_debug().to_string(), reason })
    }

    /// The path of a file in this directory.
    #[must_use]
    pub fn join(&self, name: &FileName) -> Self {
        self.join_part(name.as_str())
    }

    /// The path of a part whose name is known to be clean.
    pub(crate) fn join_part(&self, part: &str) -> Self {
        match &*self.0 {
            "." => Self(Arc::from(part)),
            "/" => Self(Arc::from(format!("/{part}"))),
            directory => Self(Arc::from(format!("{directory}/{part}"))),
        }
    }

    /// The path as text, as it is sent.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path as shared text.
    #[must_use]
    pub fn to_shared(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }

    /// The last part: a file's bare name. The root and the login directory have none.
    #[must_use]
    pub fn name(&self) -> &str {
        match &*self.0 {
            "." | "/" => "",
            path => path.rsplit('/').next().unwrap_or(path),
        }
    }

    /// The directory that holds this path.
    #[must_use]
    pub fn parent(&self) -> Self {
        match self.0.rsplit_once('/') {
            None => Self::login_directory(),
            Some(("", _)) => Self(Arc::from("/")),
            Some((directory, _)) => Self(Arc::from(directory)),
        }
    }

    /// This directory and those above it, the outermost first, without the root and the login directory.
    #[must_use]
    pub fn levels(&self) -> Vec<Self> {
        let mut levels = Vec::new();
        let mut level = self.clone();
        while !level.name().is_empty() {
            let above = level.parent();
            levels.push(level);
            level = above;
        }
        levels.reverse();
        levels
    }
}

impl fmt::Display for RemotePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned_and_start_where_they_say() {
        for (text, clean) in
            [("", "."), (".", "."), ("/", "/"), ("out", "out"), ("/out//cdr/", "/out/cdr"), ("./out/./x", "out/x")]
        {
            assert_eq!(RemotePath::parse(text).map(|path| path.to_string()), Ok(clean.to_owned()));
        }
    }

    #[test]
    fn line_ends_options_and_ways_up_are_refused() {
        for bad in
            ["a\r\nDELE b", "a\nb", "a\0b", "../x", "a/../b", "-la", "out/-x", " out", "out /x", &"x".repeat(1025)]
        {
            assert!(RemotePath::parse(bad).is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn parents_names_and_levels_fit_together() {
        let name = FileName::parse("话单.dat").expect("name");
        for (directory, file) in
            [(".", "话单.dat"), ("/", "/话单.dat"), ("out", "out/话单.dat"), ("/a/b", "/a/b/话单.dat")]
        {
            let directory = RemotePath::parse(directory).expect("path");
            let path = directory.join(&name);
            assert_eq!((path.as_str(), path.name(), path.parent()), (file, "话单.dat", directory));
        }
        let levels = |text| -> Vec<String> {
            RemotePath::parse(text).expect("path").levels().iter().map(ToString::to_string).collect()
        };
        assert_eq!(levels("/a/b"), ["/a", "/a/b"]);
        assert!(levels(".").is_empty());
    }
}
