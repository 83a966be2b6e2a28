//! An Envoy's shared data, with Envoy's rules; what the core has written there, read by the formats that it documents.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use pax_gateway::clock::UtcDay;
use pax_gateway::exchange_id::ExchangeId;
use pax_gateway::shared::{SharedData, Version};

use crate::Fault;
use crate::event::Site;
use crate::world::World;

/// Host memory: it outlives a VM, and dies with its Envoy.
#[derive(Default)]
pub(crate) struct Memory {
    map: RefCell<BTreeMap<String, (Vec<u8>, u32)>>,
    last_cas: Cell<u32>,
    /// How often something was written.
    pub(crate) writes: Cell<u64>,
}

impl Memory {
    fn get(&self, key: &str) -> Option<(Vec<u8>, Version)> {
        self.map.borrow().get(key).map(|(value, cas)| (value.clone(), Version::new(*cas)))
    }

    /// As Envoy does it: a CAS of 0 overwrites, an absent key is made whatever the CAS.
    fn set(&self, key: &str, value: &[u8], cas: u32) -> bool {
        let mut map = self.map.borrow_mut();
        if cas != 0 && map.get(key).is_some_and(|(_, current)| *current != cas) {
            return false;
        }
        let next = self.last_cas.get().wrapping_add(1).max(1);
        self.last_cas.set(next);
        self.writes.set(self.writes.get() + 1);
        map.insert(key.to_owned(), (value.to_vec(), next));
        true
    }

    /// All of it is gone.
    pub(crate) fn forget(&self) {
        self.map.borrow_mut().clear();
        self.writes.set(self.writes.get() + 1);
    }

    fn each(&self, prefix: &str, mut with: impl FnMut(&str, &[u8])) {
        let map = self.map.borrow();
        let from = map.range(prefix.to_owned()..);
        for (key, (value, _)) in from.take_while(|(key, _)| key.starts_with(prefix)) {
            with(&key[prefix.len()..], value);
        }
    }
}

/// Shared data as one worker sees it: before every operation others may run, and its VM may die.
pub(crate) struct Shared<'w> {
    pub(crate) world: &'w World,
    pub(crate) site: Site,
}

impl Shared<'_> {
    fn memory(&self) -> &Memory {
        self.world.before_an_operation(self.site);
        &self.world.envoys[self.site.envoy].memory
    }
}

impl SharedData for Shared<'_> {
    fn get(&self, key: &str) -> Option<(Vec<u8>, Version)> {
        self.memory().get(key)
    }

    fn swap(&self, key: &str, value: &[u8], expected: Version) -> bool {
        let cas = if self.world.fault == Fault::LostSwap { 0 } else { expected.cas() };
        self.memory().set(key, value, cas)
    }

    fn set(&self, key: &str, value: &[u8]) -> bool {
        self.memory().set(key, value, 0)
    }
}

/// Shared data as the simulator reads it: nothing happens in between.
pub(crate) struct Still<'a>(pub(crate) &'a Memory);

impl SharedData for Still<'_> {
    fn get(&self, key: &str) -> Option<(Vec<u8>, Version)> {
        self.0.get(key)
    }

    fn swap(&self, _: &str, _: &[u8], _: Version) -> bool {
        false
    }

    fn set(&self, _: &str, _: &[u8]) -> bool {
        false
    }
}

/// An account's day, as its place says (`cap_place.rs`).
#[derive(Debug)]
pub(crate) struct DayThere {
    pub(crate) account: String,
    pub(crate) day: UtcDay,
    pub(crate) spent: i64,
    pub(crate) account_seq: u64,
    pub(crate) open: Vec<(u64, i64)>,
    pub(crate) pending: Vec<(u64, i64)>,
}

/// What an Envoy's memory holds.
#[derive(Debug, Default)]
pub(crate) struct There {
    pub(crate) days: Vec<DayThere>,
    /// In-flight records: the exchange's id.
    pub(crate) records: Vec<String>,
    /// The canonical bytes of debits that wait, by number.
    pub(crate) waiting: Vec<(u64, Vec<u8>)>,
}

struct Read<'a>(&'a [u8]);

impl<'a> Read<'a> {
    fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count);
        self.0 = rest;
        taken
    }

    fn number(&mut self, bytes: usize) -> u64 {
        self.take(bytes).iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    fn length(&mut self, bytes: usize) -> usize {
        usize::try_from(self.number(bytes)).unwrap_or(usize::MAX)
    }

    fn amount(&mut self) -> i64 {
        self.number(8).cast_signed()
    }

    fn items(&mut self, count: usize) -> Vec<(u64, i64)> {
        (0..count).map(|_| (self.number(8), self.amount())).collect()
    }
}

fn read_place(place: &[u8], into: &mut Vec<DayThere>) {
    let mut read = Read(place);
    read.take(8);
    let length = read.length(1);
    let account = String::from_utf8_lossy(read.take(length)).into_owned();
    while !read.0.is_empty() {
        let day = u32::try_from(read.number(4)).unwrap_or(0);
        let (spent, account_seq) = (read.amount(), read.number(8));
        // The highest bit says that an epoch follows; the ledger of the simulation has but one.
        if day >> 31 == 1 {
            read.number(8);
        }
        let day = UtcDay::from_days(day & (u32::MAX >> 1));
        let (open, pending) = (read.length(2), read.length(2));
        let (open, pending) = (read.items(open), read.items(pending));
        into.push(DayThere { account: account.clone(), day, spent, account_seq, open, pending });
    }
}

/// The exchange that a record is of: after the byte of its form.
pub(crate) fn recorded(record: &[u8]) -> String {
    let id = record.get(1..17).and_then(|id| id.first_chunk().copied()).and_then(ExchangeId::from_bytes);
    id.map_or_else(|| "no exchange".to_owned(), |id| id.to_string())
}

/// The exchange that canonical bytes are of: an id of 36 characters after its name.
pub(crate) fn exchange_of(bytes: &[u8]) -> &str {
    const NAME: &[u8] = b"\"exchange_id\":\"";
    let at = bytes.windows(NAME.len()).position(|window| window == NAME).map_or(0, |at| at + NAME.len());
    bytes.get(at..at + 36).and_then(|id| str::from_utf8(id).ok()).unwrap_or("no exchange")
}

impl Memory {
    pub(crate) fn read(&self) -> There {
        let mut there = There::default();
        self.each("pax/cap/", |_, bucket| {
            let mut read = Read(bucket);
            while !read.0.is_empty() {
                let length = read.length(4);
                read_place(read.take(length), &mut there.days);
            }
        });
        self.each("pax/2/open/", |_, record| {
            if !record.is_empty() {
                there.records.push(recorded(record));
            }
        });
        for ring in ["pax/outbox/", "pax/aside/"] {
            // What stands below the head was given up, and is in again under a new number.
            let head = self.get(&format!("{ring}head")).map_or(0, |(value, _)| Read(&value).number(8));
            self.each(ring, |key, slot| {
                if slot.len() <= 8 || key.parse::<u64>().is_err() {
                    return;
                }
                let mut read = Read(slot);
                let number = read.number(8);
                let claim = read.length(1);
                if claim > 0 {
                    read.take(claim + 12);
                }
                if number >= head {
                    there.waiting.push((number, read.0.to_vec()));
                }
            });
        }
        there
    }
}
