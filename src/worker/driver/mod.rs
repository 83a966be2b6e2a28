//! The driver of one stream: it turns the proxy's callbacks into events, and the exchange's effects into calls
//! of the [`Host`]. It decides nothing about a call: the exchange's state decides whether to wait. The driver
//! knows how a proxy counts the bytes of a held body, when to read the clock, and for which account a body
//! counts.

mod effects;

use std::rc::Rc;

use crate::base::clock::Now;
use crate::base::pairs::Pairs;
use crate::base::refusal::refusals::Refusal;
use crate::base::text::AsText;
use crate::base::wire::HoldReply;
use crate::call::config::Gateway;
use crate::call::event::{ClosedBy, Event, NoHold};
use crate::call::exchange::Exchange;
use crate::call::open_bodies::OpenBody;
use crate::memory::token_cache::Resolution;
use crate::reading::answer::headers;
use crate::told::complaints::Complaint;
use crate::told::log_line;
use crate::worker::chores::callouts::Ended;
use crate::worker::host::{Action, Buffer, HeaderMap, Host, told};
use crate::worker::properties::{closed_by, is_local_reply, told_of_answer};
use crate::worker::root_share::Worker;
use crate::worker::waiting::Waiter;

/// One HTTP stream.
pub struct Stream {
    worker: Rc<Worker>,
    /// The gateway as it was when the stream began.
    gateway: Rc<Gateway>,
    exchange: Exchange,
    /// How the root tells it whose token it is.
    waiter: Waiter,
    /// Its request's body, as Envoy holds it.
    body: OpenBody,
    /// The mark with which the request went on, once it did.
    mark: Option<String>,
    /// The callout of its hold, until it is answered.
    hold: Option<u32>,
    /// How many bytes of the paused request's body were read: Envoy counts from the body's start.
    request_read: usize,
    /// How many bytes of a held answer were read.
    answer_read: usize,
    /// The time of the last decision. A host call costs more than reading a chunk, so the clock is read at
    /// heads, at ends and after a wait, not at every piece in between.
    now: Now,
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
            hold: None,
            request_read: 0,
            answer_read: 0,
            now: Now::default(),
        }
    }

    /// The stream's exchange.
    #[must_use]
    pub const fn exchange(&self) -> &Exchange {
        &self.exchange
    }

    /// The root tells the ledger's answer, or that none came.
    pub(crate) fn take_resolution(&mut self, host: &impl Host, resolution: Resolution, now: Now) {
        self.now = now;
        self.resolved(host, resolution);
        self.resume(host);
    }

    /// The ledger has answered to the call's hold, or has not.
    pub(crate) fn take_hold(&mut self, host: &impl Host, answer: Result<HoldReply, NoHold>, now: Now) {
        (self.now, self.hold) = (now, None);
        self.step(host, Event::Held(answer), 0);
        self.resume(host);
    }

    /// A callout has ended that this stream has made in a callback of its own.
    pub fn on_callout(&mut self, host: &impl Host, ended: Ended) {
        if self.worker.holds.take(ended.callout).is_some() {
            let now = self.worker.vm.now(host);
            let answer = self.worker.read_hold(host, now.tick, ended);
            self.take_hold(host, answer, now);
        }
    }

    /// Whether more of the request's body is still to come.
    pub(crate) fn reads_body(&self) -> bool {
        self.exchange.reads_body()
    }

    /// Envoy keeps the body from the filter.
    pub(crate) fn body_kept_back(&mut self, host: &impl Host, now: Now) {
        self.now = now;
        self.worker.complain(host, now.tick, Complaint::BodiesKeptBack);
        self.step(host, Event::BodyKeptBack, 0);
    }

    /// The ledger answers its own route, or Envoy answers in the place of the ledger or the provider.
    fn another_answers(&mut self, host: &impl Host, end: bool) {
        let status = status_of(&host.header(HeaderMap::Answer, ":status").unwrap_or_default());
        self.tell_if_unreachable(host, status);
        let code = host.header(HeaderMap::Answer, ENVOYS_CODE).unwrap_or_default();
        if !code.is_empty() {
            let _ = host.remove_header(HeaderMap::Answer, ENVOYS_CODE);
        }
        let event = Event::AnswerHead {
            status,
            content_type: b"",
            content_encoding: b"",
            provider_request_id: None,
            envoys_code: envoys_code(host, &code),
            end,
        };
        self.step(host, event, 0);
        if let Some((name, value)) = self.exchange.request_id() {
            told(host, host.set_header(HeaderMap::Answer, name, value.as_bytes()), "set an answer's header");
        }
    }

    /// Tells the operator if Envoy answered because it did not reach the ledger or the provider. An error that
    /// they gave themselves is not told.
    fn tell_if_unreachable(&self, host: &impl Host, status: u16) {
        if let Some(mark) = self.mark.as_deref().filter(|_| status >= 500) {
            self.worker.unreachable(host, host.tick(), mark, &told_of_answer(host));
        }
    }

    /// Lets a request go on that was paused and waits no more.
    fn resume(&self, host: &impl Host) {
        if !self.exchange.request_waits() {
            told(host, host.resume_request(), "let a request go on");
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

impl Stream {
    /// The request's head came; `end`: nothing follows it.
    pub fn on_request_headers(&mut self, host: &impl Host, end: bool) -> Action {
        self.now = self.worker.vm.now(host);
        let headers = host.headers(HeaderMap::Request);
        let Ok(random) = self.worker.random.take(host) else {
            self.worker.complain(host, self.now.tick, Complaint::NoRandom);
            let refusal = Refusal::GatewayDisabled;
            told(
                host,
                host.reply(refusal.status(), &[("content-type", b"application/json")], &refusal.body()),
                "refuse",
            );
            return Action::Pause;
        };
        let known = self.worker.vm.with(|vm| (vm.outbox().has_room(), vm.probe().ledger_answers()));
        let (outbox_has_room, ledger_answers) = known.unwrap_or((false, false));
        self.step(host, Event::Head { headers: &headers, end, random, outbox_has_room, ledger_answers }, 0);
        if !outbox_has_room {
            self.worker.complain(host, self.now.tick, Complaint::OutboxFull);
        }
        if self.reads_body() && !self.worker.watching.head(host, self.now.tick, &self.waiter) {
            self.body_kept_back(host, self.now);
        }
        self.request_action()
    }

    /// The paused request's body has `size` bytes by now. `end`: it is complete.
    pub fn on_request_body(&mut self, host: &impl Host, size: usize, end: bool) -> Action {
        if self.exchange.reads_body() {
            self.worker.watching.came();
            if end {
                self.now = self.worker.vm.now(host);
            }
            match self.hold(host, size) {
                Some(full) => self.step(host, Event::NoRoom(full), size),
                None => {
                    let bytes = new_bytes(host, Buffer::Request, self.request_read, size);
                    self.request_read = size;
                    self.step(host, Event::Body { bytes: &bytes, end }, size);
                }
            }
        }
        self.request_action()
    }

    /// The request ends with trailers.
    pub fn on_request_trailers(&mut self, host: &impl Host) -> Action {
        // No trailer goes on, whether to a provider or to the ledger: otherwise a caller could send as a
        // trailer what the allow-list keeps out of the head.
        told(host, host.set_headers(HeaderMap::RequestTrailers, &[]), "take a request's trailers off");
        if self.exchange.reads_body() {
            self.worker.watching.came();
            self.now = self.worker.vm.now(host);
            self.step(host, Event::Body { bytes: &[], end: true }, self.request_read);
        }
        self.request_action()
    }

    /// An answer's head came: the provider's, the ledger's, or one of the proxy's own; `end`: nothing follows it.
    pub fn on_response_headers(&mut self, host: &impl Host, end: bool) -> Action {
        if self.exchange.is_forwarded() || self.exchange.reads_answer() {
            self.now = self.worker.vm.now(host);
            let headers = host.headers(HeaderMap::Answer);
            let value = |wanted: &str| headers.get(wanted).unwrap_or_default();
            let status = status_of(value(":status"));
            if self.exchange.is_forwarded() {
                self.tell_if_unreachable(host, status);
            }
            let envoys_code = envoys_code(host, value(ENVOYS_CODE));
            take_off_what_stays_here(host, HeaderMap::Answer, &headers);
            let event = Event::AnswerHead {
                status,
                content_type: value("content-type"),
                content_encoding: value("content-encoding"),
                provider_request_id: headers::provider_request_id(&headers),
                envoys_code,
                end,
            };
            self.step(host, event, 0);
            let is_held = self.exchange.reads_answer() && self.exchange.answer_waits();
            if let Some(id) = self.exchange.id().filter(|_| is_held) {
                // If the provider breaks off while its head is held, Envoy answers in its place without asking
                // a filter. From this mark its reply knows that the call is charged all the same, and under
                // which id.
                told(host, host.set_filter_state("pax_held", &id.text()), "mark a held answer");
            }
        } else {
            self.another_answers(host, end);
        }
        self.answer_action()
    }

    /// `size` bytes of the answer's body are there: the new piece or, if the answer is held, all of it so far.
    pub fn on_response_body(&mut self, host: &impl Host, size: usize, end: bool) -> Action {
        if self.exchange.reads_answer() {
            if end || self.exchange.awaits_text() {
                self.now = self.worker.vm.now(host);
            }
            let bytes = new_bytes(host, Buffer::Answer, self.answer_read, size);
            self.step(host, Event::AnswerBody { bytes: &bytes, end }, size);
            self.answer_read = if self.exchange.answer_waits() { size } else { 0 };
        }
        self.answer_action()
    }

    /// The answer ends with trailers.
    pub fn on_response_trailers(&mut self, host: &impl Host) -> Action {
        take_off_what_stays_here(host, HeaderMap::AnswerTrailers, &host.headers(HeaderMap::AnswerTrailers));
        if self.exchange.reads_answer() {
            self.now = self.worker.vm.now(host);
            self.step(host, Event::AnswerBody { bytes: &[], end: true }, 0);
        }
        self.answer_action()
    }

    /// The stream is over, and the proxy writes its log next.
    pub fn on_log(&mut self, host: &impl Host) {
        self.now = self.worker.vm.now(host);
        let by = if self.exchange.owes() { closed_by(host) } else { ClosedBy::Caller };
        self.step(host, Event::Closed(by), 0);
        if let Some(callout) = self.hold.take() {
            let _ = self.worker.holds.take(callout);
        }
        // Envoy writes its log after this callback, so the line can tell how the exchange ended.
        let story = self.exchange.story();
        if story.probe {
            told(host, host.set_filter_state("pax_probe", "1"), "mark a probe");
        } else if let Some(line) = log_line::write(self.exchange.id(), story, self.now.tick) {
            told(host, host.set_filter_state("pax", &line), "tell of an exchange");
        }
        let (exchange, gateway) = ((self.exchange.id(), self.exchange.story()), &self.gateway);
        let _ = self.worker.vm.with(|vm| vm.count_exchange(host, exchange, gateway, self.now.wall));
    }
}

/// The header in which Envoy's local replies carry their code. It does not reach the caller.
const ENVOYS_CODE: &str = "x-matrix-code";

/// The code of Envoy's own reply. A provider that sends the header is not believed.
fn envoys_code<'a>(host: &impl Host, header: &'a [u8]) -> Option<&'a str> {
    let code = str::from_utf8(header).ok().filter(|code| !code.is_empty())?;
    is_local_reply(host).then_some(code)
}

/// 0 for a status that cannot be read.
fn status_of(text: &[u8]) -> u16 {
    std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// The bytes after the first `read`, which were read before. The end of an HTTP/1.1 body comes alone, without a
/// byte.
fn new_bytes(host: &impl Host, buffer: Buffer, read: usize, size: usize) -> Vec<u8> {
    match size.saturating_sub(read) {
        0 => Vec::new(),
        new => host.buffer(buffer, read, new),
    }
}

fn take_off_what_stays_here(host: &impl Host, map: HeaderMap, headers: &Pairs) {
    for (name, _) in headers.iter().filter(|(name, _)| headers::stays_here(name)) {
        told(host, host.remove_header(map, name), "take an answer's header off");
    }
}

#[cfg(test)]
mod answer_test;
#[cfg(test)]
mod bodies_test;
#[cfg(test)]
mod holds_test;
#[cfg(test)]
mod host_calls_test;
#[cfg(test)]
mod request_test;
