//! What a worker does between its calls: it asks the ledger, sends debits, syncs accounts, publishes cards.

pub mod ask;
pub mod callouts;
pub(crate) mod cards_upkeep;
pub(crate) mod holding;
pub(crate) mod holds;
pub mod readiness;
pub mod resolves;
pub mod root;
pub(crate) mod sending;
pub(crate) mod syncing;
