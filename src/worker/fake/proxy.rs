//! A fake proxy for one VM: the [`Host`] that the production driver asks, and the callbacks as Envoy makes
//! them.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use super::streams::replace_front;
use super::{Ended, Metrics, Reply, Stream};
use crate::base::clock::{Now, Tick};
use crate::base::pairs::Pairs;
use crate::memory::shared::{SharedData, Version};
use crate::told::meter::MetricsPort;
use crate::told::metrics::MetricKind;
use crate::worker::chores::root::Root;
use crate::worker::host::{Action, Buffer, HeaderMap, Host, HostStatus, Level, Post};
use crate::worker::waiting::Handle;

/// A proxy's surroundings: shared data, clocks, random bytes, and the network to the ledger.
pub trait Outside: SharedData {
    /// Both clocks.
    fn now(&self) -> Now;

    /// Fills the bytes with random ones; false if there are none.
    fn fill_random(&self, bytes: &mut [u8]) -> bool;

    /// Sends a question to the ledger, under this number.
    ///
    /// # Errors
    /// The status that Envoy gives.
    fn post(&self, callout: u32, post: &Post<'_>) -> Result<(), HostStatus>;
}

/// A host call, as a test lists it: its name, and what it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call(pub &'static str, pub String);

/// What a proxy keeps for one VM, from its start to its death.
#[derive(Debug, Default)]
pub struct State {
    /// The streams, under their contexts, each with its callbacks.
    streams: RefCell<BTreeMap<u32, (Stream, Handle)>>,
    /// The context whose callback runs.
    pub(super) current: Cell<u32>,
    /// The last number that was given to a context or a callout.
    numbers: Cell<u32>,
    /// The callout whose answer can be read.
    pub(super) ended: RefCell<Ended>,
    /// The plugin's configuration.
    pub configuration: RefCell<Vec<u8>>,
    /// The time from one tick to the next, as the filter asked for; none before it did.
    pub tick_ms: Cell<Option<u32>>,
    /// The lines in the proxy's log.
    pub log: RefCell<Vec<(Level, String)>>,
    /// The metrics.
    pub metrics: Metrics,
    /// All host calls, if they are listed.
    pub calls: RefCell<Option<Vec<Call>>>,
    /// Host calls that fail, by name.
    pub failing: RefCell<Vec<&'static str>>,
}

impl State {
    /// What a proxy keeps for a new VM, whose metrics are these.
    #[must_use]
    pub fn with_metrics(metrics: Metrics) -> Self {
        Self { metrics, ..Self::default() }
    }

    /// A number that was not given out before.
    pub fn number(&self) -> u32 {
        self.numbers.set(self.numbers.get() + 1);
        self.numbers.get()
    }

    /// Looks at a stream; none if this context has none.
    pub fn stream<T>(&self, context: u32, look: impl FnOnce(&mut Stream) -> T) -> Option<T> {
        self.streams.borrow_mut().get_mut(&context).map(|(stream, _)| look(stream))
    }

    /// The contexts of all streams.
    #[must_use]
    pub fn contexts(&self) -> Vec<u32> {
        self.streams.borrow().keys().copied().collect()
    }

    /// A stream's callbacks.
    #[must_use]
    pub fn handle(&self, context: u32) -> Option<Handle> {
        self.streams.borrow().get(&context).map(|(_, handle)| handle.clone())
    }

    fn current<T>(&self, with: impl FnOnce(&mut Stream) -> T) -> Option<T> {
        self.stream(self.current.get(), with)
    }
}

/// A proxy at work for one VM.
#[derive(Debug)]
pub struct Proxy<'a, O> {
    /// What is around it.
    pub outside: &'a O,
    /// What it keeps.
    pub state: &'a State,
}

/// The callbacks, as Envoy makes them.
impl<O: Outside> Proxy<'_, O> {
    /// A root context ticks, or does something else in its own context.
    pub fn as_root<T>(&self, root: &mut Root, context: u32, callback: impl FnOnce(&mut Root) -> T) -> T {
        self.state.current.set(context);
        let result = callback(root);
        self.let_resumed_go_on();
        result
    }

    /// A request's head comes. Gives the stream's context; none if the root was not configured.
    pub fn request_head(&self, root: &Root, headers: &[(String, Vec<u8>)], end: bool) -> Option<u32> {
        let context = self.state.number();
        let mut stream = Stream { request_ended: end, ..Stream::default() };
        stream.counts(headers.iter().map(|(name, value)| name.len() + value.len()).sum());
        stream.maps.insert(HeaderMap::Request, headers.to_vec());
        let handle = root.begin_stream(self, context)?;
        self.state.streams.borrow_mut().insert(context, (stream, handle));
        self.request(context, |handle| handle.at(|stream| stream.on_request_headers(self, end)));
        Some(context)
    }

    /// More of a request's body comes.
    pub fn request_body(&self, context: u32, bytes: &[u8], end: bool) {
        let size = self.state.stream(context, |stream| {
            stream.counts(bytes.len());
            stream.request.extend_from_slice(bytes);
            stream.request_ended |= end;
            stream.request.len()
        });
        let size = size.unwrap_or(0);
        self.request(context, |handle| handle.at(|stream| stream.on_request_body(self, size, end)));
    }

    /// A request ends with trailers.
    pub fn request_trailers(&self, context: u32, trailers: &[(String, Vec<u8>)]) {
        self.state.stream(context, |stream| {
            stream.request_ended = true;
            stream.maps.insert(HeaderMap::RequestTrailers, trailers.to_vec());
        });
        self.request(context, |handle| handle.at(|stream| stream.on_request_trailers(self)));
    }

    /// An answer's head comes: the provider's, the ledger's, or Envoy's own.
    pub fn answer_head(&self, context: u32, headers: &[(String, Vec<u8>)], end: bool) {
        self.state.stream(context, |stream| stream.maps.insert(HeaderMap::Answer, headers.to_vec()));
        self.answer(context, |handle| handle.at(|stream| stream.on_response_headers(self, end)));
    }

    /// More of an answer's body comes.
    pub fn answer_body(&self, context: u32, bytes: &[u8], end: bool) {
        let size = self.state.stream(context, |stream| {
            stream.answer.extend_from_slice(bytes);
            stream.answer.len()
        });
        let size = size.unwrap_or(0);
        self.answer(context, |handle| handle.at(|stream| stream.on_response_body(self, size, end)));
    }

    /// An answer ends with trailers.
    pub fn answer_trailers(&self, context: u32, trailers: &[(String, Vec<u8>)]) {
        self.state.stream(context, |stream| stream.maps.insert(HeaderMap::AnswerTrailers, trailers.to_vec()));
        self.answer(context, |handle| handle.at(|stream| stream.on_response_trailers(self)));
    }

    /// The stream is over: Envoy writes its log, and forgets it. Gives the stream as it was.
    pub fn close(&self, context: u32) -> Option<Stream> {
        let handle = self.state.handle(context)?;
        self.state.current.set(context);
        handle.over(|stream| stream.on_log(self));
        let (stream, _) = self.state.streams.borrow_mut().remove(&context)?;
        Some(stream)
    }

    fn request(&self, context: u32, callback: impl FnOnce(&Handle) -> Action) {
        let Some(handle) = self.state.handle(context) else { return };
        self.state.current.set(context);
        if callback(&handle) == Action::Continue {
            self.state.stream(context, Stream::request_goes_on);
        }
    }

    fn answer(&self, context: u32, callback: impl FnOnce(&Handle) -> Action) {
        let Some(handle) = self.state.handle(context) else { return };
        self.state.current.set(context);
        if callback(&handle) == Action::Continue {
            self.state.stream(context, Stream::answer_goes_on);
        }
    }

    /// Lets the paused requests go on that the filter has resumed.
    pub(super) fn let_resumed_go_on(&self) {
        for (stream, _) in self.state.streams.borrow_mut().values_mut() {
            if std::mem::take(&mut stream.resumed) {
                stream.request_goes_on();
            }
        }
    }

    /// Lists a host call. Gives an error if it is to fail.
    fn listed(&self, name: &'static str, about: impl FnOnce() -> String) -> Result<(), HostStatus> {
        if let Some(calls) = self.state.calls.borrow_mut().as_mut() {
            calls.push(Call(name, about()));
        }
        let fails = self.state.failing.borrow().contains(&name);
        if fails { Err(HostStatus(u32::MAX)) } else { Ok(()) }
    }

    fn with_stream(&self, with: impl FnOnce(&mut Stream)) -> Result<(), HostStatus> {
        self.state.current(with).ok_or(HostStatus::BAD_ARGUMENT)
    }
}

impl<O: Outside> SharedData for Proxy<'_, O> {
    fn get(&self, key: &str) -> Option<(Vec<u8>, Version)> {
        let _ = self.listed("get_shared_data", || key.to_owned());
        self.outside.get(key)
    }

    fn swap(&self, key: &str, value: &[u8], expected: Version) -> bool {
        let _ = self.listed("set_shared_data", || key.to_owned());
        self.outside.swap(key, value, expected)
    }

    fn set(&self, key: &str, value: &[u8]) -> bool {
        let _ = self.listed("set_shared_data", || key.to_owned());
        self.outside.set(key, value)
    }
}

impl<O: Outside> MetricsPort for Proxy<'_, O> {
    fn define(&self, kind: MetricKind, name: &str) -> Option<u32> {
        let _ = self.listed("define_metric", || name.to_owned());
        self.state.metrics.define(kind, name)
    }

    fn add(&self, id: u32, by: u64) {
        let _ = self.listed("increment_metric", || self.state.metrics.name(id));
        self.state.metrics.add(id, by);
    }

    fn record(&self, id: u32, value: u64) {
        let _ = self.listed("record_metric", || self.state.metrics.name(id));
        self.state.metrics.record(id, value);
    }
}

impl<O: Outside> Host for Proxy<'_, O> {
    fn now(&self) -> Now {
        let _ = self.listed("get_current_time", String::new);
        let _ = self.listed("clock_time_get", String::new);
        self.outside.now()
    }

    fn tick(&self) -> Tick {
        let _ = self.listed("clock_time_get", String::new);
        self.outside.now().tick
    }

    fn fill_random(&self, bytes: &mut [u8]) -> Result<(), HostStatus> {
        self.listed("random_get", String::new)?;
        if self.outside.fill_random(bytes) { Ok(()) } else { Err(HostStatus(u32::MAX)) }
    }

    fn log(&self, level: Level, line: &str) {
        let _ = self.listed("log", || line.to_owned());
        self.state.log.borrow_mut().push((level, line.to_owned()));
    }

    fn tick_every(&self, milliseconds: u32) -> Result<(), HostStatus> {
        self.listed("set_tick_period", || milliseconds.to_string())?;
        self.state.tick_ms.set(Some(milliseconds));
        Ok(())
    }

    fn act_for(&self, context: u32) -> Result<(), HostStatus> {
        self.listed("set_effective_context", || context.to_string())?;
        self.state.current.set(context);
        Ok(())
    }

    fn buffer(&self, buffer: Buffer, start: usize, size: usize) -> Vec<u8> {
        if self.listed("get_buffer_bytes", || format!("{buffer:?}")).is_err() {
            return Vec::new();
        }
        let part = |bytes: &[u8]| {
            let end = start.saturating_add(size).min(bytes.len());
            bytes.get(start..end).unwrap_or_default().to_vec()
        };
        match buffer {
            Buffer::Request => self.state.current(|stream| part(&stream.request)).unwrap_or_default(),
            Buffer::Answer => self.state.current(|stream| part(&stream.answer)).unwrap_or_default(),
            Buffer::Callout => part(&self.state.ended.borrow().body),
            Buffer::Configuration => part(&self.state.configuration.borrow()),
        }
    }

    fn replace_front(&self, buffer: Buffer, size: usize, bytes: &[u8]) -> Result<(), HostStatus> {
        self.listed("set_buffer_bytes", || format!("{buffer:?}"))?;
        let into = |stream: &mut Stream| {
            let held = match buffer {
                Buffer::Request => &mut stream.request,
                Buffer::Answer => &mut stream.answer,
                Buffer::Callout | Buffer::Configuration => return Err(HostStatus::BAD_ARGUMENT),
            };
            replace_front(held, size, bytes);
            Ok(())
        };
        self.state.current(into).unwrap_or(Err(HostStatus::BAD_ARGUMENT))
    }

    fn headers(&self, map: HeaderMap) -> Pairs {
        if self.listed("get_header_map_pairs", || format!("{map:?}")).is_err() {
            return Pairs::default();
        }
        self.state.current(|stream| Pairs::of(stream.headers(map))).unwrap_or_default()
    }

    fn header(&self, map: HeaderMap, name: &str) -> Option<Vec<u8>> {
        self.listed("get_header_map_value", || format!("{map:?} {name}")).ok()?;
        if map == HeaderMap::Callout {
            return self.state.ended.borrow().status.map(|status| status.to_string().into_bytes());
        }
        let find = |stream: &mut Stream| {
            let found = stream.headers(map).iter().find(|(known, _)| known == name);
            found.map(|(_, value)| value.clone())
        };
        self.state.current(find).flatten()
    }

    fn set_headers(&self, map: HeaderMap, pairs: &[(&str, &[u8])]) -> Result<(), HostStatus> {
        self.listed("set_header_map_pairs", || format!("{map:?}"))?;
        let pairs = pairs.iter().map(|(name, value)| ((*name).to_owned(), value.to_vec())).collect();
        self.with_stream(|stream| drop(stream.maps.insert(map, pairs)))
    }

    fn set_header(&self, map: HeaderMap, name: &str, value: &[u8]) -> Result<(), HostStatus> {
        self.listed("replace_header_map_value", || format!("{map:?} {name}"))?;
        self.with_stream(|stream| stream.set_header(map, name, value))
    }

    fn remove_header(&self, map: HeaderMap, name: &str) -> Result<(), HostStatus> {
        self.listed("remove_header_map_value", || format!("{map:?} {name}"))?;
        self.with_stream(|stream| stream.remove_header(map, name))
    }

    fn property(&self, path: &[u8]) -> Option<Vec<u8>> {
        self.listed("get_property", || String::from_utf8_lossy(path).replace('\0', ".")).ok()?;
        self.state.current(|stream| stream.properties.get(path).cloned()).flatten()
    }

    fn set_filter_state(&self, name: &str, value: &str) -> Result<(), HostStatus> {
        self.listed("set_property", || name.to_owned())?;
        self.with_stream(|stream| drop(stream.filter_state.insert(name.to_owned(), value.to_owned())))
    }

    fn resume_request(&self) -> Result<(), HostStatus> {
        self.listed("continue_stream", String::new)?;
        self.with_stream(|stream| stream.resumed = true)
    }

    fn reply(&self, status: u16, headers: &[(&str, &[u8])], body: &[u8]) -> Result<(), HostStatus> {
        self.listed("send_local_response", || status.to_string())?;
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), value.to_vec())).collect();
        let reply = Reply { status, headers, body: body.to_vec() };
        self.with_stream(|stream| {
            assert!(stream.reply.is_none(), "a stream is answered once");
            stream.reply = Some(reply);
        })
    }

    fn post(&self, post: &Post<'_>) -> Result<u32, HostStatus> {
        self.listed("http_call", || post.path.to_owned())?;
        let callout = self.state.number();
        self.outside.post(callout, post).map(|()| callout)
    }
}
