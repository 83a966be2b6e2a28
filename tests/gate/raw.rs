//! Stand-in providers that no server library offers: one that answers with exactly the bytes that the test
//! states, and one over HTTP/2 that keeps all that it was sent, trailers included.

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long it rests between two pieces of an answer, so that they come one by one.
const PACE: Duration = Duration::from_millis(50);

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A provider over HTTP/1.1.
pub struct Raw {
    pub port: u16,
    shared: Arc<RawShared>,
}

#[derive(Default)]
struct RawShared {
    pieces: Mutex<Vec<Vec<u8>>>,
    received: Mutex<Vec<u8>>,
}

impl Raw {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared: Arc<RawShared> = Arc::default();
        let served = Arc::clone(&shared);
        // It ends with the process: nothing waits for it.
        std::thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let shared = Arc::clone(&served);
                std::thread::spawn(move || shared.serve(socket));
            }
        });
        Self { port, shared }
    }

    /// What it answers from now on, piece by piece.
    pub fn answers(&self, pieces: &[&str]) {
        *locked(&self.shared.pieces) = pieces.iter().map(|piece| piece.as_bytes().to_vec()).collect();
        locked(&self.shared.received).clear();
    }

    /// Every byte that it was sent since it was told what to answer.
    pub fn received(&self) -> String {
        String::from_utf8_lossy(&locked(&self.shared.received)).into_owned()
    }
}

impl RawShared {
    /// Answers once the first bytes of a request have come, and goes on to read until the peer hangs up.
    fn serve(&self, mut socket: TcpStream) {
        let mut bytes = [0; 65_536];
        while let Ok(count @ 1..) = socket.read(&mut bytes) {
            locked(&self.received).extend_from_slice(&bytes[..count]);
            if bytes.starts_with(b"POST ") {
                // The rest of the request comes at once.
                std::thread::sleep(PACE);
                let pieces = locked(&self.pieces).clone();
                for piece in pieces {
                    if socket.write_all(&piece).is_err() {
                        return;
                    }
                    std::thread::sleep(PACE);
                }
            }
        }
    }
}

/// A request as the HTTP/2 provider got it.
#[derive(Clone, Debug)]
pub struct Got {
    pub path: String,
    pub body: String,
    pub trailers: Option<HeaderMap>,
}

/// What the HTTP/2 provider answers.
#[derive(Clone)]
pub struct Plays {
    pub status: u16,
    pub headers: Vec<(&'static str, &'static str)>,
    pub pieces: Vec<&'static str>,
    pub trailers: Vec<(&'static str, &'static str)>,
}

impl Default for Plays {
    fn default() -> Self {
        let answer = r#"{"choices":[{}],"usage":{"prompt_tokens":3,"completion_tokens":2}}"#;
        let headers = vec![("content-type", "application/json")];
        Self { status: 200, headers, pieces: vec![answer], trailers: Vec::new() }
    }
}

/// A provider over HTTP/2 without TLS.
pub struct Http2 {
    pub port: u16,
    plays: Arc<Mutex<Plays>>,
    got: Arc<Mutex<Vec<Got>>>,
}

impl Http2 {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (plays, got): (Arc<Mutex<Plays>>, Arc<Mutex<Vec<Got>>>) = Default::default();
        let (next, keeps) = (Arc::clone(&plays), Arc::clone(&got));
        // It ends with the process: nothing waits for it.
        std::thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let (plays, got) = (Arc::clone(&next), Arc::clone(&keeps));
                std::thread::spawn(move || {
                    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                    runtime.block_on(connection(socket, &plays, &got));
                });
            }
        });
        Self { port, plays, got }
    }

    pub fn answers(&self, plays: Plays) {
        *locked(&self.plays) = plays;
    }

    /// What it got since the last time.
    pub fn take(&self) -> Vec<Got> {
        std::mem::take(&mut *locked(&self.got))
    }
}

/// Serves one connection, a request after the other.
async fn connection(socket: TcpStream, plays: &Arc<Mutex<Plays>>, got: &Arc<Mutex<Vec<Got>>>) {
    socket.set_nonblocking(true).unwrap();
    let socket = tokio::net::TcpStream::from_std(socket).unwrap();
    let Ok(mut connection) = h2::server::handshake(socket).await else { return };
    let local = tokio::task::LocalSet::new();
    local
        .run_until(async {
            while let Some(Ok((request, respond))) = connection.accept().await {
                let (plays, got) = (locked(plays).clone(), Arc::clone(got));
                tokio::task::spawn_local(async move {
                    let _ = exchange(request, respond, plays, &got).await;
                });
            }
        })
        .await;
}

async fn exchange(
    request: http::Request<h2::RecvStream>,
    mut respond: h2::server::SendResponse<Bytes>,
    plays: Plays,
    got: &Mutex<Vec<Got>>,
) -> Result<(), h2::Error> {
    let path = request.uri().path().to_owned();
    let mut stream = request.into_body();
    let mut body = Vec::new();
    while let Some(piece) = stream.data().await {
        let piece = piece?;
        stream.flow_control().release_capacity(piece.len())?;
        body.extend_from_slice(&piece);
    }
    let trailers = stream.trailers().await?;
    locked(got).push(Got { path, body: String::from_utf8_lossy(&body).into_owned(), trailers });
    let mut response = Response::builder().status(StatusCode::from_u16(plays.status).unwrap());
    for (name, value) in &plays.headers {
        response = response.header(*name, *value);
    }
    let mut send = respond.send_response(response.body(()).unwrap(), false)?;
    for piece in &plays.pieces {
        tokio::time::sleep(PACE).await;
        send.send_data(Bytes::from_static(piece.as_bytes()), false)?;
    }
    let named = |(name, value): &(&'static str, &'static str)| {
        (http::HeaderName::from_static(name), http::HeaderValue::from_static(value))
    };
    send.send_trailers(plays.trailers.iter().map(named).collect())
}
