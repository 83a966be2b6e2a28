//! Rate cards that change while calls run, in a real Envoy with the real ledger: what is promised of a reload, of a
//! bundle with mistakes, of a card that takes force later, and of a ledger that does not know a card.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

#[path = "../common/mod.rs"]
mod common;

mod bundles;
mod ledger;
mod load;
mod mistakes;
mod streams;

use common::{case, run};
use std::process::ExitCode;

/// A case: what it promises, and its run in a world of its own.
type Case = (&'static str, fn());

fn main() -> ExitCode {
    let groups: [&[Case]; 4] = [load::CASES, streams::CASES, mistakes::CASES, ledger::CASES];
    run(groups.concat().into_iter().map(|(name, run)| case(name, run)).collect()).exit_code()
}
