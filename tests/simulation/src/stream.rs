//! A stream: its caller and its provider, act by act.

use std::collections::VecDeque;

use pax_gateway::base::exchange_id::ExchangeId;
use pax_gateway::worker::fake::Proxy;

use crate::Fault;
use crate::event::What;
use crate::memory::cost_of;
use crate::outside::Shared;
use crate::provider::{Act, Ask, OWN_KEY, secret};
use crate::vm::Vm;

/// One HTTP stream.
pub(crate) struct Stream {
    /// The root that it belongs to.
    pub(crate) root: u32,
    ask: Ask,
    acts: VecDeque<Act>,
    /// Whether the next act is planned.
    planned: bool,
    /// What became of it.
    replied: Option<u16>,
    forwarded: bool,
    /// Whether somebody waits for what becomes of it.
    small: bool,
}

impl Vm {
    pub(crate) fn call(&mut self, shared: &Shared<'_>, token: &str, own_key: bool) {
        let (world, random) = (shared.world, &shared.world.random);
        let ask = Ask::random(random);
        let Some(stream) = self.begins(shared, token, own_key, ask, false) else { return };
        if !world.calm.get() && random.chance(world.plan.hang_ups, 1_000) {
            world.later(random.between(0, 3_000), self.site, self.number, What::HangUp(stream));
        }
    }

    pub(crate) fn small_call(&mut self, shared: &Shared<'_>, token: &str) {
        self.begins(shared, token, false, Ask::small(), true);
    }

    fn begins(
        &mut self,
        shared: &Shared<'_>,
        token: &str,
        own_key: bool,
        ask: Ask,
        small: bool,
    ) -> Option<u32> {
        let world = shared.world;
        let mut headers = vec![
            (":method".to_owned(), b"POST".to_vec()),
            (":path".to_owned(), b"/v1/chat/completions".to_vec()),
            (":authority".to_owned(), b"gateway.test".to_vec()),
            ("authorization".to_owned(), format!("Bearer {}", secret(token)).into_bytes()),
        ];
        if own_key {
            headers.push(("x-matrix-byo-api-key".to_owned(), OWN_KEY.into()));
        }
        let at = self.roots.len() - 1;
        let rooted = &self.roots[at];
        shared.root.set(rooted.context);
        let proxy = Proxy { outside: shared, state: &self.state };
        let Some(context) = proxy.request_head(&rooted.root, &headers, false) else {
            world.fail("a root that was configured takes no stream");
            return None;
        };
        world.say(|| format!("  stream {context} arrives with {token}, own key {own_key}"));
        let (root, acts) = (rooted.context, ask.pieces(&world.random));
        let planned = false;
        let stream = Stream { root, ask, acts, planned, replied: None, forwarded: false, small };
        self.streams.insert(context, stream);
        self.goes_on(shared, context);
        self.after_callback(shared, at);
        Some(context)
    }

    /// Plans a stream's next act.
    fn goes_on(&mut self, shared: &Shared<'_>, context: u32) {
        let Some(stream) = self.streams.get_mut(&context) else { return };
        if std::mem::replace(&mut stream.planned, true) {
            return;
        }
        let world = shared.world;
        // Some answers take as long as a VM counts as alive, and one may take longer than a lease lasts.
        let slow = !world.calm.get() && world.random.chance(1, 20);
        let after = match slow {
            _ if self.is_the_long_call(shared, context) => world.plan.long_call_ends_ms - world.time.get(),
            true => world.random.between(1_000, 14_000),
            false => world.random.between(1, 600),
        };
        world.later(after, self.site, self.number, What::Act(context));
    }

    /// Whether a call is the one that takes long: the first of the run that the provider gets and that has a hold.
    fn is_the_long_call(&self, shared: &Shared<'_>, context: u32) -> bool {
        let world = shared.world;
        let may = world.plan.long_call_ends_ms > 0 && !world.calm.get() && !world.had_long_call.get();
        let goes_on = may && self.streams.get(&context).is_some_and(|stream| stream.forwarded);
        let id = self.exchange_of(context).filter(|_| goes_on);
        let holds =
            id.is_some_and(|id| world.truth.borrow().calls.get(&id).is_some_and(|it| it.hold.is_some()));
        holds && !world.had_long_call.replace(true)
    }

    /// Something happens to a stream.
    pub(crate) fn act(&mut self, shared: &Shared<'_>, context: u32) {
        let Some(stream) = self.streams.get_mut(&context) else { return };
        stream.planned = false;
        let Some(act) = stream.acts.pop_front() else { return };
        let root = stream.root;
        shared.world.say(|| format!("  stream {context}: {act:?}"));
        shared.root.set(root);
        shared.stream.set(Some(context));
        let proxy = Proxy { outside: shared, state: &self.state };
        match act {
            Act::Body(bytes, end) => proxy.request_body(context, &bytes, end),
            Act::AnswerHead(status, content_type, end) => {
                let headers = [(":status", status.to_string()), ("content-type", content_type.to_owned())];
                let headers = headers.map(|(name, value)| (name.to_owned(), value.into_bytes()));
                proxy.answer_head(context, &headers, end);
            }
            Act::AnswerBody(bytes, end) => proxy.answer_body(context, &bytes, end),
            Act::Close => return self.close(shared, context),
        }
        self.after_stream(shared, root);
        let Some(stream) = self.streams.get_mut(&context) else { return };
        if stream.acts.is_empty() && (stream.forwarded || stream.replied.is_some()) {
            stream.acts.push_back(Act::Close);
        }
        if !stream.acts.is_empty() {
            self.goes_on(shared, context);
        }
    }

    fn after_stream(&mut self, shared: &Shared<'_>, root: u32) {
        if let Some(at) = self.roots.iter().position(|rooted| rooted.context == root) {
            self.after_callback(shared, at);
        }
    }

    /// What became of the streams in a callback: each is answered by the filter, or goes on to its provider.
    pub(crate) fn look_at_streams(&mut self, shared: &Shared<'_>) {
        let world = shared.world;
        let mut go_on = Vec::new();
        for (context, stream) in &mut self.streams {
            let look = self.state.stream(*context, |it| {
                let reply = it.reply.as_ref();
                let reply = reply.filter(|_| stream.replied.is_none());
                (reply.cloned(), it.upstream.is_some())
            });
            let Some((reply, upstream)) = look else { continue };
            if let Some(reply) = reply {
                let body = world.tells(Fault::AnsweredSecret, String::from_utf8_lossy(&reply.body));
                world.say(|| format!("  stream {context}: {} {body}", reply.status));
                world.check_secrets("an answer", &body);
                stream.replied = Some(reply.status);
                stream.acts = [Act::Close].into();
                go_on.push(*context);
            } else if upstream && !stream.forwarded {
                stream.forwarded = true;
                stream.acts = stream.ask.answer(&world.random);
                go_on.push(*context);
            }
        }
        for context in go_on {
            if let Some(id) = self.exchange_of(context)
                && self.streams.get(&context).is_some_and(|stream| stream.forwarded)
                && world.truth.borrow_mut().call(&id).map(|call| call.forwarded = true).is_some()
            {
                shared.goes_on_with(id);
            }
            self.goes_on(shared, context);
        }
    }

    /// The exchange of a stream.
    pub(crate) fn exchange_of(&self, context: u32) -> Option<ExchangeId> {
        self.state.handle(context)?.look(|stream| stream.exchange().id()).flatten()
    }

    /// The stream is over, for whatever reason: Envoy writes its log.
    pub(crate) fn close(&mut self, shared: &Shared<'_>, context: u32) {
        let Some(stream) = self.streams.remove(&context) else { return };
        let (world, id) = (shared.world, self.exchange_of(context));
        shared.root.set(stream.root);
        let proxy = Proxy { outside: shared, state: &self.state };
        let Some(closed) = proxy.close(context) else { return };
        for told in closed.filter_state.values() {
            world.check_secrets("the log of calls", told);
        }
        if let Some(id) = id {
            let truth = world.truth.borrow();
            let call = truth.calls.get(&id);
            // The debit of a VM that was taken for dead may be in no cell yet.
            let line = closed.filter_state.get("pax").filter(|_| call.is_some_and(|call| call.doubted));
            let said = line.and_then(|line| cost_of(line.as_bytes()));
            let cost = said.or(call.map(|call| call.own_cost)).unwrap_or_default().picopax();
            drop(truth);
            shared.seen.count.borrow_mut().call(cost);
        }
        if stream.small {
            world.ended.set(Some((stream.replied, stream.forwarded)));
        }
        self.after_stream(shared, stream.root);
    }
}
