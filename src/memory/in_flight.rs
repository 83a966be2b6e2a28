//! In-flight records: what is known of every call that a provider has, in host memory, so that a dead VM leaves
//! no call unrecorded and no reservation behind.
//!
//! Each VM has a **lane**: a row of keys that only this VM writes, so that a record costs one host call. Once
//! a second the VM that has the lane writes that it lives (its *beat*): that is the lease of all its records,
//! however long their streams are. Other VMs watch. If a lane's beat does not change for [`DEAD_MS`], as seen
//! by a watcher that was awake all the while, the lane is dead: one of the watchers takes it over, settles
//! the records that it finds, and frees the lane. If that VM dies too, the beat stops again.

use std::cell::Cell;

use crate::base::clock::Tick;
use crate::base::pax::Pax;
use crate::base::text::{DECIMAL_MAX, decimal};
use crate::memory::shared::{SharedData, Version, numbered};

/// How many VMs can live at once: one for each worker and the main thread, and those that are being reloaded.
pub const LANES: u32 = 1_024;
/// How many records a lane has room for.
pub const RECORDS: u32 = 65_536;
/// How often a VM says in its lane that it lives.
pub const BEAT_MS: u64 = 1_000;
/// How long a beat does not change before its VM counts as dead.
pub const DEAD_MS: u64 = 10_000;
/// How long a dead VM's lane is left alone if another one is free. A thread that was stopped in the middle of
/// a write ends that write when it wakes, and would overwrite a record of the VM that has the lane by then.
const FALLOW_MS: u64 = 600_000;
/// How often a dead VM's lane is swept, [`DEAD_MS`] apart: the last sweep finds what such a thread has
/// written late.
const SWEEPS: u8 = 2;
/// How long one pass of a sweep takes at most: the sweeping thread has calls to serve, and has to say that
/// its own VM lives.
const PASS_MS: u64 = 20;
/// A watcher that has not looked for so long was not awake: what it saw before proves nothing.
const ASLEEP_MS: u64 = 3_000;

/// A record's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordCell {
    lane: u32,
    number: u32,
    /// The VM that had the lane then. A VM that lost its lane may later get the same lane again, and by then
    /// other calls' records are in it.
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

/// Sums over the calls that providers have now, for the metrics. They are as old as the last beats of the
/// lanes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Open {
    /// How many they are.
    pub calls: u64,
    /// What is set aside for them.
    pub reserved: Pax,
}

impl Open {
    /// The sums over all lanes, also over dead ones that no VM has swept yet.
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

/// The VM of a lane and its last beat, from the lane's value. The sums of its calls come after them.
fn read_lane(value: &[u8]) -> Option<(u64, u64)> {
    let (vm, beat) = value.split_first_chunk::<8>()?;
    Some((u64::from_le_bytes(*vm), u64::from_le_bytes(*beat.first_chunk::<8>()?)))
}

/// When and how often a dead VM's lane was swept, from the lane's value.
fn read_swept(value: &[u8]) -> Option<(Tick, u8)> {
    let (at, times) = value.split_first_chunk::<8>()?;
    let [times] = times else { return None };
    Some((Tick::from_ms(u64::from_le_bytes(*at)), *times))
}

fn swept_value(at: Tick, times: u8) -> Vec<u8> {
    at.ms().to_le_bytes().into_iter().chain([times]).collect()
}

/// The sums of a lane's calls, from its value. None if an older module wrote the value, or if the lane was
/// swept.
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

/// Says in a VM's lane that it lives; false if another VM has that lane by now.
fn beat(shared: &impl SharedData, lane: u32, vm: u64, now: Tick, open: Open) -> bool {
    let key = lane_key(lane);
    let Some((value, version)) = shared.get(&key) else { return false };
    let ours = read_lane(&value).is_some_and(|(owner, _)| owner == vm);
    // A lost swap means that another VM took the lane this very moment.
    ours && shared.swap(&key, &lane_value(vm, now, open), version)
}

impl Lane {
    /// Takes the lowest lane that is free, for a VM with a random id: a new id each time that it takes a
    /// lane. None if all lanes are taken.
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

    /// Says that this VM lives. False if it was taken for dead and another VM has its lane: then it needs a
    /// new lane, and the calls that were open in the lost one are settled by that VM.
    #[must_use]
    pub fn beat(&self, shared: &impl SharedData, now: Tick) -> bool {
        let open = Open { calls: u64::try_from(self.open()).unwrap_or(u64::MAX), reserved: self.reserved };
        let still = beat(shared, self.number, self.vm, now, open);
        if still {
            self.beaten.set(now);
        }
        still
    }

    /// Keeps a record. None if the lane is full, or if another VM has it by now.
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

    /// Notes how much is set aside for the call of a record that was just put in.
    pub fn reserves(&mut self, cell: &mut RecordCell, amount: Pax) {
        cell.reserved = amount;
        self.reserved = self.reserved.checked_add(amount).unwrap_or(Pax::MAX);
    }

    /// Notes that what was set aside for a call is spent, or given back.
    fn gives_back(&mut self, cell: RecordCell) {
        self.reserved = self.reserved.checked_sub(cell.reserved).unwrap_or_default();
    }

    /// Takes a record out; says whether it was in this lane. For a record in a lane that this VM has lost,
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

    /// Puts a debit that found no room in the outbox in the place of its call's record. False if another VM
    /// has the lane by now: then that VM charges the call.
    pub fn keep(&mut self, shared: &impl SharedData, cell: RecordCell, debit: &[u8]) -> bool {
        let ours = cell.lane == self.number && cell.vm == self.vm;
        let kept = ours && shared.set(&record_key(self.number, cell.number), debit);
        if kept {
            self.gives_back(cell);
            self.kept.push(RecordCell { reserved: Pax::ZERO, ..cell });
        }
        kept
    }

    /// Hands kept debits to `settle`, and takes out each that went into the outbox. Stops at the first that
    /// cannot go in yet. Gives how many are left.
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

/// Takes a record out of a lane that this VM has lost, if it is still there: this VM may have written it
/// after the sweeping VM had passed that place.
pub fn clear_lost(shared: &impl SharedData, cell: RecordCell, record: &[u8]) {
    let key = record_key(cell.lane, cell.number);
    if let Some((_, version)) = shared.get(&key).filter(|(value, _)| value == record) {
        // If the swap is lost, another VM has written there.
        let _ = shared.swap(&key, &[], version);
    }
}

/// Watches the lanes of others.
#[derive(Debug, Default)]
pub struct Watch {
    /// Of each lane: its number, its VM, its beat, and since when the beat has not changed.
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
    /// Whether all records before `next` are done with.
    all: bool,
    /// When the sweeping VM last said that it lives.
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
        // A process that was stopped for a while must not take all others for dead.
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
        // A first sweep comes before a second one: its calls are not charged yet.
        dead.or_else(|| again.and_then(|(number, version, swept)| take(number, version, swept)))
    }
}

impl Dead {
    /// Whether the lane was swept before, with all of its records settled.
    #[must_use]
    pub const fn is_again(&self) -> bool {
        self.swept > 0
    }

    /// One pass: hands the lane's records to `settle`, and takes out each that `settle` is done with. Stops
    /// after [`PASS_MS`], to go on in the next pass; says whether it has come to the end. At the end it marks
    /// the lane as swept if no record is left; the last of the sweeps frees it.
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
                    // Another VM took this one for dead, and sweeps the rest.
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
            // If the swap is lost, another VM took this one for dead, and sweeps too.
            let _ = shared.swap(&key, &swept_value(clock(), self.swept.saturating_add(1)), version);
        }
        true
    }
}

#[cfg(test)]
#[path = "in_flight_test.rs"]
mod tests;
