//! Envoy as the [`Host`] of the filter: every host call there is, in one file. wasm32 only.
//!
//! The SDK's own wrappers panic on a status they do not expect and on header names that are not UTF-8, and a
//! panic fails every stream of the worker. The functions here give a [`HostStatus`] back instead. Only
//! callouts go through the SDK, whose dispatcher must know their tokens.

use std::ptr::{null, null_mut};
use std::time::Duration;

use crate::base::clock::{Moment, Now, Tick};
use crate::base::pairs::Pairs;
use crate::memory::shared::{SharedData, Version};
use crate::told::meter::MetricsPort;
use crate::told::metrics::MetricKind;
use crate::worker::host::{Buffer, HeaderMap, Host, HostStatus, Level, Post};

const OK: u32 = 0;
/// The monotonic clock's number in WASI.
const MONOTONIC: u32 = 1;

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

fn checked(status: u32) -> Result<(), HostStatus> {
    if status == OK { Ok(()) } else { Err(HostStatus(status)) }
}

/// Takes over bytes that Envoy has put into memory from the SDK's allocator; no bytes for null.
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

/// The Envoy that runs this VM.
#[derive(Clone, Copy, Debug, Default)]
pub struct Envoy;

/// What a clock of the host says, in milliseconds; zero if the host call fails, which it does for neither of
/// the two clocks.
fn milliseconds(read: impl FnOnce(*mut u64) -> u32) -> u64 {
    let mut nanoseconds = 0u64;
    let known = if read(&raw mut nanoseconds) == OK { nanoseconds } else { 0 };
    known.checked_div(1_000_000).unwrap_or(0)
}

impl Host for Envoy {
    fn now(&self) -> Now {
        // SAFETY: the host writes eight bytes.
        let ms = milliseconds(|time| unsafe { proxy_get_current_time_nanoseconds(time) });
        #[cfg(feature = "test-faults")]
        let ms = crate::wasm::faults::moved(ms);
        Now { wall: Moment::from_ms(ms), tick: self.tick() }
    }

    fn tick(&self) -> Tick {
        // SAFETY: the host writes eight bytes.
        Tick::from_ms(milliseconds(|time| unsafe { clock_time_get(MONOTONIC, 1, time) }))
    }

    fn fill_random(&self, bytes: &mut [u8]) -> Result<(), HostStatus> {
        // SAFETY: the host writes as many bytes as there are.
        checked(unsafe { random_get(bytes.as_mut_ptr(), bytes.len()) })
    }

    fn log(&self, level: Level, line: &str) {
        match level {
            Level::Info => log::info!("{line}"),
            Level::Warn => log::warn!("{line}"),
            Level::Error => log::error!("{line}"),
        }
    }

    fn tick_every(&self, milliseconds: u32) -> Result<(), HostStatus> {
        // SAFETY: no pointers.
        checked(unsafe { proxy_set_tick_period_milliseconds(milliseconds) })
    }

    fn act_for(&self, context: u32) -> Result<(), HostStatus> {
        // SAFETY: no pointers.
        checked(unsafe { proxy_set_effective_context(context) })
    }

    fn buffer(&self, buffer: Buffer, start: usize, size: usize) -> Vec<u8> {
        let (mut data, mut data_size) = (null_mut(), 0);
        // SAFETY: the host writes a pointer and a size, which are taken once.
        let bytes = unsafe {
            match proxy_get_buffer_bytes(buffer as u32, start, size, &raw mut data, &raw mut data_size) {
                OK => taken(data, data_size),
                _ => Vec::new(),
            }
        };
        #[cfg(feature = "test-faults")]
        if buffer == Buffer::Configuration {
            return crate::wasm::faults::configure(bytes);
        }
        bytes
    }

    fn replace_front(&self, buffer: Buffer, size: usize, bytes: &[u8]) -> Result<(), HostStatus> {
        // From a start of zero Envoy drains so many bytes and puts the new ones in front. SAFETY: the host reads the bytes during the call.
        checked(unsafe { proxy_set_buffer_bytes(buffer as u32, 0, size, bytes.as_ptr(), bytes.len()) })
    }

    fn headers(&self, map: HeaderMap) -> Pairs {
        let (mut data, mut size) = (null_mut(), 0);
        // SAFETY: the host writes a pointer and a size, which are taken once.
        let bytes = unsafe {
            match proxy_get_header_map_pairs(map as u32, &raw mut data, &raw mut size) {
                OK => taken(data, size),
                _ => Vec::new(),
            }
        };
        Pairs::read(bytes).unwrap_or_default()
    }

    fn header(&self, map: HeaderMap, name: &str) -> Option<Vec<u8>> {
        let (mut data, mut size) = (null_mut(), 0);
        let (data_at, size_at) = (&raw mut data, &raw mut size);
        // SAFETY: the host reads the name, writes a pointer and a size, which are taken once.
        unsafe {
            let status = proxy_get_header_map_value(map as u32, name.as_ptr(), name.len(), data_at, size_at);
            (status == OK).then(|| taken(data, size))
        }
    }

    fn set_headers(&self, map: HeaderMap, headers: &[(&str, &[u8])]) -> Result<(), HostStatus> {
        let pairs = Pairs::of(headers);
        let bytes = pairs.as_bytes();
        // SAFETY: the host reads the bytes during the call.
        checked(unsafe { proxy_set_header_map_pairs(map as u32, bytes.as_ptr(), bytes.len()) })
    }

    fn set_header(&self, map: HeaderMap, name: &str, value: &[u8]) -> Result<(), HostStatus> {
        let (map, size) = (map as u32, value.len());
        // SAFETY: the host reads name and value during the call.
        checked(unsafe {
            proxy_replace_header_map_value(map, name.as_ptr(), name.len(), value.as_ptr(), size)
        })
    }

    fn remove_header(&self, map: HeaderMap, name: &str) -> Result<(), HostStatus> {
        // SAFETY: the host reads the name during the call.
        checked(unsafe { proxy_remove_header_map_value(map as u32, name.as_ptr(), name.len()) })
    }

    fn property(&self, path: &[u8]) -> Option<Vec<u8>> {
        let (mut data, mut size) = (null_mut(), 0);
        // SAFETY: the host reads the path, writes a pointer and a size, which are taken once.
        unsafe {
            let status = proxy_get_property(path.as_ptr(), path.len(), &raw mut data, &raw mut size);
            (status == OK).then(|| taken(data, size))
        }
    }

    fn set_filter_state(&self, name: &str, value: &str) -> Result<(), HostStatus> {
        // SAFETY: the host reads name and value during the call.
        checked(unsafe { proxy_set_property(name.as_ptr(), name.len(), value.as_ptr(), value.len()) })
    }

    fn resume_request(&self) -> Result<(), HostStatus> {
        const REQUEST: u32 = 0;
        // SAFETY: no pointers.
        checked(unsafe { proxy_continue_stream(REQUEST) })
    }

    fn reply(&self, status: u16, headers: &[(&str, &[u8])], body: &[u8]) -> Result<(), HostStatus> {
        const NO_GRPC: i32 = -1;
        let pairs = Pairs::of(headers);
        let headers = pairs.as_bytes();
        let (details, status) = (null(), u32::from(status));
        let (body, body_size) = (body.as_ptr(), body.len());
        let (headers, headers_size) = (headers.as_ptr(), headers.len());
        // SAFETY: the host reads headers and body during the call.
        checked(unsafe {
            proxy_send_local_response(status, details, 0, body, body_size, headers, headers_size, NO_GRPC)
        })
    }

    fn post(&self, post: &Post<'_>) -> Result<u32, HostStatus> {
        let headers = vec![
            (":method", "POST"),
            (":path", post.path),
            (":authority", post.authority),
            (":scheme", "http"),
            ("content-type", post.content_type),
        ];
        let timeout = Duration::from_millis(post.timeout_ms);
        proxy_wasm::hostcalls::dispatch_http_call(post.cluster, headers, Some(post.body), Vec::new(), timeout)
            .map_err(|status| HostStatus(status as u32))
    }
}

impl MetricsPort for Envoy {
    fn define(&self, kind: MetricKind, name: &str) -> Option<u32> {
        let mut id = 0;
        // SAFETY: the host reads the name and writes four bytes.
        let status = unsafe { proxy_define_metric(kind as u32, name.as_ptr(), name.len(), &raw mut id) };
        (status == OK).then_some(id)
    }

    fn add(&self, id: u32, by: u64) {
        let by = i64::try_from(by).unwrap_or(i64::MAX);
        // SAFETY: no pointers. A metric that cannot be counted is no reason to fail a call.
        let _ = unsafe { proxy_increment_metric(id, by) };
    }

    fn record(&self, id: u32, value: u64) {
        // SAFETY: no pointers. A metric that cannot be recorded is no reason to fail a call.
        let _ = unsafe { proxy_record_metric(id, value) };
    }
}

/// Envoy's shared data for this process and this `vm_id`.
impl SharedData for Envoy {
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
