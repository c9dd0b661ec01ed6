//! Secrets: never in the configuration itself, never printed.

use crate::document::{Table, Value};
use secrecy::SecretString;
use std::path::{Path, PathBuf};

/// Where a secret is to be found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretReference {
    /// In an environment variable.
    Env(String),
    /// In a file that only its owner may read.
    File(PathBuf),
    /// In a systemd credential (`LoadCredential=`).
    Credential(String),
}

/// Why a secret cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SecretFault {
    /// The variable is not set.
    #[error("environment variable {0} is not set")]
    NotSet(String),
    /// The file cannot be read.
    #[error("cannot read the secret in {path}: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// Others may read the file.
    #[error("{0} can be read by others; run: chmod 600 {0}")]
    TooOpen(PathBuf),
    /// systemd did not pass credentials.
    #[error("CREDENTIALS_DIRECTORY is not set: the credential {0} needs LoadCredential= in the unit")]
    NoCredentials(String),
}

const HINT: &str = "write { env = \"NAME\" }, { file = \"/path\" } or { credential = \"name\" }";

impl SecretReference {
    /// Reads `{ env = … }`, `{ file = … }` or `{ credential = … }` under `key`.
    pub fn read(config: &Path, table: &Table<'_>, key: &'static str) -> Option<Self> {
        let reference = match table.value(key)? {
            Value::Table(reference) => reference,
            Value::Text(_) | Value::Integer(_) | Value::Bool(_) | Value::List(_) | Value::Other(_) => {
                let message = format!("`{key}` must not stand in the configuration");
                table.problems().add(table.place_of(key).error_with_hint(message, HINT));
                return None;
            }
        };
        let found = [
            reference.text("env").map(|text| Self::Env(text.value)),
            reference.text("file").map(|text| Self::File(super::resolve(config, &text.value))),
            reference.text("credential").map(|text| Self::Credential(text.value)),
        ];
        reference.report_unknown();
        let mut found = found.into_iter().flatten();
        let (first, second) = (found.next(), found.next());
        if first.is_none() || second.is_some() {
            let message = format!("`{key}` needs exactly one place to be found in");
            table.problems().add(reference.place().error_with_hint(message, HINT));
        }
        first
    }

    /// Reads the secret; a line end behind it is not part of it.
    ///
    /// # Errors
    /// [`SecretFault`], which never holds the secret.
    pub fn reveal(&self) -> Result<SecretString, SecretFault> {
        match self {
            Self::Env(name) => {
                environment(name).map(SecretString::from).ok_or_else(|| SecretFault::NotSet(name.clone()))
            }
            Self::File(path) => read_file(path, true),
            Self::Credential(name) => {
                let dir =
                    environment("CREDENTIALS_DIRECTORY").ok_or_else(|| SecretFault::NoCredentials(name.clone()))?;
                read_file(&Path::new(&dir).join(name), false)
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn read_file(path: &Path, check_mode: bool) -> Result<SecretString, SecretFault> {
    use std::os::unix::fs::MetadataExt;
    let fault = |source| SecretFault::Unreadable { path: path.to_owned(), source };
    if check_mode && std::fs::metadata(path).map_err(fault)?.mode() & 0o077 != 0 {
        return Err(SecretFault::TooOpen(path.to_owned()));
    }
    let text = std::fs::read_to_string(path).map_err(fault)?;
    Ok(SecretString::from(text.trim_end_matches(['\r', '\n']).to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret;
    use std::io::Write;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_secret_file_must_be_private() {
        let dir = tempfile::tempdir().expect("directory");
        let path = dir.path().join("password");
        std::fs::File::create(&path).and_then(|mut file| file.write_all(b"s3cret\n")).expect("write");
        let reference = SecretReference::File(path.clone());
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).expect("mode");
        assert!(matches!(reference.reveal(), Err(SecretFault::TooOpen(_))));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("mode");
        let secret = reference.reveal().expect("secret");
        assert_eq!(secret.expose_secret(), "s3cret");
        assert!(!format!("{secret:?}").contains("s3cret"));
    }
}
