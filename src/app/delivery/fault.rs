//! Why a session ended before everything was sent.

use crate::app::ahead::Ahead;
use crate::app::config::SecretFault;
use crate::domain::disposition::Disposition;
use crate::ledger::LedgerFault;
use crate::remote::{FaultKind, RemoteFault};

#[derive(Debug, thiserror::Error)]
pub(super) enum SendFault {
    #[error("{0}")]
    Secret(#[from] SecretFault),
    #[error(transparent)]
    Remote(#[from] RemoteFault),
    #[error("{what}")]
    Batch { what: String, disposition: Disposition, kind: Option<FaultKind> },
    #[error(transparent)]
    Ledger(#[from] LedgerFault),
    #[error("{0}")]
    Ahead(Box<Ahead>),
}

impl SendFault {
    /// Nothing may go on until a person has looked.
    pub(super) fn stops(&self) -> bool {
        match self {
            Self::Ledger(_) | Self::Ahead(_) => true,
            Self::Batch { disposition, .. } => *disposition == Disposition::Stop,
            Self::Secret(_) | Self::Remote(_) => false,
        }
    }

    pub(super) const fn kind(&self) -> Option<FaultKind> {
        match self {
            Self::Remote(fault) => Some(fault.kind),
            Self::Batch { kind, .. } => *kind,
            Self::Secret(_) | Self::Ledger(_) | Self::Ahead(_) => None,
        }
    }
}
