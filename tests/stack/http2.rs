//! HTTP/2 without TLS, trailers both ways: a body that trailers end is read to its end.

use crate::Case;
use crate::common::prices::reprice;
use crate::common::world::{MODEL, TOKEN, World};
use bytes::Bytes;
use http::{HeaderMap, Request};
use pax_standin::Behaviour;
use std::collections::BTreeMap;
use std::time::Duration;

pub const CASES: &[Case] = &[
    ("an HTTP/2 request is metered, with trailers and without, in small frames", request_trailers),
    ("an HTTP/2 request that trailers end is refused like any other", refused_with_trailers),
    ("an HTTP/2 caller that resets its stream is charged once", reset),
    ("a provider's trailers end its answer and pass", answer_trailers),
];

/// What came back over HTTP/2.
struct Answer {
    head: http::response::Parts,
    body: Vec<u8>,
    trailers: Option<HeaderMap>,
}

impl Answer {
    fn header(&self, name: &str) -> String {
        self.head.headers.get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
    }
}

/// One call whose body comes in frames of these sizes, and after it trailers, or not.
struct Call<'a> {
    token: &'a str,
    body: &'a str,
    frame_bytes: usize,
    trailers: bool,
    /// Reset the stream after so many bytes of the answer.
    reset_after: Option<usize>,
}

fn call(port: u16, call: &Call<'_>) -> Answer {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let answer = async {
        let socket = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let (mut client, connection) = h2::client::handshake(socket).await.unwrap();
        tokio::spawn(async move { drop(connection.await) });
        let request = Request::post("http://gateway.test/v1/chat/completions")
            .header("authorization", format!("Bearer {}", call.token))
            .header("x-matrix-goal-id", "h2")
            .body(())
            .unwrap();
        let (response, mut send) = client.send_request(request, false).unwrap();
        let mut rest = Bytes::copy_from_slice(call.body.as_bytes());
        while !rest.is_empty() {
            let frame = rest.split_to(call.frame_bytes.min(rest.len()));
            let end = rest.is_empty() && !call.trailers;
            // Who is refused by the head alone gets its answer before the body is out.
            if send.send_data(frame, end).is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        if call.trailers {
            let trailers =
                HeaderMap::from_iter([(http::HeaderName::from_static("x-after"), "1".parse().unwrap())]);
            let _ = send.send_trailers(trailers);
        }
        let (head, mut stream) = response.await.unwrap().into_parts();
        let mut body = Vec::new();
        while let Some(piece) = stream.data().await {
            let Ok(piece) = piece else { break };
            let _ = stream.flow_control().release_capacity(piece.len());
            body.extend_from_slice(&piece);
            if call.reset_after.is_some_and(|limit| body.len() >= limit) {
                send.send_reset(h2::Reason::CANCEL);
                return Answer { head, body, trailers: None };
            }
        }
        let trailers = stream.trailers().await.unwrap_or_default();
        Answer { head, body, trailers }
    };
    let patience = Duration::from_secs(30);
    runtime.block_on(async { tokio::time::timeout(patience, answer).await.expect("the call hangs") })
}

/// The status and the body of a call's answer; its body goes out byte by byte.
pub fn said(port: u16, body: &str, trailers: bool) -> (u16, String) {
    let answer = call(port, &Call { token: TOKEN, body, frame_bytes: 1, trailers, reset_after: None });
    (answer.head.status.as_u16(), String::from_utf8_lossy(&answer.body).into_owned())
}

fn body(stream: bool) -> String {
    format!(r#"{{"model":"{MODEL}","stream":{stream},"messages":[{{"role":"user","content":"Hi"}}]}}"#)
}

fn request_trailers(world: &mut World) {
    for (stream, trailers, frame_bytes) in
        [(false, false, 1000), (false, true, 1000), (true, true, 3), (true, false, 3), (false, true, 1)]
    {
        let body = body(stream);
        let answer = call(
            world.stack.gateway_port(),
            &Call { token: TOKEN, body: &body, frame_bytes, trailers, reset_after: None },
        );
        assert_eq!(answer.head.status, 200, "{}", String::from_utf8_lossy(&answer.body));
        let received = world.take_received();
        assert_eq!(received.len(), 1);
        let expected = body
            .replace("true,\"messages\"", "true,\"stream_options\":{\"include_usage\":true},\"messages\"");
        let sent: serde_json::Value = serde_json::from_str(&received[0].body).unwrap();
        assert_eq!(sent, serde_json::from_str::<serde_json::Value>(&expected).unwrap());
        let entry = world.entry(&answer.header("x-matrix-exchange-id"));
        assert_eq!((&entry["provenance"], &entry["ending"]), (&"reported".into(), &"complete".into()));
        assert_eq!(entry["cost_pax"], reprice(&entry).as_str());
    }
}

fn refused_with_trailers(world: &mut World) {
    for (token, body, status) in
        [(TOKEN, "{\"model\":", 400), (TOKEN, r#"{"model":"nobody/knows"}"#, 404), ("mtx-nobody", "{}", 401)]
    {
        let answer = call(
            world.stack.gateway_port(),
            &Call { token, body, frame_bytes: 4, trailers: true, reset_after: None },
        );
        assert_eq!(answer.head.status, status, "{}", String::from_utf8_lossy(&answer.body));
    }
    assert!(world.take_received().is_empty(), "a refused request went on");
}

fn reset(world: &mut World) {
    world.settle();
    let before = world.entries().len();
    let event = "data: {\"choices\":[{\"delta\":{\"content\":\"12345678\"}}]}\n\n";
    world.behave(Behaviour {
        body: Some(event.repeat(3)),
        content_type: Some("text/event-stream".to_owned()),
        stall_after_bytes: Some(event.len()),
        ..Behaviour::default()
    });
    let body = body(true);
    let reset_after = Some(event.len());
    let answer = call(
        world.stack.gateway_port(),
        &Call { token: TOKEN, body: &body, frame_bytes: 100, trailers: false, reset_after },
    );
    let entry = world.entry(&answer.header("x-matrix-exchange-id"));
    assert_eq!((&entry["provenance"], &entry["ending"]), (&"estimated".into(), &"caller_gone".into()));
    assert_eq!(entry["tokens_output"], 2);
    world.settle();
    assert_eq!(world.entries().len(), before + 1);
}

/// Real providers speak HTTP/2 with Envoy, and only over that do trailers come; the stack's one server is asked in
/// HTTP/1.1, so this needs another Envoy.
fn answer_trailers(_: &mut World) {
    let mut world = World::start();
    let file = world.stack.run_dir().join("envoy.yaml");
    let config = std::fs::read_to_string(&file).unwrap();
    let (before, providers) = config.split_once("idle_timeout: 20s").expect("the ledger's cluster");
    let one = "explicit_http_config: { http_protocol_options: {} }";
    assert!(providers.contains(one));
    let providers = providers.replace(one, "explicit_http_config: { http2_protocol_options: {} }");
    std::fs::write(&file, [before, "idle_timeout: 20s", &providers].concat()).unwrap();
    world.stack.kill_envoy();
    world.stack.start_envoy().unwrap();
    for stream in [false, true] {
        let trailers = ["x-after", "openai-organization", "x-matrix-cost-pax", "set-cookie", "x-api-key"]
            .map(|name| (name.to_owned(), "the answer".to_owned()));
        let trailers = BTreeMap::from(trailers);
        world.behave(Behaviour { trailers, ..Behaviour::default() });
        let body = body(stream);
        let answer = call(
            world.stack.gateway_port(),
            &Call { token: TOKEN, body: &body, frame_bytes: 100, trailers: true, reset_after: None },
        );
        assert_eq!(answer.head.status, 200, "{}", String::from_utf8_lossy(&answer.body));
        assert_eq!(world.take_received()[0].version, "HTTP/2.0");
        let trailers = answer.trailers.clone().unwrap_or_default();
        assert_eq!(
            trailers.len(),
            1,
            "those that only a header of ours may be, or that name the operator, stay: {trailers:?}"
        );
        assert_eq!(
            trailers.get("x-after").map(|value| value.as_bytes()),
            Some(&b"the answer"[..]),
            "stream: {stream}"
        );
        let entry = world.entry(&answer.header("x-matrix-exchange-id"));
        assert_eq!((&entry["provenance"], &entry["ending"]), (&"reported".into(), &"complete".into()));
        if !stream {
            assert_eq!(answer.header("x-matrix-cost-pax"), entry["cost_pax"].as_str().unwrap());
        }
    }
    world.settle();
    world.replay();
}
