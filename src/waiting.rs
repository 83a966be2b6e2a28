//! Streams that wait for an answer which their root gets: how it reaches them.
//!
//! The proxy owns a stream's callbacks, so a stream is shared between it and those who will wake it.

use std::cell::RefCell;
use std::rc::{Rc, Weak};

use crate::clock::Now;
use crate::driver::Stream;
use crate::port::{Action, Host, Level};
use crate::properties::request_bytes;
use crate::token_cache::Resolution;
use crate::worker::Worker;

/// A stream that waits, as long as there is one.
#[derive(Clone, Debug, Default)]
pub struct Waiter {
    context: u32,
    stream: Weak<RefCell<Stream>>,
}

impl Waiter {
    /// Tells the stream whose token it is. The host calls after it are still the stream's: see [`Host::act_for`].
    pub fn wake(&self, host: &impl Host, resolution: Resolution, now: Now) {
        self.at(host, |stream| stream.take_resolution(host, resolution, now));
    }

    /// Tells the stream that Envoy keeps its body back. The host calls after it are the stream's.
    pub fn refuse_body(&self, host: &impl Host, now: Now) {
        self.at(host, |stream| stream.body_kept_back(host, now));
    }

    /// The bytes that Envoy has counted of the stream's request; none where its body is not waited for any more. The
    /// host calls after it are the stream's.
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
        // Only callbacks of streams borrow one, and this runs in a root's.
        if let Ok(mut stream) = stream.try_borrow_mut() {
            work(&mut stream);
        }
    }
}

/// A stream, as the proxy's side has it.
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

    /// A callback; `Pause` while the stream is at work already, which no callback of Envoy's finds it at.
    pub fn at(&self, callback: impl FnOnce(&mut Stream) -> Action) -> Action {
        self.0.try_borrow_mut().map_or(Action::Pause, |mut stream| callback(&mut stream))
    }

    /// The last callback, for which nothing waits.
    pub fn over(&self, callback: impl FnOnce(&mut Stream)) {
        if let Ok(mut stream) = self.0.try_borrow_mut() {
            callback(&mut stream);
        }
    }

    /// Looks at the stream; none while it is at work.
    pub fn look<T>(&self, at: impl FnOnce(&Stream) -> T) -> Option<T> {
        self.0.try_borrow().ok().map(|stream| at(&stream))
    }
}
