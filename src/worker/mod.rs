//! A worker: the port to its proxy, the driver of its streams, its chores, and what these share.
//!
//! Floor 9: imports the floors below it. It runs natively too, over a fake of the port.

pub mod body_watch;
pub mod chores;
pub mod driver;
#[cfg(not(target_arch = "wasm32"))]
pub mod fake;
pub mod host;
pub(crate) mod properties;
pub(crate) mod random;
pub mod root_share;
pub mod vm;
pub mod waiting;
pub mod watching;
