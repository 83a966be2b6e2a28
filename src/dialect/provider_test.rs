#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use super::*;
use crate::call::config::Config;

/// A configuration with one provider `p`, which has the members `more` too.
fn config(more: &str) -> String {
    format!(
        r#"{{"ledger": {{"cluster": "l", "authority": "l"}}, "hosts": ["*"], "providers": {{"p": {{
            "cluster": "c", "authority": "a", "base_path": "/v1", "stream_usage": "ask", "stops_at": "model_maximum", "own_keys": false{more}}}}}}}"#
    )
}

fn provider(more: &str) -> Provider {
    Config::parse(&config(more)).unwrap().providers["p"].clone()
}

#[test]
fn conventions_that_are_left_out_are_openais_old_ones() {
    let provider = provider("");
    assert_eq!(provider.usage_rules.name(), "openai/1");
    assert_eq!(provider.output_maximum.name(), "max_tokens");
    assert_eq!(
        (provider.credential.header.as_str(), provider.credential.prefix.as_str()),
        ("authorization", "Bearer ")
    );
    assert!(provider.model_patterns.is_empty() && !provider.serves("gpt-5"));
    assert!(provider.options.is_empty() && provider.standard_tier.is_none());
}

#[test]
fn conventions_are_read() {
    let provider = provider(
        r#", "usage_rules": "additional/1", "output_maximum": "max_completion_tokens",
            "credential": {"header": "x-api-key", "prefix": ""}, "model_patterns": ["gpt-*", "o3"],
            "standard_tier": "on_demand", "options": ["think", "stream_options.continuous_usage_stats"]"#,
    );
    assert_eq!(provider.standard_tier.as_deref(), Some("on_demand"));
    assert_eq!(provider.options, ["think", "stream_options.continuous_usage_stats"]);
    assert_eq!(provider.usage_rules, Rules::Additional1);
    assert_eq!(provider.output_maximum, OutputMaximum::MaxCompletionTokens);
    assert_eq!((provider.credential.header.as_str(), provider.credential.prefix.as_str()), ("x-api-key", ""));
    assert_eq!(provider.model_patterns, ["gpt-*", "o3"]);
}

#[test]
fn every_mistake_of_a_convention_is_named_by_its_path() {
    for (more, expected) in [
        (
            r#""usage_rules": "openai/3""#,
            r#"usage_rules: must be "openai/1" or "additional/1" or "openai/2" or "additional/2", is "openai/3""#,
        ),
        (r#""usage_rules": 1"#, r#"usage_rules: must be a string, is a number: write it in double quotes"#),
        (
            r#""output_maximum": "max_output""#,
            r#"output_maximum: must be "max_tokens" or "max_completion_tokens", is "max_output""#,
        ),
        (r#""credential": "Bearer ""#, "credential: must be an object, is a string"),
        (r#""credential": {"name": "x"}"#, "credential.name: is unknown here; known are: header, prefix"),
        (
            r#""credential": {"header": "X-API-Key"}"#,
            "credential.header: must be a header's name of a-z, 0-9 and '-'",
        ),
        (r#""credential": {"header": ""}"#, "credential.header: must not be empty"),
        (
            r#""credential": {"header": "host"}"#,
            "credential.header: must be a header's name of a-z, 0-9 and '-'",
        ),
        (
            r#""credential": {"prefix": "a\r\nb"}"#,
            "credential.prefix: must be at most 64 printable ASCII characters",
        ),
        (
            r#""model_patterns": "gpt-*""#,
            r#"model_patterns: must be a list of patterns of model ids, such as ["gpt-*"]"#,
        ),
        (r#""model_patterns": ["a*", "*b*"]"#, "model_patterns[1]: must have at most one '*'"),
        (r#""model_patterns": ["a*", "a*"]"#, r#"model_patterns[1]: "a*" stands twice: keep one"#),
        (
            r#""model_patterns": ["", "a b"]"#,
            "model_patterns[0]: must not be empty\nproviders.p.model_patterns[1]: must be at most 256 bytes without spaces",
        ),
        (r#""standard_tier": "On Demand""#, "standard_tier: must be at most 32 of a-z, 0-9, '-' and '_'"),
        (
            r#""options": "think""#,
            r#"options: must be a list of names of request options, such as ["think"]"#,
        ),
        (r#""options": ["think", "think"]"#, r#"options[1]: "think" stands twice: keep one"#),
        (
            r#""options": ["temperature"]"#,
            r#"options[0]: "temperature" need not be listed: every provider is sent it"#,
        ),
        (
            r#""options": ["n_predict"]"#,
            r#"options[0]: "n_predict" cannot be let pass: with it a provider does or charges what this gateway does not price"#,
        ),
        (
            r#""options": ["maxOutputTokens"]"#,
            r#"options[0]: "maxOutputTokens" cannot be let pass: with it a provider does or charges what this gateway does not price"#,
        ),
        (
            r#""options": ["tools.google_search"]"#,
            r#"options[0]: "tools.google_search" cannot be let pass: with it a provider does or charges what this gateway does not price"#,
        ),
        (
            r#""options": ["a b"]"#,
            r#"options[0]: "a b" must be the name of a request's option, such as "think" or "thinking.budget_tokens""#,
        ),
        (
            r#""patterns": []"#,
            "patterns: is unknown here; known are: cluster, authority, base_path, stream_usage, usage_rules, output_maximum, stops_at, standard_tier, options, credential, own_keys, platform_funding, model_patterns",
        ),
    ] {
        let mistakes = Config::parse(&config(&format!(", {more}"))).unwrap_err().to_string();
        assert_eq!(mistakes, format!("providers.p.{expected}"), "{more}");
    }
}

#[test]
fn a_pattern_is_an_id_with_at_most_one_star() {
    for (pattern, serves, serves_not) in [
        ("gpt-*", &["gpt-5", "gpt-"][..], &["gpt", "xgpt-5", "GPT-5", ""][..]),
        ("*-latest", &["mistral-latest", "-latest"], &["latest", "mistral-latest2"]),
        ("a*a", &["aa", "aba"], &["a", "ab", "ba"]),
        ("accounts/fireworks/*", &["accounts/fireworks/models/x"], &["accounts/other/models/x"]),
        ("o3", &["o3"], &["o3-mini", "o"]),
        ("*", &["", "anything"], &[]),
    ] {
        let provider = provider(&format!(r#", "model_patterns": ["nothing", "{pattern}"]"#));
        assert!(serves.iter().all(|model| provider.serves(model)), "{pattern}");
        assert!(!serves_not.iter().any(|model| provider.serves(model)), "{pattern}");
    }
}

#[test]
fn where_a_provider_stops_must_be_said() {
    let told = |config: &str| Config::parse(config).unwrap_err().to_string();
    let without = config("").replace(r#", "stops_at": "model_maximum""#, "");
    assert_eq!(told(&without), "providers.p.stops_at: is missing");
    let wrong = config("").replace("model_maximum", "somewhere");
    assert_eq!(
        told(&wrong),
        r#"providers.p.stops_at: must be "model_maximum" or "context_end", is "somewhere""#
    );
}
