//! Every call of the filter to Envoy, in one file. wasm32 only.
//!
//! The SDK's own wrappers panic on a status they do not expect and on header names that are not UTF-8, and a
//! panic fails every stream of the worker. These give a [`Status`] back instead. Only callouts go through the
//! SDK, whose dispatcher must know their tokens.

use std::cell::{Cell, RefCell};
use std::ptr::{null, null_mut};
use std::time::Duration;

use crate::clock::{Moment, Now, Tick};
use crate::config::Ledger;
use crate::event::ClosedBy;
use crate::shared::{SharedData, Version};

/// What a host call answered, other than "ok" (proxy-wasm ABI 0.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status(pub u32);

const OK: u32 = 0;
/// The monotonic clock, as WASI numbers them.
const MONOTONIC: u32 = 1;

/// Header maps.
#[derive(Clone, Copy, Debug)]
#[repr(u32)]
pub enum Map {
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

/// Buffers.
#[derive(Clone, Copy, Debug)]
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

/// Which half of an exchange to let go on.
#[derive(Clone, Copy, Debug)]
#[repr(u32)]
pub enum Half {
    /// The request.
    Request = 0,
}

/// Kinds of metrics.
#[derive(Clone, Copy, Debug)]
#[repr(u32)]
pub enum Metric {
    /// Only goes up.
    Counter = 0,
    /// Is what it is.
    Gauge = 1,
}

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn proxy_get_current_time_nanoseconds(time: *mut u64) -> u32;
    fn proxy_set_tick_period_milliseconds(period: u32) -> u32;
    fn proxy_get_buffer_bytes(
        buffer: u32,
        start: usize,
        size: usize,
        data: *mut *mut u8,
        data_size: *mut usize,
    ) -> u32;
    fn proxy_set_buffer_bytes(
        buffer: u32,
        start: usize,
        size: usize,
        data: *const u8,
        data_size: usize,
    ) -> u32;
    fn proxy_get_header_map_pairs(map: u32, data: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_set_header_map_pairs(map: u32, data: *const u8, size: usize) -> u32;
    fn proxy_get_header_map_value(
        map: u32,
        key: *const u8,
        key_size: usize,
        data: *mut *mut u8,
        size: *mut usize,
    ) -> u32;
    fn proxy_replace_header_map_value(
        map: u32,
        key: *const u8,
        key_size: usize,
        value: *const u8,
        value_size: usize,
    ) -> u32;
    fn proxy_remove_header_map_value(map: u32, key: *const u8, key_size: usize) -> u32;
    fn proxy_set_property(path: *const u8, path_size: usize, value: *const u8, value_size: usize) -> u32;
    fn proxy_get_property(path: *const u8, path_size: usize, data: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_get_shared_data(
        key: *const u8,
        key_size: usize,
        data: *mut *mut u8,
        size: *mut usize,
        cas: *mut u32,
    ) -> u32;
    fn proxy_set_shared_data(
        key: *const u8,
        key_size: usize,
        value: *const u8,
        value_size: usize,
        cas: u32,
    ) -> u32;
    fn proxy_continue_stream(stream: u32) -> u32;
    fn proxy_set_effective_context(context: u32) -> u32;
    fn proxy_send_local_response(
        status: u32,
        details: *const u8,
        details_size: usize,
        body: *const u8,
        body_size: usize,
        headers: *const u8,
        headers_size: usize,
        grpc_status: i32,
    ) -> u32;
    fn proxy_define_metric(kind: u32, name: *const u8, name_size: usize, id: *mut u32) -> u32;
    fn proxy_record_metric(id: u32, value: u64) -> u32;
    fn proxy_increment_metric(id: u32, offset: i64) -> u32;
}

#[link(wasm_import_module = "wasi_snapshot_preview1")]
unsafe extern "C" {
    fn random_get(data: *mut u8, size: usize) -> u32;
    fn clock_time_get(clock: u32, precision: u64, time: *mut u64) -> u32;
}

fn checked(status: u32) -> Result<(), Status> {
    if status == OK { Ok(()) } else { Err(Status(status)) }
}

/// Takes over bytes that Envoy put into memory that it had from the SDK's allocator; no bytes for null.
///
/// # Safety
/// `data` and `size` must come from one host call that said "ok", and be taken once.
unsafe fn taken(data: *mut u8, size: usize) -> Vec<u8> {
    if data.is_null() {
        return Vec::new();
    }
    // SAFETY: proxy_on_memory_allocate gave a boxed slice of exactly this size.
    unsafe { Vec::from_raw_parts(data, size, size) }
}

/// Both of Envoy's clocks.
#[must_use]
pub fn now() -> Now {
    Now { wall: wall(), tick: tick() }
}

/// Envoy's wall clock.
fn wall() -> Moment {
    // SAFETY: the host writes eight bytes.
    let ms = milliseconds(|time| unsafe { proxy_get_current_time_nanoseconds(time) });
    #[cfg(feature = "test-faults")]
    let ms = crate::faults::moved(ms);
    Moment::from_ms(ms)
}

/// The monotonic clock of the machine, the same for all VMs of this Envoy.
#[must_use]
pub fn tick() -> Tick {
    // SAFETY: the host writes eight bytes.
    Tick::from_ms(milliseconds(|time| unsafe { clock_time_get(MONOTONIC, 1, time) }))
}

/// What a clock of the host says; zero where it fails, which neither of the two does.
fn milliseconds(read: impl FnOnce(*mut u64) -> u32) -> u64 {
    let mut nanoseconds = 0u64;
    let known = if read(&raw mut nanoseconds) == OK { nanoseconds } else { 0 };
    known.checked_div(1_000_000).unwrap_or(0)
}

/// Who ended the stream, as Envoy sees it: the caller where it does not say.
#[must_use]
pub fn closed_by() -> ClosedBy {
    let value = property(b"response\0flags");
    ClosedBy::of_flags(value.first_chunk::<8>().map_or(0, |bytes| u64::from_le_bytes(*bytes)))
}

/// Whether the answer is Envoy's own reply.
#[must_use]
pub fn is_local_reply() -> bool {
    property(b"response\0code_details") != b"via_upstream"
}

/// A property of the stream, by the names of its path with a zero byte between them; no bytes where there is none.
fn property(path: &[u8]) -> Vec<u8> {
    let (mut data, mut size) = (null_mut(), 0);
    // SAFETY: the host reads the path, and writes a pointer and a size, which are taken once.
    unsafe {
        match proxy_get_property(path.as_ptr(), path.len(), &raw mut data, &raw mut size) {
            OK => taken(data, size),
            _ => Vec::new(),
        }
    }
}

/// Random bytes from the host, a few at a time out of many: asking for them costs the same, however many.
#[derive(Debug)]
pub struct Random {
    bytes: RefCell<[u8; Random::SIZE]>,
    used: Cell<usize>,
}

impl Default for Random {
    /// None are there yet.
    fn default() -> Self {
        Self { bytes: RefCell::new([0; Self::SIZE]), used: Cell::new(Self::SIZE) }
    }
}

impl Random {
    const SIZE: usize = 640;

    /// Bytes that were never given before.
    ///
    /// # Errors
    /// The host's status where it gives none.
    pub fn take<const N: usize>(&self) -> Result<[u8; N], Status> {
        let mut bytes = self.bytes.try_borrow_mut().map_err(|_| Status(u32::MAX))?;
        if self.used.get().saturating_add(N) > bytes.len() {
            *bytes = random()?;
            self.used.set(0);
        }
        let taken = bytes.get(self.used.get()..).and_then(|rest| rest.first_chunk::<N>());
        self.used.set(self.used.get().saturating_add(N));
        taken.copied().ok_or(Status(u32::MAX))
    }
}

/// Random bytes from the host.
pub fn random<const N: usize>() -> Result<[u8; N], Status> {
    let mut bytes = [0; N];
    // SAFETY: the host writes N bytes.
    checked(unsafe { random_get(bytes.as_mut_ptr(), N) }).map(|()| bytes)
}

/// Calls the root context every so many milliseconds.
pub fn tick_every(milliseconds: u32) -> Result<(), Status> {
    // SAFETY: no pointers.
    checked(unsafe { proxy_set_tick_period_milliseconds(milliseconds) })
}

/// Bytes of a buffer; none where it is not there.
#[must_use]
pub fn buffer(buffer: Buffer, start: usize, size: usize) -> Vec<u8> {
    let (mut data, mut data_size) = (null_mut(), 0);
    // SAFETY: the host writes a pointer and a size, which are taken once.
    unsafe {
        match proxy_get_buffer_bytes(buffer as u32, start, size, &raw mut data, &raw mut data_size) {
            OK => taken(data, data_size),
            _ => Vec::new(),
        }
    }
}

/// Puts `bytes` in place of the whole buffer, which has `size` bytes.
pub fn replace_buffer(buffer: Buffer, size: usize, bytes: &[u8]) -> Result<(), Status> {
    // SAFETY: the host reads the bytes during the call.
    checked(unsafe { proxy_set_buffer_bytes(buffer as u32, 0, size, bytes.as_ptr(), bytes.len()) })
}

/// Puts `bytes` at the end of a buffer.
pub fn append_buffer(buffer: Buffer, bytes: &[u8]) -> Result<(), Status> {
    // A start beyond the end appends. SAFETY: the host reads the bytes during the call.
    checked(unsafe { proxy_set_buffer_bytes(buffer as u32, usize::MAX, 0, bytes.as_ptr(), bytes.len()) })
}

/// All headers of a map. Names that are not UTF-8, which Envoy does not let in, are left out.
#[must_use]
pub fn headers(map: Map) -> Vec<(String, Vec<u8>)> {
    let (mut data, mut size) = (null_mut(), 0);
    // SAFETY: the host writes a pointer and a size, which are taken once.
    let bytes = unsafe {
        match proxy_get_header_map_pairs(map as u32, &raw mut data, &raw mut size) {
            OK => taken(data, size),
            _ => Vec::new(),
        }
    };
    read_pairs(&bytes).unwrap_or_default()
}

/// The ABI's form of a map: a count, two sizes for each pair, then names and values, each closed by a zero.
fn read_pairs(bytes: &[u8]) -> Option<Vec<(String, Vec<u8>)>> {
    let (count, rest) = bytes.split_first_chunk::<4>()?;
    let count = usize::try_from(u32::from_le_bytes(*count)).ok()?;
    let (sizes, mut texts) = rest.split_at_checked(count.checked_mul(8)?)?;
    let (sizes, _) = sizes.as_chunks::<4>();
    let mut text = |size: &[u8; 4]| {
        let size = usize::try_from(u32::from_le_bytes(*size)).ok()?;
        let (text, rest) = texts.split_at_checked(size)?;
        texts = rest.get(1..)?;
        Some(text.to_vec())
    };
    let mut pairs = Vec::with_capacity(count);
    for pair in sizes.chunks_exact(2) {
        let [name, value] = pair else { return None };
        let (name, value) = (text(name)?, text(value)?);
        if let Ok(name) = String::from_utf8(name) {
            pairs.push((name, value));
        }
    }
    Some(pairs)
}

fn write_pairs(pairs: &[(&str, &[u8])]) -> Vec<u8> {
    let size = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX).to_le_bytes();
    let mut bytes = size(pairs.len()).to_vec();
    for (name, value) in pairs {
        bytes.extend_from_slice(&size(name.len()));
        bytes.extend_from_slice(&size(value.len()));
    }
    for (name, value) in pairs {
        bytes.extend_from_slice(name.as_bytes());
        bytes.push(0);
        bytes.extend_from_slice(value);
        bytes.push(0);
    }
    bytes
}

/// Puts these headers in place of all of a map's. Envoy keeps the route that it has chosen.
pub fn set_headers(map: Map, pairs: &[(&str, &[u8])]) -> Result<(), Status> {
    let bytes = write_pairs(pairs);
    // SAFETY: the host reads the bytes during the call.
    checked(unsafe { proxy_set_header_map_pairs(map as u32, bytes.as_ptr(), bytes.len()) })
}

/// One header; nothing where it is absent.
#[must_use]
pub fn header(map: Map, name: &str) -> Option<Vec<u8>> {
    let (mut data, mut size) = (null_mut(), 0);
    // SAFETY: the host reads the name, writes a pointer and a size, which are taken once.
    unsafe {
        let status =
            proxy_get_header_map_value(map as u32, name.as_ptr(), name.len(), &raw mut data, &raw mut size);
        (status == OK).then(|| taken(data, size))
    }
}

/// Sets one header. Of a request's, it makes Envoy choose the route anew.
pub fn set_header(map: Map, name: &str, value: &[u8]) -> Result<(), Status> {
    // SAFETY: the host reads name and value during the call.
    checked(unsafe {
        proxy_replace_header_map_value(map as u32, name.as_ptr(), name.len(), value.as_ptr(), value.len())
    })
}

/// Takes one header off.
pub fn remove_header(map: Map, name: &str) -> Result<(), Status> {
    // SAFETY: the host reads the name during the call.
    checked(unsafe { proxy_remove_header_map_value(map as u32, name.as_ptr(), name.len()) })
}

/// Sets filter state `wasm.<name>` of the request.
pub fn set_filter_state(name: &str, value: &str) -> Result<(), Status> {
    // SAFETY: the host reads name and value during the call.
    checked(unsafe { proxy_set_property(name.as_ptr(), name.len(), value.as_ptr(), value.len()) })
}

/// Lets a paused half go on.
pub fn resume(half: Half) -> Result<(), Status> {
    // SAFETY: no pointers.
    checked(unsafe { proxy_continue_stream(half as u32) })
}

/// Answers the caller here and now.
pub fn reply(status: u16, headers: &[(&str, &[u8])], body: &[u8]) -> Result<(), Status> {
    let headers = write_pairs(headers);
    // SAFETY: the host reads headers and body during the call.
    checked(unsafe {
        proxy_send_local_response(
            u32::from(status),
            null(),
            0,
            body.as_ptr(),
            body.len(),
            headers.as_ptr(),
            headers.len(),
            -1,
        )
    })
}

/// Makes the host calls that follow in this callback those of another context of this VM: of a stream that waits, or of
/// the root itself again.
pub fn act_for(context: u32) -> Result<(), Status> {
    // SAFETY: no pointers.
    checked(unsafe { proxy_set_effective_context(context) })
}

/// Asks the ledger, by the cluster of questions whose token it is.
pub fn resolve(ledger: &Ledger, path: &str, body: &[u8]) -> Option<u32> {
    post_to(&ledger.resolve_cluster, ledger, path, "application/json", body)
}

/// Sends a POST to the ledger; its answer comes by the token.
pub fn post(ledger: &Ledger, path: &str, content_type: &str, body: &[u8]) -> Option<u32> {
    post_to(&ledger.cluster, ledger, path, content_type, body)
}

fn post_to(cluster: &str, ledger: &Ledger, path: &str, content_type: &str, body: &[u8]) -> Option<u32> {
    let headers = vec![
        (":method", "POST"),
        (":path", path),
        (":authority", ledger.authority.as_str()),
        (":scheme", "http"),
        ("content-type", content_type),
    ];
    let timeout = Duration::from_millis(ledger.timeout_ms);
    proxy_wasm::hostcalls::dispatch_http_call(cluster, headers, Some(body), Vec::new(), timeout).ok()
}

/// Defines a metric.
pub fn define_metric(kind: Metric, name: &str) -> Option<u32> {
    let mut id = 0;
    // SAFETY: the host reads the name and writes four bytes.
    let status = unsafe { proxy_define_metric(kind as u32, name.as_ptr(), name.len(), &raw mut id) };
    (status == OK).then_some(id)
}

/// Sets a gauge.
pub fn record_metric(id: u32, value: u64) {
    // SAFETY: no pointers. A metric that cannot be recorded is no reason to fail a call.
    let _ = unsafe { proxy_record_metric(id, value) };
}

/// Counts on.
pub fn increment_metric(id: u32, by: i64) {
    // SAFETY: no pointers. A metric that cannot be counted is no reason to fail a call.
    let _ = unsafe { proxy_increment_metric(id, by) };
}

/// Envoy's shared data, of this process and `vm_id`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Shared;

impl SharedData for Shared {
    fn get(&self, key: &str) -> Option<(Vec<u8>, Version)> {
        let (mut data, mut size, mut cas) = (null_mut(), 0, 0);
        // SAFETY: the host reads the key, writes a pointer, a size and a number; the bytes are taken once.
        unsafe {
            let status =
                proxy_get_shared_data(key.as_ptr(), key.len(), &raw mut data, &raw mut size, &raw mut cas);
            (status == OK).then(|| (taken(data, size), Version::new(cas)))
        }
    }

    fn swap(&self, key: &str, value: &[u8], expected: Version) -> bool {
        // SAFETY: the host reads key and value during the call.
        let status = unsafe {
            proxy_set_shared_data(key.as_ptr(), key.len(), value.as_ptr(), value.len(), expected.cas())
        };
        status == OK
    }

    fn set(&self, key: &str, value: &[u8]) -> bool {
        // To Envoy a version of 0 means "whatever is there".
        self.swap(key, value, Version::new(0))
    }
}
