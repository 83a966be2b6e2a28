//! What PostgreSQL has that a file has not: guards of its own, roles, several ledgers on one database, copies from and to
//! a file. All other tests of the ledger run on it too, where the environment says `PAX_TEST_DB=postgres`.

use crate::common;
use crate::holds::story::{Ledger, at};
mod copy;
mod guards;
mod several;
mod tls;
mod waits;

use common::debits::reported;
use common::{Folder, bytes, record, replayed};
use pax_gateway::base::account::Tier;
use pax_gateway::base::wire::DebitOutcome;
use pax_ledger::store::{Location, Open, Store};
use pax_postgres::server::Server;

#[tokio::test(flavor = "multi_thread")]
async fn of_several_hosts_the_one_that_takes_writes_is_used() {
    let mut standing = Server::start(&["default_transaction_read_only=on"]);
    let taking = Server::start(&[]);
    let name = |url: String| url.rsplit('/').next().unwrap().to_owned();
    let ledger = name(taking.database());
    // A host that takes connections and no writes, as a standby does; it has the database too.
    standing.crash(&[]);
    standing.run("postgres", &format!("CREATE DATABASE {ledger}"));
    standing.crash(&["default_transaction_read_only=on"]);
    let port = |url: String| url.split(':').nth(2).unwrap().split('/').next().unwrap().to_owned();
    let (no, yes) = (port(standing.url("x")), port(taking.url("x")));
    // Nobody listens on the first one.
    let hosts = format!("127.0.0.1:1,127.0.0.1:{no},127.0.0.1:{yes}");
    let location = Location::parse(&format!("postgres://postgres@{hosts}/{ledger}")).unwrap();
    let store = Store::open(&location, Open::Create).await.unwrap();
    store.create_account(&common::act(), "free", Tier::Free, None).await.unwrap().unwrap();
    assert_eq!(
        record(&store, &[bytes(&reported(1, "free", Tier::Free))]).await[0].outcome,
        DebitOutcome::Recorded
    );
    assert_eq!(taking.run(&ledger, "SELECT count(*) FROM credit_ledger"), "1");
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_there_after_the_server_has_crashed_and_the_ledger_goes_on() {
    let mut server = Server::start(&[]);
    let location = Location::parse(&server.database()).unwrap();
    let store = Store::open(&location, Open::Create).await.unwrap();
    store.create_account(&common::act(), "free", Tier::Free, None).await.unwrap().unwrap();
    let line = |n| bytes(&reported(n, "free", Tier::Free));
    for n in 0..50 {
        assert_eq!(record(&store, &[line(n)]).await[0].outcome, DebitOutcome::Recorded);
    }
    server.crash(&[]);
    // The same store, whose connections are all gone.
    let again: Vec<_> = (0..51).map(line).collect();
    let outcomes: Vec<_> = record(&store, &again).await.iter().map(|reply| reply.outcome).collect();
    assert!(outcomes[..50].iter().all(|outcome| *outcome == DebitOutcome::Duplicate), "{outcomes:?}");
    assert_eq!(outcomes[50], DebitOutcome::Recorded);
    assert_eq!(replayed(&store).await.1, []);
    store.close().await;
}

#[tokio::test]
async fn a_debit_with_a_character_that_postgresql_cannot_keep_goes_to_quarantine_and_blocks_no_other() {
    let folder = Folder::of_postgres();
    let store = folder.store_with_accounts().await;
    let mut bad = reported(2, "free", Tier::Free);
    bad.response_id = Some("chatcmpl-\0".to_owned());
    let replies = record(&store, &[bytes(&bad), bytes(&reported(4, "free", Tier::Free))]).await;
    assert_eq!(
        replies.iter().map(|reply| reply.outcome).collect::<Vec<_>>(),
        [DebitOutcome::Rejected, DebitOutcome::Recorded]
    );
    assert!(replies[0].message.as_ref().unwrap().contains("U+0000"), "{replies:?}");
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_that_lock_the_same_accounts_in_any_order_do_not_deadlock_and_lose_nothing() {
    let folder = Folder::of_postgres();
    let store = folder.store_with_accounts().await;
    for name in ["a", "b", "c"] {
        store.create_account(&common::act(), name, Tier::Free, None).await.unwrap().unwrap();
    }
    let tasks = (0..4_u64).map(|writer| {
        let store = store.clone();
        tokio::spawn(async move {
            for round in 0..30 {
                let accounts = if writer % 2 == 0 { ["a", "b", "c"] } else { ["c", "b", "a"] };
                let line = |(place, account): (u64, &str)| {
                    bytes(&reported(writer * 1_000 + round * 10 + place, account, Tier::Free))
                };
                let lines: Vec<_> = (0..).zip(accounts).map(line).collect();
                let replies = record(&store, &lines).await;
                assert!(replies.iter().all(|reply| reply.outcome == DebitOutcome::Recorded), "{replies:?}");
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    assert_eq!(
        folder.sql("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()").await,
        [["0"]]
    );
    let (report, found) = replayed(&store).await;
    assert_eq!((report.entries, found), (360, Vec::new()));
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_the_database_was_away_no_hold_of_a_living_envoy_expires_and_one_of_a_dead_envoy_does_a_minute_later()
 {
    let mut ledger = Ledger::in_folder(Folder::of_postgres()).await;
    ledger.tell("grant gift 1 -> 1\n hold 2 0.4 -> held 0.4").await;
    let writer = &mut ledger.writer;
    assert!(writer.begin_pass(at(0)).await.unwrap());
    // Nobody could write for 70 s: no Envoy could renew its lease.
    writer.begin_pass(at(70_000)).await.unwrap();
    assert_eq!(writer.expire_holds(at(70_000)).await.unwrap(), 0);
    // From now on a ledger is there, and no Envoy renews anything.
    for second in (80..130).step_by(10) {
        writer.begin_pass(at(second * 1_000)).await.unwrap();
        assert_eq!(writer.expire_holds(at(second * 1_000)).await.unwrap(), 0, "{second}");
    }
    writer.begin_pass(at(130_000)).await.unwrap();
    assert_eq!(writer.expire_holds(at(130_000)).await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_voids_a_hold_under_the_lock_of_its_account_and_waits_for_it_twice_at_most() {
    let mut ledger = Ledger::in_folder(Folder::of_postgres()).await;
    ledger.tell("grant gift 1 -> 1\n hold 2 0.4 -> held 0.4\n @60001 lapse -> 1").await;
    let name = ledger.folder.database().to_str().unwrap().rsplit('/').next().unwrap().to_owned();
    let lock_for = |seconds: &str| {
        let (name, seconds) = (name.clone(), seconds.to_owned());
        let lock = format!(
            "BEGIN; UPDATE accounts SET status = status WHERE name = 'credit'; SELECT pg_sleep({seconds}); COMMIT"
        );
        std::thread::spawn(move || Server::shared().run(&name, &lock))
    };
    let pause = std::time::Duration::from_millis(500);
    let locked = lock_for("4");
    tokio::time::sleep(pause).await;
    let refused = ledger.store.void_hold(&common::act(), common::debits::exchange(2)).await.unwrap_err();
    assert!(refused.to_string().contains("lock timeout"), "{refused}");
    locked.join().unwrap();
    let locked = lock_for("2");
    tokio::time::sleep(pause).await;
    ledger.store.void_hold(&common::act(), common::debits::exchange(2)).await.unwrap();
    locked.join().unwrap();
}

#[tokio::test]
async fn a_line_that_names_nobody_possible_goes_to_quarantine_and_blocks_no_other() {
    let folder = Folder::of_postgres();
    let store = folder.store_with_accounts().await;
    let (mut nul, mut long) = (reported(2, "free", Tier::Free), reported(4, "free", Tier::Free));
    nul.account = "fr\0ee".to_owned();
    long.token_id = "t".repeat(4_000);
    let void = format!("{{\"void\":\"{}\",\"account\":\"a\\u0000\"}}", common::debits::exchange(8));
    let lines = [bytes(&nul), bytes(&long), void.into_bytes(), bytes(&reported(6, "free", Tier::Free))];
    let outcomes: Vec<_> = record(&store, &lines).await.iter().map(|reply| reply.outcome).collect();
    let rejected = DebitOutcome::Rejected;
    assert_eq!(outcomes, [rejected, rejected, rejected, DebitOutcome::Recorded]);
    store.close().await;
}
