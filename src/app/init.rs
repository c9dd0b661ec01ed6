//! The first configuration: a source, a partner with one feed, and the formats for both, guessed from a sample.
//!
//! [`draft`] is pure: it gives texts. [`write`] creates files and directories and replaces nothing.

use crate::disk::{Disk, SyncPoint, parent};
use crate::document::{Document, Problems};
use crate::domain::ids::SourceId;
use crate::domain::time::UtcTime;
use crate::format::decode::{Decoded, Decoder};
use crate::format::guess::guess_format;
use crate::format::spec::{FormatSpec, read_format};
use crate::record::{FieldKind, Schema};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// A sample and what is to be made of it.
#[derive(Debug, Clone, Copy)]
pub struct Sample<'s> {
    /// Its path as the configuration will name it.
    pub path: &'s str,
    /// Its bytes, decompressed.
    pub bytes: &'s [u8],
}

/// What `init` writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// Name of source, feed and format.
    pub name: String,
    /// Directories below the target, to be made.
    pub directories: Vec<PathBuf>,
    /// Files below the target with their texts.
    pub files: Vec<(PathBuf, String)>,
    /// Records of the sample that the guessed format decodes, and those that it does not.
    pub decoded: Option<(u64, u64)>,
    /// What the sample does not tell for sure.
    pub unsure: Vec<String>,
}

/// Why nothing can be written.
#[derive(Debug, thiserror::Error)]
pub enum InitFault {
    /// The sample cannot be understood.
    #[error("{0}")]
    Sample(String),
    /// Files that exist already are never replaced.
    #[error("{} exists already", .0.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", "))]
    Exists(Vec<PathBuf>),
    /// The disk refused.
    #[error("cannot write {path}: {source}")]
    Disk {
        /// What was to be written.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

const EXAMPLE_FORMAT: &str = include_str!("init/example-format.toml");
const TEMPLATE: &str = include_str!("init/hourdrop.toml");

/// Puts the files together. `name` is what source, feed and format are called.
///
/// # Errors
/// [`InitFault::Sample`] when the sample is no file of records, or its records have no time.
pub fn draft(name: Option<&str>, sample: Option<Sample<'_>>) -> Result<Draft, InitFault> {
    let name = match (name, sample) {
        (Some(name), _) => SourceId::parse(name).map_err(|fault| InitFault::Sample(fault.to_string()))?.to_string(),
        (None, Some(sample)) => identifier(sample.path),
        (None, None) => "calls".to_owned(),
    };
    match sample {
        Some(sample) => from_sample(name, sample),
        None => Ok(example(name)),
    }
}

fn example(name: String) -> Draft {
    let spec = read(EXAMPLE_FORMAT, &name);
    let schema = spec.as_ref().and_then(|spec| spec.read.as_ref()).map(|read| read.schema()).unwrap_or_default();
    let config = configuration(&Settings {
        name: &name,
        files: "incoming/*.csv",
        hour_by: "start_time",
        starts_at: None,
        reject_max: None,
    });
    Draft {
        directories: vec![PathBuf::from("incoming"), PathBuf::from("drop")],
        files: files(&name, config, EXAMPLE_FORMAT.to_owned(), &output_format(&schema)),
        name,
        decoded: None,
        unsure: Vec::new(),
    }
}

fn from_sample(name: String, sample: Sample<'_>) -> Result<Draft, InitFault> {
    let file = Path::new(sample.path).file_name().unwrap_or_default().to_string_lossy();
    let guess = guess_format(sample.bytes, &file).map_err(InitFault::Sample)?;
    let spec = read(&guess.text, &name).ok_or_else(|| InitFault::Sample("the guess does not compile".to_owned()))?;
    let seen = Seen::of(&spec, sample.bytes);
    let (hour_by, earliest) = seen.time.ok_or_else(|| {
        InitFault::Sample("no column of the sample holds times, so its records belong to no hour".to_owned())
    })?;
    let starts_at = earliest.seconds().div_euclid(3600) * 3600;
    let config = configuration(&Settings {
        name: &name,
        files: &pattern_of(sample.path),
        hour_by: &hour_by,
        starts_at: Some(starts_at),
        reject_max: (seen.rejects > 0).then(|| (seen.rejects * 100).div_ceil(seen.rejects + seen.records) + 1),
    });
    Ok(Draft {
        directories: vec![PathBuf::from("drop")],
        files: files(&name, config, guess.text, &output_format(&seen.schema)),
        name,
        decoded: Some((seen.records, seen.rejects)),
        unsure: guess.unsure,
    })
}

fn files(name: &str, config: String, format: String, output: &str) -> Vec<(PathBuf, String)> {
    let formats = Path::new("formats");
    vec![
        (PathBuf::from("hourdrop.toml"), config),
        (formats.join(format!("{name}.toml")), format),
        (formats.join(format!("{name}-out.toml")), output.to_owned()),
    ]
}

fn read(text: &str, name: &str) -> Option<FormatSpec> {
    read_format(Document { name: name.to_owned(), text: text.to_owned() }, name, &Problems::default())
}

/// What the whole sample shows.
struct Seen {
    schema: Schema,
    records: u64,
    rejects: u64,
    /// The time field that most records have, the first of these, and the earliest time in it.
    time: Option<(String, UtcTime)>,
}

impl Seen {
    fn of(spec: &FormatSpec, bytes: &[u8]) -> Self {
        let mut seen = Self { schema: Schema::default(), records: 0, rejects: 0, time: None };
        let Some(read) = &spec.read else { return seen };
        let schema = read.schema();
        let mut times: Vec<(usize, u64, UtcTime)> = Vec::new();
        let fields = schema.fields.iter().enumerate().filter(|(_, field)| field.kind == FieldKind::Time);
        times.extend(fields.map(|(index, _)| (index, 0, UtcTime::MAX)));
        let mut decoder = Decoder::new(&spec.dialect, read);
        let mut found = Decoded::new(read.schema());
        let mut pieces = bytes.chunks(256 << 10);
        loop {
            let piece = pieces.next();
            match piece {
                Some(piece) => decoder.push(piece, &mut found),
                None => decoder.finish(&mut found),
            }
            seen.records += found.block.len() as u64;
            seen.rejects += found.rejects.len() as u64;
            for record in found.block.iter() {
                for (index, count, earliest) in &mut times {
                    if let Some(at) = record.time(*index) {
                        *count += 1;
                        *earliest = at.min(*earliest);
                    }
                }
            }
            found.clear();
            if piece.is_none() {
                break;
            }
        }
        let most = times.iter().map(|(_, count, _)| *count).max().filter(|most| *most > 0);
        let best = times.iter().find(|(_, count, _)| Some(*count) == most);
        seen.time = best.and_then(|(index, _, earliest)| Some((schema.fields.get(*index)?.name.clone(), *earliest)));
        seen.schema = schema.as_ref().clone();
        seen
    }
}

struct Settings<'s> {
    name: &'s str,
    files: &'s str,
    hour_by: &'s str,
    starts_at: Option<i64>,
    reject_max: Option<u64>,
}

fn configuration(settings: &Settings<'_>) -> String {
    let starts_at = match settings.starts_at.and_then(|at| chrono::DateTime::from_timestamp(at, 0)) {
        Some(at) => format!("starts_at = {}", quoted(&at.format("%Y-%m-%dT%H:%M:%SZ").to_string())),
        None => "# starts_at = \"2026-12-01T00:00:00Z\"   # records before it are not exported".to_owned(),
    };
    let reject_max = settings.reject_max.map(|share| {
        format!(
            "reject_max = \"{}%\"               # the sample has lines that are no records; 1% is usual\n",
            share.min(100)
        )
    });
    TEMPLATE
        .replace("@NAME@", settings.name)
        .replace("\"@FILES@\"", &quoted(settings.files))
        .replace("\"@HOUR_BY@\"", &quoted(settings.hour_by))
        .replace("@STARTS_AT@", &starts_at)
        .replace("@REJECT_MAX@\n", &reject_max.unwrap_or_default())
}

/// A delimited format with all fields, a header and a trailer that counts.
fn output_format(schema: &Schema) -> String {
    let mut text = String::from(
        "# What the partner gets: one line for each record, a header, and a trailer that counts the records.\n\
         kind      = \"delimited\"\n\
         separator = \",\"\n\
         quote     = '\"'\n\
         controls  = \" \"                            # a control character in a value becomes a blank\n\
         header    = [ { text = \"H\" }, { value = \"{start:%Y-%m-%dT%H:%M:%S%:z}\" }, { value = \"{seq}\" } ]\n\
         record    = [\n",
    );
    for field in &schema.fields {
        let note = match field.kind {
            FieldKind::Time => "   # RFC 3339 in the feed's zone; time = \"%Y%m%d%H%M%S\" writes it otherwise",
            FieldKind::Number | FieldKind::Text => "",
        };
        text.push_str(&format!("  {{ field = {} }},{note}\n", quoted(&field.name)));
    }
    text.push_str("]\ntrailer   = [ { text = \"T\" }, { count = \"record\" } ]   # header and trailer not counted\n");
    text
}

/// A name of source and feed from the name of a file.
fn identifier(path: &str) -> String {
    let stem = Path::new(path).file_stem().unwrap_or_default().to_string_lossy().to_lowercase();
    let plain: String =
        stem.chars().map(|c| if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '_' }).take(28).collect();
    let plain = plain.trim_matches('_');
    if plain.is_empty() { "calls".to_owned() } else { plain.to_owned() }
}

/// A path as a pattern that matches itself only.
fn pattern_of(path: &str) -> String {
    match path.rsplit_once('/') {
        Some((dir, file)) => format!("{dir}/{}", glob::Pattern::escape(file)),
        None => glob::Pattern::escape(path),
    }
}

/// A text as TOML writes it.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// Creates the directories and files of a draft below `dir`. Nothing is created when one of the files exists.
///
/// # Errors
/// [`InitFault`].
pub fn write(disk: &dyn Disk, dir: &Path, draft: &Draft) -> Result<(), InitFault> {
    let fault = |path: &Path| {
        let path = path.to_owned();
        move |source| InitFault::Disk { path, source }
    };
    let mut existing = Vec::new();
    for (name, _) in &draft.files {
        let path = dir.join(name);
        if disk.stat(&path).map_err(fault(&path))?.is_some() {
            existing.push(path);
        }
    }
    if !existing.is_empty() {
        return Err(InitFault::Exists(existing));
    }
    for name in &draft.directories {
        let path = dir.join(name);
        disk.create_dir_all(&path, SyncPoint::StateFile).map_err(fault(&path))?;
    }
    for (name, text) in &draft.files {
        let path = dir.join(name);
        disk.create_dir_all(parent(&path), SyncPoint::StateFile).map_err(fault(&path))?;
        let mut file = disk.create_new(&path).map_err(fault(&path))?;
        file.write_all(text.as_bytes()).map_err(fault(&path))?;
        file.sync(SyncPoint::StateFile).map_err(fault(&path))?;
        disk.sync_dir(parent(&path), SyncPoint::StateFile).map_err(fault(&path))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
