//! What all streams of one root context share.

use std::cell::{Cell, RefCell, RefMut};
use std::rc::Rc;

use crate::base::clock::Tick;
use crate::base::digest::Digest;
use crate::call::config::{Config, Gateway};
use crate::memory::token_cache::TokenCache;
use crate::price::bundle::Bundle;
use crate::told::complaints::{Complaint, Complaints};
use crate::told::key_refusals::KeyRefusals;
use crate::told::provider_trouble::{LocalReply, ProviderTroubles, Unreachable};
use crate::worker::chores::callouts::Callouts;
use crate::worker::chores::holds::Holds;
use crate::worker::chores::resolves::{Question, Resolves};
use crate::worker::host::{Host, Level};
use crate::worker::random::Random;
use crate::worker::vm::SharedVm;
use crate::worker::waiting::Waiter;
use crate::worker::watching::Watching;

/// How soon the root asks the ledger about a token. A stream cannot ask by itself: if it ended, its question
/// would end, even if other streams wait for the answer.
const ASK_MS: u32 = 1;
/// How often a root looks into the outbox while something waits there. A debit reaches the ledger this much
/// after its call, and the ledger syncs once for all debits of that time.
pub const TICK_MS: u32 = 20;
/// How often a root looks while nothing waits there. Each tick wakes a thread, so this is seldom.
pub const IDLE_MS: u32 = 1_000;

/// What all streams of one root context share.
#[derive(Debug)]
pub struct Worker {
    /// The VM of the root context and its streams.
    pub vm: SharedVm,
    /// The root's configuration, and the VM's cards.
    gateway: RefCell<Rc<Gateway>>,
    /// Whether the root looks into the outbox every few milliseconds, or once a second.
    pub ticks_quickly: Cell<bool>,
    /// The milliseconds from one tick to the next, as Envoy was last told.
    tick_ms: Cell<u32>,
    pub(crate) tokens: TokenCache,
    /// The streams that wait until it is known whose token they came with.
    resolves: RefCell<Resolves<Waiter>>,
    pub(crate) random: Random,
    pub(crate) callouts: Callouts,
    /// The root's context.
    pub(crate) context: u32,
    /// The streams that wait for the ledger's answers to their holds.
    pub(crate) holds: Holds<Waiter>,
    /// Whether the ledger did not answer the last hold that was asked for.
    pub(crate) hold_failed: Cell<bool>,
    /// This Envoy's number; none before it was needed.
    pub(crate) envoy: Cell<Option<u64>>,
    /// The watch over bodies that Envoy may keep back.
    pub(crate) watching: Watching,
    complaints: RefCell<Complaints>,
    provider_troubles: RefCell<ProviderTroubles>,
    key_refusals: RefCell<KeyRefusals>,
}

impl Worker {
    /// A worker that has served no call yet.
    #[must_use]
    pub fn new(config: Config, vm: SharedVm, context: u32) -> Self {
        Self {
            gateway: RefCell::new(Rc::new(Gateway { config, bundle: Rc::default() })),
            ticks_quickly: Cell::new(false),
            tick_ms: Cell::new(IDLE_MS),
            tokens: TokenCache::default(),
            resolves: RefCell::default(),
            random: Random::default(),
            callouts: Callouts::new(vm.clone()),
            context,
            holds: Holds::default(),
            hold_failed: Cell::new(false),
            envoy: Cell::new(None),
            vm,
            watching: Watching::default(),
            complaints: RefCell::default(),
            provider_troubles: RefCell::default(),
            key_refusals: RefCell::default(),
        }
    }

    /// A provider refused the platform's key: the operator is told in Envoy's log, not too often.
    pub fn key_refused(&self, host: &impl Host, now: Tick, provider: &str, status: u16) {
        let Ok(mut refusals) = self.key_refusals.try_borrow_mut() else { return };
        if let Some(line) = refusals.tell(now, provider, status) {
            host.log(Level::Warn, &line);
        }
    }

    /// Envoy answered in the place of the provider or the ledger for which a request was marked. If it could
    /// not reach them, the operator is told in Envoy's log, not too often.
    pub fn unreachable(&self, host: &impl Host, now: Tick, mark: &str, told: &LocalReply) {
        let Some(why) = Unreachable::of(told) else { return };
        let Ok(mut troubles) = self.provider_troubles.try_borrow_mut() else { return };
        if let Some(line) = troubles.tell(host, now, (mark, why), told) {
            host.log(Level::Error, &line);
        }
    }

    /// A call is refused for a reason of the gateway's own: the operator is told in Envoy's log, not too often.
    pub fn complain(&self, host: &impl Host, now: Tick, complaint: Complaint) {
        self.complains(host, now, complaint);
    }

    /// The same. Gives whether the operator was told this time.
    pub fn complains(&self, host: &impl Host, now: Tick, complaint: Complaint) -> bool {
        let Ok(mut complaints) = self.complaints.try_borrow_mut() else { return false };
        let line = complaints.tell(host, now, complaint);
        if let Some(line) = &line {
            host.log(Level::Error, line);
        }
        line.is_some()
    }

    /// Makes the root tick quickly or slowly. A stream may call this too: ticks are always the root's.
    pub fn tick_quickly(&self, host: &impl Host, quickly: bool) {
        self.ticks_quickly.set(quickly);
        self.set_pace(host);
    }

    /// Makes the root tick as soon as it has something to do.
    pub fn set_pace(&self, host: &impl Host) {
        let Ok(resolves) = self.resolves.try_borrow() else { return };
        let tick_ms = match self.ticks_quickly.get() {
            _ if resolves.has_work() => ASK_MS,
            false if resolves.is_empty() => IDLE_MS,
            _ => TICK_MS,
        };
        if self.tick_ms.replace(tick_ms) != tick_ms && host.tick_every(tick_ms).is_err() {
            host.log(Level::Error, "Envoy did not let the filter set the time between two ticks");
        }
    }

    /// The milliseconds between two looks of the root into the outbox.
    #[must_use]
    pub fn tick_ms(&self) -> u32 {
        if self.ticks_quickly.get() { TICK_MS } else { IDLE_MS }
    }

    /// Whether this worker asks the ledger about a token already.
    #[must_use]
    pub fn is_asking(&self, token: &Digest) -> bool {
        self.resolves.try_borrow().is_ok_and(|resolves| resolves.is_asking(token))
    }

    /// Lets a stream wait until the root has asked the ledger; false if too many streams wait. `known`: the
    /// token was an account's a moment ago.
    pub fn wait(
        &self,
        host: &impl Host,
        (question, known): (Question, bool),
        waiter: Waiter,
        now: Tick,
    ) -> bool {
        let patience_ms = self.gateway().config.ledger.timeout_ms;
        let Some(mut resolves) = self.resolves() else { return false };
        let waits = resolves.wait(question, known, waiter, now, patience_ms).is_ok();
        drop(resolves);
        self.set_pace(host);
        waits
    }

    /// The questions to the ledger. While they are borrowed, no stream may be woken: it could ask again.
    pub fn resolves(&self) -> Option<RefMut<'_, Resolves<Waiter>>> {
        self.resolves.try_borrow_mut().ok()
    }

    /// The configuration and the cards, as they are now. A stream keeps those with which it began.
    #[must_use]
    pub fn gateway(&self) -> Rc<Gateway> {
        Rc::clone(&self.gateway.borrow())
    }

    /// Gives these cards to new streams from now on.
    pub fn use_cards(&self, bundle: &Rc<Bundle>) {
        let Ok(mut gateway) = self.gateway.try_borrow_mut() else { return };
        if !Rc::ptr_eq(&gateway.bundle, bundle) {
            *gateway = Rc::new(Gateway { config: gateway.config.clone(), bundle: Rc::clone(bundle) });
        }
    }
}
