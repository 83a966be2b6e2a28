//! Shared data in a map, and what the adapter does with the gate's effects, without an Envoy.

use pax_gateway::clock::Now;
use pax_gateway::event::{Effect, Event};
use pax_gateway::in_flight::Lane;
use pax_gateway::outbox::Writer;
use pax_gateway::shared::{SharedData, Version};
use pax_gateway::wire::Standing;
use pax_gateway::{cap, gate};
use std::cell::RefCell;
use std::collections::BTreeMap;

/// Shared data, with Envoy's rules.
#[derive(Default)]
pub struct Memory(RefCell<BTreeMap<String, (Vec<u8>, u32)>>);

impl SharedData for Memory {
    fn get(&self, key: &str) -> Option<(Vec<u8>, Version)> {
        self.0.borrow().get(key).map(|(value, cas)| (value.clone(), Version::new(*cas)))
    }

    fn swap(&self, key: &str, value: &[u8], expected: Version) -> bool {
        let mut map = self.0.borrow_mut();
        let current = map.get(key).map_or(u32::MAX, |(_, cas)| *cas);
        let fits = current == expected.cas();
        if fits {
            map.insert(key.to_owned(), (value.to_vec(), current.wrapping_add(1).max(1)));
        }
        fits
    }
}

/// One worker's share of the gate.
pub struct Gatekeeper {
    shared: Memory,
    lane: Lane,
    outbox: Writer,
}

impl Gatekeeper {
    pub fn new(now: Now) -> Self {
        let shared = Memory::default();
        let lane = Lane::take(&shared, 1, now.tick).unwrap();
        Self { shared, lane, outbox: Writer::new() }
    }

    /// The ledger has said that an account has spent nothing today.
    pub fn knows(&self, account: &str, now: Now) {
        let spent_pax = "0".parse().unwrap();
        let standing = Standing { utc_day: now.wall.day(), spent_pax, account_seq: 0, epoch: 0 };
        cap::learn(&self.shared, account, &standing, now.tick);
    }

    /// Does an effect of the gate's; gives what is to be told to the exchange at once. Gives every other effect back.
    pub fn does(&mut self, effect: Effect, now: Now) -> Result<Option<Event<'static>>, Effect> {
        match effect {
            Effect::Open { admission, cap } => {
                let opened = gate::open(&self.shared, &mut self.lane, &admission, cap, now.tick);
                Ok(Some(Event::Opened(opened)))
            }
            Effect::Settle { owed, debit } => {
                let canonical = debit.to_canonical();
                let outbox = (&self.outbox, now.tick, || now.tick);
                let charged = (canonical.as_slice(), debit.cost_pax);
                let daily = gate::settle(&self.shared, &mut self.lane, outbox, owed, charged);
                Ok(Some(Event::Settled(daily.unwrap())))
            }
            Effect::Release(owed) => {
                gate::release(&self.shared, &mut self.lane, owed);
                Ok(None)
            }
            other => Err(other),
        }
    }

    /// Whether something is still owed.
    pub fn owes(&self) -> bool {
        self.lane.open() > 0
    }
}
