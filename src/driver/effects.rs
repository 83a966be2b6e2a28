//! What the exchange's effects are for the proxy and for shared data.

use std::rc::Rc;

use super::Stream;
use crate::admission::Admission;
use crate::clock::UtcDay;
use crate::complaints::Complaint;
use crate::debit::Debit;
use crate::digest::Digest;
use crate::event::{AnswerHead, Effect, Event, Forward, Reply};
use crate::gate::{self, NotOpened, Owed};
use crate::open_bodies::{Full, OpenBody};
use crate::outbox;
use crate::pax::Pax;
use crate::port::{Buffer, Host, Level, Map, told};
use crate::request_edits::pieces;
use crate::token_cache::Resolution;
use crate::vm::Vm;

impl Stream {
    /// Tells the exchange what happened and does what it says. `body_size` is the size of the body that the
    /// callback is about.
    pub(super) fn step(&mut self, host: &impl Host, event: Event<'_>, body_size: usize) {
        for effect in self.exchange.step(self.now, event) {
            match effect {
                Effect::Resolve { token, utc_day, fresh } => self.resolve(host, token, utc_day, fresh),
                Effect::Open { admission, cap } => self.open(host, &admission, cap),
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

    /// Envoy can only replace from the start: what came before and is held stays in front.
    fn replace_body(&self, host: &impl Host, body_size: usize, bytes: &[u8]) {
        let mut passed = match self.answer_read {
            0 => Vec::new(),
            held => host.buffer(Buffer::Answer, 0, held),
        };
        passed.extend_from_slice(bytes);
        told(host, host.replace_buffer(Buffer::Answer, body_size, &passed), "replace an answer's bytes");
    }

    fn resolve(&mut self, host: &impl Host, token: Digest, utc_day: UtcDay, fresh: bool) {
        let worker = Rc::clone(&self.worker);
        let asked = match fresh {
            // The body is the account's already.
            true => Err(None),
            false => worker.tokens.look_up(host, &token, self.now.tick).or_ask(worker.is_asking(&token)),
        };
        let was = match asked {
            Ok(resolution) => return self.resolved(host, resolution),
            Err(was) => was,
        };
        let known = fresh || was.is_some();
        // A stream that waits takes memory, also before its body comes: of its account, if it had one a moment ago.
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

    /// The body is an account's from now on, if that has room for it.
    pub(super) fn resolved(&mut self, host: &impl Host, resolution: Resolution) {
        let event = match &resolution {
            Resolution::Account(account) => self.belongs_to(&account.account).map(Event::NoRoom),
            _ => None,
        };
        self.step(host, event.unwrap_or(Event::Resolved(resolution)), 0);
    }

    /// The body is this account's; nothing where that has room for it.
    pub(super) fn belongs_to(&mut self, account: &str) -> Option<Full> {
        let (shares, body) = (self.gateway.config.limits.open_bodies, &mut self.body);
        self.worker.vm.with(|vm| vm.bodies().belongs_to(body, account, shares)).and_then(Result::err)
    }

    /// Envoy holds so many bytes of the body now; nothing where they fit.
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
        let open = |vm: &mut Vm| Some(gate::open(host, vm.lane(host, now)?, admission, cap, now));
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

    fn release(&mut self, host: &impl Host, owed: Owed) {
        let now = self.now.tick;
        let release = |vm: &mut Vm| {
            gate::release(host, vm.lane(host, now)?, owed);
            Some(())
        };
        let _ = self.worker.vm.with(release);
    }

    fn settle(&mut self, host: &impl Host, owed: Owed, debit: &Debit) {
        let (worker, now) = (Rc::clone(&self.worker), self.now.tick);
        let canonical = debit.to_canonical();
        worker.tick_quickly(host, true);
        let settle = |vm: &mut Vm| {
            let (lane, outbox) = vm.lane_and_outbox(host, now)?;
            let outbox = (outbox, now, || host.tick());
            Some(gate::settle(host, lane, outbox, owed, (canonical.as_slice(), debit.cost_pax)))
        };
        let daily = match worker.vm.with(settle).flatten() {
            Some(Ok(daily)) => daily,
            Some(Err(outbox::Full)) | None => {
                // The call's record is in a lane that this VM has lost: the VM that has the lane now charges the call. The
                // line says what it truly was, and holds no secret.
                let debit = String::from_utf8_lossy(&canonical);
                host.log(Level::Error, &format!("charged by estimate, in the place of: {debit}"));
                None
            }
        };
        self.step(host, Event::Settled(daily), 0);
    }

    /// The route demands the mark, and a changed header makes Envoy choose the route: in this order.
    fn forward(&self, host: &impl Host, forward: &Forward) {
        let marked = host.set_filter_state("pax_provider", &forward.mark);
        let length = forward.content_length.map(|length| length.to_string());
        let headers: Vec<(&str, &[u8])> =
            forward.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
        let changed = marked
            .and_then(|()| host.set_headers(Map::Request, &headers))
            // Replacing the whole map leaves the chosen route alone; setting one header chooses anew.
            .and_then(|()| match &length {
                Some(length) => host.set_header(Map::Request, "content-length", length.as_bytes()),
                None => host.set_header(Map::Request, "accept-encoding", b"identity"),
            });
        let edited = changed.and_then(|()| {
            if forward.edits.is_empty() {
                return Ok(());
            }
            // Envoy can only replace the whole, or append: the one copy of a body in the filter's memory, and
            // only where it is rewritten.
            let body = host.buffer(Buffer::Request, 0, usize::MAX);
            host.replace_buffer(Buffer::Request, body.len(), &[])?;
            pieces(&body, &forward.edits).try_for_each(|piece| host.append_buffer(Buffer::Request, piece))
        });
        told(host, edited, "send a request on");
    }
}

/// Writes the request's body anew, in one piece.
fn gather(host: &impl Host, size: usize) -> bool {
    let bytes = host.buffer(Buffer::Request, 0, size);
    bytes.len() == size && host.replace_buffer(Buffer::Request, size, &bytes).is_ok()
}

fn send(host: &impl Host, reply: &Reply) {
    let mut headers: Vec<(&str, &[u8])> = vec![("content-type", b"application/json")];
    headers.extend(reply.headers.iter().map(|(name, value)| (*name, value.as_bytes())));
    told(host, host.reply(reply.status, &headers, &reply.body), "answer a caller");
}

fn change_answer_head(host: &impl Host, head: &AnswerHead) {
    for (name, value) in &head.add {
        told(host, host.set_header(Map::Answer, name, value.as_bytes()), "set an answer's header");
    }
    if head.length_changes {
        // It would tell the caller to wait for bytes that were taken out.
        let _ = host.remove_header(Map::Answer, "content-length");
    }
}
