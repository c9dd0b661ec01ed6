//! How each partner's server was met last, for those who look: one row of `store` for each partner, written when it
//! changes. It is no part of the history, nor of the copy beside the archive: the next session writes it anew.

use super::{Ledger, LedgerFault, Result, run};
use crate::disk::SyncPoint;
use crate::domain::time::UtcTime;
use serde_json::{Value, json};

/// How a partner's server was met last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contact {
    /// The server and account; empty when none was asked.
    pub endpoint: String,
    /// Since when it is so.
    pub since: UtcTime,
    /// What is so.
    pub state: ContactState,
}

/// What is known about the way to a partner's server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContactState {
    /// The last session ended well. What is wrong with the servers that come before it, if anything.
    Reached {
        /// In words.
        instead_of: Option<String>,
    },
    /// Every try since then has failed.
    Failing {
        /// The last fault in words.
        what: String,
        /// Tries that failed, one after the other.
        tries: u64,
        /// When it is tried again; `None` when a restart is needed.
        next_try: Option<UtcTime>,
    },
    /// Nothing is sent now, and nothing is wrong.
    Waiting {
        /// Why, in words.
        why: String,
        /// Until when, where that is known.
        until: Option<UtcTime>,
    },
}

impl Ledger {
    /// Notes how a partner's server was met.
    ///
    /// # Errors
    /// [`LedgerFault`].
    pub fn note_contact(&mut self, partner: &str, contact: &Contact) -> Result<()> {
        let Contact { endpoint, since, state } = contact;
        let time = |time: &Option<UtcTime>| time.map(UtcTime::nanos);
        let state = match state {
            ContactState::Reached { instead_of } => json!({ "reached": true, "instead_of": instead_of }),
            ContactState::Failing { what, tries, next_try } => {
                json!({ "failing": what, "tries": tries, "next_try": time(next_try) })
            }
            ContactState::Waiting { why, until } => json!({ "waiting": why, "until": time(until) }),
        };
        let value = json!({ "endpoint": endpoint, "since": since.nanos(), "state": state }).to_string();
        self.transact(SyncPoint::LedgerOther, |t| {
            run(t, "INSERT OR REPLACE INTO main.store (key, value) VALUES (?1, ?2)", [&key(partner), &value])
                .map(|_| ())
        })
    }

    /// How a partner's server was met last; `None` when it was never asked.
    ///
    /// # Errors
    /// [`LedgerFault`].
    pub fn contact(&self, partner: &str) -> Result<Option<Contact>> {
        let Some(text) = self.store_value(&key(partner))? else { return Ok(None) };
        let value = serde_json::from_str::<Value>(&text).ok();
        let contact = value.as_ref().and_then(read);
        contact.map(Some).ok_or_else(|| LedgerFault::Row(format!("contact with {partner} is `{text}`")))
    }
}

fn key(partner: &str) -> String {
    format!("contact {partner}")
}

fn read(value: &Value) -> Option<Contact> {
    let time = |value: Option<&Value>| value.and_then(Value::as_i64).map(UtcTime::from_nanos);
    let words = |value: &Value| value.as_str().map(str::to_owned);
    let state = value.get("state")?;
    let state = if let Some(what) = state.get("failing") {
        let tries = state.get("tries")?.as_u64()?;
        ContactState::Failing { what: words(what)?, tries, next_try: time(state.get("next_try")) }
    } else if let Some(why) = state.get("waiting") {
        ContactState::Waiting { why: words(why)?, until: time(state.get("until")) }
    } else {
        ContactState::Reached { instead_of: state.get("instead_of").and_then(words) }
    };
    Some(Contact { endpoint: words(value.get("endpoint")?)?, since: time(value.get("since"))?, state })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_noted_last_is_read_back() {
        let dir = tempfile::tempdir().expect("directory");
        let mut ledger = Ledger::created(&dir.path().join("ledger.db"));
        assert_eq!(ledger.contact("acme").expect("read"), None);
        let (since, later) = (UtcTime::from_nanos(5), Some(UtcTime::from_nanos(7)));
        let words = |text: &str| text.to_owned();
        for state in [
            ContactState::Reached { instead_of: None },
            ContactState::Reached { instead_of: Some(words("ftp://a@b:21: connect: no connection")) },
            ContactState::Failing { what: words("login refused: \"530\""), tries: 3, next_try: later },
            ContactState::Failing { what: words("stopped"), tries: 1, next_try: None },
            ContactState::Waiting { why: words("quiet"), until: later },
            ContactState::Waiting { why: words("full"), until: None },
        ] {
            let contact = Contact { endpoint: words("ftp://a@b:21"), since, state };
            ledger.note_contact("acme", &contact).expect("noted");
            assert_eq!(ledger.contact("acme").expect("read"), Some(contact));
        }
        assert_eq!(ledger.damage().expect("proof"), Vec::<String>::new());
    }
}
