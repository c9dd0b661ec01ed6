//! Delimited input in several dialects, whole and in pieces.
#![no_main]

use hourdrop::format::spec::FormatSpec;
use hourdrop_fuzz::{decode, format};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

const FIELDS: &str = "fields = [ { name = \"a\", column = 1, required = true }, { name = \"n\", column = 2, number = true }, \
                      { name = \"t\", column = 3, time = \"%Y-%m-%d %H:%M:%S\", zone = \"America/New_York\" } ]\n";

static FORMATS: LazyLock<Vec<FormatSpec>> = LazyLock::new(|| {
    let heads = [
        "separator = \",\"\nquote = '\"'\n[read]\n",
        "separator = \"|\"\nescape = { \"|\" = \"%7C\", \"%\" = \"%25\" }\n[read]\nextra_columns = \"reject\"\ncomment = \"#\"\n",
        "separator = \"||\"\nquote = \"'\"\nescape = '\\'\nline = { end = \"any\" }\n[read]\nskip_lines = 1\n",
        "separator = \";\"\nquote = '\"'\ncharset = \"GB18030\"\nline = { end = \"auto\" }\n[read]\ntrailer = { starts = \"T;\", count = 2 }\n",
        "separator = \"\\t\"\ncharset = \"UTF-16LE\"\nquote = '\"'\n[read]\n",
        "separator = \",\"\ncharset = { name = \"Shift_JIS\", unmappable = \"?\" }\nline = { end = \"CR\" }\n[read]\n",
    ];
    let mut all: Vec<FormatSpec> = heads.iter().map(|head| format(&format!("kind = \"delimited\"\n{head}{FIELDS}"))).collect();
    let named = "kind = \"delimited\"\nquote = '\"'\n[read]\nheader = \"names\"\nfields = [ { name = \"b\" }, { name = \"a\", number = true } ]\n";
    all.push(format(named));
    all
});

fuzz_target!(|data: &[u8]| decode(&FORMATS, data));
