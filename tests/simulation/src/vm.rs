//! A worker's VM: the production driver on the fake of Envoy, one root for each configuration that it has, and the
//! callbacks that Envoy makes.

use std::collections::BTreeMap;

use pax_gateway::base::exchange_id::ExchangeId;
use pax_gateway::base::pax::Pax;
use pax_gateway::base::wire::{DebitOutcome, DebitReply};
use pax_gateway::worker::chores::root::Root;
use pax_gateway::worker::fake::{Metrics, Proxy, State};
use pax_gateway::worker::vm::SharedVm;

use crate::Fault;
use crate::event::{Answer, Question, Site, What};
use crate::network::ended;
use crate::outside::{Asked, Shared};
use crate::stream::Stream;

/// The VM's log has no line with one of these: each says that the driver or its proxy did what it never does here.
const NEVER_SAID: [&str; 8] = [
    "did not let",
    "is given up",
    "in the place of",
    "Envoy does not know",
    "no random bytes",
    "gives no ticks",
    "every lane",
    "the outbox is full",
];

/// A root context, as its Envoy has it.
pub(crate) struct Rooted {
    pub(crate) context: u32,
    pub(crate) root: Root,
    callouts: BTreeMap<u32, Asked>,
    /// The time from one tick to the next, as the driver asked for.
    pub(crate) period_ms: u32,
    /// How often its timer was set.
    set: u64,
    /// Whether its end is planned.
    ends: bool,
}

/// A VM, from its start to its death.
pub(crate) struct Vm {
    pub(crate) site: Site,
    /// Which of all VMs that ever were.
    pub(crate) number: u64,
    shared: SharedVm,
    pub(crate) state: State,
    /// The newest is the last.
    pub(crate) roots: Vec<Rooted>,
    pub(crate) streams: BTreeMap<u32, Stream>,
}

impl Vm {
    pub(crate) fn new(shared: &Shared<'_>) -> Self {
        let (site, fault) = (shared.site, shared.world.fault);
        let metrics = match fault {
            // A planted bug: it counts for nobody.
            Fault::UntoldMetrics if site.worker == 0 => Metrics::default(),
            _ => shared.world.envoys[site.envoy].metrics.borrow().of_another_vm(),
        };
        let mut vm = Self {
            site,
            number: shared.vm,
            shared: SharedVm::default(),
            state: State::with_metrics(metrics),
            roots: Vec::new(),
            streams: BTreeMap::new(),
        };
        let proxy = Proxy { outside: shared, state: &vm.state };
        let _ = vm.shared.with(|it| it.define_metrics(&proxy));
        vm.configure(shared);
        vm
    }

    /// Does what an event says.
    pub(crate) fn handle(&mut self, shared: &Shared<'_>, what: What) {
        match what {
            What::Tick { root, number, .. } => {
                let Some(at) = self.at(root).filter(|at| self.roots[*at].set == number) else { return };
                self.as_root(shared, at, |proxy, root| root.on_tick(proxy));
                shared.seen.ticked.set(true);
                // Envoy sets the timer again after each tick.
                self.set_timer(shared, at);
            }
            What::Call { token, own_key } => self.call(shared, &token, own_key),
            What::SmallCall { token } => self.small_call(shared, &token),
            What::Act(stream) => self.act(shared, stream),
            What::HangUp(stream) => self.close(shared, stream),
            What::Reply { root, callout, answer } => {
                if let Some(at) = self.at(root) {
                    self.take_reply(shared, at, callout, answer);
                }
            }
            What::Configure => self.configure(shared),
            What::Done(root) => self.end(shared, root),
        }
        self.end_idle_roots(shared);
    }

    /// The cap that a call was held to.
    pub(crate) fn cap_of(&self, id: ExchangeId) -> Option<Pax> {
        let cap = |context: &u32| {
            let look = |stream: &pax_gateway::worker::driver::Stream| {
                let exchange = stream.exchange();
                (exchange.id() == Some(id)).then(|| exchange.story().cap)
            };
            self.state.handle(*context)?.look(look).flatten().flatten()
        };
        self.streams.keys().find_map(cap)
    }

    fn at(&self, context: u32) -> Option<usize> {
        self.roots.iter().position(|root| root.context == context)
    }

    /// A callback of a root.
    fn as_root<T>(
        &mut self,
        shared: &Shared<'_>,
        at: usize,
        callback: impl FnOnce(&Proxy<'_, Shared<'_>>, &mut Root) -> T,
    ) -> T {
        let rooted = &mut self.roots[at];
        shared.root.set(rooted.context);
        let proxy = Proxy { outside: shared, state: &self.state };
        let result = proxy.as_root(&mut rooted.root, rooted.context, |root| callback(&proxy, root));
        self.after_callback(shared, at);
        result
    }

    /// What came of a callback, of a root or of one of its streams.
    pub(crate) fn after_callback(&mut self, shared: &Shared<'_>, at: usize) {
        let posted = shared.seen.posted.take();
        self.roots[at].callouts.extend(posted);
        if let Some(period_ms) = self.state.tick_ms.take() {
            self.roots[at].period_ms = period_ms;
            self.set_timer(shared, at);
        }
        for (level, line) in self.state.log.take() {
            let line = shared.world.tells(Fault::LoggedSecret, line.into());
            shared.world.say(|| format!("  {} logs {level:?}: {line}", self.site));
            shared.world.check_secrets("a line of the log", &line);
            if NEVER_SAID.iter().any(|never| line.contains(never)) {
                shared.world.fail(&format!("{} logs: {line}", self.site));
            }
        }
        self.look_at_streams(shared);
    }

    /// A root's next tick: at the time that it asked for, or later.
    fn set_timer(&mut self, shared: &Shared<'_>, at: usize) {
        let root = &mut self.roots[at];
        root.set += 1;
        let (world, after) = (shared.world, u64::from(root.period_ms));
        let what = What::Tick { root: root.context, number: root.set, due: world.time.get() + after };
        world.later(after + world.lateness(), self.site, self.number, what);
    }

    /// A configuration comes: a new root takes over.
    fn configure(&mut self, shared: &Shared<'_>) {
        let context = self.state.number();
        let root = Root::new(context, self.shared.clone());
        let (callouts, gateway) = (BTreeMap::new(), shared.world.configuration(self.site.envoy));
        self.roots.push(Rooted { context, root, callouts, period_ms: 0, set: 0, ends: false });
        shared.world.say(|| format!("  {} root {context} begins", self.site));
        let at = self.roots.len() - 1;
        if !self.as_root(shared, at, |proxy, root| root.configure(proxy, gateway)) {
            shared.world.fail("a root does not take its configuration");
        }
    }

    /// A root that another took over from ends a moment after its last stream.
    fn end_idle_roots(&mut self, shared: &Shared<'_>) {
        let newest = self.roots.len().saturating_sub(1);
        for root in &mut self.roots[..newest] {
            let is_busy = self.streams.values().any(|stream| stream.root == root.context);
            if !is_busy && !std::mem::replace(&mut root.ends, true) {
                let after = shared.world.random.between(0, 100);
                shared.world.later(after, self.site, self.number, What::Done(root.context));
            }
        }
    }

    fn end(&mut self, shared: &Shared<'_>, context: u32) {
        let Some(at) = self.at(context) else { return };
        {
            let mut tally = shared.world.tally.borrow_mut();
            tally.retired += 1;
            let is_debits = |asked: &Asked| matches!(*asked.question, Question::Debits(_));
            tally.retired_sending += u64::from(self.roots[at].callouts.values().any(is_debits));
        }
        // A planted bug: nobody tells the root.
        if shared.world.fault != Fault::LostRetirement {
            self.as_root(shared, at, |proxy, root| root.on_done(proxy));
        }
        self.roots.remove(at);
    }

    /// A callout ends, once.
    fn take_reply(&mut self, shared: &Shared<'_>, at: usize, callout: u32, answer: Answer) {
        let Some(Asked { question, stream }) = self.roots[at].callouts.remove(&callout) else { return };
        let world = shared.world;
        let answer = match (&*question, answer) {
            // A planted bug: what did not arrive is forgotten.
            (Question::Debits(lines), Answer::Away | Answer::Nothing)
                if world.fault == Fault::DroppedDebit =>
            {
                Answer::Debits(lines.iter().map(|line| forged(line)).collect())
            }
            (Question::Debits(lines), Answer::Debits(replies)) => {
                shared.seen.count.borrow_mut().replies(&replies);
                world.remember_acknowledged(lines, &replies);
                Answer::Debits(replies)
            }
            (_, answer) => answer,
        };
        let rooted = &mut self.roots[at];
        shared.root.set(rooted.context);
        let proxy = Proxy { outside: shared, state: &self.state };
        match stream {
            Some(stream) => proxy.streams_callout_ends(stream, callout, ended(answer)),
            None => proxy.callout_ends(&mut rooted.root, rooted.context, callout, ended(answer)),
        }
        self.after_callback(shared, at);
    }
}

/// A reply that no ledger gave.
fn forged(line: &[u8]) -> DebitReply {
    DebitReply {
        exchange_id: crate::memory::exchange_of(line).to_owned(),
        outcome: DebitOutcome::Recorded,
        account_seq: None,
        standing: None,
        message: None,
    }
}
