//! The ledger's integration tests, in one program: on files, and on PostgreSQL where the environment has
//! `PAX_TEST_DB=postgres`.

mod backup;
mod batches;
mod calls_log;
mod cards;
mod cli;
mod common;
mod credit;
mod credits;
mod entries;
mod explain;
mod holds;
mod metrics;
mod operator_log;
mod postgres;
mod quarantine;
mod reports;
mod restore;
mod service;
mod standing;
mod store;
mod tamper;
mod upgrade;
