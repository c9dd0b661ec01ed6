//! The oracle: reads a partner's directory as the partner would, without any of hourdrop's code, and says everything
//! that is not as promised.
//!
//! - Every accepted record is there, once, in the file of its hour.
//! - Part files are numbered from 1 on without a gap, manifests, too; the chain of manifests is whole.
//! - What a manifest says of a file is true; every file stands in a manifest; the last one of an hour lists them all.
//! - The archive holds the same files with the same bytes, read-only, and nothing else.
//! - Nothing temporary is left, at the partner or in the archive; the ledger has every file as delivered.

use crate::site::files_in;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// A line of a part file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    Head { sequence: u64 },
    Record { id: String, at: i64 },
    Tail { records: u64 },
    Unknown,
}

/// Where a partner looks, where its archive is, and how its files are read.
pub struct PartnerDir {
    pub files: PathBuf,
    pub archive: PathBuf,
    pub read: fn(&str) -> Line,
}

/// A part file as the partner read it.
struct Part {
    ids: Vec<(String, i64)>,
    bytes: usize,
    sha256: String,
    sequence_in_head: Option<u64>,
}

/// Everything that is wrong, one problem on each line.
#[derive(Default)]
struct Problems(String);

impl Problems {
    /// The first ones tell enough.
    fn add(&mut self, problem: impl std::fmt::Display) {
        if self.0.lines().count() >= 20 {
            return;
        }
        writeln!(self.0, "{problem}").expect("a text");
    }

    fn unless(&mut self, holds: bool, problem: impl std::fmt::Display) {
        if !holds {
            self.add(problem);
        }
    }
}

/// Looks at everything. `expected` are the ids of the accepted records and their event times.
pub fn judge(
    expected: &BTreeMap<String, i64>,
    partners: &[PartnerDir],
    stage: &Path,
    ledger: &Path,
) -> Result<(), String> {
    judge_files(expected, partners, stage)?;
    let mut problems = Problems::default();
    judge_ledger(ledger, &mut problems);
    if problems.0.is_empty() { Ok(()) } else { Err(problems.0) }
}

/// Looks at everything but the ledger.
pub fn judge_files(expected: &BTreeMap<String, i64>, partners: &[PartnerDir], stage: &Path) -> Result<(), String> {
    let mut problems = Problems::default();
    for partner in partners {
        judge_partner(expected, partner, &mut problems);
    }
    for left in files_in(stage).keys() {
        problems.add(format!("{left} is left in the archive's stage"));
    }
    if problems.0.is_empty() { Ok(()) } else { Err(problems.0) }
}

/// Looks at what is visible while not everything is delivered: nothing of it may be wrong.
pub fn judge_what_is_visible(expected: &BTreeMap<String, i64>, partners: &[PartnerDir]) -> Result<(), String> {
    let mut problems = Problems::default();
    for partner in partners {
        let files = files_in(&partner.files);
        let (parts, manifests) = read_all(&files, partner.read, &mut problems);
        let mut lost = Problems::default();
        judge_records(expected, &parts, &mut problems, &mut lost);
        // A file that stands in no manifest is not to be used by the partner.
        let mut unlisted = Problems::default();
        judge_manifests(&parts, manifests, &mut problems, &mut unlisted);
    }
    if problems.0.is_empty() { Ok(()) } else { Err(problems.0) }
}

fn judge_partner(expected: &BTreeMap<String, i64>, partner: &PartnerDir, problems: &mut Problems) {
    let files = files_in(&partner.files);
    for name in files.keys().filter(|name| name.contains(".tmp")) {
        problems.add(format!("{name} is left at the partner"));
    }
    let (parts, manifests) = read_all(&files, partner.read, problems);
    let mut missing = Problems::default();
    judge_records(expected, &parts, problems, &mut missing);
    judge_manifests(&parts, manifests, problems, &mut missing);
    problems.0.push_str(&missing.0);
    judge_archive(&files, &partner.archive, problems);
}

type Manifest<'a> = (&'a str, &'a [u8], Value);

/// Part files and manifests; what is temporary is neither.
fn read_all<'a>(
    files: &'a BTreeMap<String, Vec<u8>>,
    read: fn(&str) -> Line,
    problems: &mut Problems,
) -> (BTreeMap<&'a str, Part>, Vec<Manifest<'a>>) {
    let (mut parts, mut manifests) = (BTreeMap::new(), Vec::new());
    for (name, bytes) in files.iter().filter(|(name, _)| !name.contains(".tmp")) {
        if Path::new(name).extension().is_some_and(|ending| ending == "json") {
            match serde_json::from_slice::<Value>(bytes) {
                Ok(manifest) => manifests.push((name.as_str(), bytes.as_slice(), manifest)),
                Err(fault) => problems.add(format!("{name} is no manifest: {fault}")),
            }
        } else {
            parts.insert(name.as_str(), read_part(name, bytes, read, problems));
        }
    }
    (parts, manifests)
}

fn read_part(name: &str, bytes: &[u8], read: fn(&str) -> Line, problems: &mut Problems) -> Part {
    let mut part = Part { ids: Vec::new(), bytes: bytes.len(), sha256: hash(bytes), sequence_in_head: None };
    let text = String::from_utf8_lossy(bytes);
    problems.unless(text.is_empty() || text.ends_with('\n'), format!("{name} ends in the middle of a line"));
    for line in text.lines() {
        match read(line) {
            Line::Head { sequence } => part.sequence_in_head = Some(sequence),
            Line::Record { id, at } => part.ids.push((id, at)),
            Line::Tail { records } => {
                problems.unless(records == part.ids.len() as u64, format!("{name}: the trailer counts {records}"));
            }
            Line::Unknown => problems.add(format!("{name} has a line that is no record")),
        }
    }
    part
}

fn judge_records(
    expected: &BTreeMap<String, i64>,
    parts: &BTreeMap<&str, Part>,
    problems: &mut Problems,
    missing: &mut Problems,
) {
    let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
    for (name, part) in parts {
        for (id, at) in &part.ids {
            problems.unless(expected.get(id) == Some(at), format!("{name}: record {id} was never accepted like this"));
            if let Some(before) = seen.insert(id, name) {
                problems.add(format!("record {id} was delivered twice: {before}, {name}"));
            }
        }
    }
    let lost: Vec<&String> = expected.keys().filter(|id| !seen.contains_key(id.as_str())).collect();
    missing.unless(lost.is_empty(), format!("{} records are lost, first {:?}", lost.len(), lost.first()));
}

fn judge_manifests(
    parts: &BTreeMap<&str, Part>,
    mut manifests: Vec<Manifest<'_>>,
    problems: &mut Problems,
    missing: &mut Problems,
) {
    manifests.sort_by_key(|(_, _, manifest)| manifest["sequence"].as_u64());
    let (mut listed, mut numbers, mut previous) = (BTreeSet::new(), BTreeSet::new(), None);
    // What the last revision of each hour lists.
    let mut hours: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (index, (name, bytes, manifest)) in manifests.iter().enumerate() {
        let number = manifest["sequence"].as_u64();
        problems
            .unless(number == Some(index as u64 + 1), format!("{name} has number {number:?} in place {}", index + 1));
        let stated = manifest["previous_manifest_sha256"].as_str().map(str::to_owned);
        problems.unless(stated == previous, format!("{name} does not follow the manifest before it"));
        previous = Some(hash(bytes));
        let (start, end) = (second(&manifest["interval"]["start_utc"]), second(&manifest["interval"]["end_utc"]));
        let empty = Vec::new();
        let files = manifest["files"].as_array().unwrap_or(&empty);
        let names: BTreeSet<String> =
            files.iter().filter_map(|file| file["name"].as_str().map(str::to_owned)).collect();
        let hour = hours.entry(manifest["interval"]["start_utc"].to_string()).or_default();
        problems.unless(hour.is_subset(&names), format!("{name} leaves out files of the revision before"));
        hour.clone_from(&names);
        for file in files {
            let listed_name = file["name"].as_str().unwrap_or_default();
            let Some(part) = parts.get(listed_name) else {
                problems.add(format!("{name} lists {listed_name}, which is not there"));
                continue;
            };
            let agrees = file["bytes"].as_u64() == Some(part.bytes as u64)
                && file["records"].as_u64() == Some(part.ids.len() as u64)
                && file["sha256"].as_str() == Some(&part.sha256)
                && part.sequence_in_head.is_none_or(|head| file["sequence"].as_u64() == Some(head));
            problems.unless(agrees, format!("{name} says of {listed_name} what is not true"));
            let inside = part.ids.iter().all(|(_, at)| (start..end).contains(at));
            problems.unless(inside, format!("{listed_name} has a record of another hour"));
            listed.insert(listed_name.to_owned());
            numbers.extend(file["sequence"].as_u64());
        }
    }
    for name in parts.keys().filter(|name| !listed.contains(**name)) {
        missing.add(format!("{name} stands in no manifest"));
    }
    let wanted: BTreeSet<u64> = (1..=parts.len() as u64).collect();
    missing.unless(numbers == wanted, format!("the part files have the numbers {numbers:?}"));
}

fn judge_archive(files: &BTreeMap<String, Vec<u8>>, archive: &Path, problems: &mut Problems) {
    use std::os::unix::fs::PermissionsExt;
    let mut archived = BTreeMap::new();
    for (path, bytes) in files_in(archive) {
        let mode = std::fs::metadata(archive.join(&path)).map_or(0, |metadata| metadata.permissions().mode() & 0o777);
        problems.unless(mode == 0o440, format!("archive/{path} has mode {mode:o}"));
        archived.insert(path.rsplit('/').next().unwrap_or_default().to_owned(), bytes);
    }
    for (name, bytes) in files.iter().filter(|(name, _)| !name.contains(".tmp")) {
        match archived.remove(name) {
            None => problems.add(format!("{name} is not in the archive")),
            Some(found) => problems.unless(found == *bytes, format!("{name} has other bytes in the archive")),
        }
    }
    for name in archived.keys() {
        problems.add(format!("{name} lies in the archive alone"));
    }
}

fn judge_ledger(path: &Path, problems: &mut Problems) {
    let ledger = match hourdrop::ledger::Ledger::open_read_only(path) {
        Ok(ledger) => ledger,
        Err(fault) => return problems.add(format!("the ledger cannot be read: {fault}")),
    };
    if let Err(fault) = ledger.verify_facts() {
        problems.add(format!("the history is not whole: {fault}"));
    }
    let query = "SELECT name, state FROM v_files WHERE state NOT IN ('delivered')";
    let open = rusqlite::Connection::open(path).and_then(|connection| {
        let mut statement = connection.prepare(query)?;
        let rows = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))?;
        rows.collect::<Result<Vec<_>, _>>()
    });
    match open {
        Ok(open) => problems.unless(open.is_empty(), format!("the ledger does not have as delivered: {open:?}")),
        Err(fault) => problems.add(format!("the ledger's views cannot be read: {fault}")),
    }
}

fn second(value: &Value) -> i64 {
    let at = value.as_str().and_then(|text| chrono::DateTime::parse_from_rfc3339(text).ok());
    at.map_or(0, |at| at.timestamp())
}

fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a text");
        text
    })
}
