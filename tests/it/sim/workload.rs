//! What arrives: input files in waves, with records that are on time, for hours that are still open, and late.

use crate::site::{FIRST_HOUR, call_line};
use std::collections::BTreeSet;

/// Waves of input.
pub const WAVES: usize = 3;
/// When each wave is there, in minutes after the first hour began.
const AT: [i64; WAVES] = [100, 170, 240];
/// Records of a wave lie before this minute.
const UNTIL: [i64; WAVES] = [95, 110, 140];

/// An input file.
pub struct Input {
    pub name: String,
    pub bytes: Vec<u8>,
}

/// All input of a run.
pub struct Workload {
    pub waves: [Vec<Input>; WAVES],
    /// The ids of all records.
    pub ids: BTreeSet<String>,
}

impl Workload {
    /// The same number always gives the same input.
    pub fn new(number: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(number ^ 0x9e37_79b9_7f4a_7c15);
        let mut ids = BTreeSet::new();
        let mut files = 0;
        let waves = std::array::from_fn(|wave| {
            let count = random.usize(1..=2);
            let mut inputs = Vec::new();
            for _ in 0..count {
                files += 1;
                let mut text = String::new();
                for record in 0..random.usize(1..=3) {
                    let id = format!("f{files}r{record}");
                    text += &call_line(random.i64(0..UNTIL[wave]), &id);
                    ids.insert(id);
                }
                inputs.push(Input { name: format!("calls_{files}.log"), bytes: text.into_bytes() });
            }
            inputs
        });
        Self { waves, ids }
    }
}

/// The second at which a wave is there.
pub const fn second_of(wave: usize) -> i64 {
    FIRST_HOUR + AT[wave] * 60
}
