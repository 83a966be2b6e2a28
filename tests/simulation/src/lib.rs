//! The core under a seeded simulator. (documentation follows)

mod check;
mod faults;
mod ledger;
mod memory;
mod plan;
mod provider;
mod random;
mod stream;
mod truth;
mod vm;
mod world;

use std::rc::Rc;

use pax_gateway::bundle::Bundle;
use pax_gateway::config::{Config, Gateway};

use world::World;

/// A bug that the simulator plants into its own part of the world, to see that it is found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// None.
    #[default]
    None,
    /// A call is settled twice.
    DoubleSettle,
    /// A compare-and-swap overwrites whatever is there.
    LostSwap,
    /// A debit is taken out of the outbox though it did not arrive.
    DroppedDebit,
}

/// What a run came to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// Things that happened.
    pub steps: u64,
    /// Calls that asked for a reservation.
    pub calls: u64,
    /// Entries in the ledger at the end.
    pub entries: u64,
    /// Debits of an exchange that had an entry of other bytes.
    pub conflicts: u64,
    /// Calls whose VM died.
    pub orphans: u64,
    /// Calls whose VM was taken for dead and lived.
    pub doubted: u64,
}

/// What must hold did not.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// The step after which it did not.
    pub step: u64,
    /// What.
    pub invariant: String,
    /// What happened until then.
    pub trace: Vec<String>,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "seed {} failed at step {}: {}", self.seed, self.step, self.invariant)
    }
}

const CONFIG: &str = r#"{
    "ledger": {"cluster": "ledger", "authority": "ledger"}, "tokens": {"ttl_s": 5, "unknown_ttl_s": 2},
    "gate": {"sync_s": 2},
    "providers": {
        "fireworks": {"cluster": "fireworks", "authority": "api.test", "base_path": "/v1", "stream_usage": "ask"}
    }
}"#;

/// Runs seeds, one after another.
#[derive(Debug)]
pub struct Simulator {
    gateway: Rc<Gateway>,
    fault: Fault,
}

impl Simulator {
    /// A simulator with a planted bug, or none.
    ///
    /// # Errors
    /// What is wrong with the configuration or the rate cards that are built in.
    pub fn new(fault: Fault) -> Result<Self, String> {
        let config = Config::parse(CONFIG).map_err(|mistakes| mistakes.to_string())?;
        let bundle = Bundle::embedded().map_err(|mistakes| mistakes.to_string())?;
        Ok(Self { gateway: Rc::new(Gateway { config, bundle }), fault })
    }

    /// Runs a seed.
    ///
    /// # Errors
    /// What did not hold, with all that happened until then.
    pub fn run(&self, seed: u64) -> Result<Tally, Box<Failure>> {
        let world = World::new(seed, self.fault, &self.gateway, false);
        let tally = play(&world);
        if world.broken.take().is_none() {
            return Ok(tally);
        }
        // The same again, with a trace.
        let (_, trace, broken) = self.trace(seed);
        let (step, invariant) =
            broken.unwrap_or((0, "it failed, but not a second time: a bug of the simulator".to_owned()));
        Err(Box::new(Failure { seed, step, invariant, trace }))
    }

    /// Runs a seed and gives all that happened, and what did not hold after which step.
    #[must_use]
    pub fn trace(&self, seed: u64) -> (Tally, Vec<String>, Option<(u64, String)>) {
        let world = World::new(seed, self.fault, &self.gateway, true);
        world.say(|| format!("seed {seed}: {:?}", world.plan));
        let tally = play(&world);
        let broken = world.broken.take().map(|broken| (broken.step, broken.why));
        (tally, world.take_trace(), broken)
    }
}

/// Time in which all is well before everything must be at rest: a VM counts as dead after 10 s, the slowest stream
/// ends in 60.
const CALM_MS: u64 = 75_000;
/// Until a number that was given out in the outbox, and lost with its VM, is passed over.
const GAP_MS: u64 = 70_000;

fn play(world: &World) -> Tally {
    world.begin();
    let holds = || world.broken.borrow().is_none();
    let run_until = |until: u64| {
        while holds() && world.step(until) {
            world.check_step();
            world.steps.set(world.steps.get() + 1);
        }
        world.time.set(world.time.get().max(until));
    };
    run_until(world.plan.chaos_ms);
    world.calm_down();
    run_until(world.plan.chaos_ms + CALM_MS);
    if holds() {
        world.check_at_rest();
    }
    if !(0..world.plan.envoys).all(|envoy| world.outbox_is_empty(envoy)) {
        run_until(world.time.get() + GAP_MS);
    }
    for envoy in (0..world.plan.envoys).filter(|_| holds()) {
        if !world.outbox_is_empty(envoy) {
            world.fail(&format!("envoy {envoy}: the outbox counts debits that do not wait"));
        }
    }
    for envoy in 0..world.plan.envoys {
        for account in 0..world.plan.accounts {
            for token in 0..2 {
                if holds() {
                    world.check_small_call(envoy, &format!("token-{account}-{token}"));
                }
            }
        }
    }
    if holds() {
        world.check_at_rest();
    }
    count(world)
}

fn count(world: &World) -> Tally {
    let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    let (ledger, truth) = (world.ledger.borrow(), world.truth.borrow());
    Tally {
        steps: world.steps.get(),
        calls: number(truth.calls.len()),
        entries: number(ledger.entries.len()),
        conflicts: number(ledger.conflicts.len()),
        orphans: number(truth.calls.values().filter(|call| call.orphaned).count()),
        doubted: number(truth.calls.values().filter(|call| call.doubted).count()),
    }
}
