//! Sealing: which hours may close, and turning their records into part files and a manifest.
//!
//! - [`closing`] decides, purely, which hours of a feed are due.
//! - [`render`] reads the spool once for many hours and writes the bodies of their part files into staging.
//! - [`draft`] does the same for hours whose records are being accepted.
//! - [`finish`] gives them header and trailer once the plan is recorded, and renders manifests.
//!
//! Staged files are a cache: recovery throws them away and renders again from the plan.

pub mod closing;
pub mod draft;
pub mod finish;
pub mod render;
pub mod staged;

use crate::domain::ids::FeedId;
use crate::domain::period::Partition;
use crate::format::encode::RenderFault;
use crate::record::accepted::UnreadableFrame;
use crate::spool::SpoolFault;
use std::io;
use std::path::PathBuf;

/// Revision of everything that turns records into bytes. It is stored in each plan; a program with another revision
/// must not finish the plan.
pub const ENCODER_REVISION: u32 = 2;

/// What can go wrong while sealing.
#[derive(Debug, thiserror::Error)]
pub enum SealFault {
    /// The spool cannot be read.
    #[error(transparent)]
    Spool(#[from] SpoolFault),
    /// A frame holds something else than this version writes.
    #[error(transparent)]
    Frame(#[from] UnreadableFrame),
    /// A format does not fit the fields of its source.
    #[error("feed {feed}: {message}")]
    Format {
        /// Which feed.
        feed: FeedId,
        /// What does not fit.
        message: String,
    },
    /// A header, trailer or manifest cannot hold its values although it could when the plan was made.
    #[error("feed {feed}: {fault}")]
    Render {
        /// Which feed.
        feed: FeedId,
        /// Why.
        fault: RenderFault,
    },
    /// The disk refused.
    #[error("cannot {operation} {path}: {source}")]
    Disk {
        /// What was tried.
        operation: &'static str,
        /// On which file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// Rendering again gives something else than the plan says.
    #[error("feed {feed}, hour {}-{}: rendering again gives {found} but the plan says {planned}", hour.start, hour.end)]
    NotReproduced {
        /// Which feed.
        feed: FeedId,
        /// Which hour.
        hour: Partition,
        /// What the plan says.
        planned: String,
        /// What came out.
        found: String,
    },
}

pub(crate) fn disk_fault(operation: &'static str, path: &std::path::Path) -> impl FnOnce(io::Error) -> SealFault {
    let path = path.to_owned();
    move |source| SealFault::Disk { operation, path, source }
}
