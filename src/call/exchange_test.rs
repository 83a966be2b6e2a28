#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

use super::*;
use crate::base::account::{Funding, Status, Tier};
use crate::base::clock::Moment;
use crate::base::pairs::Pairs;
use crate::base::pax::Pax;
use crate::base::wire::{HoldOutcome, HoldReply};
use crate::call::config::Config;
use crate::call::event::{AnswerHead, Forward, NoHold, Reply};
use crate::call::open_bodies::Full;
use crate::call::opening::OpeningStep;
use crate::debit::frozen::{Debit, Ending, Provenance};
use crate::memory::cap_bytes::Daily;
use crate::memory::gate::NotOpened;
use crate::memory::gate::fake::Gatekeeper;
use crate::memory::token_cache::Resolution;
use crate::price::bundle::Bundle;
use crate::reading::request::edits::apply;
use proptest::prelude::*;

const CONFIG: &str = r#"{
    "ledger": {"cluster": "ledger", "authority": "ledger"}, "hosts": ["gateway.test"],
    "limits": {"request_bytes": 4096, "held_answer_bytes": 200},
    "providers": {
        "fireworks": {"cluster": "fireworks", "authority": "api.test", "base_path": "/inference/v1", "stream_usage": "ask", "stops_at": "model_maximum", "own_keys": true},
        "mistral": {"cluster": "mistral", "authority": "mistral.test", "base_path": "/v1", "stream_usage": "always", "stops_at": "model_maximum", "own_keys": true}
    }
}"#;
const MODEL: &str = "accounts/fireworks/models/gpt-oss-20b";
/// At this time card v1 is in force, whose gpt-oss-20b costs USD 0.20 and 0.40 per million tokens.
const NOW: &str = "2026-06-01T12:00:00Z";

fn gateway() -> Rc<Gateway> {
    Rc::new(Gateway { config: Config::parse(CONFIG).unwrap(), bundle: Bundle::embedded().unwrap().into() })
}

fn now() -> Moment {
    NOW.parse().unwrap()
}

/// The account's day after every settlement.
const DAILY: Daily = Daily { spent: Pax::from_picopax(9_000_000_000_000), reserved: Pax::from_picopax(7) };

fn hold_reply(outcome: HoldOutcome) -> HoldReply {
    let [balance_pax, held_pax, spent_pax] = ["100", "40", "3"].map(|pax| pax.parse().unwrap());
    HoldReply { outcome, balance_pax, held_pax, spent_pax, limit_pax: None, message: None }
}

/// A driver of one exchange: it does the effects that matter, and keeps them for the test.
struct Drive {
    exchange: Exchange,
    /// What comes of the next [`Effect::Open`].
    opens: Result<(), NotOpened>,
    /// The ledger's answer to every hold; none if it has not answered yet.
    holds: Option<Result<HoldReply, NoHold>>,
    /// What was to be held.
    held: Vec<(Option<Pax>, Option<Pax>)>,
    gate: Gatekeeper,
    asked: Vec<bool>,
    tier: Tier,
    debits: Vec<Debit>,
    reply: Option<Reply>,
    forward: Option<Forward>,
    head: Option<AnswerHead>,
    replaced: Option<Vec<u8>>,
    key_refused: Vec<(String, u16)>,
}

impl Drive {
    fn new() -> Self {
        let exchange = Exchange::new(gateway());
        Self {
            exchange,
            opens: Ok(()),
            holds: Some(Ok(hold_reply(HoldOutcome::Held))),
            held: Vec::new(),
            gate: Gatekeeper::new(),
            asked: Vec::new(),
            tier: Tier::Credit,
            debits: Vec::new(),
            reply: None,
            forward: None,
            head: None,
            replaced: None,
            key_refused: Vec::new(),
        }
    }

    fn step(&mut self, event: Event<'_>) -> &mut Self {
        self.replaced = None;
        self.effects(event);
        self
    }

    fn effects(&mut self, event: Event<'_>) {
        for effect in self.exchange.step(Now::at(now()), event) {
            match effect {
                Effect::Resolve { fresh, utc_day, .. } => {
                    assert_eq!(utc_day, now().day());
                    self.asked.push(fresh);
                }
                Effect::Open { admission, .. } => {
                    let opened = self.opens.and_then(|()| self.gate.open(&admission));
                    self.effects(Event::Opened(opened));
                }
                Effect::Hold { admission, card_cap } => {
                    self.held.push((admission.hold, card_cap));
                    if let Some(answer) = self.holds.clone() {
                        self.effects(Event::Held(answer));
                    }
                }
                Effect::GoOn(owed) => {
                    let opened = self.gate.go_on(owed);
                    self.effects(Event::Opened(opened));
                }
                Effect::Settle { owed, debit } => {
                    self.gate.settle(owed, &debit);
                    self.debits.push(*debit);
                    let daily = (self.tier == Tier::Free).then_some(DAILY);
                    self.effects(Event::Settled(daily));
                }
                Effect::Release(owed) => self.gate.release(owed),
                Effect::Reply(reply) => {
                    assert!(self.reply.replace(reply).is_none(), "one reply is enough");
                }
                Effect::Forward(forward) => {
                    assert!(self.forward.replace(*forward).is_none(), "forwarded twice");
                }
                Effect::KeyRefused { provider, status } => self.key_refused.push((provider, status)),
                Effect::AnswerHead(head) => self.head = Some(head),
                Effect::ReplaceBody(bytes) => self.replaced = Some(bytes),
            }
        }
    }

    fn head_of(&mut self, headers: &[(&str, &str)], end: bool) -> &mut Self {
        let named = headers.iter().any(|(name, _)| *name == ":authority");
        let host = (!named).then_some((":authority", "gateway.test"));
        let headers: Vec<_> = host.iter().chain(headers).copied().collect();
        self.step(Event::Head {
            headers: &Pairs::of(&headers),
            end,
            random: [7; 10],
            outbox_has_room: true,
            ledger_answers: true,
        })
    }

    fn chat(&mut self) -> &mut Self {
        self.head_of(
            &[
                (":method", "POST"),
                (":path", "/v1/chat/completions"),
                ("authorization", "Bearer t"),
                ("cookie", "c"),
            ],
            false,
        )
    }

    fn resolved(&mut self, status: Status) -> &mut Self {
        let account = Account {
            account: "acme".to_owned(),
            tier: self.tier,
            status,
            token_id: "tok_1".to_owned(),
            daily_cap_pax: None,
            canon_v: 2,
        };
        self.step(Event::Resolved(Resolution::Account(Arc::new(account))))
    }

    fn body(&mut self, text: &str) -> &mut Self {
        self.step(Event::Body { bytes: text.as_bytes(), end: true })
    }

    /// A call that was forwarded.
    fn forwarded(body: &str) -> Self {
        let mut drive = Self::new();
        drive.chat().resolved(Status::Active).body(body);
        assert!(drive.forward.is_some(), "{:?}", drive.reply);
        assert!(!drive.exchange.request_waits());
        drive
    }

    fn answer_head(&mut self, status: u16, content_type: &str) -> &mut Self {
        let content_type = content_type.as_bytes();
        self.step(Event::AnswerHead {
            status,
            content_type,
            content_encoding: b"",
            provider_request_id: None,
            envoys_code: None,
            end: false,
        })
    }

    fn answer(&mut self, text: &str, end: bool) -> &mut Self {
        self.step(Event::AnswerBody { bytes: text.as_bytes(), end })
    }

    /// How many calls were opened and neither settled nor released.
    fn owed(&self) -> usize {
        self.gate.owed()
    }

    fn code(&self) -> String {
        let body: serde_json::Value =
            serde_json::from_slice(&self.reply.as_ref().expect("no reply").body).unwrap();
        format!("{} {}", self.reply.as_ref().unwrap().status, body["error"]["code"].as_str().unwrap())
    }

    fn header(&self, name: &str) -> Option<&str> {
        let head = self.head.as_ref()?;
        head.add.iter().find(|(key, _)| *key == name).map(|(_, value)| value.as_str())
    }

    fn debit(&self) -> &Debit {
        assert_eq!(self.debits.len(), 1, "{:?}", self.debits);
        self.debits[0].prove(&gateway().bundle).expect("a debit proves itself");
        &self.debits[0]
    }
}

fn hello() -> String {
    format!(r#"{{"model":"{MODEL}","messages":[{{"role":"user","content":"Hello"}}]}}"#)
}

fn stream() -> String {
    format!(
        r#"{{"model":"{MODEL}","stream":true,"max_tokens":50,"messages":[{{"role":"user","content":"Hello"}}]}}"#
    )
}

const USAGE: &str = r#""usage":{"prompt_tokens":100000,"completion_tokens":30000}"#;

#[test]
fn a_call_whose_body_envoy_keeps_back_is_refused_before_and_after_its_token_is_known() {
    for known in [false, true] {
        let mut drive = Drive::new();
        drive.chat();
        if known {
            drive.resolved(Status::Active);
        }
        assert!(drive.exchange.request_waits() && drive.exchange.reads_body());
        drive.step(Event::BodyKeptBack);
        let reply = drive.reply.take().expect("an answer");
        let text = String::from_utf8(reply.body).unwrap();
        assert_eq!(reply.status, 503);
        assert!(
            text.contains("gateway_disabled") && text.contains("allow_on_headers_stop_iteration"),
            "{text}"
        );
        assert!(drive.exchange.request_waits() && !drive.exchange.reads_body());
        assert_eq!(drive.owed(), 0);
    }
}

#[test]
fn a_json_call_is_held_priced_and_debited() {
    let mut drive = Drive::forwarded(&hello());
    let forward = drive.forward.clone().unwrap();
    assert_eq!(forward.mark, "fireworks");
    assert_eq!(forward.edits, []);
    assert_eq!(forward.content_length, Some(hello().len() as u64));
    let names: Vec<&str> = forward.headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, [":method", ":path", ":authority", "content-type", "accept-encoding"], "an allow-list");
    assert!(forward.headers.contains(&(":path".to_owned(), b"/inference/v1/chat/completions".to_vec())));

    drive.answer_head(200, "application/json");
    assert!(drive.exchange.answer_waits() && drive.head.is_none());
    drive.answer(r#"{"id":"r1","choices":[{"message":{"content":"Hi"}}],"#, false);
    assert!(drive.exchange.answer_waits() && drive.debits.is_empty());
    drive.answer(&format!("{USAGE}}}"), true);
    assert!(!drive.exchange.answer_waits());
    assert_eq!(drive.header("x-matrix-cost-pax"), Some("0.002799650080"));
    assert_eq!(drive.header("x-matrix-rate-table-version"), Some("1"));
    let debit = drive.debit();
    assert_eq!(drive.header("x-matrix-exchange-id"), Some(debit.exchange_id.to_string().as_str()));
    assert_eq!(debit.cost_pax.to_string(), "0.002799650080");
    assert_eq!(
        (debit.account.as_str(), debit.slot.as_str(), debit.token_id.as_str()),
        ("acme", "default", "tok_1")
    );
    assert_eq!(debit.response_id.as_deref(), Some("r1"));
    assert_eq!(debit.usage.as_deref(), Some(r#"{"prompt_tokens":100000,"completion_tokens":30000}"#));
    assert_eq!((debit.provenance, debit.ending), (Provenance::Reported, Ending::Complete));
    drive.step(Event::Closed(ClosedBy::Caller));
    assert_eq!(drive.debits.len(), 1, "closing settles nothing twice");
}

#[test]
fn a_stream_reports_usage_and_the_caller_does_not_see_it() {
    let mut drive = Drive::forwarded(&stream());
    assert_eq!(drive.forward.as_ref().unwrap().edits.len(), 1);
    drive.answer_head(200, "text/event-stream; charset=utf-8");
    assert!(!drive.exchange.answer_waits(), "a stream does not wait");
    assert!(drive.head.as_ref().unwrap().length_changes);
    assert_eq!(drive.header("x-matrix-cost-pax"), None);
    drive.answer("data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"}}]}\n\n", false);
    assert_eq!(drive.replaced, None);
    drive.answer(&format!("data: {{\"choices\":[],{USAGE}}}\n\n"), false);
    assert_eq!(drive.replaced.as_deref(), Some(&b""[..]));
    drive.answer("data: [DONE]\n\n", true);
    assert_eq!(drive.debit().tokens_output.0, 30_000);
    assert!(drive.debit().stream);
}

#[test]
fn usage_that_the_caller_asked_for_stays() {
    let asked =
        stream().replace("\"stream\":true", "\"stream\":true,\"stream_options\":{\"include_usage\":true}");
    let mut drive = Drive::forwarded(&asked);
    assert_eq!(drive.forward.as_ref().unwrap().edits, []);
    drive.answer_head(200, "text/event-stream");
    assert!(!drive.head.as_ref().unwrap().length_changes);
    drive.answer(&format!("data: {{\"choices\":[],{USAGE}}}\n\n"), true);
    assert_eq!(drive.replaced, None);
    assert_eq!(drive.debit().tokens_input.0, 100_000);
}

proptest! {
    /// Whatever happens in whatever order: never two debits, none without a forward, and one for each call that
    /// was answered with 2xx.
    #[test]
    fn in_any_order_of_events_a_call_is_settled_exactly_once(steps in prop::collection::vec(0u8..17, 1..14)) {
        let mut drive = Drive::new();
        let mut answered = false;
        for step in steps {
            let was_forwarded = drive.exchange.is_forwarded();
            match step {
                0 => { if drive.exchange.id.is_none() { drive.chat(); } }
                1 => { drive.resolved(Status::Active); }
                2 => { drive.body(&stream()); }
                3 => { drive.step(Event::Body { bytes: b"{", end: false }); }
                4 => { drive.answer_head(200, "application/json"); answered |= was_forwarded; }
                5 => { drive.answer_head(200, "text/event-stream"); answered |= was_forwarded; }
                6 => { drive.answer_head(503, "text/plain"); }
                15 => { drive.answer_head(401, "application/json"); }
                16 => { drive.answer_head(101, ""); }
                7 => { drive.answer(&format!("{{\"choices\":[{{}}],{USAGE}}}"), false); }
                8 => { drive.answer("data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\n", false); }
                9 => { drive.answer("", true); }
                10 => { drive.step(Event::Resolved(Resolution::Unknown)); }
                11 => drive.opens = Err(NotOpened::Unknown),
                12 => drive.opens = Err(NotOpened::Busy),
                13 => drive.opens = Ok(()),
                _ => { drive.step(Event::Closed(ClosedBy::Caller)); }
            }
            prop_assert!(drive.owed() <= 1, "settled or released twice, or opened twice");
            prop_assert!(drive.debits.len() <= 1);
            prop_assert!(drive.debits.is_empty() || drive.forward.is_some());
            let replaced = drive.forward.is_some() && drive.reply.is_some();
            prop_assert!(!replaced || drive.debits.is_empty() && drive.owed() == 0, "a replaced answer is free");
            prop_assert!(!replaced || drive.reply.as_ref().is_some_and(|reply| reply.status == 502));
            prop_assert!(
                drive.reply.is_none() || replaced || drive.exchange.request_waits(),
                "a refused request stays"
            );
        }
        drive.step(Event::Closed(ClosedBy::Caller));
        prop_assert!(!answered || drive.debits.len() == 1, "a call that was answered is recorded");
        prop_assert!(!drive.exchange.answer_waits());
        prop_assert_eq!(drive.owed(), 0, "a record or a reservation is left behind");
    }
}

#[path = "exchange/endings_test.rs"]
mod endings;
#[path = "exchange/gate_test.rs"]
mod gate;
#[path = "exchange/holds_test.rs"]
mod holds;
#[path = "exchange/models_test.rs"]
mod models_of_a_caller;
#[path = "exchange/pairs_test.rs"]
mod pairs;
#[path = "exchange/prices_test.rs"]
mod prices;
#[path = "exchange/refused_test.rs"]
mod refused;
#[path = "exchange/story_test.rs"]
mod story;
#[path = "exchange/tally_test.rs"]
mod tally;
