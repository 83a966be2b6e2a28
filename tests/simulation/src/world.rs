//! The world: clocks, the queue of what will happen, Envoys with their workers, and the network to the ledger.
//!
//! One thing happens after another. But before each operation on shared data what others would do meanwhile may run
//! to its end, on another worker of the same Envoy or at the ledger; the operating VM may die there, or its thread
//! stand still for longer than a VM counts as alive. Nothing is borrowed while that happens.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;

use pax_gateway::clock::{Moment, Now, Tick};
use pax_gateway::config::Gateway;
use pax_gateway::exchange_id::ExchangeId;

use crate::Fault;
use crate::event::{Answer, Event, Message, Question, Site, What, heard, shortly, told};
use crate::faults::Happening;
use crate::ledger::Ledger;
use crate::memory::{Memory, Shared, exchange_of};
use crate::plan::Plan;
use crate::random::Random;
use crate::truth::Truth;
use crate::vm::{TICK_MS, Vm};

pub(crate) struct Worker {
    pub(crate) vm: RefCell<Option<Box<Vm>>>,
    /// Its VM, of all that ever were; 0 while it has none.
    pub(crate) number: Cell<u64>,
    pub(crate) busy: Cell<bool>,
    pub(crate) asleep_until: Cell<u64>,
}

pub(crate) struct Envoy {
    pub(crate) memory: Memory,
    /// How often it had been written to when it was last looked at.
    pub(crate) checked: Cell<u64>,
    /// From one start to the next.
    pub(crate) life: Cell<u64>,
    /// How far its wall clock is off, in milliseconds.
    pub(crate) clock_off: Cell<i64>,
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
    pub(crate) gateway: Rc<Gateway>,
    pub(crate) start_ms: u64,
    pub(crate) time: Cell<u64>,
    pub(crate) envoys: Vec<Envoy>,
    pub(crate) ledger: RefCell<Ledger>,
    pub(crate) truth: RefCell<Truth>,
    /// No more troubles come.
    pub(crate) calm: Cell<bool>,
    pub(crate) steps: Cell<u64>,
    pub(crate) broken: RefCell<Option<Broken>>,
    /// How the small calls ended: what was replied, and whether they went on.
    pub(crate) ended: RefCell<BTreeMap<u64, (Option<u16>, bool)>>,
    queue: RefCell<BTreeMap<(u64, u64), Event>>,
    numbers: Cell<u64>,
    depth: Cell<u32>,
    /// How many debits had come to the ledger when the bounds were last looked at.
    pub(crate) posted: Cell<u64>,
    trace: Option<RefCell<Vec<String>>>,
}

/// A VM dies.
struct Trap;

/// How far the monotonic clocks of two lives of an Envoy, or of two Envoys, are apart: on whatever machines they ran, no
/// tick of one means anything to another.
const LIFE_MS: u64 = 7_000_000;

/// What would happen within this time may happen in the middle of something else.
const SOON_MS: u64 = 400;

impl World {
    pub(crate) fn new(seed: u64, fault: Fault, gateway: &Rc<Gateway>, traced: bool) -> Self {
        let random = Random::new(seed);
        let plan = Plan::of(&random);
        let worker = || Worker {
            vm: RefCell::new(None),
            number: Cell::new(0),
            busy: Cell::new(false),
            asleep_until: Cell::new(0),
        };
        let envoy = |life: u64| Envoy {
            memory: Memory::default(),
            checked: Cell::new(0),
            life: Cell::new(life),
            clock_off: Cell::new(0),
            workers: (0..plan.workers).map(|_| worker()).collect(),
        };
        let envoys = (1..).take(plan.envoys).map(envoy).collect();
        // The second rate card comes into force at the first midnight.
        let midnight = "2026-11-23T00:00:00Z".parse::<Moment>().unwrap_or_default();
        Self {
            start_ms: midnight.ms() - plan.before_midnight_ms,
            fault,
            random,
            gateway: Rc::clone(gateway),
            time: Cell::new(0),
            envoys,
            ledger: RefCell::default(),
            truth: RefCell::default(),
            calm: Cell::new(false),
            steps: Cell::new(0),
            broken: RefCell::new(None),
            ended: RefCell::default(),
            queue: RefCell::default(),
            numbers: Cell::new(100),
            depth: Cell::new(0),
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
        (0..self.plan.envoys).flat_map(move |envoy| (0..workers).map(move |worker| Site { envoy, worker }))
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

    /// What the one of them says that is never set.
    pub(crate) fn tick(&self, site: Site) -> Tick {
        self.clock(site).tick
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

    /// A VM asks the ledger: what it hears comes once, or a failure after the time-out.
    pub(crate) fn call_out(&self, site: Site, vm: u64, callout: u64, question: Question) {
        if let Question::Debits(lines) = &question {
            self.check_bytes(lines);
        }
        self.say(|| format!("  {site} asks ({callout}) {}", told(&question)));
        let timeout = self.gateway.config.ledger.timeout_ms;
        self.later(timeout, site, vm, What::Reply(callout, Answer::Failed));
        let (troubled, plan) = (!self.calm.get(), &self.plan);
        let delay = || {
            let late = troubled && self.random.chance(plan.late, 1_000);
            if late { self.random.between(500, 8_000) } else { self.random.between(1, 120) }
        };
        let twice =
            matches!(question, Question::Debits(_)) && troubled && self.random.chance(plan.twice, 1_000);
        for _ in 0..=u64::from(twice) {
            let answer_lost = troubled && self.random.chance(plan.lost, 1_000);
            let message = Message { site, vm, callout, question: question.clone(), answer_lost };
            if !(troubled && self.random.chance(plan.lost, 1_000)) {
                self.push(delay(), Event::ToLedger(Box::new(message)));
            }
        }
    }

    /// What was acknowledged is never sent under other bytes.
    fn check_bytes(&self, lines: &[Vec<u8>]) {
        let truth = self.truth.borrow();
        for line in lines {
            let Ok(id) = exchange_of(line).parse::<ExchangeId>() else { continue };
            let other = truth.acknowledged.get(&id).is_some_and(|bytes| bytes != line);
            let excused = truth.calls.get(&id).is_some_and(|call| call.doubted || call.reservation.is_none());
            if other && !excused {
                self.fail(&format!("the acknowledged debit of {id} was sent under other bytes"));
            }
        }
    }

    fn deliver(&self, message: &Message) {
        let Message { site, vm, callout, question, answer_lost } = message;
        let mut ledger = self.ledger.borrow_mut();
        let answer = match question {
            _ if ledger.down => Answer::Failed,
            Question::Resolve(token, day) => Answer::Resolved(ledger.resolve(token, *day)),
            Question::Standings(asks) => {
                Answer::Standings(asks.iter().map(|ask| ledger.standing(ask)).collect())
            }
            Question::Debits(lines) => {
                let now = Moment::from_ms(self.start_ms + self.time.get());
                Answer::Debits(lines.iter().map(|line| ledger.post(line, now)).collect())
            }
        };
        drop(ledger);
        self.say(|| format!("the ledger hears ({callout}): {}", heard(&answer)));
        if !answer_lost {
            let late = !self.calm.get() && self.random.chance(self.plan.late, 1_000);
            let delay = if late { self.random.between(500, 3_000) } else { self.random.between(1, 60) };
            self.later(delay, *site, *vm, What::Reply(*callout, answer));
        }
    }

    /// Before a VM's operation on shared data: others run, or it dies, or stands still.
    pub(crate) fn before_an_operation(&self, site: Site) {
        if self.is_broken() {
            return;
        }
        if !self.calm.get() {
            if self.random.chance(self.plan.deaths, 100_000) {
                self.say(|| format!("  {site}: its VM dies"));
                resume_unwind(Box::new(Trap));
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
            Event::At(_, _, What::Reply(_, Answer::Failed)) if self.calm.get() => false,
            Event::At(other, vm, _) => {
                let worker = self.worker(*other);
                other.envoy == site.envoy
                    && !worker.busy.get()
                    && worker.number.get() == *vm
                    && worker.asleep_until.get() <= self.time.get()
            }
            Event::ToLedger(_) => true,
            Event::Arrival(_) | Event::Reload(_) | Event::Happens(_) => false,
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
                Event::At(site, ..) | Event::Arrival(site) | Event::Reload(site) => {
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
                if matches!(what, What::Tick) {
                    let next = self.random.between(150, if self.calm.get() { TICK_MS } else { 700 });
                    self.later(next, site, vm, What::Tick);
                }
                self.on(site, what);
            }
            Event::At(..) => {}
            Event::Arrival(site) => {
                if !self.calm.get() {
                    self.push(self.random.between(1, 2 * self.plan.call_ms), Event::Arrival(site));
                    let vm = self.worker(site).number.get();
                    if vm != 0 {
                        let token = self.random_token();
                        self.on(site, What::Call { token, own_key: self.random.chance(1, 15) });
                    }
                }
            }
            Event::Reload(site) => self.load(site),
            Event::ToLedger(message) => self.deliver(&message),
            Event::Happens(happening) => self.happens(happening),
        }
    }

    /// A worker without a VM gets one.
    pub(crate) fn load(&self, site: Site) {
        let worker = self.worker(site);
        if worker.number.get() != 0 {
            return;
        }
        let number = self.number();
        worker.number.set(number);
        self.say(|| format!("{site}: VM {number} begins"));
        worker.busy.set(true);
        let shared = Shared { world: self, site };
        let made = catch_unwind(AssertUnwindSafe(|| Box::new(Vm::new(&shared, number))));
        self.came_to_an_end(site, made);
        self.later(self.random.between(1, 200), site, number, What::Tick);
    }

    fn on(&self, site: Site, what: What) {
        let worker = self.worker(site);
        let Some(mut vm) = worker.vm.take() else { return };
        worker.busy.set(true);
        let shared = Shared { world: self, site };
        let done = catch_unwind(AssertUnwindSafe(move || {
            vm.handle(&shared, what);
            vm
        }));
        self.came_to_an_end(site, done);
    }

    /// A callback returned, or its VM died in it: a wasm trap, of which the host tells nobody.
    fn came_to_an_end(&self, site: Site, vm: std::thread::Result<Box<Vm>>) {
        let worker = self.worker(site);
        worker.busy.set(false);
        match vm {
            Ok(vm) => {
                worker.vm.replace(Some(vm));
            }
            Err(payload) if payload.is::<Trap>() => self.vm_is_gone(site),
            Err(payload) => resume_unwind(payload),
        }
    }

    /// A worker's VM is no more: its streams are cut without a word.
    pub(crate) fn vm_is_gone(&self, site: Site) {
        let worker = self.worker(site);
        worker.vm.replace(None);
        let vm = worker.number.replace(0);
        // What it held is to be looked at again.
        self.envoys[site.envoy].checked.set(0);
        self.truth.borrow_mut().vm_died(vm);
        self.push(self.random.between(1, 3_000), Event::Reload(site));
    }
}
