//! What stock clients send, recorded from them (README.md beside this file says how): no such body is refused, by
//! any provider, however it is cut; and all of them are served through the whole stack.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

#[path = "../common/mod.rs"]
mod common;

mod bodies;
mod envoy;
mod native;

use common::{case, run};
use std::process::ExitCode;

fn main() -> ExitCode {
    let bodies = bodies::load();
    let mut cases = native::cases(&bodies);
    cases.push(case("envoy: every body is served, and the ledger replays", move || {
        envoy::serves_all(&bodies)
    }));
    run(cases).exit_code()
}
