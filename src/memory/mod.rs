//! What all workers of one Envoy know: shared data, and who may write what there in which order.
//!
//! Floor 6: imports the floors below it.

pub mod active;
pub mod cap;
pub mod cap_bytes;
pub mod gate;
pub mod in_flight;
pub(crate) mod kept;
pub mod outbox;
pub mod publish;
pub(crate) mod record;
pub(crate) mod ring;
pub mod shared;
pub mod token_cache;
