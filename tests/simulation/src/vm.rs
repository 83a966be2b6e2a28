//! A worker's VM: its lane, its watch and its outbox's sender, and what `src/root.rs` and `src/vm.rs` do with them.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;

use pax_gateway::active::Active;
use pax_gateway::admission::Admission;
use pax_gateway::cap;
use pax_gateway::cap_place::Daily;
use pax_gateway::clock::{Now, Tick};
use pax_gateway::digest::Digest;
use pax_gateway::gate::{self, NotOpened, Orphan, Owed};
use pax_gateway::in_flight::{BEAT_MS, Dead, Lane, Watch};
use pax_gateway::outbox::{self, Contents, Sender, Writer};
use pax_gateway::pax::Pax;
use pax_gateway::token_cache::Tokens;
use pax_gateway::wire::{DebitReply, Outcome, StandingAsk};

use crate::Fault;
use crate::event::{Answer, Question, Site, What};
use crate::memory::{Shared, recorded};
use crate::provider::Ask;
use crate::stream::Stream;
use crate::truth::Stage;

/// No tick is longer after the one before it.
pub(crate) const TICK_MS: u64 = 900;

/// How long a sweep takes over one place.
const LOOK_MS: u64 = 2;

/// Who waits for a callout.
pub(crate) enum Waits {
    Stream(u64, Digest),
    Sync(Vec<StandingAsk>),
    Debits,
}

/// A VM, from its start to its death.
pub(crate) struct Vm {
    pub(crate) site: Site,
    /// Which of all VMs that ever were.
    pub(crate) number: u64,
    id: u64,
    lane: Option<Lane>,
    watch: Watch,
    sweeping: Option<Dead>,
    sender: Sender,
    outbox: Writer,
    pub(crate) tokens: Tokens,
    beaten: Tick,
    syncing: bool,
    pub(crate) room: bool,
    pub(crate) active: Active,
    pub(crate) streams: BTreeMap<u64, Stream>,
    callouts: BTreeMap<u64, Waits>,
}

impl Vm {
    pub(crate) fn new(shared: &Shared<'_>, number: u64) -> Self {
        let random = &shared.world.random;
        let mut vm = Self {
            site: shared.site,
            number,
            id: random.next(),
            lane: None,
            watch: Watch::new(),
            sweeping: None,
            sender: Sender::new(random.next()),
            outbox: Writer::default(),
            tokens: Tokens::default(),
            beaten: Tick::default(),
            syncing: false,
            room: false,
            active: Active::new(),
            streams: BTreeMap::new(),
            callouts: BTreeMap::new(),
        };
        vm.look_into_outbox(shared);
        vm
    }

    /// Does what an event says.
    pub(crate) fn handle(&mut self, shared: &Shared<'_>, what: What) {
        match what {
            What::Tick => self.tick(shared),
            What::Call { token, own_key } => {
                let ask = Ask::random(&shared.world.random);
                let number = self.arrives(shared, &token, own_key, ask);
                let random = &shared.world.random;
                if random.chance(shared.world.plan.hang_ups, 1_000) {
                    shared.world.later(
                        random.between(0, 3_000),
                        self.site,
                        self.number,
                        What::HangUp(number),
                    );
                }
            }
            What::SmallCall { token } => {
                self.arrives(shared, &token, false, Ask::small());
            }
            What::Act(stream) => {
                if let Some(mut it) = self.streams.remove(&stream)
                    && self.act(shared, &mut it)
                {
                    self.streams.insert(stream, it);
                }
            }
            What::HangUp(stream) => {
                if let Some(mut it) = self.streams.remove(&stream) {
                    self.close(shared, &mut it);
                }
            }
            What::Reply(callout, answer) => self.take_reply(shared, callout, answer),
        }
    }

    fn arrives(&mut self, shared: &Shared<'_>, token: &str, own_key: bool, ask: Ask) -> u64 {
        let number = shared.world.number();
        shared.world.say(|| format!("  stream {number} arrives with {token}, own key {own_key}"));
        let mut stream = Stream::new(shared, number, ask);
        self.head(shared, &mut stream, (token, own_key));
        self.streams.insert(number, stream);
        number
    }

    pub(crate) fn call_out(&mut self, shared: &Shared<'_>, question: Question, waits: Waits) {
        let callout = shared.world.number();
        self.callouts.insert(callout, waits);
        shared.world.call_out(self.site, self.number, callout, question);
    }

    fn take_reply(&mut self, shared: &Shared<'_>, callout: u64, answer: Answer) {
        match (self.callouts.remove(&callout), answer) {
            (Some(Waits::Stream(stream, token)), answer) => {
                let Some(mut it) = self.streams.remove(&stream) else { return };
                let answer = if let Answer::Resolved(resolved) = answer { Some(resolved) } else { None };
                self.take_resolved(shared, &mut it, token, answer);
                self.streams.insert(stream, it);
            }
            (Some(Waits::Sync(asks)), answer) => {
                self.syncing = false;
                let Answer::Standings(standings) = answer else { return };
                let now = shared.world.tick(self.site);
                for (ask, standing) in asks.iter().zip(&standings) {
                    if let Some(standing) = standing {
                        cap::learn(shared, &ask.account, standing, now);
                    }
                }
            }
            (Some(Waits::Debits), answer) => {
                self.take_debit_replies(shared, answer);
                if self.sender.has_more() {
                    self.send(shared);
                }
            }
            (None, _) => {}
        }
    }

    fn take_debit_replies(&mut self, shared: &Shared<'_>, answer: Answer) {
        let world = shared.world;
        match answer {
            Answer::Debits(replies) if replies.len() == self.sender.in_flight().len() => {
                self.remember_acknowledged(shared, &replies);
                gate::acknowledged(shared, self.sender.in_flight(), &replies);
                let outcomes: Vec<Outcome> = replies.iter().map(|reply| reply.outcome).collect();
                self.sender.answered(shared, &outcomes, || world.tick(self.site));
            }
            // A planted bug: what did not arrive is forgotten.
            _ if world.fault == Fault::DroppedDebit => {
                let outcomes = vec![Outcome::Recorded; self.sender.in_flight().len()];
                self.sender.answered(shared, &outcomes, || world.tick(self.site));
            }
            _ => self.sender.failed(world.tick(self.site)),
        }
    }

    fn remember_acknowledged(&self, shared: &Shared<'_>, replies: &[DebitReply]) {
        let mut truth = shared.world.truth.borrow_mut();
        for (debit, reply) in self.sender.in_flight().iter().zip(replies) {
            if matches!(reply.outcome, Outcome::Recorded | Outcome::Duplicate)
                && let Ok(id) = reply.exchange_id.parse()
            {
                truth.acknowledged.insert(id, debit.canonical.clone());
            }
        }
    }

    fn look_into_outbox(&mut self, shared: &Shared<'_>) -> bool {
        let contents = Contents::of(shared);
        self.room = contents.has_room();
        contents.all() > 0
    }

    fn send(&mut self, shared: &Shared<'_>) {
        let now = shared.world.tick(self.site);
        let Some(batch) = self.sender.next_batch(shared, now) else { return };
        let lines: Vec<Vec<u8>> = batch.iter().map(|debit| debit.canonical.clone()).collect();
        self.call_out(shared, Question::Debits(lines), Waits::Debits);
    }

    fn tick(&mut self, shared: &Shared<'_>) {
        if self.look_into_outbox(shared) {
            self.send(shared);
        }
        let now = shared.world.clock(self.site);
        self.beat(shared, now.tick);
        self.sweep(shared);
        self.sync(shared, now);
    }

    fn lane(&mut self, shared: &Shared<'_>, now: Tick) -> Option<&mut Lane> {
        if self.lane.is_none() {
            self.lane = Lane::take(shared, self.id, now);
        }
        self.lane.as_mut()
    }

    fn beat(&mut self, shared: &Shared<'_>, now: Tick) {
        if now.since_ms(self.beaten) < BEAT_MS {
            return;
        }
        self.beaten = now;
        if self.lane.as_ref().is_some_and(|lane| !lane.beat(shared, now)) {
            shared.world.say(|| format!("  {} was taken for dead", self.site));
            (self.lane, self.id, self.sweeping) = (None, shared.world.random.next(), None);
        }
        if self.lane(shared, now).is_none() {
            return;
        }
        if self.sweeping.is_none() {
            self.sweeping = self.watch.look(shared, self.id, now);
        }
    }

    /// One pass. Looking at a record takes its time, so that many are more than one pass.
    fn sweep(&mut self, shared: &Shared<'_>) {
        let Some(mut dead) = self.sweeping.take() else { return };
        shared.world.say(|| format!("  {} sweeps {dead:?}", self.site));
        let looks = Cell::new(0);
        let clock = || {
            looks.set(looks.get() + 1);
            shared.world.tick(self.site).plus_ms(looks.get() * LOOK_MS)
        };
        if !dead.sweep(shared, clock, |record| self.core_orphan(shared, record)) {
            self.sweeping = Some(dead);
        }
    }

    fn sync(&mut self, shared: &Shared<'_>, now: Now) {
        let config = &shared.world.gateway.config;
        if self.syncing || !self.active.due(now.tick, config.gate.sync_ms, TICK_MS) {
            return;
        }
        let asks = self.active.next(now, config.tokens.ttl_ms);
        if !asks.is_empty() {
            self.syncing = true;
            self.call_out(shared, Question::Standings(asks.clone()), Waits::Sync(asks));
        }
    }

    pub(crate) fn core_open(
        &mut self,
        shared: &Shared<'_>,
        admission: &Rc<Admission>,
        cap: Option<Pax>,
        now: Tick,
    ) -> Result<Owed, NotOpened> {
        let lane = self.lane(shared, now).ok_or(NotOpened::Busy)?;
        gate::open(shared, lane, admission, cap, now)
    }

    pub(crate) fn core_settle(
        &mut self,
        shared: &Shared<'_>,
        owed: Owed,
        charged: (&[u8], Pax),
        now: Tick,
    ) -> Result<Option<Daily>, outbox::Full> {
        self.lane(shared, now).ok_or(outbox::Full)?;
        let lane = self.lane.as_mut().ok_or(outbox::Full)?;
        let clock = || shared.world.tick(shared.site);
        gate::settle(shared, lane, (&self.outbox, now, clock), owed, charged)
    }

    pub(crate) fn core_release(&mut self, shared: &Shared<'_>, owed: Owed) {
        let now = shared.world.tick(self.site);
        if let Some(lane) = self.lane(shared, now) {
            gate::release(shared, lane, owed);
        }
    }

    pub(crate) fn core_put(&self, shared: &Shared<'_>, canonical: &[u8]) {
        let now = shared.world.tick(self.site);
        let _ = self.outbox.put(shared, None, canonical, now, || now);
    }

    fn core_orphan(&self, shared: &Shared<'_>, record: &[u8]) -> bool {
        let world = shared.world;
        let id = recorded(record).parse();
        if let Ok(id) = id
            && let Some(call) = world.truth.borrow_mut().call(&id)
        {
            // Its VM lives: the one case in which a call can be charged by an estimate and by its answer.
            call.doubted |= world.lives(call.vm) && !call.orphaned;
        }
        let clock = || world.tick(shared.site);
        let outbox = (&self.outbox, clock(), clock);
        let orphan = gate::orphan(shared, &world.gateway.bundle, outbox, record);
        world.say(|| format!("  {} finds {id:?}: {orphan:?}", self.site));
        match orphan {
            Orphan::Charged(debit) => {
                if let Some(call) = world.truth.borrow_mut().call(&debit.exchange_id)
                    && !call.doubted
                {
                    (call.stage, call.cost) = (Stage::Settled, debit.cost_pax);
                }
                true
            }
            Orphan::Kept | Orphan::Nothing => true,
            Orphan::Later => false,
            Orphan::Unreadable(problem) => {
                world.fail(&format!("a record cannot be read: {problem}"));
                true
            }
        }
    }
}
