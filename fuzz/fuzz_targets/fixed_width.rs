//! Fixed-width input, whole and in pieces.
#![no_main]

use hourdrop::format::spec::FormatSpec;
use hourdrop_fuzz::{decode, format};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

const FIELDS: &str = "fields = [ { name = \"a\", at = \"1-5\", trim = true }, { name = \"n\", at = \"6-9\", number = true }, \
                      { name = \"t\", at = \"10-23\", time = \"%Y%m%d%H%M%S\", zone = \"Asia/Shanghai\" } ]\n";

static FORMATS: LazyLock<Vec<FormatSpec>> = LazyLock::new(|| {
    let heads = [
        "[read]\n",
        "charset = \"GBK\"\nline = { end = \"CRLF\" }\n[read]\nheader = \"skip\"\ntrailer = { starts = \"TRL\", at = \"4-9\" }\n",
        "charset = \"windows-1252\"\nline = { end = \"any\" }\n[read]\ncomment = \"#\"\n",
    ];
    heads.iter().map(|head| format(&format!("kind = \"fixed\"\n{head}{FIELDS}"))).collect()
});

fuzz_target!(|data: &[u8]| decode(&FORMATS, data));
