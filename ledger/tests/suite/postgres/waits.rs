//! What the ledger does while PostgreSQL, or its network, gives no answer; and how often it waits for one.

use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use pax_gateway::base::account::Tier;
use pax_gateway::base::clock::Moment;
use pax_gateway::base::exchange_id::ExchangeId;
use pax_gateway::base::wire::{DEBITS_PATH, DebitOutcome, DebitReplies, HoldOutcome, StandingAsk};
use pax_ledger::book::Line;
use pax_ledger::book::hold::Hold;
use pax_ledger::store::{Location, NewGrant, Open, Store};
use pax_postgres::proxy::Proxy;
use pax_postgres::server::Server;

use crate::common::debits::{DAY_0, DAY_MS, ENVOY, hold_body, reported};
use crate::common::granting::pax;
use crate::common::several::{call, token};
use crate::common::{BEARER, Service, act, ask_within, bytes, replayed};

/// Longer than a call waits for the ledger.
const SOON: Duration = Duration::from_millis(2_500);

/// How a ledger answers a debit, if it does so soon.
fn debited(service: &Service, line: &[u8]) -> Option<DebitOutcome> {
    let headers = [("authorization", BEARER)];
    let answer = ask_within(SOON, service.internal, "POST", (DEBITS_PATH, &headers, line));
    let replies: Option<DebitReplies> = serde_json::from_str(&answer.body).ok();
    replies.map(|replies| replies.results[0].outcome)
}

#[test]
fn while_no_standby_confirms_commits_one_of_them_waits_nothing_is_acknowledged_and_no_sessions_pile_up() {
    let server = Server::start(&["fsync=off"]);
    let (database, runtime) = (server.database(), tokio::runtime::Runtime::new().unwrap());
    let name = database.rsplit('/').next().unwrap();
    let location = Location::parse(&database).unwrap();
    let store = runtime.block_on(Store::open(&location, Open::Create)).unwrap();
    // Each debit is of another account, so that no lock keeps it from its commit.
    let account = |n: u64| format!("account-{n}");
    for n in 0..20 {
        runtime.block_on(store.create_account(&act(), &account(n), Tier::Free, None)).unwrap().unwrap();
    }
    let service = Service::start(Path::new(&database));
    let line = |n: u64| bytes(&reported(n, &account(n), Tier::Free));
    assert_eq!(debited(&service, &line(1)), Some(DebitOutcome::Recorded));
    // A standby that does not exist.
    server.set("synchronous_standby_names", "nobody");
    let began = Instant::now();
    let mut sent = 2;
    // Long enough for several transactions to be given up.
    while began.elapsed() < Duration::from_secs(16) {
        assert_eq!(debited(&service, &line(sent)), None, "it was not durable on the standby");
        sent += 1;
    }
    // Nor is what was durable there long ago: the ledger cannot know that.
    assert_eq!(debited(&service, &line(1)), None);
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND query = 'COMMIT'";
    let waiting: u32 = server.run(name, waiting).parse().unwrap();
    // The writer's commit, and perhaps that of the upkeep.
    assert!((1..=2).contains(&waiting), "{waiting} sessions wait");
    server.set("synchronous_standby_names", "");
    let began = Instant::now();
    while debited(&service, &line(1)) != Some(DebitOutcome::Duplicate) {
        assert!(began.elapsed() < Duration::from_secs(10));
        sleep(Duration::from_millis(100));
    }
    // Each is sent until it is acknowledged.
    for n in 2..sent {
        assert!(debited(&service, &line(n)).is_some());
    }
    assert_eq!(server.run(name, "SELECT count(*) FROM credit_ledger"), (sent - 1).to_string());
    assert_eq!(runtime.block_on(replayed(&store)).1, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_to_a_host_that_is_gone_without_a_word_ends() {
    let database = Server::shared().database();
    let way = Proxy::to(Server::shared().port());
    let location = Location::parse(&way.url(&database)).unwrap();
    let store = Store::open(&location, Open::Create).await.unwrap();
    store.create_account(&act(), "here", Tier::Free, None).await.unwrap().unwrap();
    let ask = StandingAsk { account: "here".to_owned(), utc_day: Moment::from_ms(DAY_0).day() };
    assert!(store.standings(std::slice::from_ref(&ask)).await.unwrap()[0].is_some());
    way.silence(true);
    let began = Instant::now();
    store.standings(std::slice::from_ref(&ask)).await.unwrap_err();
    assert!(began.elapsed() < Duration::from_secs(14), "{:?}", began.elapsed());
    way.silence(false);
    assert!(store.standings(&[ask]).await.unwrap()[0].is_some());
}

/// How often a writer waits for the database until it has recorded what each of so many accounts has spent.
async fn round_trips(writer: &mut pax_ledger::store::Writer, way: &Proxy, from: u64, day: u64) -> u64 {
    let at = Moment::from_ms(DAY_0 + day * DAY_MS + 1);
    let line = |n: u64| {
        let mut debit = reported(from + 2 * n, &format!("account-{n}"), Tier::Free);
        let [.., a, b] = (from + n).to_be_bytes();
        debit.exchange_id = ExchangeId::new(at, [0, 0, 0, 0, 0, 0, 0, 0, a, b]);
        (debit.occurred_at, debit.utc_day) = (at, at.day());
        Line::read(&bytes(&debit))
    };
    let lines: Vec<_> = (0..100).map(line).collect();
    let before = way.round_trips();
    let replies = writer.record(&lines.into(), at).await.unwrap();
    assert!(replies.iter().all(|reply| reply.outcome == DebitOutcome::Recorded), "{replies:?}");
    way.round_trips() - before
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_takes_five_round_trips_on_any_day_however_many_accounts_it_has() {
    let way = Proxy::to(Server::shared().port());
    let location = Location::parse(&way.url(&Server::shared().database())).unwrap();
    let store = Store::open(&location, Open::Create).await.unwrap();
    for n in 0..100 {
        store.create_account(&act(), &format!("account-{n}"), Tier::Free, None).await.unwrap().unwrap();
    }
    let mut writer = store.writer();
    // The first one connects, and tells the database its questions.
    round_trips(&mut writer, &way, 1_000, 0).await;
    // Begin, lock, read, write, commit.
    assert_eq!(round_trips(&mut writer, &way, 2_000, 0).await, 5);
    assert_eq!(round_trips(&mut writer, &way, 3_000, 1).await, 5);
    // So does the end of holds, whose days the lines do not say.
    store.create_account(&act(), "rich", Tier::Credit, None).await.unwrap().unwrap();
    store.add_token(&act(), &token("rich")).await.unwrap().unwrap();
    store.grant(&act(), &NewGrant::goodwill("rich", pax("1"))).await.unwrap();
    let mut took = 0;
    for _ in 0..2 {
        let (lost, _) = call("rich");
        let hold = Hold::read(&hold_body(&lost, "0.1", "5", ENVOY)).unwrap();
        let held = writer.hold(&vec![hold].into(), 0, pax_ledger::now()).await.unwrap();
        assert_eq!(held[0].outcome, HoldOutcome::Held);
        let void = format!("{{\"void\":\"{}\",\"account\":\"rich\"}}", lost.exchange_id);
        let before = way.round_trips();
        let voided =
            writer.record(&vec![Line::read(void.as_bytes())].into(), pax_ledger::now()).await.unwrap();
        assert_eq!(voided[0].outcome, DebitOutcome::Voided);
        took = way.round_trips() - before;
    }
    // The first void tells the database its questions, too.
    assert_eq!(took, 5);
}
