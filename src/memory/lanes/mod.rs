//! What is known of every call that a provider has, and of every debit that the ledger has not acknowledged, in
//! host memory: so a dead VM leaves no call unrecorded, no debit unsent and no reservation behind.
//!
//! Each VM has a **lane**: a row of numbered cells that only this VM writes, so that a write costs one host call.
//! A call has one **cell** from its opening on. First the cell holds the call's in-flight record ([`record`]).
//! The call's debit overwrites the record ([`debit_cell`]). When the ledger has acknowledged the debit, the cell
//! is empty, and another call gets it. The VM sends its debits from its own memory ([`outbox`]): the cell is the
//! copy that survives the VM.
//!
//! Once a second the VM that has the lane writes that it lives (its *beat*): that is the lease of all its cells,
//! however long their streams are. Other VMs watch ([`sweep`]). If a lane's beat does not change for [`DEAD_MS`],
//! as seen by a watcher that was awake all the while, the lane is dead: one of the watchers takes it over. It
//! settles the records that it finds by estimate, takes the debits into its own cells, and frees the lane. If that
//! VM dies too, the beat stops again.
//!
//! A module that was in this Envoy before kept its debits in a ring: [`old_ring`] empties that.

pub(crate) mod debit_cell;
pub mod lane;
pub(crate) mod old_ring;
pub mod outbox;
pub(crate) mod record;
pub mod sweep;

use crate::base::bytes::Bytes;
use crate::base::clock::{Moment, Tick};
use crate::base::pax::Pax;
use crate::base::text::{DECIMAL_MAX, decimal};
use crate::memory::shared::{SharedData, numbered};

/// How many VMs can live at once: one for each worker and the main thread, and those that are being reloaded.
pub const LANES: u32 = 1_024;
/// How many cells a lane has.
pub const CELLS: u32 = 65_536;
/// How often a VM says in its lane that it lives.
pub const BEAT_MS: u64 = 1_000;
/// How long a beat does not change before its VM counts as dead.
pub const DEAD_MS: u64 = 10_000;
/// From when on a silent VM's calls count as debits that wait: they become debits when its lane is swept.
const SILENT_MS: u64 = 3_000;

fn lane_key(lane: u32) -> String {
    numbered("pax/2/lane/", u64::from(lane))
}

fn cell_key(lane: u32, cell: u32) -> String {
    let mut key = numbered("pax/2/open/", u64::from(lane));
    key.push('/');
    key.push_str(decimal(u64::from(cell), &mut [0; DECIMAL_MAX]));
    key
}

/// What a lane's cells hold, as its VM last wrote. If all is zero, all cells are empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// How many calls providers have now.
    pub calls: u64,
    /// What is set aside for them.
    pub reserved: Pax,
    /// How many debits the ledger has not acknowledged.
    pub debits: u64,
    /// How many of these the ledger does not read yet.
    pub aside: u64,
    /// When the debit that waits longest was settled; none if no debit waits.
    pub oldest: Option<Moment>,
}

impl Sums {
    /// The sums over all lanes, also over dead ones that no VM has swept yet: a dead VM's calls count as debits.
    #[must_use]
    pub fn of_all(shared: &impl SharedData, now: Tick) -> Self {
        let values = (0..LANES).map_while(|lane| shared.get(&lane_key(lane)));
        values.filter_map(|(value, _)| LaneValue::read(&value)).fold(Self::default(), |all, lane| {
            let silent = now.since_ms(lane.beat) >= SILENT_MS;
            let owed = if silent { lane.sums.calls } else { 0 };
            all.plus(Self { debits: lane.sums.debits.saturating_add(owed), ..lane.sums })
        })
    }

    fn plus(self, other: Self) -> Self {
        Self {
            calls: self.calls.saturating_add(other.calls),
            reserved: self.reserved.checked_add(other.reserved).unwrap_or(Pax::MAX),
            debits: self.debits.saturating_add(other.debits),
            aside: self.aside.saturating_add(other.aside),
            oldest: self.oldest.into_iter().chain(other.oldest).min(),
        }
    }
}

/// Writes the value of a lane, if this VM has the lane; says whether it has.
fn write_own(shared: &impl SharedData, lane: u32, vm: u64, value: &[u8]) -> bool {
    let key = lane_key(lane);
    let Some((known, version)) = shared.get(&key) else { return false };
    let ours = LaneValue::read(&known).is_some_and(|known| known.vm == vm);
    // A lost swap means that another VM took the lane this very moment.
    ours && shared.swap(&key, value, version)
}

/// The value of a lane that a VM has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct LaneValue {
    vm: u64,
    /// When the VM last said that it lives. The start of time if it has ended in good order: then no watcher
    /// waits before it sweeps what is left.
    beat: Tick,
    sums: Sums,
}

impl LaneValue {
    /// None if the lane is free or swept. A module that was in this Envoy before wrote fewer sums, and reads no
    /// more than it wrote.
    fn read(value: &[u8]) -> Option<Self> {
        let mut from = Bytes::new(value);
        let (vm, beat) = (from.u64()?, Tick::from_ms(from.u64()?));
        let (calls, reserved) = (from.u64().unwrap_or(0), from.pax().unwrap_or_default());
        let mut next = || from.u64().unwrap_or(0);
        let (debits, aside, oldest) = (next(), next(), next());
        let oldest = (oldest > 0).then(|| Moment::from_ms(oldest));
        Some(Self { vm, beat, sums: Sums { calls, reserved, debits, aside, oldest } })
    }

    fn bytes(&self) -> [u8; 56] {
        let Self { vm, beat, sums } = self;
        let oldest = sums.oldest.map_or(0, Moment::ms);
        let mut bytes = [0; 56];
        let numbers = [
            *vm,
            beat.ms(),
            sums.calls,
            sums.reserved.picopax().cast_unsigned(),
            sums.debits,
            sums.aside,
            oldest,
        ];
        let all = numbers.into_iter().flat_map(u64::to_le_bytes);
        bytes.iter_mut().zip(all).for_each(|(place, byte)| *place = byte);
        bytes
    }
}
