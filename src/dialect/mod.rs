//! How providers speak: how each counts a usage, what it may be sent, and its other conventions.
//!
//! Floor 2: imports `base`.

pub(crate) mod options;
pub mod provider;
pub mod usage;
pub(crate) mod usage_fields;
