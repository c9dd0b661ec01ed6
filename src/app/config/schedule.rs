//! When a partner is sent something: `quiet`.

use crate::document::Table;
use crate::domain::quiet::{DaySpan, QuietTimes};
use crate::feed::definition::read_zone;

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
