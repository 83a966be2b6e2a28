//! The golden settlements: each row of `tests/golden/settlements.txt` is played through an exchange, and its
//! debit is compared with what the row says, the lines of its bill included.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

use crate::base::account::Account;
use crate::base::clock::{Now, Tick};
use crate::base::digest::Digest;
use crate::base::pairs::Pairs;
use crate::call::config::{Config, Gateway};
use crate::call::event::{ClosedBy, Effect, Event};
use crate::call::exchange::Exchange;
use crate::debit::estimate::{Bytes2, EstimatedFrom};
use crate::debit::frozen::Debit;
use crate::memory::gate::fake::Gatekeeper;
use crate::memory::token_cache::Resolution;
use crate::price::bundle::Bundle;
use serde_json::{Value, json};
use std::rc::Rc;
use std::sync::Arc;

const CARD: &str = include_str!("../../../tests/golden/settlements_card.json");
const TABLE: &str = include_str!("../../../tests/golden/settlements.txt");
/// When the calls are admitted. Right after that the wall clock is set back by half a day, which no duration
/// may show.
const NOON: &str = "2026-11-23T12:00:00Z";
const SET_BACK: &str = "2026-11-23T00:00:00Z";
/// What the monotonic clock shows when a call is forwarded.
const FORWARDED_MS: u64 = 5_000_000;

/// What a debit counts.
const COUNTS: [&str; 10] = [
    "input",
    "cached_input",
    "cache_write_input",
    "cache_write_1h_input",
    "audio_input",
    "image_input",
    "output",
    "audio_output",
    "image_output",
    "reasoning_output",
];

fn gateway() -> Rc<Gateway> {
    let provider = |more: Value| {
        let mut provider = json!({
            "cluster": "p", "authority": "provider.test", "base_path": "/v1", "stream_usage": "ask",
            "stops_at": "model_maximum", "own_keys": true,
        });
        provider.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        provider
    };
    let config = json!({
        "ledger": {"cluster": "ledger", "authority": "ledger"}, "hosts": ["gateway.test"],
        "gate": {"admission": {"credit": "shared_data"}},
        "providers": {
            "openai": provider(json!({
                "output_maximum": "max_completion_tokens", "standard_tier": "default", "model_patterns": ["gpt-*"],
            })),
            "azure": provider(json!({})),
            "groq": provider(json!({"standard_tier": "on_demand"})),
            "xai": provider(json!({})),
            "deepseek": provider(json!({})),
            "moonshot": provider(json!({})),
            "anthropic": provider(json!({"usage_rules": "additional/1", "stream_usage": "always"})),
            "together": provider(json!({})),
            "vllm": provider(json!({"stops_at": "context_end", "own_keys": false})),
            "openrouter": provider(json!({})),
        },
    });
    let lock = format!("{}  v1.json", Digest::of(&[CARD.as_bytes()]));
    let bundle = Bundle::load(&[("v1.json", CARD)], &lock).unwrap();
    Rc::new(Gateway { config: Config::parse(&config.to_string()).unwrap(), bundle: Rc::new(bundle) })
}

/// A row of the table.
#[derive(Default)]
struct Row<'a> {
    name: &'a str,
    own_key: bool,
    asked: String,
    /// What happened after the call was forwarded, each with its milliseconds.
    happened: Vec<(u64, &'a str)>,
    /// What is expected, and the lines of the bill that was worked by hand.
    expected: Vec<&'a str>,
    bill: Vec<&'a str>,
}

impl<'a> Row<'a> {
    fn read(text: &'a str) -> Self {
        let mut row = Self::default();
        for line in text.lines() {
            match line.split_once(' ').unwrap() {
                ("#", name) if row.name.is_empty() => row.name = name,
                ("#", worked) if worked.starts_with("    ") => row.bill.push(worked.trim()),
                ("#", _) => {}
                ("ask", asked) => {
                    row.own_key = asked.starts_with("own key ");
                    row.asked = expand(asked.trim_start_matches("own key "));
                }
                ("=", expected) => row.expected.push(expected),
                _ => {
                    let (ms, what) = line.trim_start().split_once(' ').unwrap();
                    row.happened.push((ms.parse().expect(line), what));
                }
            }
        }
        row.bill.sort_unstable();
        row
    }
}

/// `<400 a>` is so many of that character.
fn expand(text: &str) -> String {
    let mut pieces = text.split('<');
    let mut expanded = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let times = piece.split_once('>').and_then(|(inside, rest)| {
            let (times, character) = inside.split_once(' ')?;
            Some((times.parse().ok()?, character, rest))
        });
        match times {
            Some((times, character, rest)) => {
                expanded.push_str(&character.repeat(times));
                expanded.push_str(rest);
            }
            None => expanded.extend(["<", piece]),
        }
    }
    expanded
}

/// An exchange, and what came of it.
struct Play {
    exchange: Exchange,
    gate: Gatekeeper,
    now: Now,
    debits: Vec<Debit>,
    released: usize,
}

impl Play {
    /// Plays a row, with the bodies of its answer in pieces of so many bytes; gives its debit, if there is
    /// one.
    fn of(row: &Row<'_>, gateway: &Rc<Gateway>, bytes: usize) -> Option<Debit> {
        let wall = NOON.parse().unwrap();
        let now = Now { wall, tick: Tick::from_ms(FORWARDED_MS) };
        let exchange = Exchange::new(Rc::clone(gateway));
        let mut play = Self { exchange, gate: Gatekeeper::new(), now, debits: Vec::new(), released: 0 };
        play.ask(row);
        assert!(play.exchange.is_forwarded(), "{}: it is not forwarded", row.name);
        play.now.wall = SET_BACK.parse().unwrap();
        for (ms, what) in &row.happened {
            play.now.tick = Tick::from_ms(FORWARDED_MS + ms);
            play.happens(what, bytes);
        }
        play.step(Event::Closed(ClosedBy::Caller));
        assert_eq!(
            (play.debits.len() + play.released, play.gate.owed()),
            (1, 0),
            "{}: it is settled once",
            row.name
        );
        play.debits.pop()
    }

    fn step(&mut self, event: Event<'_>) {
        for effect in self.exchange.step(self.now, event) {
            match effect {
                Effect::Open { admission, .. } => {
                    let opened = self.gate.open(&admission);
                    self.step(Event::Opened(opened));
                }
                Effect::Settle { owed, debit } => {
                    self.gate.settle(owed, &debit);
                    self.debits.push(*debit);
                    self.step(Event::Settled(None));
                }
                Effect::Release(owed) => {
                    self.gate.release(owed);
                    self.released += 1;
                }
                Effect::Reply(reply) => panic!("{}", String::from_utf8_lossy(&reply.body)),
                _ => {}
            }
        }
    }

    fn ask(&mut self, row: &Row<'_>) {
        let is_chat = row.asked.contains("\"messages\":");
        let path = if is_chat { "/v1/chat/completions" } else { "/v1/embeddings" };
        let own_key = row.own_key.then_some(("x-matrix-byo-api-key", "sk-own"));
        let headers: Vec<_> = [
            (":method", "POST"),
            (":path", path),
            (":authority", "gateway.test"),
            ("authorization", "Bearer t"),
        ]
        .into_iter()
        .chain(own_key)
        .collect();
        let (outbox_has_room, ledger_answers) = (true, true);
        self.step(Event::Head {
            headers: &Pairs::of(&headers),
            end: false,
            random: [7; 10],
            outbox_has_room,
            ledger_answers,
        });
        let account = Account {
            account: "acme".to_owned(),
            tier: crate::base::account::Tier::Credit,
            status: crate::base::account::Status::Active,
            token_id: "tok_1".to_owned(),
            daily_cap_pax: None,
            canon_v: 2,
        };
        self.step(Event::Resolved(Resolution::Account(Arc::new(account))));
        self.step(Event::Body { bytes: row.asked.as_bytes(), end: true });
    }

    fn happens(&mut self, what: &str, bytes: usize) {
        let (word, rest) = what.split_once(' ').unwrap_or((what, ""));
        match word {
            "head" => {
                let words: Vec<&str> = rest.split(' ').collect();
                self.step(Event::AnswerHead {
                    status: words[0].parse().unwrap(),
                    content_type: words.get(1).copied().unwrap_or_default().as_bytes(),
                    content_encoding: words.get(2).copied().unwrap_or_default().as_bytes(),
                    provider_request_id: None,
                    envoys_code: None,
                    end: false,
                });
            }
            "data" => self.body(&format!("data: {}\n\n", expand(rest)), bytes),
            "body" => self.body(&expand(rest), bytes),
            "end" => self.step(Event::AnswerBody { bytes: b"", end: true }),
            "caller" => self.step(Event::Closed(ClosedBy::Caller)),
            "provider" => self.step(Event::Closed(ClosedBy::Provider)),
            _ => panic!("{what:?} is not understood"),
        }
    }

    fn body(&mut self, text: &str, bytes: usize) {
        for piece in text.as_bytes().chunks(bytes) {
            self.step(Event::AnswerBody { bytes: piece, end: false });
        }
    }
}

/// What a debit says, as the table writes it.
fn said(debit: Option<&Debit>) -> Vec<String> {
    let Some(debit) = debit else { return vec!["nothing".to_owned()] };
    let json = serde_json::to_value(debit).unwrap();
    let word = |key: &str| json[key].as_str().unwrap().to_owned();
    let mut first = format!("{}, {}", word("ending"), word("provenance"));
    for (before, key) in [(" by ", "usage_rules"), (", tier ", "service_tier"), (", id ", "response_id")] {
        first.extend(json[key].as_str().map(|value| format!("{before}{value}")));
    }
    first.extend(debit.flags.iter().map(|flag| {
        let flag = serde_json::to_value(flag).unwrap();
        format!(", {}", flag.as_str().unwrap())
    }));
    let mut said = vec![first];
    if let Some(EstimatedFrom::Bytes2(from)) = &debit.estimated_from {
        said.push(estimated(debit, from));
    }
    let counts = COUNTS.iter().map(|count| (count, &json[format!("tokens_{count}")]));
    let counts: Vec<String> = counts
        .filter(|(_, tokens)| **tokens != 0)
        .map(|(count, tokens)| format!("{count} {tokens}"))
        .collect();
    said.push(if counts.is_empty() { "no tokens".to_owned() } else { counts.join(", ") });
    let ms = |ms: Option<u64>| ms.map_or_else(|| "-".to_owned(), |ms| ms.to_string());
    let (head, unseen, end) = (ms(debit.first_byte_ms), ms(debit.unseen_ms), ms(debit.duration_ms));
    said.push(format!("head {head}, unseen {unseen}, end {end} ms"));
    said.push(format!("{} PAX", debit.cost_pax));
    said
}

fn estimated(debit: &Debit, from: &Bytes2) -> String {
    let side = serde_json::to_value(from.side).unwrap();
    let limit = |limit: Option<crate::base::pax::Tokens>| limit.unwrap().0;
    format!(
        "{}: {}+{} bytes asked, {}+{} answered, {}+{} a token, {}/s after {} s, at most {} and {}{}{}{}{}",
        side.as_str().unwrap(),
        from.input_ascii_bytes,
        from.input_other_bytes,
        from.output_ascii_bytes,
        from.output_other_bytes,
        from.bytes_per_token,
        from.bytes_per_token_other,
        from.unseen_tokens_per_s,
        from.unseen_after_s,
        limit(debit.input_limit),
        limit(debit.output_limit),
        if from.not_text { ", not text" } else { "" },
        if from.shares_window { ", shares window" } else { "" },
        debit.n.filter(|n| *n > 1).map(|n| format!(", n {n}")).unwrap_or_default(),
        debit.stated_maximum.map(|stated| format!(", stated {stated}")).unwrap_or_default(),
    )
}

/// The lines of a debit's bill, in the order of their text.
fn bill(debit: &Debit, gateway: &Gateway) -> Vec<String> {
    let card = gateway.bundle.by_sha256(&debit.card_sha256).unwrap();
    let lines = card.models.get(&debit.model).map(|model| debit.lines(model).unwrap()).unwrap_or_default();
    let mut lines: Vec<String> =
        lines.iter().map(|line| format!("{} {} × {}", line.tokens, line.part.name(), line.rate)).collect();
    lines.sort_unstable();
    lines
}

#[test]
fn every_settlement_is_the_one_worked_by_hand() {
    let gateway = gateway();
    let (mut rows, mut wrong) = (0, String::new());
    for text in TABLE.trim_end().split("\n\n").skip(1) {
        let row = Row::read(text);
        for bytes in [usize::MAX, 1, 7] {
            let debit = Play::of(&row, &gateway, bytes);
            let said = said(debit.as_ref());
            let bill = debit.as_ref().map(|debit| bill(debit, &gateway)).unwrap_or_default();
            if said != row.expected || bill != row.bill {
                let pieces = if bytes == usize::MAX { "at once".to_owned() } else { format!("by {bytes}") };
                let (said, bill) = (said.join("\n= "), bill.join("\n#     "));
                wrong.push_str(&format!("# {} ({pieces})\n#     {bill}\n= {said}\n\n", row.name));
            }
            let Some(debit) = debit else { continue };
            debit.prove(&gateway.bundle).expect(row.name);
            assert_eq!(Debit::from_canonical(&debit.to_canonical()).as_ref(), Ok(&debit), "{}", row.name);
            assert_eq!((debit.canon_v, debit.settled_at), (2, debit.occurred_at), "{}", row.name);
        }
        rows += 1;
    }
    assert!(wrong.is_empty(), "these came out otherwise:\n\n{wrong}");
    assert!(rows > 60, "{rows} rows");
}
