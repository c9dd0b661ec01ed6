//! How each partner's server was met last, as lines of the screen and as JSON.

use super::super::times::Face;
use crate::app::report::status::PartnerStatus;
use crate::domain::time::UtcTime;
use crate::ledger::contact::{Contact, ContactState};
use serde_json::{Value, json};

/// The lines under PARTNERS; empty when the ledger knows of no partner.
pub(super) fn text(partners: &[PartnerStatus], face: Face) -> String {
    if partners.iter().all(|partner| partner.contact.is_none()) {
        return String::new();
    }
    let lines = partners.iter().map(|partner| {
        let words = partner.contact.as_ref().map_or_else(|| "nothing was sent yet".to_owned(), |c| words(c, face));
        format!("   {}  {words}\n", partner.name)
    });
    std::iter::once("PARTNERS\n".to_owned()).chain(lines).collect()
}

fn words(contact: &Contact, face: Face) -> String {
    let Contact { endpoint, since, state } = contact;
    let since = face.second(*since);
    match state {
        ContactState::Reached { instead_of: None } => format!("reached since {since}: {endpoint}"),
        ContactState::Reached { instead_of: Some(fault) } => {
            format!("reached since {since}: {endpoint}, instead of {fault}")
        }
        ContactState::Failing { what, tries, next_try } => {
            let next = next_try.map_or_else(|| "after a restart".to_owned(), |at| face.second(at));
            let tries = if *tries == 1 { "1 try".to_owned() } else { format!("{tries} tries") };
            format!("NOT REACHED since {since}, {tries}, next {next}: {what}")
        }
        ContactState::Waiting { why, until } => {
            let until = until.map(|at| format!(" until {}", face.second(at))).unwrap_or_default();
            format!("waits since {since}{until}: {why}")
        }
    }
}

pub(super) fn json(partner: &PartnerStatus, face: Face) -> Value {
    let contact = partner.contact.as_ref();
    let at = |time: Option<UtcTime>| time.map(|time| face.iso(time.seconds()));
    let (state, message, tries, next) = match contact.map(|contact| &contact.state) {
        None => ("unknown", None, 0, None),
        Some(ContactState::Reached { instead_of }) => ("reached", instead_of.clone(), 0, None),
        Some(ContactState::Failing { what, tries, next_try }) => ("failing", Some(what.clone()), *tries, *next_try),
        Some(ContactState::Waiting { why, until }) => ("waiting", Some(why.clone()), 0, *until),
    };
    json!({
        "partner": partner.name,
        "state": state,
        "endpoint": contact.map(|contact| contact.endpoint.clone()),
        "since": at(contact.map(|contact| contact.since)),
        "message": message,
        "tries": tries,
        "next_try": at(next),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::period::Zone;

    #[test]
    fn each_partner_has_a_line_and_a_json_object() {
        let at = |second| UtcTime::from_seconds(second).expect("range");
        let partner = |name: &str, state| PartnerStatus {
            name: name.to_owned(),
            contact: Some(Contact { endpoint: "ftp://a@b:21".to_owned(), since: at(0), state }),
        };
        let partners = [
            PartnerStatus { name: "new".to_owned(), contact: None },
            partner("well", ContactState::Reached { instead_of: None }),
            partner("standby", ContactState::Reached { instead_of: Some("ftp://a@c:21: no connection".to_owned()) }),
            partner(
                "bad",
                ContactState::Failing { what: "x: login refused".to_owned(), tries: 2, next_try: Some(at(60)) },
            ),
            partner("ended", ContactState::Failing { what: "stopped".to_owned(), tries: 1, next_try: None }),
            partner("quiet", ContactState::Waiting { why: "quiet".to_owned(), until: Some(at(60)) }),
        ];
        let face = Face { zone: Zone::UTC };
        let (zero, minute) = (face.second(at(0)), face.second(at(60)));
        let expected = format!(
            "PARTNERS\n   new  nothing was sent yet\n   \
            well  reached since {zero}: ftp://a@b:21\n   \
            standby  reached since {zero}: ftp://a@b:21, instead of ftp://a@c:21: no connection\n   \
            bad  NOT REACHED since {zero}, 2 tries, next {minute}: x: login refused\n   \
            ended  NOT REACHED since {zero}, 1 try, next after a restart: stopped\n   \
            quiet  waits since {zero} until {minute}: quiet\n"
        );
        assert_eq!(text(&partners, face), expected);
        assert_eq!(text(&partners[..1], face), "", "a new state has no such lines");
        let bad = json(&partners[3], face);
        assert_eq!((bad["state"].as_str(), bad["tries"].as_u64()), (Some("failing"), Some(2)), "{bad}");
        assert_eq!(bad["next_try"].as_str(), Some(face.iso(60).as_str()), "{bad}");
        assert_eq!(json(&partners[0], face)["state"], "unknown");
    }
}
