//! The scenarios without an Envoy: the production driver on the fake of one, with every body whole and in single bytes,
//! the account known before the body or after it, and the answer cut in two at every byte.

use crate::check::{Request, Seen};
use crate::common::native::{end_of_body, pieces, upstream_reset};
use crate::common::prices::first_two_cards;
use crate::format::{Provider, Scenario};
use pax_gateway::account::{Account, Status, Tier};
use pax_gateway::clock::Now;
use pax_gateway::config::{Config, Gateway};
use pax_gateway::fake::{self, Map, Native};
use std::collections::BTreeMap;
use std::rc::Rc;

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

/// Runs a scenario in all variants, each in an Envoy of its own, whose ledger has its cards already.
pub fn run(scenario: &Scenario) {
    let gateway = Gateway { config: config(), bundle: first_two_cards().into() };
    let now = Now::at(scenario.clock.as_deref().unwrap_or(NOON).parse().unwrap());
    let started = Native::serving(Rc::default(), now, &gateway);
    let length = scenario.provider.as_ref().map_or(0, |provider| provider.body().len());
    let cuts = (1..length).map(|at| Variant { answer: Cut::At(at), ..VARIANTS[0] });
    for variant in VARIANTS.into_iter().chain(cuts) {
        let shared = Map::clone(&started.around.shared);
        let native = Native::serving(Rc::new(shared), now, &gateway);
        for (token, account) in accounts(&scenario.ledger) {
            native.ledger.borrow_mut().open(&token, account);
        }
        let seen = Drive { scenario, variant, native, gateway: &gateway, seen: Seen::default() }.run();
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
    gateway: &'a Gateway,
    native: Native,
    seen: Seen,
}

impl Drive<'_> {
    fn run(mut self) -> Seen {
        let scenario = self.scenario;
        let host = scenario.host.as_deref().unwrap_or("gateway.test");
        let mut headers = vec![
            (":method".to_owned(), scenario.method.clone().into_bytes()),
            (":path".to_owned(), scenario.path.clone().into_bytes()),
            (":authority".to_owned(), host.as_bytes().to_vec()),
            (":scheme".to_owned(), b"http".to_vec()),
        ];
        headers
            .extend(scenario.headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone())));
        let context = self.native.head_of(&headers, scenario.body.is_none());
        if !self.variant.body_first {
            self.native.settle();
        }
        let body = scenario.body.as_deref().unwrap_or_default();
        let mut pieces = pieces(body, self.variant.request_bytes).peekable();
        while let Some(bytes) = pieces.next().filter(|_| scenario.body.is_some()) {
            self.native.proxy().request_body(context, bytes, pieces.peek().is_none());
        }
        self.native.settle();
        let goes_on = self.native.state.stream(context, |stream| stream.upstream.is_some()).unwrap();
        if goes_on {
            let provider = scenario.provider.as_ref().expect("a provider that answers");
            self.answer(context, provider);
        }
        self.native.reply_passes(context);
        let stream = self.native.proxy().close(context).unwrap();
        self.native.settle();
        assert!(self.native.records().is_empty(), "a record is left behind");
        self.debited();
        self.passed(stream)
    }

    /// Nothing but one debit, which proves itself.
    fn debited(&mut self) {
        let ledger = self.native.ledger.borrow();
        assert!(ledger.debits().len() < 2, "debited twice: {:?}", ledger.debits());
        if let Some((debit, bytes)) = ledger.debits().first() {
            debit.prove(&self.gateway.bundle).unwrap();
            self.seen.entry = Some(serde_json::from_slice(bytes).unwrap());
        }
    }

    fn answer(&self, context: u32, provider: &Provider) {
        let header = |name: &str, value: &[u8]| (name.to_owned(), value.to_vec());
        let whole = provider.body();
        let mut headers = vec![
            header(":status", provider.status.to_string().as_bytes()),
            header("content-type", provider.content_type.as_bytes()),
        ];
        if !provider.cut {
            headers.push(header("content-length", whole.len().to_string().as_bytes()));
        }
        headers.extend(provider.headers.clone());
        self.native.answer_head(context, &headers, false);
        let pieces: Vec<&[u8]> = match self.variant.answer {
            Cut::Every(size) => pieces(&whole, size).collect(),
            Cut::At(at) => vec![&whole[..at], &whole[at..]],
        };
        for (index, bytes) in pieces.iter().enumerate() {
            let is_replaced = self.native.state.stream(context, |stream| stream.reply.is_some());
            if is_replaced == Some(false) {
                let end = index + 1 == pieces.len() && !provider.cut;
                self.native.proxy().answer_body(context, bytes, end);
            }
        }
        if provider.cut {
            upstream_reset(&self.native, context);
        }
    }

    /// What was seen of a stream that is over.
    fn passed(mut self, stream: fake::Stream) -> Seen {
        let is_answered_here = stream.upstream.is_none();
        if let Some(upstream) = stream.upstream {
            assert!(!upstream.mark.is_empty(), "no route would take it");
            self.seen.upstream = Some(request(upstream));
        }
        let is_cut = self.scenario.provider.as_ref().is_some_and(|provider| provider.cut);
        let (headers, body, complete) = match (stream.reply, stream.passed_head) {
            // In the place of an answer whose head had come.
            (Some(reply), None) => {
                let status = (":status".to_owned(), reply.status.to_string().into_bytes());
                (std::iter::once(status).chain(reply.headers).collect(), reply.body, true)
            }
            (reply, Some(headers)) => {
                let is_ours = reply.is_none_or(|reply| reply.body == stream.passed);
                assert!(is_ours, "something else came than the reply");
                (headers, stream.passed, is_answered_here || !is_cut)
            }
            (None, None) => panic!("neither answered nor forwarded"),
        };
        assert!(stream.answer.is_empty(), "the answer waits");
        end_of_body(&headers, &body);
        self.seen.headers = headers;
        self.seen.status = self.seen_status();
        (self.seen.body, self.seen.complete) = (body, complete);
        self.seen
    }

    fn seen_status(&self) -> u16 {
        let status = self.seen.headers.iter().find(|(name, _)| name == ":status");
        String::from_utf8_lossy(&status.expect("a status").1).parse().unwrap()
    }
}

/// A request, as it is on the wire: `:scheme` and the like are no headers there, and the authority is its `host`.
fn request(upstream: fake::Upstream) -> Request {
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    let value = |name: &str| {
        let found = upstream.headers.iter().find(|(key, _)| *key == name);
        found.map(|(_, value)| text(value)).unwrap_or_default()
    };
    let headers = upstream.headers.iter().filter(|(name, _)| !name.starts_with(':'));
    let mut headers: Vec<(String, String)> =
        headers.map(|(name, value)| (name.clone(), text(value))).collect();
    headers.push(("host".to_owned(), value(":authority")));
    let line = format!("{} {}", value(":method"), value(":path"));
    Request { line, headers, body: upstream.body }
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
