//! Three ledgers on one database: races, and load while sessions are ended and a ledger stands still.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use pax_gateway::base::account::Tier;
use pax_gateway::base::exchange_id::ExchangeId;
use pax_gateway::base::wire::{DEBITS_PATH, HOLDS_PATH, HoldOutcome, HoldReply};
use pax_gateway::debit::frozen::Debit;
use pax_ledger::store::{NewGrant, NewToken, Store};
use pax_postgres::server::Server;

use crate::common::debits::reported;
use crate::common::{Folder, SECRET, Service, act, bytes, http, replayed};
use crate::holds::story::{ENVOY, hold_body, lost_debit, pax};

/// How long the load goes on, unless `PAX_TEST_LOAD_S` says otherwise.
const LOAD: Duration = Duration::from_secs(20);
/// How long anybody waits at most, while sessions are ended and a ledger stands still for five seconds: that, and the time
/// that a transaction is tried for.
const LONGEST: Duration = Duration::from_secs(11);

/// Three ledgers on one database.
struct Three {
    folder: Folder,
    store: Store,
    runtime: tokio::runtime::Runtime,
    services: Vec<Service>,
}

/// These tests take a while, and are the same wherever all others store.
fn were_run() -> bool {
    crate::common::on_postgres()
}

fn three() -> Three {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let folder = Folder::of_postgres();
    let store = runtime.block_on(folder.store());
    let services = (0..3).map(|_| Service::start(&folder.database())).collect();
    Three { folder, store, runtime, services }
}

impl Three {
    /// An account of tier credit with a token and this much.
    fn account(&self, name: &str, amount: &str) {
        self.runtime.block_on(async {
            self.store.create_account(&act(), name, Tier::Credit, None).await.unwrap().unwrap();
            let token = NewToken {
                token_id: format!("tok_{name}"),
                account: name,
                label: "a test",
                sha256: pax_gateway::base::digest::Digest::of(&[name.as_bytes()]),
                is_given: true,
                expires_at: None,
            };
            self.store.add_token(&act(), &token).await.unwrap().unwrap();
            let grant = NewGrant::goodwill(name, pax(amount));
            self.store.grant(&act(), &grant).await.unwrap();
        });
    }

    /// Nothing is set aside any more, every sum is that of its rows, and a replay finds nothing.
    fn holds(&self) {
        let sql = |sql: &str| self.runtime.block_on(self.folder.sql(sql));
        for (what, query) in [
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
        ] {
            assert_eq!(sql(query), Vec::<Vec<String>>::new(), "{what}");
        }
        assert_eq!(self.runtime.block_on(replayed(&self.store)).1, []);
    }
}

/// The debits of a call that begins now: the one with which it is charged if it is lost, and the true one.
fn call(account: &str) -> (Debit, Debit) {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let [a, b, c, d, e, f, g, h] = NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    let exchange = ExchangeId::new(pax_ledger::now(), [0, 0, a, b, c, d, e, f, g, h]);
    let (mut lost, mut debit) = (lost_debit(2, Tier::Credit), reported(2, account, Tier::Credit));
    for debit in [&mut lost, &mut debit] {
        debit.exchange_id = exchange;
        debit.account = account.to_owned();
        debit.token_id = format!("tok_{account}");
        debit.hold_id = Some(exchange.to_string());
    }
    (lost, debit)
}

fn held(service: &Service, lost: &Debit, amount: &str) -> Option<HoldReply> {
    let (status, body) =
        http(service.internal, "POST", HOLDS_PATH, Some(SECRET), &hold_body(lost, amount, "5", ENVOY));
    assert!(status == 200 || status == 503, "{status} {body}");
    (status == 200).then(|| serde_json::from_str(&body).unwrap())
}

/// Whether a line was acknowledged.
fn sent(service: &Service, line: &[u8]) -> bool {
    let (status, body) = http(service.internal, "POST", DEBITS_PATH, Some(SECRET), line);
    assert!(status == 200 || status == 503, "{status} {body}");
    let is_kept = ["recorded", "duplicate", "voided"].iter().any(|outcome| body.contains(outcome));
    assert!(status == 503 || is_kept, "{body}");
    status == 200
}

#[test]
fn of_thirty_holds_at_once_over_three_ledgers_as_many_are_made_as_fit_and_each_debit_is_recorded_once() {
    if were_run() {
        return;
    }
    let three = Arc::new(three());
    for round in 0..20 {
        let fit = 3 + round % 5;
        let account = format!("round-{round}");
        three.account(&account, &format!("0.{fit}"));
        let together = Arc::new(Barrier::new(30));
        let calls = (0..30).map(|n| {
            let (three, account, together) = (Arc::clone(&three), account.clone(), Arc::clone(&together));
            thread::spawn(move || {
                let (lost, debit) = call(&account);
                together.wait();
                let reply = held(&three.services[n % 3], &lost, "0.1").unwrap();
                (reply.outcome, debit)
            })
        });
        let calls: Vec<_> = calls.collect::<Vec<_>>().into_iter().map(|call| call.join().unwrap()).collect();
        let made: Vec<_> = calls.iter().filter(|(outcome, _)| *outcome == HoldOutcome::Held).collect();
        assert_eq!(made.len(), fit, "round {round}");
        assert!(
            calls
                .iter()
                .all(|(outcome, _)| matches!(outcome, HoldOutcome::Held | HoldOutcome::InsufficientCredit))
        );
        // Each debit comes to all three at once.
        thread::scope(|scope| {
            for (_, debit) in &made {
                for service in &three.services {
                    scope.spawn(|| assert!(sent(service, &bytes(debit))));
                }
            }
        });
    }
    three.holds();
    let entries =
        three.runtime.block_on(three.folder.sql("SELECT count(*) FROM credit_ledger WHERE kind = 'debit'"));
    assert_eq!(entries, [[(0..20).map(|round| 3 + round % 5).sum::<u64>().to_string()]]);
}

#[test]
fn under_load_while_sessions_are_ended_and_a_ledger_stands_still_nothing_is_lost_and_nobody_waits_long() {
    if were_run() {
        return;
    }
    let three = Arc::new(three());
    let accounts: Vec<String> = (0..5).map(|n| format!("account-{n}")).collect();
    accounts.iter().for_each(|name| three.account(name, "1000"));
    let is_over = Arc::new(AtomicBool::new(false));
    let acknowledged = Arc::new(Mutex::new(BTreeSet::new()));
    let longest = Arc::new(Mutex::new(Duration::ZERO));
    let callers = (0..6_usize).map(|caller| {
        let (three, accounts) = (Arc::clone(&three), accounts.clone());
        let (is_over, acknowledged, longest) =
            (Arc::clone(&is_over), Arc::clone(&acknowledged), Arc::clone(&longest));
        thread::spawn(move || {
            let mut turn = caller;
            while !is_over.load(Ordering::Relaxed) {
                turn += 1;
                let (lost, debit) = call(&accounts[(turn * 7 + caller) % accounts.len()]);
                let mut next = turn;
                // Envoy moves on to the next ledger if one does not answer well.
                let mut until_done = |work: &dyn Fn(&Service) -> bool| {
                    let began = Instant::now();
                    while !work(&three.services[next % 3]) {
                        next += 1;
                        thread::sleep(Duration::from_millis(20));
                    }
                    let mut longest = longest.lock().unwrap();
                    *longest = longest.max(began.elapsed());
                };
                until_done(&|service| {
                    held(service, &lost, "0.001").is_some_and(|reply| {
                        assert!(matches!(reply.outcome, HoldOutcome::Held), "{reply:?}");
                        true
                    })
                });
                let line = match turn % 5 {
                    0 => format!("{{\"void\":\"{}\",\"account\":\"{}\"}}", lost.exchange_id, lost.account)
                        .into_bytes(),
                    _ => bytes(&debit),
                };
                until_done(&|service| sent(service, &line));
                if turn % 5 != 0 {
                    acknowledged.lock().unwrap().insert(debit.exchange_id.to_string());
                }
            }
        })
    });
    let callers: Vec<_> = callers.collect();
    let seconds = std::env::var("PAX_TEST_LOAD_S").ok().and_then(|seconds| seconds.parse().ok());
    let load = seconds.map_or(LOAD, Duration::from_secs);
    let began = Instant::now();
    let database = three.folder.database().to_str().unwrap().rsplit('/').next().unwrap().to_owned();
    let mut troubles = 0_u32;
    while began.elapsed() < load {
        thread::sleep(Duration::from_millis(700));
        troubles += 1;
        if troubles.is_multiple_of(20) {
            let service = &three.services[usize::try_from(troubles / 20).unwrap() % 3];
            service.signal("STOP");
            thread::sleep(Duration::from_secs(5));
            service.signal("CONT");
        } else {
            let end = format!(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}' \
                 AND pid <> pg_backend_pid() ORDER BY random() LIMIT 2"
            );
            Server::shared().run("postgres", &end);
        }
    }
    is_over.store(true, Ordering::Relaxed);
    callers.into_iter().for_each(|caller| caller.join().unwrap());
    let acknowledged = acknowledged.lock().unwrap();
    let entries = three
        .runtime
        .block_on(three.folder.sql("SELECT exchange_id FROM credit_ledger WHERE kind = 'debit'"));
    let entries: BTreeSet<String> = entries.into_iter().flatten().collect();
    assert_eq!(entries, *acknowledged);
    let open = three.runtime.block_on(three.folder.sql("SELECT count(*) FROM holds WHERE state = 'open'"));
    assert_eq!(open, [["0"]]);
    three.holds();
    let longest = *longest.lock().unwrap();
    println!("{} calls, {troubles} troubles, longest wait {longest:?}", acknowledged.len());
    assert!(acknowledged.len() > 200, "{}", acknowledged.len());
    assert!(longest < LONGEST, "{longest:?}");
}
