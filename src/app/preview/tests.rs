use super::*;
use crate::app::config::{Config, load};
use std::io::Write;

const CONFIG: &str = r#"
state = "state"
archive = "archive"
[source.in]
files = "in.csv"
finished = "renamed"
format = "in"
[partner.p]
deliver = "/drop"
[partner.p.feed.f]
source = "in"
format = "out"
zone = "America/New_York"
hour_by = "at"
where = "seconds > 0"
starts_at = "2030-01-01T00:00:00Z"
name = "F_{start:%Y%m%d%H%z}_{seq:03}.txt"
sequence = { first = 7 }
"#;
const INPUT: &str = "kind = \"delimited\"\nquote = '\"'\n[read]\nheader = \"names\"\nfields = [ { name = \"at\", time = \
                     \"rfc3339\" }, { name = \"who\" }, { name = \"seconds\", number = true } ]\n";
const OUTPUT: &str = r#"
kind = "fixed"
line = { bytes = 12, end = "CRLF" }
charset = "GB18030"
header = [ { at = "1-3", text = "HDR" }, { at = "4-12", value = "{seq}", fill = "0" } ]
record = [ { at = "1-6", field = "who" }, { at = "7-12", field = "seconds", fill = "0" } ]
trailer = [ { at = "1-6", count = "record", fill = "0" }, { at = "7-12", sum = "seconds", fill = "0" } ]
"#;
const SAMPLE: &str = "at,who,seconds\n\
    2024-11-03T05:30:00Z,李四,12\n\
    2024-11-03T06:30:00Z,\"a\nb\",1\n\
    2024-11-03T05:31:00Z,nobody,0\n\
    2024-11-03T05:32:00Z,much too long,5\n\
    yesterday,x,1\n\
    2024-11-03T05:33:00Z,z,3\n\
    2024-11-03T05:34:00Z,more,3\n";

fn config(dir: &std::path::Path) -> Config {
    std::fs::create_dir(dir.join("formats")).expect("directory");
    for (name, text) in [("hourdrop.toml", CONFIG), ("formats/in.toml", INPUT), ("formats/out.toml", OUTPUT)] {
        std::fs::File::create(dir.join(name)).and_then(|mut file| file.write_all(text.as_bytes())).expect("file");
    }
    let loaded = load(&dir.join("hourdrop.toml"), now()).expect("configuration");
    loaded.config.unwrap_or_else(|| panic!("{:?}", loaded.problems))
}

fn now() -> UtcTime {
    UtcTime::from_seconds(1_750_000_000).expect("range")
}

/// Gives a few bytes at a time.
struct Drops<'b>(&'b [u8]);

impl Read for Drops<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = buffer.len().min(self.0.len()).min(7);
        let (now, later) = self.0.split_at(count);
        buffer[..count].copy_from_slice(now);
        self.0 = later;
        Ok(count)
    }
}

fn previewed(bytes: &[u8], limit: usize) -> Preview {
    let dir = tempfile::tempdir().expect("directory");
    let config = config(dir.path());
    let feed = config.feeds().next().expect("feed");
    let whole = preview(feed, &config.sources[0], [("in.csv".to_owned(), bytes)], limit, now()).expect("preview");
    let drops = preview(feed, &config.sources[0], [("in.csv".to_owned(), Drops(bytes))], limit, now());
    let drops = drops.expect("preview");
    assert_eq!((&whole.hours, &whole.rejects), (&drops.hours, &drops.rejects), "the sizes of pieces do not matter");
    whole
}

#[test]
fn the_preview_holds_the_bytes_of_each_hour_and_the_record_as_it_came() {
    let found = previewed(SAMPLE.as_bytes(), 2);
    let hours: Vec<(&str, Vec<u8>)> = found
        .hours
        .iter()
        .map(|hour| {
            let records: Vec<u8> = hour.records.iter().flat_map(|record| record.written.clone()).collect();
            (hour.file.as_str(), [hour.header.clone(), records, hour.trailer.clone()].concat())
        })
        .collect();
    let first = b"HDR000000007\r\n\xc0\xee\xcb\xc4  000012\r\nz     000003\r\n000002000015\r\n".to_vec();
    assert_eq!(hours, [("F_2024110301-0400_007.txt", first)]);
    assert_eq!(found.hours[0].records[0].raw, "2024-11-03T05:30:00Z,李四,12".as_bytes());
    assert_eq!(found.hours[0].records[0].origin.line, 2);
    assert_eq!((found.filtered, found.more), (1, true));
}

#[test]
fn what_cannot_be_taken_is_told_with_place_and_reason() {
    let found = previewed(SAMPLE.as_bytes(), 9);
    let told: Vec<(u64, &str)> =
        found.rejects.iter().map(|reject| (reject.origin.line, reject.reason.as_str())).collect();
    assert_eq!(told.len(), 3, "{told:?}");
    assert_eq!(told[0].0, 3);
    assert!(told.iter().any(|(line, reason)| *line == 6 && reason.contains("bytes 1-6")), "{told:?}");
    assert!(told.iter().any(|(line, reason)| *line == 7 && reason.contains("at")), "{told:?}");
    assert!(!found.more);
}

#[test]
fn gzip_is_read() {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(SAMPLE.as_bytes()).expect("write");
    assert_eq!(previewed(&gzip.finish().expect("gzip"), 2).hours, previewed(SAMPLE.as_bytes(), 2).hours);
}
