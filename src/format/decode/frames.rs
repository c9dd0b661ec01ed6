//! Frames of the spool as what they hold, also those whose records are lines that have to be decoded again.

use super::{Decoded, Decoder, Position};
use crate::document::{Document, Problems};
use crate::format::spec::{FormatSpec, read_format};
use crate::record::accepted::UnreadableFrame;
use crate::record::accepted::lines::{InputReading, KIND_LINES, LinesFrame};
use crate::record::{Accepted, AcceptedBatch, Origin};

/// Reads frames one after the other. Remembers the format of the last lines: those of one input follow each other.
#[derive(Default)]
pub struct FrameReader {
    known: Option<(InputReading, FormatSpec)>,
}

impl FrameReader {
    /// Reads a frame payload.
    ///
    /// # Errors
    /// [`UnreadableFrame`] when the bytes are not what this version writes, or lines are other records than they were.
    pub fn read(&mut self, kind: u8, payload: &[u8]) -> Result<Accepted, UnreadableFrame> {
        if kind != KIND_LINES {
            return Accepted::read(kind, payload);
        }
        self.decode(LinesFrame::read(payload)?).map(Accepted::Batch)
    }

    fn decode(&mut self, frame: LinesFrame<'_>) -> Result<AcceptedBatch, UnreadableFrame> {
        let fault = |what| UnreadableFrame { what, at: 0 };
        let reading = frame.reading;
        if self.known.as_ref().is_none_or(|(known, _)| *known != reading) {
            let document = Document { name: reading.format.clone(), text: reading.text.clone() };
            let spec = read_format(document, &reading.format, &Problems::default());
            self.known = Some((reading, spec.ok_or_else(|| fault("a format that this version can read"))?));
        }
        let Some((reading, spec)) = &self.known else { return Err(fault("a format")) };
        let read = spec.read.as_ref().ok_or_else(|| fault("a format that says how to read"))?;
        let (mut decoder, mut out) = (Decoder::new(&spec.dialect, read), Decoded::new(read.schema()));
        let Origin { record, line, byte } = frame.batch.before;
        if byte > 0 {
            if decoder.needs_head() {
                decoder.push(&reading.head, &mut out);
                out.clear();
            }
            if decoder.needs_head() {
                return Err(fault("the names of the columns"));
            }
            decoder.resume_at(Position { byte, line, record });
        }
        decoder.push(frame.lines, &mut out);
        if frame.is_end {
            decoder.finish(&mut out);
        }
        if (out.block.len() as u64, out.rejects.len() as u64) != (frame.records, frame.rejects) {
            return Err(fault("as many records in its lines as were accepted"));
        }
        let head = if out.rejects.is_empty() { Vec::new() } else { reading.head.clone() };
        Ok(AcceptedBatch { head, block: out.block, rejects: out.rejects, ..frame.batch })
    }
}
