//! The bytes of an account's place in a bucket of shared data. What is done with a place is in
//! [`crate::memory::cap`].
//!
//! Only the place that is asked for is read. The bucket's other places are copied as bytes.
//!
//! | bytes | what |
//! | --- | --- |
//! | 4 | length of the rest of the place |
//! | 8 | the tick when it was last used, in ms |
//! | 1 + n | the account's name |
//! | per day: 4, 8, 8, 8, 2, 2 | days since 1970 and a mark, spent (picopax), `account_seq`, epoch, how many open and pending items |
//! | per item: 8, 8 | tag, amount (picopax) |

use crate::base::bytes::Bytes;
use crate::base::clock::{Tick, UtcDay};
use crate::base::exchange_id::Tag;
use crate::base::pax::Pax;
use crate::base::wire::Standing;

/// How many places of accounts without open or unacknowledged exchanges a bucket keeps.
pub const IDLE_PLACES: usize = 8;
/// How many days a place knows: yesterday's calls may still be under way.
const DAYS: usize = 2;
/// Marks a day that has its epoch in the bytes. Older modules wrote days without an epoch, and the module
/// that replaces one in the same Envoy must read them. The bit is free: the days since 1970 need no more than
/// half of the bits.
const HAS_EPOCH: u32 = 1 << 31;

/// An account's day, as far as this Envoy knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Daily {
    /// What was spent: what the ledger says, and what it has not acknowledged yet.
    pub spent: Pax,
    /// What is reserved by calls in flight.
    pub reserved: Pax,
}

/// A reservation, or a cost that the ledger has not acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) tag: Tag,
    pub(crate) amount: Pax,
}

/// A UTC day of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Day {
    pub(crate) day: UtcDay,
    pub(crate) spent: Pax,
    pub(crate) account_seq: u64,
    pub(crate) epoch: u64,
    pub(crate) open: Vec<Item>,
    pub(crate) pending: Vec<Item>,
}

impl Day {
    pub(crate) fn items(&self) -> usize {
        self.open.len().saturating_add(self.pending.len())
    }

    pub(crate) fn has(&self, tag: Tag) -> bool {
        self.open.iter().chain(&self.pending).any(|item| item.tag == tag)
    }

    /// Takes an item off a list; says whether it was there.
    pub(crate) fn take(items: &mut Vec<Item>, tag: Tag) -> bool {
        let found = items.iter().position(|item| item.tag == tag);
        found.map(|at| items.swap_remove(at)).is_some()
    }

    /// Takes in a standing of this day, if it is a later one; says whether it was. A ledger that was restored
    /// from a backup goes on from lower numbers, in a higher epoch. What it said before the restore comes too
    /// late, whatever its number.
    pub(crate) fn learn(&mut self, standing: &Standing) -> bool {
        let later = (standing.epoch, standing.account_seq) > (self.epoch, self.account_seq);
        if later {
            self.spent = standing.spent_pax;
            self.account_seq = standing.account_seq;
            self.epoch = standing.epoch;
        }
        later
    }

    pub(crate) fn daily(&self) -> Daily {
        // A sum beyond the range of an amount is beyond every cap.
        let sum = |items: &[Item], from: Pax| {
            items.iter().try_fold(from, |sum, item| sum.checked_add(item.amount)).unwrap_or(Pax::MAX)
        };
        Daily { spent: sum(&self.pending, self.spent), reserved: sum(&self.open, Pax::ZERO) }
    }
}

/// An account's place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) account: String,
    pub(crate) used: Tick,
    days: Vec<Day>,
}

impl Place {
    pub(crate) fn new(account: &str) -> Self {
        Self { account: account.to_owned(), used: Tick::default(), days: Vec::new() }
    }

    pub(crate) fn day(&self, day: UtcDay) -> Option<&Day> {
        self.days.iter().find(|known| known.day == day)
    }

    pub(crate) fn day_mut(&mut self, day: UtcDay) -> Option<&mut Day> {
        self.days.iter_mut().find(|known| known.day == day)
    }

    /// Makes room for a day, in place of the earliest one without open or pending items. False if every day
    /// has some: then the clock is wrong, or the ledger is away, and the new day has to wait.
    pub(crate) fn make_room_for(&mut self, day: UtcDay) -> bool {
        if self.days.len() >= DAYS {
            let idle = self.days.iter().enumerate().filter(|(_, known)| known.items() == 0);
            let Some((earliest, _)) = idle.min_by_key(|(_, known)| known.day) else { return false };
            self.days.remove(earliest);
        }
        let (open, pending) = (Vec::new(), Vec::new());
        self.days.push(Day { day, spent: Pax::ZERO, account_seq: 0, epoch: 0, open, pending });
        true
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let mut from = Bytes::new(bytes);
        let used = Tick::from_ms(from.u64()?);
        let length = usize::from(from.u8()?);
        let account = str::from_utf8(from.take(length)?).ok()?.to_owned();
        let mut days = Vec::with_capacity(DAYS);
        while !from.is_empty() {
            let (day, spent, account_seq) = (from.u32()?, from.pax()?, from.u64()?);
            let epoch = if day & HAS_EPOCH == 0 { 0 } else { from.u64()? };
            let day = UtcDay::from_days(day & !HAS_EPOCH);
            let (open, pending) = (from.u16()?, from.u16()?);
            let open = items(&mut from, open)?;
            days.push(Day { day, spent, account_seq, epoch, open, pending: items(&mut from, pending)? });
        }
        Some(Self { account, used, days })
    }

    fn write(&self, into: &mut Vec<u8>) {
        let start = into.len();
        into.extend_from_slice(&[0; 4]);
        into.extend_from_slice(&self.used.ms().to_le_bytes());
        let name = self.account.as_bytes();
        // The ledger takes no name that is longer.
        into.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
        into.extend_from_slice(name.get(..usize::from(u8::MAX)).unwrap_or(name));
        for day in &self.days {
            into.extend_from_slice(&(day.day.days() | HAS_EPOCH).to_le_bytes());
            into.extend_from_slice(&day.spent.picopax().to_le_bytes());
            into.extend_from_slice(&day.account_seq.to_le_bytes());
            into.extend_from_slice(&day.epoch.to_le_bytes());
            for items in [&day.open, &day.pending] {
                into.extend_from_slice(&u16::try_from(items.len()).unwrap_or(u16::MAX).to_le_bytes());
            }
            for item in day.open.iter().chain(&day.pending) {
                into.extend_from_slice(&item.tag.0.to_le_bytes());
                into.extend_from_slice(&item.amount.picopax().to_le_bytes());
            }
        }
        let length = u32::try_from(into.len().saturating_sub(start).saturating_sub(4)).unwrap_or(0);
        if let Some(place) = into.get_mut(start..start.saturating_add(4)) {
            place.copy_from_slice(&length.to_le_bytes());
        }
    }

    /// Whether a place has open or pending items, and when it was last used, from its bytes.
    fn glance(bytes: &[u8]) -> (bool, u64) {
        let Some(place) = Self::read(bytes) else { return (false, 0) };
        (place.days.iter().any(|day| day.items() > 0), place.used.ms())
    }
}

/// A bucket's bytes, around the place of one account.
pub(crate) struct Bucket<'a> {
    /// The places of others, each with its length before it.
    others: Vec<&'a [u8]>,
    place: Option<&'a [u8]>,
}

impl<'a> Bucket<'a> {
    pub(crate) fn of(value: &'a [u8], account: &str) -> Self {
        let mut bucket = Self { others: Vec::new(), place: None };
        let mut rest = value;
        while let Some((length, after)) = rest.split_first_chunk::<4>() {
            let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
            let Some((place, next)) = after.split_at_checked(length) else { break };
            let whole = rest.get(..length.saturating_add(4)).unwrap_or(rest);
            rest = next;
            let named = place.get(8..).and_then(|bytes| bytes.split_first());
            let named = named.and_then(|(length, bytes)| bytes.get(..usize::from(*length)));
            if named == Some(account.as_bytes()) {
                bucket.place = Some(place);
            } else {
                bucket.others.push(whole);
            }
        }
        bucket
    }

    pub(crate) fn place(&self) -> Option<Place> {
        self.place.and_then(Place::read)
    }

    /// The bucket's bytes with this place of the account. If that makes one place too many, idle places of
    /// other accounts make room.
    pub(crate) fn with(&self, place: &Place) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.others.iter().map(|other| other.len()).sum::<usize>());
        place.write(&mut bytes);
        let mut others = self.others.clone();
        // Only a new place can be one too many.
        while self.place.is_none() && others.len() >= IDLE_PLACES {
            let glances = others.iter().enumerate().map(|(at, other)| {
                let (busy, used) = Place::glance(other.get(4..).unwrap_or(&[]));
                (at, busy, used)
            });
            let Some((at, ..)) = glances.filter(|(_, busy, _)| !busy).min_by_key(|(.., used)| *used) else {
                break;
            };
            others.remove(at);
        }
        others.iter().for_each(|other| bytes.extend_from_slice(other));
        bytes
    }
}

fn items(from: &mut Bytes<'_>, count: u16) -> Option<Vec<Item>> {
    // With room for one more: a settlement moves an item from one list to the other.
    let mut items = Vec::with_capacity(usize::from(count).saturating_add(1));
    for _ in 0..count {
        items.push(Item { tag: Tag(from.u64()?), amount: from.pax()? });
    }
    Some(items)
}
