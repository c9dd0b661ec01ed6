//! `init`: a first configuration, guessed from a sample when there is one.

use super::arguments::InitArguments;
use super::{Answer, Context, Failure, exit};
use crate::app::init::{Draft, InitFault, Sample, draft, write};
use crate::disk::RealDisk;
use serde_json::json;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The command.
pub fn run(_context: &Context, arguments: &InitArguments) -> Result<Answer, Failure> {
    let sample = arguments.from_sample.as_deref().map(|path| read_sample(&arguments.dir, path)).transpose()?;
    let sample = sample.as_ref().map(|(path, bytes)| Sample { path, bytes });
    let draft = draft(arguments.name.as_deref(), sample).map_err(|fault| {
        Failure::new("no configuration can be made from this")
            .because(fault)
            .hint("`hourdrop init` without a sample writes an example")
    })?;
    write(&RealDisk, &arguments.dir, &draft).map_err(|fault| match &fault {
        InitFault::Exists(_) => Failure::new(fault.to_string())
            .hint("nothing was written: `init` replaces nothing; name another directory or remove them"),
        InitFault::Sample(_) | InitFault::Disk { .. } => Failure::new(fault.to_string()),
    })?;
    Ok(answer(&arguments.dir, arguments.from_sample.as_deref(), &draft))
}

/// The sample's path as the configuration names it, and its bytes without compression.
fn read_sample(dir: &Path, path: &Path) -> Result<(String, Vec<u8>), Failure> {
    let fault = |fault: std::io::Error| Failure::new(format!("cannot read {}", path.display())).because(fault);
    let mut bytes = Vec::new();
    let mut file = File::open(path).map_err(fault)?;
    file.read_to_end(&mut bytes).map_err(fault)?;
    if bytes.starts_with(&[0x1f, 0x8b]) {
        let mut plain = Vec::new();
        flate2::read::MultiGzDecoder::new(bytes.as_slice()).read_to_end(&mut plain).map_err(fault)?;
        bytes = plain;
    }
    let absolute = path.canonicalize().map_err(fault)?;
    let named = match dir.canonicalize() {
        Ok(dir) => absolute.strip_prefix(&dir).map_or_else(|_| absolute.clone(), PathBuf::from),
        Err(_) => absolute,
    };
    let named = named.to_str().ok_or_else(|| Failure::new(format!("the path {} is no text", path.display())))?;
    Ok((named.to_owned(), bytes))
}

fn answer(dir: &Path, sample: Option<&Path>, draft: &Draft) -> Answer {
    let config = dir.join("hourdrop.toml");
    let option = if dir == Path::new(".") { String::new() } else { format!(" --config {}", shell(&config)) };
    let input = sample.map_or_else(|| "your.csv".to_owned(), shell);
    let next = [
        (format!("hourdrop check{option}"), "proves it and reads it back in plain words"),
        (format!("hourdrop preview{option} acme/{} {input}", draft.name), "shows the bytes that the partner would get"),
        (format!("hourdrop once{option}"), "exports what is there"),
    ];
    let width = next.iter().map(|(command, _)| command.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for (name, _) in &draft.files {
        text.push_str(&format!("wrote {}\n", dir.join(name).display()));
    }
    if let Some((records, rejects)) = draft.decoded {
        text.push_str(&format!(
            "the guessed format reads {records} records of the sample and rejects {rejects} lines\n"
        ));
    }
    for unsure in &draft.unsure {
        text.push_str(&format!("unsure: {unsure}\n"));
    }
    for (index, (command, why)) in next.iter().enumerate() {
        let lead = if index == 0 { "next" } else { "    " };
        text.push_str(&format!("{lead}  {command:<width$}  {why}\n"));
    }
    let files: Vec<String> = draft.files.iter().map(|(name, _)| dir.join(name).display().to_string()).collect();
    let commands: Vec<&String> = next.iter().map(|(command, _)| command).collect();
    let value = json!({
        "files": files,
        "name": draft.name,
        "records": draft.decoded.map(|(records, _)| records),
        "rejects": draft.decoded.map(|(_, rejects)| rejects),
        "unsure": draft.unsure,
        "next": commands,
    });
    Answer { text, json: vec![value], exit: exit::DONE, ..Answer::default() }
}

/// A path as a shell takes it.
fn shell(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_alphanumeric() || "/._-+=:,@%".contains(c);
    if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}
