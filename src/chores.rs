//! What a worker does between calls: a root context's life. It reads the configuration, ticks, asks the ledger, and hands
//! out streams.

use std::rc::Rc;

use crate::callouts::Ended;
use crate::cards_upkeep::CardsUpkeep;
use crate::clock::{Moment, Tick};
use crate::config::Gateway;
use crate::doc::Mistakes;
use crate::in_flight::{BEAT_MS, Open};
use crate::metrics::{Metric, Value};
use crate::port::{Buffer, Host, Level, random};
use crate::sending::Sending;
use crate::syncing::Syncing;
use crate::vm::{SharedVm, Vm};
use crate::waiting::Handle;
use crate::worker::{IDLE_MS, TICK_MS, Worker};
use crate::{ask, outbox};

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
    cards: CardsUpkeep,
    /// When its chores were last done.
    worked: Tick,
    /// When those metrics were last set that nobody has to see at once.
    gauged: Tick,
}

impl Root {
    /// A root context of a VM.
    #[must_use]
    pub const fn new(context: u32, vm: SharedVm) -> Self {
        Self { context, vm, configured: None }
    }

    /// Its configuration came, of `size` bytes; false if it cannot be used, which was told.
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

    /// Begins to work by a configuration; false if the host lacks what it takes, which was told.
    pub fn configure(&mut self, host: &impl Host, gateway: Gateway) -> bool {
        let Ok(id) = random(host) else {
            host.log(Level::Error, "the host gives no random bytes: wasi random_get is needed");
            return false;
        };
        if host.tick_every(IDLE_MS).is_err() {
            host.log(Level::Error, "the host gives no ticks, so nothing would reach the ledger");
            return false;
        }
        self.configured = Some(Configured::new(host, gateway, u64::from_le_bytes(id), &self.vm));
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
        let Some(Configured { worker, sending, syncing, cards, .. }) = &mut self.configured else { return };
        // Each callout has one asker: the first that knows its number.
        let _ = ask::take_answer(host, worker, self.context, ended)
            || syncing.take_answer(host, worker, ended)
            || cards.take_answer(host, worker, ended)
            || sending.take_answer(host, worker, ended);
    }

    /// Another configuration took over, and this one's last stream has ended.
    pub fn on_done(&mut self, host: &impl Host) {
        if let Some(configured) = self.configured.take() {
            configured.sending.retire(host);
        }
        // Another root of this version says so again within a second, if there is one.
        self.vm.tell(host, Metric::BuildInfo, [VERSION], 0);
    }

    /// A stream begins, in this context; none before the root was configured.
    #[must_use]
    pub fn begin_stream(&self, context: u32) -> Option<Handle> {
        let worker = Rc::clone(&self.configured.as_ref()?.worker);
        worker.serves.set(true);
        if let Some(bundle) = self.vm.with(Vm::begin_stream).flatten() {
            worker.use_cards(&bundle);
        }
        Some(Handle::new(worker, context))
    }
}

impl Configured {
    fn new(host: &impl Host, gateway: Gateway, id: u64, vm: &SharedVm) -> Self {
        let Gateway { config, bundle } = gateway;
        let worker = Worker::new(config, vm.clone());
        // The debit of a stream that outlives the configuration before this one is sent from here.
        worker.serves.set(vm.with(|vm| vm.serves()).unwrap_or(false));
        let mut configured = Self {
            worker: Rc::new(worker),
            sending: Sending::new(id),
            syncing: Syncing::default(),
            cards: CardsUpkeep::new(bundle),
            worked: Tick::default(),
            gauged: Tick::default(),
        };
        configured.sending.look(host, &configured.worker);
        configured.cards.take_up(host, &configured.worker);
        if configured.starts() {
            // From a tick: what the root that only tries a configuration asks is never answered.
            configured.worker.tick_quickly(host, true);
        }
        configured
    }

    /// Whether the ledger has still to be heard before calls are served.
    fn starts(&self) -> bool {
        self.cards.is_unknown() || !self.worker.vm.with(|vm| vm.probe().knows()).unwrap_or(true)
    }

    fn tick(&mut self, host: &impl Host, context: u32) {
        let (worker, now) = (Rc::clone(&self.worker), host.now());
        ask::ask(host, &worker, context, now);
        worker.watching.look(host, now, context);
        // A tick that came early for a question to the ledger is not one for small batches of debits.
        if now.tick.since_ms(self.worked) < u64::from(TICK_MS / 2) {
            return;
        }
        self.worked = now.tick;
        self.sending.tick(host, &worker);
        self.cards.tick(host, &worker, now.tick);
        self.syncing.probe(host, &worker, now.tick);
        let _ = worker.vm.with(|vm| vm.tick(host, now.tick));
        if now.tick.since_ms(self.gauged) >= BEAT_MS {
            self.gauged = now.tick;
            gauge(host, &worker.vm, now.wall);
        }
        self.set_pace(host);
        self.syncing.tick(host, &worker, now);
    }

    /// Ticks quickly while something waits, here or at another worker's, and slowly when nothing does.
    fn set_pace(&self, host: &impl Host) {
        let worker = &self.worker;
        let quick = (worker.serves.get() && self.sending.waiting() > 0)
            || self.starts()
            || worker.watching.is_refusing();
        if worker.ticks_quickly.get() && !quick {
            self.sending.rest(host);
        }
        worker.tick_quickly(host, quick);
    }
}

/// Sets what is the same for all workers, from what they share: whichever sets it last sets the same.
fn gauge(host: &impl Host, vm: &SharedVm, now: Moment) {
    let open = Open::of(host);
    vm.tell(host, Metric::CallsInFlight, [], open.calls);
    vm.tell(host, Metric::Reserved, [], u64::try_from(open.reserved.picopax()).unwrap_or(0));
    let waited_ms = outbox::oldest(host).map_or(0, |settled_at| now.since_ms(settled_at));
    vm.tell(host, Metric::OutboxOldest, [], waited_ms.checked_div(1_000).unwrap_or(0));
    let version = vm.with(|vm| Some(vm.bundle()?.in_force(now)?.version.0)).flatten();
    vm.tell(host, Metric::RateTableVersion, [], version.unwrap_or(0).into());
    vm.tell(host, Metric::BuildInfo, [VERSION], 1);
}

#[cfg(test)]
#[path = "chores_test.rs"]
mod tests;
