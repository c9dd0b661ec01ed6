//! What a spool frame holds: records and the end of an input.
#![no_main]

use hourdrop::record::Accepted;
use hourdrop::record::accepted::read_block;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let [kind, payload @ ..] = data else { return };
    if let Ok(block) = read_block(payload) {
        for record in block.iter() {
            for index in 0..record.schema().fields.len() {
                std::hint::black_box((record.field(index), record.time(index)));
            }
        }
    }
    if let Ok(accepted) = Accepted::read(*kind, payload) {
        let mut again = Vec::new();
        match &accepted {
            Accepted::Batch(batch) => batch.write(&mut again),
            Accepted::Finished(finished) => finished.write(&mut again),
        }
        let read = Accepted::read(*kind, &again).expect("what was written can be read");
        assert_eq!(read, accepted);
    }
});
