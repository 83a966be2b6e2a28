//! Bundles of the published cards and more, as the filter's configuration carries them.

use crate::common::http::{Answer, chat};
use crate::common::prices::{Counts, card_text, price};
use crate::common::world::{MODEL, TOKEN, World};
use pax_gateway::base::digest::Digest;
use serde_json::{Map, Value, json};
use std::time::{Duration, Instant};

/// Cards by their files, in the order of their versions.
#[derive(Clone)]
pub struct Cards(pub Vec<String>);

impl Cards {
    /// Those of the checkout.
    pub fn published() -> Self {
        let folder = format!("{}/ratecards", env!("CARGO_MANIFEST_DIR"));
        let file = |version: u32| std::fs::read_to_string(format!("{folder}/v{version}.json")).ok();
        Self((1..).map_while(file).collect())
    }

    pub fn newest(&self) -> u32 {
        u32::try_from(self.0.len()).unwrap()
    }

    /// One more card, like the newest but for [`MODEL`]'s prices in USD, in force from then on.
    pub fn and(mut self, input: &str, output: &str, effective_from: &str) -> Self {
        let mut card = card_text(Self::published().newest());
        card["rate_table_v"] = (self.newest() + 1).into();
        card["effective_from"] = effective_from.into();
        card["models"][MODEL]["usd_per_mtok"] = json!({"input": input, "output": output});
        self.0.push(serde_json::to_string_pretty(&card).unwrap());
        self
    }

    /// One more card that is in force at once.
    pub fn and_now(self, input: &str, output: &str) -> Self {
        let newest = card_text(Self::published().newest());
        let from = newest["effective_from"].as_str().unwrap().to_owned();
        self.and(input, output, &from)
    }

    /// `rate_cards` of the filter's configuration.
    pub fn config(&self) -> Value {
        let name = |index: usize| format!("v{}.json", index + 1);
        let files: Map<String, Value> =
            self.0.iter().enumerate().map(|(index, text)| (name(index), text.as_str().into())).collect();
        let line = |(index, text): (usize, &String)| {
            format!("{}  {}\n", Digest::of(&[text.as_bytes()]), name(index))
        };
        let lock: String = self.0.iter().enumerate().map(line).collect();
        json!({"files": files, "lock": lock})
    }

    /// Puts them into the filter's configuration.
    pub fn put(&self, world: &World) {
        let cards = self.config();
        world.stack.change_filter(move |config| config["rate_cards"] = cards).unwrap();
    }

    /// The same, and waits until calls are priced by them.
    pub fn use_in(&self, world: &World) {
        self.put(world);
        wait_for("the cards are in use", || cards_in_use(world) == Some(u64::from(self.newest())));
        // The first worker says so; the others look within their next tick of 20 ms.
        std::thread::sleep(Duration::from_millis(150));
    }

    /// Says that an entry costs what its own card says.
    pub fn check(&self, entry: &Value) {
        let version = usize::try_from(entry["rate_table_v"].as_u64().unwrap()).unwrap();
        let text = &self.0[version - 1];
        assert_eq!(entry["card_sha256"], Digest::of(&[text.as_bytes()]).to_string());
        let count = |name: &str| entry[name].as_u64().unwrap();
        let counts = Counts {
            input: count("tokens_input"),
            cached: count("tokens_cached_input"),
            output: count("tokens_output"),
        };
        let card = serde_json::from_str(text).unwrap();
        assert_eq!(entry["cost_pax"], price(&card, MODEL, counts).as_str(), "{entry}");
    }
}

/// So many cards price calls, as the filter says.
pub fn cards_in_use(world: &World) -> Option<u64> {
    world.stack.stat("wasmcustom.pax_rate_cards")
}

pub fn body(stream: bool) -> String {
    format!(r#"{{"model":"{MODEL}","stream":{stream},"messages":[{{"role":"user","content":"Hello"}}]}}"#)
}

/// One call that is answered.
pub fn call(world: &World) -> Answer {
    let answer = world.connect().call(&chat(TOKEN, &body(false)));
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer
}

/// The version that an answer names.
pub fn version(answer: &Answer) -> u32 {
    answer.header("x-matrix-rate-table-version").parse().unwrap()
}

pub fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !done() {
        assert!(Instant::now() < deadline, "not within 20 s: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Envoy's log so far.
pub fn log(world: &World) -> String {
    std::fs::read_to_string(world.stack.run_dir().join("envoy.log")).unwrap()
}
