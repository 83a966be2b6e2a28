#![allow(clippy::unwrap_used)]

use super::*;

fn told(path: &str) -> String {
    WrongPath::of(path.as_bytes()).to_string()
}

#[test]
fn clients_of_other_apis_are_told_which_api_that_is_and_what_to_call_instead() {
    for (path, api, instead) in [
        ("/v1/responses", "OpenAI's Responses API", "POST /v1/chat/completions"),
        ("/v1/responses/resp_1/cancel", "OpenAI's Responses API", "POST /v1/chat/completions"),
        ("/v1/messages", "Anthropic's Messages API", "POST /v1/chat/completions"),
        ("/v1/v1/messages", "Anthropic's Messages API", "POST /v1/chat/completions"),
        ("/messages", "Anthropic's Messages API", "POST /v1/chat/completions"),
        ("/v1/completions", "OpenAI's older completions API", "POST /v1/chat/completions"),
        ("/api/embed", "Ollama's own API", "POST /v1/embeddings"),
        ("/api/tags", "Ollama's own API", "GET /v1/models"),
        ("/v1beta/models/gemini-3-pro:generateContent", "Google's Gemini API", "POST /v1/chat/completions"),
        ("/v1/images/generations", "OpenAI's images API", "It serves POST /v1/chat/completions"),
    ] {
        let told = told(path);
        assert!(told.contains(path) && told.contains(api) && told.contains(instead), "{told}");
        assert!(!told.contains("base URL"), "it may be right: {told}");
    }
    assert!(!told("/v1/responsesx").contains("Responses API"));
}

#[test]
fn a_base_url_without_v1_or_with_two_of_them_is_told_exactly_that() {
    for (path, route) in [
        ("/chat/completions", "/v1/chat/completions"),
        ("/embeddings", "/v1/embeddings"),
        ("/models", "/v1/models"),
        ("/models/gpt-4o", "/v1/models"),
        ("/credits/ledger", "/v1/credits/ledger"),
    ] {
        let without = told(path);
        let says =
            format!("Add /v1 to the end of the base URL: the call came to {path}, and the path is {route}.");
        assert_eq!(without, says);
        let twice = told(&format!("/v1/v1{path}"));
        assert!(
            twice.starts_with("Take /v1 off the end of the base URL") && twice.contains(route),
            "{twice}"
        );
    }
    assert!(told("/v1/v1/v1/chat/completions").starts_with("Take /v1 off"));
}

#[test]
fn a_path_that_is_nearly_one_is_told_which() {
    for (path, route) in [
        ("/v1/chat/completion", "POST /v1/chat/completions"),
        ("/v1/chat/completions/", "POST /v1/chat/completions"),
        ("/V1/chat/completions", "POST /v1/chat/completions"),
        ("/v1/chat%2Fcompletions", "POST /v1/chat/completions"),
        ("/inference/v1/chat/completions", "POST /v1/chat/completions"),
        ("/openai/deployments/gpt-4o/chat/completions", "POST /v1/chat/completions"),
        ("/v1/embedding", "POST /v1/embeddings"),
        ("/v1/models/", "GET /v1/models"),
        ("/v1/model", "GET /v1/models"),
        ("/v1/ledger", "GET /v1/credits/ledger"),
        ("/health", "GET /healthz"),
    ] {
        let told = told(path);
        assert!(told.starts_with(&format!("Call {route}, to the letter")) && told.contains(path), "{told}");
    }
    for path in ["", "/", "/v1", "/v1/", "*", "/internal/v1/debits", "/v1/what"] {
        assert!(told(path).contains("the calls are POST /v1/chat/completions"), "{}", told(path));
    }
    assert!(
        WrongPath::of_credits(b"/v1/credits")
            .to_string()
            .contains("\"credits\" in the filter's configuration")
    );
}

#[test]
fn whatever_the_path_is_the_words_stay_short_and_plain() {
    let long = format!("/v1/responses/{}", "x".repeat(60 * 1024));
    assert!(told(&long).len() < 400 && told(&long).contains("xxx..."), "{}", told(&long));
    let odd = WrongPath::of(b"/\xff\x00 \"\\<b>\x7f%zz").to_string();
    assert!(odd.contains("/%FF%00%20%22%5C%3Cb%3E%7F%zz"), "{odd}");
    let most = WrongPath::of(&[0xff; 10_000]).to_string();
    assert!(most.len() < 512 && most.is_ascii(), "{most}");
}

#[test]
fn a_percent_sign_is_read_where_two_digits_follow() {
    let decoded = |path: &str| String::from_utf8(percent_decoded(path.as_bytes(), 12)).unwrap();
    for (path, is) in [("a%2Fb%2fc", "a/b/c"), ("%", "%"), ("%2", "%2"), ("%zz%41", "%zzA"), ("%252F", "%2F")]
    {
        assert_eq!(decoded(path), is);
    }
    assert_eq!(decoded("0123456789abcdef"), "0123456789ab");
    assert_eq!(decoded(&"%41".repeat(1_000)), "A".repeat(12));
}
