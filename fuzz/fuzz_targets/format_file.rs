//! Format files: refused with a reason, or usable.
#![no_main]

use hourdrop::document::{Document, Problems};
use hourdrop::format::decode::{Decoded, Decoder};
use hourdrop::format::spec::read_format;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let problems = Problems::default();
    let spec = read_format(Document { name: "fuzz".to_owned(), text: text.to_owned() }, "fuzz", &problems);
    let found = problems.take();
    for problem in &found {
        assert!(problem.line() >= 1 && !problem.message.is_empty());
    }
    let Some(spec) = spec else {
        assert!(!found.is_empty(), "refused without a reason");
        return;
    };
    if let Some(read) = &spec.read {
        let mut decoder = Decoder::new(&spec.dialect, read);
        let mut out = Decoded::new(read.schema());
        decoder.push(b"a|b,c;1\n\"x\"\r\n{\"id\":1}\n2026-11-20 08:57:41,269\n", &mut out);
        decoder.finish(&mut out);
    }
});
