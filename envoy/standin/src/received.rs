//! What the stand-in was sent, for tests to look at.

use std::collections::VecDeque;

use serde::Serialize;

/// At most so many requests are kept; the oldest go first.
const MAX_REQUESTS: usize = 1000;
/// At most so many bytes of bodies are kept, however few requests they are.
const MAX_BODY_BYTES: usize = 256 * 1024 * 1024;

/// One request as it arrived. Control requests are not among them.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Received {
    /// `GET`, `POST` ...
    pub method: String,
    /// Path and query, as sent.
    pub path: String,
    /// `HTTP/1.1` or `HTTP/2.0`.
    pub version: String,
    /// Names (lower case) and values in order. A byte above 0x7F is the character of that number (Latin-1).
    pub headers: Vec<(String, String)>,
    /// The body; bytes that are not UTF-8 are replaced by U+FFFD.
    pub body: String,
}

impl Received {
    /// The first value of a header, by its lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// The last requests, bounded in number and bytes.
#[derive(Debug)]
pub(crate) struct Log {
    requests: VecDeque<Received>,
    /// How many requests came, those that are not kept too.
    count: usize,
    body_bytes: usize,
    max_body_bytes: usize,
}

impl Default for Log {
    fn default() -> Self {
        Self { requests: VecDeque::new(), count: 0, body_bytes: 0, max_body_bytes: MAX_BODY_BYTES }
    }
}

impl Log {
    pub(crate) fn push(&mut self, request: Received) {
        self.count += 1;
        self.body_bytes += request.body.len();
        self.requests.push_back(request);
        while self.requests.len() > MAX_REQUESTS || self.body_bytes > self.max_body_bytes {
            let Some(oldest) = self.requests.pop_front() else { break };
            self.body_bytes -= oldest.body.len();
        }
    }

    pub(crate) fn all(&self) -> Vec<Received> {
        self.requests.iter().cloned().collect()
    }

    pub(crate) fn count(&self) -> usize {
        self.count
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(path: String, body: String) -> Received {
        Received { method: "POST".into(), path, version: "HTTP/1.1".into(), headers: Vec::new(), body }
    }

    #[test]
    fn the_oldest_requests_go_first_when_there_are_too_many() {
        let mut log = Log::default();
        for number in 0..MAX_REQUESTS + 5 {
            log.push(request(format!("/{number}"), String::new()));
        }
        assert_eq!((log.all().len(), log.all()[0].path.as_str()), (MAX_REQUESTS, "/5"));
        assert_eq!(log.count(), MAX_REQUESTS + 5);
    }

    #[test]
    fn bodies_are_bounded_in_bytes_too() {
        let mut log = Log { max_body_bytes: 10, ..Log::default() };
        for number in 0..3 {
            log.push(request(format!("/{number}"), "12345".to_owned()));
        }
        assert_eq!((log.all().len(), log.body_bytes), (2, 10));
    }
}
