//! How long it takes to hand files over: `hourdrop once` beside the clients that people use, same files, same server.
//!
//! ```text
//! cargo bench --bench delivery --profile dist -- [--rounds N] [--megabytes N] [--files N] [--connections N]
//!     [--only TEXT]
//! ```
//! The servers are those of the tests (`tests/servers/fetch` unpacks them), on 127.0.0.1. hourdrop reads a ledger of
//! sealed files, proves each file against its hash while it is sent, asks for its size, gives it its final name and
//! records each step durably; the others copy. Tools take turns in every round; after each the server's directory must
//! hold the same names with the same bytes. A tool that is not installed is left out.
//! "same steps" is a copy by curl that asks the server for everything that hourdrop asks for: what is left to gain.
//! `--only OpenSSH` runs the cells whose heading contains that.
#![expect(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a program for developers: it prints, or stops with a reason"
)]
#![allow(dead_code, clippy::allow_attributes, reason = "the servers of the tests can do more than this needs")]

mod peers;
#[path = "../../tests/it/servers.rs"]
mod servers;
mod site;

use peers::{Job, Peer};
use servers::{Certificates, SshKeys, TestServer};
use site::Site;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// What the command line asks for.
struct Wishes {
    rounds: usize,
    megabytes: u64,
    files: u64,
    connections: u64,
    only: String,
}

fn main() {
    let wishes = wishes(std::env::args().skip(1));
    let certificates = Certificates::for_this_machine();
    let keys = SshKeys::of_kinds(&["ed25519"]);
    let dir = tempfile::tempdir().expect("a directory");
    let large = Site::sealed(&dir.path().join("large"), wishes.megabytes << 20, None);
    let small = Site::sealed(&dir.path().join("small"), wishes.files * site::SMALL_BYTES, Some(site::SMALL_BYTES));
    println!("{} rounds, medians in seconds; 1.00 is the fastest of the others\n", wishes.rounds);
    for (name, site) in [("one large file", &large), ("many small files", &small)] {
        for (server, encrypted) in [
            (TestServer::vsftpd(), None),
            (TestServer::vsftpd_tls(&certificates), Some(certificates.authority.as_path())),
            (TestServer::openssh(&keys), None),
        ] {
            let (files, key, connections) = (site.files.as_path(), keys.login.as_path(), wishes.connections);
            let job = Job { server: &server, files, authority: encrypted, key, connections };
            let what = format!("{name} ({} files, {} MiB) to {}", site.count(), site.bytes() >> 20, server.name);
            if what.contains(&wishes.only) {
                cell(&what, site, &job, &wishes);
            }
        }
    }
}

/// All tools with one kind of files at one server.
fn cell(what: &str, site: &Site, job: &Job<'_>, wishes: &Wishes) {
    let peers: Vec<Peer> = Peer::ALL.into_iter().filter(|peer| peer.serves(job)).collect();
    let mut times = vec![Vec::new(); peers.len() + 1];
    for round in 0..wishes.rounds {
        for turn in 0..=peers.len() {
            let who = (turn + round) % (peers.len() + 1);
            empty(&job.server.files);
            let took = match peers.get(who) {
                Some(peer) => timed(peer.command(job)),
                None => timed(site.delivery(job, round)),
            };
            site.compare(&job.server.files);
            times.get_mut(who).expect("a tool").push(took);
        }
    }
    empty(&job.server.files);
    let medians: Vec<Duration> = times.iter_mut().map(|times| median(times)).collect();
    let (ours, others) = medians.split_last().expect("hourdrop");
    let rivals = peers.iter().zip(others).filter(|(peer, _)| peer.is_rival());
    let best = rivals.map(|(_, time)| time).min().expect("some other tool is installed");
    println!("{what}");
    let ratio = |time: &Duration| time.as_secs_f64() / best.as_secs_f64();
    for (peer, time) in peers.iter().map(|peer| peer.name()).chain(["hourdrop"]).zip(others.iter().chain([ours])) {
        println!("  {peer:<10} {:>8.3} s {:>6.2}", time.as_secs_f64(), ratio(time));
    }
    println!();
}

fn timed(mut command: std::process::Command) -> Duration {
    // What was written before must not be written back on somebody's time.
    let synced = std::process::Command::new("sync").status().expect("sync runs");
    assert!(synced.success(), "sync failed");
    let begun = Instant::now();
    let output = command.output().expect("the tool runs");
    let took = begun.elapsed();
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    took
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn empty(directory: &Path) {
    for entry in fs::read_dir(directory).expect("the server's directory").flatten() {
        fs::remove_file(entry.path()).expect("removed");
    }
}

fn wishes(mut arguments: impl Iterator<Item = String>) -> Wishes {
    let mut wishes = Wishes { rounds: 5, megabytes: 1024, files: 2000, connections: 1, only: String::new() };
    while let Some(argument) = arguments.next() {
        if argument == "--only" {
            wishes.only = arguments.next().expect("a text behind --only");
            continue;
        }
        let mut number = || arguments.next().and_then(|text| text.parse().ok()).expect("a number behind the option");
        match argument.as_str() {
            "--rounds" => wishes.rounds = usize::try_from(number()).expect("a number of rounds"),
            "--megabytes" => wishes.megabytes = number(),
            "--files" => wishes.files = number(),
            "--connections" => wishes.connections = number(),
            // What `cargo bench` adds.
            "--bench" => {}
            other => panic!("unknown option {other}"),
        }
    }
    wishes
}
