//! Many calls of one account at once never spend more than its cap.

use crate::Case;
use crate::common::http::Connection;
use crate::common::world::World;
use crate::play::{Caller, OUTPUT_TOKENS, all_at_once, answer, costs_all, room_for, served, sum};
use pax_standin::Behaviour;
use rust_decimal::Decimal;

pub const CASES: &[Case] = &[
    ("200 callers at once never spend more than the cap, and nothing stays reserved", two_hundred),
    ("callers who hang up, and providers who do, leave nothing reserved", hung_up),
];

const CALLERS: usize = 200;
const FIT: u64 = 100;

/// What the provider makes of the calls of a round.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Provider {
    /// Each costs what was reserved: exactly as many as fit are served, whatever the timing.
    CostsAll,
    /// Each costs a part of it: who comes later finds room again.
    CostsLess,
    /// Each fails: nothing is spent.
    Fails,
}

impl Provider {
    fn behaviour(self) -> Behaviour {
        let behaviour = match self {
            Self::CostsAll => costs_all(),
            Self::CostsLess => {
                Behaviour { body: Some(answer(40, OUTPUT_TOKENS / 4)), ..Behaviour::default() }
            }
            Self::Fails => Behaviour::status(500),
        };
        // Longer than it takes to send them all: they are in flight together.
        Behaviour { delay_ms: Some(300), ..behaviour }
    }
}

fn two_hundred(world: &mut World) {
    let port = world.stack.gateway_port();
    let mut connections: Vec<_> = (0..CALLERS).map(|_| world.connect()).collect();
    let cap = room_for(FIT);
    for round in 0..20 {
        let provider = [Provider::CostsAll, Provider::CostsLess, Provider::Fails][round % 3];
        let caller = Caller::new(world, &format!("crowd-{round}"), Some(cap));
        world.behave(provider.behaviour());
        world.take_received();
        let mut answers = all_at_once(&mut connections, &caller.call(OUTPUT_TOKENS));
        let failed = answers.iter().filter(|answer| answer.status == 500).count();
        answers.retain(|answer| answer.status != 500);
        let served = served(&answers);
        assert_eq!(world.take_received().len(), served + failed, "who was refused reached the provider");
        let entries = caller.entries_within(world, served, std::time::Duration::from_secs(10));
        assert_eq!(entries.len(), served);
        let spent = sum(&entries);
        assert!(spent <= cap, "round {round}, {provider:?}: {spent} of {cap} spent");
        let fit = usize::try_from(FIT).unwrap();
        match provider {
            Provider::CostsAll => assert_eq!(served, fit, "round {round}"),
            Provider::CostsLess => assert!(served >= fit, "round {round}: {served} served"),
            Provider::Fails => assert!(served == 0 && failed >= fit, "round {round}: {failed} failed"),
        }
        assert!(
            served + failed < CALLERS,
            "round {round}: nobody was refused, so nobody was in flight together"
        );
        caller.has_nothing_reserved(world, port, cap);
    }
}

fn hung_up(world: &mut World) {
    let port = world.stack.gateway_port();
    let cap = room_for(FIT);
    let caller = Caller::new(world, "hung-up", Some(cap));
    let event = "data: {\"choices\":[{\"delta\":{\"content\":\"12345678\"}}]}\n\n";
    let stream = Behaviour {
        body: Some(event.repeat(3)),
        content_type: Some("text/event-stream".to_owned()),
        ..Behaviour::default()
    };
    let stalls = Behaviour { stall_after_bytes: Some(event.len()), ..stream.clone() };
    let cuts = Behaviour { cut_after_bytes: Some(event.len()), ..stream };
    let silent = Behaviour { delay_ms: Some(60_000), ..Behaviour::default() };
    let dead = Behaviour { cut_before_head: true, ..Behaviour::default() };
    let mut charged = 0;
    for (behaviour, costs) in [(stalls, true), (cuts, true), (silent, true), (dead, false)] {
        world.behave(behaviour);
        world.take_received();
        let mut connections: Vec<_> = (0..20).map(|_| Connection::open(port)).collect();
        connections.iter_mut().for_each(|connection| connection.send(&caller.special(true, None)));
        while world.standin.received().len() < connections.len() {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        drop(connections);
        charged += if costs { 20 } else { 0 };
    }
    world.settle();
    let entries = caller.entries(world);
    assert_eq!(entries.len(), charged);
    assert!(sum(&entries) > Decimal::ZERO && entries.iter().all(|entry| entry["provenance"] == "estimated"));
    caller.has_nothing_reserved(world, port, cap);
}
