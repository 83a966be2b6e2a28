//! What all root contexts and streams of this VM share: its lane of cells and the debits that it sends, its watch over
//! other VMs' lanes, the cards that the ledger knows, whether the ledger answers, and the active accounts.
//!
//! A changed configuration makes a new root context in the same VM, and the old root lives on until its last
//! stream ends. So the cards belong to the VM, and all its roots change to new cards at the same moment.

use std::cell::RefCell;
use std::rc::Rc;

use crate::base::clock::{Moment, Now, Tick, WallAhead};
use crate::base::exchange_id::ExchangeId;
use crate::call::config::Gateway;
use crate::call::open_bodies::OpenBodies;
use crate::call::story::Story;
use crate::memory::active::Active;
use crate::memory::gate::{self, TakenOver};
use crate::memory::lanes::lane::Lane;
use crate::memory::lanes::old_ring::OldRings;
use crate::memory::lanes::outbox::Outbox;
use crate::memory::lanes::sweep::{Dead, PASS_MS, Watch};
use crate::memory::lanes::{BEAT_MS, Sums};
use crate::price::bundle::Bundle;
use crate::told::meter::Meter;
use crate::told::metrics::{Metric, Value};
use crate::told::rarely::Rarely;
use crate::told::tally;
use crate::worker::chores::readiness::Probe;
use crate::worker::host::{Host, Level, random};

/// This VM.
#[derive(Debug, Default)]
pub struct Vm {
    /// A random number that no other VM has; none before the first root context was configured.
    id: Option<u64>,
    lane: Option<Lane>,
    watch: Watch,
    /// The dead VM whose lane this VM sweeps, and how many of its calls were charged.
    sweeping: Option<Dead>,
    charged: u32,
    outbox: Outbox,
    old_rings: OldRings,
    /// How many of its root contexts have a configuration.
    roots: usize,
    tells_of_lanes: Rarely,
    beaten: Tick,
    active: Active,
    /// What the VM knows of the ledger, so that a new root need not ask again.
    probe: Probe,
    /// None until the ledger knows some.
    bundle: Option<Rc<Bundle>>,
    /// The request bodies of all its streams, under old and new configurations.
    bodies: OpenBodies,
    /// Envoy numbers its metrics for each VM.
    meter: Meter,
    /// None before a root context has read both clocks.
    wall_ahead: Option<WallAhead>,
}

/// A VM, as its root contexts and streams share it.
#[derive(Clone, Debug, Default)]
pub struct SharedVm(Rc<RefCell<Vm>>);

impl SharedVm {
    /// Works with the VM's state; none if the state is borrowed already, which cannot happen between Envoy's
    /// callbacks.
    pub fn with<T>(&self, work: impl FnOnce(&mut Vm) -> T) -> Option<T> {
        self.0.try_borrow_mut().ok().map(|mut vm| work(&mut vm))
    }

    /// Both clocks, by reading the monotonic one alone: a host call less. The wall clock follows from what a root context
    /// of this VM saw at its last tick, at most a second ago. If somebody sets the wall clock, streams see it after that.
    pub fn now(&self, host: &impl Host) -> Now {
        match self.with(|vm| vm.wall_ahead).flatten() {
            Some(wall_ahead) => wall_ahead.at(host.tick()),
            None => self.read_clocks(host),
        }
    }

    /// Reads both clocks, and remembers how far they are apart.
    pub fn read_clocks(&self, host: &impl Host) -> Now {
        let now = host.now();
        let _ = self.with(|vm| vm.wall_ahead = Some(WallAhead::of(now)));
        now
    }

    /// Adds to a counter, or sets a gauge, with these values of its labels.
    pub fn tell<const N: usize>(&self, host: &impl Host, metric: Metric, values: [Value; N], amount: u64) {
        let _ = self.with(|vm| vm.meter.tell_of(host, metric, values, amount));
    }
}

impl Vm {
    /// Defines the metrics that must exist before anything has happened.
    pub fn define_metrics(&mut self, host: &impl Host) {
        self.meter.define(host);
    }

    /// Tells Envoy what was counted since it was last told.
    pub fn tell_counted(&mut self, host: &impl Host) {
        self.meter.tell_counted(host);
    }

    /// Counts an exchange that is over.
    pub fn count_exchange(
        &mut self,
        host: &impl Host,
        exchange: (Option<ExchangeId>, &Story),
        gateway: &Gateway,
        now: Moment,
    ) {
        tally::tell(&mut self.meter, host, exchange, gateway, now);
    }

    /// Where this VM's calls are recorded; none if the host gives no random bytes, or all lanes are taken.
    pub fn lane(&mut self, host: &impl Host, now: Tick) -> Option<&mut Lane> {
        if self.lane.is_none() {
            let id = match self.id {
                Some(id) => id,
                None => u64::from_le_bytes(random(host).ok()?),
            };
            self.id = Some(id);
            self.lane = Lane::take(host, id, now);
            if self.lane.is_none() && self.tells_of_lanes.tell(now).is_some() {
                host.log(
                    Level::Error,
                    "every lane of in-flight records is taken, so this worker's calls are refused with 503 \
                     ledger_unavailable: Envoy has more workers than there are lanes. Start it with fewer (--concurrency)",
                );
            }
        }
        self.lane.as_mut()
    }

    /// This VM's lane, if it has one, and its debits.
    pub fn lane_and_outbox(&mut self, host: &impl Host, now: Tick) -> (Option<&mut Lane>, &mut Outbox) {
        self.lane(host, now);
        (self.lane.as_mut(), &mut self.outbox)
    }

    /// The debits that this VM sends.
    pub fn outbox(&mut self) -> &mut Outbox {
        &mut self.outbox
    }

    /// On every tick: settles what a dead VM has left behind, a pass at a time, and writes what this VM's cells hold.
    /// Once every [`BEAT_MS`]: writes that this VM lives, and looks for dead VMs.
    pub fn tick(&mut self, host: &impl Host, now: Tick) {
        if now.since_ms(self.beaten) >= BEAT_MS {
            self.beaten = now;
            self.beat(host, now);
        }
        self.sweep_some(host, now);
        let debits = self.outbox.sums();
        if self.lane.as_mut().is_some_and(|lane| !lane.tell(host, debits, now)) {
            self.lose_lane(host);
        }
    }

    /// What all VMs of this Envoy hold in their cells, and what the module before this one has left.
    pub fn sums_of_all(&self, host: &impl Host, now: Tick) -> Sums {
        let sums = Sums::of_all(host, now);
        Sums { debits: sums.debits.saturating_add(self.old_rings.waiting()), ..sums }
    }

    /// One of its roots has a configuration now.
    pub fn begin_root(&mut self) {
        self.roots = self.roots.saturating_add(1);
    }

    /// One of its roots has ended. If it was the last one, nothing of this VM runs again, and other VMs need not wait
    /// until it counts as dead.
    pub fn end_root(&mut self, host: &impl Host) {
        self.roots = self.roots.saturating_sub(1);
        if self.roots == 0
            && let Some(lane) = self.lane.take()
        {
            lane.retire(host, self.outbox.sums());
            (self.id, self.sweeping) = (None, None);
        }
    }

    fn lose_lane(&mut self, host: &impl Host) {
        host.log(Level::Warn, "this VM was taken for dead: its open calls are charged by estimate");
        // From now on this VM works under a new id. The VM that has taken its lane owns its old cells, even if this
        // VM gets the same lane again. That VM also owns what this one was sweeping.
        (self.lane, self.id, self.sweeping) = (None, None, None);
    }

    fn beat(&mut self, host: &impl Host, now: Tick) {
        self.outbox.look();
        let debits = self.outbox.sums();
        if self.lane.as_mut().is_some_and(|lane| !lane.beat(host, debits, now)) {
            self.lose_lane(host);
        }
        self.lane(host, now);
        let (Some(lane), Some(id)) = (self.lane.as_mut(), self.id) else { return };
        self.outbox.house(host, lane, now);
        let outbox = &mut self.outbox;
        self.old_rings.empty(host, now, |debit| gate::adopt(host, lane, outbox, debit, now));
        self.look_for_dead(host, id, now);
    }

    fn look_for_dead(&mut self, host: &impl Host, id: u64, now: Tick) {
        if self.sweeping.is_none() && self.bundle.is_some() {
            self.sweeping = self.watch.look(host, id, now);
            self.charged = 0;
        }
    }

    /// Sweeps for as long as one pass takes at most: where many VMs have died, one lane after another.
    fn sweep_some(&mut self, host: &impl Host, now: Tick) {
        while let (Some(mut dead), Some(id)) = (self.sweeping.take(), self.id) {
            if !self.sweep(host, &mut dead, now) {
                self.sweeping = Some(dead);
                return;
            }
            if host.tick().since_ms(now) >= PASS_MS {
                return;
            }
            self.look_for_dead(host, id, now);
        }
    }

    /// Makes one pass over the dead VM's lane. Gives whether it was the last.
    fn sweep(&mut self, host: &impl Host, dead: &mut Dead, now: Tick) -> bool {
        let (Some(bundle), Some(lane)) = (self.bundle.clone(), self.lane.as_mut()) else { return true };
        let (charged, outbox, meter) = (&mut self.charged, &mut self.outbox, &mut self.meter);
        let ends = dead.sweep(
            host,
            || host.tick(),
            |held| match gate::take_over(host, &bundle, (lane, outbox), held, now) {
                TakenOver::Charged(debit) => {
                    *charged = charged.saturating_add(1);
                    let id = debit.exchange_id;
                    host.log(Level::Warn, &format!("exchange {id} lost its VM: charged by estimate"));
                    let card = bundle.by_sha256(&debit.card_sha256);
                    tally::tell_orphan(meter, host, &debit, card.map(AsRef::as_ref));
                    true
                }
                TakenOver::Debit | TakenOver::Voided | TakenOver::Nothing => true,
                TakenOver::Later => false,
                TakenOver::Unreadable(problem) => {
                    let line = format!("an in-flight record of a dead VM is given up: {problem}");
                    host.log(Level::Error, &line);
                    true
                }
            },
        );
        if ends && !dead.is_again() {
            let charged = self.charged;
            host.log(Level::Warn, &format!("a VM died: {charged} of its calls were charged by estimate"));
        }
        ends
    }

    /// The cards that the ledger knows; none until it knows some.
    #[must_use]
    pub fn bundle(&self) -> Option<&Rc<Bundle>> {
        self.bundle.as_ref()
    }

    /// The active accounts, whose standings the ledger is asked for.
    pub fn active(&mut self) -> &mut Active {
        &mut self.active
    }

    /// What the VM knows of the ledger.
    pub fn probe(&mut self) -> &mut Probe {
        &mut self.probe
    }

    /// The request bodies of its streams.
    pub fn bodies(&mut self) -> &mut OpenBodies {
        &mut self.bodies
    }

    /// A stream begins. Gives the cards of new calls.
    pub fn begin_stream(&mut self) -> Option<Rc<Bundle>> {
        self.bundle.clone()
    }

    /// The ledger knows these cards: they price new calls, unless the VM has later ones. A published card never
    /// disappears, so the larger bundle is the later one. Gives how many cards the VM has now.
    pub fn adopt(&mut self, bundle: &Rc<Bundle>) -> usize {
        let has = self.bundle.as_ref().map_or(0, |bundle| bundle.cards().len());
        if bundle.cards().len() > has {
            self.bundle = Some(Rc::clone(bundle));
        }
        bundle.cards().len().max(has)
    }
}

#[cfg(test)]
#[path = "vm_test.rs"]
mod tests;
