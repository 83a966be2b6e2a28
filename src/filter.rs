//! The adapter between Envoy and the core: callbacks become events, effects become host calls. wasm32 only.
//! It decides nothing: whether to wait is a question to the exchange's state.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use log::{error, warn};
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;

use crate::account::Account;
use crate::clock::Moment;
use crate::config::Gateway;
use crate::digest::Digest;
use crate::event::{Effect, Event, Forward, Reply, Resolution};
use crate::exchange::Exchange;
use crate::host::{self, Buffer, Half, Map, Random, Shared};
use crate::outbox::Writer;
use crate::refusal::Refusal;
use crate::request::pieces;
use crate::token_cache::{self, Near};
use crate::wire::{RESOLVE_PATH, ResolveRequest};

/// How often a root looks into the outbox while something waits there: a debit is in the ledger this much after its call, and the ledger
/// syncs once for all that came meanwhile.
const TICK_MS: u32 = 20;
/// How often it looks while nothing waits there: each tick wakes a thread.
pub const IDLE_MS: u32 = 1_000;

/// What all streams of one root context share.
#[derive(Debug)]
pub struct Worker {
    gateway: Rc<Gateway>,
    /// Whether new calls are taken: looked up once a tick, not once a call. Half of the outbox is left for
    /// the calls of a tick and those in flight.
    pub room: Cell<bool>,
    /// Whether there ever was a stream: the main thread's root has none.
    pub serves: Cell<bool>,
    /// Whether the root looks into the outbox every few milliseconds, or once a second.
    pub ticks_quickly: Cell<bool>,
    tokens: Near,
    random: Random,
    outbox: Writer,
}

impl Worker {
    /// A worker that has served nobody yet.
    #[must_use]
    pub fn new(gateway: Rc<Gateway>) -> Self {
        Self {
            gateway,
            room: Cell::new(false),
            serves: Cell::new(false),
            ticks_quickly: Cell::new(false),
            tokens: Near::default(),
            random: Random::default(),
            outbox: Writer::default(),
        }
    }

    /// Has the root tick quickly, or slowly; also from a stream, whose ticks are its root's.
    pub fn tick_quickly(&self, quickly: bool) {
        if self.ticks_quickly.replace(quickly) != quickly {
            let period = if quickly { TICK_MS } else { IDLE_MS };
            told(host::tick_every(period), "set the time between two ticks");
        }
    }

    /// The configuration and the cards.
    #[must_use]
    pub fn gateway(&self) -> &Gateway {
        &self.gateway
    }
}

/// One HTTP stream.
pub struct Stream {
    worker: Rc<Worker>,
    exchange: Exchange,
    /// The callout that asks whose token it is, and the token's digest.
    resolving: Option<(u32, Digest)>,
    /// How much of a paused request body was read: Envoy counts from its start.
    request_read: usize,
    /// How much of a held answer was read.
    answer_read: usize,
    /// When something was last decided. A host call costs more than reading a chunk, so the clock is asked
    /// at heads, at ends and after a wait, and not at every piece in between.
    now: Moment,
}

impl Stream {
    /// A stream on a configured gateway.
    #[must_use]
    pub fn new(worker: Rc<Worker>) -> Self {
        let exchange = Exchange::new(Rc::clone(&worker.gateway));
        Self { worker, exchange, resolving: None, request_read: 0, answer_read: 0, now: Moment::default() }
    }

    /// Tells the exchange what happened and does what it says. `body_size` is the size of the body that the
    /// callback is about.
    fn step(&mut self, event: Event<'_>, body_size: usize) {
        for effect in self.exchange.step(self.now, event) {
            match effect {
                Effect::Resolve(token) => self.resolve(token),
                Effect::Reply(reply) => send(&reply),
                Effect::Forward(forward) => self.forward(&forward),
                Effect::AnswerHead(head) => {
                    for (name, value) in &head.add {
                        told(host::set_header(Map::Answer, name, value.as_bytes()), "set an answer's header");
                    }
                    if head.length_changes {
                        // It would tell the caller to wait for bytes that were taken out.
                        let _ = host::remove_header(Map::Answer, "content-length");
                    }
                }
                Effect::ReplaceBody(bytes) => {
                    told(
                        host::replace_buffer(Buffer::Answer, body_size, &bytes),
                        "replace an answer's bytes",
                    );
                }
                Effect::Record(debit) => match debit.to_canonical() {
                    Ok(canonical) => self.keep(&canonical),
                    Err(problem) => error!("a debit has no canonical form: {problem}"),
                },
            }
        }
    }

    fn resolve(&mut self, token: Digest) {
        if let Some(resolution) = self.worker.tokens.look_up(&Shared, &token, self.now) {
            return self.step(Event::Resolved(resolution), 0);
        }
        let ledger = &self.worker.gateway.config.ledger;
        let body = serde_json::to_vec(&ResolveRequest { token_sha256: token }).unwrap_or_default();
        let callout = host::post(
            &ledger.cluster,
            &ledger.authority,
            RESOLVE_PATH,
            "application/json",
            &body,
            ledger.timeout_ms,
        );
        match callout {
            Some(callout) => self.resolving = Some((callout, token)),
            None => {
                error!("cannot call the ledger: is there a cluster {:?}?", ledger.cluster);
                self.step(Event::Resolved(Resolution::Unavailable), 0);
            }
        }
    }

    /// The route demands the mark, and a changed header makes Envoy choose the route: in this order.
    fn forward(&self, forward: &Forward) {
        let marked = host::set_filter_state("pax_provider", &forward.provider);
        let length = forward.content_length.to_string();
        let headers: Vec<(&str, &[u8])> =
            forward.headers.iter().map(|(name, value)| (*name, value.as_slice())).collect();
        let changed = marked
            .and_then(|()| host::set_headers(Map::Request, &headers))
            // Replacing the whole map leaves the chosen route alone; setting one header chooses anew.
            .and_then(|()| host::set_header(Map::Request, "content-length", length.as_bytes()));
        let edited = changed.and_then(|()| {
            if forward.edits.is_empty() {
                return Ok(());
            }
            // Envoy can only replace the whole, or append: the one copy of a body in the filter's memory, and
            // only where it is rewritten.
            let body = host::buffer(Buffer::Request, 0, usize::MAX);
            host::replace_buffer(Buffer::Request, body.len(), &[])?;
            pieces(&body, &forward.edits).try_for_each(|piece| host::append_buffer(Buffer::Request, piece))
        });
        told(edited, "send a request on");
    }

    fn keep(&self, canonical: &[u8]) {
        self.worker.tick_quickly(true);
        if self.worker.outbox.put(&Shared, canonical, self.now, host::now).is_err() {
            // New calls were refused long before: this needs more calls in flight than half the outbox. The
            // line holds all it takes to record the debit by hand, and no secret.
            error!("the outbox is full; not recorded: {}", String::from_utf8_lossy(canonical));
        }
    }

    fn request_action(&self) -> Action {
        if self.exchange.request_waits() { Action::Pause } else { Action::Continue }
    }

    fn answer_action(&self) -> Action {
        if self.exchange.answer_waits() { Action::Pause } else { Action::Continue }
    }
}

impl Context for Stream {
    fn on_http_call_response(&mut self, callout: u32, num_headers: usize, body_size: usize, _: usize) {
        let Some((_, token)) = self.resolving.take_if(|(expected, _)| *expected == callout) else { return };
        self.now = host::now();
        let resolution = read_resolution(num_headers, body_size);
        let times = &self.worker.gateway.config.tokens;
        let ttl_ms = match resolution {
            Resolution::Account(_) => times.ttl_ms,
            Resolution::Unknown | Resolution::Unavailable => times.unknown_ttl_ms,
        };
        token_cache::remember(&Shared, &token, &resolution, self.now, ttl_ms);
        self.step(Event::Resolved(resolution), 0);
        if self.exchange.is_forwarded() {
            told(host::resume(Half::Request), "let a request go on");
        }
    }
}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _: usize, end: bool) -> Action {
        self.now = host::now();
        let headers = host::headers(Map::Request);
        let Ok(random) = self.worker.random.take() else {
            error!("the host gives no random bytes, so calls have no ids: wasi random_get is needed");
            let refusal = Refusal::GatewayDisabled;
            told(
                host::reply(refusal.status(), &[("content-type", b"application/json")], &refusal.body()),
                "refuse",
            );
            return Action::Pause;
        };
        let outbox_has_room = self.worker.room.get();
        self.step(Event::Head { headers: &headers, end, random, outbox_has_room }, 0);
        self.request_action()
    }

    fn on_http_request_body(&mut self, size: usize, end: bool) -> Action {
        if self.exchange.reads_body() {
            if end {
                self.now = host::now();
            }
            let bytes = new_bytes(Buffer::Request, self.request_read, size);
            self.request_read = size;
            self.step(Event::Body { bytes: &bytes, end }, size);
        }
        self.request_action()
    }

    fn on_http_request_trailers(&mut self, _: usize) -> Action {
        if self.exchange.reads_body() {
            self.now = host::now();
            self.step(Event::Body { bytes: &[], end: true }, self.request_read);
        }
        self.request_action()
    }

    fn on_http_response_headers(&mut self, _: usize, end: bool) -> Action {
        if self.exchange.is_forwarded() || self.exchange.reads_answer() {
            if end {
                self.now = host::now();
            }
            let headers = host::headers(Map::Answer);
            let value = |wanted: &str| {
                let found = headers.iter().find(|(name, _)| name == wanted);
                found.map_or(&[][..], |(_, value)| value.as_slice())
            };
            let status = std::str::from_utf8(value(":status")).ok().and_then(|text| text.parse().ok());
            take_off_the_providers_own(&headers);
            let event = Event::AnswerHead {
                status: status.unwrap_or(0),
                content_type: value("content-type"),
                content_encoding: value("content-encoding"),
                end,
            };
            self.step(event, 0);
            if let Some(id) = self.exchange.id().filter(|_| self.exchange.answer_waits()) {
                // Should the provider break off while its head is held, Envoy answers in its place and asks no
                // filter: by this mark it knows that the call is charged all the same, and where.
                told(host::set_filter_state("pax_held", &id.to_string()), "mark a held answer");
            }
        }
        self.answer_action()
    }

    fn on_http_response_body(&mut self, size: usize, end: bool) -> Action {
        if self.exchange.reads_answer() {
            if end {
                self.now = host::now();
            }
            let bytes = new_bytes(Buffer::Answer, self.answer_read, size);
            self.step(Event::AnswerBody { bytes: &bytes, end }, size);
            self.answer_read = if self.exchange.answer_waits() { size } else { 0 };
        }
        self.answer_action()
    }

    fn on_http_response_trailers(&mut self, _: usize) -> Action {
        if self.exchange.reads_answer() {
            self.now = host::now();
            self.step(Event::AnswerBody { bytes: &[], end: true }, 0);
        }
        self.answer_action()
    }

    fn on_log(&mut self) {
        if self.exchange.owes() {
            self.now = host::now();
        }
        self.step(Event::Closed, 0);
    }
}

/// What came since so many bytes were read. The end of an HTTP/1.1 body comes by itself, without a byte.
fn new_bytes(buffer: Buffer, read: usize, size: usize) -> Vec<u8> {
    match size.saturating_sub(read) {
        0 => Vec::new(),
        new => host::buffer(buffer, read, new),
    }
}

/// Headers by which a provider says who its own customer is, or that only this gateway may set.
fn take_off_the_providers_own(headers: &[(String, Vec<u8>)]) {
    for (name, _) in headers {
        let own = name.starts_with("x-matrix-")
            || name == "set-cookie"
            || name.contains("organization")
            || name == "openai-project";
        if own {
            told(host::remove_header(Map::Answer, name), "take an answer's header off");
        }
    }
}

fn read_resolution(num_headers: usize, body_size: usize) -> Resolution {
    // A callout that failed has no headers at all (envoy#26485).
    let status = if num_headers > 0 { host::header(Map::Callout, ":status") } else { None };
    match status.as_deref() {
        Some(b"200") => {
            let body = host::buffer(Buffer::Callout, 0, body_size);
            match serde_json::from_slice::<Account>(&body) {
                Ok(account) => Resolution::Account(Arc::new(account)),
                Err(problem) => {
                    error!("the ledger's answer to {RESOLVE_PATH} cannot be read: {problem}");
                    Resolution::Unavailable
                }
            }
        }
        Some(b"404") => Resolution::Unknown,
        other => {
            let status = other.map_or("no answer".into(), String::from_utf8_lossy);
            warn!("the ledger did not say whose token it is: {status}");
            Resolution::Unavailable
        }
    }
}

fn send(reply: &Reply) {
    let mut headers: Vec<(&str, &[u8])> = vec![("content-type", b"application/json")];
    headers.extend(reply.headers.iter().map(|(name, value)| (*name, value.as_bytes())));
    told(host::reply(reply.status, &headers, &reply.body), "answer a caller");
}

/// A host call that fails in a phase in which it cannot fail is worth a line, never a trap.
fn told(result: Result<(), host::Status>, what: &str) {
    if let Err(host::Status(status)) = result {
        error!("Envoy did not let the filter {what}: status {status}");
    }
}
