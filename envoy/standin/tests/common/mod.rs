//! A stand-in to talk to, and a client that shows what really came.

#![allow(dead_code, reason = "each test binary uses its part")]

use std::io::{Read, Write};
use std::net::TcpStream;

use pax_standin::{Options, Standin};

/// The event that closes a stream.
pub const DONE: &str = "data: [DONE]\n\n";

/// A stand-in with the project's own answers.
pub fn standin() -> Standin {
    Standin::start(Options { answers: vec![pax_standin::own_answers()], ..Options::default() }).unwrap()
}

/// A file of the project's own answers.
pub fn file(name: &str) -> String {
    std::fs::read_to_string(pax_standin::own_answers().join(name)).unwrap()
}

/// A chunks file as it goes onto the wire.
pub fn wire(name: &str) -> String {
    let events: String = file(name).lines().map(|line| format!("data: {line}\n\n")).collect();
    events + DONE
}

/// What came back.
pub struct Answer {
    pub status: u16,
    /// The head's bytes, with the empty line that ends it.
    pub head: Vec<u8>,
    /// The body's HTTP chunks; a body that is not chunked is one.
    pub chunks: Vec<Vec<u8>>,
    /// Whether the message ended as HTTP says, not with the connection.
    pub complete: bool,
}

impl Answer {
    pub fn body(&self) -> Vec<u8> {
        self.chunks.concat()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body()).unwrap()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.split(|byte| *byte == b'\n').filter_map(|line| std::str::from_utf8(line).ok());
        let found = |line: &'_ str| line.to_ascii_lowercase().starts_with(&format!("{name}:"));
        lines.into_iter().find(|line| found(line)).map(|line| line[name.len() + 1..].trim())
    }
}

/// A request that closes the connection behind it.
pub fn request(method: &str, path: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "{method} {path} HTTP/1.1\r\nhost: standin\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// Sends bytes, reads to the end of the connection.
pub fn send(standin: &Standin, request: &[u8]) -> Vec<u8> {
    let mut socket = TcpStream::connect(standin.addr).unwrap();
    socket.write_all(request).unwrap();
    let mut raw = Vec::new();
    // A connection that is cut may end in a reset; what came before it counts.
    let _ = socket.read_to_end(&mut raw);
    raw
}

pub fn post(standin: &Standin, method: &str, path: &str, body: &str) -> Answer {
    parse(&send(standin, &request(method, path, body)))
}

pub fn chat(standin: &Standin, body: &str) -> Answer {
    post(standin, "POST", "/v1/chat/completions", body)
}

pub fn get(standin: &Standin, path: &str) -> Answer {
    post(standin, "GET", path, "")
}

/// Takes an HTTP/1.1 answer apart, complete or not.
pub fn parse(raw: &[u8]) -> Answer {
    let end = raw.windows(4).position(|bytes| bytes == b"\r\n\r\n").expect("a head") + 4;
    let head = raw[..end].to_vec();
    let status = std::str::from_utf8(&head[9..12]).unwrap().parse().unwrap();
    let mut answer = Answer { status, head, chunks: Vec::new(), complete: false };
    let mut rest = &raw[end..];
    if answer.header("transfer-encoding") != Some("chunked") {
        let length = answer.header("content-length").map(|value| value.parse::<usize>().unwrap());
        answer.complete = length == Some(rest.len());
        answer.chunks.push(rest.to_vec());
        return answer;
    }
    while let Some(line) = rest.windows(2).position(|bytes| bytes == b"\r\n") {
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..line]).unwrap(), 16).unwrap();
        rest = &rest[line + 2..];
        if size == 0 {
            answer.complete = rest == b"\r\n";
            return answer;
        }
        answer.chunks.push(rest[..size.min(rest.len())].to_vec());
        rest = rest.get(size + 2..).unwrap_or_default();
    }
    answer
}
