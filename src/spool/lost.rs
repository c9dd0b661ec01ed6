//! Frames that stand for others which were lost: after damage was salvaged every LSN still has a frame, and the chain
//! of checksums goes on.
//!
//! ```text
//! payload of kind 255   first lsn (8)  last lsn (8)  checksum that the frame behind expects (4)  segment  0  what
//! ```

use super::frame::Frame;
use crate::domain::ids::Lsn;

/// Kind of a frame that stands for a lost one.
pub const KIND_LOST: u8 = 255;

/// Frames that were lost together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostFrames {
    /// The first of them.
    pub first: Lsn,
    /// The last of them.
    pub last: Lsn,
    /// The segment file they lay in.
    pub segment: String,
    /// What was wrong.
    pub what: String,
}

impl LostFrames {
    /// The payload of the frame that stands for one of them. `link`: what the frame behind it states as the checksum
    /// of the frame before.
    #[must_use]
    pub fn write(&self, link: u32) -> Vec<u8> {
        let mut payload = Vec::new();
        payload.extend_from_slice(&self.first.0.to_le_bytes());
        payload.extend_from_slice(&self.last.0.to_le_bytes());
        payload.extend_from_slice(&link.to_le_bytes());
        payload.extend_from_slice(self.segment.as_bytes());
        payload.push(0);
        payload.extend_from_slice(self.what.as_bytes());
        payload
    }

    /// Reads a payload; `None` when it is something else.
    #[must_use]
    pub fn read(payload: &[u8]) -> Option<Self> {
        let (first, rest) = payload.split_first_chunk()?;
        let (last, rest) = rest.split_first_chunk()?;
        let mut texts = rest.get(4..)?.splitn(2, |byte| *byte == 0);
        let mut text = || texts.next().map(|text| String::from_utf8_lossy(text).into_owned());
        let (first, last) = (Lsn(u64::from_le_bytes(*first)), Lsn(u64::from_le_bytes(*last)));
        Some(Self { first, last, segment: text()?, what: text()? })
    }

    /// How many.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.last.0 + 1 - self.first.0
    }
}

/// What the frame behind `frame` states as the checksum of the frame before: its own, or that of the frame it stands
/// for.
#[must_use]
pub fn link(frame: &Frame<'_>, crc: u32) -> u32 {
    let stated = || frame.payload.get(16..)?.first_chunk().map(|link| u32::from_le_bytes(*link));
    if frame.kind == KIND_LOST { stated().unwrap_or(crc) } else { crc }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_frames_come_back_as_they_were_written() {
        let lost = LostFrames { first: Lsn(3), last: Lsn(7), segment: "1.seg".to_owned(), what: "gone".to_owned() };
        let payload = lost.write(99);
        assert_eq!((LostFrames::read(&payload), lost.count()), (Some(lost), 5));
        let frame = |kind| Frame { lsn: Lsn(3), durable: Lsn(2), previous_crc: 1, kind, payload: &payload };
        assert_eq!((link(&frame(KIND_LOST), 5), link(&frame(1), 5)), (99, 5));
        assert_eq!(LostFrames::read(&payload[..19]), None);
    }
}
