//! What all streams of one root context share. wasm32 only.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use log::{error, warn};

use crate::bundle::Bundle;
use crate::clock::Moment;
use crate::config::{Config, Gateway};
use crate::host::{self, Metric, Random};
use crate::key_refusals::KeyRefusals;
use crate::token_cache::Near;

/// How often a root looks into the outbox while something waits there: a debit is in the ledger this much after its
/// call, and the ledger syncs once for all that came meanwhile.
const TICK_MS: u32 = 20;
/// How often it looks while nothing waits there: each tick wakes a thread.
pub const IDLE_MS: u32 = 1_000;

/// What all streams of one root context share.
#[derive(Debug)]
pub struct Worker {
    /// The configuration, which is the root's, and the cards, which are the VM's.
    gateway: RefCell<Rc<Gateway>>,
    /// Whether new calls are taken: looked up once a tick, not once a call. Half of the outbox is left for
    /// the calls of a tick and those in flight.
    pub room: Cell<bool>,
    /// Whether there ever was a stream: the main thread's root has none.
    pub serves: Cell<bool>,
    /// Whether the root looks into the outbox every few milliseconds, or once a second.
    pub ticks_quickly: Cell<bool>,
    pub(crate) tokens: Near,
    pub(crate) random: Random,
    key_refusals: RefCell<KeyRefusals>,
    /// The counter of providers' refusals of the platform's key.
    key_refused: Option<u32>,
}

impl Worker {
    /// A worker that has served nobody yet.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            gateway: RefCell::new(Rc::new(Gateway { config, bundle: Rc::default() })),
            room: Cell::new(false),
            serves: Cell::new(false),
            ticks_quickly: Cell::new(false),
            tokens: Near::default(),
            random: Random::default(),
            key_refusals: RefCell::default(),
            key_refused: host::define_metric(Metric::Counter, "pax_provider_key_refused"),
        }
    }

    /// A provider refused the platform's key: it is counted, and the operator is told in Envoy's log, not too often.
    pub fn key_refused(&self, now: Moment, provider: &str, status: u16) {
        if let Some(metric) = self.key_refused {
            host::increment_metric(metric, 1);
        }
        let Ok(mut refusals) = self.key_refusals.try_borrow_mut() else { return };
        if let Some(line) = refusals.tell(now, provider, status) {
            warn!("{line}");
        }
    }

    /// Has the root tick quickly, or slowly; also from a stream, whose ticks are its root's.
    pub fn tick_quickly(&self, quickly: bool) {
        if self.ticks_quickly.replace(quickly) != quickly && host::tick_every(self.tick_ms()).is_err() {
            error!("Envoy did not let the filter set the time between two ticks");
        }
    }

    /// How long it is from one tick of the root to the next.
    #[must_use]
    pub fn tick_ms(&self) -> u32 {
        if self.ticks_quickly.get() { TICK_MS } else { IDLE_MS }
    }

    /// The configuration and the cards, as they are now. A stream keeps what it began with.
    #[must_use]
    pub fn gateway(&self) -> Rc<Gateway> {
        Rc::clone(&self.gateway.borrow())
    }

    /// The cards of new streams from now on.
    pub fn use_cards(&self, bundle: &Rc<Bundle>) {
        let Ok(mut gateway) = self.gateway.try_borrow_mut() else { return };
        if !Rc::ptr_eq(&gateway.bundle, bundle) {
            *gateway = Rc::new(Gateway { config: gateway.config.clone(), bundle: Rc::clone(bundle) });
        }
    }
}
