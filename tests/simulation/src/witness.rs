//! What a VM's reads and writes of shared data tell of its calls: how far each has come, and what each write must fit.

use pax_gateway::base::clock::UtcDay;
use pax_gateway::base::exchange_id::ExchangeId;
use pax_gateway::base::pax::Pax;
use pax_gateway::memory::in_flight::DEAD_MS;
use pax_gateway::memory::outbox::LEASE_MS;

use crate::memory::{
    CAPS, DayThere, LANES, RECORDS, cost_of, exchange_of, is_slot, read_bucket, read_record, read_slot,
    recorded,
};
use crate::outside::Shared;
use crate::truth::{Admitted, Call, Stage};

/// Once all has been well for so long, no debit waits for long.
const SETTLED_MS: u64 = 20_000;
/// How long it waits then at most. A lease that nobody gives up holds twice as long.
pub(crate) const WAIT_MS: u64 = 5_000;

/// A reservation that was just made. The cap that it was held to is known once its callback has returned.
#[derive(Debug)]
pub(crate) struct Admission {
    pub(crate) id: ExchangeId,
    pub(crate) account: String,
    pub(crate) day: UtcDay,
    pub(crate) account_seq: u64,
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
        let is_watched = [CAPS, RECORDS, LANES, "pax/outbox/", "pax/aside/"];
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
        } else if key.starts_with(RECORDS) {
            self.record_changed(before, after);
        } else if is_slot(key) {
            self.slot_changed(key, before, after);
        } else if key.ends_with("/head") {
            envoy.moved.set(self.world.time.get());
        }
    }

    /// A VM reads a record that is another's if it sweeps that one's lane.
    pub(crate) fn looked_at(&self, record: &[u8]) {
        let Some(id) = recorded(record) else { return };
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
        let known = lanes.insert(key.to_owned(), (taker, now));
        if let Some((_, beat)) = known.filter(|(known, _)| owner(before) == Some(*known) && *known != taker) {
            world.tally.borrow_mut().taken += 1;
            if now - beat < DEAD_MS {
                let ago = now - beat;
                world.fail(&format!("{}: {key} is taken from a VM that beat {ago} ms ago", self.site));
            }
        }
    }

    fn record_changed(&self, before: &[u8], after: &[u8]) {
        let world = self.world;
        let mut truth = world.truth.borrow_mut();
        if !after.is_empty() {
            let Some(record) = read_record(after) else { return world.fail("a record cannot be read") };
            let id = record.id;
            truth.tags.insert(id.tag().0, id);
            truth.latest = Some(id);
            let life = world.envoys[self.site.envoy].life.get();
            // A call that was refused may ask anew.
            let call = truth.calls.entry(id).or_insert_with(|| Call::of(record, life, self.vm));
            call.stage = Stage::Recorded;
        } else if let Some(call) = recorded(before).and_then(|id| truth.call(&id)) {
            call.stage = match call.stage {
                Stage::Charged | Stage::Settled => Stage::Settled,
                Stage::Reserved if !call.doubted => {
                    return world.fail(&format!(
                        "a record was taken out before its debit was in the outbox: {call:?}"
                    ));
                }
                Stage::Reserved | Stage::Recorded | Stage::LetGo => Stage::LetGo,
            };
        }
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
                    let own = truth.own(life, of, day.account_seq, &self.world.ledger.borrow());
                    self.seen.admissions.borrow_mut().push(Admission {
                        id,
                        account: day.account.clone(),
                        day: day.day,
                        account_seq: day.account_seq,
                        spent: Pax::from_picopax(day.spent),
                        own,
                        number: self.world.number(),
                    });
                }
            }
        }
    }

    /// A debit comes into a slot of the outbox, or leaves it.
    fn slot_changed(&self, key: &str, before: &[u8], after: &[u8]) {
        let (world, now) = (self.world, self.world.time.get());
        let mut since = world.envoys[self.site.envoy].waits_since.borrow_mut();
        let Some((_, canonical)) = read_slot(after) else {
            let (Some(since), Some((_, canonical))) = (since.remove(key), read_slot(before)) else { return };
            if let Some(calm) = world.calm_since.get() {
                let workers = world.envoys[self.site.envoy].workers.iter();
                let serves = workers.filter_map(|worker| worker.serves_since.get()).min();
                // If no VM serves calls, any root sends once the outbox has stood still for a lease's time. That time begins
                // anew when a number is passed that a dead VM had lost, so a second one is allowed.
                let sent_from = serves.unwrap_or(u64::MAX).min(since + LEASE_MS);
                let waited = now.saturating_sub(since.max(calm + SETTLED_MS).max(sent_from));
                let most = if serves.is_some() { WAIT_MS } else { WAIT_MS + LEASE_MS };
                if waited > most {
                    let id = exchange_of(canonical);
                    world.fail(&format!("{}: the debit of {id} waited for {waited} ms", self.site));
                }
            }
            return;
        };
        since.insert(key.to_owned(), now);
        drop(since);
        if key.starts_with("pax/outbox/") {
            self.charged(canonical);
        }
    }

    /// A debit was put into the outbox: by its call's own VM, or by the one that sweeps after it.
    fn charged(&self, canonical: &[u8]) {
        let world = self.world;
        let (Ok(id), Some(cost)) = (exchange_of(canonical).parse::<ExchangeId>(), cost_of(canonical)) else {
            return world.fail("a debit is in the outbox that nobody can read");
        };
        let mut truth = world.truth.borrow_mut();
        let Some(call) = truth.call(&id) else { return };
        let own = call.vm == self.vm;
        if own {
            (call.own_cost, call.canonical) = (cost, Some(canonical.to_vec()));
        } else {
            call.canonical.get_or_insert_with(|| canonical.to_vec());
            if self.seen.orphans.borrow_mut().insert(id) {
                self.seen.count.borrow_mut().call(cost.picopax());
            }
        }
        if call.stage == Stage::LetGo && !call.doubted {
            return world.fail(&format!("a call was charged for which nothing was owed: {call:?}"));
        }
        if own || !call.doubted {
            call.cost = cost;
            if call.stage != Stage::Settled {
                call.stage = Stage::Charged;
            }
        }
    }

    /// What this Envoy knew and what its own calls add to it fit the cap, whatever its shared data says of them.
    pub(crate) fn judge(&self, admission: Admission, cap: Pax) {
        let (world, Admission { id, account, day, account_seq, spent, own, number }) =
            (self.world, admission);
        if spent.checked_add(own).is_none_or(|sum| sum > cap) {
            world.fail(&format!(
                "the cap was exceeded by {id}: {account} on {day} has spent {spent} by entry {account_seq}, and this \
                 Envoy adds {own}, but its cap is {cap}"
            ));
        }
        let life = world.envoys[self.site.envoy].life.get();
        let last = Admitted { number, account_seq, spent, cap };
        world.truth.borrow_mut().admitted(life, (account, day), last);
    }
}
