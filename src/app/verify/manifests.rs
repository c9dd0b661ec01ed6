//! Manifests against the ledger: rendered again, they must have the hash that was archived.

use super::in_force::{InForce, is_void};
use super::{Verified, VerifyFault};
use crate::domain::batch::BatchPlan;
use crate::domain::ids::{FeedId, Sha256Digest};
use crate::domain::time::UtcTime;
use crate::feed::definition::FeedDefinition;
use crate::ledger::Ledger;
use crate::ledger::reports::FileRow;
use crate::seal::ENCODER_REVISION;
use crate::seal::finish::{ManifestContext, manifest_bytes};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

pub(super) fn prove(
    ledger: &Ledger,
    feed: &FeedId,
    files: &[FileRow],
    hour: Option<UtcTime>,
    found: &mut Verified,
) -> Result<(), VerifyFault> {
    let definitions: BTreeMap<String, String> =
        ledger.definitions(feed)?.into_iter().map(|version| (version.hash, version.text)).collect();
    let in_force = InForce::new(ledger, feed, files)?;
    // Each manifest states the hash of the feed's manifest before it, in the order of sealing.
    let mut sealed = Vec::new();
    for plan in ledger.sealed_plans(feed)? {
        let row = files.iter().find(|file| {
            file.is_manifest() && (file.partition, file.revision) == (plan.id.partition, plan.id.revision)
        });
        let Some((row, archived)) = row.and_then(|row| Some((row, Sha256Digest::parse(row.sha256.as_ref()?)?))) else {
            continue;
        };
        let previous = in_force.previous(&plan.id, &sealed);
        sealed.push((row, archived));
        if hour.is_some_and(|at| !plan.id.partition.contains(at)) {
            continue;
        }
        if plan.encoder_revision != ENCODER_REVISION {
            found.manifests_of_others += 1;
            continue;
        }
        found.manifests += 1;
        let subject = row.archive_path.as_ref().unwrap_or(&row.name);
        match again(ledger, &in_force, &plan, row, definitions.get(&plan.definition), previous)? {
            Ok(hash) if hash == archived => {}
            Ok(_) => found.differs("manifest", subject, "it does not state what the ledger holds about its hour"),
            Err(what) => found.differs("manifest", subject, what),
        }
    }
    Ok(())
}

/// Hash of the manifest that the ledger gives, or why there is none.
fn again(
    ledger: &Ledger,
    in_force: &InForce<'_>,
    plan: &BatchPlan,
    row: &FileRow,
    definition: Option<&String>,
    previous: Option<Sha256Digest>,
) -> Result<Result<Sha256Digest, String>, VerifyFault> {
    let Some(text) = definition else { return Ok(Err("the ledger has no definition for it".to_owned())) };
    let definition = match FeedDefinition::from_stored(text) {
        Ok(definition) => definition,
        Err(problem) => return Ok(Err(format!("its definition cannot be read: {problem}"))),
    };
    let (Some(planned), Some(manifest)) = (&plan.manifest, &definition.manifest) else {
        return Ok(Err("its definition has no manifest".to_owned()));
    };
    let sealed = ledger.sealed_parts_with_void(&plan.id.feed, plan.id.partition.start)?;
    let sealed = in_force.stated_parts(plan, row, sealed);
    let revision = plan.id.revision;
    let parts: Vec<_> = sealed.iter().filter(|(of, _)| *of == revision).map(|(_, file)| file.clone()).collect();
    let voided = if is_void(row) { in_force.stated_numbers(&plan.id) } else { ledger.void_numbers(&plan.id)? };
    let context = ManifestContext {
        definition: &definition,
        manifest,
        earlier: sealed,
        previous,
        voided: voided.parts,
        voided_manifests: voided.manifests,
    };
    let bytes = manifest_bytes(plan, planned, &parts, &context);
    Ok(bytes.map(|bytes| Sha256Digest(Sha256::digest(bytes).into())).map_err(|fault| fault.to_string()))
}
