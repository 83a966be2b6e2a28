//! Three ledgers on one database, and calls on any of them.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use pax_gateway::base::account::Tier;
use pax_gateway::base::digest::Digest;
use pax_gateway::base::exchange_id::ExchangeId;
use pax_gateway::base::wire::{DEBITS_PATH, DebitOutcome, DebitReplies, HOLDS_PATH, HoldReply};
use pax_gateway::debit::frozen::{Debit, Ending};
use pax_ledger::store::{Location, NewGrant, NewToken, Open, Store};

use super::debits::{ENVOY, estimated, hold_body, reported};
use super::granting::pax;
use super::{Answer, BEARER, Service, act, ask_within, replayed};

/// What must hold whatever has happened: each question finds no row.
const NOTHING: [(&str, &str); 6] = [
    (
        "what accounts hold",
        "SELECT name FROM accounts WHERE held_picopax <> (SELECT coalesce(sum(held_picopax), 0) FROM holds \
         WHERE holds.account = name AND state = 'open' AND tier = 'credit')",
    ),
    (
        "numbers without a gap",
        "SELECT account FROM credit_ledger GROUP BY account HAVING max(account_seq) <> count(*)",
    ),
    (
        "heads",
        "SELECT name FROM accounts WHERE account_seq <> (SELECT count(*) FROM credit_ledger WHERE account = name)",
    ),
    (
        "balances",
        "SELECT name FROM accounts WHERE balance_picopax <> (SELECT coalesce(sum(CASE WHEN kind = 'debit' THEN \
         -cost_picopax ELSE amount_picopax END), 0) FROM credit_ledger WHERE account = name)",
    ),
    ("balances below zero", "SELECT name FROM accounts WHERE balance_picopax < 0"),
    (
        "days",
        "SELECT account FROM day_totals WHERE spent_picopax <> (SELECT coalesce(sum(cost_picopax), 0) FROM credit_ledger \
         WHERE credit_ledger.account = day_totals.account AND credit_ledger.utc_day = day_totals.utc_day)",
    ),
];

/// Three ledgers on one database of PostgreSQL.
pub struct Three {
    /// Its URL.
    pub database: String,
    pub store: Store,
    pub runtime: tokio::runtime::Runtime,
    pub services: Vec<Service>,
}

impl Three {
    pub fn start(database: &str) -> Self {
        Self::start_over(database, database)
    }

    /// The same, where the ledgers reach the database by another URL.
    pub fn start_over(database: &str, way: &str) -> Self {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let location = Location::parse(database).unwrap();
        let store = runtime.block_on(Store::open(&location, Open::Create)).unwrap();
        let services = (0..3).map(|_| Service::start(Path::new(way))).collect();
        Self { database: database.to_owned(), store, runtime, services }
    }

    /// An account of tier credit with a token and this much.
    pub fn account(&self, name: &str, amount: &str) {
        self.runtime.block_on(async {
            self.store.create_account(&act(), name, Tier::Credit, None).await.unwrap().unwrap();
            self.store.add_token(&act(), &token(name)).await.unwrap().unwrap();
            let grant = NewGrant::goodwill(name, pax(amount));
            self.store.grant(&act(), &grant).await.unwrap();
        });
    }

    /// Every sum is that of its rows, and a replay finds nothing. `sql` asks the database, past all our code.
    pub fn holds(&self, sql: &dyn Fn(&str) -> String) {
        for (what, query) in NOTHING {
            assert_eq!(sql(query), "", "{what}");
        }
        assert_eq!(self.runtime.block_on(replayed(&self.store)).1, []);
    }
}

/// A token of an account.
pub fn token(account: &str) -> NewToken<'_> {
    NewToken {
        token_id: format!("tok_{account}"),
        account,
        label: "a test",
        sha256: token_sha256(account),
        is_given: true,
        expires_at: None,
    }
}

/// The token of an account, as ledgers are asked for it.
pub fn token_sha256(account: &str) -> Digest {
    Digest::of(&[account.as_bytes()])
}

/// The debits of a call that begins now: the one with which it is charged if it is lost, and the true one.
pub fn call(account: &str) -> (Debit, Debit) {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let [a, b, c, d, e, f, g, h] = NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    let now = pax_ledger::now();
    let exchange = ExchangeId::new(now, [0, 0, a, b, c, d, e, f, g, h]);
    let (mut lost, mut debit) = (estimated(2, account, Tier::Credit), reported(2, account, Tier::Credit));
    lost.ending = Ending::Lost;
    for debit in [&mut lost, &mut debit] {
        debit.exchange_id = exchange;
        (debit.occurred_at, debit.settled_at, debit.utc_day) = (now, now, now.day());
        debit.token_id = format!("tok_{account}");
        debit.hold_id = Some(exchange.to_string());
    }
    (lost, debit)
}

/// The answer to a hold; none if the ledger cannot answer now, or has not done so for so long.
pub fn held(service: &Service, lost: &Debit, amount: &str, limit: Duration) -> Option<HoldReply> {
    let answer = post(service, HOLDS_PATH, &hold_body(lost, amount, "5", ENVOY), limit)?;
    Some(serde_json::from_str(&answer.body).unwrap())
}

/// Whether lines were acknowledged.
pub fn sent(service: &Service, lines: &[u8], limit: Duration) -> bool {
    let Some(answer) = post(service, DEBITS_PATH, lines, limit) else { return false };
    let replies: DebitReplies = serde_json::from_str(&answer.body).unwrap();
    for reply in replies.results {
        let is_kept =
            matches!(reply.outcome, DebitOutcome::Recorded | DebitOutcome::Duplicate | DebitOutcome::Voided);
        assert!(is_kept, "{reply:?}");
    }
    true
}

/// A good answer, if there is one so soon. A ledger that is there says yes, or that it cannot answer now.
pub fn post(service: &Service, path: &str, body: &[u8], limit: Duration) -> Option<Answer> {
    let headers = [("authorization", BEARER)];
    let answer = ask_within(limit, service.internal, "POST", (path, &headers, body));
    assert!([0, 200, 503].contains(&answer.status), "{answer:?}");
    (answer.status == 200).then_some(answer)
}
