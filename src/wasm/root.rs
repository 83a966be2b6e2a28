//! Envoy's callbacks of a root context, handed on to its [`Root`]. wasm32 only.

use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{ContextType, LogLevel};

use crate::wasm::filter::Filter;
use crate::wasm::host::Envoy;
use crate::worker::chores::callouts::Ended;
use crate::worker::chores::root::Root;
use crate::worker::vm::SharedVm;

thread_local! {
    // A VM has one thread.
    static VM: SharedVm = SharedVm::default();
}

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_root_context(|context| Box::new(Plugin(Root::new(context, VM.with(Clone::clone)))));
}}

/// A root context, as the SDK has it.
struct Plugin(Root);

impl Context for Plugin {
    fn on_done(&mut self) -> bool {
        self.0.on_done(&Envoy);
        true
    }

    fn on_http_call_response(&mut self, callout: u32, headers: usize, bytes: usize, _: usize) {
        self.0.on_callout(&Envoy, Ended { callout, headers, bytes });
    }
}

impl RootContext for Plugin {
    fn on_configure(&mut self, size: usize) -> bool {
        self.0.on_configure(&Envoy, size)
    }

    fn on_tick(&mut self) {
        self.0.on_tick(&Envoy);
    }

    fn create_http_context(&self, context: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Filter::new(self.0.begin_stream(&Envoy, context)?)))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}
