//! Drives one call to its ending and reads what came of it.

use crate::common::http::request;
use crate::common::prices::{Counts, card_text, price};
use crate::common::world::{TOKEN, World};
use crate::early::{Early, EarlyProvider};
use pax_standin::Behaviour;
use serde_json::Value;
use std::time::{Duration, Instant};

/// No ending takes longer: beyond it a call hangs.
const PATIENCE: Duration = Duration::from_secs(15);

/// How the caller behaves.
#[derive(Clone, Debug)]
pub enum Caller {
    Stays,
    /// Leaves so long after the provider has received the request.
    LeavesAfterMs(u64),
    /// Leaves once it has read this.
    LeavesAfter(&'static str),
}

/// How the provider behaves.
#[derive(Clone, Debug)]
pub enum Provider {
    Plays(Box<Behaviour>),
    Early(Early),
    IsDown,
}

/// One ending.
#[derive(Clone, Debug)]
pub struct Ending {
    pub name: &'static str,
    pub stream: bool,
    pub provider: Provider,
    pub caller: Caller,
    /// What the caller should see.
    pub saw: &'static str,
    /// What the entry should say: provenance, ending, input, output, flags; or `none`.
    pub entry: &'static str,
}

/// What came of it.
pub struct Outcome {
    pub saw: String,
    pub entry: String,
    pub cost: String,
}

/// The model whose provider does so.
fn model(provider: &Provider) -> &'static str {
    match provider {
        Provider::Plays(_) => crate::common::world::MODEL,
        Provider::Early(_) => "mistral-small-latest",
        Provider::IsDown => "qwen/qwen3.8-27b",
    }
}

/// Drives a call to its ending.
pub fn drive(world: &World, early: &EarlyProvider, number: usize, ending: &Ending) -> Outcome {
    world.standin.reset();
    world.standin.clear_received();
    early.play(None);
    match &ending.provider {
        Provider::Plays(behaviour) => world.behave((**behaviour).clone()),
        Provider::Early(answer) => early.play(Some(answer.clone())),
        Provider::IsDown => {}
    }
    let goal = format!("ending-{number}");
    let begun = Instant::now();
    let saw = call(world, &goal, ending);
    let entry = only_entry(world, &goal);
    assert!(begun.elapsed() < PATIENCE, "{}: took {:?}", ending.name, begun.elapsed());
    Outcome {
        saw,
        entry: told(entry.as_ref()),
        cost: entry.map_or_else(|| "-".to_owned(), |entry| cost(&entry)),
    }
}

fn call(world: &World, goal: &str, ending: &Ending) -> String {
    let bearer = format!("Bearer {TOKEN}");
    let headers = [("authorization", bearer.as_bytes()), ("x-matrix-goal-id", goal.as_bytes())];
    // More than sockets hold on their way, for a provider that answers before it has read the request.
    let text_bytes = if matches!(ending.provider, Provider::Early(_)) { 16_000_000 } else { 400 };
    let body = format!(
        r#"{{"model":"{}","stream":{},"messages":[{{"role":"user","content":"{}"}}]}}"#,
        model(&ending.provider),
        ending.stream,
        "x".repeat(text_bytes)
    );
    let mut connection = world.connect();
    connection.send(&request("POST", "/v1/chat/completions", &headers, Some(body.as_bytes())));
    match ending.caller {
        Caller::LeavesAfterMs(ms) => {
            let deadline = Instant::now() + PATIENCE;
            while world.standin.received().is_empty() {
                assert!(Instant::now() < deadline, "{}: the provider is not asked", ending.name);
                std::thread::sleep(Duration::from_millis(5));
            }
            std::thread::sleep(Duration::from_millis(ms));
            "left".to_owned()
        }
        Caller::LeavesAfter(text) => {
            assert!(connection.read_until(text.as_bytes()), "{}: {text} does not come", ending.name);
            "left".to_owned()
        }
        Caller::Stays => {
            let answer = connection.read();
            verbatim(ending, &answer.body, answer.complete, answer.header("content-encoding") == "gzip");
            match serde_json::from_slice::<Value>(&answer.body).unwrap_or_default()["error"]["code"].as_str()
            {
                Some(code) => format!("{} {code}", answer.status),
                None if answer.complete => format!("{} whole", answer.status),
                None => format!("{} cut", answer.status),
            }
        }
    }
}

/// Where the provider's own body went on to the caller, it is what the provider sent, less the usage chunk that the
/// filter has asked for.
fn verbatim(ending: &Ending, seen: &[u8], complete: bool, gzip: bool) {
    let Provider::Plays(behaviour) = &ending.provider else { return };
    let Some(sent) = behaviour.body.as_ref().filter(|_| !gzip && ending.saw.ends_with(['e', 't'])) else {
        return;
    };
    if ending.saw.starts_with('5') {
        return;
    }
    let sent = sent.replace(super::endings::USAGE_EVENT, "");
    let seen = String::from_utf8_lossy(seen);
    assert!(sent.starts_with(&*seen), "{}: the caller saw {seen:?} of {sent:?}", ending.name);
    let cut = behaviour.cut_after_bytes.is_some() || behaviour.stall_after_bytes.is_some();
    assert_eq!(complete && !cut, seen == sent, "{}: the caller saw {seen:?} of {sent:?}", ending.name);
}

/// The only entry of a goal, after all that could still come has come.
fn only_entry(world: &World, goal: &str) -> Option<Value> {
    world.settle();
    let mut entries: Vec<Value> =
        world.entries().into_iter().filter(|entry| entry["goal_id"] == goal).collect();
    assert!(entries.len() < 2, "one call, one entry: {entries:?}");
    entries.pop()
}

fn told(entry: Option<&Value>) -> String {
    let Some(entry) = entry else { return "none".to_owned() };
    let text = |name: &str| match &entry[name] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let flags: Vec<&str> =
        entry["flags"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let parts = ["provenance", "ending", "tokens_input", "tokens_output"].map(text).join(" ");
    [&parts, flags.join(" ").as_str()].join(" ").trim_end().to_owned()
}

/// The entry's cost, which decimals from the text of its card must come to as well.
fn cost(entry: &Value) -> String {
    let count = |name: &str| entry[name].as_u64().unwrap();
    let counts = Counts {
        input: count("tokens_input"),
        cached: count("tokens_cached_input"),
        output: count("tokens_output"),
    };
    let card = card_text(count("rate_table_v").try_into().unwrap());
    let cost = entry["cost_pax"].as_str().unwrap().to_owned();
    assert_eq!(cost, price(&card, entry["model"].as_str().unwrap(), counts), "{entry}");
    cost
}
