//! What belongs to this VM, whichever of its root contexts or streams is at work: its lane of in-flight records, its
//! watch over the lanes of others, the cards that the ledger knows, whether that answers, and the accounts that it will
//! be asked about. wasm32 only.
//!
//! A changed configuration makes a new root context in the same VM, and the old one lives on as long as a stream of it:
//! so the cards are the VM's, and every root of it changes them at the same moment.

use std::cell::RefCell;
use std::rc::Rc;

use log::{error, warn};

use crate::active::Active;
use crate::bundle::Bundle;
use crate::clock::{Moment, Tick};
use crate::config::Gateway;
use crate::exchange_id::ExchangeId;
use crate::gate::{self, Orphan};
use crate::host::{self, Shared};
use crate::in_flight::{BEAT_MS, Dead, Lane, Watch};
use crate::meter::Meter;
use crate::metrics::{Metric, Value};
use crate::open_bodies::OpenBodies;
use crate::outbox::Writer;
use crate::rarely::Rarely;
use crate::readiness::Probe;
use crate::story::Story;
use crate::tally;

/// This VM.
#[derive(Debug, Default)]
pub struct Vm {
    /// Random, other than every other VM's; none before the first root context was configured.
    id: Option<u64>,
    lane: Option<Lane>,
    watch: Watch,
    /// The dead VM's lane that is being swept, and how many of its calls were charged.
    sweeping: Option<Dead>,
    charged: u32,
    outbox: Writer,
    tells_of_kept: Rarely,
    tells_of_lanes: Rarely,
    beaten: Tick,
    active: Active,
    /// What it knows of the ledger: a new root need not ask anew.
    probe: Probe,
    /// None until the ledger knows some.
    bundle: Option<Rc<Bundle>>,
    /// Whether any of its roots ever had a stream: the main thread's VM has none.
    serves: bool,
    /// The request bodies of its streams, of whatever configuration.
    bodies: OpenBodies,
    /// Envoy numbers its metrics for each VM.
    meter: Meter,
}

thread_local! {
    // A VM has one thread.
    static VM: RefCell<Vm> = const { RefCell::new(Vm::new()) };
}

/// Works with this VM's state; none where that is being worked with already, which no callback of Envoy's does.
pub fn with<T>(work: impl FnOnce(&mut Vm) -> T) -> Option<T> {
    VM.try_with(|vm| Some(work(&mut *vm.try_borrow_mut().ok()?))).ok().flatten()
}

/// Defines the metrics that are there before something happens.
pub fn define_metrics() {
    let _ = with(|vm| vm.meter.define(&mut host::Metrics));
}

/// Counts a metric on, or sets it, with these values of its labels.
pub fn tell<const N: usize>(metric: Metric, values: [Value; N], amount: u64) {
    let _ = with(|vm| vm.meter.tell_of(&mut host::Metrics, metric, values, amount));
}

/// Counts an exchange that is over.
pub fn count_exchange(exchange: (Option<ExchangeId>, &Story), gateway: &Gateway, now: Moment) {
    let _ = with(|vm| tally::tell(&mut vm.meter, &mut host::Metrics, exchange, gateway, now));
}

impl Vm {
    const fn new() -> Self {
        Self {
            id: None,
            lane: None,
            watch: Watch::new(),
            sweeping: None,
            charged: 0,
            outbox: Writer::new(),
            tells_of_kept: Rarely::new(),
            tells_of_lanes: Rarely::new(),
            beaten: Tick::from_ms(0),
            active: Active::new(),
            probe: Probe::new(),
            bundle: None,
            serves: false,
            bodies: OpenBodies::new(),
            meter: Meter::new(),
        }
    }

    /// Where this VM's calls are recorded; none where the host gives no random bytes, or all lanes are taken.
    pub fn lane(&mut self, now: Tick) -> Option<&mut Lane> {
        if self.lane.is_none() {
            let id = match self.id {
                Some(id) => id,
                None => u64::from_le_bytes(host::random().ok()?),
            };
            self.id = Some(id);
            self.lane = Lane::take(&Shared, id, now);
            if self.lane.is_none() && self.tells_of_lanes.tell(now).is_some() {
                error!(
                    "every lane of in-flight records is taken, so this worker's calls are refused with 503 \
                     ledger_unavailable: Envoy has more workers than there are lanes. Start it with fewer (--concurrency)"
                );
            }
        }
        self.lane.as_mut()
    }

    /// The same, and how its debits are put into the outbox.
    pub fn lane_and_outbox(&mut self, now: Tick) -> Option<(&mut Lane, &Writer)> {
        self.lane(now)?;
        Some((self.lane.as_mut()?, &self.outbox))
    }

    /// On every tick: puts debits into the outbox that found no room there, and settles what a dead VM has left behind, a
    /// pass at a time. Once a [`BEAT_MS`]: says that this VM lives, and looks for dead ones.
    pub fn tick(&mut self, now: Tick) {
        if now.since_ms(self.beaten) >= BEAT_MS {
            self.beaten = now;
            self.beat(now);
        }
        self.settle_kept(now);
        let Some(mut dead) = self.sweeping.take() else { return };
        if !self.sweep(&mut dead) {
            self.sweeping = Some(dead);
        }
    }

    fn beat(&mut self, now: Tick) {
        if self.lane.as_ref().is_some_and(|lane| !lane.beat(&Shared, now)) {
            warn!("this VM was taken for dead: its open calls are charged by estimate");
            // As another VM from now on: its old records are the taker's, also where it gets the same lane again. So is
            // what it was sweeping.
            (self.lane, self.id, self.sweeping) = (None, None, None);
        }
        let Some(id) = self.lane(now).is_some().then_some(self.id).flatten() else { return };
        if self.sweeping.is_none() && self.bundle.is_some() {
            self.sweeping = self.watch.look(&Shared, id, now);
            self.charged = 0;
        }
    }

    fn settle_kept(&mut self, now: Tick) {
        let Some(lane) = &mut self.lane else { return };
        let left = gate::settle_kept(&Shared, lane, (&self.outbox, host::tick));
        if left > 0 && self.tells_of_kept.tell(now).is_some() {
            error!(
                "the outbox is full: {left} debits of this VM wait in the records of their calls. Mend the ledger, and do \
                 not stop Envoy before they are in it"
            );
        }
    }

    /// One pass; says whether it was the last.
    fn sweep(&mut self, dead: &mut Dead) -> bool {
        let Some(bundle) = self.bundle.clone() else { return true };
        let (charged, outbox, meter) = (&mut self.charged, &self.outbox, &mut self.meter);
        let ends = dead.sweep(&Shared, host::tick, |record| {
            match gate::orphan(&Shared, &bundle, (outbox, host::tick(), host::tick), record) {
                Orphan::Charged(debit) => {
                    *charged = charged.saturating_add(1);
                    warn!("exchange {} lost its VM: charged by estimate", debit.exchange_id);
                    let card = bundle.by_sha256(&debit.card_sha256);
                    tally::tell_orphan(meter, &mut host::Metrics, &debit, card.map(AsRef::as_ref));
                    true
                }
                Orphan::Kept | Orphan::Nothing => true,
                Orphan::Later => false,
                Orphan::Unreadable(problem) => {
                    error!("an in-flight record of a dead VM is given up: {problem}");
                    true
                }
            }
        });
        if ends && !dead.is_again() {
            warn!("a VM died: {} of its calls were charged by estimate", self.charged);
        }
        ends
    }

    /// The cards that the ledger knows; none until it knows some.
    #[must_use]
    pub fn bundle(&self) -> Option<&Rc<Bundle>> {
        self.bundle.as_ref()
    }

    /// The accounts that the ledger is asked about.
    pub fn active(&mut self) -> &mut Active {
        &mut self.active
    }

    /// What it knows of the ledger.
    pub fn probe(&mut self) -> &mut Probe {
        &mut self.probe
    }

    /// The request bodies of its streams.
    pub fn bodies(&mut self) -> &mut OpenBodies {
        &mut self.bodies
    }

    /// Whether it makes calls, and so sends what comes of them.
    pub fn serves(&self) -> bool {
        self.serves
    }

    /// A stream begins. Gives the cards of new calls.
    pub fn begin_stream(&mut self) -> Option<Rc<Bundle>> {
        self.serves = true;
        self.bundle.clone()
    }

    /// The ledger knows these cards: new calls are priced by them, unless the VM has later ones. A card never goes
    /// again once it was published, so the larger bundle is the later one. Gives how many cards the VM has now.
    pub fn adopt(&mut self, bundle: &Rc<Bundle>) -> usize {
        let has = self.bundle.as_ref().map_or(0, |bundle| bundle.cards().len());
        if bundle.cards().len() > has {
            self.bundle = Some(Rc::clone(bundle));
        }
        bundle.cards().len().max(has)
    }
}
