//! What all workers of one Envoy know: shared data, and who may write what there in which order.
//!
//! Floor 6: imports the floors below it.

pub mod active;
pub mod cap;
pub mod cap_bytes;
pub mod gate;
pub mod lanes;
pub mod lease;
pub mod publish;
pub mod shared;
pub mod token_cache;
