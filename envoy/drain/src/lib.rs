//! A clean stop of Envoy with the filter: no call is cut, and every debit is acknowledged before the process ends.
//!
//! SIGTERM alone ends Envoy at once, with the calls in flight and the debits that wait in its memory. [`drain`] comes
//! before it. `pax-drain` is Envoy's entrypoint and stop step in a container; `pax-stack` calls the same on Ctrl-C.

mod drain;
pub mod http;

pub use drain::{Drained, Gateway, OUTBOX_GAUGE, Patience, Proceed, drain};
