//! The partner: a program that looks into the directory now and then, and believes what it sees.
//!
//! It keeps the rules that such programs have: a name has one content for ever, numbers come without gap, a manifest
//! comes after everything that it lists, and what was taken does not come again.

use super::disk::SimDisk;
use hourdrop::domain::ids::Sha256Digest;
use hourdrop::format::manifest::parse_json;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};

/// The directory that the partner looks into.
pub const DROP: &str = "drop";

/// A file that was seen under its final name.
struct Seen {
    bytes: Vec<u8>,
    is_taken: bool,
}

/// What the partner knows.
#[derive(Default)]
pub struct Partner {
    seen: BTreeMap<String, Seen>,
    /// Files that a person let go out again.
    resent: BTreeSet<String>,
}

fn is_temporary(name: &str) -> bool {
    name.ends_with(".tmp")
}

/// `HX_2024110302_00001.dat`: series and number. Data files and manifests of a feed are series of their own.
fn number_of(name: &str) -> (String, u32) {
    let (stem, kind) = name.rsplit_once('.').expect("a name with an ending");
    let (_, number) = stem.rsplit_once('_').expect("a name with a number");
    (format!("{}.{kind}", &stem[..2]), number.parse().expect("a number"))
}

fn digest(bytes: &[u8]) -> Sha256Digest {
    Sha256Digest(Sha256::digest(bytes).into())
}

/// The ids of the records in a data file, and whether each lies in the hour of the file's name.
fn records(name: &str, bytes: &[u8]) -> Result<Vec<String>, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| format!("{name} is not text"))?;
    let lines: Vec<&str> = text.lines().collect();
    let [header, body @ .., trailer] = lines.as_slice() else {
        return Err(format!("{name} has no header and trailer"));
    };
    let count = trailer.strip_prefix("T|").and_then(|rest| rest.split('|').next()).unwrap_or_default();
    if !header.starts_with("H|") || count != body.len().to_string() {
        return Err(format!("header, records and trailer of {name} do not agree"));
    }
    let mut ids = Vec::new();
    for line in body {
        let cells: Vec<&str> = line.split('|').collect();
        let (Some(start), Some(id)) = (cells.first(), cells.get(6)) else { return Err(format!("a line of {name}")) };
        if name.starts_with("HX") && !start.starts_with(&name[3..13]) {
            return Err(format!("{name} holds a record of another hour"));
        }
        ids.push((*id).to_owned());
    }
    Ok(ids)
}

impl Partner {
    /// Looks at everything there is.
    pub fn look(&mut self, disk: &SimDisk) -> Result<(), String> {
        for (path, bytes) in disk.files_below(DROP) {
            let name = path.trim_start_matches("drop/");
            if is_temporary(name) {
                continue;
            }
            match self.seen.get_mut(name) {
                Some(known) if known.bytes != bytes => return Err(format!("{name} was seen with other bytes before")),
                Some(known) if known.is_taken && !self.resent.remove(name) => {
                    return Err(format!("{name} was taken and came again"));
                }
                Some(known) => known.is_taken = false,
                None => {
                    self.seen.insert(name.to_owned(), Seen { bytes, is_taken: false });
                }
            }
        }
        self.check_order()
    }

    /// Takes some of the files away that it has just seen.
    pub fn pick_up(&mut self, disk: &SimDisk, random: &mut fastrand::Rng) {
        for (path, _) in disk.files_below(DROP) {
            let seen = self.seen.get_mut(path.trim_start_matches("drop/"));
            if let Some(seen) = seen.filter(|_| random.bool()) {
                disk.take(&path);
                seen.is_taken = true;
            }
        }
    }

    pub fn has_taken(&self, name: &str) -> bool {
        self.seen.get(name).is_some_and(|seen| seen.is_taken)
    }

    /// A person lets a file go out again, and the partner knows that.
    pub fn expect_again(&mut self, name: &str) {
        self.resent.insert(name.to_owned());
    }

    /// Numbers begin with 1 and have no gap; what a manifest lists was there before it.
    fn check_order(&self) -> Result<(), String> {
        let mut series: BTreeMap<String, BTreeSet<u32>> = BTreeMap::new();
        for name in self.seen.keys() {
            let (kind, number) = number_of(name);
            if !series.entry(kind).or_default().insert(number) {
                return Err(format!("the number of {name} was given twice"));
            }
        }
        for (kind, numbers) in series {
            let expected = 1..=u32::try_from(numbers.len()).expect("small");
            if !numbers.iter().copied().eq(expected) {
                return Err(format!("numbers of {kind} are {numbers:?}"));
            }
        }
        for (name, seen) in self.seen.iter().filter(|(name, _)| name.ends_with(".json")) {
            let manifest = parse_json(&seen.bytes).map_err(|fault| format!("{name}: {fault}"))?;
            for file in manifest.files {
                let Some(data) = self.seen.get(&file.name) else {
                    return Err(format!("{name} came before {}", file.name));
                };
                if (data.bytes.len() as u64, digest(&data.bytes)) != (file.bytes, file.sha256) {
                    return Err(format!("{} is not what {name} says", file.name));
                }
            }
        }
        Ok(())
    }

    /// At the end: every record once for each feed, every manifest in the chain, the archive equal to what came.
    pub fn check_everything(&self, disk: &SimDisk, ids: &BTreeSet<String>) -> Result<(), String> {
        self.check_order()?;
        for feed in ["HX", "MR"] {
            let mut found = BTreeSet::new();
            for (name, seen) in self.seen.iter().filter(|(name, _)| name.starts_with(feed) && name.ends_with(".dat")) {
                for id in records(name, &seen.bytes)? {
                    if !found.insert(id.clone()) {
                        return Err(format!("record {id} came twice to {feed}"));
                    }
                }
            }
            if found != *ids {
                let lost: Vec<&String> = ids.difference(&found).collect();
                return Err(format!("records {lost:?} did not come to {feed}"));
            }
        }
        self.check_manifests()?;
        self.check_archive(disk)
    }

    fn check_manifests(&self) -> Result<(), String> {
        let manifests = self.seen.iter().filter(|(name, _)| name.ends_with(".json"));
        let mut manifests: Vec<(u32, &Vec<u8>)> =
            manifests.map(|(name, seen)| (number_of(name).1, &seen.bytes)).collect();
        manifests.sort_unstable();
        let mut listed = BTreeSet::new();
        let mut previous = None;
        for (number, bytes) in manifests {
            let manifest = parse_json(bytes).map_err(|fault| fault.to_string())?;
            if manifest.previous_manifest != previous {
                return Err(format!("manifest {number} does not follow the one before it"));
            }
            previous = Some(digest(bytes));
            listed.extend(manifest.files.into_iter().map(|file| file.name));
        }
        let data = self.seen.keys().filter(|name| name.starts_with("HX") && name.ends_with(".dat"));
        if !data.eq(listed.iter()) {
            return Err("the manifests do not list exactly the data files".to_owned());
        }
        Ok(())
    }

    fn check_archive(&self, disk: &SimDisk) -> Result<(), String> {
        let ours = |name: &str| name.ends_with(".dat") || name.ends_with(".json");
        let archived: BTreeMap<String, Vec<u8>> = disk
            .files_below("archive/huaxin")
            .into_iter()
            .map(|(path, bytes)| (path.rsplit('/').next().unwrap_or_default().to_owned(), bytes))
            .filter(|(name, _)| ours(name))
            .collect();
        let same = archived.len() == self.seen.len()
            && archived.iter().zip(&self.seen).all(|((a, bytes), (b, seen))| a == b && *bytes == seen.bytes);
        if same { Ok(()) } else { Err("the archive is not what the partner got".to_owned()) }
    }

    /// Everything that was seen.
    pub fn content(&self) -> BTreeMap<String, Vec<u8>> {
        self.seen.iter().map(|(name, seen)| (name.clone(), seen.bytes.clone())).collect()
    }
}
