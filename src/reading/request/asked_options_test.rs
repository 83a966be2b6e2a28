//! Which options are noted, and under which names. Admission decides whether one passes.

#![allow(clippy::unwrap_used)]

use super::*;
use crate::dialect::options::{CHAT, NEVER, may_be_listed};
use crate::reading::request::body::RequestReader;

fn asked_of(mode: Mode, body: &str) -> Vec<String> {
    let read = |cut: usize| {
        let mut reader = RequestReader::new(mode);
        let (before, after) = body.as_bytes().split_at(cut);
        reader.push(before);
        reader.push(after);
        reader.finish().unwrap().options
    };
    let whole = read(0);
    for cut in 1..body.len() {
        assert_eq!(read(cut), whole, "cut at {cut}: {body}");
    }
    whole.into_iter().map(|option| option.name).collect()
}

/// The options of a chat call that has only these members beside its model.
fn asked(more: &str) -> Vec<String> {
    asked_of(Mode::Chat, &format!(r#"{{"model":"m",{more}}}"#))
}

#[test]
fn what_every_provider_is_sent_is_no_option() {
    for name in CHAT.iter().filter(|name| !NEVER.contains(name)) {
        assert_eq!(may_be_listed(name), Err("need not be listed: every provider is sent it"), "{name}");
    }
    let all = r#""temperature":0.1,"top_p":1,"stop":["x"],"seed":1,"presence_penalty":0,"frequency_penalty":0,"logit_bias":{},
        "logprobs":true,"top_logprobs":2,"response_format":{"type":"json_schema","json_schema":{"name":"x","n_predict":1}},
        "tool_choice":"auto","parallel_tool_calls":false,"functions":[{"name":"f"}],"function_call":"auto","user":"u",
        "safety_identifier":"s","metadata":{"a":"b"},"store":false,"prompt_cache_key":"k","prompt_cache_retention":"in_memory",
        "reasoning_effort":"low","verbosity":"low","modalities":["text"],"service_tier":"auto","top_k":1,"min_p":0.1,
        "top_a":0.1,"typical_p":0.1,"repetition_penalty":1.1,"stream":true,"n":1,
        "stream_options":{"include_usage":true,"include_obfuscation":false}"#;
    assert_eq!(asked(all), [""; 0]);
    let embeddings = r#"{"model":"m","input":["a"],"encoding_format":"base64","dimensions":8,"user":"u"}"#;
    assert_eq!(asked_of(Mode::Embeddings, embeddings), [""; 0]);
}

#[test]
fn every_other_key_is_named_whatever_it_is_called() {
    for (more, names) in [
        (r#""n_predict":65536"#, &["n_predict"][..]),
        (r#""best_of":20,"nPredict":1,"use_beam_search":true"#, &["best_of", "nPredict", "use_beam_search"]),
        (r#""Temperature":1"#, &["Temperature"]),
        (r#""temperature ":1"#, &["temperature "]),
        (r#""n_\u0070redict":1"#, &["n_predict"]),
        (r#""x":1,"x":2"#, &["x"]),
        (r#""x":null"#, &[]),
        (r#""think":false"#, &["think"]),
        (r#""thinking":{"type":"enabled"}"#, &["thinking"]),
        (r#""thinking":{"type":"enabled","budget_tokens":9}"#, &["thinking", "thinking.budget_tokens"]),
        (r#""reasoning":{"effort":"low","exclude":true,"enabled":true}"#, &["reasoning"]),
        (r#""reasoning":{"max_tokens":9}"#, &["reasoning", "reasoning.max_tokens"]),
        (r#""usage":{"include":true}"#, &["usage"]),
        (r#""chat_template_kwargs":{"enable_thinking":false,"thinking":true}"#, &["chat_template_kwargs"]),
        (
            r#""chat_template_kwargs":{"documents":[1]}"#,
            &["chat_template_kwargs", "chat_template_kwargs.documents"],
        ),
        (r#""chat_template_kwargs":{"thinking":1}"#, &["chat_template_kwargs"; 2]),
        (r#""stream_options":{"continuous_usage_stats":true}"#, &["stream_options.continuous_usage_stats"]),
        (r#""stream_options":{"x":null}"#, &[]),
    ] {
        assert_eq!(asked(more), names, "{more}");
    }
    let embeddings = r#"{"model":"m","input":"a","messages":[],"truncate":true,"stream":null,"n":2}"#;
    assert_eq!(asked_of(Mode::Embeddings, embeddings), ["messages", "truncate", "n"]);
    assert_eq!(asked(&format!("\"{}\":1", "x".repeat(500))), ["x".repeat(64)], "no longer than what is kept");
    let many: Vec<String> = (0..80).map(|n| format!("\"x{n}\":1")).collect();
    let asked = asked_of(Mode::Chat, &format!(r#"{{"model":"m",{}}}"#, many.join(",")));
    assert_eq!((asked.len(), asked.last().map(String::as_str)), (KEPT + 1, Some(MORE)));
}

/// The options that buy something: an operator's list cannot let them pass.
fn bought(mode: Mode, body: &str) -> Vec<(String, Buys)> {
    let mut reader = RequestReader::new(mode);
    reader.push(body.as_bytes());
    let options = reader.finish().unwrap().options.into_iter();
    options.filter(|it| it.buys != Buys::Provider).map(|it| (it.name, it.buys)).collect()
}

#[test]
fn what_an_option_says_is_looked_at_where_it_can_hide_another() {
    for more in [
        r#""thinking":"enabled""#,
        r#""usage":["include"]"#,
        r#""chat_template_kwargs":{"enable_thinking":"{{ 9 }}"}"#,
        r#""tools":[{"type":"function","function":{},"google_search":{}}]"#,
        r#""tools":[{"google_search":{}}]"#,
        r#""tools":[{"type":"web_search"}]"#,
        r#""tools":[{"type":"function","function":{},"custom":{}}]"#,
        r#""tools":[{"type":"function","function":{},"cache_control":{"type":"ephemeral","ttl":"24h"}}]"#,
        r#""tools":["web_search"]"#,
        r#""messages":[{"content":{"type":"text"}}]"#,
        r#""messages":[{"content":[],"cache_control":{"ttl":3600}}]"#,
        r#""messages":[{"content":[{"type":"text","text":"x","cache_control":{"ttl":"1H"}}]}]"#,
        r#""messages":[{"content":[{"type":"text","text":"x","cache_control":{"ttl":{"hours":1}}}]}]"#,
        r#""cache_control":{"ttl":["1h"]}"#,
        r#""messages":[{"content":[{"video_url":{"url":"x"}}]}]"#,
        r#""messages":[{"content":[{"type":"hologram"}]}]"#,
        r#""messages":[{"content":[{"type":"image","image":"data:audio/wav;base64,AA"}]}]"#,
        r#""messages":[{"content":[{"type":"text","uuid":"u","video_url":"https://x/long.mp4"}]}]"#,
        r#""messages":[{"content":[{"image_url":{"url":"x"},"text":"x","type":"text"}]}]"#,
        r#""messages":[{"content":[{"type":"image_url","image_url":{"url":"x"},"input_audio":{}}]}]"#,
        r#""n":2,"stream_options":{"continuous_usage_stats":true}"#,
        r#""modalities":["video"]"#,
    ] {
        let found = bought(Mode::Chat, &format!(r#"{{"model":"m",{more}}}"#));
        assert!(found.iter().any(|(_, buys)| *buys == Buys::Other), "{more}: {found:?}");
    }
    for more in [
        r#""tools":[{"type":"function","function":{"parameters":{"google_search":1,"ttl":2}},"strict":true}]"#,
        r#""tools":[{"type":"function","function":{},"cache_control":{"type":"ephemeral"},"google_search":null}]"#,
        r#""tools":[{"type":"custom","custom":{"name":"x"}}]"#,
        r#""messages":[{"role":"assistant","content":null,"refusal":null,"audio":null,"annotations":[],"reasoning_content":"x","prefix":true}]"#,
        r#""messages":[{"content":[{"type":"text","text":"x","cache_control":{"type":"ephemeral"}}]}]"#,
        r#""messages":[{"content":[{"type":"image_url","image_url":{"url":"https://x/y.png","detail":"low"}}]}]"#,
        r#""messages":[{"content":[{"type":"image_url","image_url":"data:image/png;base64,AA"}]}]"#,
        r#""messages":[{"content":[{"type":"file","file":{"filename":"a","file_data":"data:application/pdf;base64,AA"}}]}]"#,
        r#""messages":[{"content":[{"type":"text","text":"x","cache_control":{"type":"ephemeral","ttl":"5m"}}]}]"#,
        r#""messages":[{"content":"x","cache_control":{"ttl":null}}]"#,
        r#""cache_control":{"type":"ephemeral","ttl":"5m"}"#,
        r#""n":1,"stream_options":{"continuous_usage_stats":true}"#,
        r#""messages":[{"content":[{"type":"text","text":"x","image_url":null}]}]"#,
        r#""messages":[{"content":[{"type":"thinking","thinking":[{"type":"text","text":"x"}]}]}]"#,
    ] {
        assert_eq!(bought(Mode::Chat, &format!(r#"{{"model":"m",{more}}}"#)), [], "{more}");
    }
}

#[test]
fn what_a_card_may_price_is_told_apart() {
    let hour = ("cache_control.ttl".to_owned(), Buys::CacheWrite1h);
    for (more, expected) in [
        (r#""tools":[{"type":"function","function":{},"cache_control":{"ttl":"1h"}}]"#, hour.clone()),
        (r#""messages":[{"content":[],"cache_control":{"ttl":"1h"}}]"#, hour.clone()),
        (
            r#""messages":[{"content":[{"type":"text","text":"x","cache_control":{"ttl":"1h"}}]}]"#,
            hour.clone(),
        ),
        (r#""cache_control":{"type":"ephemeral","ttl":"1h"}"#, hour),
        (r#""prompt_cache_retention":"24h""#, ("prompt_cache_retention".to_owned(), Buys::LongCacheWrite)),
        (r#""modalities":["text","image"]"#, ("modalities".to_owned(), Buys::ImageOutput)),
        (r#""modalities":["text","audio"]"#, ("modalities".to_owned(), Buys::AudioOutput)),
    ] {
        assert_eq!(bought(Mode::Chat, &format!(r#"{{"model":"m",{more}}}"#)), [expected], "{more}");
    }
}

#[test]
fn a_call_says_whether_it_asks_for_cache_writes() {
    for (more, caches) in [
        (
            r#""messages":[{"content":[{"type":"text","text":"x","cache_control":{"type":"ephemeral"}}]}]"#,
            true,
        ),
        (r#""messages":[{"content":"x","cache_control":{}}]"#, true),
        (r#""tools":[{"type":"function","function":{},"cache_control":"x"}]"#, true),
        (r#""cache_control":{"type":"ephemeral"}"#, true),
        (r#""cache_control":null"#, false),
        (r#""messages":[{"content":"cache_control"}]"#, false),
        (r#""tools":[{"type":"function","function":{"parameters":{"cache_control":{}}}}]"#, false),
    ] {
        let mut reader = RequestReader::new(Mode::Chat);
        reader.push(format!(r#"{{"model":"m",{more}}}"#).as_bytes());
        assert_eq!(reader.finish().unwrap().caches, caches, "{more}");
    }
}

/// Options that an operator lets pass must not fill the list: then one that it does not let pass would be
/// forgotten.
#[test]
fn no_option_is_forgotten_behind_many_others() {
    let many: Vec<String> = (0..100).map(|n| format!("\"dry_{n}\":1")).collect();
    let found = bought(Mode::Chat, &format!(r#"{{"model":"m",{},"n_predict":9}}"#, many.join(",")));
    assert_eq!(found, [(MORE.to_owned(), Buys::Other)], "no list has it, so the call is refused");
}

#[test]
fn sound_and_film_are_heard_in_whatever_part_they_hide() {
    for part in [
        r#"{"type":"input_audio","input_audio":{}}"#,
        r#"{"type":"audio_url","audio_url":{"url":"x"}}"#,
        r#"{"type":"video_url","video_url":{"url":"x"}}"#,
        r#"{"type":"image_url","image_url":{"url":"data:video/mp4;base64,AA"}}"#,
        r#"{"image_url":{"url":" DATA:audio/wav;base64,AA"},"type":"image_url"}"#,
        r#"{"type":"image_url","image_url":"data:audio/wav;base64,AA"}"#,
        r#"{"type":"file","file":{"file_data":"data:audio/mp3;base64,AA"}}"#,
        r#"{"type":"file","file":{"file_data":"https://x/y.mp3"}}"#,
    ] {
        let body = format!(r#"{{"model":"m","messages":[{{"content":[{part}]}}]}}"#);
        let found = bought(Mode::Chat, &body);
        assert!(found.iter().any(|(_, buys)| *buys == Buys::AudioInput), "{part}: {found:?}");
    }
    let said = r#"{"model":"m","messages":[{"role":"assistant","audio":{"id":"a"}}]}"#;
    assert_eq!(bought(Mode::Chat, said), [("messages.audio".to_owned(), Buys::AudioInput)]);
}

#[test]
fn what_is_embedded_is_text_or_its_tokens() {
    for (input, buys) in [
        (r#"{"type":"image_url","image_url":"x"}"#, true),
        (r#"["a",{"image":"x"}]"#, true),
        (r#"[[1],[{"text":"x"}]]"#, true),
        (r#"["a","b"]"#, false),
        (r#"[[1,2],[3]]"#, false),
    ] {
        let found = bought(Mode::Embeddings, &format!(r#"{{"model":"m","input":{input}}}"#));
        assert_eq!(!found.is_empty(), buys, "{input}: {found:?}");
    }
}
