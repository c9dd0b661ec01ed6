//! Templates of names and layouts of times.
#![no_main]

use hourdrop::domain::period::{Partition, Zone};
use hourdrop::domain::time::UtcTime;
use hourdrop::format::template::{FileFacts, Template};
use hourdrop::format::time_layout::{Ambiguous, TimeLayout};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: (i64, &str, &[u8])| {
    let (second, text, bytes) = data;
    let zones = ["UTC", "+08:00", "Asia/Shanghai", "America/New_York", "Australia/Lord_Howe"];
    let zone = Zone::parse(zones[usize::try_from(second.rem_euclid(5)).expect("small")]).expect("a zone");
    let at = UtcTime::from_seconds(second.rem_euclid(8_000_000_000)).expect("a time");
    if let Ok(template) = Template::parse(text) {
        let facts = FileFacts {
            partner: "huaxin",
            feed: "voice",
            file: "",
            partition: Partition { start: at.seconds(), end: at.seconds() + 3600 },
            zone,
            sealed_at: at,
            sequence: u64::MAX,
            revision: 3,
            part: 1,
            parts: 2,
            previous_manifest: None,
            voided: &[7, 9],
        };
        let mut name = String::new();
        template.render(&facts, Some(7), &mut name);
    }
    if let Ok(layout) = TimeLayout::compile(text) {
        let _ = layout.parse(bytes, zone, Ambiguous::First);
        let mut written = Vec::new();
        layout.write(at, zone, &mut written);
        let _ = layout.parse(&written, zone, Ambiguous::First);
    }
});
