//! Bundles and files that must never take over.

use crate::Case;
use crate::bundles::{Cards, call, log, version, wait_for};
use crate::common::http::{Connection, chat};
use crate::common::world::{MODEL, TOKEN, World};
use pax_stack::Layout;
use std::process::{Child, Command, Stdio};

pub const CASES: &[Case] = &[
    (
        "a bundle with mistakes never takes over: each is named, counted, and the last good one stays",
        bad_bundle,
    ),
    ("without a file for the filter Envoy does not start", missing_file),
    ("with a first file that has a mistake no call is served, and none hangs", bad_first_file),
];

fn rejected(world: &World) -> u64 {
    world.stack.stat("wasmcustom.pax_configurations_rejected_total").unwrap_or(0)
}

fn bad_bundle() {
    let world = World::start();
    let good = Cards::published().and_now("1", "2");
    good.use_in(&world);
    let newest = good.newest();
    let two = |text: &str| {
        text.replace("\"daily_cap_pax\": \"10\"", "\"daily_cap_pax\": 10")
            .replace("\"input\": \"9\"", "\"input\": \"9,0\"")
    };
    let mut wrong = good.clone().and_now("9", "9");
    let last = wrong.0.last_mut().unwrap();
    *last = two(last);
    let mut changed = good.clone();
    changed.0[0] = changed.0[0].replace("the first card", "the First card");
    let mut gone = good.clone();
    gone.0.pop();
    let mut unlocked = good.clone().and_now("9", "9").config();
    unlocked["lock"] = good.config()["lock"].clone();
    let model = format!("rate_cards.v{}.json: models.{MODEL}.usd_per_mtok.input: must be", newest + 1);
    let cap = format!("rate_cards.v{}.json: free_tier.daily_cap_pax: must be", newest + 1);
    let other = "rate_cards.v1.json: is not the card that is built into the filter".to_owned();
    let lock = format!("rate_cards.v{}.json: is not locked", newest + 1);
    let mut no_lock = good.config();
    no_lock.as_object_mut().unwrap().remove("lock");
    let bad = [
        (wrong.config(), vec![model, cap]),
        (changed.config(), vec![other]),
        (unlocked, vec![lock]),
        (no_lock, vec!["rate_cards.lock: is missing".to_owned()]),
    ];
    for ((config, mistakes), count) in bad.into_iter().zip(1..) {
        world.stack.change_filter(|filter| filter["rate_cards"] = config).unwrap();
        wait_for("the bundle is rejected", || rejected(&world) == count);
        let told = log(&world);
        for mistake in mistakes {
            assert!(told.contains(&format!("configuration: {mistake}")), "{mistake:?} is not in {told}");
        }
        for _ in 0..4 {
            let answer = call(&world);
            assert_eq!(version(&answer), newest);
            good.check(&world.entry(&answer.header("x-matrix-exchange-id")));
        }
    }
    let better = good.and_now("3", "4");
    better.use_in(&world);
    assert_eq!(version(&call(&world)), better.newest());
    world.settle();
    world.replay();
}

/// Envoy alone, with what stands in the world's run folder. Killed on drop.
pub struct Envoy(Child);

impl Envoy {
    pub fn start(world: &World) -> Self {
        let log = std::fs::File::create(world.stack.run_dir().join("envoy.log")).unwrap();
        let mut command = Command::new(Layout::find().unwrap().envoy);
        command.arg("-c").arg(world.stack.run_dir().join("envoy.yaml"));
        command.args(["--disable-hot-restart", "--concurrency", "2", "--log-level", "info"]);
        command.env("PAX_LEDGER_SECRET", world.stack.ledger_secret());
        let child = command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn();
        Self(child.unwrap())
    }

    pub fn ended(&mut self) -> bool {
        self.0.try_wait().unwrap().is_some()
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn missing_file() {
    let mut world = World::start();
    world.stack.kill_envoy();
    std::fs::remove_file(world.stack.filter_file()).unwrap();
    let mut envoy = Envoy::start(&world);
    wait_for("Envoy ends", || envoy.ended());
    assert!(log(&world).contains("filter.yaml"), "it says which file is missing: {}", log(&world));
}

fn bad_first_file() {
    let mut world = World::start();
    world.stack.kill_envoy();
    world.stack.change_filter(|config| config["default_slot"] = "A B".into()).unwrap();
    let _envoy = Envoy::start(&world);
    let port = world.stack.gateway_port();
    wait_for("it listens", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
    let body = format!(r#"{{"model":"{MODEL}","messages":[]}}"#);
    for _ in 0..4 {
        assert_eq!(Connection::open(port).call(&chat(TOKEN, &body)).refusal(), "503 gateway_disabled");
    }
    assert!(world.take_received().is_empty(), "a call went on unmetered");
    assert!(log(&world).contains("configuration: default_slot: must be"));
    // Put right, it serves at once.
    world.stack.change_filter(|config| config["default_slot"] = "default".into()).unwrap();
    wait_for("calls are served", || Connection::open(port).call(&chat(TOKEN, &body)).status == 200);
}
