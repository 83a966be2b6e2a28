//! The lanes of other VMs: whether they live, and what the dead ones have left.

use crate::base::clock::Tick;
use crate::memory::lanes::{BEAT_MS, CELLS, DEAD_MS, LANES, LaneValue, Sums, cell_key, lane_key, write_own};
use crate::memory::shared::{SharedData, Version};

/// How often a dead VM's lane is swept, [`DEAD_MS`] apart: the last sweep finds what a thread that was stopped in the
/// middle of a write has written late.
const SWEEPS: u8 = 2;
/// How long one pass of a sweep takes at most: the sweeping thread has calls to serve, and has to say that
/// its own VM lives.
pub const PASS_MS: u64 = 20;
/// A watcher that has not looked for so long was not awake: what it saw before proves nothing.
const ASLEEP_MS: u64 = 3_000;

/// When and how often a dead VM's lane was swept, from the lane's value.
fn read_swept(value: &[u8]) -> Option<(Tick, u8)> {
    let (at, times) = value.split_first_chunk::<8>()?;
    let [times] = times else { return None };
    Some((Tick::from_ms(u64::from_le_bytes(*at)), *times))
}

fn swept_value(at: Tick, times: u8) -> Vec<u8> {
    at.ms().to_le_bytes().into_iter().chain([times]).collect()
}

/// Whether a lane is free, and has been for so long.
pub(super) fn is_free(value: &[u8], now: Tick, for_ms: u64) -> bool {
    let swept = read_swept(value);
    value.is_empty() || swept.is_some_and(|(at, times)| times >= SWEEPS && now.since_ms(at) >= for_ms)
}

/// What a watcher has seen of a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    number: u32,
    vm: u64,
    beat: Tick,
    /// Since when the beat has not changed.
    since: Tick,
}

/// Watches the lanes of others.
#[derive(Debug, Default)]
pub struct Watch {
    seen: Vec<Seen>,
    looked: Tick,
}

/// A dead VM's lane, taken over.
#[derive(Debug)]
pub struct Dead {
    number: u32,
    /// The VM that has taken it over.
    vm: u64,
    /// What the dead VM said last of its cells.
    sums: Sums,
    /// How often it was swept since its owner died.
    swept: u8,
    /// The next cell to look at.
    next: u32,
    /// Whether all cells before `next` are done with.
    all: bool,
    /// When the sweeping VM last said that it lives.
    beaten: Tick,
}

impl Watch {
    /// Looks at all lanes; takes over one that is dead, for the VM `vm`. To be called once a [`BEAT_MS`] at least.
    pub fn look(&mut self, shared: &impl SharedData, vm: u64, now: Tick) -> Option<Dead> {
        // A process that was stopped for a while must not take all others for dead.
        if now.since_ms(self.looked) > ASLEEP_MS {
            self.seen.clear();
        }
        self.looked = now;
        let mut seen = Vec::with_capacity(self.seen.len());
        let (mut dead, mut again) = (None, None);
        for number in 0..LANES {
            let Some((value, version)) = shared.get(&lane_key(number)) else { break };
            if let Some((at, swept)) = read_swept(&value) {
                let due = swept < SWEEPS && now.since_ms(at) >= DEAD_MS;
                let lane = Dead::of(number, vm, (Sums::default(), swept), now);
                again = again.or_else(|| due.then_some((lane, version)));
                continue;
            }
            let Some(lane) = LaneValue::read(&value) else { continue };
            let new = Seen { number, vm: lane.vm, beat: lane.beat, since: now };
            let before = self.seen.iter().find(|old| Seen { since: now, ..**old } == new);
            let it = before.copied().unwrap_or(new);
            let ended = lane.beat == Tick::from_ms(0);
            if (ended || now.since_ms(it.since) >= DEAD_MS) && dead.is_none() {
                dead = Dead::of(number, vm, (lane.sums, 0), now).take(shared, version);
                if dead.is_some() {
                    continue;
                }
            }
            seen.push(it);
        }
        self.seen = seen;
        // A first sweep comes before a second one: its calls are not charged yet.
        dead.or_else(|| again.and_then(|(lane, version)| lane.take(shared, version)))
    }
}

impl Dead {
    const fn of(number: u32, vm: u64, (sums, swept): (Sums, u8), now: Tick) -> Self {
        Self { number, vm, sums, swept, next: 0, all: true, beaten: now }
    }

    /// Takes the lane over, if its value is still of this version.
    fn take(self, shared: &impl SharedData, version: Version) -> Option<Self> {
        shared.swap(&lane_key(self.number), &self.value(self.beaten), version).then_some(self)
    }

    fn value(&self, beat: Tick) -> [u8; 56] {
        LaneValue { vm: self.vm, beat, sums: self.sums }.bytes()
    }

    /// Whether the lane was swept before, with all of its cells settled.
    #[must_use]
    pub const fn is_again(&self) -> bool {
        self.swept > 0
    }

    /// One pass: hands what the lane's cells hold to `settle`, and empties each that `settle` is done with. Stops
    /// after [`PASS_MS`], to go on in the next pass; says whether it has come to the end. At the end it marks
    /// the lane as swept if every cell is empty; the last of the sweeps frees it.
    pub fn sweep(
        &mut self,
        shared: &impl SharedData,
        clock: impl Fn() -> Tick,
        mut settle: impl FnMut(Vec<u8>) -> bool,
    ) -> bool {
        let began = clock();
        loop {
            let now = clock();
            if now.since_ms(self.beaten) >= BEAT_MS {
                if !self.beat(shared, now) {
                    // Another VM took this one for dead, and sweeps the rest.
                    return true;
                }
                self.beaten = now;
            }
            if now.since_ms(began) >= PASS_MS {
                return false;
            }
            let key = cell_key(self.number, self.next);
            let held = if self.next < CELLS { shared.get(&key) } else { None };
            let Some((held, version)) = held else { break };
            self.next = self.next.saturating_add(1);
            if held.is_empty() {
                continue;
            }
            // If the swap is lost, the VM lives after all, and has put the call's debit there: the next sweep finds it.
            self.all &= settle(held) && shared.swap(&key, &[], version);
        }
        if self.all {
            // If another VM took this one for dead, that one marks the lane.
            let swept = swept_value(clock(), self.swept.saturating_add(1));
            let _ = write_own(shared, self.number, self.vm, &swept);
        }
        true
    }

    /// Says in the dead VM's lane that the sweeping VM lives; false if another VM has that lane by now.
    fn beat(&self, shared: &impl SharedData, now: Tick) -> bool {
        write_own(shared, self.number, self.vm, &self.value(now))
    }
}

#[cfg(test)]
#[path = "sweep_test.rs"]
mod tests;
