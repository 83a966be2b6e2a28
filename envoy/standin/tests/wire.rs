//! What the stand-in does on the wire, read from raw sockets: nothing here forgives a wrong byte.

mod common;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use common::{Answer, DONE, chat, get, post, send, standin};
use pax_standin::Behaviour;

/// One piece per HTTP chunk.
fn strings(answer: &Answer) -> Vec<String> {
    answer.chunks.iter().map(|chunk| String::from_utf8_lossy(chunk).into_owned()).collect()
}

#[test]
fn a_stream_is_written_event_by_event() {
    let standin = standin();
    standin.set_behaviour(Behaviour::answer("fireworks-chat")).unwrap();
    let answer = chat(&standin, r#"{"model":"m","stream":true}"#);
    let file = common::file("fireworks-chat.chunks.txt");
    let mut expected: Vec<String> = file.lines().map(|line| format!("data: {line}\n\n")).collect();
    expected.push(DONE.to_owned());
    assert_eq!(strings(&answer), expected);
    assert_eq!(answer.header("content-type"), Some("text/event-stream; charset=utf-8"));
    assert!(answer.complete && answer.header("content-length").is_none());
}

#[test]
fn odd_chunking_cycles_through_the_sizes_and_loses_no_byte() {
    let standin = standin();
    standin
        .set_behaviour(Behaviour { write_bytes: Some(vec![3, 1, 7]), ..Behaviour::answer("raw-crlf") })
        .unwrap();
    let answer = chat(&standin, r#"{"model":"m","stream":true,"stream_options":{"include_usage":true}}"#);
    let sizes: Vec<usize> = answer.chunks.iter().map(Vec::len).collect();
    assert_eq!(sizes[..6], [3, 1, 7, 3, 1, 7]);
    assert_eq!(answer.body(), common::file("raw-crlf.sse").as_bytes());
    assert!(answer.complete);
}

#[test]
fn each_odd_piece_leaves_as_a_write_of_its_own() {
    let standin = standin();
    let behaviour = Behaviour { write_bytes: Some(vec![5]), pace_ms: Some(150), ..Behaviour::default() };
    standin.set_behaviour(Behaviour { body: Some("0123456789".into()), ..behaviour }).unwrap();
    let mut socket = TcpStream::connect(standin.addr).unwrap();
    socket.write_all(&common::request("POST", "/v1/chat/completions", "{}")).unwrap();
    let mut reads = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(length) = socket.read(&mut buffer) {
        if length == 0 {
            break;
        }
        reads.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
    }
    assert!(reads[0].ends_with("\r\n\r\n01234"), "{reads:?}");
    assert_eq!(reads[1..], ["56789"]);
}

#[test]
fn a_cut_closes_the_connection_after_exactly_so_many_bytes() {
    let standin = standin();
    for cut in [0, 1, 100] {
        let behaviour = Behaviour { cut_after_bytes: Some(cut), ..Behaviour::answer("openai-chat") };
        standin.set_behaviour(behaviour).unwrap();
        let stream = chat(&standin, r#"{"model":"m","stream":true}"#);
        assert_eq!((stream.status, stream.body().len(), stream.complete), (200, cut, false));
        let json = chat(&standin, r#"{"model":"m"}"#);
        let length = common::file("openai-chat.json").len().to_string();
        assert_eq!(json.header("content-length"), Some(length.as_str()));
        assert_eq!((json.body().len(), json.complete), (cut, false));
    }
}

#[test]
fn a_cut_at_the_very_end_leaves_only_the_last_chunk_out() {
    let standin = standin();
    let behaviour = Behaviour { cut_after_bytes: Some(usize::MAX), ..Behaviour::answer("raw-no-done") };
    standin.set_behaviour(behaviour).unwrap();
    let answer = chat(&standin, r#"{"model":"m","stream":true}"#);
    assert_eq!(answer.body(), common::file("raw-no-done.sse").as_bytes());
    assert!(!answer.complete);
}

#[test]
fn a_cut_before_the_head_answers_nothing_at_all() {
    let standin = standin();
    standin.set_behaviour(Behaviour { cut_before_head: true, ..Behaviour::default() }).unwrap();
    let raw = send(&standin, &common::request("POST", "/v1/chat/completions", r#"{"model":"m"}"#));
    assert_eq!(raw, b"");
    assert_eq!(standin.received().len(), 1);
}

#[test]
fn a_stall_sends_so_many_bytes_and_keeps_the_connection_open() {
    let standin = standin();
    standin
        .set_behaviour(Behaviour { stall_after_bytes: Some(40), ..Behaviour::answer("openai-chat") })
        .unwrap();
    let mut socket = TcpStream::connect(standin.addr).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    let body = r#"{"model":"m","stream":true}"#;
    socket.write_all(&common::request("POST", "/v1/chat/completions", body)).unwrap();
    let mut raw = Vec::new();
    let error = socket.read_to_end(&mut raw).unwrap_err();
    assert!(matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut));
    assert_eq!(common::parse(&raw).body().len(), 40);
}

#[test]
fn delays_come_where_they_are_told_to() {
    let standin = standin();
    let body = r#"{"model":"m","stream":true}"#;
    for (behaviour, head, end) in [
        (Behaviour { delay_ms: Some(400), ..Behaviour::default() }, 400, 400),
        (Behaviour { first_byte_delay_ms: Some(400), ..Behaviour::default() }, 0, 400),
        // Its events have more than ten pauses between them.
        (Behaviour { pace_ms: Some(15), ..Behaviour::default() }, 0, 150),
    ] {
        standin.set_behaviour(behaviour.clone()).unwrap();
        let mut socket = TcpStream::connect(standin.addr).unwrap();
        let start = Instant::now();
        socket.write_all(&common::request("POST", "/v1/chat/completions", body)).unwrap();
        let mut byte = [0];
        socket.read_exact(&mut byte).unwrap();
        let head_at = start.elapsed().as_millis();
        socket.read_to_end(&mut Vec::new()).unwrap();
        let end_at = start.elapsed().as_millis();
        assert!(head_at >= head && end_at >= end, "{behaviour:?}: {head_at} ms, {end_at} ms");
        assert!(head > 0 || head_at < 350, "the head waited {head_at} ms: {behaviour:?}");
    }
}

#[test]
fn who_waits_is_answered_once_another_behaviour_is_told() {
    let standin = standin();
    standin.set_behaviour(Behaviour { waits: true, ..Behaviour::default() }).unwrap();
    let mut socket = TcpStream::connect(standin.addr).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    socket.write_all(&common::request("POST", "/v1/chat/completions", r#"{"model":"m"}"#)).unwrap();
    let mut raw = Vec::new();
    socket.read_to_end(&mut raw).unwrap_err();
    standin.reset();
    socket.set_read_timeout(None).unwrap();
    socket.read_to_end(&mut raw).unwrap();
    assert_eq!(common::parse(&raw).status, 200);
}

#[test]
fn gzip_is_gzip_whoever_asked() {
    let standin = standin();
    standin.set_behaviour(Behaviour { gzip: true, ..Behaviour::answer("groq-chat") }).unwrap();
    for (body, file) in [
        (r#"{"model":"m"}"#, common::file("groq-chat.json")),
        (r#"{"model":"m","stream":true}"#, common::wire("groq-chat.chunks.txt")),
    ] {
        let answer = chat(&standin, body);
        assert_eq!(answer.header("content-encoding"), Some("gzip"));
        let mut plain = String::new();
        flate2::read::GzDecoder::new(answer.body().as_slice()).read_to_string(&mut plain).unwrap();
        assert_eq!(plain, file);
    }
}

#[test]
fn content_length_is_sent_or_left_out_as_told() {
    let standin = standin();
    let behaviour = Behaviour { content_length: Some(false), ..Behaviour::answer("openai-chat") };
    standin.set_behaviour(behaviour).unwrap();
    let json = chat(&standin, r#"{"model":"m"}"#);
    assert_eq!(json.header("transfer-encoding"), Some("chunked"));
    assert_eq!(json.body(), common::file("openai-chat.json").as_bytes());
    let behaviour = Behaviour { content_length: Some(true), ..Behaviour::answer("fireworks-chat") };
    standin.set_behaviour(behaviour).unwrap();
    let stream = chat(&standin, r#"{"model":"m","stream":true}"#);
    assert_eq!(stream.header("content-length"), Some(stream.body().len().to_string().as_str()));
    assert!(stream.complete && stream.body().ends_with(DONE.as_bytes()));
}

#[test]
fn status_body_headers_and_content_type_are_those_that_were_told() {
    let standin = standin();
    let json = r#"{"status":418,"body":"data: raw\n\n","content_type":"text/event-stream",
                   "headers":{"set-cookie":"a=b","x-odd":"\u00ff"}}"#;
    let told = send(&standin, &common::request("PUT", "/_standin/behaviour", json));
    assert_eq!(common::parse(&told).status, 200);
    let answer = chat(&standin, "not even JSON");
    assert_eq!((answer.status, answer.body().as_slice()), (418, b"data: raw\n\n".as_slice()));
    assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    assert_eq!(answer.header("set-cookie"), Some("a=b"));
    assert!(answer.head.windows(10).any(|bytes| bytes == b"x-odd: \xff\r\n"));
}

#[test]
fn a_bare_error_status_is_answered_in_openais_shape_and_only_so_many_times() {
    let standin = standin();
    standin.set_behaviour(Behaviour { times: Some(2), ..Behaviour::status(503) }).unwrap();
    for expected in [503, 503, 200, 200] {
        let answer = chat(&standin, r#"{"model":"m"}"#);
        assert_eq!(answer.status, expected);
        assert_eq!(answer.json()["error"]["code"].is_string(), expected == 503);
    }
}

#[test]
fn the_control_api_sets_shows_refuses_and_resets() {
    let standin = standin();
    let put = |json: &str| post(&standin, "PUT", "/_standin/behaviour", json);
    assert_eq!(put(r#"{"answer":"xai-chat","pace_ms":1}"#).json()["answer"], "xai-chat");
    for (json, named) in [(r#"{"anser":"x"}"#, "`anser`"), (r#"{"answer":"x"}"#, "xai-chat")] {
        let refused = put(json);
        assert_eq!(refused.status, 400);
        assert!(refused.json()["error"]["message"].as_str().unwrap().contains(named), "{json}");
    }
    assert_eq!(standin.behaviour().answer.as_deref(), Some("xai-chat"));
    assert_eq!(post(&standin, "DELETE", "/_standin/behaviour", "").status, 200);
    assert_eq!(standin.behaviour(), Behaviour::default());
    assert_eq!(get(&standin, "/_standin/nothing").status, 404);
}

#[test]
fn what_was_received_can_be_read_and_forgotten() {
    let standin = standin();
    let body = r#"{"model":"m","messages":[]}"#;
    chat(&standin, body);
    get(&standin, "/no/such/route?x=1");
    let listed = get(&standin, "/_standin/requests").json();
    assert_eq!(listed.as_array().unwrap().len(), 2);
    assert_eq!((listed[0]["method"].as_str(), listed[0]["body"].as_str()), (Some("POST"), Some(body)));
    assert_eq!(listed[1]["path"], "/no/such/route?x=1");
    assert_eq!(standin.received()[0].header("host"), Some("standin"));
    post(&standin, "DELETE", "/_standin/requests", "");
    assert!(standin.received().is_empty());
}
