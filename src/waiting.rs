//! Streams that wait for an answer which their root gets: how it reaches them. wasm32 only.
//!
//! The SDK owns a stream's callbacks, so a stream is shared between it and those who will wake it.

use std::cell::RefCell;
use std::rc::{Rc, Weak};

use log::error;
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;

use crate::clock::Now;
use crate::filter::Stream;
use crate::host;
use crate::token_cache::Resolution;
use crate::worker::Worker;

/// A stream that waits, as long as there is one.
#[derive(Clone, Debug, Default)]
pub struct Waiter {
    context: u32,
    stream: Weak<RefCell<Stream>>,
}

impl Waiter {
    /// Tells the stream whose token it is. The host calls after it are still the stream's: see [`host::act_for`].
    pub fn wake(&self, resolution: Resolution, now: Now) {
        let Some(stream) = self.stream.upgrade() else { return };
        if host::act_for(self.context).is_err() {
            return error!("Envoy does not know a stream that waits");
        }
        // Only callbacks of streams borrow one, and this runs in a root's.
        if let Ok(mut stream) = stream.try_borrow_mut() {
            stream.take_resolution(resolution, now);
        }
    }
}

impl Waiter {
    /// The bytes that Envoy has counted of the stream's request; none where its body is not waited for any more. The
    /// host calls after it are the stream's.
    pub fn counted(&self) -> Option<u64> {
        let stream = self.stream.upgrade()?;
        let waits = stream.try_borrow().is_ok_and(|stream| stream.reads_body());
        if waits && host::act_for(self.context).is_ok() { host::request_bytes() } else { None }
    }

    /// Envoy keeps its body back. The host calls after it are the stream's.
    pub fn refuse_body(&self, now: Now) {
        let Some(stream) = self.stream.upgrade() else { return };
        if host::act_for(self.context).is_err() {
            return error!("Envoy does not know a stream that waits");
        }
        if let Ok(mut stream) = stream.try_borrow_mut() {
            stream.body_kept_back(now);
        }
    }
}

/// A stream, as the SDK has it.
pub struct Handle(Rc<RefCell<Stream>>);

impl Handle {
    /// A stream on a configured gateway.
    #[must_use]
    pub fn new(worker: Rc<Worker>, context: u32) -> Self {
        Self(Rc::new_cyclic(|stream| {
            let waiter = Waiter { context, stream: Weak::clone(stream) };
            RefCell::new(Stream::new(worker, waiter))
        }))
    }

    /// A callback; `Pause` while the stream is at work already, which no callback of Envoy's finds it at.
    fn at(&self, callback: impl FnOnce(&mut Stream) -> Action) -> Action {
        self.0.try_borrow_mut().map_or(Action::Pause, |mut stream| callback(&mut stream))
    }
}

impl Context for Handle {}

impl HttpContext for Handle {
    fn on_http_request_headers(&mut self, count: usize, end: bool) -> Action {
        self.at(|stream| stream.on_http_request_headers(count, end))
    }

    fn on_http_request_body(&mut self, size: usize, end: bool) -> Action {
        self.at(|stream| stream.on_http_request_body(size, end))
    }

    fn on_http_request_trailers(&mut self, count: usize) -> Action {
        self.at(|stream| stream.on_http_request_trailers(count))
    }

    fn on_http_response_headers(&mut self, count: usize, end: bool) -> Action {
        self.at(|stream| stream.on_http_response_headers(count, end))
    }

    fn on_http_response_body(&mut self, size: usize, end: bool) -> Action {
        self.at(|stream| stream.on_http_response_body(size, end))
    }

    fn on_http_response_trailers(&mut self, count: usize) -> Action {
        self.at(|stream| stream.on_http_response_trailers(count))
    }

    fn on_log(&mut self) {
        if let Ok(mut stream) = self.0.try_borrow_mut() {
            stream.on_log();
        }
    }
}
