//! Every answer through Envoy, in pieces of random sizes.

use crate::answers::{Answer, counts};
use crate::common::http::request;
use crate::common::prices::{card_text, now, price};
use crate::common::world::{TOKEN, World};
use pax_gateway::dialect::usage::Mode;
use pax_gateway::price::bundle::Bundle;
use pax_standin::Behaviour;
use serde_json::Value;

/// Sizes of writes: most of them tiny, so that lines, keys and characters are cut.
fn sizes(seed: u64, longest: u64) -> Vec<usize> {
    // Knuth's MMIX generator: the same sizes for the same seed.
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    };
    let size =
        |random: u64, more: u64| if more.is_multiple_of(3) { 1 + random % longest } else { 1 + random % 11 };
    (0..101).map(|_| usize::try_from(size(next(), next())).unwrap()).collect()
}

/// One call; fails with the sizes that make a difference.
pub fn call(world: &World, answer: &Answer, asks_usage: bool, seed: u64) {
    let bundle = Bundle::embedded().unwrap();
    let card = bundle.in_force(now()).unwrap();
    let model = answer.model(card);
    let longest = if answer.wire.len() > 20_000 { 1_500 } else { 100 };
    let write_bytes = Some(sizes(seed, longest));
    // Paced, each write is a read of its own; unpaced, they come as the kernel has them together.
    let pace_ms = (seed == 1 && answer.wire.len() <= 20_000).then_some(1);
    let always_usage = answer.refuses;
    world.behave(Behaviour { write_bytes, pace_ms, always_usage, ..Behaviour::answer(&answer.name) });
    let path = if answer.mode == Mode::Chat { "/v1/chat/completions" } else { "/v1/embeddings" };
    let bearer = format!("Bearer {TOKEN}");
    let body = answer.request(&model, asks_usage);
    let headers = [("authorization", bearer.as_bytes())];
    let got = world.connect().call(&request("POST", path, &headers, Some(body.as_bytes())));

    assert_eq!(got.status, 200, "{}", got.text());
    assert!(got.complete, "seed {seed}: the answer breaks off");
    let expected = match asks_usage || !answer.stream || answer.refuses {
        true => answer.wire.clone(),
        false => answer.without_usage_chunk(),
    };
    let at = got.body.iter().zip(&expected).take_while(|(is, not)| is == not).count();
    assert!(got.body == expected, "seed {seed}: the caller's bytes differ from byte {at} on");

    let exchange_id = got.header("x-matrix-exchange-id");
    let Some(usage) = answer.said().usage else {
        world.settle();
        let entries = world.stack.ledger(["entries", "--exchange", &exchange_id]).unwrap();
        assert_eq!(entries, "", "nothing but an error is not charged");
        return;
    };
    let entry = world.entry(&exchange_id);
    let counts = counts(&usage);
    let cost = price(&card_text(card.version.0), &model, counts);
    assert_eq!(entry["provenance"], "reported");
    assert_eq!(entry["tokens_input"], counts.input);
    assert_eq!(entry["tokens_cached_input"], counts.cached);
    assert_eq!(entry["tokens_output"], counts.output);
    assert_eq!(entry["cost_pax"], cost.as_str());
    assert_eq!(entry["rate_table_v"], card.version.0);
    let raw = entry["usage"]
        .as_str()
        .map_or_else(|| entry["usage"].clone(), |raw| serde_json::from_str(raw).unwrap());
    assert_eq!(raw, usage, "the raw usage is kept as it was");
    if !answer.stream {
        assert_eq!(got.header("x-matrix-cost-pax"), cost);
    }
    let sent: Value = serde_json::from_str(&world.take_received()[0].body).unwrap();
    if answer.stream && !answer.refuses {
        assert_eq!(sent["stream_options"]["include_usage"], true, "the provider is asked to report");
    }
}

pub fn finish(world: &World) {
    world.settle();
    world.replay();
}
