//! From counts to PAX: rates, rate cards, what a usage costs under a card, and the bundle of all cards.
//!
//! Floor 3: imports `base` and `dialect`.

pub mod bundle;
pub mod card;
pub mod card_file;
pub(crate) mod card_model;
pub(crate) mod charge;
pub mod factors;
pub mod rates;
