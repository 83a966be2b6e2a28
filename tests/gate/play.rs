//! Callers with a cap, and calls whose reservation and cost are known to the last picopax.

use crate::common::http::{Answer, Connection, chat};
use crate::common::prices::{Counts, card_text, now, price};
use crate::common::world::World;
use pax_gateway::price::bundle::Bundle;
use pax_standin::Behaviour;
use rust_decimal::Decimal;
use serde_json::Value;
use std::time::{Duration, Instant};

/// A model of the free tier whose longest answer costs some hundred times as much as a short one.
pub const MODEL: &str = "accounts/fireworks/models/deepseek-v4-flash";
/// The length of every body here, whatever is in it, so that all of them reserve the same for their input.
const BODY_BYTES: usize = 240;
/// The most input that such a body can be: a token is at least a byte, and the model's template adds some.
pub const INPUT_TOKENS: u64 = BODY_BYTES as u64 + 1_024;
/// The output's maximum of an ordinary call.
pub const OUTPUT_TOKENS: u64 = 2_000;

/// An account of tier free, with one token.
#[derive(Clone)]
pub struct Caller {
    pub account: String,
    pub token: String,
}

impl Caller {
    /// Makes an account with a cap, or with the card's.
    pub fn new(world: &World, name: &str, cap: Option<Decimal>) -> Self {
        let caller = Self { account: name.to_owned(), token: format!("mtx-{name}") };
        let mut create =
            vec!["account".to_owned(), "create".into(), name.into(), "--tier".into(), "free".into()];
        create.extend(cap.into_iter().flat_map(|cap| ["--daily-cap".to_owned(), cap.to_string()]));
        world.stack.ledger(create).unwrap_or_else(|error| panic!("{error}"));
        let add = ["token", "add", name, "--name", name, "--token", &caller.token];
        world.stack.ledger(add).unwrap_or_else(|error| panic!("{error}"));
        caller
    }

    /// A call's bytes.
    pub fn call(&self, max_tokens: u64) -> Vec<u8> {
        chat(&self.token, &body(max_tokens, false))
    }

    /// A call that asks for a stream, or for a fault, or both.
    pub fn special(&self, stream: bool, fault: Option<&str>) -> Vec<u8> {
        let mut bytes = chat(&self.token, &body(OUTPUT_TOKENS, stream));
        if let Some(fault) = fault {
            let at = bytes.windows(2).position(|two| two == b"\r\n").unwrap() + 2;
            bytes.splice(at..at, format!("x-pax-fault: {fault}\r\n").into_bytes());
        }
        bytes
    }

    /// Its entries, oldest first.
    pub fn entries(&self, world: &World) -> Vec<Value> {
        let lines = world.stack.ledger(["entries", "--account", &self.account]).unwrap();
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The same, once there are `count`; what there is after `patience` otherwise.
    pub fn entries_within(&self, world: &World, count: usize, patience: Duration) -> Vec<Value> {
        let deadline = Instant::now() + patience;
        loop {
            let entries = self.entries(world);
            if entries.len() >= count || Instant::now() > deadline {
                return entries;
            }
            std::thread::sleep(Duration::from_millis(40));
        }
    }

    /// Nothing is reserved for it: of its cap just what its entries have cost is gone. A call that takes all of the
    /// rest is served, one that takes a token more is not.
    pub fn has_nothing_reserved(&self, world: &World, port: u16, cap: Decimal) {
        world.standin.reset();
        let left = cap - sum(&self.entries(world));
        let fits = most_output(left);
        let mut connection = Connection::open(port);
        let refused = connection.call(&self.call(fits + 1));
        assert_eq!(refused.refusal(), "429 daily_cap_exceeded", "{} of {left} left", reservation(fits + 1));
        assert_eq!(error(&refused)["reserved_pax"], "0.000000000000", "{}", refused.text());
        let served = connection.call(&self.call(fits));
        assert_eq!(served.status, 200, "{} of {left} left: {}", reservation(fits), served.text());
    }
}

/// Sends a signal to a process.
pub fn signal(id: u32, signal: &str) {
    let sent = std::process::Command::new("kill").args([signal, &id.to_string()]).status();
    assert!(sent.unwrap().success());
}

/// A call's body.
pub fn body(max_tokens: u64, stream: bool) -> String {
    let of = |text: &str| {
        format!(
            r#"{{"model":"{MODEL}","max_tokens":{max_tokens},"stream":{stream},"messages":[{{"role":"user","content":"{text}"}}]}}"#
        )
    };
    of(&"x".repeat(BODY_BYTES - of("").len()))
}

/// What a call reserves: its largest input, its largest output.
pub fn reservation(max_tokens: u64) -> Decimal {
    let version = Bundle::embedded().unwrap().in_force(now()).unwrap().version.0;
    let counts = Counts { input: INPUT_TOKENS, cached: 0, output: max_tokens };
    price(&card_text(version), MODEL, counts).parse().unwrap()
}

/// The largest output's maximum whose reservation is at most `left`.
pub fn most_output(left: Decimal) -> u64 {
    let (mut fits, mut exceeds) = (0, 384_000);
    assert!(reservation(1) <= left && left < reservation(exceeds), "{left} is no amount to measure with");
    while exceeds - fits > 1 {
        let middle = fits.midpoint(exceeds);
        if reservation(middle) <= left { fits = middle } else { exceeds = middle }
    }
    fits
}

/// A part of an amount, as an amount: no finer than a picopax.
pub fn part(amount: Decimal, of: u32) -> Decimal {
    (amount / Decimal::from(of)).trunc_with_scale(12)
}

/// An ordinary call's reservation, so many times and a half: so many calls fit a cap of this, and not one more.
pub fn room_for(calls: u64) -> Decimal {
    let one = reservation(OUTPUT_TOKENS);
    one * Decimal::from(calls) + part(one, 2)
}

/// The provider counts all that was reserved for an ordinary call: what a gate lets through too much, shows.
pub fn costs_all() -> Behaviour {
    Behaviour { body: Some(answer(INPUT_TOKENS, OUTPUT_TOKENS)), ..Behaviour::default() }
}

/// A JSON answer with this usage.
pub fn answer(input: u64, output: u64) -> String {
    format!(
        r#"{{"choices":[{{"message":{{"content":"ok"}}}}],"usage":{{"prompt_tokens":{input},"completion_tokens":{output}}}}}"#
    )
}

/// What entries cost. Entries are never taken back, so that this was never more.
pub fn sum(entries: &[Value]) -> Decimal {
    entries.iter().map(|entry| entry["cost_pax"].as_str().unwrap().parse::<Decimal>().unwrap()).sum()
}

/// A refusal's error object.
pub fn error(answer: &Answer) -> Value {
    serde_json::from_slice::<Value>(&answer.body).unwrap_or_default()["error"].clone()
}

/// Sends the same call on every connection, all of them before an answer is read.
pub fn all_at_once(connections: &mut [Connection], call: &[u8]) -> Vec<Answer> {
    connections.iter_mut().for_each(|connection| connection.send(call));
    connections.iter_mut().map(Connection::read).collect()
}

/// How many were served; the others were refused for the cap, and no other reason.
pub fn served(answers: &[Answer]) -> usize {
    let served = answers.iter().filter(|answer| answer.status == 200).count();
    for answer in answers.iter().filter(|answer| answer.status != 200) {
        assert_eq!(answer.refusal(), "429 daily_cap_exceeded");
        // It may fit once the calls in flight have ended, unless what is spent alone is in its way.
        let told = error(answer);
        let pax = |name: &str| told[name].as_str().unwrap().parse::<Decimal>().unwrap();
        let may_fit = pax("spent_pax") + pax("needed_pax") <= pax("limit_pax");
        let (header, value) = if may_fit { ("retry-after", "1") } else { ("x-should-retry", "false") };
        assert!(answer.header(header) == value, "{:?}", answer.headers);
        assert!(
            answer.has_header("retry-after") != answer.has_header("x-should-retry"),
            "{:?}",
            answer.headers
        );
    }
    served
}

/// Asks until the answer is the expected one, and for how long that took.
pub fn until(patience: Duration, mut ask: impl FnMut() -> String, expected: &str) -> Duration {
    let begun = Instant::now();
    loop {
        let said = ask();
        if said == expected {
            return begun.elapsed();
        }
        assert!(begun.elapsed() < patience, "still {said:?} after {patience:?}, not {expected:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
