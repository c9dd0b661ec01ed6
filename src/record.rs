//! Records as they travel: blocks of bytes with field bounds, without an allocation for each record or field.

pub mod accepted;
pub mod block;
pub mod decimal;

pub use accepted::{Accepted, AcceptedBatch, InputFinished, Reject};
pub use block::{FieldKind, Origin, Record, RecordBlock, Schema, SchemaField};
pub use decimal::{Decimal, DecimalFault, Rounding};
