//! What passes through the gateway: every size, every cut, every ending, over HTTP/1.1 and HTTP/2. A real Envoy, the
//! real ledger.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects
)]

#[path = "../common/mod.rs"]
mod common;

mod drive;
mod early;
mod endings;
mod events;
mod h2c;
mod sizes;

use common::world::World;
use common::{case, run};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

/// A case: what it promises, and its run in the shared world.
type Case = (&'static str, fn(&mut World));

fn main() -> ExitCode {
    let world: Arc<Mutex<Option<World>>> = Arc::default();
    let mut cases = vec![case("every ending is one debit or none, and nothing hangs", endings::table)];
    for (name, run) in [events::CASES, sizes::CASES].concat() {
        let world = Arc::clone(&world);
        cases.push(case(name, move || {
            // A case that failed does not fail the others.
            let mut world = world.lock().unwrap_or_else(PoisonError::into_inner);
            // One worker: what its memory is after five calls is what five calls have made of it.
            let world = world.get_or_insert_with(|| World::start_with(|builder| builder.concurrency(1)));
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
