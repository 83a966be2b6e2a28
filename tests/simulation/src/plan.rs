//! What goes wrong in a run, and how often. Each seed has its own mixture, and many have none of a kind: a rule that
//! only an outage excuses is then held without one.

use crate::random::Random;

/// A run's size and its troubles.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) envoys: usize,
    /// Workers of each.
    pub(crate) workers: usize,
    pub(crate) accounts: usize,
    /// Which of them are of the credit tier: their calls are admitted by holds.
    pub(crate) credit: Vec<bool>,
    /// How long troubles come.
    pub(crate) chaos_ms: u64,
    /// How often a worker gets a call, about.
    pub(crate) call_ms: u64,
    /// When it begins, in milliseconds before midnight UTC.
    pub(crate) before_midnight_ms: u64,
    /// Of a thousand operations on shared data, before how many others run.
    pub(crate) interleaved: u64,
    /// Of a hundred thousand operations, before how many the VM dies.
    pub(crate) deaths: u64,
    /// Of a hundred thousand operations, before how many the thread stands still for longer than a VM counts as alive.
    pub(crate) stalls: u64,
    /// How often a worker stands still between two callbacks, an Envoy is killed, the ledger is away, a clock is set,
    /// and the operator changes something.
    pub(crate) naps: u64,
    pub(crate) kills: u64,
    pub(crate) outages: u64,
    pub(crate) jumps: u64,
    pub(crate) changes: u64,
    /// Of a thousand messages: lost, late, delivered twice.
    pub(crate) lost: u64,
    pub(crate) late: u64,
    pub(crate) twice: u64,
    /// Of a thousand callers, how many hang up at some moment.
    pub(crate) hang_ups: u64,
    /// How often the ledger does not read the version of some debits for a while.
    pub(crate) behind: u64,
    /// How late a tick is at most.
    pub(crate) ticks_late: u64,
    /// How often an Envoy gets a new configuration, while there are troubles.
    pub(crate) configurations: u64,
    /// How often the operator grants credit.
    pub(crate) grants: u64,
    /// How often the operator makes a call cheaper, while there are troubles.
    pub(crate) corrections: u64,
    /// Whether the ledger is restored from a backup.
    pub(crate) restored: bool,
    /// Whether the free tier's calls are admitted by holds, too.
    pub(crate) free_by_ledger: bool,
    /// When a call ends that takes longer than a lease lasts; 0 if there is none.
    pub(crate) long_call_ends_ms: u64,
    /// How long the ledger is away, for longer than a lease lasts; 0 if it is not.
    pub(crate) long_outage_ms: u64,
}

impl Plan {
    pub(crate) fn of(random: &Random) -> Self {
        let sometimes = |of: u64, last: u64| if random.chance(1, of) { random.between(1, last) } else { 0 };
        let kills = sometimes(5, 2);
        let accounts = *random.pick(&[1, 2, 3]);
        let chaos_ms = random.between(8_000, 30_000);
        let long_call = random.chance(1, 12);
        let long_call_ends_ms = if long_call { chaos_ms + random.between(62_000, 75_000) } else { 0 };
        let long_outage = !long_call && random.chance(1, 24);
        let long_outage_ms = if long_outage { random.between(55_000, 75_000) } else { 0 };
        Self {
            envoys: *random.pick(&[1, 1, 1, 2, 2, 3]),
            workers: *random.pick(&[1, 2, 2, 3]),
            accounts,
            credit: (0..accounts).map(|_| random.chance(2, 5)).collect(),
            chaos_ms: chaos_ms + long_outage_ms,
            call_ms: random.between(150, 1_500),
            before_midnight_ms: if random.chance(1, 3) { random.between(1, 30_000) } else { 40_000_000 },
            interleaved: *random.pick(&[0, 20, 100, 300]),
            deaths: *random.pick(&[0, 0, 50, 200, 800]),
            stalls: *random.pick(&[0, 0, 0, 5, 20]),
            naps: sometimes(4, 2),
            kills,
            outages: sometimes(3, 2),
            jumps: sometimes(2, 4),
            changes: sometimes(2, 4),
            lost: *random.pick(&[0, 0, 50, 200]),
            late: *random.pick(&[0, 0, 50, 200]),
            twice: *random.pick(&[0, 0, 50, 200]),
            hang_ups: *random.pick(&[0, 50, 300]),
            behind: sometimes(3, 2),
            ticks_late: *random.pick(&[50, 200, 400, 700, 700]),
            configurations: sometimes(2, 3),
            grants: random.between(0, 6),
            corrections: sometimes(2, 8),
            restored: random.chance(1, 6),
            free_by_ledger: random.chance(1, 4),
            long_call_ends_ms,
            long_outage_ms,
        }
    }
}
