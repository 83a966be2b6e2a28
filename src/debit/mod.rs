//! From what was admitted and what was answered to the frozen debit, and the proof of one.
//!
//! Floor 5: imports `base`, `dialect`, `price` and `reading`. The ledger imports nothing above this floor.

pub mod admission;
pub mod bounds;
pub mod canonical;
pub(crate) mod canonical_reader;
pub(crate) mod counting;
pub mod debiting;
pub(crate) mod debiting_1;
pub mod estimate;
pub mod field;
pub mod frozen;
pub(crate) mod prove;
