//! One call as a value: its states, whether it may be made, and what goes upstream. Pure: no host call, no
//! clock.
//!
//! Floor 7: imports the floors below it.

pub mod admit;
pub(crate) mod answering;
pub(crate) mod arriving;
pub mod config;
pub mod event;
pub mod exchange;
pub mod models;
pub mod open_bodies;
pub(crate) mod opening;
pub mod story;
pub mod usable;
