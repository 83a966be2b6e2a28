//! What the ledger counts, and its text for Prometheus (format 0.0.4).
//!
//! The values of every label are a fixed list in this file, so no caller's text can make a series. Each series
//! is there from the start, at zero, so the first failure shows as a rise. Counters begin anew with each start
//! of the service.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use pax_gateway::base::account::{Status, Tier};
use pax_gateway::base::clock::Moment;
use pax_gateway::base::pax::Pax;
use pax_gateway::base::wire::{DebitOutcome, HoldOutcome};
use pax_gateway::price::card::RateTableVersion;
use prometheus_client::encoding::prometheus_text;
use prometheus_client::metrics::counter::{Atomic, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use crate::store::Figures;

/// What can become of a debit, with the names in the metric.
const OUTCOMES: [(DebitOutcome, &str); 7] = [
    (DebitOutcome::Recorded, "recorded"),
    (DebitOutcome::Duplicate, "duplicate"),
    (DebitOutcome::Superseded, "superseded"),
    (DebitOutcome::Conflict, "conflict"),
    (DebitOutcome::Rejected, "rejected"),
    (DebitOutcome::Unsupported, "unsupported"),
    (DebitOutcome::Voided, "voided"),
];

/// What can become of a hold, with the names in the metric.
const HOLD_OUTCOMES: [(HoldOutcome, &str); 7] = [
    (HoldOutcome::Held, "held"),
    (HoldOutcome::Closed, "closed"),
    (HoldOutcome::AccountDisabled, "account_disabled"),
    (HoldOutcome::UnknownToken, "unknown_token"),
    (HoldOutcome::InsufficientCredit, "insufficient_credit"),
    (HoldOutcome::DailyCapExceeded, "daily_cap_exceeded"),
    (HoldOutcome::Rejected, "rejected"),
];

const TIERS: [(Tier, &str); 2] = [(Tier::Free, "free"), (Tier::Credit, "credit")];
const STATUSES: [(Status, &str); 2] = [(Status::Active, "active"), (Status::Disabled, "disabled")];

/// The upper bounds of the buckets for the time of a batch's commit, in seconds. A sync takes a fraction of a
/// millisecond on an SSD, and some twenty milliseconds on a disk.
const COMMIT_BUCKETS: [f64; 10] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 10.0];

/// A route, as `pax_ledger_requests_total` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// Questions about tokens.
    Resolve,
    /// Questions for accounts' standings.
    Standings,
    /// Debits.
    Debits,
    /// Holds.
    Holds,
    /// Leases.
    Lease,
    /// Rate cards.
    Cards,
    /// What a caller may spend.
    Credits,
    /// A caller's entries.
    Entries,
}

impl Route {
    const ALL: [(Self, &str); 8] = [
        (Self::Resolve, "resolve"),
        (Self::Standings, "standings"),
        (Self::Debits, "debits"),
        (Self::Holds, "holds"),
        (Self::Lease, "lease"),
        (Self::Cards, "cards"),
        (Self::Credits, "credits"),
        (Self::Entries, "entries"),
    ];
}

/// How a request ended, as its status tells.
const ENDINGS: [&str; 5] = ["answered", "unknown", "unauthorized", "refused", "failed"];

fn ending(status: u16) -> &'static str {
    match status {
        ..400 => "answered",
        401 => "unauthorized",
        404 => "unknown",
        400..500 => "refused",
        _ => "failed",
    }
}

fn name_of<T: PartialEq>(names: &[(T, &'static str)], which: &T) -> &'static str {
    names.iter().find(|(known, _)| known == which).map_or("other", |(_, name)| name)
}

/// A counter that stays at its largest value: if it began at zero again, that would be taken for a restart.
#[derive(Debug, Default)]
struct Stays(AtomicU64);

impl Atomic<u64> for Stays {
    fn inc(&self) -> u64 {
        self.inc_by(1)
    }

    fn inc_by(&self, more: u64) -> u64 {
        let add = |count: u64| Some(count.saturating_add(more));
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).unwrap_or_default()
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

type Named<const N: usize, M> = Family<[(&'static str, &'static str); N], M>;

/// All that is counted, and the gauges, which are set when the figures are collected.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    debits: Named<1, Counter>,
    holds: Named<1, Counter>,
    holds_expired: Counter,
    charged: Counter<u64, Stays>,
    unproven: Counter,
    commit: Histogram,
    requests: Named<2, Counter>,
    gauges: Gauges,
}

/// What is true at the moment at which the figures are collected.
#[derive(Debug, Default)]
struct Gauges {
    unseen: Gauge,
    accounts: Named<2, Gauge>,
    holds_open: Gauge,
    held: Gauge,
    entries: Gauge,
    last_entry: Gauge<f64, AtomicU64>,
    epoch: Gauge,
    card: Gauge,
    bytes: Named<1, Gauge>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Metrics of a service that has counted nothing yet.
    #[must_use]
    pub fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("pax_ledger"),
            debits: Family::default(),
            holds: Family::default(),
            holds_expired: Counter::default(),
            charged: Counter::default(),
            unproven: Counter::default(),
            commit: Histogram::new(COMMIT_BUCKETS),
            requests: Family::default(),
            gauges: Gauges::default(),
        };
        for (_, outcome) in OUTCOMES {
            drop(metrics.debits.get_or_create(&[("outcome", outcome)]));
        }
        for (_, outcome) in HOLD_OUTCOMES {
            drop(metrics.holds.get_or_create(&[("outcome", outcome)]));
        }
        for (_, route) in Route::ALL {
            for ending in ENDINGS {
                drop(metrics.requests.get_or_create(&[("route", route), ("outcome", ending)]));
            }
        }
        metrics.register_counters();
        metrics.register_gauges();
        metrics
    }

    fn register_counters(&mut self) {
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        let registry = &mut self.registry;
        registry.register("build", "This program", build);
        registry.register(
            "debits",
            "Debits and voids that filters sent, by what became of each",
            self.debits.clone(),
        );
        registry.register(
            "holds",
            "Holds that filters asked for, by what became of each",
            self.holds.clone(),
        );
        registry.register(
            "holds_expired",
            "Holds that expired, since their Envoys were gone or they grew too old",
            self.holds_expired.clone(),
        );
        registry.register(
            "charged_picopax",
            "Costs of the debits that became entries, in picopax",
            self.charged.clone(),
        );
        registry.register(
            "entries_unproven",
            "Entries that could not be counted and priced again when they were recorded",
            self.unproven.clone(),
        );
        registry.register(
            "batch_commit_seconds",
            "How long a transaction of debits took, with its sync to the disk",
            self.commit.clone(),
        );
        registry.register("requests", "Requests, by route and how each ended", self.requests.clone());
    }

    fn register_gauges(&mut self) {
        let (registry, gauges) = (&mut self.registry, &self.gauges);
        registry.register(
            "quarantine_unseen_lines",
            "Lines in quarantine that nobody has marked as seen",
            gauges.unseen.clone(),
        );
        registry.register("accounts", "Accounts, by tier and status", gauges.accounts.clone());
        registry.register("holds_open", "Holds that are open", gauges.holds_open.clone());
        registry.register("held_picopax", "What open holds set aside, in picopax", gauges.held.clone());
        registry.register("entries", "Entries in the file", gauges.entries.clone());
        registry.register(
            "last_entry_timestamp_seconds",
            "When the newest entry was recorded; 0 if there is none",
            gauges.last_entry.clone(),
        );
        registry.register("epoch", "The present epoch", gauges.epoch.clone());
        registry.register("rate_table_version", "The rate card in force; 0 if none is", gauges.card.clone());
        registry.register("database_bytes", "Size of the file and of its log", gauges.bytes.clone());
    }

    /// Counts what became of one debit. `cost`: what the call was charged.
    pub fn debit(&self, outcome: DebitOutcome, cost: Pax) {
        self.debits.get_or_create(&[("outcome", name_of(&OUTCOMES, &outcome))]).inc();
        if outcome == DebitOutcome::Recorded {
            self.charged.inc_by(u64::try_from(cost.picopax()).unwrap_or(0));
        }
    }

    /// Counts what became of one hold.
    pub fn hold(&self, outcome: HoldOutcome) {
        self.holds.get_or_create(&[("outcome", name_of(&HOLD_OUTCOMES, &outcome))]).inc();
    }

    /// Counts holds that have expired.
    pub fn expired(&self, holds: usize) {
        self.holds_expired.inc_by(u64::try_from(holds).unwrap_or(u64::MAX));
    }

    /// Counts an entry whose figures are not proved by what the entry itself holds.
    pub fn unproven(&self) {
        self.unproven.inc();
    }

    /// Notes how long a transaction took.
    pub fn committed(&self, took: Duration) {
        self.commit.observe(took.as_secs_f64());
    }

    /// Counts a request, by its route and its status.
    pub fn request(&self, route: Route, status: u16) {
        let route = name_of(&Route::ALL, &route);
        self.requests.get_or_create(&[("route", route), ("outcome", ending(status))]).inc();
    }

    /// All metrics as text, with the gauges as they are now.
    #[must_use]
    pub fn text(&self, now: &Figures, in_force: Option<RateTableVersion>) -> String {
        let gauges = &self.gauges;
        gauges.unseen.set(now.quarantined.unseen);
        for (tier, tier_name) in TIERS {
            for (status, status_name) in STATUSES {
                let count =
                    now.accounts.iter().filter(|it| (it.0, it.1) == (tier, status)).map(|it| it.2).sum();
                gauges.accounts.get_or_create(&[("tier", tier_name), ("status", status_name)]).set(count);
            }
        }
        gauges.holds_open.set(now.holds.0);
        gauges.held.set(now.holds.1.nearest().picopax());
        gauges.entries.set(now.entries);
        let last = Duration::from_millis(now.last_entry.map_or(0, Moment::ms));
        gauges.last_entry.set(last.as_secs_f64());
        gauges.epoch.set(i64::try_from(now.epoch).unwrap_or(i64::MAX));
        gauges.card.set(in_force.map_or(0, |version| i64::from(version.0)));
        for (file, bytes) in [("database", now.database_bytes), ("log", now.log_bytes)] {
            gauges.bytes.get_or_create(&[("file", file)]).set(i64::try_from(bytes).unwrap_or(i64::MAX));
        }
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = prometheus_text::encode(&mut text, &self.registry);
        text
    }
}
