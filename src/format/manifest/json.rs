//! The built-in manifest: a JSON document (RFC 8259) with a stable order of keys.
//!
//! Counts and sizes are JSON numbers. Sums are strings, because most readers would make floats of them. Times are
//! RFC 3339 in the feed's zone; the interval stands there in UTC as well.

use super::{ManifestCounts, ManifestFile, ManifestStatement};
use crate::domain::ids::Sha256Digest;
use crate::domain::period::{Partition, Zone};
use crate::domain::time::UtcTime;
use crate::format::time_layout::{Ambiguous, TimeLayout};
use crate::record::Decimal;
use serde_json::{Map, Value, json};

/// Version of this document's layout.
const VERSION: u64 = 1;

/// What is wrong with a JSON manifest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestFault {
    /// Not JSON.
    #[error("the manifest is not JSON: {0}")]
    NotJson(String),
    /// A later layout than this program knows.
    #[error("the manifest has layout version {found}, known is {VERSION}")]
    Version {
        /// The version found.
        found: u64,
    },
    /// A key is missing or has the wrong kind of value.
    #[error("`{key}` must be {expected}")]
    Key {
        /// Path of the key.
        key: String,
        /// What must stand there.
        expected: &'static str,
    },
}

fn time_text(at: UtcTime, zone: Zone) -> String {
    let mut text = Vec::new();
    if let Ok(layout) = TimeLayout::compile("rfc3339") {
        layout.write(at, zone, &mut text);
    }
    String::from_utf8_lossy(&text).into_owned()
}

fn totals(sums: &[(String, Decimal)]) -> Value {
    Value::Object(sums.iter().map(|(name, sum)| (name.clone(), Value::String(sum.to_string()))).collect())
}

/// The bytes of a manifest.
pub(super) fn render(statement: &ManifestStatement) -> Vec<u8> {
    let zone = statement.zone;
    let (start, end) = (statement.partition.start_time(), statement.partition.end_time());
    let time = |at: Option<UtcTime>| at.map(|at| time_text(at, zone));
    let files: Vec<Value> = statement
        .files
        .iter()
        .map(|file| {
            json!({
                "name": file.name,
                "bytes": file.bytes,
                "records": file.records,
                "sha256": file.sha256.to_string(),
                "sequence": file.sequence,
                "cycle": file.cycle,
                "revision": file.revision,
                "first_event": time(file.first_event),
                "last_event": time(file.last_event),
                "totals": totals(&file.totals),
            })
        })
        .collect();
    let counts = statement.counts;
    let mut document = json!({
        "manifest": VERSION,
        "partner": statement.partner,
        "feed": statement.feed,
        "file": statement.file,
        "sequence": statement.sequence,
        "revision": statement.revision,
        "sealed_at": time_text(statement.sealed_at, zone),
        "zone": zone.to_string(),
        "interval": {
            "start": time_text(start, zone),
            "end": time_text(end, zone),
            "start_utc": time_text(start, Zone::UTC),
            "end_utc": time_text(end, Zone::UTC),
        },
        "empty": statement.empty,
        "source_incomplete": statement.source_incomplete,
        "records": statement.records,
        "totals": totals(&statement.totals),
        "counts": {
            "received": counts.received,
            "filtered": counts.filtered,
            "quarantined": counts.quarantined,
            "duplicate": counts.duplicate,
        },
        "files": files,
        "voided_sequences": statement.voided,
        "voided_manifest_sequences": statement.voided_manifests,
        "previous_manifest_sha256": statement.previous_manifest.map(|digest| digest.to_string()),
    });
    // What is in no file for no stated reason was lost with damaged frames of the spool.
    let accounted = statement.records + counts.filtered + counts.quarantined;
    let lost = counts.received.saturating_sub(accounted);
    if let Some(object) = document.get_mut("counts").and_then(Value::as_object_mut).filter(|_| lost > 0) {
        object.insert("lost".to_owned(), lost.into());
    }
    let mut text = format!("{document:#}").into_bytes();
    text.push(b'\n');
    text
}

/// Reads a manifest that [`super::ManifestLayout::Json`] wrote. Unknown keys are ignored.
///
/// # Errors
/// [`ManifestFault`] for the first thing that is wrong.
pub fn parse_json(bytes: &[u8]) -> Result<ManifestStatement, ManifestFault> {
    let document: Value = serde_json::from_slice(bytes).map_err(|fault| ManifestFault::NotJson(fault.to_string()))?;
    let root = Object { path: String::new(), value: document.as_object() };
    let version = root.number("manifest")?;
    if version != VERSION {
        return Err(ManifestFault::Version { found: version });
    }
    let zone = Zone::parse(&root.text("zone")?).ok_or_else(|| root.fault("zone", "a time zone"))?;
    let (interval, counts) = (root.object("interval"), root.object("counts"));
    Ok(ManifestStatement {
        partner: root.text("partner")?,
        feed: root.text("feed")?,
        file: root.text("file")?,
        partition: Partition { start: interval.time("start_utc")?.seconds(), end: interval.time("end_utc")?.seconds() },
        zone,
        sealed_at: root.time("sealed_at")?,
        sequence: root.optional("sequence", Object::number)?,
        revision: root.small_number("revision")?,
        previous_manifest: root.optional("previous_manifest_sha256", Object::digest)?,
        files: root.files()?,
        records: root.number("records")?,
        totals: root.object("totals").decimals()?,
        counts: ManifestCounts {
            received: counts.number("received")?,
            filtered: counts.number("filtered")?,
            quarantined: counts.number("quarantined")?,
            duplicate: counts.number("duplicate")?,
        },
        empty: root.truth("empty")?,
        source_incomplete: root.truth("source_incomplete")?,
        voided: root.numbers("voided_sequences")?,
        voided_manifests: root.optional("voided_manifest_sequences", Object::numbers)?.unwrap_or_default(),
    })
}

/// A JSON object with its path, for faults.
struct Object<'j> {
    path: String,
    value: Option<&'j Map<String, Value>>,
}

impl<'j> Object<'j> {
    fn get(&self, key: &str) -> Option<&'j Value> {
        self.value.and_then(|map| map.get(key))
    }

    fn fault(&self, key: &str, expected: &'static str) -> ManifestFault {
        let dot = if self.path.is_empty() || key.is_empty() { "" } else { "." };
        ManifestFault::Key { key: format!("{}{dot}{key}", self.path), expected }
    }

    fn object(&self, key: &str) -> Self {
        Self { path: key.to_owned(), value: self.get(key).and_then(Value::as_object) }
    }

    fn text(&self, key: &str) -> Result<String, ManifestFault> {
        self.get(key).and_then(Value::as_str).map(str::to_owned).ok_or_else(|| self.fault(key, "a text"))
    }

    fn number(&self, key: &str) -> Result<u64, ManifestFault> {
        self.get(key).and_then(Value::as_u64).ok_or_else(|| self.fault(key, "a whole number"))
    }

    fn small_number(&self, key: &str) -> Result<u32, ManifestFault> {
        u32::try_from(self.number(key)?).map_err(|_| self.fault(key, "a small whole number"))
    }

    fn truth(&self, key: &str) -> Result<bool, ManifestFault> {
        self.get(key).and_then(Value::as_bool).ok_or_else(|| self.fault(key, "true or false"))
    }

    fn time(&self, key: &str) -> Result<UtcTime, ManifestFault> {
        let text = self.text(key)?;
        let layout = TimeLayout::compile("rfc3339").ok();
        let parsed = layout.and_then(|layout| layout.parse(text.as_bytes(), Zone::UTC, Ambiguous::Reject).ok());
        parsed.ok_or_else(|| self.fault(key, "an RFC 3339 time"))
    }

    fn digest(&self, key: &str) -> Result<Sha256Digest, ManifestFault> {
        Sha256Digest::parse(&self.text(key)?).ok_or_else(|| self.fault(key, "64 hexadecimal digits"))
    }

    fn optional<T>(
        &self,
        key: &str,
        read: impl Fn(&Self, &str) -> Result<T, ManifestFault>,
    ) -> Result<Option<T>, ManifestFault> {
        match self.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(_) => read(self, key).map(Some),
        }
    }

    fn list(&self, key: &str) -> Result<&'j Vec<Value>, ManifestFault> {
        self.get(key).and_then(Value::as_array).ok_or_else(|| self.fault(key, "a list"))
    }

    fn numbers(&self, key: &str) -> Result<Vec<u64>, ManifestFault> {
        let numbers = self.list(key)?.iter().map(Value::as_u64);
        numbers.collect::<Option<Vec<u64>>>().ok_or_else(|| self.fault(key, "a list of whole numbers"))
    }

    fn decimals(&self) -> Result<Vec<(String, Decimal)>, ManifestFault> {
        let map = self.value.ok_or_else(|| self.fault("", "an object"))?;
        let decimal = |(name, value): (&String, &Value)| {
            let sum = value.as_str().and_then(|text| Decimal::parse(text.as_bytes()).ok());
            sum.map(|sum| (name.clone(), sum)).ok_or_else(|| self.fault(name, "a decimal number as text"))
        };
        map.iter().map(decimal).collect()
    }

    fn files(&self) -> Result<Vec<ManifestFile>, ManifestFault> {
        let files = self.list("files")?.iter().enumerate();
        files
            .map(|(index, value)| {
                let file = Object { path: format!("files[{index}]"), value: value.as_object() };
                let sums = Object { path: format!("files[{index}].totals"), ..file.object("totals") };
                Ok(ManifestFile {
                    name: file.text("name")?,
                    bytes: file.number("bytes")?,
                    records: file.number("records")?,
                    sha256: file.digest("sha256")?,
                    sequence: file.number("sequence")?,
                    cycle: file.number("cycle")?,
                    first_event: file.optional("first_event", Object::time)?,
                    last_event: file.optional("last_event", Object::time)?,
                    totals: sums.decimals()?,
                    revision: file.small_number("revision")?,
                })
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::manifest::ManifestLayout;

    fn statement() -> ManifestStatement {
        let decimal = |text: &str| Decimal::parse(text.as_bytes()).expect("decimal");
        let file = ManifestFile {
            name: "HX_2024110310_04712.dat".to_owned(),
            bytes: 21_118,
            records: 135,
            sha256: Sha256Digest([0x0f; 32]),
            sequence: 4712,
            cycle: 0,
            first_event: UtcTime::from_seconds(1_730_599_949),
            last_event: None,
            totals: vec![("duration".to_owned(), decimal("20000000000000000000.50"))],
            revision: 0,
        };
        ManifestStatement {
            partner: "huaxin".to_owned(),
            feed: "voice".to_owned(),
            file: "HX_2024110310_00.sum".to_owned(),
            partition: Partition { start: 1_730_599_200, end: 1_730_602_800 },
            zone: Zone::parse("Asia/Shanghai").expect("zone"),
            sealed_at: UtcTime::from_seconds(1_730_603_405).expect("range"),
            sequence: None,
            revision: 0,
            previous_manifest: Some(Sha256Digest([0xab; 32])),
            records: 135,
            totals: file.totals.clone(),
            files: vec![file],
            counts: ManifestCounts { received: 140, filtered: 4, quarantined: 1, duplicate: 0 },
            empty: false,
            source_incomplete: false,
            voided: vec![4711],
            voided_manifests: vec![12],
        }
    }

    #[test]
    fn a_manifest_reads_back_as_it_was_written() {
        let bytes = ManifestLayout::json().render(&statement()).expect("manifest");
        assert_eq!(parse_json(&bytes), Ok(statement()));
        assert_eq!(ManifestLayout::json().render(&statement()), Ok(bytes), "same statement, same bytes");
    }

    #[test]
    fn the_document_is_laid_out_for_people_and_programs() {
        let bytes = ManifestLayout::json().render(&statement()).expect("manifest");
        let text = String::from_utf8(bytes).expect("UTF-8");
        assert!(text.starts_with("{\n  \"manifest\": 1,\n  \"partner\": \"huaxin\",\n"), "{text}");
        assert!(text.contains("\"start\": \"2024-11-03T10:00:00+08:00\""), "{text}");
        assert!(text.contains("\"start_utc\": \"2024-11-03T02:00:00Z\""), "{text}");
        assert!(text.contains("\"duration\": \"20000000000000000000.50\""), "{text}");
        assert!(text.ends_with("}\n"));
    }

    #[test]
    fn a_damaged_manifest_names_the_key() {
        let text = String::from_utf8(ManifestLayout::json().render(&statement()).expect("manifest")).expect("UTF-8");
        let fault = |from: &str, to: &str| {
            assert!(text.contains(from), "{from}");
            parse_json(text.replacen(from, to, 1).as_bytes()).expect_err(from).to_string()
        };
        assert_eq!(fault("\"bytes\": 21118", "\"bytes\": -1"), "`files[0].bytes` must be a whole number");
        assert_eq!(fault("0f0f", "xx"), "`files[0].sha256` must be 64 hexadecimal digits");
        assert_eq!(fault("\"manifest\": 1", "\"manifest\": 2"), "the manifest has layout version 2, known is 1");
        assert_eq!(fault("\"received\"", "\"got\""), "`counts.received` must be a whole number");
        assert!(fault("{", "[").starts_with("the manifest is not JSON"));
    }
}
