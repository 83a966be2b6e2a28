//! What is around a VM in one of its callbacks: the shared data of its Envoy, the clocks, random bytes and the network.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use pax_gateway::base::clock::Now;
use pax_gateway::base::exchange_id::ExchangeId;
use pax_gateway::base::wire::HoldRequest;
use pax_gateway::memory::shared::{SharedData, Version};
use pax_gateway::worker::fake::{Map, Outside};
use pax_gateway::worker::host::{HostStatus, Post};

use crate::Fault;
use crate::counted::Count;
use crate::event::{Question, Site};
use crate::memory::CELLS;
use crate::witness::Admission;
use crate::world::World;

/// How long a look at an in-flight record takes, so that many records are more than one pass of a sweep.
const LOOK_MS: u64 = 2;
/// What Envoy answers if it finds no host for a callout.
const NO_HOST: HostStatus = HostStatus(10);

/// A VM's outside for one callback: before every operation on shared data others may run, and the VM may die.
pub(crate) struct Shared<'w> {
    pub(crate) world: &'w World,
    pub(crate) site: Site,
    /// The VM at work.
    pub(crate) vm: u64,
    /// The root whose callback it is, or whose stream's.
    pub(crate) root: Cell<u32>,
    /// The stream whose callback it is; none if it is its root's.
    pub(crate) stream: Cell<Option<u32>>,
    /// What the VM did in the callback.
    pub(crate) seen: Seen,
}

/// A question on its way.
pub(crate) struct Asked {
    pub(crate) question: Rc<Question>,
    /// The stream in whose callback it was asked, which hears the answer; none if that is its root.
    pub(crate) stream: Option<u32>,
}

/// What a VM did in one callback.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) posted: RefCell<Vec<(u32, Asked)>>,
    pub(crate) admissions: RefCell<Vec<Admission>>,
    /// What the metrics have counted, once the callback has returned.
    pub(crate) count: RefCell<Count>,
    /// The call whose record it read last; none if that cell held something else.
    pub(crate) looked_at: Cell<Option<ExchangeId>>,
    /// What the clocks said first.
    pub(crate) first: Cell<Option<Now>>,
    /// Whether a root ticked.
    pub(crate) ticked: Cell<bool>,
}

impl<'w> Shared<'w> {
    pub(crate) fn new(world: &'w World, site: Site, vm: u64) -> Self {
        Self { world, site, vm, root: Cell::new(0), stream: Cell::new(None), seen: Seen::default() }
    }

    pub(crate) fn memory(&self) -> &Map {
        &self.world.envoys[self.site.envoy].memory
    }

    /// A value is written; whatever came of it is told to the [`crate::witness`].
    fn write(&self, key: &str, value: &[u8], cas: u32) -> bool {
        self.world.before_an_operation(self.site);
        self.clear_too_early(key, value);
        if self.is_uncopied(key, value) || self.is_untold_number(key) {
            return true;
        }
        let cas = if self.world.fault == Fault::LostSwap { 0 } else { cas };
        let before = self.watched(key);
        let written =
            self.is_unheard_beat(key, value) || self.memory().write(key, &self.says_goes_on(key, value), cas);
        if let Some(before) = before.filter(|_| written) {
            self.wrote(key, &before, value);
        }
        written
    }
}

impl SharedData for Shared<'_> {
    fn get(&self, key: &str) -> Option<(Vec<u8>, Version)> {
        self.world.before_an_operation(self.site);
        let found = self.memory().get(key);
        if let Some((record, _)) = found.as_ref().filter(|_| key.starts_with(CELLS)) {
            self.world.time.set(self.world.time.get() + LOOK_MS);
            self.looked_at(record);
        }
        found
    }

    fn swap(&self, key: &str, value: &[u8], expected: Version) -> bool {
        self.write(key, value, expected.cas())
    }

    fn set(&self, key: &str, value: &[u8]) -> bool {
        self.write(key, value, 0)
    }
}

impl Outside for Shared<'_> {
    fn now(&self) -> Now {
        self.stopped_clock().unwrap_or_else(|| self.world.clock(self.site))
    }

    fn fill_random(&self, bytes: &mut [u8]) -> bool {
        for chunk in bytes.chunks_mut(8) {
            let random = self.world.random.next().to_le_bytes();
            chunk.iter_mut().zip(random).for_each(|(place, byte)| *place = byte);
        }
        true
    }

    fn post(&self, callout: u32, post: &Post<'_>) -> Result<(), HostStatus> {
        let world = self.world;
        let body = world.tells(Fault::AskedSecret, String::from_utf8_lossy(post.body));
        world.check_secrets("a question to the ledger", &body);
        let question = Question::read(post).map(|question| Rc::new(self.remade_question(question)));
        let Some(question) = question else {
            world.fail(&format!("no ledger knows the question {}", post.path));
            return Err(NO_HOST);
        };
        if world.ledger.borrow().down && world.random.chance(1, 4) {
            return Err(NO_HOST);
        }
        match &*question {
            Question::Debits(lines) => self.empty_too_early(lines),
            Question::Hold(HoldRequest { envoy, .. }, _) | Question::Lease(envoy) => {
                self.is_numbered(envoy);
            }
            Question::Resolve(..) | Question::Standings(_) | Question::Cards(_) => {}
        }
        world.ask(self, callout, &question, post.timeout_ms);
        let asked = Asked { question, stream: self.stream.get() };
        self.seen.posted.borrow_mut().push((callout, asked));
        Ok(())
    }
}
