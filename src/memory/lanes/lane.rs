//! This VM's lane: the cells of its calls and of its debits.

use crate::base::clock::Tick;
use crate::base::pax::Pax;
use crate::memory::lanes::sweep::is_free;
use crate::memory::lanes::{CELLS, DEAD_MS, LANES, LaneValue, Sums, cell_key, lane_key, write_own};
use crate::memory::shared::{SharedData, Version};

/// How long a dead VM's lane is left alone if another one is free. A thread that was stopped in the middle of
/// a write ends that write when it wakes, and would overwrite a cell of the VM that has the lane by then.
const FALLOW_MS: u64 = 600_000;

/// Which cell it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    lane: u32,
    number: u32,
    /// The VM that had the lane when the cell was written. A VM that lost its lane may later get the same lane again,
    /// and by then other calls are in its cells.
    vm: u64,
}

/// A cell with a call's record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordCell {
    place: Place,
    /// What is set aside for the call.
    reserved: Pax,
}

/// A cell with a debit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DebitCell(Place);

/// This VM's lane.
#[derive(Debug)]
pub struct Lane {
    pub(super) number: u32,
    pub(super) vm: u64,
    /// When this VM last wrote that it lives, and which sums with it.
    beaten: Tick,
    told: Sums,
    /// Cells that were used and are empty again.
    free: Vec<u32>,
    /// The first cell that was never used.
    next: u32,
    /// How many cells hold records.
    calls: u64,
    /// What is set aside for these calls.
    reserved: Pax,
}

impl Lane {
    /// Takes the lowest lane that is free, for a VM with a random id: a new id each time that it takes a
    /// lane. None if all lanes are taken.
    pub fn take(shared: &impl SharedData, vm: u64, now: Tick) -> Option<Self> {
        let take = |number, free_for_ms| {
            let key = lane_key(number);
            let (value, version) = shared.get(&key).unwrap_or((Vec::new(), Version::ABSENT));
            let lane = Self {
                number,
                vm,
                beaten: now,
                told: Sums::default(),
                free: Vec::new(),
                next: 0,
                calls: 0,
                reserved: Pax::ZERO,
            };
            let taken = is_free(&value, now, free_for_ms) && shared.swap(&key, &lane.value(now), version);
            taken.then_some(lane)
        };
        let rested = (0..LANES).find_map(|number| take(number, FALLOW_MS));
        rested.or_else(|| (0..LANES).find_map(|number| take(number, 0)))
    }

    fn value(&self, beat: Tick) -> [u8; 56] {
        LaneValue { vm: self.vm, beat, sums: self.told }.bytes()
    }

    /// Says that this VM lives, and what its cells hold: `debits` are the sums of its debits. False if it was taken
    /// for dead and another VM has its lane: then it needs a new lane, and the calls that were open in the lost one
    /// are settled by that VM.
    #[must_use]
    pub fn beat(&mut self, shared: &impl SharedData, debits: Sums, now: Tick) -> bool {
        self.told = self.sums(debits);
        self.write(shared, now)
    }

    /// As [`Lane::beat`], if the lane's value says something else about the cells than is true now.
    #[must_use]
    pub fn tell(&mut self, shared: &impl SharedData, debits: Sums, now: Tick) -> bool {
        self.told == self.sums(debits) || self.beat(shared, debits, now)
    }

    /// Says that this VM has ended in good order: what is left in the cells need not wait until it counts as dead.
    pub fn retire(mut self, shared: &impl SharedData, debits: Sums) {
        self.told = self.sums(debits);
        // If the swap is lost, the VM was taken for dead.
        let _ = self.write(shared, Tick::from_ms(0));
    }

    fn sums(&self, debits: Sums) -> Sums {
        Sums { calls: self.calls, reserved: self.reserved, ..debits }
    }

    fn write(&mut self, shared: &impl SharedData, beat: Tick) -> bool {
        let still = write_own(shared, self.number, self.vm, &self.value(beat));
        if still {
            self.beaten = beat;
        }
        still
    }

    /// Whether this VM has its lane for certain. A thread that was stopped may have lost it, and would write over the
    /// cells of others.
    pub fn is_held(&mut self, shared: &impl SharedData, now: Tick) -> bool {
        now.since_ms(self.beaten) < DEAD_MS / 2 || self.write(shared, now)
    }

    /// Keeps a call's record in an empty cell. None if no cell is empty, or if another VM has the lane by now.
    pub fn put_record(&mut self, shared: &impl SharedData, record: &[u8], now: Tick) -> Option<RecordCell> {
        let place = self.put(shared, record, Sums { calls: 1, ..Sums::default() }, now)?;
        self.calls = self.calls.saturating_add(1);
        Some(RecordCell { place, reserved: Pax::ZERO })
    }

    /// Keeps a debit in an empty cell. None if no cell is empty, or if another VM has the lane by now.
    pub fn put_debit(&mut self, shared: &impl SharedData, debit: &[u8], now: Tick) -> Option<DebitCell> {
        self.put(shared, debit, Sums { debits: 1, ..Sums::default() }, now).map(DebitCell)
    }

    /// `first` is what the lane says from now on if it said that all its cells are empty: that is true of a lane which
    /// says so, also if its VM dies in a moment.
    fn put(&mut self, shared: &impl SharedData, bytes: &[u8], first: Sums, now: Tick) -> Option<Place> {
        let says_empty = self.told == Sums::default();
        if says_empty {
            self.told = first;
        }
        let ours = if says_empty { self.write(shared, now) } else { self.is_held(shared, now) };
        if !ours {
            return None;
        }
        let number = match self.free.pop() {
            Some(number) => number,
            None if self.next < CELLS => {
                let number = self.next;
                self.next = number.saturating_add(1);
                number
            }
            None => return None,
        };
        if !shared.set(&cell_key(self.number, number), bytes) {
            self.free.push(number);
            return None;
        }
        Some(Place { lane: self.number, number, vm: self.vm })
    }

    /// Notes how much is set aside for the call of a record that was just put in.
    pub fn reserves(&mut self, cell: &mut RecordCell, amount: Pax) {
        cell.reserved = amount;
        self.reserved = self.reserved.checked_add(amount).unwrap_or(Pax::MAX);
    }

    /// Overwrites a call's record with another form of it. False if another VM has the record's lane by now.
    #[must_use]
    pub fn rewrite(&mut self, shared: &impl SharedData, cell: &RecordCell, record: &[u8], now: Tick) -> bool {
        let ours = self.has(cell.place) && self.is_held(shared, now);
        ours && shared.set(&cell_key(self.number, cell.place.number), record)
    }

    /// Overwrites a call's record with its debit. None if another VM has the record's lane by now.
    pub fn settle(
        &mut self,
        shared: &impl SharedData,
        cell: RecordCell,
        debit: &[u8],
        now: Tick,
    ) -> Option<DebitCell> {
        let ours = self.has(cell.place) && self.is_held(shared, now);
        let written = ours && shared.set(&cell_key(self.number, cell.place.number), debit);
        written.then(|| {
            self.record_is_gone(cell);
            DebitCell(cell.place)
        })
    }

    /// Takes a record out; says whether it was in this lane. For a record in a lane that this VM has lost,
    /// see [`clear_lost`].
    pub fn clear_record(&mut self, shared: &impl SharedData, cell: RecordCell) -> bool {
        let ours = self.clear(shared, cell.place);
        if ours {
            self.record_is_gone(cell);
        }
        ours
    }

    /// Takes a debit out that the ledger has acknowledged; says whether it was in this lane.
    pub fn clear_debit(&mut self, shared: &impl SharedData, cell: DebitCell) -> bool {
        self.clear(shared, cell.0)
    }

    fn has(&self, place: Place) -> bool {
        place.lane == self.number && place.vm == self.vm
    }

    fn clear(&mut self, shared: &impl SharedData, place: Place) -> bool {
        let ours = self.has(place);
        if ours {
            shared.set(&cell_key(self.number, place.number), &[]);
            self.free.push(place.number);
        }
        ours
    }

    fn record_is_gone(&mut self, cell: RecordCell) {
        self.calls = self.calls.saturating_sub(1);
        self.reserved = self.reserved.checked_sub(cell.reserved).unwrap_or_default();
    }

    /// How many cells are not empty.
    #[must_use]
    pub fn used(&self) -> usize {
        usize::try_from(self.next).unwrap_or(usize::MAX).saturating_sub(self.free.len())
    }
}

/// Overwrites a call's record with its debit in a lane that this VM has lost, if the record is still there: then the
/// sweeping VM finds the debit, and need not estimate. None if another VM has emptied the cell.
pub fn settle_lost(
    shared: &impl SharedData,
    cell: RecordCell,
    record: &[u8],
    debit: &[u8],
) -> Option<DebitCell> {
    let key = cell_key(cell.place.lane, cell.place.number);
    let (_, version) = shared.get(&key).filter(|(held, _)| held == record)?;
    shared.swap(&key, debit, version).then_some(DebitCell(cell.place))
}

impl From<RecordCell> for DebitCell {
    fn from(cell: RecordCell) -> Self {
        Self(cell.place)
    }
}

/// Empties a cell of a lane that this VM has lost, if these bytes are still in it: this VM may have written them after
/// the sweeping VM had passed that cell.
pub fn clear_lost(shared: &impl SharedData, cell: impl Into<DebitCell>, bytes: &[u8]) {
    let place = cell.into().0;
    let key = cell_key(place.lane, place.number);
    if let Some((_, version)) = shared.get(&key).filter(|(value, _)| value == bytes) {
        // If the swap is lost, another VM has written there.
        let _ = shared.swap(&key, &[], version);
    }
}

#[cfg(test)]
#[path = "lane_test.rs"]
mod tests;
