//! What the metrics must have counted.

use std::collections::BTreeMap;
use std::ops::AddAssign;

use pax_gateway::base::wire::DebitReply;
use pax_gateway::told::metrics::DEBIT_RESULTS;
use pax_gateway::worker::fake::Metrics;

/// What was counted.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Count {
    /// Calls that are over, and dead VMs' calls that were charged.
    pub(crate) calls: u64,
    /// What they cost, in picopax.
    pub(crate) charged: u64,
    /// What the ledger made of debits, in the order of [`DEBIT_RESULTS`].
    results: [u64; DEBIT_RESULTS.len()],
}

impl AddAssign for Count {
    fn add_assign(&mut self, other: Self) {
        self.calls += other.calls;
        self.charged += other.charged;
        self.results.iter_mut().zip(other.results).for_each(|(sum, count)| *sum += count);
    }
}

impl Count {
    /// A call.
    pub(crate) fn call(&mut self, cost: i64) {
        self.calls += 1;
        self.charged += u64::try_from(cost).unwrap_or(0);
    }

    /// What the ledger answered.
    pub(crate) fn replies(&mut self, replies: &[DebitReply]) {
        for (result, (outcome, _)) in self.results.iter_mut().zip(DEBIT_RESULTS) {
            let of = replies.iter().filter(|reply| reply.outcome == outcome);
            *result += u64::try_from(of.count()).unwrap_or(0);
        }
    }
}

/// What one life of an Envoy must have counted: its metrics live as long as it does.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counted {
    /// In callbacks that returned, of VMs that lived until their next tick.
    surely: Count,
    /// In callbacks in which a VM died, before or after it counted, and since its last tick.
    perhaps: Count,
    /// The calls that each worker's VM has counted since its last tick.
    untold: BTreeMap<usize, Count>,
}

impl Counted {
    /// A callback of a worker's VM returned. `ticked`: it was a tick, which told what the VM had counted before it.
    pub(crate) fn returned(&mut self, worker: usize, ticked: bool, count: Count) {
        self.surely += count;
        let untold = self.untold.entry(worker).or_default();
        if ticked {
            *untold = Count::default();
        }
        *untold += Count { results: Default::default(), ..count };
    }

    /// A worker's VM died in a callback: what it counted in it, and since its last tick, may be lost.
    pub(crate) fn died(&mut self, worker: usize, count: Count) {
        let untold = self.untold.remove(&worker).unwrap_or_default();
        self.surely.calls -= untold.calls;
        self.surely.charged -= untold.charged;
        self.perhaps += untold;
        self.perhaps += count;
    }

    /// What does not fit the metrics.
    pub(crate) fn differs(&self, metrics: &Metrics) -> Option<String> {
        let (surely, perhaps) = (&self.surely, &self.perhaps);
        let calls = (metrics.sum("pax_calls_total"), surely.calls, perhaps.calls);
        let charged = (metrics.sum("pax_charged_picopax_total"), surely.charged, perhaps.charged);
        let results = DEBIT_RESULTS.iter().zip(surely.results.into_iter().zip(perhaps.results)).map(
            |((_, word), (surely, perhaps))| {
                let series = format!("pax_debits_total;result={word}");
                let is = metrics.of(&series).unwrap_or(0);
                (series, (is, surely, perhaps))
            },
        );
        let all = [("pax_calls_total".to_owned(), calls), ("pax_charged_picopax_total".to_owned(), charged)];
        let mut all = all.into_iter().chain(results);
        let found = all.find(|(_, (is, surely, perhaps))| is < surely || *is > surely + perhaps);
        found.map(|(name, (is, surely, perhaps))| {
            format!("{name} is {is}, but it was {surely}, and {perhaps} by VMs that died before they told it")
        })
    }
}
