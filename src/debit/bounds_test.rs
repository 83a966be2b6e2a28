#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::*;
use crate::call::config::Config;
use crate::dialect::provider::OutputMaximum;
use crate::price::card::RateCard;
use crate::reading::request::body::RequestReader;

const CHAT: &str = r#""provider": "p", "mode": "chat", "context_window": 8000, "max_output_tokens": 2000"#;

fn card() -> RateCard {
    let text = format!(
        r#"{{"rate_table_v": 1, "effective_from": "2026-01-01T00:00:00Z", "reason": "a test", "pax_usd": "1",
        "free_tier": {{"daily_cap_pax": "1", "slots": {{}}}}, "models": {{
        "m": {{{CHAT}, "usd_per_mtok": {{"input": "1", "output": "4"}}}},
        "dear-input": {{{CHAT}, "usd_per_mtok": {{"input": "9", "output": "4"}}}},
        "banded": {{{CHAT}, "usd_per_mtok": {{"input": "1", "output": "4"}},
                   "bands": [{{"above_input_tokens": 4000, "usd_per_mtok": {{"input": "2", "output": "8"}}}}]}},
        "e": {{"provider": "p", "mode": "embeddings", "context_window": 100, "usd_per_mtok": {{"input": "1"}}}}
        }}}}"#
    );
    RateCard::parse(&text).unwrap()
}

fn provider(stops_at: &str, field: &str) -> Provider {
    let text = format!(
        r#"{{"ledger": {{"cluster": "l", "authority": "l"}}, "hosts": ["*"], "providers": {{"p": {{"cluster": "c", "authority": "a",
        "base_path": "/v1", "stream_usage": "ask", "stops_at": "{stops_at}", "own_keys": true, "output_maximum": "{field}"}}}}}}"#
    );
    Config::parse(&text).unwrap().providers["p"].clone()
}

fn request(mode: Mode, body: &str) -> Request {
    let mut reader = RequestReader::new(mode);
    reader.push(body.as_bytes());
    reader.finish().unwrap()
}

/// A chat call of so many bytes, with `more` in its body.
fn chat(more: &str, bytes: usize) -> Request {
    let body = |text: &str| format!(r#"{{"model":"m",{more}"messages":[{{"content":"{text}"}}]}}"#);
    let text = "x".repeat(bytes - body("").len());
    request(Mode::Chat, &body(&text))
}

/// The input, the output and the written maximum of a call of 500 bytes.
fn bounds(more: &str, provider: &Provider, clamp: Option<u64>) -> (u64, u64, Option<u64>) {
    let card = card();
    let bounds = Bounds::of(&chat(more, 500), &card.models["m"], provider, clamp);
    let maximum = bounds.maximum.unwrap();
    assert_eq!(maximum.field, provider.output_maximum);
    (bounds.input.0, bounds.output.0, maximum.tokens)
}

#[test]
fn a_stated_maximum_bounds_the_output_and_is_never_above_the_cards() {
    let stops = provider("model_maximum", "max_tokens");
    for (more, output, written) in [
        ("", 2_000, None),
        (r#""max_tokens":7,"#, 7, Some(7)),
        (r#""max_tokens":7,"n":3,"#, 21, Some(7)),
        (r#""max_tokens":99999,"#, 2_000, Some(2_000)),
        (r#""max_completion_tokens":7,"#, 7, Some(7)),
        (r#""max_tokens":7,"max_completion_tokens":9,"#, 7, Some(7)),
        (r#""max_tokens":9,"max_completion_tokens":7,"#, 9, Some(9)),
        (r#""max_tokens":null,"n":2,"#, 4_000, None),
    ] {
        assert_eq!(bounds(more, &stops, None), (1_524, output, written), "{more}");
    }
    let newer = provider("model_maximum", "max_completion_tokens");
    assert_eq!(newer.output_maximum, OutputMaximum::MaxCompletionTokens);
    assert_eq!(bounds(r#""max_tokens":7,"max_completion_tokens":9,"#, &newer, None).1, 9);
    assert_eq!(bounds("", &stops, Some(50)), (1_524, 50, Some(50)), "the operator's own");
    assert_eq!(bounds(r#""max_tokens":70,"#, &stops, Some(50)).1, 70, "is for those who state none");
    assert_eq!(bounds("", &stops, Some(9_999)), (1_524, 2_000, None), "and never above the card's");
}

#[test]
fn a_server_that_runs_on_is_told_the_cards_maximum_where_that_fits() {
    let runs_on = provider("context_end", "max_tokens");
    assert_eq!(bounds("", &runs_on, None), (1_524, 2_000, Some(2_000)));
    assert_eq!(bounds(r#""n":3,"#, &runs_on, None), (1_524, 6_000, Some(2_000)));
    assert_eq!(bounds(r#""max_tokens":9,"#, &runs_on, None).1, 9);
    assert_eq!(bounds("", &runs_on, Some(50)).2, Some(50));

    let card = card();
    let model = &card.models["m"];
    // 4,976 bytes and the overhead leave room for 2,000 tokens, to the byte.
    let fits = Bounds::of(&chat("", 4_976), model, &runs_on, None);
    assert_eq!((fits.output.0, fits.maximum.unwrap().tokens), (2_000, Some(2_000)));
    let long = Bounds::of(&chat("", 4_977), model, &runs_on, None);
    assert_eq!(long.maximum.unwrap().tokens, None, "the server would refuse it");
    // Input and output are never more than the window together, so its 8,000 tokens are reserved at the dearest rate.
    assert_eq!(long.ceiling(model, &ServiceTier::Plain).to_string(), "0.032000000000");
    let dear = Bounds::of(&chat("", 4_977), &card.models["dear-input"], &runs_on, None);
    assert_eq!(dear.ceiling(&card.models["dear-input"], &ServiceTier::Plain).to_string(), "0.072000000000");
    let banded = Bounds::of(&chat("", 4_977), &card.models["banded"], &runs_on, None);
    assert_eq!(banded.ceiling(&card.models["banded"], &ServiceTier::Plain).to_string(), "0.064000000000");
    // An estimate stays within the window.
    let prompt = model.factors.tokens(input_text(&chat("", 4_977), Some(model))).0;
    assert_eq!(long.output.0 + prompt, 8_000);
    // Several answers share the prompt, and each may fill the rest of the window.
    let several = Bounds::of(&chat(r#""n":3,"#, 4_977), model, &runs_on, None);
    assert_eq!((several.input.0, several.output.0, several.maximum.unwrap().tokens), (6_001, 24_000, None));
    // A picture may be as long as the window.
    let picture = r#"{"model":"m","messages":[{"content":[{"type":"image_url","image_url":{"url":"x"}}]}]}"#;
    let picture = Bounds::of(&request(Mode::Chat, picture), model, &runs_on, None);
    assert_eq!((picture.input.0, picture.maximum.unwrap().tokens), (8_000, None));
}

#[test]
fn a_token_is_at_least_a_byte_and_a_picture_may_fill_the_window() {
    let (card, stops) = (card(), provider("model_maximum", "max_tokens"));
    let input =
        |request: &Request, model: &str| Bounds::of(request, &card.models[model], &stops, None).input.0;
    assert_eq!(input(&chat("", 500), "m"), 1_524);
    assert_eq!(input(&chat("", 20_000), "m"), 8_000);
    let picture = r#"{"model":"m","messages":[{"content":[{"type":"image_url","image_url":{"url":"x"}}]}]}"#;
    assert_eq!(input(&request(Mode::Chat, picture), "m"), 8_000);
    let many = format!(r#"{{"model":"e","input":[{}"x"]}}"#, r#""words","#.repeat(1_000));
    let embedded = request(Mode::Embeddings, &many);
    let bounds = Bounds::of(&embedded, &card.models["e"], &stops, None);
    assert!(bounds.input.0 > 100 && bounds.output == Tokens::ZERO, "the window is each text's own");
    assert_eq!(bounds.maximum, None);
}

#[test]
fn a_call_that_its_caller_pays_is_left_alone() {
    let (card, runs_on) = (card(), provider("context_end", "max_tokens"));
    let own = |more: &str, model| Bounds::of_own_key(&chat(more, 500), model, &runs_on);
    assert_eq!(own("", card.models.get("m")).maximum, None);
    assert_eq!(own(r#""max_tokens":9,"n":2,"#, card.models.get("m")).output, Tokens(18));
    assert_eq!((own("", None).input, own("", None).output), (Tokens(500), Tokens(UNBOUNDED)));
}

#[test]
fn a_maximum_that_the_text_disproves_bounds_no_estimate() {
    let limit = |limit, bytes| estimated_output_limit(Tokens(limit), bytes, 4).0;
    assert_eq!(limit(1, 40), 1, "one token may be a long word");
    assert_eq!(limit(1, 4_000), UNBOUNDED, "a thousand words are not one token");
    assert_eq!(limit(1_000, 8_064), 1_000);
    assert_eq!(limit(1_000, 8_065), UNBOUNDED);
    assert_eq!(limit(u64::MAX, u64::MAX), u64::MAX);
}
