//! What is written into a request: its one maximum and its service tier, whatever other members are around
//! them.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::*;
use crate::dialect::provider::OutputMaximum::{self, MaxCompletionTokens, MaxTokens};
use crate::dialect::usage::Mode;
use crate::reading::request::body::RequestReader;
use proptest::prelude::*;
use serde_json::{Value, json};

fn read(body: &str) -> Request {
    let mut reader = RequestReader::new(Mode::Chat);
    reader.push(body.as_bytes());
    reader.finish().unwrap()
}

fn rewritten(body: &str, rewrite: &Rewrite<'_>) -> String {
    let edits = read(body).edits(rewrite);
    let made = apply(body.as_bytes(), &edits);
    assert_eq!(edited_length(body.len() as u64, &edits), made.len() as u64, "{body}");
    let (front, rest) = body.split_at(front_size(&edits));
    assert!(known_front(&edits).is_none_or(|known| known == front.as_bytes()), "{body}");
    assert_eq!([&apply(front.as_bytes(), &edits), rest.as_bytes()].concat(), made, "{body}");
    String::from_utf8(made).unwrap()
}

fn with_maximum(body: &str, field: OutputMaximum, tokens: Option<u64>) -> String {
    let maximum = Some(WrittenMaximum { field, tokens });
    rewritten(body, &Rewrite { maximum, ..Rewrite::default() })
}

#[test]
fn the_providers_own_field_says_the_maximum_and_no_other_does() {
    for (body, field, tokens, expected) in [
        // The caller stated none.
        (r#"{"model":"m","n":1}"#, MaxTokens, Some(99), r#"{"max_tokens":99,"model":"m","n":1}"#),
        (r#"{"model":"m"}"#, MaxCompletionTokens, Some(99), r#"{"max_completion_tokens":99,"model":"m"}"#),
        (r#"{"max_tokens":null,"model":"m"}"#, MaxTokens, Some(99), r#"{"max_tokens":99,"model":"m"}"#),
        (r#"{"model":"m","n":1}"#, MaxTokens, None, r#"{"model":"m","n":1}"#),
        (r#"{"model":"m","max_tokens":null}"#, MaxTokens, None, r#"{"model":"m","max_tokens":null}"#),
        // Stated in the field: it stays, or is lowered.
        (r#"{"model":"m","max_tokens": 5 }"#, MaxTokens, Some(5), r#"{"model":"m","max_tokens": 5 }"#),
        (r#"{"model":"m","max_tokens": 500 }"#, MaxTokens, Some(64), r#"{"model":"m","max_tokens": 64 }"#),
        // Stated in the other field: it moves.
        (
            r#"{"model":"m","max_completion_tokens" : 5}"#,
            MaxTokens,
            Some(5),
            r#"{"model":"m","max_tokens":5}"#,
        ),
        (
            r#"{"max_\u0074okens":7,"model":"m"}"#,
            MaxCompletionTokens,
            Some(6),
            r#"{"max_completion_tokens":6,"model":"m"}"#,
        ),
        (
            r#"{"max_tokens":null,"max_completion_tokens":5,"model":"m"}"#,
            MaxTokens,
            Some(5),
            r#"{"max_tokens":5,"model":"m"}"#,
        ),
        // Stated in both fields: the one that the provider reads counts, and the other one is taken out,
        // wherever it is.
        (
            r#"{"max_tokens":1,"max_completion_tokens":65536,"model":"m"}"#,
            MaxTokens,
            Some(1),
            r#"{"max_tokens":1,"model":"m"}"#,
        ),
        (
            r#"{"model":"m" , "max_completion_tokens":9, "max_tokens":1}"#,
            MaxTokens,
            Some(1),
            r#"{"model":"m", "max_tokens":1}"#,
        ),
        (
            r#"{"model":"m","max_tokens":1,"max_completion_tokens":9}"#,
            MaxTokens,
            Some(1),
            r#"{"model":"m","max_tokens":1}"#,
        ),
        (
            r#"{"max_tokens":1,"model":"m","max_completion_tokens":9}"#,
            MaxCompletionTokens,
            Some(8),
            r#"{"model":"m","max_completion_tokens":8}"#,
        ),
        // A `null` states nothing and does no harm, so it stays.
        (
            r#"{"model":"m","max_tokens":1,"max_completion_tokens":null}"#,
            MaxTokens,
            Some(1),
            r#"{"model":"m","max_tokens":1,"max_completion_tokens":null}"#,
        ),
    ] {
        assert_eq!(with_maximum(body, field, tokens), expected, "{body}");
    }
}

#[test]
fn members_that_are_only_added_need_no_byte_of_the_body_and_others_those_before_them() {
    let size = |body: &str| {
        let maximum = Some(WrittenMaximum { field: MaxTokens, tokens: Some(9) });
        let service_tier = Some(WrittenTier::Standard("default"));
        let edits =
            read(body).edits(&Rewrite { asks_usage: true, maximum, service_tier, ..Rewrite::default() });
        (front_size(&edits), known_front(&edits))
    };
    assert_eq!(size(r#"{"messages":[],"model":"m"}"#), (1, Some(&b"{"[..])));
    assert_eq!(size(r#" {"messages":[],"model":"m"}"#), (2, None));
    assert_eq!(size(r#"{"max_tokens":10,"model":"m"}"#), (16, None));
    assert_eq!(front_size(&[]), 0);
}

#[test]
fn a_maximum_in_the_field_counts_and_one_beside_it_only_where_the_field_says_none() {
    let stated = |body: &str| [MaxTokens, MaxCompletionTokens].map(|field| read(body).stated_maximum(field));
    assert_eq!(stated(r#"{"model":"m","max_tokens":1,"max_completion_tokens":9}"#), [Some(1), Some(9)]);
    assert_eq!(stated(r#"{"model":"m","max_tokens":null,"max_completion_tokens":9}"#), [Some(9), Some(9)]);
    assert_eq!(stated(r#"{"model":"m","max_tokens":4}"#), [Some(4), Some(4)]);
    assert_eq!(stated(r#"{"model":"m"}"#), [None, None]);
}

#[test]
fn the_service_tier_is_the_providers_word_or_is_taken_out() {
    let tier =
        |body: &str, tier| rewritten(body, &Rewrite { service_tier: Some(tier), ..Rewrite::default() });
    let word = WrittenTier::Standard("on_demand");
    assert_eq!(tier(r#"{"model":"m"}"#, word), r#"{"service_tier":"on_demand","model":"m"}"#);
    assert_eq!(
        tier(r#"{"service_tier":null,"model":"m"}"#, word),
        r#"{"service_tier":"on_demand","model":"m"}"#
    );
    assert_eq!(
        tier(r#"{"model":"m","service_tier": "auto" }"#, word),
        r#"{"model":"m","service_tier": "on_demand" }"#
    );
    for body in [
        r#"{"service_tier":"auto","model":"m"}"#,
        r#"{"model":"m","service_tier":"default"}"#,
        r#"{"model":"m"}"#,
        r#"{"model":"m", "service_tier":null}"#,
    ] {
        assert_eq!(tier(body, WrittenTier::TakenOut), r#"{"model":"m"}"#, "{body}");
    }
}

/// One member of a body, or none.
fn member(
    name: &'static str,
    value: impl Strategy<Value = Value>,
) -> impl Strategy<Value = Option<(String, Value)>> {
    prop::option::of(value.prop_map(move |value| (name.to_owned(), value)))
}

fn maximum() -> impl Strategy<Value = Value> {
    prop_oneof![Just(Value::Null), (1u64..5_000).prop_map(Value::from)]
}

/// A body as text, its members in any order, with white space where JSON allows it.
fn body() -> impl Strategy<Value = String> {
    let members = (
        member("max_tokens", maximum()),
        member("max_completion_tokens", maximum()),
        member("service_tier", prop_oneof![Just(json!(null)), Just(json!("auto")), Just(json!("default"))]),
        member(
            "stream_options",
            prop_oneof![Just(json!(null)), Just(json!({})), Just(json!({"include_usage": false}))],
        ),
        member("messages", Just(json!([{"content": "}, \"max_tokens\": 3 {"}]))),
    );
    (members, any::<u64>(), prop_oneof![Just(""), Just(" "), Just("\n\t")]).prop_map(
        |(members, order, space)| {
            let (a, b, c, d, e) = members;
            let mut found: Vec<_> =
                [a, b, c, d, e, Some(("model".to_owned(), json!("m")))].into_iter().flatten().collect();
            for place in (1..found.len()).rev() {
                found.swap(place, usize::from(order.to_le_bytes()[place % 8]) % (place + 1));
            }
            let texts: Vec<String> = found
                .iter()
                .map(|(key, value)| format!("{space}\"{key}\"{space}:{space}{value}{space}"))
                .collect();
            format!("{space}{{{}}}{space}", texts.join(","))
        },
    )
}

proptest! {
    #[test]
    fn a_rewritten_body_is_json_and_says_what_was_written(
        body in body(), completion in any::<bool>(), standard in any::<bool>(), tokens in 1u64..5_000, usage in any::<bool>(),
    ) {
        let field = if completion { MaxCompletionTokens } else { MaxTokens };
        let service_tier = Some(if standard { WrittenTier::Standard("default") } else { WrittenTier::TakenOut });
        let maximum = Some(WrittenMaximum { field, tokens: Some(tokens) });
        let made = rewritten(&body, &Rewrite { upstream_model: Some("n"), asks_usage: usage, maximum, service_tier });
        let mut expected: Value = serde_json::from_str(&body).unwrap();
        let members = expected.as_object_mut().unwrap();
        members.insert("model".to_owned(), json!("n"));
        if members.get(field.other().name()).is_some_and(Value::is_number) {
            members.remove(field.other().name());
        }
        members.insert(field.name().to_owned(), json!(tokens));
        members.remove("service_tier");
        if standard {
            members.insert("service_tier".to_owned(), json!("default"));
        }
        if usage {
            members.insert("stream_options".to_owned(), json!({"include_usage": true}));
        }
        prop_assert_eq!(serde_json::from_str::<Value>(&made).unwrap(), expected, "{} became {}", body, made);
        // No key occurs twice: the gateway itself would refuse that.
        let again = read(&made);
        prop_assert_eq!(again.maximum(field).unwrap().number, Some(tokens));
        prop_assert!(again.maximum(field.other()).is_none_or(|other| other.number.is_none()));
    }
}
