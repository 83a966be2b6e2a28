//! A worker's watch over bodies that Envoy keeps back from the filter: see [`crate::worker::body_watch`].

use std::cell::RefCell;

use crate::base::clock::{Now, Tick};
use crate::worker::body_watch::{Begins, BodyWatch};
use crate::worker::host::{Host, Level};
use crate::worker::properties::request_bytes;
use crate::worker::waiting::Waiter;

/// A worker's watch.
#[derive(Debug, Default)]
pub struct Watching(RefCell<BodyWatch<Waiter>>);

impl Watching {
    /// A stream's head came, and its body is still to come; false if the body would never come.
    pub fn head(&self, host: &impl Host, now: Tick, stream: &Waiter) -> bool {
        let Ok(mut watch) = self.0.try_borrow_mut() else { return true };
        match watch.begins(now) {
            Begins::Comes => true,
            Begins::Watch => {
                if let Some(head_bytes) = request_bytes(host) {
                    watch.watch(now, stream.clone(), head_bytes);
                }
                true
            }
            Begins::Refuse => false,
        }
    }

    /// A body has come.
    pub fn came(&self) {
        if let Ok(mut watch) = self.0.try_borrow_mut() {
            watch.came();
        }
    }

    /// Whether some watched streams may still have to be refused.
    pub fn is_refusing(&self) -> bool {
        self.0.try_borrow().is_ok_and(|watch| watch.is_refusing())
    }

    /// Refuses the streams whose bodies are kept back; called in the root's tick. `root`: the root's context.
    pub fn look(&self, host: &impl Host, now: Now, root: u32) {
        let Ok(mut watch) = self.0.try_borrow_mut() else { return };
        if !watch.is_watching() {
            return;
        }
        let kept_back = watch.kept_back(now.tick, |waiter| waiter.counted(host));
        // A stream that is refused ends within that callback.
        drop(watch);
        for stream in kept_back {
            stream.refuse_body(host, now);
        }
        if host.act_for(root).is_err() {
            host.log(Level::Error, "Envoy does not know the root context that watches over bodies");
        }
    }
}
