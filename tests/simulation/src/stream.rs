//! A stream: an exchange, its caller and its provider; and the adapter's part, effect by effect, as `src/filter.rs`.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use pax_gateway::account::Tier;
use pax_gateway::admission::Admission;
use pax_gateway::cap;
use pax_gateway::clock::{Now, UtcDay};
use pax_gateway::debit::Debit;
use pax_gateway::digest::Digest;
use pax_gateway::event::{ClosedBy, Effect, Event};
use pax_gateway::exchange::Exchange;
use pax_gateway::exchange_id::ExchangeId;
use pax_gateway::gate::Owed;
use pax_gateway::pax::Pax;
use pax_gateway::token_cache::{Found, Resolution};
use pax_gateway::wire::Resolved;

use crate::Fault;
use crate::event::{Question, What};
use crate::memory::{Shared, Still};
use crate::provider::{Act, Ask};
use crate::truth::{Admitted, Call, Stage};
use crate::vm::{Vm, Waits};

/// One HTTP stream.
pub(crate) struct Stream {
    pub(crate) number: u64,
    pub(crate) exchange: Exchange,
    ask: Ask,
    acts: VecDeque<Act>,
    now: Now,
    /// What became of it, for who waits for that.
    pub(crate) replied: Option<u16>,
    pub(crate) forwarded: bool,
}

impl Stream {
    pub(crate) fn new(shared: &Shared<'_>, number: u64, ask: Ask) -> Self {
        let acts = ask.pieces(&shared.world.random);
        let exchange = Exchange::new(Rc::clone(&shared.world.gateway));
        Self { number, exchange, ask, acts, now: Now::default(), replied: None, forwarded: false }
    }

    /// The exchange's tag, while it has a record.
    pub(crate) fn open_tag(&self) -> Option<u64> {
        self.exchange.owed().map(|id| id.tag().0)
    }
}

impl Vm {
    /// Something happens to a stream; gives whether it is still there.
    pub(crate) fn act(&mut self, shared: &Shared<'_>, stream: &mut Stream) -> bool {
        let Some(act) = stream.acts.pop_front() else { return true };
        shared.world.say(|| format!("  stream {}: {act:?}", stream.number));
        match act {
            Act::Body(bytes, end) if stream.exchange.reads_body() => {
                if end {
                    stream.now = shared.world.clock(shared.site);
                }
                self.step(shared, stream, Event::Body { bytes: &bytes, end });
            }
            Act::AnswerHead(status, content_type, end)
                if stream.exchange.is_forwarded() || stream.exchange.reads_answer() =>
            {
                if end {
                    stream.now = shared.world.clock(shared.site);
                }
                let content_type = content_type.as_bytes();
                let event = Event::AnswerHead {
                    status,
                    content_type,
                    content_encoding: b"",
                    provider_request_id: None,
                    envoys_code: None,
                    end,
                };
                self.step(shared, stream, event);
            }
            Act::AnswerBody(bytes, end) if stream.exchange.reads_answer() => {
                if end {
                    stream.now = shared.world.clock(shared.site);
                }
                self.step(shared, stream, Event::AnswerBody { bytes: &bytes, end });
            }
            Act::Close => {
                self.close(shared, stream);
                return false;
            }
            Act::Body(..) | Act::AnswerHead(..) | Act::AnswerBody(..) => {}
        }
        if stream.acts.is_empty() && !stream.exchange.request_waits() {
            stream.acts.push_back(Act::Close);
        }
        if !stream.acts.is_empty() {
            self.goes_on(shared, stream.number);
        }
        true
    }

    pub(crate) fn goes_on(&self, shared: &Shared<'_>, stream: u64) {
        let world = shared.world;
        // Some answers take as long as a VM counts as alive.
        let slow = !world.calm.get() && world.random.chance(1, 20);
        let after = if slow { world.random.between(1_000, 14_000) } else { world.random.between(1, 600) };
        world.later(after, self.site, self.number, What::Act(stream));
    }

    /// Envoy's `on_log`.
    pub(crate) fn close(&mut self, shared: &Shared<'_>, stream: &mut Stream) {
        if stream.exchange.owes() {
            stream.now = shared.world.clock(shared.site);
        }
        self.step(shared, stream, Event::Closed(ClosedBy::Caller));
        if shared.world.calm.get() {
            let how = (stream.replied, stream.forwarded);
            shared.world.ended.borrow_mut().insert(stream.number, how);
        }
    }

    pub(crate) fn head(&mut self, shared: &Shared<'_>, stream: &mut Stream, (token, own_key): (&str, bool)) {
        let world = shared.world;
        stream.now = world.clock(shared.site);
        let mut headers = vec![
            (":method".to_owned(), b"POST".to_vec()),
            (":path".to_owned(), b"/v1/chat/completions".to_vec()),
            ("authorization".to_owned(), format!("Bearer {token}").into_bytes()),
        ];
        if own_key {
            headers.push(("x-matrix-byo-api-key".to_owned(), b"sk-own".to_vec()));
        }
        let event = Event::Head {
            headers: &headers,
            end: false,
            random: world.random.bytes(),
            outbox_has_room: self.room,
            ledger_answers: true,
        };
        self.step(shared, stream, event);
        self.goes_on(shared, stream.number);
    }

    fn step(&mut self, shared: &Shared<'_>, stream: &mut Stream, event: Event<'_>) {
        for effect in stream.exchange.step(stream.now, event) {
            match effect {
                Effect::Resolve { token, utc_day, fresh } => {
                    self.resolve(shared, stream, token, utc_day, fresh)
                }
                Effect::Open { admission, cap } => self.open(shared, stream, &admission, cap),
                Effect::Settle { owed, debit } => self.settle(shared, stream, owed, &debit),
                Effect::Release(owed) => {
                    let admission = Rc::clone(owed.admission());
                    set_stage(shared, &admission, Stage::Releasing);
                    self.core_release(shared, owed);
                    set_stage(shared, &admission, Stage::Released);
                }
                Effect::Reply(reply) => {
                    let code = || String::from_utf8_lossy(&reply.body).into_owned();
                    shared.world.say(|| format!("  stream {}: {} {}", stream.number, reply.status, code()));
                    stream.replied = Some(reply.status);
                    stream.acts = [Act::Close].into();
                }
                Effect::Forward(_) => {
                    stream.forwarded = true;
                    if let Some(id) = stream.exchange.id() {
                        shared
                            .world
                            .truth
                            .borrow_mut()
                            .call(&id)
                            .into_iter()
                            .for_each(|call| call.forwarded = true);
                    }
                    stream.acts = stream.ask.answer(&shared.world.random);
                }
                Effect::AnswerHead(_) | Effect::ReplaceBody(_) | Effect::KeyRefused { .. } => {}
            }
        }
    }

    fn resolve(
        &mut self,
        shared: &Shared<'_>,
        stream: &mut Stream,
        token: Digest,
        utc_day: UtcDay,
        fresh: bool,
    ) {
        let found = if fresh { Found::Nothing } else { self.tokens.look_up(shared, &token, stream.now.tick) };
        // Here each stream asks for itself.
        if let Ok(resolution) = found.or_ask(false) {
            return self.step(shared, stream, Event::Resolved(resolution));
        }
        self.call_out(shared, Question::Resolve(token, utc_day), Waits::Stream(stream.number, token));
    }

    /// The ledger said whose token it is, or nothing.
    pub(crate) fn take_resolved(
        &mut self,
        shared: &Shared<'_>,
        stream: &mut Stream,
        token: Digest,
        answer: Option<Option<Resolved>>,
    ) {
        stream.now = shared.world.clock(shared.site);
        let (resolution, standing) = match answer {
            Some(Some(resolved)) => {
                let standing = resolved.standing;
                (Resolution::Account(Arc::new(resolved.account())), Some(standing))
            }
            Some(None) => (Resolution::Unknown, None),
            None => (Resolution::Unavailable, None),
        };
        let times = shared.world.gateway.config.tokens;
        let ttl_ms = match resolution {
            Resolution::Account(_) => times.ttl_ms,
            Resolution::Unknown | Resolution::Unavailable => times.unknown_ttl_ms,
        };
        self.tokens.remember(shared, &token, &resolution, stream.now.tick, ttl_ms);
        if let (Resolution::Account(account), Some(standing)) = (&resolution, standing)
            && account.tier == Tier::Free
        {
            cap::learn(shared, &account.account, &standing, stream.now.tick);
        }
        self.step(shared, stream, Event::Resolved(resolution));
        if !stream.acts.is_empty() {
            self.goes_on(shared, stream.number);
        }
    }

    fn open(
        &mut self,
        shared: &Shared<'_>,
        stream: &mut Stream,
        admission: &Rc<Admission>,
        cap: Option<Pax>,
    ) {
        let world = shared.world;
        let (account, day) = (&admission.account.account, admission.admitted_at.day());
        let life = world.envoys[self.site.envoy].life.get();
        let call = Call {
            life,
            vm: self.number,
            account: account.clone(),
            day,
            reservation: admission.reservation,
            cost: Pax::ZERO,
            stage: Stage::Opening,
            forwarded: false,
            orphaned: false,
            killed: false,
            doubted: false,
            canonical: None,
        };
        let id = admission.exchange_id;
        world.truth.borrow_mut().calls.insert(id, call);
        world.truth.borrow_mut().tags.insert(id.tag().0, id);
        world.truth.borrow_mut().latest = Some(id);
        let opened = self.core_open(shared, admission, cap, stream.now.tick);
        match &opened {
            Ok(_) => {
                set_stage(shared, admission, Stage::Open);
                if let Some(cap) = cap {
                    check_admission(shared, life, (account, day), cap);
                    self.active.called(account, stream.now.tick);
                }
            }
            Err(_) => set_stage(shared, admission, Stage::Refused),
        }
        world
            .say(|| format!("  stream {}: {id} {:?}, cap {cap:?}", stream.number, opened.as_ref().map(drop)));
        self.step(shared, stream, Event::Opened(opened));
    }

    fn settle(&mut self, shared: &Shared<'_>, stream: &mut Stream, owed: Owed, debit: &Debit) {
        let world = shared.world;
        let canonical = debit.to_canonical();
        let admission = Rc::clone(owed.admission());
        world.say(|| {
            format!("  stream {}: settles {} for {}", stream.number, debit.exchange_id, debit.cost_pax)
        });
        if let Some(call) = world.truth.borrow_mut().call(&debit.exchange_id) {
            call.cost = debit.cost_pax;
        }
        set_stage(shared, &admission, Stage::Settling);
        if world.fault == Fault::DoubleSettle {
            self.settle_again(shared, &admission, debit);
        }
        let charged = (canonical.as_slice(), debit.cost_pax);
        let Ok(daily) = self.core_settle(shared, owed, charged, stream.now.tick) else {
            return world.fail("a call was settled without a record, or the outbox is full");
        };
        if let Some(call) = world.truth.borrow_mut().call(&debit.exchange_id) {
            call.canonical = Some(canonical);
        }
        set_stage(shared, &admission, Stage::Settled);
        self.step(shared, stream, Event::Settled(daily));
    }

    /// A planted bug: the same call once more, under an id of its own.
    fn settle_again(&mut self, shared: &Shared<'_>, admission: &Admission, debit: &Debit) {
        let mut again = debit.clone();
        again.exchange_id = ExchangeId::new(admission.admitted_at, shared.world.random.bytes());
        self.core_put(shared, &again.to_canonical());
    }
}

fn set_stage(shared: &Shared<'_>, admission: &Admission, stage: Stage) {
    if let Some(call) = shared.world.truth.borrow_mut().call(&admission.exchange_id) {
        call.stage = stage;
    }
}

/// What this Envoy knows and what its own calls add to it fit the cap, whatever its shared data says of them.
fn check_admission(shared: &Shared<'_>, life: u64, (account, day): (&str, UtcDay), cap: Pax) {
    let world = shared.world;
    let there = world.envoys[shared.site.envoy].memory.read();
    let Some(known) = there.days.iter().find(|known| known.account == account && known.day == day) else {
        return world.fail("a reservation was made on a day that is not known");
    };
    let spent = Pax::from_picopax(known.spent);
    let ledger = world.ledger.borrow();
    let own = world.truth.borrow().own(life, (account, day), known.account_seq, &ledger);
    if spent.checked_add(own).is_none_or(|sum| sum > cap) {
        world.fail(&format!(
            "the cap was exceeded: {account} on {day} has spent {spent} by entry {}, and this Envoy adds {own}, but its cap is {cap}; it says {:?}",
            known.account_seq,
            cap::daily(&Still(&world.envoys[shared.site.envoy].memory), account, day),
        ));
    }
    let last = Admitted { account_seq: known.account_seq, spent, cap };
    world.truth.borrow_mut().admitted.entry((account.to_owned(), day)).or_default().insert(life, last);
}
