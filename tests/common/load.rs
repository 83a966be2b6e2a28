//! Callers that make load, and keep each answer and the id of its exchange. So a test of a stop, a kill or an
//! upgrade under load can compare what callers saw with what the ledger has.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Longer than any call here takes.
const PATIENCE: Duration = Duration::from_secs(40);
/// Between two calls of one caller.
const PAUSE: Duration = Duration::from_millis(5);
/// After a call that was not served.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(50);

/// What callers saw.
#[derive(Debug, Default)]
pub struct Tally {
    /// The exchanges of calls that were answered with 200 to the last byte.
    pub answered: Vec<String>,
    /// The exchanges of calls whose 200 broke off.
    pub cut: Vec<String>,
    /// Other answers: `503 ledger_unavailable`.
    pub refused: BTreeMap<String, usize>,
    /// Calls that were sent and never answered.
    pub unanswered: usize,
    /// Calls that found nobody to send them to.
    pub unconnected: usize,
    /// The longest time in which no call of one caller was answered with 200.
    pub longest_gap: Duration,
}

impl Tally {
    /// The exchanges that the ledger must have, and no others: whatever was answered with 200.
    pub fn owed(&self) -> BTreeSet<String> {
        self.answered.iter().chain(&self.cut).cloned().collect()
    }

    /// Whether every call that was taken was answered whole. A caller who still comes when the port closes may find its
    /// connection reset by the kernel before anybody has read from it: such a call was not taken, and has no entry.
    // Not every program that has callers stops their gateway.
    #[allow(dead_code)]
    pub fn was_stopped_cleanly(&self, callers: usize) -> bool {
        self.cut.is_empty() && self.refused.is_empty() && self.unanswered <= callers
    }

    fn add(&mut self, other: Self) {
        self.answered.extend(other.answered);
        self.cut.extend(other.cut);
        self.unanswered += other.unanswered;
        self.unconnected += other.unconnected;
        self.longest_gap = self.longest_gap.max(other.longest_gap);
        for (what, count) in other.refused {
            *self.refused.entry(what).or_default() += count;
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} answered, {} cut", self.answered.len(), self.cut.len())?;
        for (what, count) in &self.refused {
            write!(f, ", {count} x {what}")?;
        }
        write!(f, ", {} unanswered, {} unconnected", self.unanswered, self.unconnected)?;
        write!(f, "; longest gap {} ms", self.longest_gap.as_millis())
    }
}

/// Callers at work.
pub struct Load {
    stop: Arc<AtomicBool>,
    callers: Vec<JoinHandle<Tally>>,
}

impl Load {
    /// So many callers of one gateway, each on a new connection for each call: JSON, a stream, an embedding, in turn.
    pub fn start(gateway: SocketAddr, token: &str, callers: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let callers = (0..callers).map(|number| {
            let (stop, token) = (Arc::clone(&stop), token.to_owned());
            std::thread::spawn(move || keep_calling(gateway, &token, number, &stop))
        });
        Self { callers: callers.collect(), stop }
    }

    /// What they saw, once the last call of each has ended.
    pub fn stop(self) -> Tally {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Tally::default();
        for caller in self.callers {
            all.add(caller.join().unwrap());
        }
        all
    }
}

/// One call of each kind, in order; what was seen of them.
pub fn one_of_each(gateway: SocketAddr, token: &str) -> Tally {
    let mut seen = Tally::default();
    for kind in 0..KINDS.len() {
        call(gateway, token, kind, &mut seen);
    }
    seen
}

fn keep_calling(gateway: SocketAddr, token: &str, number: usize, stop: &AtomicBool) -> Tally {
    let (mut seen, mut kind, mut served) = (Tally::default(), number, Instant::now());
    while !stop.load(Ordering::Relaxed) {
        let answered = call(gateway, token, kind, &mut seen);
        kind += 1;
        if answered {
            seen.longest_gap = seen.longest_gap.max(served.elapsed());
            served = Instant::now();
        }
        std::thread::sleep(if answered { PAUSE } else { PAUSE_AFTER_FAILURE });
    }
    seen
}

const KINDS: [(&str, &str); 3] = [
    (
        "/v1/chat/completions",
        r#"{"model":"accounts/fireworks/models/gpt-oss-120b","max_tokens":64,"messages":[{"role":"user","content":"hello"}]}"#,
    ),
    (
        "/v1/chat/completions",
        r#"{"model":"accounts/fireworks/models/gpt-oss-120b","max_tokens":64,"stream":true,"messages":[{"role":"user","content":"hello"}]}"#,
    ),
    ("/v1/embeddings", r#"{"model":"nomic-ai/nomic-embed-text-v1.5","input":"hello"}"#),
];

/// One call; whether it was answered with 200, to the last byte.
fn call(gateway: SocketAddr, token: &str, kind: usize, seen: &mut Tally) -> bool {
    let (path, body) = KINDS[kind % KINDS.len()];
    let Ok(mut socket) = TcpStream::connect_timeout(&gateway, PATIENCE) else {
        seen.unconnected += 1;
        return false;
    };
    let mut answer = Vec::new();
    // Whatever breaks shows in what was read.
    let _ = socket.set_read_timeout(Some(PATIENCE));
    let _ = write!(
        socket,
        "POST {path} HTTP/1.1\r\nhost: {gateway}\r\nauthorization: Bearer {token}\r\ncontent-length: {}\r\n\
         content-type: application/json\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    let mut piece = [0; 16_384];
    while !is_complete(&answer) {
        match socket.read(&mut piece) {
            Ok(count) if count > 0 => answer.extend_from_slice(&piece[..count]),
            _ => break,
        }
    }
    let text = String::from_utf8_lossy(&answer);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        seen.unanswered += 1;
        return false;
    };
    if head.split(' ').nth(1) != Some("200") {
        let status = head.split(' ').nth(1).unwrap_or("?");
        let code = body.split_once(r#""code":""#).and_then(|(_, rest)| rest.split('"').next());
        *seen.refused.entry(format!("{status} {}", code.unwrap_or("?"))).or_default() += 1;
        return false;
    }
    let exchange = header(head, "x-matrix-exchange-id").unwrap_or("?").to_owned();
    let complete = is_complete(&answer);
    if complete { &mut seen.answered } else { &mut seen.cut }.push(exchange);
    complete
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = head.lines().filter_map(|line| line.split_once(": "));
    lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// Whether an answer has come to its last byte.
fn is_complete(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    match header(head, "content-length").and_then(|length| length.parse::<usize>().ok()) {
        Some(length) => body.len() >= length,
        None => body.ends_with("\r\n0\r\n\r\n"),
    }
}
