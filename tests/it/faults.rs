//! Faults of the real machine: processes killed at any moment, system calls that fail, file systems that lose power,
//! input that comes again and again. One oracle judges all of them: what the partner can read.
//!
//! Every test prints its seed when it fails; `HOURDROP_SEED` makes it draw the same faults again. How many faults are
//! injected stands in the environment variables named below; `tests/long` sets the large numbers.

mod dying_disk;
mod kills;
mod oracle;
mod power;
mod replays;
mod rig;
pub mod schedules;
mod soak;
mod syscalls;

use std::io::Write;

/// How many faults a test injects: an environment variable, or this.
#[expect(clippy::disallowed_methods, reason = "the numbers of a test run come from its environment")]
pub fn number(variable: &str, default: u64) -> u64 {
    match std::env::var(variable) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{variable} is not a number")),
        Err(_) => default,
    }
}

/// The seed of a test run: a new one each time, or `HOURDROP_SEED`.
pub fn seed() -> u64 {
    number("HOURDROP_SEED", fastrand::u64(..) >> 16)
}

/// Says something that must be seen also when the test passes, which `eprintln!` is not.
pub fn say(text: &str) {
    writeln!(std::io::stderr(), "faults: {text}").ok();
}

/// What was injected and what came of it, for the table of the documentation.
pub fn tell(what: &str, injected: u64, survived: u64, seed: u64) {
    say(&format!("{what}: {injected} injected, {survived} survived, seed {seed}"));
    assert_eq!(injected, survived, "{what}: seed {seed}");
}

/// A directory in memory where there is one: for faults that have nothing to do with what a disk keeps.
pub fn memory_dir() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("temporary directory")
}
