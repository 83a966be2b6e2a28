//! The life of an exchange: one metered call from its first header to its settlement, as a value.
//!
//! ```text
//! Fresh ─ head ─> Resolving ─ account ─> Reading ─ body's end ─> Opening ─ opened ─> Forwarded ─ 2xx ─> Answering
//!                   │  └─ account, after the body's end ──────────^  │  ^                                   │
//!                   │                                                └──┘ the ledger is asked again         │ end, if its
//!                   └─ account, for its credits ─> AtLedger                                                 │ head is held
//!                                                                                                           v
//!                                                                                                        Settling
//! ```
//!
//! | from | if | to |
//! | --- | --- | --- |
//! | Opening | opened, and the call needs a hold | Holding |
//! | Holding | the ledger has made the hold | Opening, to go on |
//! | Holding | no hold was made; or closed | Replied |
//! | Fresh, Resolving, Reading, Opening | refused, or closed | Replied |
//! | Fresh, Resolving | answered here: probes, models | Replied |
//! | Resolving, Reading, Opening, Holding | Envoy answered by itself | Replied |
//! | Forwarded | the provider gave no answer, or refused the platform's key | Replaced |
//! | Forwarded | the provider answered with another status; or closed | Over |
//! | Answering | its end, if no head waits for a cost; closed; or Envoy answered in the provider's place | Over |
//! | Settling | settled, or closed | Over |
//! | AtLedger, Replaced | closed | Over |
//!
//! An event that the table does not name leaves the state as it is; Replied and Over are never left. A 2xx
//! answer without a body goes through Answering and its end in one step.
//!
//! [`Exchange::step`] takes what happened and gives what is to be done; it makes no host call and reads no
//! clock. Each state is a method that gives the next state. The state alone decides whether the request or the
//! answer waits ([`Exchange::request_waits`], [`Exchange::answer_waits`]), and what is owed
//! ([`Exchange::owed`]). An opened call ends with exactly one settlement or release, in whatever order the rest
//! happens. A step that breaks off leaves a request that waits for ever: it fails closed.

use std::rc::Rc;
use std::sync::Arc;

use crate::base::account::Account;
use crate::base::clock::Now;
use crate::base::exchange_id::ExchangeId;
use crate::base::refusal::refusals::Refusal;
use crate::call::answering::{Answering, Forwarded, ProviderHead, Settling};
use crate::call::arriving::{Arriving, RequestHead};
use crate::call::config::Gateway;
use crate::call::event::Event::{
    self, AnswerBody, AnswerHead, Body, BodyKeptBack, Closed, Head, Held, NoRoom, Opened, Resolved, Settled,
};
use crate::call::event::{ClosedBy, Effect};
use crate::call::opening::OpeningStep::{AskedAgain, GoingOn, Reserving, ReservingAgain};
use crate::call::opening::{Holding, Opening};
use crate::call::story::{Outcome, Story};

/// One exchange.
#[derive(Debug)]
pub struct Exchange {
    gateway: Rc<Gateway>,
    id: Option<ExchangeId>,
    state: State,
    /// What the log and the metrics will tell of the exchange. No transition reads it.
    story: Story,
}

#[derive(Debug)]
enum State {
    /// Nothing came yet.
    Fresh,
    /// The body may come while the ledger is asked whose token it is.
    Resolving(Arriving),
    /// The account is known; the body is not complete.
    Reading(Arriving, Arc<Account>),
    /// The call is admitted, and goes on as soon as its in-flight record is written and its reservation made.
    Opening(Opening),
    /// The call is admitted and its record is written. The ledger is asked for its hold.
    Holding(Holding),
    /// The provider has it.
    Forwarded(Forwarded),
    /// A 2xx answer passes, or waits for the cost headers while it is not too large.
    Answering(Answering),
    /// The call's debit is being put into the outbox; then the held head goes on with the cost headers.
    Settling(Settling),
    /// The request went to the ledger, which answers its own route. Nothing is metered.
    AtLedger,
    /// The request was answered or closed before it was forwarded. It never goes on.
    Replied,
    /// The filter's own answer has replaced the provider's, of which nothing goes on. Nothing is owed.
    Replaced,
    /// Nothing is owed any more: closed, settled or released.
    Over,
}

type Effects = Vec<Effect>;
type Next = (State, Effects);

impl Exchange {
    /// An exchange of which nothing is known yet.
    #[must_use]
    pub fn new(gateway: Rc<Gateway>) -> Self {
        Self { gateway, id: None, state: State::Fresh, story: Story::default() }
    }

    /// Takes what happened at `now`; gives what is to be done, in order.
    pub fn step(&mut self, now: Now, event: Event<'_>) -> Effects {
        if let Settled(daily) = &event {
            self.story.hears(*daily);
        }
        let (next, effects) = match self.take_state() {
            State::Fresh => self.fresh(now, event),
            State::Resolving(arriving) => self.resolving(now, arriving, event),
            State::Reading(arriving, account) => self.reading(now, arriving, account, event),
            State::Opening(opening) => self.opening(now, opening, event),
            State::Holding(holding) => self.holding(holding, event),
            State::Forwarded(forwarded) => self.forwarded(now, forwarded, event),
            State::Answering(answering) => self.answering(now, answering, event),
            State::Settling(settling) => Self::settling(settling, event),
            State::AtLedger => self.at_ledger(event),
            State::Replied => (State::Replied, ignored(event)),
            State::Replaced => Self::replaced(event),
            State::Over => (State::Over, ignored(event)),
        };
        self.state = next;
        effects
    }

    /// Takes the state out for a step, which will put the next one in. Until then the request waits.
    const fn take_state(&mut self) -> State {
        std::mem::replace(&mut self.state, State::Replied)
    }

    fn fresh(&mut self, now: Now, event: Event<'_>) -> Next {
        match event {
            Head { headers, end, random, outbox_has_room, ledger_answers } => {
                let head = RequestHead { headers, end, outbox_has_room, ledger_answers };
                self.arrived(now, ExchangeId::new(now.wall, random), head)
            }
            Closed(_) => (State::Replied, Vec::new()),
            Body { .. } | BodyKeptBack | NoRoom(_) | Resolved(_) => (State::Fresh, Vec::new()),
            event @ (AnswerHead { .. } | AnswerBody { .. } | Opened(_) | Held(_) | Settled(_)) => {
                (State::Fresh, ignored(event))
            }
        }
    }

    fn resolving(&mut self, now: Now, arriving: Arriving, event: Event<'_>) -> Next {
        match event {
            Resolved(resolution) => self.resolved(now, arriving, resolution),
            Body { bytes, end } => match arriving.read(bytes, end, self.gateway.config.limits.request) {
                Ok(arriving) => (State::Resolving(arriving), Vec::new()),
                Err(refusal) => self.refuse(&refusal),
            },
            NoRoom(full) => self.refuse(&full.into()),
            BodyKeptBack => self.refuse(&Refusal::BodiesKeptBack),
            AnswerHead { status, envoys_code, .. } => self.envoy_refused(status, envoys_code),
            Closed(_) => (State::Replied, Vec::new()),
            Head { .. } => (State::Resolving(arriving), Vec::new()),
            event @ (AnswerBody { .. } | Opened(_) | Held(_) | Settled(_)) => {
                (State::Resolving(arriving), ignored(event))
            }
        }
    }

    fn reading(&mut self, now: Now, arriving: Arriving, account: Arc<Account>, event: Event<'_>) -> Next {
        match event {
            Body { bytes, end } => match arriving.read(bytes, end, self.gateway.config.limits.request) {
                Ok(arriving) => self.admit_when_complete(now, arriving, account),
                Err(refusal) => self.refuse(&refusal),
            },
            NoRoom(full) => self.refuse(&full.into()),
            BodyKeptBack => self.refuse(&Refusal::BodiesKeptBack),
            AnswerHead { status, envoys_code, .. } => self.envoy_refused(status, envoys_code),
            Closed(_) => (State::Replied, Vec::new()),
            Head { .. } | Resolved(_) => (State::Reading(arriving, account), Vec::new()),
            event @ (AnswerBody { .. } | Opened(_) | Held(_) | Settled(_)) => {
                (State::Reading(arriving, account), ignored(event))
            }
        }
    }

    fn opening(&mut self, now: Now, opening: Opening, event: Event<'_>) -> Next {
        match (opening.waits_for(), event) {
            (Reserving | ReservingAgain | GoingOn, Opened(opened)) => self.opened(now, opening, opened),
            (AskedAgain, Resolved(resolution)) => match resolution.active() {
                Ok(account) => self.open(opening.knows(&account)),
                Err(refusal) => self.refuse(&refusal),
            },
            (Reserving | AskedAgain | ReservingAgain | GoingOn, NoRoom(full)) => self.refuse(&full.into()),
            (Reserving | AskedAgain | ReservingAgain | GoingOn, AnswerHead { status, envoys_code, .. }) => {
                self.envoy_refused(status, envoys_code)
            }
            (Reserving | AskedAgain | ReservingAgain | GoingOn, Closed(_)) => (State::Replied, Vec::new()),
            (Reserving | ReservingAgain | GoingOn, Resolved(_))
            | (
                Reserving | AskedAgain | ReservingAgain | GoingOn,
                Head { .. } | Body { .. } | BodyKeptBack | AnswerBody { .. } | Held(_) | Settled(_),
            ) => (State::Opening(opening), Vec::new()),
            (AskedAgain, event @ Opened(_)) => (State::Opening(opening), ignored(event)),
        }
    }

    fn holding(&mut self, holding: Holding, event: Event<'_>) -> Next {
        match event {
            Held(reply) => self.held(holding, reply),
            NoRoom(full) => self.give_up(holding.given_up(), &full.into()),
            AnswerHead { status, envoys_code, .. } => {
                let (state, _) = self.envoy_refused(status, envoys_code);
                (state, vec![holding.given_up()])
            }
            Closed(_) => (State::Replied, vec![holding.given_up()]),
            Head { .. } | Body { .. } | BodyKeptBack | Resolved(_) => (State::Holding(holding), Vec::new()),
            event @ (AnswerBody { .. } | Opened(_) | Settled(_)) => (State::Holding(holding), ignored(event)),
        }
    }

    fn forwarded(&mut self, now: Now, forwarded: Forwarded, event: Event<'_>) -> Next {
        match event {
            AnswerHead { status, content_type, content_encoding, provider_request_id, envoys_code, end } => {
                match envoys_code {
                    Some(code) => self.story.envoy_replied(status, code, Outcome::ProviderFailed),
                    None => self.story.provider_answered(now.tick, status, provider_request_id),
                }
                let head = ProviderHead { status, request_id: provider_request_id.map(str::to_owned) };
                self.answered(now, forwarded.answered(now, head, (content_type, content_encoding)), end)
            }
            Closed(_) => (State::Over, vec![forwarded.closed(now, &mut self.story)]),
            Head { .. } | Body { .. } | BodyKeptBack | NoRoom(_) | Resolved(_) => {
                (State::Forwarded(forwarded), Vec::new())
            }
            event @ (AnswerBody { .. } | Opened(_) | Held(_) | Settled(_)) => {
                (State::Forwarded(forwarded), ignored(event))
            }
        }
    }

    fn answering(&mut self, now: Now, mut answering: Answering, event: Event<'_>) -> Next {
        match event {
            AnswerBody { bytes, end } => {
                let held_max = self.gateway.config.limits.held_answer;
                // The bytes must go first: the answer to a settlement comes back at once, within its effect.
                let effects = answering.read(now, bytes, end, held_max);
                if end { self.ended(now, answering, effects) } else { (State::Answering(answering), effects) }
            }
            // A second head is Envoy's own: the provider's answer broke off while its head was held.
            AnswerHead { status, envoys_code, .. } => {
                let charged = answering.broken_off(now, ClosedBy::Provider, &mut self.story);
                let code = envoys_code.unwrap_or_default();
                self.story.envoy_replied(status, code, Outcome::ProviderBrokeOff);
                (State::Over, vec![charged])
            }
            Closed(by) => (State::Over, vec![answering.broken_off(now, by, &mut self.story)]),
            Head { .. } | Body { .. } | BodyKeptBack | NoRoom(_) | Resolved(_) => {
                (State::Answering(answering), Vec::new())
            }
            event @ (Opened(_) | Held(_) | Settled(_)) => (State::Answering(answering), ignored(event)),
        }
    }

    fn settling(settling: Settling, event: Event<'_>) -> Next {
        match event {
            Settled(daily) => (State::Over, vec![settling.told(daily)]),
            Closed(_) => (State::Over, Vec::new()),
            Head { .. } | Body { .. } | BodyKeptBack | NoRoom(_) | Resolved(_) => {
                (State::Settling(settling), Vec::new())
            }
            event @ (AnswerHead { .. } | AnswerBody { .. } | Opened(_) | Held(_)) => {
                (State::Settling(settling), ignored(event))
            }
        }
    }

    fn at_ledger(&mut self, event: Event<'_>) -> Next {
        match event {
            AnswerHead { status, envoys_code, .. } => {
                self.story.another_answers(status, envoys_code);
                (State::AtLedger, Vec::new())
            }
            Closed(_) => (State::Over, Vec::new()),
            Head { .. } | Body { .. } | BodyKeptBack | NoRoom(_) | Resolved(_) => {
                (State::AtLedger, Vec::new())
            }
            event @ (AnswerBody { .. } | Opened(_) | Held(_) | Settled(_)) => {
                (State::AtLedger, ignored(event))
            }
        }
    }

    fn replaced(event: Event<'_>) -> Next {
        match event {
            Closed(_) => (State::Over, Vec::new()),
            Head { .. } | Body { .. } | BodyKeptBack | NoRoom(_) | Resolved(_) => {
                (State::Replaced, Vec::new())
            }
            event @ (AnswerHead { .. } | AnswerBody { .. } | Opened(_) | Held(_) | Settled(_)) => {
                (State::Replaced, ignored(event))
            }
        }
    }
}

/// The effects of an event that does not change the present state. If the gate has opened a call for which the
/// state does not wait, that call is released.
fn ignored(event: Event<'_>) -> Effects {
    match event {
        Opened(opened) => opened.ok().map(Effect::Release).into_iter().collect(),
        Head { .. } | Body { .. } | BodyKeptBack | NoRoom(_) | Resolved(_) => Vec::new(),
        AnswerHead { .. } | AnswerBody { .. } | Held(_) | Settled(_) | Closed(_) => Vec::new(),
    }
}

mod looks;
mod transitions;

#[cfg(test)]
#[path = "exchange_test.rs"]
mod tests;
