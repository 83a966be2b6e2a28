//! The callers: kept connections, each with one call at a time, every answer compared byte for byte.

use crate::work::{self, Kind};
use crate::{BenchError, http};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How many callers there are at most: each connection is a free account of its own, whose calls go through all of
/// the gate.
pub const CALLERS: u64 = 32;

/// The token of a caller; the account is named so too.
pub fn token(caller: u64) -> String {
    format!("mtx-bench-{caller}")
}
/// Longer than any call here takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// A request and what must come back.
struct Call {
    request: Vec<u8>,
    expected: Vec<u8>,
}

/// Open connections to one gateway.
pub struct Load {
    connections: Vec<Connection>,
}

/// What a run gave.
pub struct Run {
    /// From the request's first byte to the first byte of the answer's body, in nanoseconds, sorted.
    pub first_byte_ns: Vec<u64>,
    /// How long all of it took.
    pub wall: Duration,
}

impl Load {
    /// Opens connections and makes one call of this kind on each, so that nothing is new in what is measured.
    ///
    /// # Errors
    /// [`BenchError`] when a call fails.
    pub async fn open(port: u16, connections: u64, kind: Kind) -> Result<Self, BenchError> {
        let mut opened = Vec::new();
        for _ in 0..connections {
            let socket = TcpStream::connect(("127.0.0.1", port)).await;
            let socket = socket.map_err(BenchError::system("connect to Envoy"))?;
            socket.set_nodelay(true).map_err(BenchError::system("set up a connection"))?;
            opened.push(Connection { socket, buffer: Vec::with_capacity(64 * 1024) });
        }
        let mut load = Self { connections: opened };
        load.run(connections, &[kind]).await?;
        Ok(load)
    }

    /// Makes so many calls, of these kinds by turns.
    ///
    /// # Errors
    /// [`BenchError`] when a call fails: the first one that did.
    pub async fn run(&mut self, calls: u64, kinds: &[Kind]) -> Result<Run, BenchError> {
        let menu_of = |token: &str| -> Vec<Call> {
            let call =
                |kind: &Kind| Call { request: work::request(*kind, token), expected: work::expected(*kind) };
            kinds.iter().map(call).collect()
        };
        let taken = Arc::new(AtomicU64::new(0));
        let start = Instant::now();
        let mut tasks = Vec::new();
        for (connection, caller) in
            std::mem::take(&mut self.connections).into_iter().zip((0..CALLERS).cycle())
        {
            tasks.push(tokio::spawn(connection.work(menu_of(&token(caller)), Arc::clone(&taken), calls)));
        }
        let mut first_byte_ns = Vec::new();
        for task in tasks {
            let done = task.await.map_err(|error| BenchError::Failed(error.to_string()))?;
            let (connection, mut times) = done?;
            self.connections.push(connection);
            first_byte_ns.append(&mut times);
        }
        let wall = start.elapsed();
        first_byte_ns.sort_unstable();
        Ok(Run { first_byte_ns, wall })
    }
}

struct Connection {
    socket: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    /// Calls until `calls` were taken by all connections together.
    async fn work(
        mut self,
        menu: Vec<Call>,
        taken: Arc<AtomicU64>,
        calls: u64,
    ) -> Result<(Self, Vec<u64>), BenchError> {
        let mut times = Vec::new();
        loop {
            let number = taken.fetch_add(1, Ordering::Relaxed);
            let dish = usize::try_from(number).unwrap_or(0).checked_rem(menu.len());
            let Some(call) = menu.get(dish.unwrap_or(0)).filter(|_| number < calls) else {
                return Ok((self, times));
            };
            let call = tokio::time::timeout(PATIENCE, self.call(call)).await;
            let first_byte = call.map_err(|_| BenchError::Failed("a call hangs".into()))??;
            times.push(u64::try_from(first_byte.as_nanos()).unwrap_or(u64::MAX));
        }
    }

    /// One call; the time to the first byte of its body.
    async fn call(&mut self, call: &Call) -> Result<Duration, BenchError> {
        let start = Instant::now();
        self.buffer.clear();
        self.socket.write_all(&call.request).await.map_err(BenchError::system("send a request"))?;
        let head = loop {
            if let Some(head) = http::head(&self.buffer).filter(|head| self.buffer.len() > head.bytes) {
                break head;
            }
            self.fill().await?;
        };
        let first_byte = start.elapsed();
        let body = match head.length {
            Some(length) => {
                while self.buffer.len() < head.bytes + length {
                    self.fill().await?;
                }
                self.buffer.get(head.bytes..).unwrap_or_default() == call.expected
            }
            None => {
                let mut chunked = http::Chunked { used: head.bytes, ..http::Chunked::default() };
                while !chunked.read(&self.buffer) {
                    self.fill().await?;
                }
                chunked.body == call.expected
            }
        };
        match head.status == 200 && body {
            true => Ok(first_byte),
            false => Err(BenchError::Failed(format!(
                "a call got another answer than the provider gave:\n{}",
                String::from_utf8_lossy(&self.buffer)
            ))),
        }
    }

    async fn fill(&mut self) -> Result<(), BenchError> {
        match self.socket.read_buf(&mut self.buffer).await.map_err(BenchError::system("read an answer"))? {
            0 => Err(BenchError::Failed(format!(
                "Envoy closed a connection in an answer:\n{}",
                String::from_utf8_lossy(&self.buffer)
            ))),
            _ => Ok(()),
        }
    }
}
