//! The production driver under a seeded simulator: several Envoys with several workers each and a main thread, callers,
//! providers, an operator and a ledger, in one thread, by one seed. Streams ([`pax_gateway::worker::driver`]), roots
//! ([`pax_gateway::worker::chores::root`]) and all below them are the ones that ship, on the one fake of Envoy
//! ([`pax_gateway::worker::fake`]); so are the ledger's rules ([`pax_ledger::book`]). Played here is what is around a proxy: the
//! shared data that others write at the same time, clocks, timers, the network to the ledger, callers and providers.
//!
//! # What goes wrong
//!
//! Messages are lost, late, reordered and delivered twice; the ledger is away, or older than the Envoys; VMs die before any of their operations on
//! shared data; threads stand still for longer than a VM counts as alive, in the middle of an operation or between two; timers go off late;
//! Envoys are killed; wall clocks jump, back and forth, over hours and midnight, and monotonic ones never do; callers hang up at any moment; providers
//! answer, refuse, break off or say nothing; the operator changes caps, tokens and accounts, makes calls cheaper, and grants credit and corrects grants now and then, some of them with
//! an end that comes while there are calls, so that some balances run out and some lots are over while holds need them. In a sixth of the runs the ledger is restored from a backup, and what it lost comes back later; in a
//! quarter the free tier is admitted by holds, too. In a few runs one call takes longer than a lease lasts, or the ledger is away for so long. New configurations come, the first with a rate card that
//! is in force at once: in each VM a new root takes over, and the one before it ends after its last stream. Before each operation on
//! shared data other workers of that Envoy may run: that is where compare-and-swaps are lost.
//!
//! # What must hold
//!
//! How far a call has come is told by what is written of it (`witness.rs`), and by what its stream says of itself between two
//! callbacks. At every write:
//!
//! 1. At every admission: what the Envoy knows to be spent, and what its own calls add to it by the simulator's own
//!    account of them, fit the cap together.
//! 2. A call's record leaves its cell only if its debit overwrites it or is in another cell, or after its reservation was
//!    given back, and a call that was let go is not charged.
//! 3. A debit leaves its last cell only if the ledger has it.
//! 4. A call is sent on only if a cell or the ledger has something of it.
//! 5. A lane is taken over only if its owner has not said for [`DEAD_MS`] that it lives.
//! 6. Once all has been well for 20 s, no debit waits in a cell for longer than 5 s.
//! 7. No token and no key is in a line of a log, in an answer of the filter's or in a question to the ledger.
//! 8. The record of a call that needs a hold says that the call goes on only if the ledger has made the hold. Only a call whose
//!    record says so is sent on; any other is not charged, and its record leaves its cell only for a void or if the hold was
//!    refused.
//! 9. A void leaves its last cell only if the ledger has heard it. No call is voided that was charged, nor, by another VM than
//!    its own, one that went on.
//! 10. Each Envoy has one number for its lease, from its start to its end, and no other has the same.
//!
//! After every step:
//!
//! 1. Each reservation is of a call that is open in a living VM, or has its record or its debit in a cell; each
//!    cost that waits for the ledger has its debit in a cell; each open call has its record.
//! 2. What an Envoy knows of an account's day is what the account's entries up to that number add up to.
//! 3. The ledger never hears of an exchange under two different bytes, and what it has acknowledged is never sent under
//!    others. One case is excused, and counted: a VM that was taken for dead and lives.
//! 4. The ledger has heard of each debit's card before the debit.
//! 5. What is spent on a day never exceeds the fleet's bound, below.
//! 6. When the ledger makes a hold, the account's balance covers all of its open holds, with the new one. No call costs more than
//!    its hold. So no balance falls below zero, unless a debit came whose hold was not open any more.
//!    Of the free tier, where it is admitted by holds, the same holds of the day's cap.
//! 7. A hold that was voided or refused, or that nobody has asked for, is not debited, unless the call's VM was taken for dead and
//!    lives.
//! 8. No hold of an Envoy that lives expires, unless the ledger was away for about as long as a lease lasts. Of an Envoy that
//!    was killed nothing is held after 70 s.
//! 9. Once all has been well for 25 s, no hold of an Envoy that lives is open for longer than 5 s without its call: neither that
//!    of a call that was refused or given up, nor that of a call whose VM died before it heard the ledger's answer.
//! 10. The balance is what the account's lots have left, or nothing is left of them and it is below zero. Each debit draws on the lots
//!     that end first; of two that end at one moment, on the older one.
//! 11. No lot expires before its end, nor more of it than was granted (unless a correction came after that: the book may put what it
//!     gives back into a lot that has expired already). No expiry takes what open holds need.
//! 12. Of a lot that is over nothing stays that no open hold needs: not after a hold was asked for, an entry was made or a hold has ended, and
//!     for no longer than 5 s otherwise.
//!
//! Once all has been well for a while: a call costs what its true debit says, also after an estimate, or what an operator has made of it since; what
//! a restore has lost is there again: debits, grants, corrections; each balance is what was granted, less what has expired and what calls
//! cost; every cell is empty, no reservation or pending cost is left, each call has
//! the entry that it should have, and none has another; a small call of every token is answered as the ledger would have
//! it (402 if what is left of the balance does not cover it), under the newest card in force, and then its Envoy knows exactly what the ledger knows. At last each worker has one
//! root that ticks once a second, and the metrics have counted the calls, what they cost and what the ledger made of them:
//! exactly, but for what a VM that died may not have told: what it counted since its last tick, and in the callback in which it died.
//! When 70 s have passed since the last kill of an Envoy that had open holds, nothing is held.
//!
//! [`DEAD_MS`]: pax_gateway::memory::lanes::DEAD_MS
//!
//! # The bound for a fleet
//!
//! Of an account and a day, let `cap(f)` be the cap that Envoy `f` held to at its last admission, and `spent(f)` what it
//! knew then: the account's entries of that day up to some number. Let `e` be the one whose number was the highest. Then
//!
//! ```text
//! all that is ever spent on that day  <=  cap(e)  +  the sum over all others f of  (cap(f) - spent(f))
//! ```
//!
//! since each Envoy's admissions keep `spent(f) + its own, as far as not in spent(f) <= cap(f)`, no call costs more than
//! it reserved, and what another Envoy had recorded by its number is in `spent(e)` too. One Envoy alone never exceeds its
//! cap. An Envoy that is killed counts as one, and the one that takes its place as another, because a batch of the first
//! may still be on its way. A cap that the operator lowers binds from the next call on that has resolved its token anew.
//! A VM that was taken for dead and lives adds at most the reservations of the calls that it had open. A restored ledger adds what it had lost: until that comes
//! back, other calls may be admitted in its place.

mod callbacks;
mod check;
mod corrected;
mod counted;
mod event;
mod fault;
mod faults;
mod held;
mod holds;
mod ledger;
mod lots;
mod lots_check;
mod memory;
mod network;
mod outside;
mod plan;
mod planted;
mod provider;
mod random;
mod restored;
mod stream;
mod tally;
mod truth;
mod vm;
mod witness;
mod world;

use std::panic::resume_unwind;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use pax_gateway::base::strict_json::Mistakes;
use pax_gateway::call::config::{Config, Gateway};
use pax_gateway::price::bundle::Bundle;
use pax_gateway::price::card::RateCard;

use world::World;

pub use fault::Fault;
pub use tally::Tally;

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
    "ledger": {"cluster": "ledger", "authority": "ledger"}, "hosts": ["*"], "tokens": {"ttl_s": 5, "unknown_ttl_s": 2},
    "gate": {"sync_s": 2},
    "providers": {
        "fireworks": {"cluster": "fireworks", "authority": "api.test", "base_path": "/v1", "stream_usage": "ask", "stops_at": "model_maximum", "own_keys": true}
    }
}"#;

/// What stands in the configuration of the gate.
const SYNC: &str = "\"sync_s\": 2";

/// Runs seeds, one after another.
#[derive(Debug)]
pub struct Simulator {
    /// The configurations that Envoys get, one after another; and those by which the free tier needs holds, too.
    gateways: [Rc<[Gateway]>; 2],
    fault: Fault,
}

/// The cards that an Envoy begins with, and with the one that comes later, which is in force at once.
fn bundles() -> Result<[Rc<Bundle>; 2], Mistakes> {
    let built_in = Bundle::embedded()?;
    let mut cards: Vec<(Arc<RateCard>, Arc<str>)> =
        built_in.files().map(|(card, text)| (Arc::clone(card), Arc::clone(text))).collect();
    let later = cards.pop();
    let first = Rc::new(Bundle::of(cards.clone()));
    if let Some((_, text)) = later {
        let text = text.replacen("2026-11-27T00:00:00Z", "2026-11-20T00:00:00Z", 1);
        cards.push((Arc::new(RateCard::parse(&text)?), text.into()));
    }
    Ok([first, Rc::new(Bundle::of(cards))])
}

impl Simulator {
    /// A simulator with a planted bug, or none.
    ///
    /// # Errors
    /// What is wrong with the configuration or the rate cards that are built in.
    pub fn new(fault: Fault) -> Result<Self, String> {
        let bundles = bundles().map_err(|mistakes| mistakes.to_string())?;
        let gateways = |config: &str| -> Result<Rc<[Gateway]>, String> {
            let config = Config::parse(config).map_err(|mistakes| mistakes.to_string())?;
            Ok(Rc::new(bundles.clone().map(|bundle| Gateway { config: config.clone(), bundle })))
        };
        let by_ledger = CONFIG.replace(SYNC, &format!("{SYNC}, \"admission\": {{\"free\": \"ledger\"}}"));
        Ok(Self { gateways: [gateways(CONFIG)?, gateways(&by_ledger)?], fault })
    }

    /// Runs a seed.
    ///
    /// # Errors
    /// What did not hold, with all that happened until then.
    pub fn run(&self, seed: u64) -> Result<Tally, Box<Failure>> {
        let world = World::new(seed, self.fault, &self.gateways, false);
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
        let world = World::new(seed, self.fault, &self.gateways, true);
        world.say(|| format!("seed {seed}: {:?}", world.plan));
        let tally = play(&world);
        let broken = world.broken.take().map(|broken| (broken.step, broken.why));
        (tally, world.take_trace(), broken)
    }
}

/// Runs so many seeds from one on, on all cores; stops soon after the first that fails.
///
/// # Errors
/// The failure with the lowest seed of those that were found.
pub fn run_all(first: u64, count: u64, fault: Fault) -> Result<Tally, Box<Failure>> {
    let next = AtomicU64::new(0);
    let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let run = || -> Result<Tally, Box<Failure>> {
        let simulator = Simulator::new(fault)
            .map_err(|invariant| Box::new(Failure { seed: first, step: 0, invariant, trace: Vec::new() }))?;
        let mut all = Tally::default();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                return Ok(all);
            }
            match simulator.run(first.wrapping_add(number)) {
                Ok(tally) => all += tally,
                Err(failure) => {
                    next.store(count, Ordering::Relaxed);
                    return Err(failure);
                }
            }
        }
    };
    std::thread::scope(|scope| {
        let runs: Vec<_> = (0..workers).map(|_| scope.spawn(run)).collect();
        let mut all: Result<Tally, Box<Failure>> = Ok(Tally::default());
        for run in runs {
            // A panic is of the core: its message has the place, and it is passed on.
            match (run.join().unwrap_or_else(|panic| resume_unwind(panic)), &mut all) {
                (Ok(tally), Ok(all)) => *all += tally,
                (Err(failure), Err(lowest)) if lowest.seed <= failure.seed => drop(failure),
                (Err(failure), all) => *all = Err(failure),
                (Ok(_), Err(_)) => {}
            }
        }
        all
    })
}

/// How long after the last kill of an Envoy nothing of it may be held.
const FREED_MS: u64 = 70_000;
/// Time in which all is well before everything must be at rest: a VM counts as dead after 10 s, and each
/// second one of the dead is settled.
const CALM_MS: u64 = 40_000;
/// How long after a provider's answer has begun its call's debit is acknowledged.
const SETTLED_MS: u64 = 8_000;
/// How long after the last call all metrics are set and all timers are slow.
const REST_MS: u64 = 5_000;
fn play(world: &World) -> Tally {
    world.begin();
    let holds = || world.broken.borrow().is_none();
    let run_until = |until: u64| world.run_until(until, || false);
    run_until(world.plan.chaos_ms);
    world.calm_down();
    // A thread that stood still at last may have come back long after its time.
    let long_call_is_over = world.plan.long_call_ends_ms + SETTLED_MS;
    run_until((world.time.get() + CALM_MS).max(long_call_is_over));
    if holds() {
        world.check_at_rest();
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
    run_until(world.time.get() + REST_MS);
    if holds() {
        world.check_at_rest();
        world.check_idle();
    }
    if let Some(killed) = world.last_kill_with_open_holds() {
        run_until(world.time.get().max(killed + FREED_MS));
    }
    if holds() {
        world.check_nothing_is_held();
        world.operator_pays_debts();
        world.check_lots();
        world.check_credit();
    }
    count(world)
}

fn count(world: &World) -> Tally {
    let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    let (ledger, truth) = (world.ledger.borrow(), world.truth.borrow());
    let later = world.latest_card();
    let holds = ledger.holds.counts;
    Tally {
        seeds: 1,
        steps: world.steps.get(),
        calls: number(truth.calls.len()),
        entries: number(ledger.entries.len()),
        conflicts: number(ledger.conflicts.len()),
        orphans: number(truth.calls.values().filter(|call| call.orphaned).count()),
        doubted: number(truth.calls.values().filter(|call| call.doubted).count()),
        later_card: number(truth.calls.values().filter(|call| Some(call.card) == later).count()),
        holds: holds.made,
        holds_refused: holds.refused,
        holds_voided: holds.voided,
        holds_expired: holds.expired,
        late: holds.late,
        free_holds: ledger.free_holds,
        expiries: ledger.credit.expiries,
        kept_for_holds: ledger.credit.kept_for_holds,
        debts_paid: ledger.credit.debts_paid,
        grants_corrected: ledger.credit.grants_corrected,
        corrected: number(ledger.forgiven.len()),
        better: ledger.better,
        restores: u64::from(!ledger.lost_ever.is_empty()),
        ..*world.tally.borrow()
    }
}
