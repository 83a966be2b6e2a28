use super::*;
use crate::plays::{ALL, STRICTEST, find};

const PROMPT: u64 = 10;
const ENDLESS: Model = Model { context_tokens: 1_000, model_tokens: 300, ends_after_tokens: None };

fn work(plays: &Plays, body: &str, model: Model) -> Result<Work, Refused> {
    Work::of(&understand(body.as_bytes(), plays).expect("a JSON object"), PROMPT, plays, model)
}

fn tokens(name: &str, body: &str) -> u64 {
    work(find(name).unwrap(), body, ENDLESS)
        .unwrap_or_else(|refused| panic!("{name} {body}: {refused:?}"))
        .tokens
}

fn refused(name: &str, body: &str) -> (u16, String) {
    let refused = work(find(name).unwrap(), body, ENDLESS).expect_err(body);
    (refused.status, refused.field)
}

#[test]
fn each_name_stands_once_with_its_source() {
    for plays in ALL {
        assert!(std::ptr::eq(find(plays.name).unwrap(), plays), "{}", plays.name);
        assert!(plays.source.len() > 20, "{}", plays.name);
    }
    assert!(find("").is_none() && find("OpenAI").is_none());
}

#[test]
fn a_maximum_counts_in_the_field_that_the_provider_reads() {
    for (name, max_tokens, max_completion_tokens, n_predict) in [
        ("deepseek", 5, 300, 300),
        ("together", 5, 300, 300),
        ("ollama", 5, 10_000, 10_000),
        ("groq", 5, 7, 0),
        ("xai", 5, 7, 990),
        ("openrouter", 5, 7, 300),
        ("fireworks", 5, 7, 300),
        ("vllm", 5, 7, 990),
        ("llamacpp", 5, 7, 9),
        ("openai", 5, 7, 0),
        ("mistral", 5, 0, 0),
    ] {
        assert_eq!(tokens(name, r#"{"max_tokens":5}"#), max_tokens, "{name}");
        for (body, expected) in
            [(r#"{"max_completion_tokens":7}"#, max_completion_tokens), (r#"{"n_predict":9}"#, n_predict)]
        {
            match expected {
                0 => assert!(refused(name, body).0 >= 400, "{name} {body}"),
                expected => assert_eq!(tokens(name, body), expected, "{name} {body}"),
            }
        }
    }
}

#[test]
fn of_several_maxima_the_first_counts_or_all_are_refused() {
    let two = r#"{"max_tokens":5,"max_completion_tokens":7}"#;
    for (name, expected) in
        [("vllm", 7), ("llamacpp", 7), ("groq", 7), ("xai", 7), ("deepseek", 5), ("ollama", 5)]
    {
        assert_eq!(tokens(name, two), expected, "{name}");
    }
    assert_eq!(tokens("llamacpp", r#"{"max_tokens":5,"max_completion_tokens":7,"n_predict":900}"#), 900);
    assert_eq!(refused("openai", two), (400, "max_tokens".to_owned()));
    assert_eq!(refused("fireworks", two), (400, "max_tokens".to_owned()));
    assert_eq!(tokens("openai", r#"{"max_tokens":5,"max_completion_tokens":null}"#), 5);
    assert_eq!(refused("openai", r#"{"model":"o3-mini","max_tokens":5}"#), (400, "max_tokens".to_owned()));
}

#[test]
fn without_a_maximum_some_stop_at_the_models_and_some_run_on() {
    for (name, expected) in [
        ("openai", 300),
        ("deepseek", 300),
        ("together", 300),
        ("xai", 990),
        ("vllm", 990),
        ("llamacpp", 990),
        ("ollama", 10_000),
    ] {
        assert_eq!(tokens(name, "{}"), expected, "{name}");
        let large = r#"{"max_tokens":1000000}"#;
        assert_eq!(tokens(name, large), expected, "{name}");
    }
    assert_eq!(tokens("llamacpp", r#"{"n_predict":-1,"max_tokens":5}"#), 990);
    assert_eq!(tokens("ollama", r#"{"max_tokens":-1}"#), 10_000);
}

#[test]
fn an_answer_that_would_end_by_itself_ends_unless_the_request_lengthens_it() {
    let model = Model { ends_after_tokens: Some(20), ..ENDLESS };
    let of = |name: &str, body: &str| work(find(name).unwrap(), body, model).unwrap();
    let ended = |tokens, cut| (tokens, cut);
    for (name, body, expected) in [
        ("vllm", "{}", ended(20, false)),
        ("vllm", r#"{"max_tokens":20}"#, ended(20, false)),
        ("vllm", r#"{"max_tokens":19}"#, ended(19, true)),
        ("vllm", r#"{"min_tokens":50}"#, ended(50, false)),
        ("vllm", r#"{"ignore_eos":true}"#, ended(990, true)),
        ("vllm", r#"{"ignore_eos":false}"#, ended(20, false)),
        ("llamacpp", r#"{"ignore_eos":true,"max_tokens":60}"#, ended(60, true)),
        ("llamacpp", r#"{"min_tokens":50}"#, ended(20, false)),
        ("together", r#"{"ignore_eos":true,"min_tokens":50}"#, ended(20, false)),
    ] {
        let work = of(name, body);
        assert_eq!((work.tokens, work.cut), expected, "{name} {body}");
    }
}

#[test]
fn several_answers_are_made_where_the_provider_can() {
    let choices = |name: &str, body: &str| work(find(name).unwrap(), body, ENDLESS).unwrap().choices;
    assert_eq!(choices("vllm", r#"{"n":3}"#), 3);
    assert_eq!(choices("llamacpp", r#"{"n_cmpl":4,"n":1}"#), 4);
    assert_eq!(choices("ollama", r#"{"n":3}"#), 1);
    assert_eq!(choices("deepseek", r#"{"n":3}"#), 1);
    assert_eq!(refused("groq", r#"{"n":2}"#), (400, "n".to_owned()));
    assert_eq!(refused("openai", r#"{"n":0}"#), (400, "n".to_owned()));
}

#[test]
fn go_folds_case_and_of_equal_keys_the_last_counts() {
    assert_eq!(tokens("ollama", r#"{"max_tokens":5,"MAX_TOKENS":70}"#), 70);
    assert_eq!(tokens("ollama", "{\"max_tokens\":5,\"max_to\u{212a}en\u{17f}\":70}"), 70);
    assert_eq!(tokens("ollama", r#"{"max_tokens":5,"Max_Tokens":null}"#), 10_000);
    assert_eq!(tokens("vllm", r#"{"max_tokens":5,"MAX_TOKENS":70}"#), 5);
    assert_eq!(tokens("vllm", r#"{"max_tokens":5,"max_tokens":70}"#), 70);
}

#[test]
fn strict_providers_refuse_what_they_do_not_know() {
    for (name, body, expected) in [
        ("mistral", r#"{"max_completion_tokens":5}"#, (422, "max_completion_tokens")),
        ("mistral", r#"{"stream_options":{"include_usage":true}}"#, (422, "stream_options.include_usage")),
        ("openai", r#"{"top_k":5}"#, (400, "top_k")),
        ("groq", r#"{"chat_template_kwargs":{}}"#, (400, "chat_template_kwargs")),
        ("groq", r#"{"service_tier":"default"}"#, (400, "service_tier")),
        ("vllm", r#"{"max_tokens":"5"}"#, (400, "max_tokens")),
    ] {
        assert_eq!(refused(name, body), (expected.0, expected.1.to_owned()), "{body}");
    }
    for name in ["deepseek", "vllm", "llamacpp", "ollama", "together"] {
        tokens(name, r#"{"never_heard_of":1,"service_tier":"gold"}"#);
    }
}

#[test]
fn an_answer_names_the_tier_that_served_it() {
    let tier = |plays, body| work(plays, body, ENDLESS).unwrap().tier;
    let of = |name: &str, body| tier(find(name).unwrap(), body);
    assert_eq!(of("groq", "{}").as_deref(), Some("on_demand"));
    assert_eq!(of("groq", r#"{"service_tier":"auto"}"#).as_deref(), Some("on_demand"));
    assert_eq!(of("openai", r#"{"service_tier":"flex"}"#).as_deref(), Some("flex"));
    assert_eq!(of("vllm", r#"{"service_tier":"flex"}"#), None);
    assert_eq!(tier(&STRICTEST, r#"{"service_tier":"flex"}"#).as_deref(), Some("default"));
}

#[test]
fn whoever_plays_nobody_honours_max_tokens_alone() {
    let model = Model { ends_after_tokens: Some(11), ..ENDLESS };
    for (body, expected) in [
        (r#"{"max_tokens":2}"#, 2),
        (r#"{"max_completion_tokens":2}"#, 11),
        (r#"{"n_predict":2,"n":5,"ignore_eos":true,"MAX_TOKENS":2}"#, 11),
    ] {
        let work = work(&STRICTEST, body, model).unwrap();
        assert_eq!((work.tokens, work.choices), (expected, 1), "{body}");
    }
}
