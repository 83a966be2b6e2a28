//! The same over HTTP/2 without TLS, as Envoy may speak it; and the program itself.

mod common;

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, body::Incoming, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use pax_standin::{Behaviour, Standin};

const STREAM: &str = r#"{"model":"m","stream":true}"#;

/// Runs a chat call on a connection of its own, and `read` on its answer.
fn chat<T>(
    standin: &Standin,
    body: &'static str,
    read: impl AsyncFnOnce(hyper::Result<Response<Incoming>>) -> T,
) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let socket = tokio::net::TcpStream::connect(standin.addr).await.unwrap();
        let (mut sender, connection) =
            http2::handshake(TokioExecutor::new(), TokioIo::new(socket)).await.unwrap();
        tokio::spawn(connection);
        let uri = format!("http://{}/v1/chat/completions", standin.addr);
        let request = Request::post(uri).body(Full::new(Bytes::from(body))).unwrap();
        read(sender.send_request(request).await).await
    })
}

#[test]
fn streams_come_over_http2_byte_for_byte() {
    let standin = common::standin();
    standin.set_behaviour(Behaviour::answer("groq-chat")).unwrap();
    let body = chat(&standin, STREAM, async |answer| answer.unwrap().collect().await.unwrap().to_bytes());
    assert_eq!(body, common::wire("groq-chat.chunks.txt"));
    assert_eq!(standin.received()[0].version, "HTTP/2.0");
}

#[test]
fn a_cut_resets_the_stream_after_exactly_so_many_bytes() {
    let standin = common::standin();
    standin
        .set_behaviour(Behaviour { cut_after_bytes: Some(300), ..Behaviour::answer("groq-chat") })
        .unwrap();
    chat(&standin, STREAM, async |answer| {
        let mut body = answer.unwrap().into_body();
        let mut length = 0;
        let error = loop {
            match body.frame().await.expect("an error, not an end") {
                Ok(frame) => length += frame.into_data().unwrap().len(),
                Err(error) => break error,
            }
        };
        assert_eq!(length, 300, "{error}");
    });
    standin.set_behaviour(Behaviour { cut_before_head: true, ..Behaviour::default() }).unwrap();
    assert!(chat(&standin, STREAM, async |answer| answer.is_err()));
}

#[test]
fn trailers_follow_a_complete_body() {
    let standin = common::standin();
    let json = r#"{"trailers":{"x-checksum":"abc"}}"#;
    standin.set_behaviour(Behaviour::from_json(json.as_bytes()).unwrap()).unwrap();
    let body = chat(&standin, STREAM, async |answer| answer.unwrap().collect().await.unwrap());
    assert_eq!(body.trailers().unwrap()["x-checksum"], "abc");
    assert!(body.to_bytes().ends_with(common::DONE.as_bytes()));
}

#[test]
fn the_program_says_where_it_listens_and_plays_what_it_is_told() {
    let mut program = Command::new(env!("CARGO_BIN_EXE_pax-standin"))
        .args(["--answer", "groq-chat", "--bytes-per-write", "11", "--pace-ms", "0", "--answers"])
        .arg(pax_standin::own_answers())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(program.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let addr = line.trim_end().strip_prefix("listening on ").expect("the line that says so").to_owned();
    let mut socket = std::net::TcpStream::connect(addr).unwrap();
    let mut raw = Vec::new();
    std::io::Write::write_all(&mut socket, &common::request("POST", "/v1/chat/completions", STREAM)).unwrap();
    std::io::Read::read_to_end(&mut socket, &mut raw).unwrap();
    program.kill().unwrap();
    program.wait().unwrap();
    let answer = common::parse(&raw);
    assert_eq!(answer.chunks[0].len(), 11);
    assert_eq!(answer.body(), common::wire("groq-chat.chunks.txt").as_bytes());
}

#[tokio::test]
async fn it_starts_and_stops_inside_an_async_runtime_and_frees_its_port() {
    let standin = common::standin();
    let addr = standin.addr;
    let taken = Standin::start(pax_standin::Options { listen: addr, ..Default::default() }).unwrap_err();
    assert!(taken.to_string().contains(&addr.to_string()), "{taken}");
    drop(standin);
    Standin::start(pax_standin::Options { listen: addr, ..Default::default() }).unwrap();
}
