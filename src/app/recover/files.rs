//! The files of the archive: whether they are as the ledger says, and those that no ledger and no log knew.
//!
//! A file gets its place only when the log names it. So there are unknown ones only where the log is lost; then manifests
//! and names tell what they can, and whether they were delivered nobody knows.

use super::{RecoverFault, Recovery};
use crate::app::ahead::{hour_of, read_name};
use crate::archive::ArchiveFault;
use crate::disk::Kind;
use crate::domain::batch::{BatchId, BatchPlan, HourCounts, PlannedFile, SealedFile};
use crate::domain::counter::Sequence;
use crate::domain::ids::{FileName, Lsn, PartNumber, Revision};
use crate::domain::period::Partition;
use crate::domain::time::UtcTime;
use crate::feed::definition::FeedDefinition;
use crate::format::manifest::{ManifestStatement, parse_json};
use crate::format::template::Variable;
use crate::ledger::Ledger;
use crate::ledger::batches::Decisions;
use crate::ledger::intake::IntakeEntry;
use crate::seal::ENCODER_REVISION;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Largest manifest that is read.
const MANIFEST_BYTES_MAX: u64 = 64 << 20;

/// A file that nobody knew, as its name, its place and manifests show it.
struct Unknown {
    file: SealedFile,
    hour: Partition,
    revision: Revision,
    statement: Option<ManifestStatement>,
}

impl Recovery<'_> {
    /// Compares size, and hash where a file waits to be delivered, of all files that the ledger knows.
    pub(super) fn check_files(&mut self, ledger: &Ledger) -> Result<(), RecoverFault> {
        for file in ledger.archived_files()? {
            self.report.files_checked += 1;
            let full = self.archive.full_path(&file.path);
            let stat = self.disk().stat(&full).map_err(|source| disk_fault("look at", &full, source))?;
            let wrong = match stat {
                None => Some("is missing".to_owned()),
                Some(stat) if stat.bytes != file.bytes => {
                    Some(format!("has {} bytes instead of {}", stat.bytes, file.bytes))
                }
                Some(_) if file.is_waiting && self.archive.hash(&file.path)?.to_string() != file.sha256 => {
                    Some("has other content".to_owned())
                }
                Some(_) => None,
            };
            self.report.files_wrong.extend(wrong.map(|wrong| format!("{} {wrong}", file.path)));
        }
        Ok(())
    }

    /// Takes files over that neither ledger nor log knew, as batches in doubt, and continues above their numbers.
    pub(super) fn adopt_unknown(&mut self, ledger: &mut Ledger) -> Result<(), RecoverFault> {
        let mut known: BTreeSet<String> = ledger.archived_files()?.into_iter().map(|file| file.path).collect();
        let planned: BTreeSet<String> = ledger.planned_names()?.into_iter().collect();
        for definition in self.config.feeds() {
            let dir = self.config.archive.join(definition.id.partner.as_str()).join(definition.id.feed.as_str());
            let mut paths = Vec::new();
            self.collect(&dir, &mut paths)?;
            let mut found = Vec::new();
            for path in paths {
                let below = path.strip_prefix(&self.config.archive).unwrap_or(&path).to_string_lossy().into_owned();
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                if known.remove(&below) || planned.contains(&name) {
                    continue;
                }
                match self.unknown(definition, &path, &below, &name)? {
                    Some(unknown) => found.push(unknown),
                    None => self.report.files_wrong.push(format!("{below} is not known, and no name of its feed")),
                }
            }
            self.report.files_unknown.extend(found.iter().map(|unknown| unknown.file.archive_path.clone()));
            self.adopt(ledger, definition, found)?;
        }
        Ok(())
    }

    fn collect(&self, dir: &Path, found: &mut Vec<PathBuf>) -> Result<(), RecoverFault> {
        let fault = |source| disk_fault("list", dir, source);
        if self.disk().stat(dir).map_err(fault)?.is_none() {
            return Ok(());
        }
        for entry in self.disk().list(dir).map_err(|source| disk_fault("list", dir, source))? {
            match entry.stat.kind {
                Kind::File => found.push(entry.path),
                Kind::Directory => self.collect(&entry.path, found)?,
                Kind::Other => {}
            }
        }
        Ok(())
    }

    fn unknown(
        &self,
        definition: &FeedDefinition,
        path: &Path,
        below: &str,
        name: &str,
    ) -> Result<Option<Unknown>, RecoverFault> {
        let Ok(file_name) = FileName::parse(name) else { return Ok(None) };
        let manifest = definition.manifest.as_ref();
        let as_manifest = manifest.and_then(|manifest| read_name(definition, &manifest.name, name));
        let is_manifest = as_manifest.is_some();
        let Some(shown) = as_manifest.or_else(|| read_name(definition, &definition.name, name)) else {
            return Ok(None);
        };
        let stat = self.disk().stat(path).map_err(|source| disk_fault("look at", path, source))?;
        let bytes = stat.map_or(0, |stat| stat.bytes);
        let statement = if is_manifest && manifest.is_some_and(|m| m.format.is_none()) && bytes < MANIFEST_BYTES_MAX {
            let mut content = Vec::new();
            let mut reader = self.archive.open(below).map_err(|source| disk_fault("open", path, source))?;
            reader.read_to_end(&mut content).map_err(|source| disk_fault("read", path, source))?;
            parse_json(&content).ok()
        } else {
            None
        };
        let number = statement.as_ref().and_then(|s| s.sequence).or_else(|| shown.number(Variable::Seq));
        let in_place = directory_hour(below).map(|start| definition.period.partition_at(start));
        let of_name = hour_of(definition, &shown);
        let Some(hour) = statement.as_ref().map(|s| s.partition).or(of_name).or(in_place) else { return Ok(None) };
        let revision = statement.as_ref().map_or_else(|| small(shown.number(Variable::Revision)), |s| s.revision);
        let part = if is_manifest { 0 } else { small(shown.number(Variable::Part)).max(1) };
        let file = SealedFile {
            part: PartNumber(part),
            name: file_name,
            sequence: number.map(|number| Sequence { cycle: 0, number }),
            archive_path: below.to_owned(),
            records: statement.as_ref().map_or(0, |s| s.records),
            bytes,
            sha256: self.archive.hash(below)?,
            first_event: None,
            last_event: None,
            totals: Vec::new(),
        };
        Ok(Some(Unknown { file, hour, revision: Revision(revision), statement }))
    }

    fn adopt(
        &mut self,
        ledger: &mut Ledger,
        definition: &Arc<FeedDefinition>,
        mut found: Vec<Unknown>,
    ) -> Result<(), RecoverFault> {
        // What a manifest lists is told by it; a later one lists the files of those before again.
        let listed: Vec<_> = found.iter().filter_map(|u| u.statement.clone()).flat_map(|s| s.files).collect();
        for unknown in &mut found {
            let Some(line) = listed.iter().find(|line| line.name == unknown.file.name.as_str()) else { continue };
            unknown.revision = Revision(line.revision);
            unknown.file.records = line.records;
            unknown.file.sequence = Some(Sequence { cycle: line.cycle, number: line.sequence });
            (unknown.file.first_event, unknown.file.last_event) = (line.first_event, line.last_event);
            unknown.file.totals = line.totals.iter().map(|(name, sum)| (name.clone(), sum.to_string())).collect();
            if line.sha256 != unknown.file.sha256 {
                self.report.files_wrong.push(format!("{} differs from its manifest", unknown.file.archive_path));
            }
        }
        let mut batches: BTreeMap<(i64, i64, u32), Vec<Unknown>> = BTreeMap::new();
        for unknown in found {
            let key = (unknown.hour.start, unknown.hour.end, unknown.revision.0);
            batches.entry(key).or_default().push(unknown);
        }
        for ((start, end, revision), files) in batches {
            let hour = Partition { start, end };
            let wanted = Revision(revision);
            let revision = match ledger.latest_revision(&definition.id, start)? {
                Some((latest, _)) if latest >= wanted => latest.next(),
                Some(_) | None => wanted,
            };
            self.adopt_batch(
                ledger,
                definition,
                &BatchId { feed: definition.id.clone(), partition: hour, revision },
                files,
            )?;
        }
        Ok(())
    }

    fn adopt_batch(
        &self,
        ledger: &mut Ledger,
        definition: &Arc<FeedDefinition>,
        id: &BatchId,
        mut found: Vec<Unknown>,
    ) -> Result<(), RecoverFault> {
        found.sort_by_key(|unknown| (unknown.file.sequence, unknown.file.part));
        let statement = found.iter().find_map(|unknown| unknown.statement.clone());
        let mut files: Vec<SealedFile> = found.into_iter().map(|unknown| unknown.file).collect();
        // One name tells the part, another the number only: the order is that of the numbers either way.
        let mut part = 0;
        for file in files.iter_mut().filter(|file| file.part.0 > 0) {
            part += 1;
            file.part = PartNumber(part);
        }
        let planned = |file: &SealedFile| PlannedFile {
            part: file.part,
            name: file.name.clone(),
            sequence: file.sequence,
            records: file.records,
        };
        let records: u64 = files.iter().filter(|file| file.part.0 > 0).map(|file| file.records).sum();
        let counts = HourCounts { received: records, ..HourCounts::default() };
        let applied = ledger.applied()?;
        // Everything accepted so far of this hour is taken for sent: it is never sent twice.
        let cut = applied.next().max(self.journal_end);
        let plan = BatchPlan {
            id: id.clone(),
            from: Lsn(0),
            cut,
            definition: definition.hash.clone(),
            encoder_revision: ENCODER_REVISION,
            sealed_at: statement.as_ref().map_or(self.now, |s| s.sealed_at),
            parts: files.iter().filter(|file| file.part.0 > 0).map(planned).collect(),
            manifest: files.iter().find(|file| file.part.0 == 0).map(planned),
            counts,
            source_incomplete: statement.as_ref().is_some_and(|s| s.source_incomplete),
        };
        let mut entry = IntakeEntry::default();
        entry.hours.add(&id.feed, Some(id.partition), counts);
        ledger.apply_intake(applied, &entry)?;
        let closed = vec![(id.feed.clone(), id.partition.end)];
        ledger.decide(&Decisions { plans: vec![(plan, Vec::new())], closed, ..Decisions::default() })?;
        self.raise(ledger, definition, &files, id.partition)?;
        ledger.seal(&[(id.clone(), files)], &|_| definition.shadow, self.now)?;
        let waiting = ledger.batches_to_send(&id.feed, u32::MAX >> 1)?;
        if let Some(batch) = waiting.iter().find(|batch| batch.id == *id) {
            ledger.doubt(batch, "found in the archive; neither ledger nor log knew it", self.now)?;
        }
        Ok(())
    }

    /// Numbers go on above those of these files.
    fn raise(
        &self,
        ledger: &mut Ledger,
        definition: &FeedDefinition,
        files: &[SealedFile],
        hour: Partition,
    ) -> Result<(), RecoverFault> {
        let manifest_rule = definition.manifest.as_ref().map_or(definition.sequence, |manifest| manifest.sequence);
        for (counter, rule, is_manifest) in [
            (definition.counter_name(), definition.sequence, false),
            (definition.manifest_counter_name(), manifest_rule, true),
        ] {
            let of_counter = files.iter().filter(|file| (file.part.0 == 0) == is_manifest);
            let highest = of_counter.filter_map(|file| file.sequence).map(|given| given.number).max();
            let last = ledger.counter(&counter)?.given.map(|given| given.number);
            if let Some(highest) = highest.filter(|highest| last.is_none_or(|last| *highest > last)) {
                let label = rule.reset.label(hour, definition.period.zone());
                ledger.raise_counter(&counter, highest, &label, "found in the archive", self.now)?;
            }
        }
        Ok(())
    }
}

/// The hour that a path below the archive stands for.
fn directory_hour(below: &str) -> Option<UtcTime> {
    let parts: Vec<&str> = below.split('/').collect();
    let [_, _, year, month, day, hour, _] = parts.as_slice() else { return None };
    let text = format!("{year}-{month}-{day}T{hour}:00:00Z");
    UtcTime::from_seconds(chrono::DateTime::parse_from_rfc3339(&text).ok()?.timestamp())
}

fn small(number: Option<u64>) -> u32 {
    number.and_then(|number| u32::try_from(number).ok()).unwrap_or(0)
}

fn disk_fault(operation: &'static str, path: &Path, source: std::io::Error) -> RecoverFault {
    ArchiveFault::Disk { operation, path: path.to_owned(), source }.into()
}
