//! Which answer is given: the folders' bytes, and the default rules where there are none.

mod common;

use std::path::{Path, PathBuf};

use common::{chat, file, get, post, standin, wire};
use pax_standin::{Behaviour, Options, Standin};

const PLAIN: &str = r#"{"model":"m"}"#;
const STREAM: &str = r#"{"model":"m","stream":true}"#;
const ASKING: &str = r#"{"model":"m","stream":true,"stream_options":{"include_usage":true}}"#;

/// Plays every answer of a folder in every form and compares it with the file.
fn plays_byte_for_byte(folder: &Path) {
    let options = Options { answers: vec![folder.to_owned()], ..Options::default() };
    let standin = Standin::start(options).unwrap();
    let names = standin.answer_names();
    assert!(!names.is_empty(), "no answers in {}", folder.display());
    for name in names {
        let read = |form: &str| std::fs::read(folder.join(format!("{name}{form}"))).ok();
        standin.set_behaviour(Behaviour { always_usage: true, ..Behaviour::answer(&name) }).unwrap();
        if let Some(json) = read(".json") {
            let is_embedding =
                serde_json::from_slice::<serde_json::Value>(&json).unwrap()["object"] == "list";
            let path = if is_embedding { "/v1/embeddings" } else { "/v1/chat/completions" };
            assert_eq!(post(&standin, "POST", path, PLAIN).body(), json, "{name}.json");
        }
        if let Some(lines) = read(".chunks.txt") {
            let text = String::from_utf8(lines).unwrap();
            let events: String = text.lines().map(|line| format!("data: {line}\n\n")).collect();
            let body = chat(&standin, STREAM).body();
            assert_eq!(String::from_utf8(body).unwrap(), events + common::DONE, "{name}.chunks.txt");
        }
        if let Some(raw) = read(".sse") {
            assert_eq!(chat(&standin, STREAM).body(), raw, "{name}.sse");
        }
    }
}

#[test]
fn our_own_answers_are_played_byte_for_byte() {
    plays_byte_for_byte(&pax_standin::own_answers());
}

#[test]
fn captures_are_played_byte_for_byte_where_there_are_some() {
    match std::env::var_os("PAX_CAPTURES") {
        Some(folder) => plays_byte_for_byte(&PathBuf::from(folder)),
        None => eprintln!("skipped: PAX_CAPTURES names no folder"),
    }
}

#[test]
fn the_usage_only_chunk_comes_only_to_those_who_ask() {
    let standin = standin();
    standin.set_behaviour(Behaviour::answer("openai-chat")).unwrap();
    let all = wire("openai-chat.chunks.txt");
    let without: String =
        all.split_inclusive("\n\n").filter(|event| !event.contains(r#""choices":[],"#)).collect();
    assert_ne!(all, without);
    assert_eq!(chat(&standin, STREAM).body(), without.as_bytes());
    assert_eq!(chat(&standin, ASKING).body(), all.as_bytes());
}

#[test]
fn usage_on_a_chunk_with_choices_comes_unasked() {
    let standin = standin();
    for name in ["deepseek-chat", "groq-chat", "mistral-chat", "fireworks-chat", "together-chat"] {
        standin.set_behaviour(Behaviour::answer(name)).unwrap();
        assert_eq!(chat(&standin, STREAM).body(), wire(&format!("{name}.chunks.txt")).as_bytes());
    }
}

#[test]
fn no_usage_leaves_no_usage_in_any_answer() {
    let standin = standin();
    for name in standin.answer_names() {
        standin.set_behaviour(Behaviour { no_usage: true, ..Behaviour::answer(&name) }).unwrap();
        for (path, body) in
            [("/v1/chat/completions", ASKING), ("/v1/chat/completions", PLAIN), ("/v1/embeddings", PLAIN)]
        {
            let text = String::from_utf8(post(&standin, "POST", path, body).body()).unwrap();
            assert!(!text.contains("\"usage\""), "{name}: {text}");
            assert!(!text.contains("prompt_tokens"), "{name}: {text}");
        }
    }
}

#[test]
fn mistral_answers_422_to_the_fields_it_does_not_know() {
    let standin = standin();
    standin.set_behaviour(Behaviour::answer("mistral-chat")).unwrap();
    for (body, field) in
        [(ASKING, "include_usage"), (r#"{"model":"m","max_completion_tokens":5}"#, "max_completion_tokens")]
    {
        let answer = chat(&standin, body);
        assert_eq!(answer.status, 422);
        let location = answer.json()["message"]["detail"][0]["loc"].clone();
        assert_eq!(location.as_array().unwrap().last().unwrap(), field);
    }
    assert_eq!(chat(&standin, STREAM).status, 200);
}

#[test]
fn without_an_answer_the_model_is_echoed_as_openai_would() {
    let standin = standin();
    let answer = chat(&standin, r#"{"model":"some/model","messages":[]}"#).json();
    assert_eq!((&answer["object"], &answer["model"]), (&"chat.completion".into(), &"some/model".into()));
    assert!(answer["choices"][0]["message"]["content"].as_str().unwrap().contains("some/model"));
    let usage = |body: &str| -> Vec<Option<serde_json::Value>> {
        let text = String::from_utf8(chat(&standin, body).body()).unwrap();
        let payloads = text.split("\n\n").filter_map(|event| event.strip_prefix("data: {"));
        let chunks =
            payloads.map(|json| serde_json::from_str::<serde_json::Value>(&format!("{{{json}")).unwrap());
        chunks.map(|chunk| chunk.get("usage").cloned()).collect()
    };
    assert!(usage(STREAM).iter().all(Option::is_none));
    let asked = usage(ASKING);
    let (last, others) = asked.split_last().unwrap();
    assert!(others.iter().all(|usage| *usage == Some(serde_json::Value::Null)));
    assert!(last.as_ref().unwrap()["completion_tokens"].as_u64().unwrap() > 0);
}

#[test]
fn an_answer_of_the_other_kind_leaves_a_route_its_own() {
    let standin = standin();
    standin.set_behaviour(Behaviour::answer("openai-vectors")).unwrap();
    assert_eq!(post(&standin, "POST", "/x/embeddings", PLAIN).body(), file("openai-vectors.json").as_bytes());
    assert_eq!(chat(&standin, PLAIN).json()["model"], "m");
    standin.set_behaviour(Behaviour::answer("openai-chat")).unwrap();
    let embeddings = post(&standin, "POST", "/v1/embeddings", r#"{"model":"m","input":["a","b"]}"#).json();
    assert_eq!(embeddings["data"].as_array().unwrap().len(), 2);
}

#[test]
fn requests_that_no_provider_takes_are_refused_in_openais_shape() {
    let standin = standin();
    for (method, path, body, status, code) in [
        ("POST", "/v1/chat/completions", "{", 400, "invalid_json"),
        ("POST", "/v1/chat/completions", "{}", 400, "missing_model"),
        ("GET", "/v1/chat/completions", "", 405, "method_not_allowed"),
        ("POST", "/v1/completions", PLAIN, 404, "unknown_route"),
    ] {
        let answer = post(&standin, method, path, body);
        assert_eq!((answer.status, &answer.json()["error"]["code"]), (status, &code.into()), "{path}");
    }
}

#[test]
fn models_are_those_of_the_answers() {
    let models = get(&standin(), "/inference/v1/models").json();
    let ids: Vec<&str> =
        models["data"].as_array().unwrap().iter().map(|m| m["id"].as_str().unwrap()).collect();
    assert!(ids.contains(&"deepseek-chat") && ids.contains(&"text-embedding-3-large"), "{ids:?}");
}

#[test]
fn a_form_that_an_answer_lacks_is_an_error_that_names_the_file() {
    let standin = standin();
    standin.set_behaviour(Behaviour::answer("raw-crlf")).unwrap();
    let answer = chat(&standin, PLAIN);
    assert_eq!(answer.status, 500);
    assert!(answer.json()["error"]["message"].as_str().unwrap().contains("raw-crlf.json"));
}

#[test]
fn folders_that_cannot_be_read_or_repeat_a_name_stop_the_start() {
    let start = |answers: Vec<PathBuf>| Standin::start(Options { answers, ..Options::default() });
    let missing = start(vec!["/no/such/folder".into()]).unwrap_err();
    assert!(missing.to_string().contains("/no/such/folder"), "{missing}");
    let own = pax_standin::own_answers();
    let twice = start(vec![own.clone(), own]).unwrap_err();
    assert!(twice.to_string().contains("rename one"), "{twice}");
}

#[test]
fn the_starting_behaviour_holds_until_and_beneath_any_other() {
    let behaviour = Behaviour { write_bytes: Some(vec![9]), ..Behaviour::answer("xai-chat") };
    let options = Options { answers: vec![pax_standin::own_answers()], behaviour, ..Options::default() };
    let standin = Standin::start(options).unwrap();
    standin.set_behaviour(Behaviour { always_usage: true, ..Behaviour::default() }).unwrap();
    let answer = chat(&standin, STREAM);
    assert_eq!(answer.chunks[0].len(), 9);
    assert_eq!(answer.body(), wire("xai-chat.chunks.txt").as_bytes());
    standin.reset();
    assert!(!standin.behaviour().always_usage);
    assert_eq!(standin.behaviour().answer.as_deref(), Some("xai-chat"));
}
