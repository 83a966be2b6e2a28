//! The HTTP server: connections, routes, and the control API of tests.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::header::AUTHORIZATION;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tracing::{debug, warn};

use crate::answers::Answers;
use crate::behaviour::{Behaviour, BehaviourError};
use crate::play::{Cut, Playback};
use crate::plays;
use crate::received::{Log, Received};
use crate::reply::{Reply, Route, key_is_missing, reply};

/// The longest request that is read, in bytes.
const MAX_REQUEST_BYTES: usize = 64 * 1024 * 1024;
const CONTROL: &str = "/_standin/";

/// Everything that connections and the owner share.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) answers: Answers,
    default: Behaviour,
    current: Mutex<Behaviour>,
    received: Mutex<Log>,
}

/// A panic elsewhere does not make this state less true.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    pub(crate) fn new(answers: Answers, default: Behaviour) -> Result<Self, BehaviourError> {
        let state =
            Self { answers, default: default.clone(), current: Mutex::default(), received: Mutex::default() };
        state.set(default)?;
        Ok(state)
    }

    /// Sets the behaviour; what it leaves out of the command line's settings stays as there.
    pub(crate) fn set(&self, mut behaviour: Behaviour) -> Result<(), BehaviourError> {
        behaviour.check()?;
        if let Some(name) = &behaviour.answer
            && self.answers.get(name).is_none()
        {
            let known: Vec<&str> = self.answers.names().collect();
            return Err(BehaviourError::UnknownAnswer { name: name.clone(), known: known.join(", ") });
        }
        behaviour.answer = behaviour.answer.or_else(|| self.default.answer.clone());
        behaviour.plays = behaviour.plays.or_else(|| self.default.plays.clone());
        behaviour.context_tokens = behaviour.context_tokens.or(self.default.context_tokens);
        behaviour.pace_ms = behaviour.pace_ms.or(self.default.pace_ms);
        behaviour.write_bytes = behaviour.write_bytes.or_else(|| self.default.write_bytes.clone());
        *lock(&self.current) = behaviour;
        Ok(())
    }

    pub(crate) fn reset(&self) {
        *lock(&self.current) = self.default.clone();
    }

    pub(crate) fn behaviour(&self) -> Behaviour {
        lock(&self.current).clone()
    }

    /// The behaviour of one request; counts `times` down.
    fn take(&self) -> Behaviour {
        let mut current = lock(&self.current);
        let taken = current.clone();
        match current.times {
            Some(0 | 1) => *current = self.default.clone(),
            Some(times) => current.times = Some(times - 1),
            None => {}
        }
        taken
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        lock(&self.received).all()
    }

    pub(crate) fn received_count(&self) -> usize {
        lock(&self.received).count()
    }

    pub(crate) fn clear_received(&self) {
        lock(&self.received).clear();
    }
}

/// Accepts connections until it is dropped.
pub(crate) async fn accept(listener: TcpListener, state: Arc<State>) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                tokio::spawn(serve(stream, peer, Arc::clone(&state)));
            }
            Err(error) => {
                // Out of file descriptors, most likely: others are about to close theirs.
                warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn serve(stream: TcpStream, peer: SocketAddr, state: Arc<State>) {
    // Without this the kernel would put odd small writes together.
    if let Err(error) = stream.set_nodelay(true) {
        warn!(%error, "cannot switch off Nagle's algorithm");
    }
    let service = service_fn(move |request| handle(request, peer, Arc::clone(&state)));
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http2().max_concurrent_streams(10_000);
    if let Err(error) = builder.serve_connection(TokioIo::new(stream), service).await {
        debug!(%peer, error, "connection ended early");
    }
}

/// `Err` makes hyper end the connection, or reset the stream, without an answer.
async fn handle(
    request: Request<Incoming>,
    peer: SocketAddr,
    state: Arc<State>,
) -> Result<Response<Playback>, Cut> {
    let (head, body) = request.into_parts();
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let Ok(body) = Limited::new(body, MAX_REQUEST_BYTES).collect().await else {
        debug!(path, "request body not complete or too long");
        let message = format!("the body did not end, or is longer than {MAX_REQUEST_BYTES} bytes");
        return Ok(Reply::error(413, "request_too_large", None, &message).into_plain());
    };
    let body = body.to_bytes();
    if let Some(what) = head.uri.path().strip_prefix(CONTROL) {
        if !peer.ip().to_canonical().is_loopback() {
            let message = "the control API is for this machine only";
            return Ok(Reply::error(403, "standin_control", None, message).into_plain());
        }
        return Ok(control(&state, &head.method, what, &body));
    }
    let latin1 = |bytes: &[u8]| bytes.iter().copied().map(char::from).collect::<String>();
    let headers = head.headers.iter().map(|(name, value)| (name.to_string(), latin1(value.as_bytes())));
    lock(&state.received).push(Received {
        method: head.method.to_string(),
        path: path.clone(),
        version: format!("{:?}", head.version),
        headers: headers.collect(),
        body: String::from_utf8_lossy(&body).into_owned(),
    });
    match route(&head.method, head.uri.path()) {
        Ok(route) => answer(&state, route, &body, head.headers.contains_key(AUTHORIZATION)).await,
        Err(error) => Ok(error.into_plain()),
    }
}

/// How often a call that waits looks whether it may be answered.
const LOOK: Duration = Duration::from_millis(5);

fn route(method: &Method, path: &str) -> Result<Route, Reply> {
    let (route, allowed) = match path {
        _ if path.ends_with("/chat/completions") => (Route::Chat, Method::POST),
        _ if path.ends_with("/embeddings") => (Route::Embeddings, Method::POST),
        _ if path.ends_with("/models") => (Route::Models, Method::GET),
        _ => {
            let message =
                format!("no route {path}; there are .../chat/completions, .../embeddings, .../models");
            return Err(Reply::error(404, "unknown_route", None, &message));
        }
    };
    if *method != allowed {
        let message = format!("{path} takes {allowed}, not {method}");
        return Err(Reply::error(405, "method_not_allowed", None, &message));
    }
    Ok(route)
}

async fn answer(state: &State, route: Route, body: &Bytes, has_key: bool) -> Result<Response<Playback>, Cut> {
    let behaviour = state.take();
    while behaviour.waits && state.behaviour().waits {
        tokio::time::sleep(LOOK).await;
    }
    if let Some(delay) = behaviour.delay_ms {
        tokio::time::sleep(Duration::from_millis(delay)).await;
    }
    if behaviour.cut_before_head {
        return Err(Cut);
    }
    let reply = match key_is_missing(&behaviour, has_key) {
        Some(refusal) => refusal,
        None => reply(&state.answers, &behaviour, route, body),
    };
    debug!(?route, status = reply.status, "answering");
    Ok(reply.play(&behaviour).unwrap_or_else(|error| {
        Reply::error(500, "standin_behaviour", None, &error.to_string()).into_plain()
    }))
}

fn control(state: &State, method: &Method, what: &str, body: &[u8]) -> Response<Playback> {
    let ok = |value: serde_json::Value| Reply::ok(value.to_string()).into_plain();
    match (method.as_str(), what) {
        ("GET", "behaviour") => ok(json!(state.behaviour())),
        ("PUT", "behaviour") => match Behaviour::from_json(body).and_then(|told| state.set(told)) {
            Ok(()) => ok(json!(state.behaviour())),
            Err(error) => Reply::error(400, "standin_behaviour", None, &error.to_string()).into_plain(),
        },
        ("DELETE", "behaviour") => {
            state.reset();
            ok(json!(state.behaviour()))
        }
        ("GET", "requests") => ok(json!(state.received())),
        ("DELETE", "requests") => {
            state.clear_received();
            ok(json!([]))
        }
        ("GET", "plays") => ok(json!(plays::ALL)),
        ("GET", "answers") => ok(json!(state.answers.names().collect::<Vec<_>>())),
        _ => {
            let message = "there are GET, PUT, DELETE /_standin/behaviour; GET, DELETE /_standin/requests; \
                           GET /_standin/answers, /_standin/plays";
            Reply::error(404, "standin_control", None, message).into_plain()
        }
    }
}

/// Runs the server until `stop` is told, or its sender is gone.
pub(crate) async fn run(
    listener: TcpListener,
    state: Arc<State>,
    stop: tokio::sync::oneshot::Receiver<Infallible>,
) {
    tokio::select! {
        () = accept(listener, state) => {}
        _ = stop => {}
    }
}
