//! When a partner is sent something, and how much of it: `quiet`, `remote_files_max`.

use crate::document::Table;
use crate::domain::quiet::{DaySpan, QuietTimes};
use crate::feed::definition::read_zone;

/// `remote_files_max`: how many files of ours may lie unpicked in the partner's directory.
pub(super) fn read_files_max(table: &Table<'_>) -> Option<u64> {
    let number = table.integer("remote_files_max", 1..i64::from(u32::MAX))?;
    u64::try_from(number.value).ok()
}

/// `quiet = { zone = "Asia/Shanghai", times = ["01:50-02:20"] }`
pub(super) fn read_quiet(table: Table<'_>) -> Option<QuietTimes> {
    let zone = table.required_text("zone").and_then(|text| read_zone(&text, table.problems()));
    table.require("times");
    let times = table.texts("times").unwrap_or_default();
    let mut spans = Vec::new();
    for text in &times {
        let span = DaySpan::parse(&text.value);
        if span.is_none() {
            let message = format!("`{}` is no part of a day", text.value);
            let hint = "write \"01:50-02:20\" with two different times; one may pass midnight, \"23:50-00:10\"";
            table.problems().add(text.place.error_with_hint(message, hint));
        }
        spans.extend(span);
    }
    table.finish();
    Some(QuietTimes { zone: zone?, spans })
}
