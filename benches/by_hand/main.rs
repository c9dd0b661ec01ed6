//! One whole job by a program that is written for it alone, as a yardstick: how long two processors and the disk take at
//! least. It knows no declared formats, keeps no spool and no ledger, checks nothing and gives no error but the first.
//!
//! ```text
//! cargo build --profile dist --example by_hand
//! target/dist/examples/by_hand CSV OUT [--at-once]
//! ```
//! It reads the call records that `benches/stages` writes and leaves `OUT/out/CDR_YYYYMMDDHH.txt` with its manifest and
//! `OUT/archive/CDR_YYYYMMDDHH.txt`, synced, as `benches/kit/hourdrop-a` does, in the order that hourdrop keeps: the input
//! is hashed (BLAKE3), all of an hour is durable in the archive before the partner's file is begun, and that file is read
//! from the archive and proved against its hash. With `--at-once` the input is not hashed and both files are written at
//! the same time, from what is in memory: nobody could say then that the archive holds what was sent.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a yardstick: it trusts its input, or stops"
)]

mod hours;
mod line;

use hours::{Hours, copy_proved};
use line::Lines;
use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;

/// Bytes that are read at once: they stay in a processor's cache.
const PIECE_BYTES: usize = 256 << 10;
/// Pieces on their way from one thread to the next.
const AHEAD: usize = 4;

/// What the records of a piece became: for each hour its start, rendered lines, and how many.
type Rendered = Vec<(i64, Vec<u8>, u64)>;

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [csv, out, rest @ ..] = arguments.as_slice() else {
        println!("usage: by_hand CSV OUT [--at-once]");
        std::process::exit(2);
    };
    let (out, at_once) = (PathBuf::from(out), rest == ["--at-once"]);
    for directory in ["out", "archive"] {
        std::fs::create_dir_all(out.join(directory))?;
    }
    let input = File::open(csv)?;
    let (give_piece, pieces) = sync_channel(AHEAD);
    let (give_rendered, rendered) = sync_channel(AHEAD);
    let (give_back_piece, used_pieces) = channel();
    let (give_back_rendered, used_rendered) = channel();
    let hours = thread::scope(|scope| {
        scope.spawn(move || read(input, !at_once, &give_piece, &used_pieces).expect("the input can be read"));
        scope.spawn(move || render(&pieces, &give_back_piece, &give_rendered, &used_rendered));
        let mut hours = Hours::new(&out, at_once);
        for mut parts in rendered {
            for (hour, lines, records) in parts.iter_mut().filter(|(_, lines, _)| !lines.is_empty()) {
                hours.add(*hour, lines, *records)?;
                *records = 0;
                lines.clear();
            }
            give_back_rendered.send(parts).ok();
        }
        Ok::<_, io::Error>(hours)
    })?;
    copy_proved(&out, &hours.finish()?, at_once)
}

/// Reads the input and gives pieces of whole lines.
fn read(mut input: File, hashes: bool, give: &SyncSender<Vec<u8>>, used: &Receiver<Vec<u8>>) -> io::Result<()> {
    let (mut hash, mut rest, mut is_first) = (blake3::Hasher::new(), Vec::new(), true);
    loop {
        let mut piece = used.try_recv().unwrap_or_default();
        piece.clear();
        piece.append(&mut rest);
        let before = piece.len();
        (&mut input).take(PIECE_BYTES as u64).read_to_end(&mut piece)?;
        if piece.len() == before {
            return Ok(());
        }
        if hashes {
            hash.update(&piece[before..]);
        }
        let end = memchr::memrchr(b'\n', &piece).map_or(piece.len(), |at| at + 1);
        rest.extend_from_slice(&piece[end..]);
        piece.truncate(end);
        if std::mem::take(&mut is_first) {
            let header = memchr::memchr(b'\n', &piece).map_or(0, |at| at + 1);
            piece.drain(..header);
        }
        if give.send(piece).is_err() {
            return Ok(());
        }
    }
}

/// Renders the lines of pieces.
fn render(
    pieces: &Receiver<Vec<u8>>,
    give_back: &Sender<Vec<u8>>,
    give: &SyncSender<Rendered>,
    used: &Receiver<Rendered>,
) {
    let mut lines = Lines::default();
    for piece in pieces {
        let mut parts = used.try_recv().unwrap_or_default();
        lines.render(&piece, &mut parts);
        if give.send(parts).is_err() {
            return;
        }
        give_back.send(piece).ok();
    }
}
