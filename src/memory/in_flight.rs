//! In-flight records: what is known of every call that a provider has, in host memory, so that a dead VM leaves
//! no call unrecorded and no reservation behind.
//!
//! Each VM has a **lane**: a row of keys that only it writes, so that a record costs one host call. The lane's
//! owner says once a second that it lives (its *beat*): that is the lease of all its records, however long their
//! streams are. Others watch. A lane whose beat stands still for [`DEAD_MS`], as seen by a watcher that was awake
//! all the while, is dead: one of them takes it over, settles what it finds, and frees it. Should the taker die
//! too, the lane stands still again.

use std::cell::Cell;

use crate::base::clock::Tick;
use crate::base::pax::Pax;
use crate::base::text::{DECIMAL_MAX, decimal};
use crate::memory::shared::{SharedData, Version, numbered};

/// How many VMs can live at once: one for each worker and the main thread, and those that are being reloaded.
pub const LANES: u32 = 1_024;
/// How many records a lane has room for.
pub const RECORDS: u32 = 65_536;
/// How often an owner says that it lives.
pub const BEAT_MS: u64 = 1_000;
/// How long a beat stands still before its VM counts as dead.
pub const DEAD_MS: u64 = 10_000;
/// How long a dead VM's lane is left alone where another one is free: a thread that stood still in the middle of a
/// write ends that write when it wakes, and would strike out the record of whoever has the lane by then.
const FALLOW_MS: u64 = 600_000;
/// How often a dead VM's lane is swept, [`DEAD_MS`] apart: what such a thread has put there late is found by the last.
const SWEEPS: u8 = 2;
/// How long one pass of a sweep takes at most: the thread has calls to serve, and has to say that it lives itself.
const PASS_MS: u64 = 20;
/// A watcher that has not looked for so long was not awake: what it saw before says nothing.
const ASLEEP_MS: u64 = 3_000;

/// A record's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordCell {
    lane: u32,
    number: u32,
    /// Whose lane it was then: a VM that lost one may get the same again, when others' records stand there.
    vm: u64,
    /// What is set aside for its call.
    reserved: Pax,
}

/// This VM's lane.
#[derive(Debug)]
pub struct Lane {
    number: u32,
    vm: u64,
    beaten: Cell<Tick>,
    /// Places that were used and are free again.
    free: Vec<u32>,
    /// Places with debits that wait for room in the outbox.
    kept: Vec<RecordCell>,
    /// The first place that was never used.
    next: u32,
    /// What is set aside for all of its calls.
    reserved: Pax,
}

/// What calls that a provider has come to: for the metrics, and as old as the owners' last beats.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Open {
    /// How many they are.
    pub calls: u64,
    /// What is set aside for them.
    pub reserved: Pax,
}

impl Open {
    /// Of all lanes, also of dead ones that nobody has swept yet.
    #[must_use]
    pub fn of(shared: &impl SharedData) -> Self {
        let lanes = (0..LANES).map_while(|number| shared.get(&lane_key(number)));
        lanes.filter_map(|(value, _)| read_open(&value)).fold(Self::default(), |all, lane| Self {
            calls: all.calls.saturating_add(lane.calls),
            reserved: all.reserved.checked_add(lane.reserved).unwrap_or(Pax::MAX),
        })
    }
}

fn lane_key(lane: u32) -> String {
    format!("pax/2/lane/{lane}")
}

fn record_key(lane: u32, cell: u32) -> String {
    let mut key = numbered("pax/2/open/", u64::from(lane));
    key.push('/');
    key.push_str(decimal(u64::from(cell), &mut [0; DECIMAL_MAX]));
    key
}

/// A lane's value: whose it is, its last beat, and what its calls came to then.
fn read_lane(value: &[u8]) -> Option<(u64, u64)> {
    let (vm, beat) = value.split_first_chunk::<8>()?;
    Some((u64::from_le_bytes(*vm), u64::from_le_bytes(*beat.first_chunk::<8>()?)))
}

/// The value of a dead VM's lane that was swept: when, and how often.
fn read_swept(value: &[u8]) -> Option<(Tick, u8)> {
    let (at, times) = value.split_first_chunk::<8>()?;
    let [times] = times else { return None };
    Some((Tick::from_ms(u64::from_le_bytes(*at)), *times))
}

fn swept_value(at: Tick, times: u8) -> Vec<u8> {
    at.ms().to_le_bytes().into_iter().chain([times]).collect()
}

/// None where a module before this one wrote the value, or it is of a lane that was swept.
fn read_open(value: &[u8]) -> Option<Open> {
    let (calls, rest) = value.get(16..)?.split_first_chunk::<8>()?;
    let reserved = Pax::from_picopax(i64::from_le_bytes(*rest.first_chunk::<8>()?));
    Some(Open { calls: u64::from_le_bytes(*calls), reserved })
}

fn lane_value(vm: u64, now: Tick, open: Open) -> [u8; 32] {
    let mut value = [0; 32];
    let numbers = [vm, now.ms(), open.calls].map(u64::to_le_bytes);
    let bytes = numbers.into_iter().flatten().chain(open.reserved.picopax().to_le_bytes());
    value.iter_mut().zip(bytes).for_each(|(place, byte)| *place = byte);
    value
}

/// Whether a lane is free, and has been for so long.
fn is_free(value: &[u8], now: Tick, for_ms: u64) -> bool {
    let swept = read_swept(value);
    value.is_empty() || swept.is_some_and(|(at, times)| times >= SWEEPS && now.since_ms(at) >= for_ms)
}

/// Says that a VM lives, in its lane; false where that is another's by now.
fn beat(shared: &impl SharedData, lane: u32, vm: u64, now: Tick, open: Open) -> bool {
    let key = lane_key(lane);
    let Some((value, version)) = shared.get(&key) else { return false };
    let ours = read_lane(&value).is_some_and(|(owner, _)| owner == vm);
    // A lost swap means that somebody else took it this very moment.
    ours && shared.swap(&key, &lane_value(vm, now, open), version)
}

impl Lane {
    /// Takes the lowest lane that is free, for a VM with a random id of its own: another one each time that it takes
    /// one. None where all are taken.
    pub fn take(shared: &impl SharedData, vm: u64, now: Tick) -> Option<Self> {
        let take = |number, free_for_ms| {
            let key = lane_key(number);
            let (value, version) = shared.get(&key).unwrap_or((Vec::new(), Version::ABSENT));
            let free = is_free(&value, now, free_for_ms);
            let taken = free && shared.swap(&key, &lane_value(vm, now, Open::default()), version);
            taken.then(|| Self {
                number,
                vm,
                beaten: Cell::new(now),
                free: Vec::new(),
                kept: Vec::new(),
                next: 0,
                reserved: Pax::ZERO,
            })
        };
        let rested = (0..LANES).find_map(|number| take(number, FALLOW_MS));
        rested.or_else(|| (0..LANES).find_map(|number| take(number, 0)))
    }

    /// Says that this VM lives. False where it was taken for dead and its lane is another's: then it needs a new
    /// one, and the calls that are open in this one are settled already.
    #[must_use]
    pub fn beat(&self, shared: &impl SharedData, now: Tick) -> bool {
        let open = Open { calls: u64::try_from(self.open()).unwrap_or(u64::MAX), reserved: self.reserved };
        let still = beat(shared, self.number, self.vm, now, open);
        if still {
            self.beaten.set(now);
        }
        still
    }

    /// Keeps a record. None where the lane is full, or is another's by now.
    pub fn put(&mut self, shared: &impl SharedData, record: &[u8], now: Tick) -> Option<RecordCell> {
        // A thread that was stopped may have lost its lane, and would write over the records of others.
        let silent = now.since_ms(self.beaten.get()) >= DEAD_MS / 2;
        if silent && !self.beat(shared, now) {
            return None;
        }
        let cell = match self.free.pop() {
            Some(cell) => cell,
            None if self.next < RECORDS => {
                let cell = self.next;
                self.next = cell.saturating_add(1);
                cell
            }
            None => return None,
        };
        let kept = shared.set(&record_key(self.number, cell), record);
        kept.then_some(RecordCell { lane: self.number, number: cell, vm: self.vm, reserved: Pax::ZERO })
    }

    /// So much is set aside for the call of a record that was just put in.
    pub fn reserves(&mut self, cell: &mut RecordCell, amount: Pax) {
        cell.reserved = amount;
        self.reserved = self.reserved.checked_add(amount).unwrap_or(Pax::MAX);
    }

    /// What was set aside for a call is spent, or given back.
    fn gives_back(&mut self, cell: RecordCell) {
        self.reserved = self.reserved.checked_sub(cell.reserved).unwrap_or_default();
    }

    /// Takes a record out; says whether it was in this lane. One of a lane that this VM has lost is its taker's:
    /// see [`clear_lost`].
    pub fn clear(&mut self, shared: &impl SharedData, cell: RecordCell) -> bool {
        let ours = cell.lane == self.number && cell.vm == self.vm;
        if ours {
            shared.set(&record_key(self.number, cell.number), &[]);
            self.free.push(cell.number);
            self.gives_back(cell);
        }
        ours
    }

    /// Puts a debit that found no room in the outbox in the place of its call's record. False where the lane is
    /// another's by now: then that one charges the call.
    pub fn keep(&mut self, shared: &impl SharedData, cell: RecordCell, debit: &[u8]) -> bool {
        let ours = cell.lane == self.number && cell.vm == self.vm;
        let kept = ours && shared.set(&record_key(self.number, cell.number), debit);
        if kept {
            self.gives_back(cell);
            self.kept.push(RecordCell { reserved: Pax::ZERO, ..cell });
        }
        kept
    }

    /// Hands kept debits to `settle` until it says that one cannot go in yet; takes the others out. Gives how many
    /// are left.
    pub fn settle_kept(&mut self, shared: &impl SharedData, mut settle: impl FnMut(&[u8]) -> bool) -> usize {
        while let Some(cell) = self.kept.pop() {
            let record = shared.get(&record_key(cell.lane, cell.number));
            if record.is_some_and(|(record, _)| !record.is_empty() && !settle(&record)) {
                self.kept.push(cell);
                break;
            }
            self.clear(shared, cell);
        }
        self.kept.len()
    }

    /// How many records it holds.
    #[must_use]
    pub fn open(&self) -> usize {
        usize::try_from(self.next).unwrap_or(usize::MAX).saturating_sub(self.free.len())
    }
}

/// Takes a record out of a lane that was lost, if it is what stands there: it may have been written after the lane's
/// taker had gone through it.
pub fn clear_lost(shared: &impl SharedData, cell: RecordCell, record: &[u8]) {
    let key = record_key(cell.lane, cell.number);
    if let Some((_, version)) = shared.get(&key).filter(|(value, _)| value == record) {
        // Lost: somebody else has written there.
        let _ = shared.swap(&key, &[], version);
    }
}

/// Watches the lanes of others.
#[derive(Debug, Default)]
pub struct Watch {
    /// Lane, whose it is, its beat, and since when it stands so.
    seen: Vec<(u32, u64, u64, Tick)>,
    looked: Tick,
}

/// A dead VM's lane, taken over.
#[derive(Debug)]
pub struct Dead {
    number: u32,
    vm: u64,
    /// How often it was swept since its owner died.
    swept: u8,
    /// The next place to look at.
    next: u32,
    /// Whether all records until there are done with.
    all: bool,
    /// When its taker last said that it lives.
    beaten: Tick,
}

impl Watch {
    /// A watcher that has seen nothing yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { seen: Vec::new(), looked: Tick::from_ms(0) }
    }

    /// Looks at all lanes; takes over one that is dead, for the VM `vm`. To be called once a [`BEAT_MS`].
    pub fn look(&mut self, shared: &impl SharedData, vm: u64, now: Tick) -> Option<Dead> {
        // A process that was stopped for a while must not take everybody for dead.
        if now.since_ms(self.looked) > ASLEEP_MS {
            self.seen.clear();
        }
        self.looked = now;
        let mut seen = Vec::with_capacity(self.seen.len());
        let take = |number, version, swept| {
            let ours = shared.swap(&lane_key(number), &lane_value(vm, now, Open::default()), version);
            ours.then_some(Dead { number, vm, swept, next: 0, all: true, beaten: now })
        };
        let (mut dead, mut again) = (None, None);
        for number in 0..LANES {
            let Some((value, version)) = shared.get(&lane_key(number)) else { break };
            if let Some((at, swept)) = read_swept(&value) {
                let due = swept < SWEEPS && now.since_ms(at) >= DEAD_MS;
                again = again.or_else(|| due.then_some((number, version, swept)));
                continue;
            }
            let Some((owner, beat)) = read_lane(&value) else { continue };
            let before =
                self.seen.iter().find(|(lane, vm, at, _)| (*lane, *vm, *at) == (number, owner, beat));
            let since = before.map_or(now, |(.., since)| *since);
            let stands_still = now.since_ms(since) >= DEAD_MS;
            if stands_still && dead.is_none() {
                dead = take(number, version, 0);
                if dead.is_some() {
                    continue;
                }
            }
            seen.push((number, owner, beat, since));
        }
        self.seen = seen;
        // Calls that nobody has charged yet come before a second look.
        dead.or_else(|| again.and_then(|(number, version, swept)| take(number, version, swept)))
    }
}

impl Dead {
    /// Whether it was swept before, with all of it settled.
    #[must_use]
    pub const fn is_again(&self) -> bool {
        self.swept > 0
    }

    /// One pass: hands the records of the lane to `settle`, which says whether it is done with; those are taken out.
    /// Stops after [`PASS_MS`], to go on in the next pass; says whether it has come to the end. There it frees the
    /// lane if no record is left, the last time.
    pub fn sweep(
        &mut self,
        shared: &impl SharedData,
        clock: impl Fn() -> Tick,
        mut settle: impl FnMut(&[u8]) -> bool,
    ) -> bool {
        let began = clock();
        loop {
            let now = clock();
            if now.since_ms(self.beaten) >= BEAT_MS {
                if !beat(shared, self.number, self.vm, now, Open::default()) {
                    // Another took this VM for dead, and sweeps the rest.
                    return true;
                }
                self.beaten = now;
            }
            if now.since_ms(began) >= PASS_MS {
                return false;
            }
            let key = record_key(self.number, self.next);
            let record = if self.next < RECORDS { shared.get(&key) } else { None };
            let Some((record, _)) = record else { break };
            self.next = self.next.saturating_add(1);
            if record.is_empty() {
                continue;
            }
            if settle(&record) {
                shared.set(&key, &[]);
            } else {
                self.all = false;
            }
        }
        let key = lane_key(self.number);
        if let Some((value, version)) = shared.get(&key).filter(|_| self.all)
            && read_lane(&value).is_some_and(|(vm, _)| vm == self.vm)
        {
            // Lost: another took this VM for dead, and sweeps too.
            let _ = shared.swap(&key, &swept_value(clock(), self.swept.saturating_add(1)), version);
        }
        true
    }
}

#[cfg(test)]
#[path = "in_flight_test.rs"]
mod tests;
