//! Every answer, cut at every byte position, through the production driver on the fake of Envoy.
//!
//! An answer of up to [`PAIRS_MAX`] bytes is read once for each position, in two pieces. A longer stream is read in
//! pieces of `stride` bytes, once for each offset of the first cut: every position is a cut in exactly one of these
//! readings, and the next cut is then farther away than two of its longest events, which is all that the scanner
//! knows of a stream beside what it has counted. (Two pieces for each position of 180 KB would be 32 GB to read.)

use crate::answers::{Answer, counts};
use crate::common::native::{credit_account, end_of_body};
use crate::common::prices::{card_text, first_two_cards, price};
use pax_gateway::clock::Now;
use pax_gateway::config::{Config, Gateway};
use pax_gateway::fake::Native;
use pax_gateway::usage::Mode;
use serde_json::Value;
use std::rc::Rc;

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

/// One way of calling, for many readings: they are the calls of one worker, one after another.
struct Caller {
    native: Native,
    request: String,
    path: &'static str,
    content_type: &'static str,
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
    let mut caller = Caller::new(answer, asks_usage);
    let wire = &answer.wire;
    let mut read = |pieces: &mut dyn Iterator<Item = &[u8]>, what: &dyn Fn() -> String| {
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
        let gateway = Gateway { config: Config::parse(&config.to_string()).unwrap(), bundle: bundle.into() };
        let native = Native::serving(Rc::default(), now, &gateway);
        native.ledger.borrow_mut().open("t", credit_account("acme"));
        Self {
            native,
            request: answer.request(&model, asks_usage),
            path: if answer.mode == Mode::Chat { "/v1/chat/completions" } else { "/v1/embeddings" },
            content_type: if answer.stream { "text/event-stream" } else { "application/json" },
        }
    }

    /// One call whose answer comes in these pieces.
    fn read(&mut self, pieces: &mut dyn Iterator<Item = &[u8]>) -> Outcome {
        let head = [(":method", "POST"), (":path", self.path), ("authorization", "Bearer t")];
        let context = self.native.head(&head, false);
        self.native.proxy().request_body(context, self.request.as_bytes(), true);
        if self.goes_on(context) == Some(false) {
            // Nobody knows the token yet, or any more.
            self.native.settle();
        }
        let refusal = self.native.state.stream(context, |stream| stream.reply.take()).flatten();
        assert!(refusal.is_none(), "refused: {refusal:?}");
        assert_eq!(self.goes_on(context), Some(true));
        let header = |name: &str, value: &str| (name.to_owned(), value.as_bytes().to_vec());
        let head = [header(":status", "200"), header("content-type", self.content_type)];
        self.native.answer_head(context, &head, false);
        for bytes in pieces {
            self.native.proxy().answer_body(context, bytes, false);
        }
        self.native.proxy().answer_body(context, b"", true);
        let stream = self.native.proxy().close(context).unwrap();
        end_of_body(&stream.passed_head.expect("its head"), &stream.passed);
        Outcome { passed: stream.passed, debit: self.debit() }
    }

    fn goes_on(&self, context: u32) -> Option<bool> {
        self.native.state.stream(context, |stream| stream.upstream.is_some())
    }

    /// What the ledger was told since it was last asked: one debit, or none.
    fn debit(&mut self) -> Option<Value> {
        self.native.settle();
        assert!(self.native.records().is_empty(), "a record is left behind");
        let debits = self.native.ledger.borrow_mut().take_debits();
        assert!(debits.len() < 2, "debited twice: {debits:?}");
        debits.first().map(|(_, bytes)| serde_json::from_slice(bytes).unwrap())
    }
}
