//! What a VM's reads and writes of shared data tell of its calls: how far each has come, and what each write must fit.

use pax_gateway::base::clock::UtcDay;
use pax_gateway::base::exchange_id::ExchangeId;
use pax_gateway::base::pax::Pax;
use pax_gateway::base::wire::Void;
use pax_gateway::memory::lanes::DEAD_MS;

use crate::ledger::read_void;
use crate::memory::{
    self, CAPS, CELLS, DayThere, LANES, cost_of, exchange_of, read_bucket, read_debit, read_record, recorded,
};
use crate::outside::Shared;
use crate::truth::{Admitted, Call, Stage};

/// Once all has been well for so long, no debit waits for long.
const SETTLED_MS: u64 = 20_000;
/// How long it waits then at most.
pub(crate) const WAIT_MS: u64 = 5_000;

/// A watcher takes the time at the start of its callback, and a beat may come in the middle of it: so much earlier than
/// [`DEAD_MS`] after the beat it may take the lane.
const LOOK_MS: u64 = 100;

/// A reservation that was just made. The cap that it was held to is known once its callback has returned.
#[derive(Debug)]
pub(crate) struct Admission {
    pub(crate) id: ExchangeId,
    pub(crate) account: String,
    pub(crate) day: UtcDay,
    pub(crate) version: u64,
    pub(crate) spent: Pax,
    /// What this Envoy's own calls add to that.
    pub(crate) own: Pax,
    pub(crate) number: u64,
}

/// The VM that a lane's value says it belongs to.
fn owner(lane: &[u8]) -> Option<u64> {
    lane.first_chunk().filter(|_| lane.len() >= 16).map(|id| u64::from_le_bytes(*id))
}

impl Shared<'_> {
    /// What stands under a key that is watched; none for another key.
    pub(crate) fn watched(&self, key: &str) -> Option<Vec<u8>> {
        let is_watched = [CAPS, CELLS, LANES];
        let found = is_watched.iter().any(|prefix| key.starts_with(prefix));
        found.then(|| self.memory().read(key).unwrap_or_default())
    }

    /// A watched value was written.
    pub(crate) fn wrote(&self, key: &str, before: &[u8], after: &[u8]) {
        let envoy = &self.world.envoys[self.site.envoy];
        if key.starts_with(LANES) {
            return self.lane_changed(key, before, after);
        }
        envoy.changed.set(true);
        if key.starts_with(CAPS) {
            self.days_changed(&read_bucket(before), &read_bucket(after));
        } else {
            self.debit_goes(key, before);
            match (read_debit(after), after.is_empty()) {
                (Some(canonical), _) => self.debit_comes(key, canonical),
                (None, true) => self.record_goes(before),
                (None, false) => self.record_comes(after),
            }
        }
    }

    /// A VM reads a record that is another's if it sweeps that one's lane.
    pub(crate) fn looked_at(&self, cell: &[u8]) {
        self.seen.looked_at.set(recorded(cell));
        let Some(id) = recorded(cell) else { return };
        if let Some(call) = self.world.truth.borrow_mut().call(&id).filter(|call| call.vm != self.vm) {
            // Its VM lives: the one case in which a call can be charged by an estimate and by its answer.
            call.doubted |= self.world.lives(call.vm) && !call.orphaned;
        }
    }

    /// A lane is taken from a VM only if that has not said for long that it lives.
    fn lane_changed(&self, key: &str, before: &[u8], after: &[u8]) {
        let (world, now) = (self.world, self.world.time.get());
        let mut lanes = world.envoys[self.site.envoy].lanes.borrow_mut();
        let Some(taker) = owner(after) else {
            lanes.remove(key);
            return;
        };
        // A thread that stood still just before it wrote says late what it had said already: no watcher hears a new beat.
        if lanes.contains_key(key) && before.get(..16) == after.get(..16) {
            return;
        }
        let known = lanes.insert(key.to_owned(), (taker, now));
        if let Some((_, beat)) = known.filter(|(known, _)| owner(before) == Some(*known) && *known != taker) {
            world.tally.borrow_mut().taken += 1;
            if now - beat + LOOK_MS < DEAD_MS {
                let ago = now - beat;
                world.fail(&format!("{}: {key} is taken from a VM that beat {ago} ms ago", self.site));
            }
        }
    }

    fn record_comes(&self, after: &[u8]) {
        let world = self.world;
        let mut truth = world.truth.borrow_mut();
        let Some(record) = read_record(after) else { return world.fail("a record cannot be read") };
        let id = record.id;
        truth.tags.insert(id.tag().0, id);
        truth.latest = Some(id);
        let life = world.envoys[self.site.envoy].life.get();
        let goes_on = record.goes_on && record.hold.is_some();
        // A call that was refused may ask anew.
        let call = truth.calls.entry(id).or_insert_with(|| Call::of(record, life, self.vm));
        call.stage = if goes_on { Stage::Held } else { Stage::Recorded };
        if goes_on && !call.doubted && !world.ledger.borrow().holds.was_made(&id) {
            world.fail(&format!(
                "the record of {id} says that it goes on, but the ledger has made no hold for it"
            ));
        }
    }

    fn record_goes(&self, before: &[u8]) {
        let world = self.world;
        let mut truth = world.truth.borrow_mut();
        let Some(call) = recorded(before).and_then(|id| truth.call(&id)) else { return };
        call.stage = match call.stage {
            Stage::Charged => Stage::Charged,
            Stage::Reserved | Stage::Held if !call.doubted => {
                return world
                    .fail(&format!("a record was taken out before its debit was in a cell: {call:?}"));
            }
            Stage::Reserved | Stage::Held | Stage::Recorded | Stage::LetGo => Stage::LetGo,
        };
    }

    fn days_changed(&self, before: &[DayThere], after: &[DayThere]) {
        let open = |days: &[DayThere]| -> Vec<u64> {
            days.iter().flat_map(|day| &day.open).map(|(tag, _)| *tag).collect()
        };
        let (was_open, is_open) = (open(before), open(after));
        let is_pending = |tag: u64| after.iter().any(|day| day.pending.iter().any(|(it, _)| *it == tag));
        let mut truth = self.world.truth.borrow_mut();
        for tag in was_open.iter().filter(|tag| !is_open.contains(tag) && !is_pending(**tag)) {
            let id = truth.tags.get(tag).copied();
            if let Some(call) = id.and_then(|id| truth.call(&id)).filter(|it| it.stage == Stage::Reserved) {
                call.stage = Stage::LetGo;
            }
        }
        for day in after {
            for (tag, _) in day.open.iter().filter(|(tag, _)| !was_open.contains(tag)) {
                let Some(id) = truth.tags.get(tag).copied() else { continue };
                if let Some(call) = truth.call(&id) {
                    call.stage = Stage::Reserved;
                    let life = call.life;
                    let of = (day.account.as_str(), day.day);
                    let own = truth.own(life, of, day.version, &self.world.ledger.borrow());
                    self.seen.admissions.borrow_mut().push(Admission {
                        id,
                        account: day.account.clone(),
                        day: day.day,
                        version: day.version,
                        spent: Pax::from_picopax(day.spent),
                        own,
                        number: self.world.number(),
                    });
                }
            }
        }
    }

    /// A cell is written that may hold a debit: then the ledger has the debit, or another cell has it.
    fn debit_goes(&self, key: &str, before: &[u8]) {
        let Some(canonical) = read_debit(before) else { return };
        let (world, now) = (self.world, self.world.time.get());
        let envoy = &world.envoys[self.site.envoy];
        let since = envoy.waits_since.borrow_mut().remove(key).unwrap_or(now);
        if let Some(calm) = world.calm_since.get() {
            let waited = now.saturating_sub(since.max(calm + SETTLED_MS));
            if waited > WAIT_MS {
                let id = exchange_of(canonical);
                world.fail(&format!("{}: the debit of {id} waited for {waited} ms", self.site));
            }
        }
        let Ok(id) = exchange_of(canonical).parse::<ExchangeId>() else { return };
        let ledger = world.ledger.borrow();
        let (kind, there) = match read_void(canonical) {
            Some(_) => ("void", ledger.holds.heard_void(&id)),
            None => ("debit", ledger.entries.contains_key(&id)),
        };
        if !there && !memory::read(&envoy.memory).waiting.contains(&id) {
            world.fail(&format!(
                "{}: the {kind} of {id} left its last cell before the ledger had it",
                self.site
            ));
        }
    }

    /// A debit comes into a cell: of its call's own VM, or of the one that sweeps after it.
    fn debit_comes(&self, key: &str, canonical: &[u8]) {
        let world = self.world;
        world.envoys[self.site.envoy].waits_since.borrow_mut().insert(key.to_owned(), world.time.get());
        if let Some(void) = read_void(canonical) {
            return self.void_comes(&void);
        }
        let (Ok(id), Some(cost)) = (exchange_of(canonical).parse::<ExchangeId>(), cost_of(canonical)) else {
            return world.fail("a debit is in a cell that nobody can read");
        };
        let mut truth = world.truth.borrow_mut();
        let Some(call) = truth.call(&id) else { return };
        let is_estimate = memory::is_of_a_lost_vm(canonical);
        // A VM that was taken for dead and lives may sweep the lane that it has lost, and its own call's record in it.
        call.doubted |= call.vm == self.vm && is_estimate;
        let own = call.vm == self.vm && !is_estimate;
        if own {
            (call.own_cost, call.canonical) = (cost, Some(canonical.to_vec()));
        } else {
            call.canonical.get_or_insert_with(|| canonical.to_vec());
            // The sweeping VM has just read the record that it charges, or the debit that it takes over.
            if self.seen.looked_at.get() == Some(id) {
                self.seen.count.borrow_mut().call(cost.picopax());
            } else {
                world.tally.borrow_mut().adopted += 1;
            }
        }
        if call.stage == Stage::Recorded && call.hold.is_some() && !call.doubted {
            return world.fail(&format!("a call was charged that never went on: {call:?}"));
        }
        if call.stage == Stage::LetGo && !call.doubted {
            return world.fail(&format!("a call was charged for which nothing was owed: {call:?}"));
        }
        if own || !call.doubted {
            call.cost = cost;
            call.stage = Stage::Charged;
        }
    }

    /// A void comes into a cell: of its call's own VM, or of the one that sweeps after it.
    fn void_comes(&self, void: &Void) {
        let world = self.world;
        let mut truth = world.truth.borrow_mut();
        let Some(call) = truth.call(&void.void) else { return };
        let own = call.vm == self.vm;
        if !own && self.seen.looked_at.get() != Some(void.void) {
            world.tally.borrow_mut().adopted += 1;
        }
        let owed = call.stage == Stage::Charged || call.stage == Stage::Held && !own;
        if owed && !call.doubted {
            return world.fail(&format!("the hold of a call was voided that went on: {call:?}"));
        }
        if call.stage != Stage::Charged {
            call.stage = Stage::LetGo;
        }
    }

    /// A question comes from an Envoy under a number, which is no other's.
    pub(crate) fn is_numbered(&self, number: &str) {
        let life = self.world.envoys[self.site.envoy].life.get();
        let mut truth = self.world.truth.borrow_mut();
        let known = truth.envoys.insert(number.to_owned(), life);
        if known.is_some_and(|known| known != life) {
            self.world.fail(&format!("{}: another Envoy has the number {number}", self.site));
        }
        if known.is_none() && truth.envoys.values().filter(|known| **known == life).count() > 1 {
            self.world.fail(&format!("{}: its Envoy has another number than {number}", self.site));
        }
    }

    /// A call is sent on: from now on its cell, or the ledger, has something of it.
    pub(crate) fn goes_on_with(&self, id: ExchangeId) {
        let there = memory::read(self.memory());
        let known = there.records.contains(&id) || there.waiting.contains(&id);
        if !known && !self.world.ledger.borrow().entries.contains_key(&id) {
            self.world.fail(&format!("{}: {id} is sent on without a record", self.site));
        }
        let truth = self.world.truth.borrow();
        let Some(call) = truth.calls.get(&id).filter(|call| call.hold.is_some() && !call.doubted) else {
            return;
        };
        if !self.world.ledger.borrow().holds.was_made(&id) {
            self.world.fail(&format!("{}: {id} is sent on before the ledger has made its hold", self.site));
        }
        if call.stage != Stage::Held {
            self.world
                .fail(&format!("{}: {id} is sent on, but it was refused or given up: {call:?}", self.site));
        }
    }

    /// What this Envoy knew and what its own calls add to it fit the cap, whatever its shared data says of them.
    pub(crate) fn judge(&self, admission: Admission, cap: Pax) {
        let (world, Admission { id, account, day, version, spent, own, number }) = (self.world, admission);
        if spent.checked_add(own).is_none_or(|sum| sum > cap) {
            world.fail(&format!(
                "the cap was exceeded by {id}: {account} on {day} has spent {spent} by entry {version}, and this \
                 Envoy adds {own}, but its cap is {cap}"
            ));
        }
        let life = world.envoys[self.site.envoy].life.get();
        let last = Admitted { number, version, spent, cap };
        world.truth.borrow_mut().admitted(life, (account, day), last);
    }
}
