//! One frame: the bytes drawn in [`super`].

use crate::domain::ids::Lsn;

/// Longest payload: a length beyond it is damage, not a request for memory.
pub const PAYLOAD_BYTES_MAX: usize = 16 << 20;
/// Bytes in front of the payload.
pub const HEADER_BYTES: usize = 32;
const CRC_BYTES: usize = 4;
const MAGIC: [u8; 4] = *b"HDF1";

/// A frame in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Its number.
    pub lsn: Lsn,
    /// The last LSN known to be durable when it was written.
    pub durable: Lsn,
    /// Checksum of the frame before it; 0 for the first of all.
    pub previous_crc: u32,
    /// What the payload is; the spool does not care.
    pub kind: u8,
    /// The payload.
    pub payload: &'a [u8],
}

/// Bytes of a frame on disk.
#[must_use]
pub const fn frame_bytes(payload_bytes: usize) -> u64 {
    (HEADER_BYTES + payload_bytes + CRC_BYTES) as u64
}

/// Appends a frame and returns its checksum.
///
/// # Panics
/// When the payload is longer than 16 MiB: intake cuts batches at half a megabyte or some thousand lines, and records at 1 MiB.
pub fn write(frame: &Frame<'_>, out: &mut Vec<u8>) -> u32 {
    assert!(frame.payload.len() <= PAYLOAD_BYTES_MAX, "a spool frame holds at most 16 MiB");
    let start = out.len();
    out.extend_from_slice(&MAGIC);
    #[expect(clippy::cast_possible_truncation, reason = "asserted above")]
    out.extend_from_slice(&(frame.payload.len() as u32).to_le_bytes());
    out.extend_from_slice(&frame.lsn.0.to_le_bytes());
    out.extend_from_slice(&frame.durable.0.to_le_bytes());
    out.extend_from_slice(&frame.previous_crc.to_le_bytes());
    out.extend_from_slice(&[frame.kind, 0, 0, 0]);
    out.extend_from_slice(frame.payload);
    let crc = crc32c::crc32c(out.get(start..).unwrap_or_default());
    out.extend_from_slice(&crc.to_le_bytes());
    crc
}

/// Why bytes are not a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadFrame {
    /// Fewer bytes than the frame needs.
    Short,
    /// It does not begin like a frame.
    Magic,
    /// The length is beyond 16 MiB.
    Length,
    /// The checksum is wrong.
    Checksum,
}

impl BadFrame {
    /// For messages.
    #[must_use]
    pub const fn what(self) -> &'static str {
        match self {
            Self::Short => "the frame is cut short",
            Self::Magic => "no frame begins here",
            Self::Length => "the frame length is impossible",
            Self::Checksum => "the checksum does not match",
        }
    }
}

/// Payload length that a frame header states.
///
/// # Errors
/// [`BadFrame`] when the bytes do not begin like a frame.
pub fn payload_bytes(header: &[u8]) -> Result<usize, BadFrame> {
    let magic = header.first_chunk::<4>().ok_or(BadFrame::Short)?;
    if *magic != MAGIC {
        return Err(BadFrame::Magic);
    }
    let length = u32_at(header, 4)? as usize;
    if length > PAYLOAD_BYTES_MAX { Err(BadFrame::Length) } else { Ok(length) }
}

/// Reads the frame at the beginning of `bytes` and returns it with its checksum.
///
/// # Errors
/// [`BadFrame`].
pub fn read(bytes: &[u8]) -> Result<(Frame<'_>, u32), BadFrame> {
    let end = HEADER_BYTES + payload_bytes(bytes)?;
    let crc = u32_at(bytes, end)?;
    let covered = bytes.get(..end).ok_or(BadFrame::Short)?;
    if crc32c::crc32c(covered) != crc {
        return Err(BadFrame::Checksum);
    }
    let frame = Frame {
        lsn: Lsn(u64_at(bytes, 8)?),
        durable: Lsn(u64_at(bytes, 16)?),
        previous_crc: u32_at(bytes, 24)?,
        kind: *bytes.get(28).ok_or(BadFrame::Short)?,
        payload: covered.get(HEADER_BYTES..).ok_or(BadFrame::Short)?,
    };
    Ok((frame, crc))
}

fn u32_at(bytes: &[u8], at: usize) -> Result<u32, BadFrame> {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map(|b| u32::from_le_bytes(*b)).ok_or(BadFrame::Short)
}

fn u64_at(bytes: &[u8], at: usize) -> Result<u64, BadFrame> {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map(|b| u64::from_le_bytes(*b)).ok_or(BadFrame::Short)
}
