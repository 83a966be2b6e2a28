//! Answers of real shape: the project's own, and with `PAX_CAPTURES=DIR` those of that folder. Natively each is cut
//! at every byte position; through Envoy it comes in pieces of random sizes. The caller gets the provider's bytes
//! (less the chunk that the filter asked for), the ledger the provider's counts at their exact price.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

#[path = "../common/mod.rs"]
mod common;

mod answers;
mod envoy;
mod native;

use common::world::{World, captures};
use common::{case, run};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

/// How often each small answer goes through Envoy; a large one goes once.
const ROUNDS: u64 = 3;

fn main() -> ExitCode {
    let folders: Vec<_> = std::iter::once(pax_standin::own_answers()).chain(captures()).collect();
    let world: Arc<Mutex<Option<World>>> = Arc::default();
    let (mut natively, mut in_envoy) = (Vec::new(), Vec::new());
    for answer in answers::load(&folders) {
        let answer = Arc::new(answer);
        for asks_usage in [false, true] {
            // A call for JSON has nothing to ask.
            if asks_usage && !answer.stream {
                continue;
            }
            let form = match (answer.stream, asks_usage) {
                (false, _) => "JSON",
                (true, false) => "stream",
                (true, true) => "stream that asks for usage",
            };
            let (name, native) = (format!("{}, {form}", answer.name), Arc::clone(&answer));
            natively.push(case(format!("native: {name}: cut at every byte"), move || {
                native::cut_everywhere(&native, asks_usage);
            }));
            // That provider refuses the caller's own wish as well.
            if answer.refuses && asks_usage {
                continue;
            }
            let (world, answer) = (Arc::clone(&world), Arc::clone(&answer));
            in_envoy.push(case(format!("envoy: {name}: in random pieces"), move || {
                let mut world = world.lock().unwrap_or_else(PoisonError::into_inner);
                let world = world.get_or_insert_with(World::start);
                let rounds = if answer.wire.len() > 20_000 { 1 } else { ROUNDS };
                (1..=rounds).for_each(|seed| envoy::call(world, &answer, asks_usage, seed));
            }));
        }
    }
    let last = Arc::clone(&world);
    in_envoy.push(case("envoy: the ledger replays", move || {
        if let Some(world) = last.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
            envoy::finish(world);
        }
    }));
    let conclusion = run(natively.into_iter().chain(in_envoy).collect());
    drop(world.lock().unwrap_or_else(PoisonError::into_inner).take());
    conclusion.exit_code()
}
