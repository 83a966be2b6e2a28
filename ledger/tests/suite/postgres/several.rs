//! Three ledgers on one database: races, and load while sessions are ended, connections are cut and a ledger stands still.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use pax_gateway::base::wire::HoldOutcome;
use pax_postgres::proxy::Proxy;
use pax_postgres::server::Server;

use crate::common::several::{Three, call, held, sent};
use crate::common::{PATIENCE, Service, bytes};

/// How long the load goes on, unless `PAX_TEST_LOAD_S` says otherwise.
const LOAD: Duration = Duration::from_secs(20);
/// How long anybody waits at most, while connections end and a ledger stands still for five seconds: that, and the time
/// that a transaction is tried for.
const LONGEST: Duration = Duration::from_secs(11);

/// These tests take a while, and are the same wherever all others store.
fn were_run() -> bool {
    crate::common::on_postgres()
}

fn three() -> Three {
    Three::start(&Server::shared().database())
}

/// Runs SQL in their database.
fn sql(three: &Three, sql: &str) -> String {
    Server::shared().run(three.database.rsplit('/').next().unwrap(), sql)
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
                let reply = held(&three.services[n % 3], &lost, "0.1", PATIENCE).unwrap();
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
                    scope.spawn(|| assert!(sent(service, &bytes(debit), PATIENCE)));
                }
            }
        });
    }
    three.holds(&|query| sql(&three, query));
    let entries = sql(&three, "SELECT count(*) FROM credit_ledger WHERE kind = 'debit'");
    assert_eq!(entries, (0..20).map(|round| 3 + round % 5).sum::<u64>().to_string());
}

#[test]
fn under_load_while_sessions_end_connections_are_cut_and_a_ledger_stands_still_nothing_is_lost_and_nobody_waits_long()
 {
    if were_run() {
        return;
    }
    let way = Proxy::to(Server::shared().port());
    let database = Server::shared().database();
    let three = Arc::new(Three::start_over(&database, &way.url(&database)));
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
                    held(service, &lost, "0.001", PATIENCE).is_some_and(|reply| {
                        assert!(matches!(reply.outcome, HoldOutcome::Held), "{reply:?}");
                        true
                    })
                });
                let line = match turn % 5 {
                    0 => format!("{{\"void\":\"{}\",\"account\":\"{}\"}}", lost.exchange_id, lost.account)
                        .into_bytes(),
                    _ => bytes(&debit),
                };
                until_done(&|service| sent(service, &line, PATIENCE));
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
    let mut troubles = 0_u32;
    while began.elapsed() < load {
        thread::sleep(Duration::from_millis(700));
        troubles += 1;
        if troubles.is_multiple_of(2) {
            way.cut();
        } else if troubles % 20 == 1 {
            let service = &three.services[usize::try_from(troubles / 20).unwrap() % 3];
            service.signal("STOP");
            thread::sleep(Duration::from_secs(5));
            service.signal("CONT");
        } else {
            let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() \
                 AND pid <> pg_backend_pid() ORDER BY random() LIMIT 2";
            sql(&three, end);
        }
    }
    is_over.store(true, Ordering::Relaxed);
    callers.into_iter().for_each(|caller| caller.join().unwrap());
    let acknowledged = acknowledged.lock().unwrap();
    let entries = sql(&three, "SELECT exchange_id FROM credit_ledger WHERE kind = 'debit'");
    let entries: BTreeSet<String> = entries.lines().map(str::to_owned).collect();
    assert_eq!(entries, *acknowledged);
    assert_eq!(sql(&three, "SELECT count(*) FROM holds WHERE state = 'open'"), "0");
    three.holds(&|query| sql(&three, query));
    let longest = *longest.lock().unwrap();
    println!("{} calls, {troubles} troubles, longest wait {longest:?}", acknowledged.len());
    assert!(acknowledged.len() > 200, "{}", acknowledged.len());
    assert!(longest < LONGEST, "{longest:?}");
}
