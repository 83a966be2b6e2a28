//! An HTTP/1.1 client that sends and reads a socket's bytes as they are: it repairs, joins, retries and
//! decompresses nothing.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Longer than anything here takes: beyond it a call hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// A connection that stays open.
pub struct Connection {
    socket: TcpStream,
    /// What was received and not yet read.
    buffer: Vec<u8>,
}

/// An answer as it came.
#[derive(Debug, Default)]
pub struct Answer {
    pub status: u16,
    /// Names in lowercase, in order.
    pub headers: Vec<(String, Vec<u8>)>,
    pub body: Vec<u8>,
    /// The trailers of a chunked body.
    pub trailers: Vec<(String, Vec<u8>)>,
    /// The statuses of what came before the answer (`100`).
    pub interim: Vec<u16>,
    /// Whether the message came to its end.
    pub complete: bool,
}

impl Answer {
    /// A header's value; empty text where it is absent.
    pub fn header(&self, name: &str) -> String {
        let found = self.headers.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).unwrap_or_default()
    }

    pub fn has_header(&self, name: &str) -> bool {
        self.headers.iter().any(|(key, _)| key == name)
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Headers and trailers as text, to look for what should not be in them.
    pub fn fields_text(&self) -> String {
        let line =
            |(name, value): &(String, Vec<u8>)| format!("{name}: {}\n", String::from_utf8_lossy(value));
        self.headers.iter().chain(&self.trailers).map(line).collect()
    }

    /// `401 invalid_api_key`: the status and the code of an error in OpenAI's shape.
    pub fn refusal(&self) -> String {
        let body: serde_json::Value = serde_json::from_slice(&self.body).unwrap_or_default();
        let error = &body["error"];
        let has_shape = error["message"].is_string()
            && error["type"].is_string()
            && error.get("param").is_some()
            && self.header("content-type") == "application/json";
        let code = error["code"].as_str().filter(|_| has_shape);
        format!("{} {}", self.status, code.map_or_else(|| self.text(), str::to_owned))
    }
}

/// A request's bytes, with `host` and, where there is a body, `content-length`.
pub fn request(method: &str, path: &str, headers: &[(&str, &[u8])], body: Option<&[u8]>) -> Vec<u8> {
    let mut bytes = format!("{method} {path} HTTP/1.1\r\nhost: gateway.test\r\n").into_bytes();
    for (name, value) in headers {
        bytes.extend_from_slice(name.as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value);
        bytes.extend_from_slice(b"\r\n");
    }
    if let Some(body) = body {
        bytes.extend_from_slice(format!("content-length: {}\r\n", body.len()).as_bytes());
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(body.unwrap_or_default());
    bytes
}

/// A chat call's bytes.
pub fn chat(token: &str, body: &str) -> Vec<u8> {
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", bearer.as_bytes()), ("content-type", b"application/json")];
    request("POST", "/v1/chat/completions", &headers, Some(body.as_bytes()))
}

impl Connection {
    pub fn open(port: u16) -> Self {
        let socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_nodelay(true).unwrap();
        Self { socket, buffer: Vec::new() }
    }

    pub fn send(&mut self, bytes: &[u8]) {
        // Who is refused early may find the connection closed: the answer tells.
        let _ = self.socket.write_all(bytes);
    }

    /// Sends a request and reads its answer.
    pub fn call(&mut self, request: &[u8]) -> Answer {
        self.send(request);
        self.read()
    }

    /// Reads the next answer. One that breaks off is not `complete`.
    pub fn read(&mut self) -> Answer {
        let mut answer = self.read_head();
        // After a 101 nothing of HTTP comes any more.
        while (100..200).contains(&answer.status) && answer.status != 101 {
            let interim = answer.status;
            answer = self.read_head();
            answer.interim.push(interim);
        }
        if answer.status != 101 {
            self.read_body(&mut answer);
        }
        answer
    }

    /// Reads an answer's head only: its body stays where it is.
    pub fn read_head(&mut self) -> Answer {
        let mut answer = Answer::default();
        let Some(line) = self.line() else { return answer };
        answer.status = line.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        answer.headers = self.fields().unwrap_or_default();
        answer
    }

    /// Reads until these bytes have come (or nothing comes any more); says whether they did.
    pub fn read_until(&mut self, needle: &[u8]) -> bool {
        loop {
            if self.buffer.windows(needle.len()).any(|window| window == needle) {
                return true;
            }
            if !self.fill() {
                return false;
            }
        }
    }

    /// Whether something of an answer has come, or the end of the connection.
    pub fn has_answer(&mut self) -> bool {
        if !self.buffer.is_empty() {
            return true;
        }
        self.socket.set_nonblocking(true).unwrap();
        let mut byte = [0];
        let came =
            !matches!(self.socket.peek(&mut byte), Err(error) if error.kind() == ErrorKind::WouldBlock);
        self.socket.set_nonblocking(false).unwrap();
        came
    }

    /// Whether the gateway has closed it. What comes before that is passed over.
    pub fn is_closed(&mut self) -> bool {
        self.socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        let mut piece = [0; 65_536];
        let closed = loop {
            match self.socket.read(&mut piece) {
                Ok(0) => break true,
                Ok(_) => {}
                Err(error) => break !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
            }
        };
        self.socket.set_read_timeout(Some(PATIENCE)).unwrap();
        closed
    }

    fn read_body(&mut self, answer: &mut Answer) {
        if answer.header("transfer-encoding").eq_ignore_ascii_case("chunked") {
            answer.complete = self.read_chunks(answer).is_some();
        } else if answer.has_header("content-length") {
            let length = answer.header("content-length").parse().unwrap();
            while self.buffer.len() < length && self.fill() {}
            let length = length.min(self.buffer.len());
            answer.body = self.buffer.drain(..length).collect();
            answer.complete = answer.header("content-length") == length.to_string();
        } else if answer.status != 204 && answer.status != 304 {
            while self.fill() {}
            answer.body = std::mem::take(&mut self.buffer);
            answer.complete = true;
        }
    }

    fn read_chunks(&mut self, answer: &mut Answer) -> Option<()> {
        loop {
            let size = usize::from_str_radix(self.line()?.split(';').next()?.trim(), 16).ok()?;
            if size == 0 {
                answer.trailers = self.fields()?;
                return Some(());
            }
            while self.buffer.len() < size + 2 {
                if !self.fill() {
                    answer.body.append(&mut self.buffer);
                    return None;
                }
            }
            answer.body.extend(self.buffer.drain(..size));
            self.buffer.drain(..2);
        }
    }

    fn fields(&mut self) -> Option<Vec<(String, Vec<u8>)>> {
        let mut fields = Vec::new();
        loop {
            let line = self.raw_line()?;
            if line.is_empty() {
                return Some(fields);
            }
            let colon = line.iter().position(|byte| *byte == b':')?;
            let name = String::from_utf8_lossy(&line[..colon]).to_ascii_lowercase();
            fields.push((name, line[colon + 1..].trim_ascii().to_vec()));
        }
    }

    fn line(&mut self) -> Option<String> {
        self.raw_line().map(|line| String::from_utf8_lossy(&line).into_owned())
    }

    fn raw_line(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|window| window == b"\r\n") {
                let line = self.buffer.drain(..end).collect();
                self.buffer.drain(..2);
                return Some(line);
            }
            if !self.fill() {
                return None;
            }
        }
    }

    /// Receives more; false where nothing comes any more.
    fn fill(&mut self) -> bool {
        let mut piece = [0; 65_536];
        match self.socket.read(&mut piece) {
            Ok(0) => false,
            Ok(count) => {
                self.buffer.extend_from_slice(&piece[..count]);
                true
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                panic!("the gateway is silent for {} s: the call hangs", PATIENCE.as_secs())
            }
            Err(_) => false,
        }
    }
}
