//! How a root reaches the streams that wait for an answer to its questions.
//!
//! The proxy's side owns a stream and calls it back. So a stream is shared between that side and the root that
//! will wake it.

use std::cell::RefCell;
use std::rc::{Rc, Weak};

use crate::base::clock::Now;
use crate::base::wire::HoldReply;
use crate::call::event::NoHold;
use crate::memory::token_cache::Resolution;
use crate::worker::driver::Stream;
use crate::worker::host::{Action, Host, Level, told};
use crate::worker::properties::request_bytes;
use crate::worker::root_share::Worker;

/// A reference to a stream that waits; it does not keep the stream alive.
#[derive(Clone, Debug, Default)]
pub struct Waiter {
    context: u32,
    stream: Weak<RefCell<Stream>>,
}

impl Waiter {
    /// Tells the stream whose token it is. Host calls after this still act on the stream: see
    /// [`Host::act_for`].
    pub fn wake(&self, host: &impl Host, resolution: Resolution, now: Now) {
        self.at(host, |stream| stream.take_resolution(host, resolution, now));
    }

    /// Tells the stream the ledger's answer to its hold. Host calls after this act on the stream.
    pub fn take_hold(&self, host: &impl Host, answer: Result<HoldReply, NoHold>, now: Now) {
        self.at(host, |stream| stream.take_hold(host, answer, now));
    }

    /// Makes host calls act on the stream.
    pub fn act(&self, host: &impl Host) {
        told(host, host.act_for(self.context), "go on in a stream's context");
    }

    /// Tells the stream that Envoy keeps its body back. Host calls after this act on the stream.
    pub fn refuse_body(&self, host: &impl Host, now: Now) {
        self.at(host, |stream| stream.body_kept_back(host, now));
    }

    /// The bytes that Envoy has counted of the stream's request; none if the stream does not wait for its body
    /// any more. Host calls after this act on the stream.
    pub fn counted(&self, host: &impl Host) -> Option<u64> {
        let stream = self.stream.upgrade()?;
        let waits = stream.try_borrow().is_ok_and(|stream| stream.reads_body());
        if waits && host.act_for(self.context).is_ok() { request_bytes(host) } else { None }
    }

    fn at(&self, host: &impl Host, work: impl FnOnce(&mut Stream)) {
        let Some(stream) = self.stream.upgrade() else { return };
        if host.act_for(self.context).is_err() {
            return host.log(Level::Error, "Envoy does not know a stream that waits");
        }
        // Only a stream's callbacks borrow it, and this runs in a root's callback, so the borrow succeeds.
        if let Ok(mut stream) = stream.try_borrow_mut() {
            work(&mut stream);
        }
    }
}

/// A stream, as the proxy's side holds it.
#[derive(Clone, Debug)]
pub struct Handle(Rc<RefCell<Stream>>);

impl Handle {
    /// A stream of a worker, in this context.
    #[must_use]
    pub fn new(worker: Rc<Worker>, context: u32) -> Self {
        Self(Rc::new_cyclic(|stream| {
            let waiter = Waiter { context, stream: Weak::clone(stream) };
            RefCell::new(Stream::new(worker, waiter))
        }))
    }

    /// Runs a callback; `Pause` if the stream is borrowed already, which does not happen in Envoy's callbacks.
    pub fn at(&self, callback: impl FnOnce(&mut Stream) -> Action) -> Action {
        self.0.try_borrow_mut().map_or(Action::Pause, |mut stream| callback(&mut stream))
    }

    /// Runs the last callback, whose result does not matter.
    pub fn over(&self, callback: impl FnOnce(&mut Stream)) {
        if let Ok(mut stream) = self.0.try_borrow_mut() {
            callback(&mut stream);
        }
    }

    /// Looks at the stream; none if it is borrowed already.
    pub fn look<T>(&self, at: impl FnOnce(&Stream) -> T) -> Option<T> {
        self.0.try_borrow().ok().map(|stream| at(&stream))
    }
}
