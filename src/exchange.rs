//! The life of an exchange: one metered call from its first header to its settlement, as a value.
//!
//! ```text
//! Fresh ── head ──> Resolving ── account ──> Reading ── body's end ──> Opening ── opened ──> Forwarded
//!   │                   │ │                     │                        │ ^                   │    │
//!   └─ no ──────────────┤ └─ credits ─> Over    └─ no ──> Replied <─ no ─┘ └─ ask again        │   2xx
//!                       └─ no, models ──────────────────────┘                                  │    v
//!                                                           Over <── not 2xx, closed ──────────┘ Answering
//!                                                            ^─── settled ── Settling <── end, closed ─┘
//! Forwarded ── no answer, or the platform's key was refused ──> Replaced
//! ```
//!
//! [`Exchange::step`] takes what happened and gives what is to be done; it calls nobody and reads no clock.
//! Whether the request or the answer waits follows from the state alone ([`Exchange::request_waits`],
//! [`Exchange::answer_waits`]). Once a call is forwarded, exactly one settlement follows, in whatever order
//! the rest happens.
//!
//! Later stages have their place: the free tier's reservation and the credit tier's hold stand between

use std::rc::Rc;
use std::sync::Arc;

use crate::account::Account;
use crate::admission::Answered;
use crate::admit::{InFlight, admit, asker, daily_cap, daily_headers, to_the_ledger};
use crate::answer::Answer;
use crate::answer_status::Verdict;
use crate::clock::Now;
use crate::config::Gateway;
use crate::debit::Ending;
use crate::digest::Digest;
use crate::event::{AnswerHead, ClosedBy, Effect, Event, Forward, Reply};
use crate::exchange_id::ExchangeId;
use crate::gate::{NotOpened, Owed};
use crate::head::{Call, Route, Wanted};
use crate::models;
use crate::open_bodies::Full;
use crate::pax::Pax;
use crate::refusal::Refusal;
use crate::request_body::Body;
use crate::settle::settle;
use crate::stopwatch::Stopwatch;
use crate::story::{Outcome, Story};
use crate::text::AsText;
use crate::token_cache::Resolution;
use crate::wrong_path::WrongPath;

/// One exchange.
#[derive(Debug)]
pub struct Exchange {
    gateway: Rc<Gateway>,
    id: Option<ExchangeId>,
    state: State,
    /// What will be told of it. No transition reads it.
    story: Story,
}

#[derive(Debug)]
enum State {
    /// Nothing came yet.
    Fresh,
    /// The body may come while the ledger is asked whose token it is.
    Resolving { call: Box<Call>, body: Body },
    /// The account is known; the body is not complete.
    Reading { call: Box<Call>, account: Arc<Account>, body: Body },
    /// It may go on as soon as its record is kept and its reservation made. `asked`: the ledger was asked anew where
    /// the account stands.
    Opening { in_flight: Box<InFlight>, forward: Box<Forward>, token: Digest, asked: bool },
    /// The provider has it.
    Forwarded { in_flight: Box<InFlight>, owed: Owed },
    /// A 2xx answer passes; `held` bytes of it wait for the cost headers, while they are not too many.
    Answering { in_flight: Box<InFlight>, owed: Owed, head: Head, answer: Answer, held: Option<u64> },
    /// Its debit is being put into the outbox; then the held head goes on with what it says.
    Settling { head: AnswerHead, cap: Option<Pax> },
    /// Answered here: the request never goes on.
    Replied,
    /// The provider's answer was replaced by one of ours: nothing of it goes on, and nothing is owed.
    Replaced,
    /// Nothing is owed any more: closed or settled.
    Over,
}

/// What is kept of the head of a provider's answer.
#[derive(Debug)]
struct Head {
    status: u16,
    provider_request_id: Option<String>,
}

type Effects = Vec<Effect>;

impl Exchange {
    /// An exchange of which nothing is known yet.
    #[must_use]
    pub fn new(gateway: Rc<Gateway>) -> Self {
        Self { gateway, id: None, state: State::Fresh, story: Story::default() }
    }

    /// Whether the request must not go on.
    #[must_use]
    pub fn request_waits(&self) -> bool {
        matches!(
            self.state,
            State::Fresh
                | State::Resolving { .. }
                | State::Reading { .. }
                | State::Opening { .. }
                | State::Replied
        )
    }

    /// Whether the answer must not go on.
    #[must_use]
    pub fn answer_waits(&self) -> bool {
        matches!(
            self.state,
            State::Answering { held: Some(_), .. } | State::Settling { .. } | State::Replaced
        )
    }

    /// The exchange's id; none before its head came.
    #[must_use]
    pub fn id(&self) -> Option<ExchangeId> {
        self.id
    }

    /// What is to be told of it.
    #[must_use]
    pub fn story(&self) -> &Story {
        &self.story
    }

    /// Whether bytes of the request's body are still of interest.
    #[must_use]
    pub fn reads_body(&self) -> bool {
        matches!(
            self.state,
            State::Resolving { body: Body::Coming(_), .. } | State::Reading { body: Body::Coming(_), .. }
        )
    }

    /// Whether the provider has the request, and has not answered yet.
    #[must_use]
    pub fn is_forwarded(&self) -> bool {
        matches!(self.state, State::Forwarded { .. })
    }

    /// Whether bytes of the answer's body are still of interest.
    #[must_use]
    pub fn reads_answer(&self) -> bool {
        matches!(self.state, State::Answering { .. })
    }

    /// Whether the time matters at which more of the answer comes: until its first visible text is there.
    #[must_use]
    pub fn awaits_text(&self) -> bool {
        match &self.state {
            State::Answering { in_flight, .. } => {
                !in_flight.watch.saw_text() && in_flight.admission.may_write_unseen()
            }
            _ => false,
        }
    }

    /// The call of which a settlement or a release is still to come.
    #[must_use]
    pub fn owed(&self) -> Option<ExchangeId> {
        match &self.state {
            State::Forwarded { owed, .. } | State::Answering { owed, .. } => {
                Some(owed.admission().exchange_id)
            }
            _ => None,
        }
    }

    /// Whether a settlement or a release is still to come.
    #[must_use]
    pub fn owes(&self) -> bool {
        self.owed().is_some()
    }

    /// Takes what happened at `now`; gives what is to be done, in order.
    pub fn step(&mut self, now: Now, event: Event<'_>) -> Effects {
        let state = std::mem::replace(&mut self.state, State::Over);
        if let Event::Settled(Some(daily)) = &event {
            self.story.daily = Some(*daily);
        }
        match (state, event) {
            (State::Fresh, Event::Head { headers, end, random, outbox_has_room, ledger_answers }) => {
                self.id = Some(ExchangeId::new(now.wall, random));
                self.head(now, headers, end, (outbox_has_room, ledger_answers))
            }
            (State::Resolving { call, body }, Event::Resolved(resolution)) => {
                self.resolved(now, call, body, resolution)
            }
            (
                State::Resolving { .. } | State::Reading { .. } | State::Opening { .. },
                Event::NoRoom(full),
            ) => self.refuse(&match full {
                Full::Strangers => Refusal::TooManyStrangers,
                Full::Account => Refusal::TooManyBytesOpen { own: true },
                Full::All => Refusal::TooManyBytesOpen { own: false },
            }),
            (State::Resolving { .. } | State::Reading { .. }, Event::BodyKeptBack) => {
                self.refuse(&Refusal::BodiesKeptBack)
            }
            (State::Resolving { call, body }, Event::Body { bytes, end }) => {
                match body.read(bytes, end, self.gateway.config.limits.request) {
                    Ok(body) => self.stay(State::Resolving { call, body }),
                    Err(refusal) => self.refuse(&refusal),
                }
            }
            (State::Reading { call, account, body }, Event::Body { bytes, end }) => {
                match body.read(bytes, end, self.gateway.config.limits.request) {
                    Ok(body) => self.admit_when_complete(now, call, account, body),
                    Err(refusal) => self.refuse(&refusal),
                }
            }
            (State::Opening { in_flight, forward, token, asked }, Event::Opened(opened)) => {
                self.opened(now, opened, (in_flight, forward, token, asked))
            }
            (State::Opening { in_flight, forward, token, .. }, Event::Resolved(resolution)) => {
                self.asked_again(resolution, in_flight, forward, token)
            }
            (
                State::Forwarded { in_flight, owed },
                Event::AnswerHead {
                    status,
                    content_type,
                    content_encoding,
                    provider_request_id,
                    envoys_code,
                    end,
                },
            ) => {
                match envoys_code {
                    Some(code) => self.story.envoy_replied(status, code, Outcome::ProviderFailed),
                    None => self.story.provider_answered(now.tick, status, provider_request_id),
                }
                let answer = Answer::of(content_type, content_encoding, in_flight.asked);
                let head = Head { status, provider_request_id: provider_request_id.map(str::to_owned) };
                self.answer_head(now, owed, (in_flight, head, answer), end)
            }
            (State::Answering { in_flight, owed, head, answer, held }, Event::AnswerBody { bytes, end }) => {
                self.answer_body(now, owed, (in_flight, head, answer, held), (bytes, end))
            }
            // Before the answer's head: the provider may have done the work, so the input is charged.
            (State::Forwarded { in_flight, owed }, Event::Closed(_)) => {
                let lasted = in_flight.watch.stop(now.tick);
                let answered = Answered::without_head(&in_flight.admission, lasted);
                vec![self.settlement(owed, answered, now).0]
            }
            (State::Answering { in_flight, owed, head, answer, held }, Event::Closed(by)) => {
                let charged = self.broken_off(now, owed, (in_flight, head, answer), by);
                if held.is_some() && by == ClosedBy::Provider {
                    self.story.replied_in_place_of_held();
                }
                vec![charged]
            }
            // A second head is Envoy's own: the provider's answer broke off while it was held back.
            (
                State::Answering { in_flight, owed, head, answer, .. },
                Event::AnswerHead { status, envoys_code, .. },
            ) => {
                let charged = self.broken_off(now, owed, (in_flight, head, answer), ClosedBy::Provider);
                let code = envoys_code.unwrap_or_default();
                self.story.envoy_replied(status, code, Outcome::ProviderBrokeOff);
                vec![charged]
            }
            (State::Settling { mut head, cap }, Event::Settled(daily)) => {
                head.add.extend(daily.zip(cap).into_iter().flat_map(daily_headers));
                vec![Effect::AnswerHead(head)]
            }
            (State::Replied, _) => self.stay(State::Replied),
            // A route that is not metered: the ledger answers its own.
            (State::Over, Event::AnswerHead { status, envoys_code, .. }) => {
                self.story.another_answers(status, envoys_code);
                self.stay(State::Over)
            }
            (_, Event::Closed(_)) => Vec::new(),
            // Before it is forwarded, an answer is Envoy's own refusal: 413, 408. It passes.
            (
                State::Resolving { .. } | State::Reading { .. } | State::Opening { .. },
                Event::AnswerHead { status, envoys_code, .. },
            ) => {
                self.story.envoy_replied(status, envoys_code.unwrap_or_default(), Outcome::Refused);
                self.stay(State::Replied)
            }
            // Anything else says nothing new in that state.
            (state, _) => self.stay(state),
        }
    }

    fn stay(&mut self, state: State) -> Effects {
        self.state = state;
        Vec::new()
    }

    fn refuse(&mut self, refusal: &Refusal) -> Effects {
        self.story.refuse(refusal, Outcome::Refused);
        self.state = State::Replied;
        vec![self.refusal(refusal)]
    }

    /// Our own answer in the place of the provider's: nothing is charged.
    fn replace_answer(&mut self, owed: Owed, refusal: &Refusal) -> Effects {
        self.story.refuse(refusal, Outcome::ProviderFailed);
        self.state = State::Replaced;
        vec![Effect::Release(owed), self.refusal(refusal)]
    }

    fn refusal(&self, refusal: &Refusal) -> Effect {
        let mut headers: Vec<_> =
            refusal.headers().into_iter().map(|(name, value)| (name, value.to_owned())).collect();
        headers.extend(self.id.map(|id| ("x-matrix-exchange-id", id.to_string())));
        headers.extend(self.request_id());
        Effect::Reply(Reply { status: refusal.status(), headers, body: refusal.body() })
    }

    fn reply(&mut self, body: Vec<u8>) -> Effects {
        self.story.reply_locally(Some(200));
        self.state = State::Replied;
        let headers = self.request_id().into_iter().collect();
        vec![Effect::Reply(Reply { status: 200, headers, body })]
    }

    /// Every answer carries it, so that a caller can name the call to whoever runs the gateway.
    #[must_use]
    pub fn request_id(&self) -> Option<(&'static str, String)> {
        self.id.map(|id| ("x-request-id", id.text()))
    }

    fn head(
        &mut self,
        now: Now,
        headers: &[(String, Vec<u8>)],
        end: bool,
        (outbox_has_room, ledger_answers): (bool, bool),
    ) -> Effects {
        let value = |wanted: &str| {
            let found = headers.iter().find(|(name, _)| name == wanted);
            found.map_or(&[][..], |(_, value)| value.as_slice())
        };
        let config = &self.gateway.config;
        let route = Route::of(value(":method"), value(":path"));
        // Whoever probes whether it lives does so by whatever address it has, and learns nothing of anybody.
        let is_probe = matches!(route, Ok(Route::Healthz | Route::Readyz));
        self.story.begin(now.tick, value(":method"), value(":path"));
        self.story.probe = is_probe;
        if !is_probe && !config.hosts.has_host_of(headers) {
            return self.refuse(&Refusal::UnknownHost);
        }
        let wanted = match route {
            Ok(Route::Healthz) if config.disabled => return self.reply(br#"{"status":"disabled"}"#.to_vec()),
            Ok(Route::Healthz) => return self.reply(br#"{"status":"ok"}"#.to_vec()),
            Ok(Route::Readyz) => {
                return match self.gateway.unready(now.wall, outbox_has_room, ledger_answers) {
                    None => self.reply(br#"{"status":"ok"}"#.to_vec()),
                    Some(why) => self.refuse(&Refusal::NotReady(why)),
                };
            }
            Ok(Route::Wanted(Wanted::Credits)) if config.credits.is_none() => {
                return self.refuse(&Refusal::UnknownRoute(WrongPath::of_credits(value(":path"))));
            }
            Ok(Route::Wanted(_)) if config.disabled => return self.refuse(&Refusal::GatewayDisabled),
            Ok(Route::Wanted(wanted)) => wanted,
            Err(refusal) => return self.refuse(&refusal),
        };
        let pairs = headers.iter().map(|(name, value)| (name.as_str(), value.as_slice()));
        let call = match (Call::read(wanted, config.limits.request, pairs), wanted) {
            // At the outbox's bound new calls are refused, so that no debit is ever dropped.
            (Ok(_), Wanted::Metered(_)) if !outbox_has_room => {
                return self.refuse(&Refusal::LedgerUnavailable);
            }
            (Ok(call), _) => Box::new(call),
            (Err(refusal), _) => return self.refuse(&refusal),
        };
        let token = call.token;
        self.state = State::Resolving { call, body: Body::new(wanted.mode(), end) };
        vec![Effect::Resolve { token, utc_day: now.wall.day(), fresh: false }]
    }

    fn resolved(&mut self, now: Now, call: Box<Call>, body: Body, resolution: Resolution) -> Effects {
        if let Resolution::Account(account) = &resolution {
            self.story.account = Some(Arc::clone(account));
        }
        self.story.slot.clone_from(&call.slot);
        match (resolution.active(), call.wanted) {
            (Ok(account), Wanted::Metered(_)) => self.admit_when_complete(now, call, account, body),
            (Ok(account), Wanted::Models | Wanted::Model) => self.models(now, &call, &account),
            (Ok(account), Wanted::Credits) => match &self.gateway.config.credits {
                Some(credits) => {
                    self.story.reply_locally(None);
                    vec![Effect::Forward(Box::new(to_the_ledger(credits, &call, &account)))]
                }
                None => self.refuse(&Refusal::UnknownRoute(WrongPath::of_credits(&call.path))),
            },
            (Err(refusal), _) => self.refuse(&refusal),
        }
    }

    fn models(&mut self, now: Now, call: &Call, account: &Account) -> Effects {
        let Some(card) = self.gateway.bundle.in_force(now.wall) else {
            return self.refuse(&Refusal::GatewayDisabled);
        };
        let asker = asker(&self.gateway.config, card, call, account);
        let told = match call.wanted {
            Wanted::Model => models::one(asker, &call.model),
            _ => Ok(models::list(asker)),
        };
        match told {
            Ok(body) => self.reply(body),
            Err(refusal) => self.refuse(&refusal),
        }
    }

    fn admit_when_complete(
        &mut self,
        now: Now,
        call: Box<Call>,
        account: Arc<Account>,
        body: Body,
    ) -> Effects {
        let request = match body {
            Body::Coming(_) => return self.stay(State::Reading { call, account, body }),
            Body::Complete(request) => *request,
        };
        let mode = call.wanted.mode();
        let admitted = request.map_err(Refusal::Body).and_then(|request| {
            let id = self.id.ok_or(Refusal::GatewayDisabled)?;
            self.story.asks_for(&request.model, call.funding());
            admit(&self.gateway, id, now, (&call, mode), &account, request)
        });
        match admitted {
            Ok((in_flight, forward)) => self.open(Box::new(in_flight), Box::new(forward), call.token, false),
            Err(refusal) => self.refuse(&refusal),
        }
    }

    fn open(
        &mut self,
        in_flight: Box<InFlight>,
        forward: Box<Forward>,
        token: Digest,
        asked: bool,
    ) -> Effects {
        let open = Effect::Open { admission: Rc::clone(&in_flight.admission), cap: in_flight.cap };
        self.story.admission = Some(Rc::clone(&in_flight.admission));
        self.story.cap = in_flight.cap;
        self.state = State::Opening { in_flight, forward, token, asked };
        vec![open]
    }

    fn opened(
        &mut self,
        now: Now,
        opened: Result<Owed, NotOpened>,
        (mut in_flight, forward, token, asked): (Box<InFlight>, Box<Forward>, Digest, bool),
    ) -> Effects {
        match opened {
            Ok(owed) => {
                in_flight.watch = Stopwatch::start(now.tick);
                self.story.forwarded = Some(now.tick);
                self.state = State::Forwarded { in_flight, owed };
                vec![Effect::Forward(forward)]
            }
            Err(NotOpened::Exceeded(daily)) => self.refuse(&in_flight.exceeds(daily)),
            // Forgotten, or another day: the ledger knows. Asked once, it must.
            Err(NotOpened::Unknown) if !asked => {
                let utc_day = in_flight.admission.admitted_at.day();
                self.state = State::Opening { in_flight, forward, token, asked: true };
                vec![Effect::Resolve { token, utc_day, fresh: true }]
            }
            Err(NotOpened::Unknown | NotOpened::Busy) => self.refuse(&Refusal::LedgerUnavailable),
        }
    }

    fn asked_again(
        &mut self,
        resolution: Resolution,
        mut in_flight: Box<InFlight>,
        forward: Box<Forward>,
        token: Digest,
    ) -> Effects {
        match resolution.active() {
            Ok(account) => {
                in_flight.cap = daily_cap(&account, &in_flight.admission.card);
                self.open(in_flight, forward, token, true)
            }
            Err(refusal) => self.refuse(&refusal),
        }
    }

    fn answer_head(
        &mut self,
        now: Now,
        owed: Owed,
        (mut in_flight, head, answer): (Box<InFlight>, Head, Answer),
        end: bool,
    ) -> Effects {
        in_flight.watch.answered(now.tick);
        let admission = &in_flight.admission;
        match Verdict::of(head.status, admission.funding) {
            Verdict::Served => {}
            Verdict::PassedOn => {
                self.story.outcome.get_or_insert(Outcome::ProviderError);
                return vec![Effect::AnswerHead(in_flight.answer_head()), Effect::Release(owed)];
            }
            Verdict::KeyRefused => {
                let told = Effect::KeyRefused { provider: admission.provider.clone(), status: head.status };
                let replaced = self.replace_answer(owed, &Refusal::ProviderRefusedPlatformKey);
                return std::iter::once(told).chain(replaced).collect();
            }
            Verdict::NoAnswer => return self.replace_answer(owed, &Refusal::UpstreamFailed),
        }
        if end {
            return self.settled(now, owed, (in_flight, head, answer, Some(0)));
        }
        if answer.is_stream() {
            let told = Effect::AnswerHead(in_flight.answer_head());
            self.state = State::Answering { in_flight, owed, head, answer, held: None };
            return vec![told];
        }
        self.stay(State::Answering { in_flight, owed, head, answer, held: Some(0) })
    }

    fn answer_body(
        &mut self,
        now: Now,
        owed: Owed,
        answering: Answering,
        (bytes, end): (&[u8], bool),
    ) -> Effects {
        let (mut in_flight, head, mut answer, mut held) = answering;
        let passed = answer.push(bytes);
        if answer.has_text() {
            in_flight.watch.has_text(now.tick);
        }
        let mut effects = Vec::new();
        // By its bytes it is a stream, whatever its head said: it waits no longer, and no cost stands on its head.
        if answer.is_stream() && held.take().is_some() {
            effects.push(Effect::AnswerHead(in_flight.answer_head()));
        }
        if end {
            let tail = answer.finish();
            effects.extend(passed.replacing(bytes, &tail).map(Effect::ReplaceBody));
            // The bytes first: what a settlement says comes back at once.
            effects.extend(self.settled(now, owed, (in_flight, head, answer, held)));
            return effects;
        }
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let limit = self.gateway.config.limits.held_answer;
        let held = match held.map(|held| held.saturating_add(length)) {
            Some(held) if held > limit => {
                effects.push(Effect::AnswerHead(in_flight.answer_head()));
                None
            }
            held => held,
        };
        effects.extend(passed.replacing(bytes, &[]).map(Effect::ReplaceBody));
        self.state = State::Answering { in_flight, owed, head, answer, held };
        effects
    }

    /// The answer came to its end: one debit, or none, and the cost on a head that was held for it.
    fn settled(&mut self, now: Now, owed: Owed, answering: Answering) -> Effects {
        let (in_flight, head, answer, held) = answering;
        let answered = answered(now, &in_flight, head, answer, Ending::Complete);
        let (settlement, cost) = self.settlement(owed, answered, now);
        let Some(_) = held else { return vec![settlement] };
        let mut head = in_flight.answer_head();
        let Some(cost) = cost else { return vec![settlement, Effect::AnswerHead(head)] };
        head.add.push(("x-matrix-cost-pax", cost.text()));
        self.state = State::Settling { head, cap: in_flight.cap };
        vec![settlement]
    }

    /// The answer did not come to its end.
    fn broken_off(
        &mut self,
        now: Now,
        owed: Owed,
        (in_flight, head, answer): (Box<InFlight>, Head, Answer),
        by: ClosedBy,
    ) -> Effect {
        let ending = match by {
            ClosedBy::Caller => Ending::CallerGone,
            ClosedBy::Provider => Ending::ProviderBrokeOff,
        };
        let answered = answered(now, &in_flight, head, answer, ending);
        self.settlement(owed, answered, now).0
    }

    /// One debit, or nothing but the reservation's release; and the cost.
    fn settlement(&mut self, owed: Owed, answered: Answered, now: Now) -> (Effect, Option<Pax>) {
        let (ending, lasted) = (answered.ending, answered.lasted);
        let debit = settle(owed.admission(), answered, now.wall);
        self.story.settle(ending, lasted, debit.as_ref());
        match debit {
            Some(debit) => {
                let cost = debit.cost_pax;
                (Effect::Settle { owed, debit: Box::new(debit) }, Some(cost))
            }
            None => (Effect::Release(owed), None),
        }
    }
}

type Answering = (Box<InFlight>, Head, Answer, Option<u64>);

fn answered(now: Now, in_flight: &InFlight, head: Head, answer: Answer, ending: Ending) -> Answered {
    Answered {
        status: Some(head.status),
        provider_request_id: head.provider_request_id,
        stream: answer.is_stream(),
        ending,
        said: answer.said(),
        lasted: in_flight.watch.stop(now.tick),
    }
}

#[cfg(test)]
#[path = "exchange_test.rs"]
mod tests;
