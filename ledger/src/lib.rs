//! pax-ledger: the append-only ledger of debits, its HTTP service and its command line.
//!
//! | module | what |
//! | --- | --- |
//! | [`book`] | the rules, without SQL: what an entry is, its chain, what it does to sums |
//! | [`store`] | the only SQL: SQLite |
//! | [`cards`] | the rate cards that the ledger knows |
//! | [`recorder`] | many requests, one transaction, one sync |
//! | [`api`], [`server`] | the two listeners |
//! | [`metrics`] | what is counted, for Prometheus |
//! | [`replay`] | everything checked again, from one snapshot |
//! | [`explain`], [`calls_log`] | one entry's bill, and what became of a request that has none |
//! | [`report`] | entries added up by their dimensions |
//! | [`cli`] | the operator's commands |

pub mod api;
pub mod book;
pub mod calls_log;
pub mod cards;
pub mod cli;
pub mod error;
pub mod explain;
pub mod linger;
pub mod listing;
pub mod metrics;
pub mod recorder;
pub mod replay;
pub mod report;
pub mod secret;
pub mod server;
pub mod store;

use pax_gateway::base::clock::Moment;

/// The ledger's clock. It is read only here.
#[must_use]
pub fn now() -> Moment {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Moment::from_ms(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
