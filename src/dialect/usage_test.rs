#![allow(clippy::unwrap_used)]

use super::*;

/// `input cached output reasoning`, with `!` if more was cached than there was input; `-` if nothing could be
/// read.
fn counts(raw: &str, mode: Mode) -> String {
    counts_by(Rules::OpenAi1, raw, mode)
}

fn counts_by(rules: Rules, raw: &str, mode: Mode) -> String {
    rules.read(raw.as_bytes(), mode).map_or_else(
        || "-".to_owned(),
        |Reading { usage, cached_exceeds_input, .. }| {
            let odd = if cached_exceeds_input { "!" } else { "" };
            format!("{} {}{odd} {} {}", usage.input, usage.cached_input, usage.output, usage.reasoning_output)
        },
    )
}

#[test]
fn usage_is_read_as_each_provider_reports_it() {
    for (name, raw, expected) in [
        (
            "openai",
            r#"{"prompt_tokens":16,"completion_tokens":300,"total_tokens":316,"prompt_tokens_details":{"cached_tokens":4,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":7}}"#,
            "16 4 300 7",
        ),
        (
            "deepseek",
            r#"{"prompt_tokens":70,"completion_tokens":5,"total_tokens":75,"prompt_cache_hit_tokens":64,"prompt_cache_miss_tokens":6}"#,
            "70 64 5 0",
        ),
        (
            "both ways of cached, once",
            r#"{"prompt_tokens":70,"completion_tokens":5,"prompt_tokens_details":{"cached_tokens":64},"prompt_cache_hit_tokens":64}"#,
            "70 64 5 0",
        ),
        (
            "details without the count",
            r#"{"prompt_tokens":70,"completion_tokens":5,"prompt_tokens_details":{"cached_tokens":null},"prompt_cache_hit_tokens":64}"#,
            "70 64 5 0",
        ),
        (
            "groq",
            r#"{"queue_time":0.04,"prompt_tokens":45,"prompt_time":0.003,"completion_tokens":662,"completion_time":2.65,"total_tokens":707,"total_time":2.6}"#,
            "45 0 662 0",
        ),
        (
            "xai: reasoning outside completion",
            r#"{"prompt_tokens":12,"completion_tokens":2,"total_tokens":334,"completion_tokens_details":{"reasoning_tokens":320}}"#,
            "12 0 322 320",
        ),
        (
            "a total below the sum",
            r#"{"prompt_tokens":12,"completion_tokens":20,"total_tokens":15}"#,
            "12 0 20 0",
        ),
        ("no completion, but a total", r#"{"prompt_tokens":12,"total_tokens":15}"#, "12 0 3 0"),
        ("no prompt, but a total", r#"{"completion_tokens":12,"total_tokens":15}"#, "3 0 12 0"),
        ("zero is a count", r#"{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}"#, "0 0 0 0"),
        (
            "more cached than input",
            r#"{"prompt_tokens":5,"completion_tokens":1,"prompt_tokens_details":{"cached_tokens":6}}"#,
            "5 0! 1 0",
        ),
        ("as strings", r#"{"prompt_tokens":"5","completion_tokens":"1"}"#, "5 0 1 0"),
        ("as floats", r#"{"prompt_tokens":5.0,"completion_tokens":1.00}"#, "5 0 1 0"),
        ("escaped keys", r#"{"prompt\u005ftokens":5,"completion_tokens":1}"#, "5 0 1 0"),
        (
            "a key that stands twice: the last",
            r#"{"prompt_tokens":5,"completion_tokens":1,"prompt_tokens":6}"#,
            "6 0 1 0",
        ),
        (
            "exact above 2^53",
            r#"{"prompt_tokens":9007199254740993,"completion_tokens":1}"#,
            "9007199254740993 0 1 0",
        ),
        (
            "decoys deeper down",
            r#"{"prompt_tokens":5,"completion_tokens":1,"x":{"prompt_tokens":9,"y":{"completion_tokens":9}},"z":[{"prompt_tokens":8}]}"#,
            "5 0 1 0",
        ),
        (
            "details that are a list have no keys: not those of the details before",
            r#"{"prompt_tokens":9,"completion_tokens":1,"completion_tokens_details":{"cached_tokens":0},"prompt_tokens_details":[7]}"#,
            "9 0 1 0",
        ),
    ] {
        assert_eq!(counts(raw, Mode::Chat), expected, "{name}");
    }
}

#[test]
fn absent_is_not_zero() {
    for raw in [
        "null",
        "{}",
        "[]",
        "7",
        "\"x\"",
        "",
        "{",
        r#"{"prompt_tokens":5}"#,
        r#"{"completion_tokens":5}"#,
        r#"{"total_tokens":5}"#,
        r#"{"prompt_tokens":-5,"completion_tokens":1}"#,
        r#"{"prompt_tokens":5,"completion_tokens":1.5}"#,
        r#"{"prompt_tokens":5,"completion_tokens":1e3}"#,
        r#"{"prompt_tokens":5,"completion_tokens":null}"#,
        r#"{"prompt_tokens":5,"completion_tokens":[1]}"#,
        r#"{"prompt_tokens":5,"completion_tokens":9223372036854775808}"#,
        r#"{"prompt_tokens":5,"completion_tokens":99999999999999999999999}"#,
        r#"{"prompt_tokens":12,"total_tokens":5}"#,
        r#"{"prompt_tokens":5,"completion_tokens":""}"#,
    ] {
        assert_eq!(counts(raw, Mode::Chat), "-", "{raw}");
    }
}

#[test]
fn embeddings_have_no_output() {
    for (raw, expected) in [
        (r#"{"prompt_tokens":12,"total_tokens":12}"#, "12 0 0 0"),
        (r#"{"prompt_tokens":12}"#, "12 0 0 0"),
        (r#"{"total_tokens":12}"#, "12 0 0 0"),
        (r#"{"prompt_tokens":12,"completion_tokens":0,"total_tokens":12}"#, "12 0 0 0"),
        ("{}", "-"),
    ] {
        assert_eq!(counts(raw, Mode::Embeddings), expected, "{raw}");
    }
}

#[test]
fn the_parts_of_a_count_are_read() {
    let raw = br#"{"prompt_tokens":9,"completion_tokens":8,"prompt_tokens_details":{"cached_tokens":1,"cache_write_tokens":2,
        "audio_tokens":3},"completion_tokens_details":{"reasoning_tokens":4,"audio_tokens":5,"cached_tokens":6}}"#;
    let usage = Rules::OpenAi1.read(raw, Mode::Chat).unwrap().usage;
    let expected = Usage {
        input: Tokens(9),
        cached_input: Tokens(1),
        cache_write_input: Tokens(2),
        audio_input: Tokens(3),
        output: Tokens(8),
        audio_output: Tokens(5),
        reasoning_output: Tokens(4),
        ..Usage::default()
    };
    assert_eq!(usage, expected);
}

/// Usages whose cached tokens come on top of the input: a name, the raw usage, and its counts for a chat
/// call.
const ADDITIONAL: &[(&str, &str, &str)] = &[
    (
        "anthropic",
        r#"{"input_tokens":50,"cache_read_input_tokens":1000,"cache_creation_input_tokens":248,"output_tokens":503}"#,
        "1298 1000 503 0",
    ),
    (
        "a total without the cached tokens",
        r#"{"prompt_tokens":50,"completion_tokens":9,"total_tokens":59,"cache_read_input_tokens":1000}"#,
        "1050 1000 9 0",
    ),
    (
        "a total with them",
        r#"{"prompt_tokens":50,"completion_tokens":9,"total_tokens":1059,"cache_read_input_tokens":1000}"#,
        "1050 1000 9 0",
    ),
    (
        "a total with those read only, not those written",
        r#"{"prompt_tokens":50,"completion_tokens":9,"total_tokens":1059,"cache_read_input_tokens":1000,"cache_creation_input_tokens":10}"#,
        "1060 1000 9 0",
    ),
    (
        "reasoning outside of completion, in a total with them",
        r#"{"prompt_tokens":50,"completion_tokens":9,"total_tokens":1159,"cache_read_input_tokens":1000,"completion_tokens_details":{"reasoning_tokens":100}}"#,
        "1050 1000 109 100",
    ),
    (
        "in details, openai's way",
        r#"{"prompt_tokens":50,"completion_tokens":9,"prompt_tokens_details":{"cached_tokens":1000,"cache_write_tokens":7}}"#,
        "1057 1000 9 0",
    ),
    (
        "both ways, once",
        r#"{"prompt_tokens":50,"completion_tokens":9,"cache_read_input_tokens":1000,"prompt_tokens_details":{"cached_tokens":1000}}"#,
        "1050 1000 9 0",
    ),
    (
        "both spellings: the one of the route",
        r#"{"input_tokens":1,"output_tokens":2,"prompt_tokens":50,"completion_tokens":9}"#,
        "50 0 9 0",
    ),
    (
        "null and zero",
        r#"{"input_tokens":5,"output_tokens":0,"cache_read_input_tokens":null,"cache_creation_input_tokens":0}"#,
        "5 0 0 0",
    ),
    (
        "cache hits are deepseek's, and inside",
        r#"{"prompt_tokens":50,"completion_tokens":9,"prompt_cache_hit_tokens":40}"#,
        "50 0 9 0",
    ),
    ("the total alone says nothing", r#"{"input_tokens":5,"total_tokens":9}"#, "-"),
    ("nor in the place of the input", r#"{"output_tokens":5,"total_tokens":9}"#, "-"),
    (
        "a sum out of range",
        r#"{"input_tokens":9223372036854775807,"output_tokens":1,"cache_read_input_tokens":1}"#,
        "-",
    ),
    (
        "a sum beyond 64 bits",
        r#"{"input_tokens":9223372036854775807,"output_tokens":1,"cache_read_input_tokens":9223372036854775807,"cache_creation_input_tokens":9223372036854775807}"#,
        "-",
    ),
];

#[test]
fn cached_tokens_that_are_additional_are_added_once() {
    let counts = |raw: &str, mode| counts_by(Rules::Additional1, raw, mode);
    for (name, raw, expected) in ADDITIONAL {
        assert_eq!(counts(raw, Mode::Chat), *expected, "{name}");
    }
    assert_eq!(counts(r#"{"prompt_tokens":5,"total_tokens":5}"#, Mode::Embeddings), "5 0 0 0");
    assert_eq!(counts(r#"{"total_tokens":5}"#, Mode::Embeddings), "-");
    let raw = br#"{"input_tokens":1,"output_tokens":2,"cache_read_input_tokens":3,"cache_creation_input_tokens":4}"#;
    let usage = Rules::Additional1.read(raw, Mode::Chat).unwrap().usage;
    assert_eq!((usage.input, usage.cache_write_input), (Tokens(8), Tokens(4)));
    assert_eq!(
        counts_by(Rules::OpenAi1, std::str::from_utf8(raw).unwrap(), Mode::Chat),
        "-",
        "not openai's names"
    );
}

#[test]
fn rules_are_known_by_their_names() {
    assert_eq!(Rules::ALL.map(Rules::name), ["openai/1", "additional/1", "openai/2", "additional/2"]);
    assert!(Rules::ALL.iter().all(|rules| Rules::named(rules.name()) == Some(*rules)));
    assert_eq!((Rules::named(""), Rules::named("openai/3")), (None, None));
    assert_eq!(Rules::default(), Rules::OpenAi1);
}

/// What the second sets read beyond the first: `input cached write hour images | output images`, then the
/// service tier, `writes` and `tools`.
fn second(rules: Rules, raw: &str) -> String {
    rules.read(raw.as_bytes(), Mode::Chat).map_or_else(
        || "-".to_owned(),
        |reading| {
            let usage = reading.usage;
            let mut told = format!(
                "{} {} {} {} {} | {} {}",
                usage.input,
                usage.cached_input,
                usage.cache_write_input,
                usage.cache_write_1h_input,
                usage.image_input,
                usage.output,
                usage.image_output
            );
            told.extend(reading.service_tier.map(|tier| format!(" {tier}")));
            told.push_str(if reading.writes_cost { " writes" } else { "" });
            told.push_str(if reading.server_tools { " tools" } else { "" });
            told
        },
    )
}

#[test]
fn the_second_sets_read_what_the_first_leave() {
    for (members, inside, apart) in [
        (r#""cached_tokens":40"#, "100 40 0 0 0 | 9 0", "140 40 0 0 0 | 9 0"),
        (
            r#""cached_tokens":40,"prompt_tokens_details":{"cached_tokens":30}"#,
            "100 30 0 0 0 | 9 0",
            "130 30 0 0 0 | 9 0",
        ),
        (
            r#""prompt_tokens_details":{"image_tokens":7},"completion_tokens_details":{"image_tokens":8}"#,
            "100 0 0 0 7 | 9 8",
            "100 0 0 0 7 | 9 8",
        ),
        (r#""service_tier":"priority""#, "100 0 0 0 0 | 9 0 priority", "100 0 0 0 0 | 9 0 priority"),
        (r#""service_tier":null"#, "100 0 0 0 0 | 9 0", "100 0 0 0 0 | 9 0"),
        (r#""cache_creation_input_tokens":5"#, "100 0 5 0 0 | 9 0 writes", "105 0 5 0 0 | 9 0 writes"),
        (
            r#""cache_creation_input_tokens":5,"cache_creation":{"ephemeral_5m_input_tokens":3,"ephemeral_1h_input_tokens":2}"#,
            "100 0 3 2 0 | 9 0 writes",
            "105 0 3 2 0 | 9 0 writes",
        ),
        (
            r#""cache_creation":{"ephemeral_5m_input_tokens":3,"ephemeral_1h_input_tokens":2}"#,
            "100 0 3 2 0 | 9 0 writes",
            "105 0 3 2 0 | 9 0 writes",
        ),
        // Only a part of the whole has a lifetime.
        (
            r#""cache_creation_input_tokens":5,"cache_creation":{"ephemeral_1h_input_tokens":2}"#,
            "100 0 3 2 0 | 9 0 writes",
            "105 0 3 2 0 | 9 0 writes",
        ),
        // The whole is smaller than its part.
        (
            r#""cache_creation_input_tokens":1,"cache_creation":{"ephemeral_1h_input_tokens":2}"#,
            "100 0 0 2 0 | 9 0 writes",
            "102 0 0 2 0 | 9 0 writes",
        ),
        (r#""prompt_tokens_details":{"cache_write_tokens":6}"#, "100 0 6 0 0 | 9 0", "106 0 6 0 0 | 9 0"),
        (r#""server_tool_use":{"web_search_requests":0}"#, "100 0 0 0 0 | 9 0", "100 0 0 0 0 | 9 0"),
        (
            r#""server_tool_use":{"a":0,"web_search_requests":2,"b":0}"#,
            "100 0 0 0 0 | 9 0 tools",
            "100 0 0 0 0 | 9 0 tools",
        ),
        // Sums stay below 2^63.
        (
            r#""cache_creation":{"ephemeral_5m_input_tokens":9223372036854775807,"ephemeral_1h_input_tokens":1}"#,
            "-",
            "-",
        ),
    ] {
        let raw = format!(r#"{{"prompt_tokens":100,"completion_tokens":9,{members}}}"#);
        assert_eq!(second(Rules::OpenAi2, &raw), inside, "{raw}");
        assert_eq!(second(Rules::Additional2, &raw), apart, "{raw}");
        for (first, rules) in [(Rules::OpenAi1, Rules::OpenAi2), (Rules::Additional1, Rules::Additional2)] {
            let reading = first.read(raw.as_bytes(), Mode::Chat).unwrap();
            assert_eq!(
                (reading.service_tier, reading.writes_cost, reading.server_tools),
                (None, false, false)
            );
            assert_eq!(reading.usage.image_input.0 + reading.usage.cache_write_1h_input.0, 0);
            assert_eq!((first.latest(), rules.first(), rules.latest()), (rules, first, rules));
        }
    }
}
