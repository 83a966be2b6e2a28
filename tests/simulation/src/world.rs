//! The world: clocks, the queue of what will happen, Envoys with their workers, and the network to the ledger.
//!
//! One thing happens after another. But before each operation on shared data what others would do meanwhile may run
//! to its end, on another worker of the same Envoy or at the ledger; the operating VM may die there, or its thread
//! stand still for longer than a VM counts as alive. Nothing is borrowed while that happens.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use pax_gateway::base::clock::{Moment, Now, Tick};
use pax_gateway::base::digest::Digest;
use pax_gateway::base::exchange_id::ExchangeId;
use pax_gateway::base::wire::{DebitOutcome, DebitReply};
use pax_gateway::call::config::Gateway;
use pax_gateway::worker::fake::{Map, Metrics};

use crate::counted::Counted;
use crate::event::{Answer, Event, Site, What, shortly};
use crate::faults::Happening;
use crate::ledger::Ledger;
use crate::plan::Plan;
use crate::provider::SECRET;
use crate::random::Random;
use crate::truth::Truth;
use crate::vm::Vm;
use crate::{Fault, Tally};

pub(crate) struct Worker {
    pub(crate) vm: RefCell<Option<Box<Vm>>>,
    /// Its VM, of all that ever were; 0 while it has none.
    pub(crate) number: Cell<u64>,
    pub(crate) busy: Cell<bool>,
    pub(crate) asleep_until: Cell<u64>,
}

pub(crate) struct Envoy {
    pub(crate) memory: Map,
    /// Whether what is checked there was written to since it was last looked at.
    pub(crate) changed: Cell<bool>,
    pub(crate) metrics: RefCell<Metrics>,
    /// What they must have counted.
    pub(crate) counted: RefCell<Counted>,
    /// Each lane's owner, and when that last said that it lives.
    pub(crate) lanes: RefCell<BTreeMap<String, (u64, u64)>>,
    /// Since when each debit waits, by its cell.
    pub(crate) waits_since: RefCell<BTreeMap<String, u64>>,
    /// How many configurations came after the first.
    pub(crate) configurations: Cell<usize>,
    /// From one start to the next.
    pub(crate) life: Cell<u64>,
    /// How far its wall clock is off, in milliseconds.
    pub(crate) clock_off: Cell<i64>,
    /// The last of them is the main thread.
    pub(crate) workers: Vec<Worker>,
}

/// Why a run failed.
#[derive(Clone, Debug)]
pub(crate) struct Broken {
    pub(crate) step: u64,
    pub(crate) why: String,
}

pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) fault: Fault,
    pub(crate) random: Random,
    /// The configurations of all Envoys, one after another.
    gateways: Rc<[Gateway]>,
    pub(crate) start_ms: u64,
    pub(crate) time: Cell<u64>,
    pub(crate) envoys: Vec<Envoy>,
    pub(crate) ledger: RefCell<Ledger>,
    pub(crate) truth: RefCell<Truth>,
    /// No more troubles come.
    pub(crate) calm: Cell<bool>,
    pub(crate) calm_since: Cell<Option<u64>>,
    pub(crate) steps: Cell<u64>,
    pub(crate) broken: RefCell<Option<Broken>>,
    /// How the last small call ended: what was replied, and whether it went on.
    pub(crate) ended: Cell<Option<(Option<u16>, bool)>>,
    pub(crate) tally: RefCell<Tally>,
    queue: RefCell<BTreeMap<(u64, u64), Event>>,
    numbers: Cell<u64>,
    depth: Cell<u32>,
    /// Whether the call has come that takes longer than a lease lasts.
    pub(crate) had_long_call: Cell<bool>,
    /// Since when the call of each open hold is over, once all is well.
    pub(crate) held_for_nothing_since: RefCell<BTreeMap<ExchangeId, u64>>,
    /// When it was last looked at.
    pub(crate) holds_looked_at: Cell<u64>,
    /// How many debits had come to the ledger when the bounds were last looked at.
    pub(crate) posted: Cell<u64>,
    trace: Option<RefCell<Vec<String>>>,
}

/// How far the monotonic clocks of two lives of an Envoy, or of two Envoys, are apart: on whatever machines they ran, no
/// tick of one means anything to another.
const LIFE_MS: u64 = 7_000_000;

/// What would happen within this time may happen in the middle of something else.
const SOON_MS: u64 = 400;

impl World {
    pub(crate) fn new(seed: u64, fault: Fault, gateways: &[Rc<[Gateway]>; 2], traced: bool) -> Self {
        let random = Random::new(seed);
        let mut plan = Plan::of(&random);
        if fault == Fault::StoppedClock {
            // Threads stand still rarely, and seldom just between a record and its reservation.
            plan.stalls = 100;
        }
        if fault == Fault::LostRenewal && plan.long_outage_ms == 0 {
            // A call that is still open when a lease is over.
            plan.long_call_ends_ms = plan.chaos_ms + 70_000;
        }
        if fault == Fault::UnpaidDebt {
            // Balances fall below zero rarely: by debits that come late, as after a restore.
            plan.restored = true;
            plan.credit.fill(true);
        }
        let worker = || Worker {
            vm: RefCell::new(None),
            number: Cell::new(0),
            busy: Cell::new(false),
            asleep_until: Cell::new(0),
        };
        let envoy = |life: u64| Envoy {
            memory: Map::default(),
            changed: Cell::new(false),
            metrics: RefCell::default(),
            counted: RefCell::default(),
            lanes: RefCell::default(),
            waits_since: RefCell::default(),
            configurations: Cell::new(0),
            life: Cell::new(life),
            clock_off: Cell::new(0),
            workers: (0..=plan.workers).map(|_| worker()).collect(),
        };
        let envoys = (1..).take(plan.envoys).map(envoy).collect();
        // The second rate card comes into force at the first midnight.
        let midnight = "2026-11-23T00:00:00Z".parse::<Moment>().unwrap_or_default();
        let start_ms = midnight.ms() - plan.before_midnight_ms;
        Self {
            start_ms,
            fault,
            random,
            gateways: Rc::clone(&gateways[usize::from(plan.free_by_ledger)]),
            time: Cell::new(0),
            envoys,
            ledger: RefCell::new(Ledger::new(fault, start_ms)),
            truth: RefCell::default(),
            calm: Cell::new(false),
            calm_since: Cell::new(None),
            steps: Cell::new(0),
            broken: RefCell::new(None),
            ended: Cell::new(None),
            tally: RefCell::default(),
            queue: RefCell::default(),
            numbers: Cell::new(100),
            depth: Cell::new(0),
            had_long_call: Cell::new(false),
            held_for_nothing_since: RefCell::default(),
            holds_looked_at: Cell::new(0),
            posted: Cell::new(0),
            trace: traced.then(RefCell::default),
            plan,
        }
    }

    pub(crate) fn say(&self, what: impl FnOnce() -> String) {
        if let Some(trace) = &self.trace {
            let indent = "    ".repeat(usize::try_from(self.depth.get()).unwrap_or(0));
            let line = format!("{:>6} {:>6} {indent}{}", self.steps.get(), self.time.get(), what());
            trace.borrow_mut().push(line);
        }
    }

    pub(crate) fn take_trace(&self) -> Vec<String> {
        self.trace.as_ref().map(RefCell::take).unwrap_or_default()
    }

    pub(crate) fn fail(&self, why: &str) {
        self.say(|| format!("INVARIANT BROKEN: {why}"));
        let mut broken = self.broken.borrow_mut();
        if broken.is_none() {
            *broken = Some(Broken { step: self.steps.get(), why: why.to_owned() });
        }
    }

    /// The card that only later configurations have.
    pub(crate) fn latest_card(&self) -> Option<Digest> {
        Some(self.gateways.last()?.bundle.cards().last()?.sha256)
    }

    fn is_broken(&self) -> bool {
        self.broken.borrow().is_some()
    }

    /// A number that was not given out before.
    pub(crate) fn number(&self) -> u64 {
        self.numbers.set(self.numbers.get() + 1);
        self.numbers.get()
    }

    pub(crate) fn worker(&self, site: Site) -> &Worker {
        &self.envoys[site.envoy].workers[site.worker]
    }

    pub(crate) fn sites(&self) -> impl Iterator<Item = Site> + use<> {
        let workers = self.plan.workers;
        (0..self.plan.envoys).flat_map(move |envoy| (0..=workers).map(move |worker| Site { envoy, worker }))
    }

    /// Where callers come.
    pub(crate) fn serving_sites(&self) -> impl Iterator<Item = Site> + use<> {
        let workers = self.plan.workers;
        self.sites().filter(move |site| site.worker < workers)
    }

    /// The configuration that an Envoy has now.
    pub(crate) fn configuration(&self, envoy: usize) -> Gateway {
        let Gateway { config, bundle } = self.newest(envoy);
        Gateway { config: config.clone(), bundle: Rc::clone(bundle) }
    }

    /// The same, to look at.
    pub(crate) fn newest(&self, envoy: usize) -> &Gateway {
        &self.gateways[self.envoys[envoy].configurations.get().min(self.gateways.len() - 1)]
    }

    /// What an Envoy's clocks say: the wall clock may be off; the other goes on evenly, from wherever it was when that
    /// Envoy's machine started.
    pub(crate) fn clock(&self, site: Site) -> Now {
        let envoy = &self.envoys[site.envoy];
        let off = envoy.clock_off.get();
        let wall = Moment::from_ms((self.start_ms + self.time.get()).saturating_add_signed(off));
        let tick = match self.fault {
            Fault::OneClock => wall.ms(),
            _ => envoy.life.get() * LIFE_MS + self.time.get(),
        };
        Now { wall, tick: Tick::from_ms(tick) }
    }

    pub(crate) fn lives(&self, vm: u64) -> bool {
        self.sites().any(|site| self.worker(site).number.get() == vm)
    }

    pub(crate) fn push(&self, after: u64, event: Event) {
        let at = (self.time.get() + after, self.number());
        self.queue.borrow_mut().insert(at, event);
    }

    pub(crate) fn later(&self, after: u64, site: Site, vm: u64, what: What) {
        self.push(after, Event::At(site, vm, what));
    }

    /// How much later than it was to a timer goes off.
    pub(crate) fn lateness(&self) -> u64 {
        let late = self.plan.ticks_late;
        self.random.between(0, if self.calm.get() { late.min(300) } else { late })
    }

    /// No secret is in what others read.
    pub(crate) fn check_secrets(&self, place: &str, text: &str) {
        if text.contains(SECRET) {
            self.fail(&format!("a secret is in {place}: {text}"));
        }
    }

    /// What the ledger has acknowledged.
    pub(crate) fn remember_acknowledged(&self, lines: &[Vec<u8>], replies: &[DebitReply]) {
        let mut truth = self.truth.borrow_mut();
        for (line, reply) in lines.iter().zip(replies) {
            if matches!(reply.outcome, DebitOutcome::Recorded | DebitOutcome::Duplicate)
                && let Ok(id) = reply.exchange_id.parse()
            {
                truth.acknowledged.insert(id, line.clone());
            }
        }
    }

    /// Before a VM's operation on shared data: others run, or it dies, or stands still.
    pub(crate) fn before_an_operation(&self, site: Site) {
        if self.is_broken() {
            return;
        }
        if !self.calm.get() {
            if self.random.chance(self.plan.deaths, 100_000) {
                self.vm_dies(site);
            }
            if self.depth.get() == 0 && self.random.chance(self.plan.stalls, 100_000) {
                let until = self.time.get() + self.random.between(11_000, 14_000);
                self.say(|| format!("  {site} stands still until {until}"));
                self.depth.set(1);
                while !self.is_broken() && self.step(until) {}
                self.depth.set(0);
                self.time.set(self.time.get().max(until));
            }
        }
        if self.depth.get() < 2 && self.random.chance(self.plan.interleaved, 1_000) {
            self.depth.set(self.depth.get() + 1);
            for _ in 0..self.random.between(1, 3) {
                self.another_runs(site);
            }
            self.depth.set(self.depth.get() - 1);
        }
    }

    /// Something that would happen soon, at another worker of this Envoy or at the ledger, happens now.
    fn another_runs(&self, site: Site) {
        let queue = self.queue.borrow();
        let may = |event: &Event| match event {
            // A time-out that comes before its time is a failure, and there are none any more.
            Event::At(_, _, What::Reply { answer: Answer::Nothing, .. }) if self.calm.get() => false,
            // No timer goes off before its time.
            Event::At(_, _, What::Tick { due, .. }) if *due > self.time.get() => false,
            Event::At(other, vm, _) => {
                let worker = self.worker(*other);
                other.envoy == site.envoy
                    && !worker.busy.get()
                    && worker.number.get() == *vm
                    && worker.asleep_until.get() <= self.time.get()
            }
            Event::ToLedger(_) => true,
            Event::Arrival(_) | Event::Visit(_) | Event::Reload(_) | Event::Happens(_) => false,
        };
        let soon = self.time.get() + SOON_MS;
        let may_run: Vec<_> = queue.range(..(soon, 0)).filter(|(_, it)| may(it)).map(|(at, _)| *at).collect();
        drop(queue);
        if may_run.is_empty() {
            return;
        }
        let event = self.queue.borrow_mut().remove(self.random.pick(&may_run));
        if let Some(event) = event {
            self.run(event);
        }
    }

    /// The next thing happens; false where there is none until then.
    pub(crate) fn step(&self, until: u64) -> bool {
        loop {
            let Some((at, event)) = self.queue.borrow_mut().pop_first() else { return false };
            if at.0 > until {
                self.queue.borrow_mut().insert(at, event);
                return false;
            }
            self.time.set(self.time.get().max(at.0));
            let wait = match &event {
                Event::At(site, ..) | Event::Arrival(site) | Event::Visit(site) | Event::Reload(site) => {
                    let worker = self.worker(*site);
                    let asleep = worker.asleep_until.get().saturating_sub(self.time.get());
                    if worker.busy.get() { 500 } else { asleep }
                }
                Event::Happens(Happening::Kill(envoy)) => {
                    let busy = self.envoys[*envoy].workers.iter().any(|worker| worker.busy.get());
                    if busy { 500 } else { 0 }
                }
                Event::ToLedger(_) | Event::Happens(_) => 0,
            };
            if wait > 0 {
                self.push(wait, event);
                continue;
            }
            self.run(event);
            return true;
        }
    }

    fn run(&self, event: Event) {
        match event {
            Event::At(site, vm, what) if self.worker(site).number.get() == vm => {
                self.say(|| format!("{site}: {}", shortly(&what)));
                self.on(site, what);
            }
            Event::At(..) => {}
            Event::Arrival(site) => {
                if !self.calm.get() {
                    self.push(self.random.between(1, 2 * self.plan.call_ms), Event::Arrival(site));
                    self.somebody_calls(site);
                }
            }
            Event::Visit(site) => self.somebody_calls(site),
            Event::Reload(site) => self.load(site),
            Event::ToLedger(message) => self.deliver(&message),
            Event::Happens(happening) => self.happens(happening),
        }
    }
}
