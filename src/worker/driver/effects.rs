//! Carries out the exchange's effects: on the proxy, and on shared data.

use std::rc::Rc;

use super::Stream;
use crate::base::clock::UtcDay;
use crate::base::digest::Digest;
use crate::base::pax::Pax;
use crate::call::event::{AnswerHead, Effect, Event, Forward, Reply};
use crate::call::open_bodies::{Full, OpenBody};
use crate::debit::admission::Admission;
use crate::debit::frozen::Debit;
use crate::memory::gate::{self, NotOpened, Owed};
use crate::memory::token_cache::Resolution;
use crate::reading::request::edits::{Edit, apply, front_size, known_front, pieces};
use crate::told::complaints::Complaint;
use crate::worker::host::{Buffer, HeaderMap, Host, HostStatus, told};
use crate::worker::vm::Vm;

impl Stream {
    /// Gives the exchange an event and carries out its effects. `body_size`: the size of the body that the
    /// callback is about.
    pub(super) fn step(&mut self, host: &impl Host, event: Event<'_>, body_size: usize) {
        for effect in self.exchange.step(self.now, event) {
            match effect {
                Effect::Resolve { token, utc_day, fresh } => self.resolve(host, token, utc_day, fresh),
                Effect::Open { admission, cap } => self.open(host, &admission, cap),
                Effect::Hold { admission, card_cap } => self.ask_for_hold(host, &admission, card_cap),
                Effect::GoOn(owed) => self.go_on(host, owed),
                Effect::Settle { owed, debit } => self.settle(host, owed, &debit),
                Effect::Release(owed) => self.release(host, owed),
                Effect::Reply(reply) => {
                    send(host, &reply);
                    self.give_body_back();
                }
                Effect::Forward(forward) => {
                    self.forward(host, &forward);
                    self.mark = Some(forward.mark);
                }
                Effect::AnswerHead(head) => change_answer_head(host, &head),
                Effect::KeyRefused { provider, status } => {
                    self.worker.key_refused(host, self.now.tick, &provider, status);
                }
                Effect::ReplaceBody(bytes) => self.replace_body(host, body_size, &bytes),
            }
        }
    }

    /// Envoy can only replace a buffer's front, so the held bytes that came before are put in front
    /// again.
    fn replace_body(&self, host: &impl Host, body_size: usize, bytes: &[u8]) {
        let mut passed = match self.answer_read {
            0 => Vec::new(),
            held => host.buffer(Buffer::Answer, 0, held),
        };
        passed.extend_from_slice(bytes);
        told(host, host.replace_front(Buffer::Answer, body_size, &passed), "replace an answer's bytes");
    }

    fn resolve(&mut self, host: &impl Host, token: Digest, utc_day: UtcDay, fresh: bool) {
        let worker = Rc::clone(&self.worker);
        let asked = match fresh {
            // The body counts for the account already.
            true => Err(None),
            false => worker.tokens.look_up(host, &token, self.now.tick).or_ask(worker.is_asking(&token)),
        };
        let was = match asked {
            Ok(resolution) => return self.resolved(host, resolution),
            Err(was) => was,
        };
        let known = fresh || was.is_some();
        // A waiting stream takes memory even before its body comes. It counts for the account whose token this
        // was a moment ago, if there is one.
        let full = match was {
            Some(account) => self.belongs_to(&account.account),
            None => self.hold(host, self.request_read),
        };
        if let Some(full) = full {
            return self.step(host, Event::NoRoom(full), 0);
        }
        if !worker.wait(host, ((token, utc_day), known), self.waiter.clone(), self.now.tick) {
            worker.complain(host, self.now.tick, Complaint::TooManyQuestions);
            self.resolved(host, Resolution::Unavailable);
        }
    }

    /// The token is resolved. If it is an account's, the body counts for that account from now on, if it has
    /// room.
    pub(super) fn resolved(&mut self, host: &impl Host, resolution: Resolution) {
        let event = match &resolution {
            Resolution::Account(account) => self.belongs_to(&account.account).map(Event::NoRoom),
            _ => None,
        };
        self.step(host, event.unwrap_or(Event::Resolved(resolution)), 0);
    }

    /// Counts the body for this account; nothing if the account has room for it.
    pub(super) fn belongs_to(&mut self, account: &str) -> Option<Full> {
        let (shares, body) = (self.gateway.config.limits.open_bodies, &mut self.body);
        self.worker.vm.with(|vm| vm.bodies().belongs_to(body, account, shares)).and_then(Result::err)
    }

    /// Envoy holds `size` bytes of the body now; nothing if they fit.
    pub(super) fn hold(&mut self, host: &impl Host, size: usize) -> Option<Full> {
        let (shares, bytes) =
            (self.gateway.config.limits.open_bodies, u64::try_from(size).unwrap_or(u64::MAX));
        let worker = Rc::clone(&self.worker);
        let grows = |body: &mut OpenBody| worker.vm.with(|vm| vm.bodies().grows(body, bytes, shares));
        let mut grown = grows(&mut self.body);
        if self.body.is_scattered() && gather(host, size) {
            let body = &mut self.body;
            let _ = worker.vm.with(|vm| vm.bodies().gathered(body));
            grown = grows(&mut self.body);
        }
        grown.and_then(Result::err)
    }

    pub(super) fn give_body_back(&mut self) {
        let body = &mut self.body;
        let _ = self.worker.vm.with(|vm| vm.bodies().ended(body));
    }

    fn open(&mut self, host: &impl Host, admission: &Rc<Admission>, cap: Option<Pax>) {
        let (worker, now) = (Rc::clone(&self.worker), self.now.tick);
        let open =
            |vm: &mut Vm| Some(gate::open(host, vm.lane(host, now)?, admission, cap, (now, || host.tick())));
        let opened = worker.vm.with(open).flatten().unwrap_or(Err(NotOpened::Busy));
        match &opened {
            Ok(_) if cap.is_some() => {
                let _ = worker.vm.with(|vm| vm.active().called(&admission.account.account, now));
            }
            Err(NotOpened::Busy) => worker.complain(host, now, Complaint::NoPlace),
            _ => {}
        }
        self.step(host, Event::Opened(opened), 0);
    }

    fn ask_for_hold(&mut self, host: &impl Host, admission: &Admission, card_cap: Option<Pax>) {
        let worker = Rc::clone(&self.worker);
        match worker.ask_for_hold(host, (admission, card_cap), &self.waiter, self.now.tick) {
            Ok(callout) => self.hold = Some(callout),
            Err(not_asked) => self.step(host, Event::Held(Err(not_asked)), 0),
        }
    }

    fn go_on(&mut self, host: &impl Host, owed: Owed) {
        let (worker, now) = (Rc::clone(&self.worker), self.now.tick);
        let opened = worker.vm.with(|vm| {
            let (lane, outbox) = vm.lane_and_outbox(host, now);
            gate::go_on(host, lane, outbox, owed, (now, || host.tick()))
        });
        self.step(host, Event::Opened(opened.unwrap_or(Err(NotOpened::Busy))), 0);
    }

    fn release(&mut self, host: &impl Host, owed: Owed) {
        let (worker, now) = (Rc::clone(&self.worker), self.now.tick);
        if owed.needs_void() {
            worker.tick_quickly(host, true);
        }
        let _ = worker.vm.with(|vm| {
            let (lane, outbox) = vm.lane_and_outbox(host, now);
            gate::release(host, lane, outbox, (owed, now));
        });
    }

    fn settle(&mut self, host: &impl Host, owed: Owed, debit: &Debit) {
        let (worker, now) = (Rc::clone(&self.worker), self.now.tick);
        worker.tick_quickly(host, true);
        let daily = worker.vm.with(|vm| {
            let (lane, outbox) = vm.lane_and_outbox(host, now);
            gate::settle(host, lane, outbox, owed, (debit, now))
        });
        self.step(host, Event::Settled(daily.flatten()), 0);
    }

    /// The order matters: the route demands the mark, and Envoy chooses the route again when a header changes.
    fn forward(&self, host: &impl Host, forward: &Forward) {
        let marked = host.set_filter_state("pax_provider", &forward.mark);
        let length = forward.content_length.map(|length| length.to_string());
        let headers: Vec<(&str, &[u8])> =
            forward.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
        let changed = marked
            .and_then(|()| host.set_headers(HeaderMap::Request, &headers))
            // If the whole map is replaced, Envoy keeps the route it chose. If one header is set, it chooses
            // anew.
            .and_then(|()| match &length {
                Some(length) => host.set_header(HeaderMap::Request, "content-length", length.as_bytes()),
                None => host.set_header(HeaderMap::Request, "accept-encoding", b"identity"),
            });
        told(host, changed.and_then(|()| edit_body(host, &forward.edits)), "send a request on");
    }
}

/// A front of up to this size is joined with its edits and put back at once.
const JOINED_MAX: usize = 16 * 1024;

/// Makes the edits of a request's body. Envoy can only replace a buffer's front. So the body is copied into the filter's
/// memory up to its last edit and no further, and not at all if members are only added.
fn edit_body(host: &impl Host, edits: &[Edit]) -> Result<(), HostStatus> {
    let size = front_size(edits);
    if size == 0 {
        return Ok(());
    }
    let front = known_front(edits).map_or_else(|| host.buffer(Buffer::Request, 0, size), <[u8]>::to_vec);
    if front.len() != size {
        return Err(HostStatus::BAD_ARGUMENT);
    }
    if size <= JOINED_MAX {
        return host.replace_front(Buffer::Request, size, &apply(&front, edits));
    }
    host.replace_front(Buffer::Request, size, &[])?;
    let pieces: Vec<&[u8]> = pieces(&front, edits).collect();
    pieces.iter().rev().try_for_each(|piece| host.replace_front(Buffer::Request, 0, piece))
}

/// Writes the request's body anew, in one piece.
fn gather(host: &impl Host, size: usize) -> bool {
    let bytes = host.buffer(Buffer::Request, 0, size);
    bytes.len() == size && host.replace_front(Buffer::Request, size, &bytes).is_ok()
}

fn send(host: &impl Host, reply: &Reply) {
    let mut headers: Vec<(&str, &[u8])> = vec![("content-type", b"application/json")];
    headers.extend(reply.headers.iter().map(|(name, value)| (*name, value.as_bytes())));
    told(host, host.reply(reply.status, &headers, &reply.body), "answer a caller");
}

fn change_answer_head(host: &impl Host, head: &AnswerHead) {
    for (name, value) in &head.add {
        told(host, host.set_header(HeaderMap::Answer, name, value.as_bytes()), "set an answer's header");
    }
    if head.length_changes {
        // The old length would make the caller wait for bytes that were taken out.
        let _ = host.remove_header(HeaderMap::Answer, "content-length");
    }
}
