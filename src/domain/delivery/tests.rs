//! The table of states and facts.

use super::*;

fn proof() -> Proof {
    Proof { name: Arc::from("out/a.dat"), bytes: 5, how: Verified::Reply, at: UtcTime::from_nanos(0) }
}

fn temporary() -> Arc<str> {
    Arc::from("out/a.dat.0123abcd-1.tmp")
}

const PLAIN: Attempt = Attempt { number: 2, exposed: false };
const EXPOSED: Attempt = Attempt { number: 2, exposed: true };

fn states() -> Vec<(&'static str, FileState)> {
    let held = |reason| FileState::Held { reason, next: PLAIN };
    vec![
        ("pending", FileState::Pending { next: PLAIN }),
        ("pending, exposed", FileState::Pending { next: EXPOSED }),
        ("uploading", FileState::Uploading { attempt: PLAIN, temporary: temporary() }),
        ("uploading, exposed", FileState::Uploading { attempt: EXPOSED, temporary: temporary() }),
        ("uploaded", FileState::Uploaded { attempt: PLAIN, temporary: temporary() }),
        ("uploaded, exposed", FileState::Uploaded { attempt: EXPOSED, temporary: temporary() }),
        ("renaming", FileState::Renaming { attempt: PLAIN, temporary: temporary() }),
        ("delivered", FileState::Delivered { proof: proof() }),
        ("held: conflict", held(HeldReason::Conflict)),
        ("held: in doubt", held(HeldReason::InDoubt)),
        ("held: ordered", held(HeldReason::Ordered)),
        ("held: damaged", held(HeldReason::Damaged)),
        ("void", FileState::Void),
    ]
}

fn facts() -> Vec<DeliveryFact> {
    vec![
        DeliveryFact::UploadIntended { attempt: 2, temporary: temporary(), in_place: false },
        DeliveryFact::UploadIntended { attempt: 3, temporary: temporary(), in_place: false },
        DeliveryFact::UploadVerified { bytes: 5, by: ContentCheck::Size },
        DeliveryFact::UploadAbandoned,
        DeliveryFact::NotBegun,
        DeliveryFact::RenameIntended,
        DeliveryFact::RenameConfirmed(proof()),
        DeliveryFact::Conflict { found_bytes: Some(4) },
        DeliveryFact::InDoubt,
        DeliveryFact::ArchiveDamaged,
        DeliveryFact::Resent,
        DeliveryFact::Spoilt,
        DeliveryFact::HoldOrdered,
        DeliveryFact::Released,
        DeliveryFact::SettledAsDelivered(proof()),
        DeliveryFact::Voided,
    ]
}

fn describe(state: &FileState) -> String {
    let attempt = |attempt: &Attempt| format!("{}{}", attempt.number, if attempt.exposed { "e" } else { "" });
    match state {
        FileState::Pending { next } => format!("P{}", attempt(next)),
        FileState::Uploading { attempt: a, .. } => format!("U{}", attempt(a)),
        FileState::Uploaded { attempt: a, .. } => format!("V{}", attempt(a)),
        FileState::Renaming { attempt: a, .. } => format!("R{}", attempt(a)),
        FileState::Delivered { .. } => "D".to_owned(),
        FileState::Void => "V".to_owned(),
        FileState::Held { reason: HeldReason::Conflict, next } => format!("C{}", attempt(next)),
        FileState::Held { reason: HeldReason::InDoubt, next } => format!("?{}", attempt(next)),
        FileState::Held { reason: HeldReason::Ordered, next } => format!("H{}", attempt(next)),
        FileState::Held { reason: HeldReason::Damaged, next } => format!("B{}", attempt(next)),
    }
}

#[test]
fn every_fact_after_every_state_leads_where_the_table_says() {
    // intended(2) intended(3) verified abandoned not-begun rename confirmed conflict in-doubt damaged resent spoilt
    // hold released settled voided
    let table = "
        pending            U2  -   -   -   -   -   -   C2  -   B2  -   -   H2  -   -   V
        pending, exposed   U2e -   -   -   -   -   D   C2e -   B2e -   -   H2e -   -   V
        uploading          -   -   V2  P3  P2  -   -   -   -   B3  -   -   H3  -   -   V
        uploading, exposed -   -   V2e P3e -   -   -   C3e ?3e B3e P3e -   ?3e -   -   V
        uploaded           -   -   -   P3  -   R2  -   C3  -   -   -   -   H3  -   -   V
        uploaded, exposed  -   -   -   P3e -   R2e D   C3e -   -   -   -   H3e -   -   V
        renaming           -   -   -   -   V2  -   D   C3e ?3e -   P3e P3e ?3e -   -   -
        delivered          -   -   -   -   -   -   -   -   -   -   -   -   -   -   -   -
        held: conflict     -   -   -   -   -   -   -   -   -   -   -   -   -   P2  D   V
        held: in doubt     -   -   -   -   -   -   -   -   -   -   -   -   -   P2  D   V
        held: ordered      -   -   -   -   -   -   -   -   -   -   -   -   -   P2  D   V
        held: damaged      -   -   -   -   -   -   -   -   -   -   -   -   -   P2  D   V
        void               -   -   -   -   -   -   -   -   -   -   -   -   -   -   -   -";
    let rows: Vec<&str> = table.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    assert_eq!(rows.len(), states().len());
    for (row, (name, state)) in rows.iter().zip(states()) {
        let expected: Vec<&str> = row.strip_prefix(name).expect("row of this state").split_whitespace().collect();
        assert_eq!(expected.len(), facts().len(), "{name}");
        for (cell, fact) in expected.iter().zip(facts()) {
            let after = state.clone().apply(&fact);
            let found = after.as_ref().map_or("-".to_owned(), describe);
            assert_eq!(&found, cell, "{name} + {}", fact.name());
            if let Err(illegal) = after {
                assert_eq!((illegal.state, illegal.fact), (state.name(), fact.name()));
            }
        }
    }
}

#[test]
fn what_is_written_under_its_final_name_is_delivered_without_a_rename() {
    let name = proof().name;
    let intent = DeliveryFact::UploadIntended { attempt: 1, temporary: Arc::clone(&name), in_place: true };
    assert!(intent.may_show() && intent.is_intent());
    let state = FileState::default().apply(&intent).expect("legal");
    let attempt = Attempt { number: 1, exposed: true };
    assert_eq!(state, FileState::Uploading { attempt, temporary: name });
    assert!(state.apply(&DeliveryFact::RenameConfirmed(proof())).is_ok_and(|state| state.is_delivered()));
}

#[test]
fn a_temporary_name_is_kept_from_intent_to_rename() {
    let mut state = FileState::default();
    for fact in [
        DeliveryFact::UploadIntended { attempt: 1, temporary: temporary(), in_place: false },
        DeliveryFact::UploadVerified { bytes: 5, by: ContentCheck::Size },
        DeliveryFact::RenameIntended,
    ] {
        state = state.apply(&fact).expect("legal");
    }
    assert_eq!(state, FileState::Renaming { attempt: Attempt::FIRST, temporary: temporary() });
}

#[test]
fn ways_to_verify_print_what_they_parse() {
    for how in Verified::ALL {
        assert_eq!(Verified::parse(how.as_str()), Some(how));
    }
    assert_eq!(Verified::parse(""), None);
}
