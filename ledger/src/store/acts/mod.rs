//! What operators do: each action is one transaction, with its row of the operator log.

mod accounts;
mod cards;
mod closing;
mod credit;
mod hold_acts;
mod operator_log;
mod quarantine;
mod repricing;

pub use operator_log::LoggedRow;

pub(super) use accounts::account;
