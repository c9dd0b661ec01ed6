//! Writes the sample call records in `sample-data/calls`. The same seed gives the same bytes on every machine.
//!
//! ```text
//! cargo run --release --example generate_sample_calls -- sample-data/calls
//! cargo run --release --example generate_sample_calls -- OTHER-DIRECTORY SEED CALLS
//! ```

mod calls;

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next();
    let seed = arguments.next().map_or(Some(calls::SEED), |text| text.parse().ok());
    let count = arguments.next().map_or(Some(calls::CALLS), |text| text.parse().ok());
    match (directory, seed, count, arguments.next()) {
        (Some(directory), Some(seed), Some(count), None) => match write_all(&directory, seed, count) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => complain(&format!("cannot write to {directory}: {error}"), 1),
        },
        _ => complain("usage: generate_sample_calls DIRECTORY [SEED [CALLS]]", 2),
    }
}

fn write_all(directory: &str, seed: u64, count: u64) -> std::io::Result<()> {
    let directory = std::path::Path::new(directory);
    std::fs::create_dir_all(directory)?;
    for (name, content) in calls::files(seed, count) {
        #[expect(clippy::disallowed_methods, reason = "sample data can be made again")]
        std::fs::write(directory.join(name), content)?;
    }
    Ok(())
}

#[expect(clippy::print_stderr, reason = "a program of its own")]
fn complain(message: &str, code: u8) -> ExitCode {
    eprintln!("{message}");
    ExitCode::from(code)
}
