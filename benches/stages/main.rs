//! How fast each stage is by itself, on call records made in memory. Nothing is asserted about time.
//!
//! ```text
//! cargo bench --bench stages --profile dist -- [--records N] [--rounds N] [--only TEXT] [--dir DIRECTORY] [--json]
//! cargo bench --bench stages --profile dist -- --records N --write FILE      only writes the call records
//! ```
//! Stages take turns in every round, so a busy moment of the machine does not fall on one of them alone. MB is 10^6
//! bytes; which bytes are counted stands beside the stage.
#![expect(
    clippy::print_stdout,
    clippy::expect_used,
    reason = "a program for developers: it prints, or stops with a reason"
)]

mod calls;
mod stages;
mod unsynced;

use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// What the command line asks for.
struct Wishes {
    records: u64,
    rounds: usize,
    /// Only stages whose name contains this.
    only: String,
    directory: PathBuf,
    json: bool,
    write: Option<PathBuf>,
}

/// A stage and how long each of its rounds took.
struct Measured {
    name: &'static str,
    counted: &'static str,
    bytes: u64,
    rounds: Vec<Duration>,
}

impl Measured {
    fn median(&self) -> Duration {
        let mut rounds = self.rounds.clone();
        rounds.sort_unstable();
        rounds.get(rounds.len() / 2).copied().unwrap_or_default()
    }

    fn best(&self) -> Duration {
        self.rounds.iter().min().copied().unwrap_or_default()
    }
}

fn main() {
    let wishes = wishes(std::env::args().skip(1));
    if let Some(path) = &wishes.write {
        let file = std::fs::File::create(path).expect("the file can be made");
        let mut out = std::io::BufWriter::with_capacity(1 << 20, file);
        calls::write_csv(wishes.records, &mut out).and_then(|()| out.flush()).expect("the file can be written");
        return;
    }
    std::fs::create_dir_all(&wishes.directory).expect("the directory can be made");
    let input = stages::Input::new(wishes.records);
    let mut stages = stages::all(&input, &wishes.directory);
    stages.retain(|stage| stage.name.contains(&wishes.only));
    let mut measured: Vec<Measured> = Vec::new();
    for round in 0..=wishes.rounds {
        for (index, stage) in stages.iter_mut().enumerate() {
            let begin = Instant::now();
            let bytes = (stage.run)();
            let took = begin.elapsed();
            match measured.get_mut(index) {
                Some(known) => known.rounds.push(took),
                // The first round only warms up.
                None => measured.push(Measured { name: stage.name, counted: stage.counted, bytes, rounds: Vec::new() }),
            }
        }
        if round == 0 && !wishes.json {
            println!("{} records, {} bytes of input, {} rounds", wishes.records, input.csv.len(), wishes.rounds);
        }
    }
    if wishes.json { print_json(&wishes, &measured) } else { print_table(&wishes, &measured) }
}

fn wishes(mut arguments: impl Iterator<Item = String>) -> Wishes {
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let mut wishes = Wishes { records: 300_000, rounds: 5, only: String::new(), directory, json: false, write: None };
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().expect("a value behind the option");
        match argument.as_str() {
            "--records" => wishes.records = value().parse().expect("--records: a whole number"),
            "--rounds" => wishes.rounds = value().parse().expect("--rounds: a whole number"),
            "--only" => wishes.only = value(),
            "--dir" => wishes.directory = PathBuf::from(value()),
            "--write" => wishes.write = Some(PathBuf::from(value())),
            "--json" => wishes.json = true,
            // `cargo bench` says so to every benchmark.
            "--bench" => {}
            _ => {
                println!(
                    "usage: stages [--records N] [--rounds N] [--only TEXT] [--dir DIRECTORY] [--json] [--write FILE]"
                );
                std::process::exit(2);
            }
        }
    }
    wishes
}

/// `count` in a second, when `count` took `took`.
fn per_second(count: u64, took: Duration) -> u128 {
    u128::from(count) * 1_000_000_000 / took.as_nanos().max(1)
}

fn print_table(wishes: &Wishes, measured: &[Measured]) {
    println!("{:24} {:>14} {:>9} {:>9}  of", "stage", "records/s", "MB/s", "best MB/s");
    for stage in measured {
        let (median, best) = (stage.median(), stage.best());
        let records = per_second(wishes.records, median);
        let [megabytes, most] = [median, best].map(|took| per_second(stage.bytes, took) / 1_000_000);
        println!("{:24} {records:>14} {megabytes:>9} {most:>9}  {}", stage.name, stage.counted);
    }
}

fn print_json(wishes: &Wishes, measured: &[Measured]) {
    let stage = |stage: &Measured| {
        let nanos: Vec<u64> =
            stage.rounds.iter().map(|took| u64::try_from(took.as_nanos()).unwrap_or(u64::MAX)).collect();
        serde_json::json!({ "stage": stage.name, "bytes": stage.bytes, "of": stage.counted, "nanoseconds": nanos })
    };
    let stages: Vec<_> = measured.iter().map(stage).collect();
    println!("{}", serde_json::json!({ "records": wishes.records, "stages": stages }));
}
