//! The proxy-wasm side of the port, which decides nothing. Only the allocator is compiled for other targets,
//! too, so that it is tested there.
//!
//! Floor 10: imports any floor; nothing imports it.

#[cfg(any(target_arch = "wasm32", test))]
pub(crate) mod allocator;
#[cfg(all(target_arch = "wasm32", feature = "test-faults"))]
pub(crate) mod faults;
#[cfg(target_arch = "wasm32")]
pub mod filter;
#[cfg(target_arch = "wasm32")]
pub mod host;
#[cfg(target_arch = "wasm32")]
pub(crate) mod root;
