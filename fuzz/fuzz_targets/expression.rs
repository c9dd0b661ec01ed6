//! The language of `where`: parsed, compiled, and asked of a record.
#![no_main]

use hourdrop::domain::time::UtcTime;
use hourdrop::format::expression::Expression;
use hourdrop::record::block::{FieldKind, Origin, RecordBlock, Schema, SchemaField};
use libfuzzer_sys::fuzz_target;
use std::sync::{Arc, LazyLock};

static RECORDS: LazyLock<RecordBlock> = LazyLock::new(|| {
    let field = |name: &str, kind| SchemaField { name: name.to_owned(), kind, unit: String::new() };
    let fields = vec![field("a", FieldKind::Text), field("n", FieldKind::Number), field("t", FieldKind::Time)];
    let mut block = RecordBlock::new(Arc::new(Schema { fields }));
    for (text, number, time) in [("+8613800010001", "1.50", UtcTime::from_seconds(0)), ("话单", "", None), ("", "-7", None)] {
        block.push_field(text.as_bytes());
        block.push_field(number.as_bytes());
        block.push_time(time);
        block.finish_record(Origin::default());
    }
    block
});

fuzz_target!(|text: &str| {
    match Expression::parse(text) {
        Err(fault) => {
            assert!(fault.span.start <= fault.span.end && fault.span.end <= text.len(), "{:?}", fault.span);
        }
        Ok(expression) => {
            let record = RECORDS.get(0).expect("a record");
            match expression.compile(record.schema()) {
                Err(fault) => assert!(fault.span.end <= text.len(), "{:?}", fault.span),
                Ok(filter) => RECORDS.iter().for_each(|record| {
                    std::hint::black_box(filter.matches(record)).ok();
                }),
            }
        }
    }
});
