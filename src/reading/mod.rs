//! From bytes to meaning, cut anywhere: what a request asks for, and what an answer says.
//!
//! Floor 4: imports `base`, `dialect` and `price`.

pub mod answer;
pub mod request;
