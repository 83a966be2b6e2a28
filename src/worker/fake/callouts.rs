//! How the fake proxy ends a callout: it hands the answer to the context in whose callback the question was made.

use super::{Ended, Outside, Proxy};
use crate::worker::chores::callouts;
use crate::worker::chores::root::Root;

impl<O: Outside> Proxy<'_, O> {
    /// A callout of a root ends.
    pub fn callout_ends(&self, root: &mut Root, context: u32, callout: u32, ended: Ended) {
        let ended = self.can_be_read(callout, ended);
        self.as_root(root, context, |root| root.on_callout(self, ended));
        *self.state.ended.borrow_mut() = Ended::none();
    }

    /// A callout ends that was made in a stream's callback: the SDK hands its answer to the stream, if that is still
    /// there.
    pub fn streams_callout_ends(&self, context: u32, callout: u32, ended: Ended) {
        let Some(handle) = self.state.handle(context) else { return };
        let ended = self.can_be_read(callout, ended);
        self.state.current.set(context);
        handle.over(|stream| stream.on_callout(self, ended));
        self.let_resumed_go_on();
        *self.state.ended.borrow_mut() = Ended::none();
    }

    /// From now on the answer can be read.
    fn can_be_read(&self, callout: u32, ended: Ended) -> callouts::Ended {
        let (headers, bytes) = (usize::from(ended.status.is_some()), ended.body.len());
        *self.state.ended.borrow_mut() = ended;
        callouts::Ended { callout, headers, bytes }
    }
}
