//! Envoy's callbacks of one HTTP stream, handed on to its [`Handle`]. wasm32 only.

use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types;

use crate::wasm::host::Envoy;
use crate::worker::chores::callouts::Ended;
use crate::worker::host::Action;
use crate::worker::waiting::Handle;

/// A stream, as the SDK has it.
#[derive(Debug)]
pub struct Filter {
    stream: Handle,
    #[cfg(feature = "test-faults")]
    fault: crate::wasm::faults::Fault,
}

impl Filter {
    /// The callbacks of a stream.
    #[must_use]
    pub fn new(stream: Handle) -> Self {
        Self {
            stream,
            #[cfg(feature = "test-faults")]
            fault: crate::wasm::faults::Fault::default(),
        }
    }
}

fn envoys(action: Action) -> types::Action {
    match action {
        Action::Continue => types::Action::Continue,
        Action::Pause => types::Action::Pause,
    }
}

impl Context for Filter {
    fn on_http_call_response(&mut self, callout: u32, headers: usize, bytes: usize, _: usize) {
        self.stream.over(|stream| stream.on_callout(&Envoy, Ended { callout, headers, bytes }));
    }
}

impl HttpContext for Filter {
    fn on_http_request_headers(&mut self, _: usize, end: bool) -> types::Action {
        #[cfg(feature = "test-faults")]
        {
            self.fault = crate::wasm::faults::Fault::read(&Envoy);
        }
        envoys(self.stream.at(|stream| stream.on_request_headers(&Envoy, end)))
    }

    fn on_http_request_body(&mut self, size: usize, end: bool) -> types::Action {
        envoys(self.stream.at(|stream| stream.on_request_body(&Envoy, size, end)))
    }

    fn on_http_request_trailers(&mut self, _: usize) -> types::Action {
        envoys(self.stream.at(|stream| stream.on_request_trailers(&Envoy)))
    }

    fn on_http_response_headers(&mut self, _: usize, end: bool) -> types::Action {
        envoys(self.stream.at(|stream| stream.on_response_headers(&Envoy, end)))
    }

    fn on_http_response_body(&mut self, size: usize, end: bool) -> types::Action {
        #[cfg(feature = "test-faults")]
        self.fault.answered();
        envoys(self.stream.at(|stream| stream.on_response_body(&Envoy, size, end)))
    }

    fn on_http_response_trailers(&mut self, _: usize) -> types::Action {
        envoys(self.stream.at(|stream| stream.on_response_trailers(&Envoy)))
    }

    fn on_log(&mut self) {
        self.stream.over(|stream| stream.on_log(&Envoy));
    }
}
