//! pax-gateway: the filter's pure core, and on wasm32 the filter itself. ARCHITECTURE.md is the map.

pub mod account;
pub mod bundle;
pub mod card;
pub mod clock;
pub mod debit;
pub mod digest;
pub mod doc;
pub mod exchange_id;
pub mod json;
mod json_text;
pub mod pax;
mod text;
pub mod usage;
pub mod wire;
