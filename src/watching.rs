//! A worker's watch over bodies that Envoy keeps back from the filter: see [`crate::body_watch`]. wasm32 only.

use std::cell::RefCell;

use log::error;

use crate::body_watch::{Begins, BodyWatch};
use crate::clock::{Now, Tick};
use crate::host::{self, Metric, Shared};
use crate::rarely::{RarelyAmongAll, more};
use crate::waiting::Waiter;

/// A worker's watch.
#[derive(Debug)]
pub struct Watching {
    watch: RefCell<BodyWatch<Waiter>>,
    met: RefCell<RarelyAmongAll>,
    /// The counter of requests that were refused for it.
    kept_back: Option<u32>,
}

impl Watching {
    /// A watch that has seen nobody.
    #[must_use]
    pub fn new() -> Self {
        Self {
            watch: RefCell::default(),
            met: RefCell::default(),
            kept_back: host::define_metric(Metric::Counter, "pax_bodies_kept_back"),
        }
    }

    /// A stream whose body is still to come; false where it never would.
    pub fn head(&self, now: Tick, stream: &Waiter) -> bool {
        let Ok(mut watch) = self.watch.try_borrow_mut() else { return true };
        match watch.begins(now) {
            Begins::Comes => true,
            Begins::Watch => {
                if let Some(head_bytes) = host::request_bytes() {
                    watch.watch(now, stream.clone(), head_bytes);
                }
                true
            }
            Begins::Refuse => {
                self.tell(now);
                false
            }
        }
    }

    /// A body has come.
    pub fn came(&self) {
        if let Ok(mut watch) = self.watch.try_borrow_mut() {
            watch.came();
        }
    }

    /// Whether streams may be left that are to be refused.
    pub fn is_refusing(&self) -> bool {
        self.watch.try_borrow().is_ok_and(|watch| watch.is_refusing())
    }

    /// Refuses the streams whose bodies are kept back; from the root's tick. `root`: its context.
    pub fn look(&self, now: Now, root: u32) {
        let Ok(mut watch) = self.watch.try_borrow_mut() else { return };
        if !watch.is_watching() {
            return;
        }
        let kept_back = watch.kept_back(now.tick, Waiter::counted);
        // A stream that is refused ends within that callback.
        drop(watch);
        for stream in kept_back {
            self.tell(now.tick);
            stream.refuse_body(now);
        }
        if host::act_for(root).is_err() {
            error!("Envoy does not know the root context that watches over bodies");
        }
    }

    fn tell(&self, now: Tick) {
        if let Some(metric) = self.kept_back {
            host::increment_metric(metric, 1);
        }
        let Ok(mut met) = self.met.try_borrow_mut() else { return };
        if let Some(again) = met.tell(&Shared, "bodies_kept_back", "", now) {
            error!(
                "Envoy keeps the bodies of requests from the filter, so calls are refused with 503 gateway_disabled{}. Set \
                 allow_on_headers_stop_iteration: true in the filter's configuration in Envoy, beside root_id. If it is \
                 set, a filter in front of this one gathers bodies: put it behind",
                more(again)
            );
        }
    }
}
