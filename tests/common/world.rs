//! One running gateway: Envoy, the real ledger, and a stand-in provider in this process.

use crate::common::http::{Answer, Connection, chat};
use pax_postgres::server::Server;
use pax_stack::{Builder, Database, Stack};
use pax_standin::{Behaviour, Options, Received, Standin};
use serde_json::Value;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// A token of tier credit that every stack knows: any priced model.
pub const TOKEN: &str = "mtx-demo-credit";
/// The model of calls that are about something else.
pub const MODEL: &str = "accounts/fireworks/models/gpt-oss-20b";

/// The gateway and all around it. Dropped, it stops.
pub struct World {
    pub stack: Stack,
    pub standin: Standin,
}

/// The folder of `PAX_CAPTURES`, where it is set.
pub fn captures() -> Option<PathBuf> {
    std::env::var_os("PAX_CAPTURES").filter(|dir| !dir.is_empty()).map(PathBuf::from)
}

/// Three ledgers on one database of PostgreSQL.
pub fn three_ledgers(builder: Builder) -> Builder {
    builder.ledgers(3).database(Database::of_url(&Server::shared().database()).unwrap())
}

impl World {
    pub fn start() -> Self {
        Self::start_with(|builder| builder)
    }

    pub fn start_with(change: impl FnOnce(Builder) -> Builder) -> Self {
        Self::served_by(Builder::standin_at, |builder| {
            // The stand-in plays providers that charge callers' own keys, and callers name a host of their own.
            let builder = builder.takes_own_keys().hosts(["gateway.test"]);
            // The config of the scenarios: one provider that is never asked to report usage.
            change(builder.change_filter_config(|config| {
                config["providers"]["mistral"]["stream_usage"] = "always".into();
            }))
        })
    }

    /// As an operator gets it with the stand-in as `UPSTREAM`.
    pub fn bare(change: impl FnOnce(Builder) -> Builder) -> Self {
        Self::served_by(Builder::upstream, change)
    }

    /// A world whose credit tier needs no holds: it calls while the ledger is away.
    pub fn without_holds() -> Self {
        Self::start_with(|builder| {
            builder.change_filter_config(|config| {
                config["gate"]["admission"]["credit"] = "shared_data".into();
            })
        })
    }

    fn served_by(
        served: impl FnOnce(Builder, String) -> Builder,
        change: impl FnOnce(Builder) -> Builder,
    ) -> Self {
        let answers = std::iter::once(pax_standin::own_answers()).chain(captures()).collect();
        let standin = Standin::start(Options { answers, ..Options::default() }).unwrap();
        let builder = served(Stack::builder(), standin.addr.to_string());
        let stack = change(builder).start().unwrap_or_else(|error| panic!("{error}"));
        Self { stack, standin }
    }

    pub fn connect(&self) -> Connection {
        Connection::open(self.stack.gateway_port())
    }

    /// A chat call of [`TOKEN`] on a connection of its own.
    pub fn chat(&self, body: &str) -> Answer {
        self.connect().call(&chat(TOKEN, body))
    }

    pub fn behave(&self, behaviour: Behaviour) {
        self.standin.set_behaviour(behaviour).unwrap();
    }

    /// What the provider was sent since the last time.
    pub fn take_received(&self) -> Vec<Received> {
        let received = self.standin.received();
        self.standin.clear_received();
        received
    }

    /// The entries of calls, oldest first.
    pub fn entries(&self) -> Vec<Value> {
        let lines = self.stack.ledger(["entries", "--kind", "debit"]).unwrap();
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The entries once there are `count` of them; what there is after ten seconds otherwise.
    pub fn entries_when(&self, count: usize) -> Vec<Value> {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let entries = self.entries();
            if entries.len() >= count || Instant::now() > deadline {
                return entries;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The one entry of an exchange, once it is there.
    pub fn entry(&self, exchange_id: &str) -> Value {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let lines = self.stack.ledger(["entries", "--exchange", exchange_id]).unwrap();
            let entries: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            assert!(entries.len() < 2, "one entry per exchange: {lines}");
            match entries.into_iter().next() {
                Some(entry) => return entry,
                None => assert!(Instant::now() < deadline, "exchange {exchange_id:?} has no entry"),
            }
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    /// How many debits wait for the ledger.
    pub fn waiting(&self) -> u64 {
        self.stack.stat("wasmcustom.pax_outbox_waiting").unwrap_or(0)
    }

    /// The sum of a metric's series; none where there is no series of it.
    pub fn metric(&self, name: &str) -> Option<u64> {
        let text = self.stack.admin(&format!("/stats?filter=^wasmcustom\\.{name}")).unwrap();
        let value = |line: &str| {
            let rest = line.strip_prefix("wasmcustom.")?.strip_prefix(name)?;
            let value = rest.starts_with([';', ':']).then(|| rest.rsplit(": ").next())?;
            value?.trim().parse::<u64>().ok()
        };
        text.lines().filter_map(value).reduce(|sum, value| sum + value)
    }

    /// Waits until no call is in flight and no debit waits, so that what is not in the ledger will never be.
    pub fn settle(&self) {
        let deadline = Instant::now() + Duration::from_secs(20);
        let mut quiet = 0;
        while quiet < 3 {
            let active = self.stack.stat("http.gateway.downstream_rq_active").unwrap_or(1);
            quiet = if active == 0 && self.waiting() == 0 { quiet + 1 } else { 0 };
            assert!(
                Instant::now() < deadline,
                "calls in flight: {active}, debits waiting: {}",
                self.waiting()
            );
            std::thread::sleep(Duration::from_millis(40));
        }
    }

    /// Replays the ledger: it must agree with every entry.
    pub fn replay(&self) -> String {
        self.stack.ledger(["replay"]).unwrap_or_else(|error| panic!("{error}"))
    }
}
