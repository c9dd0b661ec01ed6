//! JSON lines, whole and in pieces.
#![no_main]

use hourdrop::format::spec::FormatSpec;
use hourdrop_fuzz::{decode, format};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static FORMATS: LazyLock<Vec<FormatSpec>> = LazyLock::new(|| {
    let fields = "fields = [ { name = \"id\", required = true }, { name = \"at\", column = \"call.start\", time = \"epoch_ms\" }, \
                  { name = \"ms\", column = \"call.ms\", number = true, unit = \"ms\" }, { name = \"from\", column = \"from.number\", null = \"anonymous\" } ]\n";
    ["", "line = { end = \"any\" }\n"].iter().map(|head| format(&format!("kind = \"json-lines\"\n{head}[read]\n{fields}"))).collect()
});

fuzz_target!(|data: &[u8]| decode(&FORMATS, data));
