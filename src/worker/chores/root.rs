//! A root context, from its configuration to its end: what a worker does between calls. It reads the
//! configuration, does the chores on each tick, takes the ledger's answers, and makes the streams.

use std::cell::RefCell;
use std::rc::Rc;

use crate::base::clock::{Moment, Now, Tick};
use crate::base::strict_json::Mistakes;
use crate::call::config::Gateway;
use crate::memory::lanes::BEAT_MS;
use crate::told::metrics::{Metric, Value};
use crate::worker::chores::ask;
use crate::worker::chores::callouts::Ended;
use crate::worker::chores::cards_upkeep::CardsUpkeep;
use crate::worker::chores::holding::{self, Leasing};
use crate::worker::chores::sending::Sending;
use crate::worker::chores::syncing::Syncing;
use crate::worker::host::{Buffer, Host, Level, random};
use crate::worker::root_share::{IDLE_MS, TICK_MS, Worker};
use crate::worker::vm::{SharedVm, Vm};
use crate::worker::waiting::Handle;

const VERSION: Value = Value::Word(env!("CARGO_PKG_VERSION"));

/// A root context: one for each worker and configuration.
#[derive(Debug)]
pub struct Root {
    /// Its context, as the proxy knows it.
    context: u32,
    vm: SharedVm,
    /// None before it was configured.
    configured: Option<Configured>,
}

/// A root context that has its configuration.
#[derive(Debug)]
struct Configured {
    worker: Rc<Worker>,
    sending: Sending,
    syncing: Syncing,
    leasing: Leasing,
    cards: RefCell<CardsUpkeep>,
    /// When its chores were last done.
    worked: Tick,
    /// When the metrics were last set that may be a little late.
    gauged: Tick,
}

impl Root {
    /// A root context of this VM, without a configuration.
    #[must_use]
    pub const fn new(context: u32, vm: SharedVm) -> Self {
        Self { context, vm, configured: None }
    }

    /// Its configuration came, of `size` bytes; false if it cannot be used; then the operator was told.
    pub fn on_configure(&mut self, host: &impl Host, size: usize) -> bool {
        let bytes = host.buffer(Buffer::Configuration, 0, size);
        let _ = self.vm.with(|vm| vm.define_metrics(host));
        match Gateway::parse(&String::from_utf8_lossy(&bytes)) {
            Ok(gateway) => self.configure(host, gateway),
            Err(Mistakes(mistakes)) => {
                self.vm.tell(host, Metric::ConfigurationsRejected, [], 1);
                for mistake in mistakes {
                    host.log(Level::Error, &format!("configuration: {mistake}"));
                }
                false
            }
        }
    }

    /// Begins to work with a configuration; false if the host gives no random bytes or no ticks; then the
    /// operator was told.
    pub fn configure(&mut self, host: &impl Host, gateway: Gateway) -> bool {
        if random::<1>(host).is_err() {
            host.log(Level::Error, "the host gives no random bytes: wasi random_get is needed");
            return false;
        }
        if host.tick_every(IDLE_MS).is_err() {
            host.log(Level::Error, "the host gives no ticks, so nothing would reach the ledger");
            return false;
        }
        let _ = self.vm.with(Vm::begin_root);
        self.configured = Some(Configured::new(host, gateway, &self.vm, self.context));
        true
    }

    /// It is time for chores.
    pub fn on_tick(&mut self, host: &impl Host) {
        if let Some(configured) = &mut self.configured {
            configured.tick(host, self.context);
        }
    }

    /// A callout has ended.
    pub fn on_callout(&mut self, host: &impl Host, ended: Ended) {
        let Some(Configured { worker, sending, syncing, leasing, cards, .. }) = &mut self.configured else {
            return;
        };
        // One chore has sent each callout: it is the first that knows the number.
        let _ = holding::take_answer(host, worker, ended)
            || ask::take_answer(host, worker, self.context, ended)
            || leasing.take_answer(host, worker, ended)
            || syncing.take_answer(host, worker, ended)
            || cards.borrow_mut().take_answer(host, worker, ended)
            || sending.take_answer(host, worker, ended);
    }

    /// Another configuration has taken over, and this root's last stream has ended.
    pub fn on_done(&mut self, host: &impl Host) {
        if let Some(configured) = self.configured.take() {
            configured.sending.retire(&configured.worker);
            let _ = self.vm.with(|vm| vm.end_root(host));
        }
        let _ = self.vm.with(|vm| vm.tell_counted(host));
        // If another root of this version is left, it sets the metric to 1 again within a second.
        self.vm.tell(host, Metric::BuildInfo, [VERSION], 0);
    }

    /// A stream begins in this context; none if the root has no configuration yet.
    #[must_use]
    pub fn begin_stream(&self, host: &impl Host, context: u32) -> Option<Handle> {
        let Configured { worker, cards, .. } = self.configured.as_ref()?;
        let mut bundle = self.vm.with(Vm::begin_stream).flatten();
        if bundle.is_none() {
            // Another worker may have heard the ledger since this one last looked, and may say that calls are served.
            cards.borrow_mut().take_up(host, worker);
            bundle = self.vm.with(Vm::begin_stream).flatten();
        }
        if let Some(bundle) = bundle {
            worker.use_cards(&bundle);
        }
        Some(Handle::new(Rc::clone(worker), context))
    }
}

impl Configured {
    fn new(host: &impl Host, gateway: Gateway, vm: &SharedVm, context: u32) -> Self {
        let Gateway { config, bundle } = gateway;
        let worker = Worker::new(config, vm.clone(), context);
        let configured = Self {
            worker: Rc::new(worker),
            sending: Sending::default(),
            syncing: Syncing::default(),
            leasing: Leasing::default(),
            cards: RefCell::new(CardsUpkeep::new(bundle)),
            worked: Tick::default(),
            gauged: Tick::default(),
        };
        configured.cards.borrow_mut().take_up(host, &configured.worker);
        if configured.starts() {
            // The questions are sent from a tick, not from here: Envoy may make a root only to try a
            // configuration, and the questions of such a root are never answered.
            configured.worker.tick_quickly(host, true);
        }
        configured
    }

    /// Whether the ledger must still answer before calls are served.
    fn starts(&self) -> bool {
        self.cards.borrow().is_unknown() || !self.worker.vm.with(|vm| vm.probe().knows()).unwrap_or(true)
    }

    fn tick(&mut self, host: &impl Host, context: u32) {
        let (worker, now) = (Rc::clone(&self.worker), self.worker.vm.read_clocks(host));
        // Before the debits are sent: an entry's call is counted by then.
        let _ = worker.vm.with(|vm| vm.tell_counted(host));
        ask::ask(host, &worker, context, now);
        worker.watching.look(host, now, context);
        // If a tick came early for a question about a token, debits are not sent yet: their batch would be
        // small.
        if now.tick.since_ms(self.worked) < u64::from(TICK_MS / 2) {
            return;
        }
        self.worked = now.tick;
        self.sending.send(host, &worker);
        self.cards.borrow_mut().tick(host, &worker, now.tick);
        self.syncing.probe(host, &worker, now.tick);
        self.leasing.tick(host, &worker, now);
        let _ = worker.vm.with(|vm| vm.tick(host, now.tick));
        gauge_cells(host, &worker.vm, now);
        if now.tick.since_ms(self.gauged) >= BEAT_MS {
            self.gauged = now.tick;
            gauge(host, &worker.vm, now.wall);
        }
        self.set_pace(host);
        self.syncing.tick(host, &worker, now);
    }

    /// Sets the pace of the ticks: quick while a debit of this VM waits, slow when none does.
    fn set_pace(&self, host: &impl Host) {
        let worker = &self.worker;
        let waits = worker.vm.with(|vm| vm.outbox().waiting() > 0).unwrap_or(false);
        worker.tick_quickly(host, waits || self.starts() || worker.watching.is_refusing());
    }
}

/// Sets the gauges of what the cells of all VMs hold. It does not matter which worker sets them last.
fn gauge_cells(host: &impl Host, vm: &SharedVm, now: Now) {
    let Some(sums) = vm.with(|vm| vm.sums_of_all(host, now.tick)) else { return };
    vm.tell(host, Metric::OutboxWaiting, [], sums.debits);
    vm.tell(host, Metric::Unsupported, [], sums.aside);
    vm.tell(host, Metric::CallsInFlight, [], sums.calls);
    vm.tell(host, Metric::Reserved, [], u64::try_from(sums.reserved.picopax()).unwrap_or(0));
    let waited_ms = sums.oldest.map_or(0, |settled_at| now.wall.since_ms(settled_at));
    vm.tell(host, Metric::OutboxOldest, [], waited_ms.checked_div(1_000).unwrap_or(0));
}

/// Sets the gauges that are the same for all workers and change seldom.
fn gauge(host: &impl Host, vm: &SharedVm, now: Moment) {
    let version = vm.with(|vm| Some(vm.bundle()?.in_force(now)?.version.0)).flatten();
    vm.tell(host, Metric::RateTableVersion, [], version.unwrap_or(0).into());
    vm.tell(host, Metric::BuildInfo, [VERSION], 1);
}

#[cfg(test)]
#[path = "root_test.rs"]
mod tests;
