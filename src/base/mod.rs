//! The words and units that all other rooms use: money, time, ids, text, JSON, and every way to say no.
//!
//! Floor 1: imports nothing else of this crate.

pub mod account;
pub(crate) mod bytes;
pub mod clock;
pub mod digest;
pub mod exchange_id;
pub mod json;
pub mod pairs;
pub mod pax;
pub mod refusal;
pub mod stopwatch;
pub mod strict_json;
pub mod text;
pub mod text_bytes;
pub mod wire;
