//! Plays every event in every state, and after it every other event: no refused request goes on, no call is
//! settled twice, and no settlement or release is lost.
//!
//! The matches of `exchange` on states and events have no catch-all arm. So the compiler demands that a new
//! state says whether it waits, and what each event does in it. [`state_number`] and [`event_number`] make the
//! compiler demand new plays here, too.

use super::*;
use crate::base::pairs::Pairs;
use crate::debit::admission::Admission;
use crate::memory::gate::Owed;
use std::collections::BTreeSet;

/// An exchange and the real gate. The gate's answer reaches the exchange only when the test delivers it.
struct Play {
    exchange: Exchange,
    gate: Gatekeeper,
    admission: Option<Rc<Admission>>,
    /// What the gate has answered to the exchange that goes on, until the test delivers it.
    going_on: Option<Result<Owed, NotOpened>>,
    events: BTreeSet<usize>,
    forwards: usize,
    replies: usize,
    settled: usize,
    released: usize,
    refused: bool,
}

type Makes = fn() -> Play;
type Happens = fn(&mut Play);

thread_local! {
    /// One for all plays: reading the cards takes longer than a play.
    static GATEWAY: Rc<Gateway> = {
        let credits = r#"{"credits": {"cluster": "credits", "authority": "ledger"},"#;
        let config = Config::parse(&CONFIG.replacen('{', credits, 1)).unwrap();
        Rc::new(Gateway { config, bundle: gateway().bundle.clone() })
    };
}

const HEAD: &[(&str, &str)] = &[
    (":method", "POST"),
    (":path", "/v1/chat/completions"),
    (":authority", "gateway.test"),
    ("authorization", "Bearer t"),
];
const CREDITS: &[(&str, &str)] = &[
    (":method", "GET"),
    (":path", "/v1/credits"),
    (":authority", "gateway.test"),
    ("authorization", "Bearer t"),
];

impl Play {
    fn new() -> Self {
        Self {
            exchange: Exchange::new(GATEWAY.with(Rc::clone)),
            gate: Gatekeeper::new(),
            admission: None,
            going_on: None,
            events: BTreeSet::new(),
            forwards: 0,
            replies: 0,
            settled: 0,
            released: 0,
            refused: false,
        }
    }

    /// A call that was just admitted.
    fn reserving() -> Self {
        let mut play = Self::new();
        play.head(HEAD);
        play.resolves(Resolution::Account(account(Status::Active)));
        play.body(&stream(), true);
        play
    }

    fn asked_again() -> Self {
        let mut play = Self::reserving();
        play.step(Event::Opened(Err(NotOpened::Unknown)));
        play
    }

    fn holding() -> Self {
        let mut play = Self::reserving();
        play.opens();
        play
    }

    fn going_on() -> Self {
        let mut play = Self::holding();
        play.holds(HoldOutcome::Held);
        play
    }

    fn forwarded() -> Self {
        let mut play = Self::going_on();
        play.opens();
        play
    }

    fn answering(content_type: &str) -> Self {
        let mut play = Self::forwarded();
        play.answer_head(200, content_type, None, false);
        play
    }

    /// Carries out the exchange's effects, and checks after every step what must always hold.
    fn step(&mut self, event: Event<'_>) {
        self.events.insert(event_number(&event));
        let closes_unsent = matches!(event, Event::Closed(_)) && self.forwards == 0;
        for effect in self.exchange.step(Now::at(now()), event) {
            match effect {
                Effect::Open { admission, .. } => self.admission = Some(admission),
                Effect::GoOn(owed) => self.going_on = Some(self.gate.go_on(owed)),
                Effect::Settle { owed, debit } => {
                    self.settled += 1;
                    self.gate.settle(owed, &debit);
                }
                Effect::Release(owed) => {
                    self.released += 1;
                    self.gate.release(owed);
                }
                Effect::Forward(_) => self.forwards += 1,
                Effect::Reply(_) => {
                    self.replies += 1;
                    self.refused |= self.forwards == 0;
                }
                Effect::Resolve { .. }
                | Effect::Hold { .. }
                | Effect::AnswerHead(_)
                | Effect::KeyRefused { .. }
                | Effect::ReplaceBody(_) => {}
            }
        }
        self.refused |= closes_unsent;
        let under_way = self.going_on.as_ref().is_some_and(Result::is_ok);
        let owed = usize::from(self.exchange.owes()) + usize::from(under_way);
        assert_eq!(self.gate.owed(), owed, "what is owed is in the state alone, or on its way to it");
        assert_eq!(self.exchange.request_waits(), self.forwards == 0, "a request goes on by being forwarded");
        assert!(self.forwards <= 1 && self.replies <= 1 && self.settled <= 1, "once");
        assert!(!self.refused || self.forwards == 0, "a refused request goes on");
    }

    fn head(&mut self, headers: &[(&str, &str)]) {
        let (end, random, outbox_has_room, ledger_answers) = (false, [7; 10], true, true);
        self.step(Event::Head { headers: &Pairs::of(headers), end, random, outbox_has_room, ledger_answers });
    }

    fn resolves(&mut self, resolution: Resolution) {
        self.step(Event::Resolved(resolution));
    }

    fn body(&mut self, text: &str, end: bool) {
        self.step(Event::Body { bytes: text.as_bytes(), end });
    }

    fn holds(&mut self, outcome: HoldOutcome) {
        self.step(Event::Held(Ok(hold_reply(outcome))));
    }

    /// The gate lets the exchange go on, or opens a call: the one of this exchange, or one that the exchange does not know.
    fn opens(&mut self) {
        if let Some(opened) = self.going_on.take() {
            return self.step(Event::Opened(opened));
        }
        let admission = match &self.admission {
            Some(admission) => Rc::clone(admission),
            None => Self::reserving().admission.unwrap(),
        };
        let opened = self.gate.open(&admission);
        self.step(Event::Opened(opened));
    }

    fn answer_head(&mut self, status: u16, content_type: &str, envoys_code: Option<&str>, end: bool) {
        let (content_type, content_encoding) = (content_type.as_bytes(), b"".as_slice());
        let provider_request_id = None;
        self.step(Event::AnswerHead {
            status,
            content_type,
            content_encoding,
            provider_request_id,
            envoys_code,
            end,
        });
    }

    fn answer(&mut self, text: &str, end: bool) {
        self.step(Event::AnswerBody { bytes: text.as_bytes(), end });
    }
}

fn account(status: Status) -> Arc<Account> {
    Arc::new(Account {
        account: "acme".to_owned(),
        tier: Tier::Credit,
        status,
        token_id: "tok_1".to_owned(),
        daily_cap_pax: None,
        canon_v: 2,
    })
}

/// Which of [`STATES`] kinds of states it is. `Opening` is four of them.
fn state_number(state: &State) -> usize {
    match state {
        State::Fresh => 0,
        State::Resolving(_) => 1,
        State::Reading(..) => 2,
        State::Opening(opening) => match opening.waits_for() {
            OpeningStep::Reserving => 3,
            OpeningStep::AskedAgain => 4,
            OpeningStep::ReservingAgain => 5,
            OpeningStep::GoingOn => 13,
        },
        State::Holding(_) => 14,
        State::Forwarded(_) => 6,
        State::Answering(_) => 7,
        State::Settling(_) => 8,
        State::AtLedger => 9,
        State::Replied => 10,
        State::Replaced => 11,
        State::Over => 12,
    }
}
const STATES: usize = 15;

/// Which of [`EVENTS`] kinds of events it is.
const fn event_number(event: &Event<'_>) -> usize {
    match event {
        Event::Head { .. } => 0,
        Event::Resolved(_) => 1,
        Event::NoRoom(_) => 2,
        Event::BodyKeptBack => 3,
        Event::Body { .. } => 4,
        Event::AnswerHead { .. } => 5,
        Event::AnswerBody { .. } => 6,
        Event::Opened(_) => 7,
        Event::Settled(_) => 8,
        Event::Closed(_) => 9,
        Event::Held(_) => 10,
    }
}
const EVENTS: usize = 11;

/// An exchange in each state.
const IN: &[(&str, Makes)] = &[
    ("fresh", Play::new),
    ("resolving", || after(Play::new(), |it| it.head(HEAD))),
    ("resolving, its body there", || {
        after(Play::new(), |it| {
            it.head(HEAD);
            it.body(&stream(), true);
        })
    }),
    ("resolving, for its credits", || after(Play::new(), |it| it.head(CREDITS))),
    ("reading", || {
        after(Play::new(), |it| {
            it.head(HEAD);
            it.resolves(Resolution::Account(account(Status::Active)));
        })
    }),
    ("reserving", Play::reserving),
    ("asked again", Play::asked_again),
    ("reserving again", || {
        after(Play::asked_again(), |it| it.resolves(Resolution::Account(account(Status::Active))))
    }),
    ("holding", Play::holding),
    ("going on", Play::going_on),
    ("forwarded", Play::forwarded),
    ("answering, held", || Play::answering("application/json")),
    ("answering, a stream", || Play::answering("text/event-stream")),
    ("settling", || {
        after(Play::answering("application/json"), |it| it.answer(&format!("{{{USAGE}}}"), true))
    }),
    ("at the ledger", || {
        after(Play::new(), |it| {
            it.head(CREDITS);
            it.resolves(Resolution::Account(account(Status::Active)));
        })
    }),
    ("replied", || after(Play::new(), |it| it.head(&[]))),
    ("closed before it was forwarded", || {
        after(Play::reserving(), |it| it.step(Event::Closed(ClosedBy::Caller)))
    }),
    ("closed before its hold was answered", || {
        after(Play::holding(), |it| it.step(Event::Closed(ClosedBy::Caller)))
    }),
    ("replaced", || after(Play::forwarded(), |it| it.answer_head(401, "", None, false))),
    ("over", || after(Play::forwarded(), |it| it.answer_head(429, "", None, false))),
];

fn after(mut play: Play, happens: Happens) -> Play {
    happens(&mut play);
    play
}

const HAPPENS: &[(&str, Happens)] = &[
    ("a head", |it| it.head(HEAD)),
    ("a head that is refused", |it| it.head(&[])),
    ("an account", |it| it.resolves(Resolution::Account(account(Status::Active)))),
    ("a disabled account", |it| it.resolves(Resolution::Account(account(Status::Disabled)))),
    ("nobody's token", |it| it.resolves(Resolution::Unknown)),
    ("no room", |it| it.step(Event::NoRoom(Full::Account))),
    ("a body kept back", |it| it.step(Event::BodyKeptBack)),
    ("some body", |it| it.body(" ", false)),
    ("a body", |it| it.body(&stream(), true)),
    ("a body too large", |it| it.body(&" ".repeat(5_000), false)),
    ("a JSON answer", |it| it.answer_head(200, "application/json", None, false)),
    ("a stream", |it| it.answer_head(200, "text/event-stream", None, false)),
    ("an answer without a body", |it| it.answer_head(200, "application/json", None, true)),
    ("a provider's error", |it| it.answer_head(429, "application/json", None, false)),
    ("the platform's key refused", |it| it.answer_head(401, "application/json", None, false)),
    ("no answer", |it| it.answer_head(101, "", None, false)),
    ("Envoy's own answer", |it| it.answer_head(503, "", Some("upstream_unavailable"), false)),
    ("some answer", |it| it.answer("data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\n", false)),
    ("the answer's end", |it| it.answer(&format!("{{{USAGE}}}"), true)),
    ("an answer that is an error", |it| it.answer("{\"error\":{}}", true)),
    ("an opening", Play::opens),
    ("a full day", |it| it.step(Event::Opened(Err(NotOpened::Exceeded(DAILY))))),
    ("a day that is not known", |it| it.step(Event::Opened(Err(NotOpened::Unknown)))),
    ("no place", |it| it.step(Event::Opened(Err(NotOpened::Busy)))),
    ("a hold", |it| it.holds(HoldOutcome::Held)),
    ("no credit", |it| it.holds(HoldOutcome::InsufficientCredit)),
    ("a hold that is closed", |it| it.holds(HoldOutcome::Closed)),
    ("no answer to the hold", |it| it.step(Event::Held(Err(NoHold::NotAnswered)))),
    ("a hold that is not asked for", |it| it.step(Event::Held(Err(NoHold::NotAsked)))),
    ("a settlement", |it| it.step(Event::Settled(Some(DAILY)))),
    ("the caller hangs up", |it| it.step(Event::Closed(ClosedBy::Caller))),
    ("the provider breaks off", |it| it.step(Event::Closed(ClosedBy::Provider))),
];

/// Runs one play; what fails in it is told with its name.
fn told(name: &str, play: impl FnOnce()) {
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(play));
    assert!(outcome.is_ok(), "in: {name}");
}

#[test]
fn every_state_and_every_event_are_met() {
    let states: BTreeSet<usize> = IN.iter().map(|(_, make)| state_number(&make().exchange.state)).collect();
    assert_eq!(states, (0..STATES).collect());
    let mut play = Play::new();
    HAPPENS.iter().for_each(|(_, happens)| happens(&mut play));
    assert_eq!(play.events, (0..EVENTS).collect());
}

#[test]
fn whatever_two_events_a_state_meets_nothing_owed_is_lost_and_nothing_refused_goes_on() {
    for (state, make) in IN {
        for (first, happens) in HAPPENS {
            for (second, happens_then) in HAPPENS {
                told(&format!("{state}, {first}, {second}"), || {
                    let mut play = make();
                    let opened = play.exchange.owes();
                    happens(&mut play);
                    happens_then(&mut play);
                    play.step(Event::Closed(ClosedBy::Caller));
                    if play.going_on.is_some() {
                        play.opens();
                    }
                    assert!(!play.exchange.owes() && play.gate.owed() == 0, "something is left behind");
                    assert!(!opened || play.settled + play.released > 0, "what was owed came to no end");
                    assert!(play.admission.is_some() || play.settled == 0, "settled what was never opened");
                });
            }
        }
    }
}

/// If a step is ever left before it has put the next state in, the exchange is in `Replied`: its request waits
/// for ever, whatever event comes.
#[test]
fn a_step_that_is_left_half_way_leaves_a_request_that_waits_for_ever() {
    for (state, make) in IN {
        for (event, happens) in HAPPENS {
            told(&format!("{state}, {event}"), || {
                let mut play = make();
                drop(play.exchange.take_state());
                assert!(play.exchange.request_waits() && !play.exchange.owes());
                // From here on only what this exchange does counts; what was forwarded before does not.
                let mut left = Play { exchange: play.exchange, ..Play::new() };
                happens(&mut left);
                assert!(left.exchange.request_waits() && left.replies == 0 && left.settled == 0);
            });
        }
    }
}
