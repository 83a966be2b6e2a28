//! A ledger that does not answer: what it told before is believed for its time to live and one grace, and no
//! longer.

use crate::OwnCase;
use crate::common::http::Answer;
use crate::common::world::World;
use crate::holds::rich;
use crate::play::{Caller, OUTPUT_TOKENS, answer as provider_answer, room_for, signal, until};
use pax_standin::Behaviour;
use serde_json::Value;
use std::time::{Duration, Instant};

pub const CASES: &[OwnCase] = &[
    ("while the ledger is frozen, no revoked token, disabled account or lowered cap lives on", frozen),
    ("while the ledger is dead, no revoked token, disabled account or lowered cap lives on", dead),
    ("a ledger that hangs: a call waits two seconds for its hold, which is voided afterwards", no_hold),
];

const TTL: Duration = Duration::from_secs(1);
const GRACE: Duration = Duration::from_millis(pax_gateway::memory::token_cache::GRACE_MS);
/// For the question that was under way, and for a busy machine.
const LITTLE: Duration = Duration::from_millis(900);
/// Longer than three graces.
const AWAY: Duration = Duration::from_secs(8);

fn said(answer: &Answer) -> String {
    if answer.status == 200 { "200".to_owned() } else { answer.refusal() }
}

fn signal_ledger(world: &World, what: &str) {
    let (_, id) = world.stack.processes().into_iter().find(|(name, _)| *name == "ledger").unwrap();
    signal(id, what);
}

fn no_hold() {
    let patient = |config: &mut Value| config["ledger"]["timeout_ms"] = 30_000.into();
    let world = World::start_with(|builder| builder.change_filter_config(patient));
    let caller = rich(&world, "patient", room_for(1));
    world.behave(Behaviour { body: Some(provider_answer(1, 1)), ..Behaviour::default() });
    assert_eq!(said(&world.connect().call(&caller.call(OUTPUT_TOKENS))), "200");
    world.settle();
    world.take_received();
    signal_ledger(&world, "-STOP");
    let asked = Instant::now();
    let refused = said(&world.connect().call(&caller.call(OUTPUT_TOKENS)));
    let waited = asked.elapsed();
    signal_ledger(&world, "-CONT");
    assert_eq!(refused, "503 ledger_unavailable");
    assert!((Duration::from_millis(1_900)..Duration::from_secs(3)).contains(&waited), "{waited:?}");
    assert!(world.take_received().is_empty(), "nothing goes up without a hold");
    // The ledger reads the question once it goes on. The void gives back what it then holds.
    let fits = || said(&world.connect().call(&caller.call(OUTPUT_TOKENS)));
    until(Duration::from_secs(10), fits, "200");
    world.settle();
    let holds = world.stack.ledger(["holds", "list"]).unwrap();
    assert_eq!(holds.lines().filter(|line| line.contains("open")).count(), 0, "{holds}");
    world.replay();
}

fn frozen() {
    away(|world| signal_ledger(world, "-STOP"), |world| signal_ledger(world, "-CONT"));
}

fn dead() {
    away(World::kill_ledger_now, |world| world.stack.start_ledger().unwrap());
}

impl World {
    fn kill_ledger_now(&mut self) {
        self.stack.kill_ledger();
    }
}

fn away(goes: impl Fn(&mut World), comes_back: impl Fn(&mut World)) {
    let mut world = World::start_with(|builder| {
        builder.change_filter_config(|config| {
            config["tokens"] = serde_json::json!({ "ttl_s": TTL.as_secs(), "unknown_ttl_s": 1 });
            config["ledger"]["timeout_ms"] = 400.into();
        })
    });
    let callers = ["revoked", "disabled", "lowered"].map(|name| Caller::new(&world, name, None));
    let mut connections: Vec<_> = (0..8).map(|_| world.connect()).collect();
    for caller in &callers {
        for connection in &mut connections {
            assert_eq!(said(&connection.call(&caller.call(10))), "200");
        }
    }
    world.settle();
    goes(&mut world);
    let gone = Instant::now();
    let list = world.stack.ledger(["token", "list", "revoked"]).unwrap();
    let id = list.split_ascii_whitespace().find(|word| word.starts_with("tok_")).expect("the token's id");
    world.stack.ledger(["token", "revoke", id]).unwrap();
    world.stack.ledger(["account", "disable", "disabled"]).unwrap();
    world.stack.ledger(["account", "cap", "lowered", "0"]).unwrap();

    // Callers that never stop: each failed question is followed by the next.
    let mut served = [Duration::ZERO; 3];
    while gone.elapsed() < AWAY {
        for (caller, served) in callers.iter().zip(&mut served) {
            for connection in &mut connections {
                match said(&connection.call(&caller.call(10))).as_str() {
                    "200" => *served = gone.elapsed(),
                    other => assert_eq!(other, "503 ledger_unavailable"),
                }
            }
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    println!("served after the ledger went away, at last: {served:?}");
    assert!(served.iter().all(|last| *last <= TTL + GRACE + LITTLE), "{served:?}");
    comes_back(&mut world);
    let ask = |caller: &Caller| said(&world.connect().call(&caller.call(10)));
    until(Duration::from_secs(10), || ask(&callers[0]), "401 invalid_api_key");
    until(Duration::from_secs(10), || ask(&callers[1]), "403 account_disabled");
    until(Duration::from_secs(10), || ask(&callers[2]), "429 daily_cap_exceeded");
    world.settle();
    world.replay();
}
