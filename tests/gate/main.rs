//! The free tier's gate and its surroundings, in real Envoys with the real ledger: crowds against a cap, two
//! Envoys, killed Envoys, trapped VMs, midnight, a ledger that is restored, upgraded and rolled back, a module
//! and settings that change while calls run, callers' own keys, forged and twisted requests.
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

mod abuse;
mod answers;
mod away;
mod bodies;
mod byo;
mod credits;
mod crowd;
mod fleet;
mod flood;
mod frames;
mod from_0_1_0;
mod holds;
mod hosts;
mod lost;
mod midnight;
mod operator;
mod own_keys;
mod play;
mod raw;
mod restored;
mod trailers;
mod trapped;
mod tricks;
mod upgrade;

use common::world::World;
use common::{case, run};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

/// A case: what it promises, and its run in a world that others share.
type Case = (&'static str, fn(&mut World));
/// A case that starts what it needs.
type OwnCase = (&'static str, fn());

/// Cases that share a world, which is started by the first and stopped after the last of them.
fn share(start: fn() -> World, group: &[Case]) -> Vec<libtest_mimic::Trial> {
    let world: Arc<Mutex<Option<World>>> = Arc::default();
    let mut cases = Vec::new();
    for (name, run) in group {
        let (world, run) = (Arc::clone(&world), *run);
        cases.push(case(*name, move || {
            // A case that failed does not fail the others.
            let mut world = world.lock().unwrap_or_else(PoisonError::into_inner);
            let world = world.get_or_insert_with(start);
            world.standin.reset();
            world.standin.clear_received();
            run(world);
        }));
    }
    cases.push(case(
        format!("after \"{}\" the ledger replays", group.last().expect("a case").0),
        move || {
            if let Some(world) = world.lock().unwrap_or_else(PoisonError::into_inner).take() {
                world.settle();
                world.replay();
            }
        },
    ));
    cases
}

fn main() -> ExitCode {
    let gate = [crowd::CASES, fleet::CASES, credits::CASES, tricks::CASES].concat();
    let mut cases: Vec<_> = lost::BEGUN.iter().map(|(name, run)| case(*name, *run)).collect();
    cases.extend(share(fleet::world, &gate));
    cases.extend(share(World::start, holds::CASES));
    cases.extend(share(operator::world, operator::CASES));
    let own: [&[OwnCase]; 17] = [
        operator::OWN_CASES,
        midnight::CASES,
        trapped::CASES,
        byo::CASES,
        trailers::CASES,
        answers::CASES,
        abuse::CASES,
        own_keys::CASES,
        hosts::CASES,
        away::CASES,
        bodies::CASES,
        flood::CASES,
        restored::CASES,
        upgrade::CASES,
        from_0_1_0::CASES,
        holds::OWN_CASES,
        lost::ENDED,
    ];
    for (name, run) in own.concat() {
        cases.push(case(name, run));
    }
    run(cases).exit_code()
}
