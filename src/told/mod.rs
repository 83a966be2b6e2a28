//! What the operator is told: the calls' log, the metrics, and what goes wrong again and again.
//!
//! Floor 8: imports the floors below it.

pub mod complaints;
pub mod key_refusals;
pub mod ledger_trouble;
pub mod log_line;
pub mod meter;
pub mod metrics;
pub mod provider_trouble;
pub mod rarely;
pub mod tally;
