//! The words of the trade as types: identities, numbers, time, periods and the life of a batch.
//!
//! Nothing here does I/O or reads a clock. `chrono` is named in [`period`] only.

pub mod answer;
pub mod batch;
pub mod counter;
pub mod delivery;
pub mod disposition;
pub mod frames;
pub mod ids;
pub mod period;
pub mod pickup;
pub mod place;
pub mod quiet;
pub mod runs;
pub mod time;
