//! The demonstration: a directory with sample records, formats and a configuration for two partners. Everything after
//! that is the ordinary pipeline.

use super::config::{Config, PartnerConfig};
use crate::archive::Archive;
use crate::disk::{Disk, RealDisk, SyncPoint};
use crate::domain::batch::HourCounts;
use crate::domain::period::{Partition, offset_label};
use crate::feed::definition::FeedDefinition;
use crate::format::dialect::FormatKind;
use crate::ledger::Ledger;
use crate::ledger::LedgerFault;
use crate::ledger::reports::FileRow;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The file that shows that a directory was made by the demonstration, so that it may be made anew.
const MARK: &str = "made-by-hourdrop-demo";
/// Password of both partners.
pub const PASSWORD: &str = "demo";
/// The partners, each with a directory of its own on the built-in server.
pub const PARTNERS: [&str; 2] = ["huaxin", "meridian"];

macro_rules! embedded {
    ($($path:literal),* $(,)?) => {
        [$(($path, include_bytes!(concat!("../../", $path)).as_slice())),*]
    };
}

const FILES: [(&str, &[u8]); 25] = embedded![
    "formats/kamailio-acc-cdrs.toml",
    "formats/sample-calls.toml",
    "formats/huaxin-voice.toml",
    "formats/huaxin-summary.toml",
    "formats/meridian-fixed.toml",
    "sample-data/kamailio/A_acc_cdrs_1.log",
    "sample-data/kamailio/A_acc_cdrs_129.log",
    "sample-data/kamailio/A_acc_cdrs_130.log",
    "sample-data/calls/cdr_00001.csv",
    "sample-data/calls/cdr_00002.csv",
    "sample-data/calls/cdr_00003.csv",
    "sample-data/calls/cdr_00004.csv",
    "sample-data/calls/cdr_00005.csv",
    "sample-data/calls/cdr_00006.csv",
    "sample-data/calls/cdr_00007.csv",
    "sample-data/calls/cdr_00008.csv",
    "sample-data/calls/cdr_00009.csv",
    "sample-data/calls/cdr_00010.csv",
    "sample-data/calls/cdr_00011.csv",
    "sample-data/calls/cdr_00012.csv",
    "sample-data/calls/cdr_00013.csv",
    "sample-data/calls/cdr_00014.csv",
    "sample-data/calls/cdr_00015.csv",
    "sample-data/calls/cdr_00016.csv",
    "sample-data/calls/cdr_00017.csv",
];

const CONFIG: &str = include_str!("demo.toml");

/// Makes the directory anew: data, formats, and one directory for each partner. The configuration follows when the
/// server's port is known.
///
/// # Errors
/// What the disk says; `AlreadyExists` when the directory is there and was not made by the demonstration.
pub fn prepare(dir: &Path) -> io::Result<()> {
    if dir.exists() {
        if !dir.join(MARK).exists() {
            let message = format!("{} is there already and was not made by the demo", dir.display());
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, message));
        }
        std::fs::remove_dir_all(dir)?;
    }
    write(&dir.join(MARK), b"hourdrop demo makes this directory anew each time.\n")?;
    for (path, bytes) in FILES {
        write(&dir.join(path), bytes)?;
    }
    for partner in PARTNERS {
        RealDisk.create_dir_all(&root_of(dir, partner), SyncPoint::StateFile)?;
    }
    let secret = dir.join("password");
    write(&secret, PASSWORD.as_bytes())?;
    std::fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600))
}

/// The directory that a partner sees as `/`.
#[must_use]
pub fn root_of(dir: &Path, partner: &str) -> PathBuf {
    dir.join("ftp").join(partner)
}

/// Writes the configuration for a server on `port` and returns its path.
///
/// # Errors
/// What the disk says.
pub fn configure(dir: &Path, port: u16) -> io::Result<PathBuf> {
    let path = dir.join("hourdrop.toml");
    write(&path, CONFIG.replace("{port}", &port.to_string()).as_bytes())?;
    Ok(path)
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    RealDisk.create_dir_all(crate::disk::parent(path), SyncPoint::StateFile)?;
    RealDisk.create_new(path)?.write_all(bytes)
}

/// One feed on the demonstration's screen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DemoFeed {
    /// `partner/feed`.
    pub name: String,
    /// Hours sealed.
    pub hours: u64,
    /// Part files.
    pub files: u64,
    /// Records in them.
    pub records: u64,
    /// Every file is delivered and verified.
    pub delivered: bool,
    /// The layout in words.
    pub layout: String,
    /// The zone in a word.
    pub zone: String,
    /// What became of the records.
    pub counts: HourCounts,
    /// Two hours with the same local label, where clocks went back: label, offsets, records.
    pub twins: Option<(String, [String; 2], [u64; 2])>,
}

/// What the demonstration shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DemoReport {
    /// Input files of each source, records, quarantined, and where they lie.
    pub sources: Vec<(u64, u64, u64, String)>,
    /// The feeds.
    pub feeds: Vec<DemoFeed>,
    /// Part files and manifests in the archive.
    pub archived: (u64, u64),
    /// Each of them has the bytes that lie in the partner's directory on the server.
    pub identical: bool,
    /// What the first partner saw: name, bytes, records, hour; and how many more.
    pub seen: Vec<(FileRow, String)>,
    /// Files of the first partner that are not shown.
    pub more: u64,
}

/// Collects what the demonstration shows from the ledger, the archive and the server's directories.
///
/// # Errors
/// [`LedgerFault`] when the ledger cannot be read.
pub fn report(dir: &Path, config: &Config, ledger: &Ledger) -> Result<DemoReport, LedgerFault> {
    let archive = Archive::new(Arc::new(RealDisk), config.archive.clone());
    let (mut feeds, mut seen, mut more) = (Vec::new(), Vec::new(), 0);
    let (mut archived, mut identical) = ((0, 0), true);
    for (index, partner) in config.partners.iter().enumerate() {
        for definition in &partner.feeds {
            let files = ledger.file_rows(&definition.id)?;
            feeds.push(feed(definition, &files, ledger)?);
            archived.0 += files.iter().filter(|file| file.part.0 > 0).count() as u64;
            archived.1 += files.iter().filter(|file| file.part.0 == 0).count() as u64;
            identical &=
                files.iter().all(|file| same_bytes(&archive, &root_of(dir, partner.id.as_str()), partner, file));
            if index == 0 && seen.is_empty() {
                more = files.len().saturating_sub(2) as u64;
                let first = files.into_iter().take(2);
                seen.extend(first.map(|file| (file.clone(), hour_words(definition, file.partition))));
            }
        }
    }
    let sources = sources(dir, config, ledger)?;
    Ok(DemoReport { sources, feeds, archived, identical, seen, more })
}

fn sources(dir: &Path, config: &Config, ledger: &Ledger) -> Result<Vec<(u64, u64, u64, String)>, LedgerFault> {
    let totals = ledger.source_totals()?;
    let mut rows = Vec::new();
    for source in &config.sources {
        let Some(total) = totals.iter().find(|total| total.source == source.id.as_str()) else { continue };
        let super::config::SourceKind::Files(rules) = &source.kind else { continue };
        let files = ledger.latest_input_names(&source.id, 1000)?.len() as u64;
        let place = crate::disk::parent(&rules.path).strip_prefix(dir).unwrap_or(&rules.path);
        rows.push((files, total.records, total.quarantined, place.display().to_string()));
    }
    Ok(rows)
}

fn feed(definition: &FeedDefinition, files: &[FileRow], ledger: &Ledger) -> Result<DemoFeed, LedgerFault> {
    let batches = ledger.batch_rows(&definition.id)?;
    let counts = ledger.hour_rows(&definition.id)?.into_iter().fold(HourCounts::default(), |sum, row| HourCounts {
        received: sum.received + row.counts.received,
        filtered: sum.filtered + row.counts.filtered,
        quarantined: sum.quarantined + row.counts.quarantined,
        duplicate: sum.duplicate + row.counts.duplicate,
    });
    let parts = || files.iter().filter(|file| file.part.0 > 0);
    Ok(DemoFeed {
        name: definition.id.to_string(),
        hours: batches.len() as u64,
        files: parts().count() as u64,
        records: parts().map(|file| file.records).sum(),
        delivered: files.iter().all(|file| file.state == "delivered"),
        layout: layout_words(definition),
        zone: definition.period.zone().to_string().rsplit('/').next().unwrap_or_default().replace('_', " "),
        counts,
        twins: twins(definition, files),
    })
}

fn layout_words(definition: &FeedDefinition) -> String {
    let dialect = &definition.format.dialect;
    let kind = match dialect.kind {
        FormatKind::Delimited if dialect.separator == "|" => "pipe".to_owned(),
        FormatKind::Delimited => "delimited".to_owned(),
        FormatKind::Fixed => format!("fixed {}", dialect.line_bytes.unwrap_or(0)),
        FormatKind::JsonLines => "JSON lines".to_owned(),
    };
    let charset = dialect.charset.name();
    let charset = if charset.starts_with("windows") { charset.to_owned() } else { charset.to_uppercase() };
    format!("{kind} {charset}")
}

fn local(definition: &FeedDefinition, second: i64, layout: &str) -> String {
    definition.period.zone().clock_text(second, layout)
}

fn hour_words(definition: &FeedDefinition, hour: Partition) -> String {
    let offset = offset_label(definition.period.zone().offset_at(hour.start));
    format!("{}-{} {offset}", local(definition, hour.start, "%H:%M"), local(definition, hour.end, "%H:%M"))
}

/// The first two hours that show the same local time.
fn twins(definition: &FeedDefinition, files: &[FileRow]) -> Option<(String, [String; 2], [u64; 2])> {
    let parts: Vec<&FileRow> = files.iter().filter(|file| file.part.0 > 0).collect();
    parts.windows(2).find_map(|pair| {
        let [one, two] = pair else { return None };
        let label = |file: &FileRow| local(definition, file.partition.start, "%Y-%m-%d %H:");
        let offset = |file: &FileRow| offset_label(definition.period.zone().offset_at(file.partition.start));
        let doubled = label(one) == label(two) && offset(one) != offset(two);
        let hour = local(definition, one.partition.start, "%H:");
        doubled.then(|| (hour, [offset(one), offset(two)], [one.records, two.records]))
    })
}

fn same_bytes(archive: &Archive, root: &Path, partner: &PartnerConfig, file: &FileRow) -> bool {
    let Some(path) = &file.archive_path else { return false };
    let dropped = root.join(partner.address.directory.as_str().trim_start_matches('/')).join(&file.name);
    let read = |mut reader: Box<dyn Read>| {
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).map(|_| bytes)
    };
    let archived = archive.open(path).map(|reader| reader as Box<dyn Read>).and_then(read);
    let dropped = RealDisk.open_read(&dropped).map(|reader| reader as Box<dyn Read>).and_then(read);
    matches!((archived, dropped), (Ok(archived), Ok(dropped)) if archived == dropped)
}
