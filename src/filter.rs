//! The adapter between Envoy and the core: callbacks become events, effects become host calls. wasm32 only.
//! It decides nothing: whether to wait is a question to the exchange's state.

use std::rc::Rc;

use log::error;
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;

use crate::admission::Admission;
use crate::clock::{Now, UtcDay};
use crate::complaints::Complaint;
use crate::config::Gateway;
use crate::debit::Debit;
use crate::digest::Digest;
use crate::event::{ClosedBy, Effect, Event, Forward, Reply};
use crate::exchange::Exchange;
use crate::gate::{self, NotOpened, Owed};
use crate::host::{self, Buffer, Half, Map, Shared};
use crate::open_bodies::{Full, OpenBody};
use crate::pax::Pax;
use crate::refusal::Refusal;
use crate::request_edits::pieces;
use crate::text::AsText;
use crate::token_cache::Resolution;
use crate::vm::{self, Vm};
use crate::waiting::Waiter;
use crate::worker::Worker;
use crate::{answer_headers, log_line, outbox};

/// One HTTP stream.
pub struct Stream {
    worker: Rc<Worker>,
    /// As it was when the stream began.
    gateway: Rc<Gateway>,
    exchange: Exchange,
    /// How the root tells it whose token it is.
    waiter: Waiter,
    /// Its request's body, as Envoy holds it.
    body: OpenBody,
    /// Whom the request went to, once it did.
    mark: Option<String>,
    /// How much of a paused request body was read: Envoy counts from its start.
    request_read: usize,
    /// How much of a held answer was read.
    answer_read: usize,
    /// When something was last decided. A host call costs more than reading a chunk, so the clock is asked
    /// at heads, at ends and after a wait, and not at every piece in between.
    now: Now,
    #[cfg(feature = "test-faults")]
    fault: crate::faults::Fault,
}

impl Stream {
    /// A stream on a configured gateway.
    #[must_use]
    pub fn new(worker: Rc<Worker>, waiter: Waiter) -> Self {
        let gateway = worker.gateway();
        let exchange = Exchange::new(Rc::clone(&gateway));
        Self {
            worker,
            gateway,
            exchange,
            waiter,
            body: OpenBody::default(),
            mark: None,
            request_read: 0,
            answer_read: 0,
            now: Now::default(),
            #[cfg(feature = "test-faults")]
            fault: crate::faults::Fault::default(),
        }
    }

    /// Tells the exchange what happened and does what it says. `body_size` is the size of the body that the
    /// callback is about.
    fn step(&mut self, event: Event<'_>, body_size: usize) {
        for effect in self.exchange.step(self.now, event) {
            match effect {
                Effect::Resolve { token, utc_day, fresh } => self.resolve(token, utc_day, fresh),
                Effect::Open { admission, cap } => self.open(&admission, cap),
                Effect::Settle { owed, debit } => self.settle(owed, &debit),
                Effect::Release(owed) => {
                    let now = self.now.tick;
                    let release = |vm: &mut Vm| {
                        gate::release(&Shared, vm.lane(now)?, owed);
                        Some(())
                    };
                    let _ = vm::with(release);
                }
                Effect::Reply(reply) => {
                    send(&reply);
                    self.give_body_back();
                }
                Effect::Forward(forward) => {
                    self.forward(&forward);
                    self.mark = Some(forward.mark);
                }
                Effect::AnswerHead(head) => {
                    for (name, value) in &head.add {
                        told(host::set_header(Map::Answer, name, value.as_bytes()), "set an answer's header");
                    }
                    if head.length_changes {
                        // It would tell the caller to wait for bytes that were taken out.
                        let _ = host::remove_header(Map::Answer, "content-length");
                    }
                }
                Effect::KeyRefused { provider, status } => {
                    self.worker.key_refused(self.now.tick, &provider, status);
                }
                Effect::ReplaceBody(bytes) => {
                    // Envoy can only replace from the start: what came before and is held stays in front.
                    let mut passed = match self.answer_read {
                        0 => Vec::new(),
                        held => host::buffer(Buffer::Answer, 0, held),
                    };
                    passed.extend_from_slice(&bytes);
                    told(
                        host::replace_buffer(Buffer::Answer, body_size, &passed),
                        "replace an answer's bytes",
                    );
                }
            }
        }
    }

    fn resolve(&mut self, token: Digest, utc_day: UtcDay, fresh: bool) {
        let worker = Rc::clone(&self.worker);
        let asked = match fresh {
            // The body is the account's already.
            true => Err(None),
            false => worker.tokens.look_up(&Shared, &token, self.now.tick).or_ask(worker.is_asking(&token)),
        };
        let was = match asked {
            Ok(resolution) => return self.resolved(resolution),
            Err(was) => was,
        };
        let known = fresh || was.is_some();
        // A stream that waits takes memory, also before its body comes: of its account, if it had one a moment ago.
        let full = match was {
            Some(account) => self.belongs_to(&account.account),
            None => self.hold(self.request_read),
        };
        if let Some(full) = full {
            return self.step(Event::NoRoom(full), 0);
        }
        if !worker.wait((token, utc_day), known, self.waiter.clone(), self.now.tick) {
            worker.complain(self.now.tick, Complaint::TooManyQuestions);
            self.resolved(Resolution::Unavailable);
        }
    }

    /// The root has the ledger's answer, or none.
    pub(crate) fn take_resolution(&mut self, resolution: Resolution, now: Now) {
        self.now = now;
        self.resolved(resolution);
        if !self.exchange.request_waits() {
            told(host::resume(Half::Request), "let a request go on");
        }
    }

    /// Whether more of its body is waited for.
    pub(crate) fn reads_body(&self) -> bool {
        self.exchange.reads_body()
    }

    /// Envoy keeps the body from the filter.
    pub(crate) fn body_kept_back(&mut self, now: Now) {
        self.now = now;
        self.worker.complain(now.tick, Complaint::BodiesKeptBack);
        self.step(Event::BodyKeptBack, 0);
    }

    /// The body is an account's from now on, if that has room for it.
    fn resolved(&mut self, resolution: Resolution) {
        let event = match &resolution {
            Resolution::Account(account) => self.belongs_to(&account.account).map(Event::NoRoom),
            _ => None,
        };
        self.step(event.unwrap_or(Event::Resolved(resolution)), 0);
    }

    /// The body is this account's; nothing where that has room for it.
    fn belongs_to(&mut self, account: &str) -> Option<Full> {
        let (shares, body) = (self.gateway.config.limits.open_bodies, &mut self.body);
        vm::with(|vm| vm.bodies().belongs_to(body, account, shares)).and_then(Result::err)
    }

    /// Envoy holds so many bytes of the body now; nothing where they fit.
    fn hold(&mut self, size: usize) -> Option<Full> {
        let (shares, bytes) =
            (self.gateway.config.limits.open_bodies, u64::try_from(size).unwrap_or(u64::MAX));
        let grows = |body: &mut OpenBody| vm::with(|vm| vm.bodies().grows(body, bytes, shares));
        let mut grown = grows(&mut self.body);
        if self.body.is_scattered() && gather(size) {
            let body = &mut self.body;
            let _ = vm::with(|vm| vm.bodies().gathered(body));
            grown = grows(&mut self.body);
        }
        grown.and_then(Result::err)
    }

    fn give_body_back(&mut self) {
        let body = &mut self.body;
        let _ = vm::with(|vm| vm.bodies().ended(body));
    }

    fn open(&mut self, admission: &Rc<Admission>, cap: Option<Pax>) {
        let now = self.now.tick;
        let opened = vm::with(|vm| Some(gate::open(&Shared, vm.lane(now)?, admission, cap, now))).flatten();
        let opened = opened.unwrap_or(Err(NotOpened::Busy));
        match &opened {
            Ok(_) if cap.is_some() => {
                let _ = vm::with(|vm| vm.active().called(&admission.account.account, now));
            }
            Err(NotOpened::Busy) => self.worker.complain(now, Complaint::NoPlace),
            Ok(_) | Err(_) => {}
        }
        self.step(Event::Opened(opened), 0);
    }

    fn settle(&mut self, owed: Owed, debit: &Debit) {
        let canonical = debit.to_canonical();
        self.worker.tick_quickly(true);
        let now = self.now.tick;
        let charged = (canonical.as_slice(), debit.cost_pax);
        let settle = |vm: &mut Vm| {
            let (lane, outbox) = vm.lane_and_outbox(now)?;
            Some(gate::settle(&Shared, lane, (outbox, now, host::tick), owed, charged))
        };
        let daily = match vm::with(settle).flatten() {
            Some(Ok(daily)) => daily,
            Some(Err(outbox::Full)) | None => {
                // Its record is in a lane that this VM has lost: who has it now charges the call. The line says what
                // it truly was, and holds no secret.
                error!("charged by estimate, in the place of: {}", String::from_utf8_lossy(&canonical));
                None
            }
        };
        self.step(Event::Settled(daily), 0);
    }

    /// The route demands the mark, and a changed header makes Envoy choose the route: in this order.
    fn forward(&self, forward: &Forward) {
        let marked = host::set_filter_state("pax_provider", &forward.mark);
        let length = forward.content_length.map(|length| length.to_string());
        let headers: Vec<(&str, &[u8])> =
            forward.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
        let changed = marked
            .and_then(|()| host::set_headers(Map::Request, &headers))
            // Replacing the whole map leaves the chosen route alone; setting one header chooses anew.
            .and_then(|()| match &length {
                Some(length) => host::set_header(Map::Request, "content-length", length.as_bytes()),
                None => host::set_header(Map::Request, "accept-encoding", b"identity"),
            });
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

    /// The ledger answers its own route, or Envoy in the place of whoever was to be asked.
    fn another_answers(&mut self, end: bool) {
        let status = status_of(&host::header(Map::Answer, ":status").unwrap_or_default());
        self.tell_if_unreachable(status);
        let code = host::header(Map::Answer, ENVOYS_CODE).unwrap_or_default();
        if !code.is_empty() {
            let _ = host::remove_header(Map::Answer, ENVOYS_CODE);
        }
        let event = Event::AnswerHead {
            status,
            content_type: b"",
            content_encoding: b"",
            provider_request_id: None,
            envoys_code: envoys_code(&code),
            end,
        };
        self.step(event, 0);
        if let Some((name, value)) = self.exchange.request_id() {
            told(host::set_header(Map::Answer, name, value.as_bytes()), "set an answer's header");
        }
    }

    /// Envoy's own answer where it reached nobody is told of; one that somebody gave is not.
    fn tell_if_unreachable(&self, status: u16) {
        if let Some(mark) = self.mark.as_deref().filter(|_| status >= 500) {
            self.worker.unreachable(host::tick(), mark, &host::told_of_answer());
        }
    }

    fn request_action(&self) -> Action {
        if self.exchange.request_waits() { Action::Pause } else { Action::Continue }
    }

    fn answer_action(&self) -> Action {
        if self.exchange.answer_waits() { Action::Pause } else { Action::Continue }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.give_body_back();
    }
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stream").finish_non_exhaustive()
    }
}

impl Context for Stream {}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _: usize, end: bool) -> Action {
        self.now = host::now();
        let headers = host::headers(Map::Request);
        #[cfg(feature = "test-faults")]
        {
            self.fault = crate::faults::Fault::read(&headers);
        }
        let Ok(random) = self.worker.random.take() else {
            self.worker.complain(self.now.tick, Complaint::NoRandom);
            let refusal = Refusal::GatewayDisabled;
            told(
                host::reply(refusal.status(), &[("content-type", b"application/json")], &refusal.body()),
                "refuse",
            );
            return Action::Pause;
        };
        let outbox_has_room = self.worker.room.get();
        let ledger_answers = vm::with(|vm| vm.probe().ledger_answers()).unwrap_or(false);
        self.step(Event::Head { headers: &headers, end, random, outbox_has_room, ledger_answers }, 0);
        if !outbox_has_room {
            self.worker.complain(self.now.tick, Complaint::OutboxFull);
        }
        if self.reads_body() && !self.worker.watching.head(self.now.tick, &self.waiter) {
            self.body_kept_back(self.now);
        }
        self.request_action()
    }

    fn on_http_request_body(&mut self, size: usize, end: bool) -> Action {
        if self.exchange.reads_body() {
            self.worker.watching.came();
            if end {
                self.now = host::now();
            }
            match self.hold(size) {
                Some(full) => self.step(Event::NoRoom(full), size),
                None => {
                    let bytes = new_bytes(Buffer::Request, self.request_read, size);
                    self.request_read = size;
                    self.step(Event::Body { bytes: &bytes, end }, size);
                }
            }
        }
        self.request_action()
    }

    fn on_http_request_trailers(&mut self, _: usize) -> Action {
        // None goes on, to whomever the request goes: the allow-list of its head would be worth nothing otherwise.
        told(host::set_headers(Map::RequestTrailers, &[]), "take a request's trailers off");
        if self.exchange.reads_body() {
            self.worker.watching.came();
            self.now = host::now();
            self.step(Event::Body { bytes: &[], end: true }, self.request_read);
        }
        self.request_action()
    }

    fn on_http_response_headers(&mut self, _: usize, end: bool) -> Action {
        if self.exchange.is_forwarded() || self.exchange.reads_answer() {
            self.now = host::now();
            let headers = host::headers(Map::Answer);
            let value = |wanted: &str| {
                let found = headers.iter().find(|(name, _)| name == wanted);
                found.map_or(&[][..], |(_, value)| value.as_slice())
            };
            let status = status_of(value(":status"));
            if self.exchange.is_forwarded() {
                self.tell_if_unreachable(status);
            }
            let envoys_code = envoys_code(value(ENVOYS_CODE));
            take_off_what_stays_here(Map::Answer, &headers);
            let event = Event::AnswerHead {
                status,
                content_type: value("content-type"),
                content_encoding: value("content-encoding"),
                provider_request_id: answer_headers::provider_request_id(&headers),
                envoys_code,
                end,
            };
            self.step(event, 0);
            let is_held = self.exchange.reads_answer() && self.exchange.answer_waits();
            if let Some(id) = self.exchange.id().filter(|_| is_held) {
                // Should the provider break off while its head is held, Envoy answers in its place and asks no
                // filter: by this mark it knows that the call is charged all the same, and where.
                told(host::set_filter_state("pax_held", &id.text()), "mark a held answer");
            }
        } else {
            self.another_answers(end);
        }
        self.answer_action()
    }

    fn on_http_response_body(&mut self, size: usize, end: bool) -> Action {
        #[cfg(feature = "test-faults")]
        self.fault.answered();
        if self.exchange.reads_answer() {
            if end || self.exchange.awaits_text() {
                self.now = host::now();
            }
            let bytes = new_bytes(Buffer::Answer, self.answer_read, size);
            self.step(Event::AnswerBody { bytes: &bytes, end }, size);
            self.answer_read = if self.exchange.answer_waits() { size } else { 0 };
        }
        self.answer_action()
    }

    fn on_http_response_trailers(&mut self, _: usize) -> Action {
        take_off_what_stays_here(Map::AnswerTrailers, &host::headers(Map::AnswerTrailers));
        if self.exchange.reads_answer() {
            self.now = host::now();
            self.step(Event::AnswerBody { bytes: &[], end: true }, 0);
        }
        self.answer_action()
    }

    fn on_log(&mut self) {
        self.now = host::now();
        let by = if self.exchange.owes() { host::closed_by() } else { ClosedBy::Caller };
        self.step(Event::Closed(by), 0);
        // Envoy writes its log after this, so the line can say how all of it ended.
        let story = self.exchange.story();
        if story.probe {
            told(host::set_filter_state("pax_probe", "1"), "mark a probe");
        } else if let Some(line) = log_line::write(self.exchange.id(), story, self.now.tick) {
            told(host::set_filter_state("pax", &line), "tell of an exchange");
        }
        vm::count_exchange((self.exchange.id(), self.exchange.story()), &self.gateway, self.now.wall);
    }
}

/// By this header Envoy's local replies say which of them they are; it goes no further.
const ENVOYS_CODE: &str = "x-matrix-code";

/// The code of Envoy's own reply. A provider that sends the header is not believed.
fn envoys_code(header: &[u8]) -> Option<&str> {
    let code = str::from_utf8(header).ok().filter(|code| !code.is_empty())?;
    host::is_local_reply().then_some(code)
}

/// 0 for a status that cannot be read.
fn status_of(text: &[u8]) -> u16 {
    std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// Writes the request's body anew, in one piece.
fn gather(size: usize) -> bool {
    let bytes = host::buffer(Buffer::Request, 0, size);
    bytes.len() == size && host::replace_buffer(Buffer::Request, size, &bytes).is_ok()
}

/// What came since so many bytes were read. The end of an HTTP/1.1 body comes by itself, without a byte.
fn new_bytes(buffer: Buffer, read: usize, size: usize) -> Vec<u8> {
    match size.saturating_sub(read) {
        0 => Vec::new(),
        new => host::buffer(buffer, read, new),
    }
}

fn take_off_what_stays_here(map: Map, headers: &[(String, Vec<u8>)]) {
    for (name, _) in headers.iter().filter(|(name, _)| answer_headers::stays_here(name)) {
        told(host::remove_header(map, name), "take an answer's header off");
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
