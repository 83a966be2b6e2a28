//! Every answer, cut at every byte position, through the core.
//!
//! An answer of up to [`PAIRS_MAX`] bytes is read once for each position, in two pieces. A longer stream is read in
//! pieces of `stride` bytes, once for each offset of the first cut: every position is a cut in exactly one of these
//! readings, and the next cut is then farther away than two of its longest events, which is all that the scanner
//! knows of a stream beside what it has counted. (Two pieces for each position of 180 KB would be 32 GB to read.)

use crate::answers::{Answer, counts};
use crate::common::memory::Gatekeeper;
use crate::common::prices::{card_text, first_two_cards, price};
use pax_gateway::account::{Account, Status, Tier};
use pax_gateway::clock::Now;
use pax_gateway::config::{Config, Gateway};
use pax_gateway::event::{Effect, Event};
use pax_gateway::exchange::Exchange;
use pax_gateway::token_cache::Resolution;
use pax_gateway::usage::Mode;
use serde_json::Value;
use std::rc::Rc;
use std::sync::Arc;

const PAIRS_MAX: usize = 16 * 1024;
const STRIDE_MIN: usize = 2048;
/// Card v2 is in force.
const NOW: &str = "2026-11-23T00:00:00Z";

/// What one reading of an answer came to.
struct Outcome {
    passed: Vec<u8>,
    debit: Option<Value>,
}

/// What every reading must come to.
struct Expected {
    passed: Vec<u8>,
    /// None: nothing is charged.
    debit: Option<(String, Value)>,
}

/// One way of calling, for many readings.
struct Caller {
    gateway: Rc<Gateway>,
    account: Arc<Account>,
    now: Now,
    request: String,
    path: &'static str,
    content_type: &'static [u8],
}

/// Cuts an answer everywhere; fails with the first position that makes a difference.
pub fn cut_everywhere(answer: &Answer, asks_usage: bool) {
    let expected = expected(answer, asks_usage);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..threads)
            .map(|first| {
                let expected = &expected;
                scope.spawn(move || read_share(answer, asks_usage, expected, first, threads))
            })
            .collect();
        for reader in readers {
            if let Err(panic) = reader.join() {
                std::panic::resume_unwind(panic);
            }
        }
    });
}

/// The readings `first`, `first + step`, ...; they share nothing.
fn read_share(answer: &Answer, asks_usage: bool, expected: &Expected, first: usize, step: usize) {
    let caller = Caller::new(answer, asks_usage);
    let wire = &answer.wire;
    let read = |pieces: &mut dyn Iterator<Item = &[u8]>, what: &dyn Fn() -> String| {
        let outcome = caller.read(pieces);
        check(&outcome, expected).unwrap_or_else(|wrong| panic!("{}: {wrong}", what()));
    };
    if wire.len() <= PAIRS_MAX {
        for at in (first..=wire.len()).step_by(step) {
            read(&mut [&wire[..at], &wire[at..]].into_iter(), &|| format!("cut at {at}"));
        }
    } else {
        let longest = answer.events().iter().map(|event| event.len()).max().unwrap_or(0);
        let stride = (2 * longest + 1).max(STRIDE_MIN);
        for offset in (first..stride).step_by(step) {
            let (head, rest) = wire.split_at(offset);
            let mut pieces = std::iter::once(head).chain(rest.chunks(stride));
            read(&mut pieces, &|| format!("cut at {offset} and every {stride} from there"));
        }
    }
    for size in [1, 2, 3, 7, 64].into_iter().skip(first).step_by(step) {
        read(&mut wire.chunks(size), &|| format!("in pieces of {size}"));
    }
}

fn expected(answer: &Answer, asks_usage: bool) -> Expected {
    let said = answer.said();
    let passed = match asks_usage || !answer.stream || answer.refuses {
        true => answer.wire.clone(),
        false => answer.without_usage_chunk(),
    };
    let bundle = first_two_cards();
    let model = answer.model(bundle.in_force(NOW.parse().unwrap()).unwrap());
    let debit = said.usage.map(|usage| (price(&card_text(2), &model, counts(&usage)), usage));
    assert!(debit.is_some() || said.only_error, "an answer without usage proves nothing here");
    Expected { passed, debit }
}

fn check(outcome: &Outcome, expected: &Expected) -> Result<(), String> {
    if outcome.passed != expected.passed {
        let at = outcome.passed.iter().zip(&expected.passed).take_while(|(is, not)| is == not).count();
        let (is, not) = (outcome.passed.len(), expected.passed.len());
        return Err(format!("the caller's bytes differ from byte {at} on ({is} bytes and not {not})"));
    }
    let (debit, (cost, usage)) = match (&outcome.debit, &expected.debit) {
        (None, None) => return Ok(()),
        (Some(debit), Some(expected)) => (debit, expected),
        (debit, _) => return Err(format!("the debit is {debit:?}")),
    };
    let counts = counts(usage);
    let raw: Value = serde_json::from_str(debit["usage"].as_str().unwrap_or_default()).unwrap_or_default();
    let as_expected = debit["provenance"] == "reported"
        && debit["tokens_input"] == counts.input
        && debit["tokens_cached_input"] == counts.cached
        && debit["tokens_output"] == counts.output
        && debit["cost_pax"] == cost.as_str()
        && debit["ending"] == "complete"
        && raw == *usage;
    if as_expected { Ok(()) } else { Err(format!("the debit is {debit}, and not {cost} for {counts:?}")) }
}

impl Caller {
    fn new(answer: &Answer, asks_usage: bool) -> Self {
        let provider = |usage| {
            serde_json::json!({
                "cluster": "p", "authority": "provider.test", "base_path": "/v1", "stream_usage": usage, "stops_at": "model_maximum", "own_keys": false
            })
        };
        let mut config = serde_json::json!({
            "ledger": {"cluster": "ledger", "authority": "ledger"}, "hosts": ["*"]
        });
        for name in ["fireworks", "openai", "groq", "deepseek", "together"] {
            config["providers"][name] = provider("ask");
        }
        config["providers"]["mistral"] = provider("always");
        let bundle = first_two_cards();
        let now = Now::at(NOW.parse().unwrap());
        let model = answer.model(bundle.in_force(now.wall).unwrap());
        let account = Account {
            account: "acme".to_owned(),
            tier: Tier::Credit,
            status: Status::Active,
            token_id: "tok_1".to_owned(),
            daily_cap_pax: None,
            canon_v: 2,
        };
        Self {
            gateway: Rc::new(Gateway {
                config: Config::parse(&config.to_string()).unwrap(),
                bundle: bundle.into(),
            }),
            account: Arc::new(account),
            now,
            request: answer.request(&model, asks_usage),
            path: if answer.mode == Mode::Chat { "/v1/chat/completions" } else { "/v1/embeddings" },
            content_type: if answer.stream { b"text/event-stream" } else { b"application/json" },
        }
    }

    /// One call whose answer comes in these pieces.
    fn read(&self, pieces: &mut dyn Iterator<Item = &[u8]>) -> Outcome {
        let header = |name: &str, value: &str| (name.to_owned(), value.as_bytes().to_vec());
        let headers =
            [header(":method", "POST"), header(":path", self.path), header("authorization", "Bearer t")];
        let mut outcome = Outcome { passed: Vec::new(), debit: None };
        let mut exchange = Exchange::new(Rc::clone(&self.gateway));
        let mut gate = Gatekeeper::new(self.now);
        let mut step = |event: Event<'_>| {
            let (mut replaced, mut effects) = (None, exchange.step(self.now, event));
            while !effects.is_empty() {
                let effect = effects.remove(0);
                if let Effect::Settle { debit, .. } = &effect {
                    let debit = serde_json::from_slice(&debit.to_canonical()).unwrap();
                    assert!(outcome.debit.replace(debit).is_none(), "debited twice");
                }
                match gate.does(effect, self.now) {
                    Ok(event) => {
                        effects.extend(event.into_iter().flat_map(|event| exchange.step(self.now, event)));
                    }
                    Err(Effect::ReplaceBody(bytes)) => replaced = Some(bytes),
                    Err(Effect::Reply(reply)) => {
                        panic!("refused: {}", String::from_utf8_lossy(&reply.body))
                    }
                    Err(_) => {}
                }
            }
            replaced
        };
        step(Event::Head {
            headers: &headers,
            end: false,
            random: [7; 10],
            outbox_has_room: true,
            ledger_answers: true,
        });
        step(Event::Resolved(Resolution::Account(Arc::clone(&self.account))));
        step(Event::Body { bytes: self.request.as_bytes(), end: true });
        let content_type = self.content_type;
        step(Event::AnswerHead {
            status: 200,
            content_type,
            content_encoding: b"",
            provider_request_id: None,
            envoys_code: None,
            end: false,
        });
        let mut passed = Vec::new();
        for bytes in pieces {
            match step(Event::AnswerBody { bytes, end: false }) {
                Some(replaced) => passed.extend_from_slice(&replaced),
                None => passed.extend_from_slice(bytes),
            }
        }
        passed.extend(step(Event::AnswerBody { bytes: b"", end: true }).unwrap_or_default());
        outcome.passed = passed;
        outcome
    }
}
