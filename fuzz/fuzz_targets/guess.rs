//! Guessing a format from a sample: refused, or a format that can be read.
#![no_main]

use hourdrop::format::guess::guess_format;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = std::hint::black_box(guess_format(data, "fuzz"));
});
