//! A gateway in the test's own process: one worker of an Envoy with its VM, its root contexts and its streams;
//! its surroundings; and a small ledger, which answers when the test tells it to.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::{Ended, Ledger, Map, Outside, Proxy, SplitMix64, State};
use crate::base::clock::Now;
use crate::call::config::Gateway;
use crate::memory::shared::{SharedData, Version};
use crate::worker::chores::root::Root;
use crate::worker::host::{self, HostStatus, Post};
use crate::worker::root_share::TICK_MS;
use crate::worker::vm::SharedVm;

/// A question to the ledger that is under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Its number.
    pub callout: u32,
    /// Which of the worker's roots asks, counted from 0.
    pub root: usize,
    /// The cluster that it went to.
    pub cluster: String,
    /// Its path.
    pub path: String,
    /// Its body.
    pub body: Vec<u8>,
}

/// A worker's surroundings: Envoy's shared data and clocks, random bytes, and the way to the ledger.
#[derive(Debug)]
pub struct Around {
    /// Envoy's shared data.
    pub shared: Rc<Map>,
    /// Both clocks.
    pub clock: Rc<Cell<Now>>,
    /// Whether there are random bytes.
    pub has_random: Cell<bool>,
    /// The status with which Envoy refuses every question to the ledger; none if it sends them.
    pub refuses: Cell<Option<HostStatus>>,
    /// The questions that are under way, oldest first.
    pub questions: RefCell<Vec<Question>>,
    random: SplitMix64,
    /// The root whose callback runs.
    root: Cell<usize>,
}

impl SharedData for Around {
    fn get(&self, key: &str) -> Option<(Vec<u8>, Version)> {
        self.shared.get(key)
    }

    fn swap(&self, key: &str, value: &[u8], expected: Version) -> bool {
        self.shared.swap(key, value, expected)
    }

    fn set(&self, key: &str, value: &[u8]) -> bool {
        self.shared.set(key, value)
    }
}

impl Outside for Around {
    fn now(&self) -> Now {
        self.clock.get()
    }

    /// The same bytes on every run, and other bytes each time.
    fn fill_random(&self, bytes: &mut [u8]) -> bool {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.random.number().to_le_bytes()[..chunk.len()]);
        }
        self.has_random.get()
    }

    fn post(&self, callout: u32, post: &Post<'_>) -> Result<(), HostStatus> {
        if let Some(status) = self.refuses.get() {
            return Err(status);
        }
        self.questions.borrow_mut().push(Question {
            callout,
            root: self.root.get(),
            cluster: post.cluster.to_owned(),
            path: post.path.to_owned(),
            body: post.body.to_vec(),
        });
        Ok(())
    }
}

/// One worker, and the ledger that it asks.
#[derive(Debug)]
pub struct Native {
    /// What is around it.
    pub around: Around,
    /// What its proxy keeps.
    pub state: State,
    /// The ledger, which all workers share.
    pub ledger: Rc<RefCell<Ledger>>,
    vm: SharedVm,
    /// The roots with their contexts, the newest last.
    roots: Vec<(u32, Option<Root>)>,
}

impl Native {
    /// A worker of an Envoy that has this shared data, without a configuration.
    #[must_use]
    pub fn new(shared: Rc<Map>, now: Now) -> Self {
        Self::of(shared, Rc::new(Cell::new(now)), Rc::default(), 0)
    }

    fn of(shared: Rc<Map>, clock: Rc<Cell<Now>>, ledger: Rc<RefCell<Ledger>>, seed: u64) -> Self {
        let around = Around {
            shared,
            clock,
            has_random: Cell::new(true),
            refuses: Cell::new(None),
            questions: RefCell::default(),
            random: SplitMix64::new(seed),
            root: Cell::new(0),
        };
        Self { around, state: State::default(), ledger, vm: SharedVm::default(), roots: Vec::new() }
    }

    /// A worker that serves calls with this configuration: the ledger has taken its cards, and answers.
    ///
    /// # Panics
    /// If the worker does not get ready.
    #[must_use]
    pub fn serving(shared: Rc<Map>, now: Now, gateway: &Gateway) -> Self {
        let mut native = Self::new(shared, now);
        assert!(native.configure(gateway.clone()), "{:?}", native.state.log.borrow());
        native.settle();
        native
    }

    /// Another worker of the same Envoy, without a configuration. It can also stand for this worker's next VM,
    /// after its VM has died.
    #[must_use]
    pub fn beside(&self) -> Self {
        let (shared, clock) = (Rc::clone(&self.around.shared), Rc::clone(&self.around.clock));
        Self::of(
            shared,
            clock,
            Rc::clone(&self.ledger),
            self.around.random.state().wrapping_mul(31).wrapping_add(1),
        )
    }

    /// The proxy.
    #[must_use]
    pub fn proxy(&self) -> Proxy<'_, Around> {
        Proxy { outside: &self.around, state: &self.state }
    }

    /// The VM.
    #[must_use]
    pub fn vm(&self) -> &SharedVm {
        &self.vm
    }

    /// A new root context with this configuration, from its text; false if it rejects it.
    pub fn configure_by(&mut self, text: &str) -> bool {
        self.state.configuration.replace(text.as_bytes().to_vec());
        self.begin_root(|root, proxy| root.on_configure(proxy, text.len()))
    }

    /// A new root context with this configuration; false if it rejects it.
    pub fn configure(&mut self, gateway: Gateway) -> bool {
        self.begin_root(|root, proxy| root.configure(proxy, gateway))
    }

    fn begin_root(&mut self, configure: impl FnOnce(&mut Root, &Proxy<'_, Around>) -> bool) -> bool {
        let context = self.state.number();
        self.roots.push((context, Some(Root::new(context, self.vm.clone()))));
        let newest = self.roots.len() - 1;
        self.in_root(newest, configure).unwrap()
    }

    /// A root's callback; nothing if it has ended.
    fn in_root<T>(
        &mut self,
        root: usize,
        callback: impl FnOnce(&mut Root, &Proxy<'_, Around>) -> T,
    ) -> Option<T> {
        self.around.root.set(root);
        let proxy = Proxy { outside: &self.around, state: &self.state };
        let (context, root) = &mut self.roots[root];
        let context = *context;
        root.as_mut().map(|root| proxy.as_root(root, context, |root| callback(root, &proxy)))
    }

    /// A root's last stream has ended, and another configuration has taken over.
    pub fn end_root(&mut self, root: usize) {
        self.in_root(root, |root, proxy| root.on_done(proxy));
        self.roots[root].1 = None;
    }

    /// Every root ticks.
    pub fn tick(&mut self) {
        for root in 0..self.roots.len() {
            self.in_root(root, |root, proxy| root.on_tick(proxy));
        }
    }

    /// Time passes on both clocks, then every root ticks.
    pub fn tick_after(&mut self, ms: u64) {
        let Now { wall, tick } = self.around.clock.get();
        self.around.clock.set(Now { wall: wall.plus_ms(ms), tick: tick.plus_ms(ms) });
        self.tick();
    }

    /// Takes out the oldest question under way to this path.
    ///
    /// # Panics
    /// If there is none.
    pub fn question(&mut self, path: &str) -> Question {
        let mut questions = self.around.questions.borrow_mut();
        let found = questions.iter().position(|question| question.path == path);
        questions.remove(found.unwrap_or_else(|| panic!("nothing is asked at {path}")))
    }

    /// Whether a question to a path is under way.
    #[must_use]
    pub fn asks(&self, path: &str) -> bool {
        self.around.questions.borrow().iter().any(|question| question.path == path)
    }

    /// A question ends, with this answer or none.
    pub fn answer(&mut self, question: &Question, ended: Ended) {
        self.around.root.set(question.root);
        let proxy = Proxy { outside: &self.around, state: &self.state };
        if let (context, Some(root)) = &mut self.roots[question.root] {
            proxy.callout_ends(root, *context, question.callout, ended);
        }
    }

    /// The ledger answers every question, and the questions that follow from its answers.
    pub fn ledger_answers(&mut self) {
        while !self.around.questions.borrow().is_empty() {
            let question = self.around.questions.borrow_mut().remove(0);
            let ended = self.ledger.borrow_mut().answer(&question.path, &question.body);
            self.answer(&question, ended);
        }
    }

    /// The monotonic clock goes on, and the ledger answers, until no question is left. The wall clock does not
    /// move.
    pub fn settle(&mut self) {
        for _ in 0..4 {
            let Now { wall, tick } = self.around.clock.get();
            self.around.clock.set(Now { wall, tick: tick.plus_ms(TICK_MS.into()) });
            self.tick();
            self.ledger_answers();
        }
    }

    /// A request's head comes to the newest root. Gives its stream's context.
    ///
    /// # Panics
    /// If that root has no configuration.
    pub fn head(&self, headers: &[(&str, &str)], end: bool) -> u32 {
        let headers: Vec<(String, Vec<u8>)> =
            headers.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect();
        self.head_of(&headers, end)
    }

    /// The same, with values of any bytes.
    ///
    /// # Panics
    /// If that root has no configuration.
    pub fn head_of(&self, headers: &[(String, Vec<u8>)], end: bool) -> u32 {
        let (_, root) = self.roots.last().unwrap();
        self.proxy().request_head(root.as_ref().unwrap(), headers, end).unwrap()
    }

    /// The head of an answer from upstream comes.
    pub fn answer_head(&self, context: u32, headers: &[(String, Vec<u8>)], end: bool) {
        self.state.stream(context, |stream| {
            stream.properties.insert(b"response\0code_details".to_vec(), b"via_upstream".to_vec());
        });
        self.proxy().answer_head(context, headers, end);
    }

    /// The filter's own reply passes through the filter on its way to the caller, as every answer does. A reply
    /// in the place of an answer whose head has already come does not pass through it.
    pub fn reply_passes(&self, context: u32) {
        let reply = self.state.stream(context, |stream| match stream.headers(host::HeaderMap::Answer) {
            [] => stream.reply.clone(),
            _ => None,
        });
        let Some(reply) = reply.flatten() else { return };
        let header = |name: &str, value: String| (name.to_owned(), value.into_bytes());
        let mut headers = vec![header(":status", reply.status.to_string())];
        headers.push(header("content-length", reply.body.len().to_string()));
        headers.extend(reply.headers);
        self.proxy().answer_head(context, &headers, reply.body.is_empty());
        self.proxy().answer_body(context, &reply.body, true);
    }

    /// The in-flight records of all calls that are neither settled nor released, with their keys.
    #[must_use]
    pub fn records(&self) -> Vec<String> {
        let mut records = Vec::new();
        self.around.shared.each("pax/2/open/", |place, record| {
            if !record.is_empty() {
                records.push(place.to_owned());
            }
        });
        records
    }

    /// Takes the lines out of the proxy's log.
    pub fn told(&self) -> Vec<(host::Level, String)> {
        self.state.log.take()
    }
}
