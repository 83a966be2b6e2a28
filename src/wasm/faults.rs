//! Traps and a moved clock on request, for tests of what a trapped VM leaves behind and of what another hour
//! changes. wasm32 only, and only with the feature `test-faults`, which no released module has.

use std::cell::Cell;

use serde_json::Value;

use crate::worker::host::{HeaderMap, Host};

/// The header that asks for a trap: with `trap-on-request` as the request's head comes, with `trap-on-answer`
/// as the first bytes of its answer's body come.
const HEADER: &str = "x-pax-fault";
/// The key of the plugin's configuration that moves the filter's clock, in milliseconds.
const CLOCK: &str = "test_clock_offset_ms";

thread_local! {
    // A VM has one thread.
    static OFFSET_MS: Cell<i64> = const { Cell::new(0) };
}

/// What a request has asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fault {
    on_answer: bool,
}

impl Fault {
    /// Reads the current request's head.
    #[must_use]
    pub fn read(host: &impl Host) -> Self {
        let asked = host.header(HeaderMap::Request, HEADER).unwrap_or_default();
        if asked == b"trap-on-request" {
            core::arch::wasm32::unreachable();
        }
        Self { on_answer: asked == b"trap-on-answer" }
    }

    /// The answer's body begins.
    pub fn answered(self) {
        if self.on_answer {
            core::arch::wasm32::unreachable();
        }
    }
}

/// Takes what is meant for this file out of the plugin's configuration: the strict reader knows none of it.
#[must_use]
pub fn configure(text: Vec<u8>) -> Vec<u8> {
    let Ok(Value::Object(mut config)) = serde_json::from_slice(&text) else { return text };
    OFFSET_MS.set(config.remove(CLOCK).and_then(|ms| ms.as_i64()).unwrap_or(0));
    Value::Object(config).to_string().into_bytes()
}

/// The host's clock, moved.
#[must_use]
pub fn moved(ms: u64) -> u64 {
    ms.saturating_add_signed(OFFSET_MS.get())
}
