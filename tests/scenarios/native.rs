//! The scenarios against the core alone: `Exchange::step`, with every body whole and in single bytes, the account
//! known before the body or after it, and the answer cut in two at every byte.

use crate::check::{Request, Seen};
use crate::common::memory::Gatekeeper;
use crate::common::prices::first_two_cards;
use crate::format::{Provider, Scenario};
use pax_gateway::account::{Account, Status, Tier};
use pax_gateway::clock::Now;
use pax_gateway::config::{Config, Gateway};
use pax_gateway::digest::Digest;
use pax_gateway::event::{AnswerHead, ClosedBy, Effect, Event, Forward, Reply};
use pax_gateway::exchange::Exchange;
use pax_gateway::request_edits::apply;
use pax_gateway::token_cache::Resolution;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

/// Card v1 is in force.
const NOON: &str = "2026-06-01T12:00:00Z";

/// As the stack's, where every provider is one server.
fn config() -> Config {
    let provider = |usage| {
        serde_json::json!({
            "cluster": "p", "authority": "provider.test", "base_path": "/v1", "stream_usage": usage, "stops_at": "model_maximum", "own_keys": true
        })
    };
    let mut config = serde_json::json!({
        "ledger": {"cluster": "ledger", "authority": "ledger"}, "hosts": ["gateway.test"],
        "providers": {
            "fireworks": provider("ask"), "openai": provider("ask"), "groq": provider("ask"),
            "deepseek": provider("ask"), "together": provider("ask"), "mistral": provider("always")
        }
    });
    config["providers"]["together"]["usage_rules"] = "additional/1".into();
    // And one that takes no key of a caller's own.
    config["providers"]["xai"] = provider("ask");
    config["providers"]["xai"]["own_keys"] = false.into();
    config["providers"]["deepseek"]["platform_funding"] = false.into();
    config["providers"]["xai"]["model_patterns"] = serde_json::json!(["grok-*"]);
    Config::parse(&config.to_string()).unwrap()
}

/// How a run differs from the others that should see the same.
#[derive(Clone, Copy, Debug)]
struct Variant {
    request_bytes: usize,
    answer: Cut,
    body_first: bool,
}

/// How an answer comes.
#[derive(Clone, Copy, Debug)]
enum Cut {
    /// In pieces of so many bytes.
    Every(usize),
    /// In two, the first of so many.
    At(usize),
}

const VARIANTS: [Variant; 4] = [
    Variant { request_bytes: usize::MAX, answer: Cut::Every(usize::MAX), body_first: false },
    Variant { request_bytes: 1, answer: Cut::Every(1), body_first: false },
    Variant { request_bytes: usize::MAX, answer: Cut::Every(7), body_first: true },
    Variant { request_bytes: 3, answer: Cut::Every(64), body_first: true },
];

/// Runs a scenario in all variants.
pub fn run(scenario: &Scenario) {
    let gateway = Rc::new(Gateway { config: config(), bundle: first_two_cards().into() });
    let length = scenario.provider.as_ref().map_or(0, |provider| provider.body().len());
    let cuts = (1..length).map(|at| Variant { answer: Cut::At(at), ..VARIANTS[0] });
    for variant in VARIANTS.into_iter().chain(cuts) {
        let seen = Drive::new(scenario, variant, Rc::clone(&gateway)).run();
        let told = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| seen.check(scenario)));
        if let Err(panic) = told {
            let text = panic.downcast_ref::<String>().cloned().unwrap_or_default();
            panic!("{variant:?}\n{text}");
        }
    }
}

struct Drive<'a> {
    scenario: &'a Scenario,
    variant: Variant,
    now: Now,
    gateway: Rc<Gateway>,
    exchange: Exchange,
    gate: Gatekeeper,
    token: Option<Digest>,
    reply: Option<Reply>,
    forward: Option<Forward>,
    head: Option<AnswerHead>,
    replaced: Option<Vec<u8>>,
    seen: Seen,
}

impl<'a> Drive<'a> {
    fn new(scenario: &'a Scenario, variant: Variant, gateway: Rc<Gateway>) -> Self {
        let now = Now::at(scenario.clock.as_deref().unwrap_or(NOON).parse().unwrap());
        Self {
            scenario,
            variant,
            now,
            exchange: Exchange::new(Rc::clone(&gateway)),
            gate: Gatekeeper::new(now),
            gateway,
            token: None,
            reply: None,
            forward: None,
            head: None,
            replaced: None,
            seen: Seen::default(),
        }
    }

    fn step(&mut self, event: Event<'_>) {
        for effect in self.exchange.step(self.now, event) {
            if let Effect::Settle { debit, .. } = &effect {
                debit.prove(&self.gateway.bundle).unwrap();
                let entry = serde_json::from_slice(&debit.to_canonical()).unwrap();
                assert!(self.seen.entry.replace(entry).is_none(), "debited twice");
            }
            let effect = match self.gate.does(effect, self.now) {
                Ok(event) => {
                    event.into_iter().for_each(|event| self.step(event));
                    continue;
                }
                Err(effect) => effect,
            };
            match effect {
                Effect::Resolve { token, .. } => self.token = Some(token),
                Effect::Reply(reply) => assert!(self.reply.replace(reply).is_none(), "answered twice"),
                Effect::Forward(forward) => {
                    assert!(self.forward.replace(*forward).is_none(), "forwarded twice");
                }
                Effect::AnswerHead(head) => self.head = Some(head),
                Effect::ReplaceBody(bytes) => self.replaced = Some(bytes),
                Effect::KeyRefused { .. } => {}
                effect @ (Effect::Open { .. } | Effect::Settle { .. } | Effect::Release(_)) => {
                    panic!("the gate left {effect:?} undone")
                }
            }
        }
    }

    fn run(mut self) -> Seen {
        let host = self.scenario.host.as_deref().unwrap_or("gateway.test");
        let mut headers = vec![
            (":method".to_owned(), self.scenario.method.clone().into_bytes()),
            (":path".to_owned(), self.scenario.path.clone().into_bytes()),
            (":authority".to_owned(), host.as_bytes().to_vec()),
            (":scheme".to_owned(), b"http".to_vec()),
        ];
        headers.extend(
            self.scenario.headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone())),
        );
        let end = self.scenario.body.is_none();
        self.step(Event::Head {
            headers: &headers,
            end,
            random: [7; 10],
            outbox_has_room: true,
            ledger_answers: true,
        });
        if !self.variant.body_first {
            self.resolve();
        }
        let body = self.scenario.body.clone().unwrap_or_default();
        let mut pieces = pieces(&body, self.variant.request_bytes).peekable();
        while let Some(bytes) = pieces.next() {
            if self.exchange.reads_body() {
                let end = pieces.peek().is_none();
                self.step(Event::Body { bytes, end });
            }
        }
        self.resolve();
        // What was refused never goes on; what was forwarded does.
        match (self.reply.take(), self.forward.take()) {
            (Some(reply), None) => {
                assert!(self.exchange.request_waits(), "a refused request would go on");
                self.replied(reply);
            }
            (None, Some(forward)) => {
                assert!(!self.exchange.request_waits(), "the request waits");
                self.forwarded(&forward, &body);
            }
            both => panic!("neither answered nor forwarded, or both: {both:?}"),
        }
        assert!(!self.exchange.answer_waits(), "the answer waits");
        assert!(!self.gate.owes(), "a record is left behind");
        self.seen
    }

    /// The ledger answers, if it was asked.
    fn resolve(&mut self) {
        let Some(token) = self.token.take() else { return };
        let resolution = accounts(&self.scenario.ledger)
            .into_iter()
            .find(|(known, _)| Digest::of(&[known.as_bytes()]) == token)
            .map_or(Resolution::Unknown, |(_, account)| Resolution::Account(Arc::new(account)));
        if let Resolution::Account(account) = &resolution {
            self.gate.knows(&account.account, self.now);
        }
        self.step(Event::Resolved(resolution));
    }

    fn replied(&mut self, reply: Reply) {
        self.seen.status = reply.status;
        self.seen.headers =
            reply.headers.into_iter().map(|(name, value)| (name.to_owned(), value.into_bytes())).collect();
        self.seen.headers.push(("content-type".to_owned(), b"application/json".to_vec()));
        self.seen.body = reply.body;
        self.seen.complete = true;
        self.step(Event::Closed(ClosedBy::Caller));
    }

    fn forwarded(&mut self, forward: &Forward, body: &[u8]) {
        let value = |name: &str| {
            let found = forward.headers.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).unwrap_or_default()
        };
        // `:scheme` and the like are not headers on the wire, and the authority is its `host`.
        let headers = forward.headers.iter().filter(|(name, _)| !name.starts_with(':'));
        let mut headers: Vec<(String, String)> = headers
            .map(|(name, value)| (name.clone(), String::from_utf8_lossy(value).into_owned()))
            .collect();
        headers.push(("host".to_owned(), value(":authority")));
        headers
            .extend(forward.content_length.map(|length| ("content-length".to_owned(), length.to_string())));
        let line = format!("{} {}", value(":method"), value(":path"));
        self.seen.upstream = Some(Request { line, headers, body: apply(body, &forward.edits) });
        let provider = self.scenario.provider.as_ref().expect("a provider that answers");
        self.answer(provider);
    }

    fn answer(&mut self, provider: &Provider) {
        let find = |wanted: &str| {
            let found = provider.headers.iter().find(|(name, _)| name == wanted);
            found.map(|(_, value)| value.clone()).unwrap_or_default()
        };
        self.seen.status = provider.status;
        self.step(Event::AnswerHead {
            status: provider.status,
            content_type: provider.content_type.as_bytes(),
            content_encoding: &find("content-encoding"),
            provider_request_id: None,
            envoys_code: None,
            end: false,
        });
        if let Some(reply) = self.reply.take() {
            assert!(self.exchange.answer_waits(), "the provider's answer would go on");
            return self.replied(reply);
        }
        let whole = provider.body();
        let answer: Vec<&[u8]> = match self.variant.answer {
            Cut::Every(size) => pieces(&whole, size).collect(),
            Cut::At(at) => vec![&whole[..at], &whole[at..]],
        };
        for (index, &bytes) in answer.iter().enumerate() {
            let end = index + 1 == answer.len() && !provider.cut;
            self.replaced = None;
            self.step(Event::AnswerBody { bytes, end });
            let passed = self.replaced.take();
            if passed.is_some() {
                assert!(
                    self.head.as_ref().is_some_and(|head| head.length_changes),
                    "content-length would be wrong"
                );
            }
            self.seen.body.extend(passed.unwrap_or_else(|| bytes.to_vec()));
        }
        self.seen.complete = !provider.cut;
        self.step(Event::Closed(ClosedBy::Provider));
        let added = self.head.take().map(|head| head.add).unwrap_or_default();
        self.seen.headers = provider.headers.clone();
        self.seen.headers.retain(|(name, _)| added.iter().all(|(other, _)| other != name));
        self.seen.headers.push(("content-type".to_owned(), provider.content_type.clone().into_bytes()));
        self.seen
            .headers
            .extend(added.into_iter().map(|(name, value)| (name.to_owned(), value.into_bytes())));
    }
}

/// The bytes in pieces; one empty piece where there are none.
fn pieces(bytes: &[u8], size: usize) -> impl Iterator<Item = &[u8]> {
    let empty = bytes.is_empty().then_some(bytes);
    empty.into_iter().chain(bytes.chunks(size.min(bytes.len().max(1))))
}

/// The demo accounts and the scenario's own, by token.
fn accounts(acts: &[Vec<String>]) -> BTreeMap<String, Account> {
    let account = |name: &str, tier: &str| Account {
        account: name.to_owned(),
        tier: if tier == "free" { Tier::Free } else { Tier::Credit },
        status: Status::Active,
        token_id: "tok_1".to_owned(),
        daily_cap_pax: None,
        canon_v: 2,
    };
    let mut accounts = BTreeMap::from([
        ("mtx-demo-free".to_owned(), account("demo-free", "free")),
        ("mtx-demo-credit".to_owned(), account("demo-credit", "credit")),
    ]);
    for act in acts {
        let words: Vec<&str> = act.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["account", name, tier, token] => drop(accounts.insert((*token).to_owned(), account(name, tier))),
            ["disable", name] => {
                let disabled = accounts.values_mut().filter(|account| account.account == *name);
                disabled.for_each(|account| account.status = Status::Disabled);
            }
            ["revoke", token] => drop(accounts.remove(*token)),
            ["cap", name, pax] => {
                let capped = accounts.values_mut().filter(|account| account.account == *name);
                capped.for_each(|account| account.daily_cap_pax = Some(pax.parse().unwrap()));
            }
            other => panic!("the ledger does not know {other:?}"),
        }
    }
    accounts
}
