//! The manifest of a batch: which files make up the hour, with size, records, SHA-256, sequence and totals.
//!
//! The built-in layout is a JSON document. A partner's own layout is a format file whose records are the part files,
//! with the fields `file`, `bytes`, `records`, `sha256`, `sequence`, `cycle`, `revision`, `first_event_time`,
//! `last_event_time` and `sum.<name>`; its header and trailer may count files (`count = "record"`), sum any number
//! (`sum = "bytes"`) and show facts about the manifest.

mod json;

use super::encode::{Layout, RenderFault};
use super::spec::FormatSpec;
use super::template::FileFacts;
use crate::document::Problem;
use crate::domain::ids::Sha256Digest;
use crate::domain::period::{Partition, Zone};
use crate::domain::time::UtcTime;
use crate::record::{Decimal, FieldKind, Origin, RecordBlock, Schema, SchemaField};
pub use json::{ManifestFault, parse_json};
use std::sync::Arc;

/// What a manifest states.
#[derive(Debug, Clone, PartialEq)]
pub struct ManifestStatement {
    /// Who receives the batch.
    pub partner: String,
    /// The feed within the partner.
    pub feed: String,
    /// The manifest's own final name.
    pub file: String,
    /// The interval of the records.
    pub partition: Partition,
    /// The feed's zone.
    pub zone: Zone,
    /// When the batch was planned.
    pub sealed_at: UtcTime,
    /// The manifest's own sequence number; `None` when manifests are not numbered.
    pub sequence: Option<u64>,
    /// How often the partition was sealed before.
    pub revision: u32,
    /// SHA-256 of the feed's manifest before this one; `None` for the first.
    pub previous_manifest: Option<Sha256Digest>,
    /// The part files of the partition, those of earlier revisions included.
    pub files: Vec<ManifestFile>,
    /// Records in all files.
    pub records: u64,
    /// Sums over all files, as written.
    pub totals: Vec<(String, Decimal)>,
    /// What became of the records that came in.
    pub counts: ManifestCounts,
    /// The partition had no records.
    pub empty: bool,
    /// A source was not read to the end when the partition was sealed.
    pub source_incomplete: bool,
    /// Sequence numbers of part files that were given up since the manifest before.
    pub voided: Vec<u64>,
    /// Sequence numbers of manifests that were given up since the manifest before.
    pub voided_manifests: Vec<u64>,
}

/// What became of the records of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ManifestCounts {
    /// Records that belong to the partition.
    pub received: u64,
    /// Not meant for the partner.
    pub filtered: u64,
    /// Could not be decoded or rendered.
    pub quarantined: u64,
    /// Seen before.
    pub duplicate: u64,
}

/// One part file.
#[derive(Debug, Clone, PartialEq)]
pub struct ManifestFile {
    /// Final name.
    pub name: String,
    /// Size.
    pub bytes: u64,
    /// Records, header and trailer not counted.
    pub records: u64,
    /// Hash of the bytes.
    pub sha256: Sha256Digest,
    /// Sequence number.
    pub sequence: u64,
    /// How often the counter of that number has begun again.
    pub cycle: u64,
    /// Time of its earliest record.
    pub first_event: Option<UtcTime>,
    /// Time of its latest record.
    pub last_event: Option<UtcTime>,
    /// Sums, as written.
    pub totals: Vec<(String, Decimal)>,
    /// The revision in which it was added.
    pub revision: u32,
}

impl ManifestStatement {
    /// The facts about the manifest itself, for templates. Its part is 1; its parts are the part files.
    #[must_use]
    pub fn facts(&self) -> FileFacts<'_> {
        FileFacts {
            partner: &self.partner,
            feed: &self.feed,
            file: &self.file,
            partition: self.partition,
            zone: self.zone,
            sealed_at: self.sealed_at,
            sequence: self.sequence.unwrap_or(0),
            revision: self.revision,
            part: 1,
            parts: u32::try_from(self.files.len()).unwrap_or(u32::MAX),
            previous_manifest: self.previous_manifest,
            voided: &self.voided,
        }
    }
}

/// How a manifest is written.
#[derive(Debug, Clone)]
pub enum ManifestLayout {
    /// The built-in JSON document.
    Json,
    /// A format whose records are the part files.
    Lines(Box<ManifestLines>),
}

/// A compiled manifest format.
#[derive(Debug, Clone)]
pub struct ManifestLines {
    layout: Layout,
    schema: Arc<Schema>,
    sums: Vec<String>,
}

impl ManifestLayout {
    /// The built-in JSON document.
    #[must_use]
    pub const fn json() -> Self {
        Self::Json
    }

    /// Compiles a manifest format. `sums` are the names of the totals that part files have; `zone` is the feed's.
    ///
    /// # Errors
    /// As [`Layout::compile`].
    pub fn compile<'n>(
        spec: &FormatSpec,
        sums: impl Iterator<Item = &'n str>,
        zone: Zone,
    ) -> Result<Self, Vec<Problem>> {
        let sums: Vec<String> = sums.map(str::to_owned).collect();
        let schema = Arc::new(schema(&sums));
        let layout = Layout::compile(spec, &schema, zone)?;
        Ok(Self::Lines(Box::new(ManifestLines { layout, schema, sums })))
    }

    /// The bytes of a manifest.
    ///
    /// # Errors
    /// [`RenderFault`] when a cell of a manifest format cannot hold its value; the hour must be held.
    pub fn render(&self, statement: &ManifestStatement) -> Result<Vec<u8>, RenderFault> {
        match self {
            Self::Json => Ok(json::render(statement)),
            Self::Lines(lines) => lines.render(statement),
        }
    }
}

fn schema(sums: &[String]) -> Schema {
    let field = |name: &str, kind, unit: &str| SchemaField { name: name.to_owned(), kind, unit: unit.to_owned() };
    let mut fields = vec![
        field("file", FieldKind::Text, ""),
        field("sha256", FieldKind::Text, ""),
        field("bytes", FieldKind::Number, "B"),
        field("records", FieldKind::Number, ""),
        field("sequence", FieldKind::Number, ""),
        field("cycle", FieldKind::Number, ""),
        field("revision", FieldKind::Number, ""),
        field("first_event_time", FieldKind::Time, ""),
        field("last_event_time", FieldKind::Time, ""),
    ];
    fields.extend(sums.iter().map(|name| field(&format!("sum.{name}"), FieldKind::Number, "")));
    Schema { fields }
}

impl ManifestLines {
    fn render(&self, statement: &ManifestStatement) -> Result<Vec<u8>, RenderFault> {
        let mut layout = self.layout.clone();
        let facts = statement.facts();
        let block = self.block(&statement.files);
        let mut totals = layout.totals();
        let mut body = Vec::new();
        layout.begin_file(&facts);
        for record in block.iter() {
            layout.record(record, &mut totals, &mut body)?;
        }
        let mut out = Vec::new();
        layout.header(&facts, &totals, &mut out)?;
        out.append(&mut body);
        layout.trailer(&facts, &totals, &mut out)?;
        Ok(out)
    }

    fn block(&self, files: &[ManifestFile]) -> RecordBlock {
        let mut block = RecordBlock::new(Arc::clone(&self.schema));
        for (file, number) in files.iter().zip(1..) {
            block.push_field(file.name.as_bytes());
            block.push_field(file.sha256.to_string().as_bytes());
            for number in [file.bytes, file.records, file.sequence, file.cycle, u64::from(file.revision)] {
                block.push_field(number.to_string().as_bytes());
            }
            block.push_time(file.first_event);
            block.push_time(file.last_event);
            for name in &self.sums {
                let total = file.totals.iter().find(|(known, _)| known == name);
                block.push_field(total.map(|(_, sum)| sum.to_string()).unwrap_or_default().as_bytes());
            }
            block.finish_record(Origin { record: number, line: number, byte: 0 });
        }
        block
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::encode::tests::spec;

    fn file(name: &str, records: u64, revision: u32) -> ManifestFile {
        ManifestFile {
            name: name.to_owned(),
            bytes: records * 100,
            records,
            sha256: Sha256Digest([0xab; 32]),
            sequence: 7,
            cycle: 0,
            first_event: UtcTime::from_seconds(1_730_599_949),
            last_event: None,
            totals: vec![("duration".to_owned(), Decimal::from_integer(records * 3))],
            revision,
        }
    }

    fn statement(files: Vec<ManifestFile>) -> ManifestStatement {
        ManifestStatement {
            partner: "huaxin".to_owned(),
            feed: "voice".to_owned(),
            file: "HX_2024110310_01.sum".to_owned(),
            partition: Partition { start: 1_730_599_200, end: 1_730_602_800 },
            zone: Zone::parse("Asia/Shanghai").expect("zone"),
            sealed_at: UtcTime::from_seconds(1_730_603_405).expect("range"),
            sequence: Some(12),
            revision: 1,
            previous_manifest: None,
            records: files.iter().map(|file| file.records).sum(),
            totals: Vec::new(),
            empty: files.is_empty(),
            files,
            counts: ManifestCounts::default(),
            source_incomplete: false,
            voided: vec![5, 6],
            voided_manifests: vec![11],
        }
    }

    fn rendered(text: &str, files: Vec<ManifestFile>) -> String {
        let statement = statement(files);
        let layout = ManifestLayout::compile(&spec(text), ["duration"].into_iter(), statement.zone).expect("layout");
        String::from_utf8(layout.render(&statement).expect("manifest")).expect("UTF-8")
    }

    #[test]
    fn a_summary_has_one_line_for_each_file() {
        let text = include_str!("../../formats/huaxin-summary.toml");
        let hash = "ab".repeat(32);
        assert_eq!(
            rendered(text, vec![file("HX_1.dat", 135, 0), file("HX_2.dat", 3, 1)]),
            format!("HX_1.dat|13500|135|{hash}\r\nHX_2.dat|300|3|{hash}\r\n")
        );
        assert_eq!(rendered(text, Vec::new()), "");
    }

    #[test]
    fn a_manifest_format_counts_sums_and_shows_facts() {
        let text = r#"
kind = "delimited"
separator = "|"
header = [ { text = "H" }, { value = "{seq:04}" }, { value = "{revision:02}" }, { value = "{parts}" } ]
record = [ { field = "file" }, { field = "bytes", unit = "kB", round = "up" }, { field = "records" }, { field = "revision" }, { field = "first_event_time", time = "%H%M%S" }, { field = "sum.duration" }, { value = "{start:%Y%m%d}" }, { count = "record" } ]
trailer = [ { count = "record" }, { sum = "records" }, { sum = "bytes" }, { sum = "sum.duration" }, { value = "{previous}" }, { value = "{voided}" } ]
"#;
        let expected =
            "H|0012|01|2\nA|14|135|0|101229|405|20241103|1\nB|1|3|1|101229|9|20241103|2\n2|138|15|414||5 6\n";
        assert_eq!(rendered(text, vec![file("A", 135, 0), file("B", 3, 1)]), expected);
    }

    #[test]
    fn a_total_that_part_files_do_not_have_is_an_unknown_field() {
        let text = "kind = \"delimited\"\nrecord = [ { field = \"sum.durations\" } ]";
        let problems = ManifestLayout::compile(&spec(text), ["duration"].into_iter(), Zone::UTC).expect_err("unknown");
        assert_eq!(problems[0].message, "the source has no field `sum.durations`");
        assert_eq!(problems[0].hint.as_deref(), Some("did you mean \"sum.duration\"?"));
    }
}
