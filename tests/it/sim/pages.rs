//! What a file holds: in the page cache, and on the disk.

use super::survival::Survival;
use std::collections::BTreeMap;

/// What a disk writes whole or not at all.
pub const SECTOR_BYTES: usize = 512;

/// The bytes of a file. Those between `bytes` and `length` are zeros.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Content {
    bytes: Vec<u8>,
    length: usize,
}

impl Content {
    pub fn of(bytes: &[u8]) -> Self {
        Self { bytes: bytes.to_vec(), length: bytes.len() }
    }

    pub const fn len(&self) -> usize {
        self.length
    }

    pub fn read(&self, offset: usize, buffer: &mut [u8]) -> usize {
        let count = self.length.saturating_sub(offset).min(buffer.len());
        for (index, slot) in buffer[..count].iter_mut().enumerate() {
            *slot = self.bytes.get(offset + index).copied().unwrap_or(0);
        }
        count
    }

    pub fn to_vec(&self) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        bytes.resize(self.length, 0);
        bytes
    }

    fn write(&mut self, offset: usize, bytes: &[u8]) {
        let end = offset + bytes.len();
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        self.bytes[offset..end].copy_from_slice(bytes);
        self.length = self.length.max(end);
    }

    fn truncate(&mut self, length: usize) {
        self.bytes.truncate(length);
        self.length = length;
    }

    fn extend(&mut self, length: usize) {
        self.length = self.length.max(length);
    }

    /// Turns one bit over, when there is any byte that was ever written.
    pub fn flip(&mut self, random: &mut fastrand::Rng) -> bool {
        if self.bytes.is_empty() {
            return false;
        }
        let position = random.usize(..self.bytes.len());
        self.bytes[position] ^= 1 << random.u8(..8);
        true
    }
}

/// Something done to a file that is not durable yet.
#[derive(Debug, Clone)]
enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Truncate(usize),
    Allocate(usize),
}

/// A file: what a reader sees, what a power cut leaves for certain, and what is in between.
#[derive(Debug, Clone, Default)]
pub struct Pages {
    durable: Content,
    live: Content,
    /// With the moment at which each was done.
    pending: Vec<(u64, Change)>,
}

impl Pages {
    /// A file that lies there safely.
    pub fn settled(bytes: &[u8]) -> Self {
        let content = Content::of(bytes);
        Self { durable: content.clone(), live: content, pending: Vec::new() }
    }

    pub const fn live(&self) -> &Content {
        &self.live
    }

    /// For damage: content that was durable and changes by itself.
    pub fn flip(&mut self, random: &mut fastrand::Rng) -> bool {
        let flipped = self.durable.flip(random);
        self.live = self.durable.clone();
        flipped
    }

    pub fn write(&mut self, moment: u64, offset: usize, bytes: &[u8]) {
        self.live.write(offset, bytes);
        self.pending.push((moment, Change::Write { offset, bytes: bytes.to_vec() }));
    }

    pub fn truncate(&mut self, moment: u64, length: usize) {
        self.live.truncate(length);
        self.pending.push((moment, Change::Truncate(length)));
    }

    pub fn allocate(&mut self, moment: u64, length: usize) {
        self.live.extend(length);
        self.pending.push((moment, Change::Allocate(length)));
    }

    pub fn sync(&mut self) {
        for (_, change) in self.pending.drain(..) {
            apply(&mut self.durable, &change);
        }
    }

    /// The device refused some of the pages. The kernel takes them all for clean from now on: they are read as they
    /// were written, and no later sync writes them.
    pub fn fail_sync(&mut self, random: &mut fastrand::Rng) {
        self.durable = self.after_power_cut(Survival::Scattered { stale: false }, random);
        self.pending.clear();
    }

    /// The moments at which something was done that is not durable yet.
    pub fn pending_moments(&self) -> impl Iterator<Item = u64> + '_ {
        self.pending.iter().map(|(moment, _)| *moment)
    }

    /// The power went: from now on the file is what the disk holds.
    pub fn cut_power(&mut self, survival: Survival, random: &mut fastrand::Rng) {
        self.durable = self.after_power_cut(survival, random);
        self.live = self.durable.clone();
        self.pending.clear();
    }

    fn after_power_cut(&self, survival: Survival, random: &mut fastrand::Rng) -> Content {
        let mut content = self.durable.clone();
        match survival {
            Survival::Nothing => {}
            Survival::Everything => self.pending.iter().for_each(|(_, change)| apply(&mut content, change)),
            Survival::UpTo(limit) => {
                for (moment, change) in &self.pending {
                    match change {
                        _ if *moment < limit => apply(&mut content, change),
                        Change::Write { offset, bytes } if *moment == limit => {
                            content.write(*offset, &bytes[..torn(*offset, bytes.len(), random)]);
                        }
                        _ => {}
                    }
                }
            }
            Survival::Scattered { stale } => self.scatter(stale, &mut content, random),
        }
        content
    }

    /// Every sector has some state that it had since the last sync. The file's length follows for itself.
    fn scatter(&self, stale: bool, content: &mut Content, random: &mut fastrand::Rng) {
        // What lies behind a cut is written to other blocks, which belong to the file only when the cut is durable.
        let cuts: Vec<usize> = (0..self.pending.len())
            .filter(|index| matches!(self.pending[*index].1, Change::Truncate(_)))
            .chain([self.pending.len()])
            .collect();
        let end = cuts[random.usize(..cuts.len())];
        let settled = self.durable.len();
        let mut sectors: BTreeMap<usize, usize> = BTreeMap::new();
        for (index, (_, change)) in self.pending[..end].iter().enumerate() {
            match change {
                Change::Write { offset, bytes } => {
                    for (at, piece) in sector_pieces(*offset, bytes) {
                        let limit = *sectors.entry(at / SECTOR_BYTES).or_insert_with(|| match random.u8(..3) {
                            0 => 0,
                            1 => usize::MAX,
                            _ => random.usize(..=end),
                        });
                        if index < limit {
                            content.write(at, piece);
                        } else if stale && at >= settled {
                            // The length reached the disk before the bytes: whatever lay in these blocks shows.
                            let rubbish: Vec<u8> = piece.iter().map(|_| random.u8(..)).collect();
                            content.write(at, &rubbish);
                        }
                    }
                }
                Change::Truncate(_) => apply(content, change),
                Change::Allocate(_) if random.bool() => apply(content, change),
                Change::Allocate(_) => {}
            }
        }
        if end == self.pending.len() && random.bool() {
            content.extend(self.live.len());
        }
    }
}

fn apply(content: &mut Content, change: &Change) {
    match change {
        Change::Write { offset, bytes } => content.write(*offset, bytes),
        Change::Truncate(length) => content.truncate(*length),
        Change::Allocate(length) => content.extend(*length),
    }
}

/// How many bytes of a write arrive when it is torn at the end of a sector.
fn torn(offset: usize, length: usize, random: &mut fastrand::Rng) -> usize {
    let ends: Vec<usize> = sector_ends(offset, length).collect();
    let kept = random.usize(..=ends.len());
    if kept == 0 { 0 } else { ends[kept - 1] - offset }
}

/// Where the sectors end that a write touches, the last one at the end of the write.
fn sector_ends(offset: usize, length: usize) -> impl Iterator<Item = usize> {
    let end = offset + length;
    let first = (offset / SECTOR_BYTES + 1) * SECTOR_BYTES;
    (first..end).step_by(SECTOR_BYTES).chain((length > 0).then_some(end))
}

fn sector_pieces(offset: usize, bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let mut begin = offset;
    sector_ends(offset, bytes.len()).map(move |end| {
        let at = std::mem::replace(&mut begin, end);
        (at, &bytes[at - offset..end - offset])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(pieces: &[(usize, &[u8])]) -> Pages {
        let mut pages = Pages::settled(&[b'a'; 1000]);
        for (moment, (offset, bytes)) in pieces.iter().enumerate() {
            pages.write(moment as u64, *offset, bytes);
        }
        pages
    }

    fn left(pages: &Pages, survival: Survival, seed: u64) -> Vec<u8> {
        let mut pages = pages.clone();
        pages.cut_power(survival, &mut fastrand::Rng::with_seed(seed));
        pages.live().to_vec()
    }

    #[test]
    fn a_power_cut_leaves_what_was_synced_and_sectors_of_the_rest() {
        let mut pages = written(&[(500, &[b'b'; 1000])]);
        assert_eq!(left(&pages, Survival::Nothing, 1), [b'a'; 1000]);
        let all = left(&pages, Survival::Everything, 1);
        assert_eq!((all.len(), all[499], all[500], all[1499]), (1500, b'a', b'b', b'b'));
        let mut lengths = std::collections::BTreeSet::new();
        for seed in 0..100 {
            let torn = left(&pages, Survival::UpTo(0), seed);
            lengths.insert(torn.len());
            let bs = torn.iter().skip(500).take_while(|byte| **byte == b'b').count();
            assert!([0, 12, 524, 1000].contains(&bs), "{bs}");
            let scattered = left(&pages, Survival::Scattered { stale: false }, seed);
            for sector in scattered[500..].chunks(SECTOR_BYTES) {
                assert!(sector.iter().all(|byte| *byte != 7));
            }
        }
        assert_eq!(lengths.into_iter().collect::<Vec<_>>(), [1000, 1024, 1500]);
        pages.sync();
        assert_eq!(left(&pages, Survival::Nothing, 1), all);
    }

    #[test]
    fn a_sector_never_holds_a_later_write_without_the_earlier_one() {
        let pages = written(&[(1024, b"first"), (1029, b"second")]);
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..200 {
            let found = left(&pages, Survival::Scattered { stale: false }, seed);
            let tail = found.get(1024..).unwrap_or_default().to_vec();
            seen.insert(String::from_utf8_lossy(&tail).trim_end_matches('\0').to_owned());
        }
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["", "first", "firstsecond"]);
    }

    #[test]
    fn what_a_failed_sync_dropped_is_read_and_never_becomes_durable() {
        let mut random = fastrand::Rng::with_seed(3);
        let mut lost = 0;
        for _ in 0..50 {
            let mut pages = written(&[(2048, b"dropped")]);
            pages.fail_sync(&mut random);
            assert_eq!(&pages.live().to_vec()[2048..], b"dropped");
            pages.write(9, 4096, b"later");
            pages.sync();
            let found = left(&pages, Survival::Nothing, 1);
            assert_eq!(&found[4096..], b"later");
            lost += u32::from(&found[2048..2055] != b"dropped");
        }
        assert!(lost > 10, "{lost}");
    }

    #[test]
    fn allocated_space_is_zeros_until_it_is_written() {
        let mut pages = Pages::default();
        pages.allocate(1, 1 << 40);
        pages.write(2, 3, b"x");
        pages.sync();
        let mut buffer = [9; 8];
        assert_eq!(pages.live().read(1, &mut buffer), 8);
        assert_eq!((buffer, pages.live().len()), ([0, 0, b'x', 0, 0, 0, 0, 0], 1 << 40));
        pages.truncate(3, 4);
        assert_eq!(pages.live().to_vec(), b"\0\0\0x");
    }
}
