//! What others see of a partner's thread: the partner's alarm, and how its server was met.

use super::fault::SendFault;
use super::reaction::reaction_to;
use super::{DeliveryContext, PartnerOutcome};
use crate::domain::ids::PartnerId;
use crate::domain::time::UtcTime;
use crate::ledger::contact::{Contact, ContactState};
use crate::ledger::intake::AlarmChanges;
use crate::ledger::{Ledger, LedgerFault};
use crate::remote::{Address, FaultKind};

/// What stands between a partner and its files.
#[derive(Debug, Clone)]
pub(super) struct Trouble {
    /// The server that was asked.
    pub endpoint: String,
    /// The fault in words, with the server.
    pub what: String,
    /// Its kind.
    pub kind: Option<FaultKind>,
}

impl Trouble {
    pub(super) fn at(address: &Address, fault: &SendFault) -> Self {
        let endpoint = address.endpoint.to_string();
        Self { what: format!("{endpoint}: {fault}"), endpoint, kind: fault.kind() }
    }
}

/// Tells what changed, and nothing else: every row is a commit.
pub(super) struct Reporter<'c> {
    context: &'c DeliveryContext,
    partner: &'c PartnerId,
    last: Option<Contact>,
}

impl<'c> Reporter<'c> {
    pub(super) fn new(context: &'c DeliveryContext, partner: &'c PartnerId) -> Self {
        let last = context.ledger.lock().contact(partner.as_str());
        let last = last.inspect_err(|fault| tracing::error!("cannot read how {partner} was met: {fault}"));
        Self { context, partner, last: last.ok().flatten() }
    }

    /// Everything that there was is sent, or a person rests it: no alarm stands.
    pub(super) fn well(&self) {
        self.alarm(&[]);
    }

    /// A session ended well; what is wrong with the servers before it.
    pub(super) fn reached(&mut self, endpoint: &str, instead_of: Option<String>) {
        self.note(endpoint, ContactState::Reached { instead_of });
    }

    /// Nothing is sent now, by rule.
    pub(super) fn waiting(&mut self, endpoint: &str, why: String, until: Option<UtcTime>) {
        self.note(endpoint, ContactState::Waiting { why, until });
    }

    /// Nothing can be sent.
    pub(super) fn failing(&mut self, trouble: &Trouble, next_try: UtcTime) {
        let reaction = reaction_to(trouble.kind);
        let tries = match &self.last {
            Some(Contact { state: ContactState::Failing { tries, .. }, .. }) => tries + 1,
            _ => 1,
        };
        let what = trouble.what.clone();
        self.note(&trouble.endpoint, ContactState::Failing { what: what.clone(), tries, next_try: Some(next_try) });
        self.alarm(&[(reaction.code, what, reaction.hint.to_owned())]);
    }

    /// Nothing more goes to the partner before a restart: that is an alarm as long as it stands.
    pub(super) fn stopped(&mut self, outcome: &PartnerOutcome, fault: &SendFault) -> PartnerOutcome {
        tracing::error!(partner = %self.partner, "delivery stopped: {fault}");
        let message = format!("delivery stopped: {fault}");
        let (code, hint) = match fault {
            SendFault::Ahead(_) => {
                ("HD0601", "state and archive were rolled back: `hourdrop recover --ask-partners` continues above it")
            }
            SendFault::Secret(_) | SendFault::Remote(_) | SendFault::Batch { .. } | SendFault::Ledger(_) => {
                ("HD0203", "correct what is wrong and start hourdrop again; nothing is delivered until then")
            }
        };
        self.note("", ContactState::Failing { what: message.clone(), tries: 1, next_try: None });
        self.alarm(&[(code, message, hint.to_owned())]);
        PartnerOutcome { fault: Some(fault.to_string()), stopped: true, ..*outcome }
    }

    fn note(&mut self, endpoint: &str, state: ContactState) {
        let now = self.context.clock.now();
        let last = self.last.as_ref().filter(|last| goes_on(last, endpoint, &state));
        let contact = Contact { endpoint: endpoint.to_owned(), since: last.map_or(now, |last| last.since), state };
        if self.last.as_ref() == Some(&contact) {
            return;
        }
        self.write(|ledger| ledger.note_contact(self.partner.as_str(), &contact));
        self.last = Some(contact);
    }

    fn alarm(&self, alarms: &[(&str, String, String)]) {
        let (subject, now) = (format!("partner {}", self.partner), self.context.clock.now());
        self.write(|ledger| ledger.replace_alarms(&subject, alarms, now).map(|AlarmChanges { .. }| ()));
    }

    fn write(&self, write: impl FnOnce(&mut Ledger) -> Result<(), LedgerFault>) {
        let mut ledger = self.context.ledger.lock();
        if let Err(fault) = write(&mut ledger) {
            tracing::error!(partner = %self.partner, "cannot record how the partner was met: {fault}");
        }
    }
}

/// The same as before, since when that was so.
fn goes_on(last: &Contact, endpoint: &str, state: &ContactState) -> bool {
    match (&last.state, state) {
        (ContactState::Failing { .. }, ContactState::Failing { .. }) => true,
        (ContactState::Reached { .. }, ContactState::Reached { .. }) => last.endpoint == endpoint,
        (ContactState::Waiting { why, .. }, ContactState::Waiting { why: now, .. }) => why == now,
        _ => false,
    }
}
