//! Providers that take their time. These calls run while the other cases do: they are longer than every default
//! timeout that would cut them (a route's 15 seconds).

use crate::Case;
use crate::common::http::{Answer, Connection, chat};
use crate::common::world::{MODEL, TOKEN, World};
use pax_standin::Behaviour;
use std::sync::Mutex;
use std::thread::JoinHandle;
use std::time::Duration;

pub const FIRST: &[Case] = &[("slow calls begin", begin)];
pub const LAST: &[Case] = &[("no slow provider and no silent stream is cut", end)];

const SLOW_MS: u64 = 17_000;

/// A stack of its own, so that other cases can wait until nothing is in flight in theirs.
static RUNNING: Mutex<Option<(World, Vec<JoinHandle<Answer>>)>> = Mutex::new(None);

fn begin(_: &mut World) {
    let world = World::start();
    let slow = [
        (Behaviour { delay_ms: Some(SLOW_MS), ..Behaviour::default() }, false),
        (Behaviour { first_byte_delay_ms: Some(SLOW_MS), ..Behaviour::default() }, true),
        (Behaviour { first_byte_delay_ms: Some(SLOW_MS), ..Behaviour::default() }, false),
    ];
    let mut calls = Vec::new();
    for (number, (behaviour, stream)) in slow.into_iter().enumerate() {
        world.behave(Behaviour { times: Some(1), ..behaviour });
        let port = world.stack.gateway_port();
        let body = format!(r#"{{"model":"{MODEL}","stream":{stream},"messages":[]}}"#);
        calls.push(std::thread::spawn(move || Connection::open(port).call(&chat(TOKEN, &body))));
        while world.standin.received().len() <= number {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    *RUNNING.lock().unwrap() = Some((world, calls));
}

fn end(_: &mut World) {
    let (world, calls) = RUNNING.lock().unwrap().take().expect("slow calls that began");
    for call in calls {
        let answer = call.join().expect("a call that ends");
        assert!(answer.status == 200 && answer.complete, "{} {}", answer.status, answer.text());
        let entry = world.entry(&answer.header("x-matrix-exchange-id"));
        assert_eq!((&entry["ending"], &entry["provenance"]), (&"complete".into(), &"reported".into()));
    }
}
