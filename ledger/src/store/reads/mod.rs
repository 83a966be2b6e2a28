//! What is looked up: single rows, and a snapshot from which all is of one moment.

mod chain_page;
mod checks;
mod columns;
mod corrected;
mod entries;
pub(super) mod epoch;
mod figures;
mod hold_listing;
mod report;
mod standing;

pub use chain_page::{ChainEntry, ChainPage};
pub use entries::{Listing, Snapshot};

pub(super) use columns::{from_ms, pax, read_status, read_tier, sum, to_ms};
pub(super) use epoch::epoch_of;
