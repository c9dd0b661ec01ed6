//! Listings of an FTP server: MLSD, NLST, LIST.
#![no_main]

use hourdrop::remote::ftp::listing::{list_entry, mlsd_entry, name_entry};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    for line in text.lines() {
        for entry in [mlsd_entry(line), name_entry(line), list_entry(line)].into_iter().flatten() {
            assert!(!matches!(entry.name.as_str(), "" | "." | ".."), "{:?}", entry.name);
        }
    }
});
