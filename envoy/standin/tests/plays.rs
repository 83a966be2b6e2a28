//! The stand-in as a provider of a name: what is on the wire is what that provider would make of the request.

mod common;

use common::{chat, get, post, request, send, standin};
use pax_standin::Behaviour;

const MESSAGES: &str = r#""model":"m","messages":[{"role":"user","content":"Say more."}]"#;

#[test]
fn a_server_that_runs_on_fills_its_context_and_counts_it() {
    let standin = standin();
    standin.set_behaviour(Behaviour { context_tokens: Some(200), ..Behaviour::plays("vllm") }).unwrap();
    let answer = chat(&standin, &format!("{{{MESSAGES}}}")).json();
    assert_eq!(answer["choices"][0]["finish_reason"], "length");
    let usage = &answer["usage"];
    assert_eq!(usage["total_tokens"], 200);
    let text = answer["choices"][0]["message"]["content"].as_str().unwrap();
    assert_eq!(text.split(' ').count() as u64, usage["completion_tokens"].as_u64().unwrap());
}

#[test]
fn a_stream_has_a_chunk_for_each_token_of_each_answer() {
    let standin = standin();
    standin.set_behaviour(Behaviour::plays("vllm")).unwrap();
    let body = format!(
        r#"{{{MESSAGES},"stream":true,"stream_options":{{"include_usage":true}},"n":2,"max_completion_tokens":40}}"#
    );
    let text = String::from_utf8(chat(&standin, &body).body()).unwrap();
    let words = |index: u64| text.matches(&format!(r#""index":{index},"delta":{{"content":"#)).count() as u64;
    assert_eq!((words(0), words(1)), (40, 40));
    assert!(text.contains(r#""completion_tokens":80"#), "{text}");
}

#[test]
fn a_refusal_is_the_providers() {
    let standin = standin();
    for (name, option, status) in [
        ("openai", r#""max_tokens":5,"max_completion_tokens":5"#, 400),
        ("mistral", r#""max_completion_tokens":5"#, 422),
        ("deepseek", r#""max_completion_tokens":5"#, 200),
    ] {
        standin.set_behaviour(Behaviour::plays(name)).unwrap();
        assert_eq!(chat(&standin, &format!("{{{MESSAGES},{option}}}")).status, status, "{name}");
    }
}

#[test]
fn a_key_is_asked_for_by_those_who_ask() {
    let standin = standin();
    let body = format!("{{{MESSAGES}}}");
    for (name, status) in [("deepseek", 401), ("ollama", 200)] {
        standin.set_behaviour(Behaviour { asks_for_key: true, ..Behaviour::plays(name) }).unwrap();
        assert_eq!(chat(&standin, &body).status, status, "{name}");
        let with_key = String::from_utf8(request("POST", "/v1/chat/completions", &body)).unwrap();
        let with_key = with_key.replacen("host:", "authorization: Bearer any\r\nhost:", 1);
        let answer = common::parse(&send(&standin, with_key.as_bytes()));
        assert_eq!(answer.status, 200, "{name}");
    }
}

#[test]
fn the_table_can_be_read_and_a_strange_name_is_refused_with_it() {
    let standin = standin();
    let table = get(&standin, "/_standin/plays").json();
    let names: Vec<&str> =
        table.as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"llamacpp") && names.len() >= 11, "{names:?}");
    let refused = post(&standin, "PUT", "/_standin/behaviour", r#"{"plays":"nobody"}"#);
    assert_eq!(refused.status, 400);
    for name in names {
        assert!(String::from_utf8(refused.body()).unwrap().contains(name));
    }
}
