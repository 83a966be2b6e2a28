//! What the whole promises under real conditions: kept connections, HTTP/2 and trailers, large bodies, callers that
//! hang up, slow providers, a ledger that dies, mistakes in the configuration. A real Envoy, the real ledger.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

#[path = "../common/mod.rs"]
mod common;

mod calls;
mod crowds;
mod hangups;
mod http2;
mod outages;
mod several;
mod slow;
mod start;
mod told;
mod troubles;

use common::world::World;
use common::{case, run};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

/// A case: what it promises, and its run in the shared world.
type Case = (&'static str, fn(&mut World));

fn main() -> ExitCode {
    let world: Arc<Mutex<Option<World>>> = Arc::default();
    let groups: [&[Case]; 8] = [
        slow::FIRST,
        calls::CASES,
        http2::CASES,
        hangups::CASES,
        crowds::CASES,
        told::CASES,
        outages::CASES,
        slow::LAST,
    ];
    let mut cases: Vec<_> = start::CASES
        .iter()
        .chain(troubles::CASES)
        .chain(several::CASES)
        .map(|(name, run)| case(*name, run))
        .collect();
    for (name, run) in groups.concat() {
        let world = Arc::clone(&world);
        cases.push(case(name, move || {
            // A case that failed does not fail the others.
            let mut world = world.lock().unwrap_or_else(PoisonError::into_inner);
            let world = world.get_or_insert_with(World::start);
            world.standin.reset();
            world.standin.clear_received();
            run(world);
        }));
    }
    let last = Arc::clone(&world);
    cases.push(case("after all of it the ledger replays", move || {
        if let Some(world) = last.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
            world.settle();
            world.replay();
        }
    }));
    let conclusion = run(cases);
    drop(world.lock().unwrap_or_else(PoisonError::into_inner).take());
    conclusion.exit_code()
}
