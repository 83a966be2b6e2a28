//! The port: everything that a worker may ask of its proxy. For Envoy, host calls implement it. For the
//! simulator, the scenarios and the captures, one fake does. A second proxy is another `impl Host`.
//!
//! The stream-bound calls (header maps, buffers, properties, replies) act on the *current context*. That is the
//! stream or the root whose callback runs, unless [`Host::act_for`] has named another since.

use crate::base::clock::{Now, Tick};
use crate::base::pairs::Pairs;
use crate::memory::shared::SharedData;
use crate::told::meter::MetricsPort;

/// The status of a host call that did not answer "ok", with the number of the proxy-wasm ABI 0.2.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostStatus(pub u32);

impl HostStatus {
    /// An argument names something that is not there, such as a cluster.
    pub const BAD_ARGUMENT: Self = Self(2);
}

/// Whether the request or the answer that a callback is about goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It goes on.
    Continue,
    /// It waits.
    Pause,
}

/// Header maps. The numbers are the ABI's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub enum HeaderMap {
    /// The request's headers.
    Request = 0,
    /// The request's trailers.
    RequestTrailers = 1,
    /// The answer's headers.
    Answer = 2,
    /// The answer's trailers.
    AnswerTrailers = 3,
    /// The headers of a callout's answer.
    Callout = 6,
}

/// Buffers. The numbers are the ABI's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Buffer {
    /// The request's body.
    Request = 0,
    /// The answer's body.
    Answer = 1,
    /// The body of a callout's answer.
    Callout = 4,
    /// The plugin's configuration.
    Configuration = 7,
}

/// How much a line in the proxy's log matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Something works (again), or has begun.
    Info,
    /// Something is wrong, and may mend itself.
    Warn,
    /// The operator has to do something.
    Error,
}

/// A question to the ledger on its way through the proxy.
#[derive(Clone, Copy, Debug)]
pub struct Post<'a> {
    /// The proxy's name for the ledger.
    pub cluster: &'a str,
    /// The question's `:authority`.
    pub authority: &'a str,
    /// The question's `:path`.
    pub path: &'a str,
    /// The type of its body.
    pub content_type: &'a str,
    /// Its body.
    pub body: &'a [u8],
    /// After so many milliseconds the proxy ends the question without an answer.
    pub timeout_ms: u64,
}

/// What a worker may ask of its proxy. The shared data and the metrics are parts of it.
pub trait Host: SharedData + MetricsPort {
    /// Both clocks: the wall clock, which is set now and then, and the monotonic one, which all VMs of a proxy share.
    fn now(&self) -> Now;

    /// The monotonic clock alone.
    fn tick(&self) -> Tick;

    /// Fills the bytes with random ones.
    ///
    /// # Errors
    /// The proxy's status, if it gives none.
    fn fill_random(&self, bytes: &mut [u8]) -> Result<(), HostStatus>;

    /// Writes a line to the proxy's log.
    fn log(&self, level: Level, line: &str);

    /// Calls the current root context's tick every so many milliseconds.
    ///
    /// # Errors
    /// The proxy's status.
    fn tick_every(&self, milliseconds: u32) -> Result<(), HostStatus>;

    /// Makes the calls that follow in this callback those of another context of this VM.
    ///
    /// # Errors
    /// The proxy's status, if it knows no such context.
    fn act_for(&self, context: u32) -> Result<(), HostStatus>;

    /// Bytes of a buffer; none if it is not there.
    fn buffer(&self, buffer: Buffer, start: usize, size: usize) -> Vec<u8>;

    /// Puts `bytes` in place of the buffer's first `size` bytes; those after them stay where they are.
    ///
    /// # Errors
    /// The proxy's status.
    fn replace_front(&self, buffer: Buffer, size: usize, bytes: &[u8]) -> Result<(), HostStatus>;

    /// All headers of a map, names in lower case. Names that are not UTF-8 are left out.
    fn headers(&self, map: HeaderMap) -> Pairs;

    /// One header; nothing if it is absent.
    fn header(&self, map: HeaderMap, name: &str) -> Option<Vec<u8>>;

    /// Puts these headers in place of all of a map's. The proxy keeps the route that it has chosen.
    ///
    /// # Errors
    /// The proxy's status.
    fn set_headers(&self, map: HeaderMap, pairs: &[(&str, &[u8])]) -> Result<(), HostStatus>;

    /// Sets one header. If it is a request's, the proxy chooses the route anew.
    ///
    /// # Errors
    /// The proxy's status.
    fn set_header(&self, map: HeaderMap, name: &str, value: &[u8]) -> Result<(), HostStatus>;

    /// Takes one header off.
    ///
    /// # Errors
    /// The proxy's status.
    fn remove_header(&self, map: HeaderMap, name: &str) -> Result<(), HostStatus>;

    /// A property of the current context; none if it is absent. `path`: the names on the way to it, with a zero
    /// byte between two names.
    fn property(&self, path: &[u8]) -> Option<Vec<u8>>;

    /// Sets filter state `wasm.<name>` of the stream.
    ///
    /// # Errors
    /// The proxy's status.
    fn set_filter_state(&self, name: &str, value: &str) -> Result<(), HostStatus>;

    /// Lets a paused request go on.
    ///
    /// # Errors
    /// The proxy's status.
    fn resume_request(&self) -> Result<(), HostStatus>;

    /// Answers the caller here and now.
    ///
    /// # Errors
    /// The proxy's status.
    fn reply(&self, status: u16, headers: &[(&str, &[u8])], body: &[u8]) -> Result<(), HostStatus>;

    /// Sends a question to the ledger; its answer comes to the root under the number that this gives.
    ///
    /// # Errors
    /// The proxy's status, if it could not send it at once.
    fn post(&self, post: &Post<'_>) -> Result<u32, HostStatus>;
}

/// Random bytes of the host.
///
/// # Errors
/// The proxy's status, if it gives none.
pub fn random<const N: usize>(host: &impl Host) -> Result<[u8; N], HostStatus> {
    let mut bytes = [0; N];
    host.fill_random(&mut bytes).map(|()| bytes)
}

/// Logs a host call that failed although it cannot fail in this phase. It must never become a trap.
pub(crate) fn told(host: &impl Host, result: Result<(), HostStatus>, what: &str) {
    if let Err(HostStatus(status)) = result {
        host.log(Level::Error, &format!("Envoy did not let the filter {what}: status {status}"));
    }
}
