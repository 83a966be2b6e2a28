//! The whole gateway on one machine: renders Envoy's configuration from `envoy/envoy.yaml`, starts the ledger
//! service, the stand-in provider (if no other is named) and Envoy, and stops all of them again.
//!
//! `make up`, `make demo`, the tests and the benchmarks use it. Everything listens on loopback only.
//!
//! ```no_run
//! # fn main() -> Result<(), pax_stack::StackError> {
//! let stack = pax_stack::Stack::builder().upstream("127.0.0.1:8000").start()?;
//! println!("calls are served at {}", stack.url());
//! let entries = stack.ledger(["entries"])?;
//! # Ok(())
//! # }
//! // Dropping the stack kills its processes; so does the death of this one, however it dies.
//! ```
//!
//! Everything here blocks. In an async test use `tokio::task::spawn_blocking` or `block_in_place`.

mod builder;
mod calls_log;
mod check;
mod commands;
mod database;
mod demo;
mod envoy;
mod error;
mod folder;
mod keys;
mod layout;
mod ledgers;
mod logs;
mod mend;
mod ports;
mod process;
mod providers;
mod rate_cards;
mod render;
mod replies;
mod stack;
mod try_it;

use pax_drain::http;

pub use builder::Builder;
pub use calls_log::CallsLog;
pub use check::{Finding, Level, check};
pub use database::Database;
pub use demo::DemoAccount;
pub use envoy::Envoy;
pub use error::StackError;
pub use keys::Keys;
pub use layout::Layout;
pub use pax_drain::Drained;
pub use providers::{Provider, StreamUsage, Upstream, any_provider_key, take_own_keys};
pub use rate_cards::{Reloaded, change_filter, rate_cards, reload, replace};
pub use render::{LedgerAt, Place, Rendered, render};
pub use stack::Stack;
pub use try_it::TryIt;
