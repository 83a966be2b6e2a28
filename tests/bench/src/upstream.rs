//! The provider: plays the answers of [`work`](crate::work) on kept connections, and costs as little as it can.

use crate::work::{self, Kind};
use crate::{BenchError, http};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The answers, as they go onto the wire.
struct Wire {
    json: Vec<u8>,
    ready: Vec<u8>,
    stream_head: Vec<u8>,
    chunks: Vec<Vec<u8>>,
    usage: Vec<u8>,
    end: Vec<u8>,
}

impl Wire {
    fn new() -> Self {
        let headers = work::ANSWER_HEADERS;
        let body = work::json();
        let json = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n{headers}content-length: {}\r\n\r\n",
            body.len()
        );
        let stream = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n{headers}transfer-encoding: chunked\r\n\r\n"
        );
        Self {
            json: [json.into_bytes(), body].concat(),
            ready: b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_vec(),
            stream_head: stream.into_bytes(),
            chunks: work::events().iter().map(|event| http::chunk(event)).collect(),
            usage: http::chunk(&work::usage_event()),
            end: [http::chunk(work::DONE), b"0\r\n\r\n".to_vec()].concat(),
        }
    }
}

/// Remembers which of the numbered calls (from 0) the provider has answered with 200.
pub struct Witness(Vec<AtomicBool>);

impl Witness {
    /// One for so many calls.
    pub fn of(calls: usize) -> Arc<Self> {
        Arc::new(Self((0..calls).map(|_| AtomicBool::new(false)).collect()))
    }

    /// This call is answered.
    pub fn answers(&self, number: u64) {
        if let Some(call) = self.call(number) {
            call.store(true, Ordering::Relaxed);
        }
    }

    /// Whether this call was answered.
    pub fn has_answered(&self, number: u64) -> bool {
        self.call(number).is_some_and(|call| call.load(Ordering::Relaxed))
    }

    fn call(&self, number: u64) -> Option<&AtomicBool> {
        self.0.get(usize::try_from(number).ok()?)
    }
}

/// Listens on a free port and serves on this runtime until it is dropped.
///
/// # Errors
/// [`BenchError::System`].
pub async fn start(witness: Option<Arc<Witness>>) -> Result<SocketAddr, BenchError> {
    let failed = || BenchError::system("listen on 127.0.0.1");
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(failed())?;
    let address = listener.local_addr().map_err(failed())?;
    let wire = Arc::new(Wire::new());
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let (wire, witness) = (Arc::clone(&wire), witness.clone());
            tokio::spawn(async move {
                // Envoy closes a connection whenever it likes: that is the end of it, not a mistake.
                let _ = serve(socket, &wire, witness.as_deref()).await;
            });
        }
    });
    Ok(address)
}

async fn serve(mut socket: TcpStream, wire: &Wire, witness: Option<&Witness>) -> std::io::Result<()> {
    socket.set_nodelay(true)?;
    let mut buffer = Vec::with_capacity(16 * 1024);
    loop {
        let (head, body) = loop {
            if let Some(head) = http::head(&buffer) {
                // Envoy sends a body on with its length, and one that it has changed as well.
                let body = head.bytes..head.bytes + head.length.unwrap_or(0);
                if buffer.len() >= body.end {
                    break (head, body);
                }
            }
            if socket.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
        };
        if buffer.starts_with(b"GET ") {
            socket.write_all(&wire.ready).await?;
        } else {
            let asked = buffer.get(body.clone()).unwrap_or_default();
            let (kind, usage) = work::kind(asked);
            // Before it is sent, so that no answer is seen earlier than its mark.
            if let Some((witness, number)) = witness.zip(work::number(asked)) {
                witness.answers(number);
            }
            answer(&mut socket, wire, kind, usage).await?;
        }
        buffer.drain(..head.bytes + body.len());
    }
}

async fn answer(socket: &mut TcpStream, wire: &Wire, kind: Kind, usage: bool) -> std::io::Result<()> {
    if kind == Kind::Json {
        return socket.write_all(&wire.json).await;
    }
    socket.write_all(&wire.stream_head).await?;
    let mut next = tokio::time::Instant::now();
    for chunk in &wire.chunks {
        if kind == Kind::Stream {
            tokio::time::sleep_until(next).await;
            next += work::PACE;
        }
        socket.write_all(chunk).await?;
    }
    if usage {
        socket.write_all(&wire.usage).await?;
    }
    socket.write_all(&wire.end).await
}
