//! The life of an exchange: one metered call from its first header to its settlement, as a value.
//!
//! ```text
//! Fresh ── head ──> Resolving ── account ──> Reading ── body's end ──> Forwarded ── 2xx ──> Answering
//!   │                   │                       │                          │                    │
//!   └─ no ──────────────┴─ no ──> Replied <─ no ┘                          └─ not 2xx,          └─ end,
//!                                                                             closed ──> Over <─── closed
//! ```
//!
//! [`Exchange::step`] takes what happened and gives what is to be done; it calls nobody and reads no clock.
//! Whether the request or the answer waits follows from the state alone ([`Exchange::request_waits`],
//! [`Exchange::answer_waits`]). Once a call is forwarded, exactly one settlement follows, in whatever order
//! the rest happens.
//!
//! Later stages have their place: the free tier's reservation and the credit tier's hold stand between
//! Reading and Forwarded, as a state of their own.

use std::rc::Rc;
use std::sync::Arc;

use crate::account::{Account, Status};
use crate::admit::{InFlight, admit};
use crate::answer::Answer;
use crate::clock::Moment;
use crate::config::Gateway;
use crate::debit::Debit;
use crate::event::{Effect, Event, Reply, Resolution};
use crate::exchange_id::ExchangeId;
use crate::head::{Call, Route};
use crate::refusal::Refusal;
use crate::request::{Request, RequestError};
use crate::request_body::RequestReader;
use crate::settle::{Answered, settle};
use crate::sse::Passed;

/// One exchange.
#[derive(Debug)]
pub struct Exchange {
    gateway: Rc<Gateway>,
    id: Option<ExchangeId>,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Nothing came yet.
    Fresh,
    /// The body may come while the ledger is asked whose token it is.
    Resolving { call: Call, body: Body },
    /// The account is known; the body is not complete.
    Reading { call: Call, account: Arc<Account>, body: Body },
    /// The provider has it.
    Forwarded(Box<InFlight>),
    /// A 2xx answer passes; `held` bytes of it wait for the cost headers, while they are not too many.
    Answering { in_flight: Box<InFlight>, status: u16, answer: Answer, held: Option<u64> },
    /// Answered here: the request never goes on.
    Replied,
    /// Nothing is owed any more: closed or settled.
    Over,
}

#[derive(Debug)]
enum Body {
    Coming(Box<RequestReader>),
    Complete(Box<Result<Request, RequestError>>),
}

type Effects = Vec<Effect>;

impl Exchange {
    /// An exchange of which nothing is known yet.
    #[must_use]
    pub fn new(gateway: Rc<Gateway>) -> Self {
        Self { gateway, id: None, state: State::Fresh }
    }

    /// Whether the request must not go on.
    #[must_use]
    pub fn request_waits(&self) -> bool {
        matches!(self.state, State::Fresh | State::Resolving { .. } | State::Reading { .. } | State::Replied)
    }

    /// Whether the answer must not go on.
    #[must_use]
    pub fn answer_waits(&self) -> bool {
        matches!(self.state, State::Answering { held: Some(_), .. })
    }

    /// The exchange's id; none before its head came.
    #[must_use]
    pub fn id(&self) -> Option<ExchangeId> {
        self.id
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
        matches!(self.state, State::Forwarded(_))
    }

    /// Whether bytes of the answer's body are still of interest.
    #[must_use]
    pub fn reads_answer(&self) -> bool {
        matches!(self.state, State::Answering { .. })
    }

    /// Whether a settlement is still to come.
    #[must_use]
    pub fn owes(&self) -> bool {
        self.is_forwarded() || self.reads_answer()
    }

    /// Takes what happened at `now`; gives what is to be done, in order.
    pub fn step(&mut self, now: Moment, event: Event<'_>) -> Effects {
        let state = std::mem::replace(&mut self.state, State::Over);
        match (state, event) {
            (State::Fresh, Event::Head { headers, end, random, outbox_has_room }) => {
                self.id = Some(ExchangeId::new(now, random));
                self.head(now, headers, end, outbox_has_room)
            }
            (State::Resolving { call, body }, Event::Resolved(resolution)) => {
                self.resolved(now, call, body, resolution)
            }
            (State::Resolving { call, body }, Event::Body { bytes, end }) => {
                match self.read(body, bytes, end) {
                    Ok(body) => self.stay(State::Resolving { call, body }),
                    Err(refusal) => self.refuse(&refusal),
                }
            }
            (State::Reading { call, account, body }, Event::Body { bytes, end }) => {
                match self.read(body, bytes, end) {
                    Ok(body) => self.admit_when_complete(now, call, account, body),
                    Err(refusal) => self.refuse(&refusal),
                }
            }
            (
                State::Forwarded(in_flight),
                Event::AnswerHead { status, content_type, content_encoding, end },
            ) => {
                let answer = (200..300).contains(&status).then(|| {
                    Answer::of(content_type, content_encoding, in_flight.wants_stream, in_flight.takes_out)
                });
                self.answer_head(now, in_flight, status, answer, end)
            }
            (State::Answering { in_flight, status, answer, held }, Event::AnswerBody { bytes, end }) => {
                self.answer_body(now, (in_flight, status, answer, held), bytes, end)
            }
            // Before the answer's head: the provider may have done the work, so the input is charged.
            (State::Forwarded(in_flight), Event::Closed) => {
                let answered = Answered { stream: in_flight.wants_stream, ..Answered::default() };
                record(settle(&in_flight.admission, answered, now))
            }
            // A second head is Envoy's own: the provider's answer broke off while it was held back.
            (
                State::Answering { in_flight, status, answer, .. },
                Event::Closed | Event::AnswerHead { .. },
            ) => {
                let stream = answer.is_stream();
                let answered =
                    Answered { status: Some(status), stream, complete: false, said: answer.said() };
                record(settle(&in_flight.admission, answered, now))
            }
            (State::Replied, _) => self.stay(State::Replied),
            (_, Event::Closed) => Vec::new(),
            // Before it is forwarded, an answer is Envoy's own refusal: 413, 408. It passes.
            (State::Resolving { .. } | State::Reading { .. }, Event::AnswerHead { .. }) => {
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
        self.state = State::Replied;
        let mut headers: Vec<_> =
            refusal.headers().into_iter().map(|(name, value)| (name, value.to_owned())).collect();
        headers.extend(self.id.map(|id| ("x-matrix-exchange-id", id.to_string())));
        vec![Effect::Reply(Reply { status: refusal.status(), headers, body: refusal.body() })]
    }

    fn healthy(&mut self) -> Effects {
        self.state = State::Replied;
        let body = br#"{"status":"ok"}"#.to_vec();
        vec![Effect::Reply(Reply { status: 200, headers: Vec::new(), body })]
    }

    fn head(
        &mut self,
        now: Moment,
        headers: &[(String, Vec<u8>)],
        end: bool,
        outbox_has_room: bool,
    ) -> Effects {
        let value = |wanted: &str| {
            let found = headers.iter().find(|(name, _)| name == wanted);
            found.map_or(&[][..], |(_, value)| value.as_slice())
        };
        let mode = match Route::of(value(":method"), value(":path")) {
            Ok(Route::Healthz) => return self.healthy(),
            Ok(Route::Readyz) if self.gateway.bundle.in_force(now).is_some() => return self.healthy(),
            Ok(Route::Readyz) => return self.refuse(&Refusal::GatewayDisabled),
            Ok(Route::Metered(mode)) => mode,
            Err(refusal) => return self.refuse(&refusal),
        };
        let pairs = headers.iter().map(|(name, value)| (name.as_str(), value.as_slice()));
        let call = match Call::read(mode, self.gateway.config.limits.request, pairs) {
            Ok(call) if outbox_has_room => call,
            // At the outbox's bound new calls are refused, so that no debit is ever dropped.
            Ok(_) => return self.refuse(&Refusal::LedgerUnavailable),
            Err(refusal) => return self.refuse(&refusal),
        };
        let token = call.token;
        let reader = RequestReader::new(mode);
        let body = match end {
            true => Body::Complete(Box::new(reader.finish())),
            false => Body::Coming(Box::new(reader)),
        };
        self.state = State::Resolving { call, body };
        vec![Effect::Resolve(token)]
    }

    fn read(&self, body: Body, bytes: &[u8], end: bool) -> Result<Body, Refusal> {
        let Body::Coming(mut reader) = body else { return Ok(body) };
        reader.push(bytes);
        let limit_bytes = self.gateway.config.limits.request;
        if reader.received() > limit_bytes {
            return Err(Refusal::RequestTooLarge { limit_bytes });
        }
        Ok(if end { Body::Complete(Box::new(reader.finish())) } else { Body::Coming(reader) })
    }

    fn resolved(&mut self, now: Moment, call: Call, body: Body, resolution: Resolution) -> Effects {
        match resolution {
            Resolution::Account(account) if account.status == Status::Active => {
                self.admit_when_complete(now, call, account, body)
            }
            Resolution::Account(_) => self.refuse(&Refusal::AccountDisabled),
            Resolution::Unknown => self.refuse(&Refusal::InvalidApiKey),
            Resolution::Unavailable => self.refuse(&Refusal::LedgerUnavailable),
        }
    }

    fn admit_when_complete(&mut self, now: Moment, call: Call, account: Arc<Account>, body: Body) -> Effects {
        let request = match body {
            Body::Coming(_) => return self.stay(State::Reading { call, account, body }),
            Body::Complete(request) => *request,
        };
        let admitted = request.map_err(Refusal::Body).and_then(|request| {
            let id = self.id.ok_or(Refusal::GatewayDisabled)?;
            admit(&self.gateway, id, now, call, account, request)
        });
        match admitted {
            Ok((in_flight, forward)) => {
                self.state = State::Forwarded(Box::new(in_flight));
                vec![Effect::Forward(Box::new(forward))]
            }
            Err(refusal) => self.refuse(&refusal),
        }
    }

    fn answer_head(
        &mut self,
        now: Moment,
        in_flight: Box<InFlight>,
        status: u16,
        answer: Option<Answer>,
        end: bool,
    ) -> Effects {
        let headers = Effect::AnswerHead(in_flight.answer_head());
        let Some(answer) = answer else {
            // Whatever went wrong, the provider did not serve it: nothing is charged, its answer passes.
            return vec![headers];
        };
        if end {
            return settled(now, (in_flight, status, answer, Some(0)));
        }
        if answer.is_stream() {
            self.state = State::Answering { in_flight, status, answer, held: None };
            return vec![headers];
        }
        self.stay(State::Answering { in_flight, status, answer, held: Some(0) })
    }

    fn answer_body(&mut self, now: Moment, answering: Answering, bytes: &[u8], end: bool) -> Effects {
        let (in_flight, status, mut answer, held) = answering;
        let passed = answer.push(bytes);
        if end {
            let tail = answer.finish();
            let mut effects = settled(now, (in_flight, status, answer, held));
            effects.extend(replacement(passed, bytes, &tail));
            return effects;
        }
        let mut effects = Vec::new();
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let limit = self.gateway.config.limits.held_answer;
        let held = match held.map(|held| held.saturating_add(length)) {
            Some(held) if held > limit => {
                effects.push(Effect::AnswerHead(in_flight.answer_head()));
                None
            }
            held => held,
        };
        effects.extend(replacement(passed, bytes, &[]));
        self.state = State::Answering { in_flight, status, answer, held };
        effects
    }
}

type Answering = (Box<InFlight>, u16, Answer, Option<u64>);

/// The answer came to its end: one debit, or none, and the cost on an answer that was held for it.
fn settled(now: Moment, answering: Answering) -> Effects {
    let (in_flight, status, answer, held) = answering;
    let stream = answer.is_stream();
    let answered = Answered { status: Some(status), stream, complete: true, said: answer.said() };
    let debit = settle(&in_flight.admission, answered, now);
    let mut effects = Vec::new();
    if held.is_some() {
        let mut head = in_flight.answer_head();
        head.add.extend(debit.as_ref().map(|debit| ("x-matrix-cost-pax", debit.cost_pax.to_string())));
        effects.push(Effect::AnswerHead(head));
    }
    effects.extend(record(debit));
    effects
}

fn record(debit: Option<Debit>) -> Effects {
    debit.map(|debit| Effect::Record(Box::new(debit))).into_iter().collect()
}

fn replacement(passed: Passed, bytes: &[u8], tail: &[u8]) -> Option<Effect> {
    match passed {
        Passed::Same if tail.is_empty() => None,
        Passed::Same => Some(Effect::ReplaceBody([bytes, tail].concat())),
        Passed::Instead(mut passed) => {
            passed.extend_from_slice(tail);
            Some(Effect::ReplaceBody(passed))
        }
    }
}

#[cfg(test)]
#[path = "exchange_test.rs"]
mod tests;
