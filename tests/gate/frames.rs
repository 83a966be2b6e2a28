//! HTTP/2 frames made by hand, with contents that no client library would send.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const GO_AWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const ACK: u8 = 1;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A header as HPACK's literal without indexing, names and values as they are (RFC 7541, 6.2.2).
fn field(name: &[u8], value: &[u8]) -> Vec<u8> {
    let text = |text: &[u8]| {
        let mut bytes = Vec::new();
        match text.len() {
            short @ 0..127 => bytes.push(u8::try_from(short).unwrap()),
            long => {
                bytes.push(127);
                let mut rest = long - 127;
                while rest >= 128 {
                    bytes.push(u8::try_from(rest % 128 + 128).unwrap());
                    rest /= 128;
                }
                bytes.push(u8::try_from(rest).unwrap());
            }
        }
        [&bytes, text].concat()
    };
    [vec![0], text(name), text(value)].concat()
}

/// A request as it is sent, frame by frame.
pub struct Request<'a> {
    pub head: &'a [(&'a [u8], &'a [u8])],
    pub body: &'a [u8],
    /// How many frames the body comes in.
    pub pieces: usize,
    /// What comes after the body; without any, the last frame of the body is the end.
    pub trailers: &'a [(&'a [u8], &'a [u8])],
}

/// One request on a connection of its own. Gives the answer's body, or how the stream or the connection ended.
pub fn call(port: u16, fields: &[(&[u8], &[u8])], body: &[u8]) -> String {
    send(port, &Request { head: fields, body, pieces: 1, trailers: &[] })
}

fn block(fields: &[(&[u8], &[u8])]) -> Vec<u8> {
    fields.iter().flat_map(|(name, value)| field(name, value)).collect()
}

/// A block of headers, in as many frames as it takes.
fn headers(fields: &[(&[u8], &[u8])], end: u8) -> Vec<u8> {
    let block = block(fields);
    let mut parts = block.chunks(16_000).peekable();
    let (mut bytes, mut kind, mut flags) = (Vec::new(), HEADERS, end);
    while let Some(part) = parts.next() {
        let last = if parts.peek().is_none() { END_HEADERS } else { 0 };
        bytes.extend(frame(kind, flags | last, 1, part));
        (kind, flags) = (CONTINUATION, 0);
    }
    bytes
}

/// As [`call`], in frames and with trailers as the request says.
pub fn send(port: u16, request: &Request<'_>) -> String {
    let mut socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let ends = |is: bool| if is { END_STREAM } else { 0 };
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(frame(SETTINGS, 0, 0, &[]));
    bytes.extend(headers(request.head, ends(request.body.is_empty() && request.trailers.is_empty())));
    let size = request.body.len().div_ceil(request.pieces).max(1);
    let mut pieces = request.body.chunks(size).peekable();
    while let Some(piece) = pieces.next() {
        let last = pieces.peek().is_none() && request.trailers.is_empty();
        bytes.extend(frame(DATA, ends(last), 1, piece));
    }
    if !request.trailers.is_empty() {
        bytes.extend(headers(request.trailers, END_STREAM));
    }
    let _ = socket.write_all(&bytes);
    let mut answer = Vec::new();
    loop {
        let mut head = [0; 9];
        if socket.read_exact(&mut head).is_err() {
            return "closed".to_owned();
        }
        let length = usize::try_from(u32::from_be_bytes([0, head[0], head[1], head[2]])).unwrap();
        let mut payload = vec![0; length];
        if socket.read_exact(&mut payload).is_err() {
            return "closed".to_owned();
        }
        let (kind, flags) = (head[3], head[4]);
        match kind {
            SETTINGS if flags & ACK == 0 => drop(socket.write_all(&frame(SETTINGS, ACK, 0, &[]))),
            RESET => return "reset".to_owned(),
            GO_AWAY => return "closed".to_owned(),
            DATA => answer.extend_from_slice(&payload),
            _ => {}
        }
        if matches!(kind, DATA | HEADERS) && flags & END_STREAM != 0 {
            return String::from_utf8_lossy(&answer).into_owned();
        }
    }
}
