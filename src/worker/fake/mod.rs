//! The one fake of Envoy, for tests: shared data with Envoy's rules ([`Map`]), and a proxy that calls the
//! production driver as Envoy does ([`Proxy`]). The unit tests, the scenarios, the captures and the simulator
//! all run on it. Tests of one worker that need no other world use [`Native`]. It is not in the wasm module.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a fake that is used wrongly stops its test"
)]

mod callouts;
#[cfg(test)]
pub(crate) mod calls;
mod ledger;
mod metrics;
mod native;
mod proxy;
mod shared;
mod split_mix;
mod streams;

pub use ledger::Ledger;
pub use metrics::Metrics;
pub use native::{Around, Native, Question};
pub use proxy::{Call, Outside, Proxy, State};
pub use shared::Map;
pub use split_mix::SplitMix64;
pub use streams::{Ended, Reply, Stream, Upstream};
