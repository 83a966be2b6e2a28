//! The ledger learns a card before a call is priced by it.

use crate::Case;
use crate::bundles::{Cards, call, cards_in_use, log, version, wait_for};
use crate::common::http::{Connection, chat, request};
use crate::common::world::{MODEL, TOKEN, World};
use crate::mistakes::Envoy;
use std::time::Duration;

pub const CASES: &[Case] = &[
    ("until the ledger knows a card calls go on under the one before it, and no debit is lost", ledger_away),
    ("a card whose version the ledger knows otherwise never prices a call", other_card),
    ("a gateway that starts before its ledger takes no call until that knows the cards", ledger_later),
    ("what the operator adds by hand is known", added_by_hand),
];

fn ledger_away() {
    let mut world = World::without_holds();
    let before = Cards::published();
    // The caller's token is known from here on.
    call(&world);
    world.settle();
    world.stack.kill_ledger();
    let cards = before.clone().and_now("1", "2");
    cards.put(&world);
    let mut ids = Vec::new();
    for _ in 0..10 {
        let answer = call(&world);
        assert_eq!(version(&answer), before.newest());
        ids.push(answer.header("x-matrix-exchange-id"));
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(cards_in_use(&world), Some(u64::from(before.newest())));
    assert!(log(&world).contains("does not know this configuration's rate cards yet"));
    world.stack.start_ledger().unwrap();
    wait_for("the cards are in use", || version(&call(&world)) == cards.newest());
    for id in ids {
        assert_eq!(world.entry(&id)["rate_table_v"], before.newest());
    }
    world.settle();
    world.entries().iter().for_each(|entry| cards.check(entry));
    world.replay();
}

fn other_card() {
    let world = World::start();
    let before = Cards::published();
    let known = before.clone().and_now("1", "2");
    let file = world.stack.run_dir().join("other.json");
    std::fs::write(&file, known.0.last().unwrap()).unwrap();
    world.stack.ledger(["cards".as_ref(), "add".as_ref(), file.as_os_str()]).unwrap();
    before.clone().and_now("5", "6").put(&world);
    let refused = "wasmcustom.pax_rate_cards_refused_total";
    wait_for("the ledger refuses it", || world.stack.stat(refused).is_some_and(|count| count > 0));
    let told = log(&world);
    assert!(told.contains("the ledger refuses this configuration's rate cards"), "{told}");
    assert!(told.contains(&format!("version {} belongs to the card with sha256", known.newest())), "{told}");
    for _ in 0..4 {
        assert_eq!(version(&call(&world)), before.newest());
    }
    // The card that was published first is the one.
    known.use_in(&world);
    assert_eq!(version(&call(&world)), known.newest());
    world.settle();
    world.replay();
}

fn ledger_later() {
    let mut world = World::start();
    world.stack.kill_envoy();
    world.stack.kill_ledger();
    let _envoy = Envoy::start(&world);
    let port = world.stack.gateway_port();
    wait_for("it listens", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
    let ready = || Connection::open(port).call(&request("GET", "/readyz", &[], Some(b""))).status;
    let body = format!(r#"{{"model":"{MODEL}","messages":[]}}"#);
    assert_eq!(ready(), 503);
    assert_eq!(Connection::open(port).call(&request("GET", "/healthz", &[], Some(b""))).status, 200);
    let answer = Connection::open(port).call(&chat(TOKEN, &body));
    assert_eq!(answer.status, 503, "{}", answer.text());
    world.stack.start_ledger().unwrap();
    wait_for("it is ready", || ready() == 200);
    wait_for("calls are served", || Connection::open(port).call(&chat(TOKEN, &body)).status == 200);
}

fn added_by_hand() {
    let world = World::start();
    let cards = Cards::published().and_now("1", "2");
    let file = world.stack.run_dir().join("new.json");
    std::fs::write(&file, cards.0.last().unwrap()).unwrap();
    let add = || world.stack.ledger(["cards".as_ref(), "add".as_ref(), file.as_os_str()]).unwrap();
    assert!(add().starts_with("learned 1 rate cards"));
    assert!(add().starts_with("learned 0 rate cards"), "learning is once");
    let list = world.stack.ledger(["cards", "list"]).unwrap();
    assert_eq!(list.lines().count(), cards.0.len() + 1, "{list}");
    cards.use_in(&world);
    let entry = world.entry(&call(&world).header("x-matrix-exchange-id"));
    assert_eq!(entry["rate_table_v"], cards.newest());
    world.replay();
}
