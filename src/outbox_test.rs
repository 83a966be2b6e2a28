#![allow(clippy::unwrap_used, clippy::arithmetic_side_effects, clippy::indexing_slicing)]

use super::*;
use crate::shared::Version;
use crate::shared::fake::Map;
use proptest::prelude::*;

fn at(ms: u64) -> Tick {
    Tick::from_ms(ms)
}

/// A writer that knows nothing yet, on a thread that is never stopped.
fn put(shared: &Map, canonical: &[u8]) -> Result<(), Full> {
    Writer::default().put(shared, None, canonical, at(0), || at(0))
}

fn waiting(shared: &Map) -> u64 {
    waiting_from(shared).1
}

fn texts(batch: Option<&[Waiting]>) -> Vec<String> {
    let texts =
        |batch: &[Waiting]| batch.iter().map(|w| String::from_utf8(w.canonical.clone()).unwrap()).collect();
    batch.map(texts).unwrap_or_default()
}

#[test]
fn a_debit_stays_until_it_is_acknowledged() {
    let shared = Map::default();
    let mut sender = Sender::new(1);
    assert_eq!(sender.next_batch(&shared, at(0)), None);
    put(&shared, b"a").unwrap();
    put(&shared, b"b").unwrap();
    assert_eq!(texts(sender.next_batch(&shared, at(0))), ["a", "b"]);
    assert_eq!(sender.next_batch(&shared, at(1)), None, "one batch is under way");
    sender.failed(at(10));
    assert_eq!(sender.next_batch(&shared, at(109)), None, "it waits before it tries again");
    assert_eq!(texts(sender.next_batch(&shared, at(110))), ["a", "b"], "the same bytes again");
    put(&shared, b"c").unwrap();
    sender.acknowledged(&shared, at(111));
    assert_eq!(waiting(&shared), 1);
    assert_eq!(texts(sender.next_batch(&shared, at(111))), ["c"]);
    sender.acknowledged(&shared, at(112));
    assert_eq!((waiting(&shared), sender.next_batch(&shared, at(113))), (0, None));
}

#[test]
fn another_sender_takes_over_from_a_dead_one() {
    let shared = Map::default();
    put(&shared, b"a").unwrap();
    let (mut dead, mut heir) = (Sender::new(1), Sender::new(2));
    assert_eq!(texts(dead.next_batch(&shared, at(0))), ["a"]);
    assert_eq!(heir.next_batch(&shared, at(9_999)), None, "the lease holds");
    assert_eq!(texts(heir.next_batch(&shared, at(10_000))), ["a"]);
    heir.acknowledged(&shared, at(10_001));
    assert_eq!(waiting(&shared), 0);
}

#[test]
fn a_sender_with_nothing_to_send_makes_way_for_another() {
    let shared = Map::default();
    let (mut idle, mut busy) = (Sender::new(1), Sender::new(2));
    put(&shared, b"a").unwrap();
    idle.next_batch(&shared, at(0)).unwrap();
    idle.release(&shared);
    put(&shared, b"b").unwrap();
    assert_eq!(busy.next_batch(&shared, at(1)), None, "not while a batch is under way");
    idle.acknowledged(&shared, at(2));
    busy.release(&shared);
    assert_eq!(busy.next_batch(&shared, at(3)), None, "only one's own lease can be given up");
    idle.release(&shared);
    assert_eq!(texts(busy.next_batch(&shared, at(4))), ["b"]);
}

#[test]
fn a_late_acknowledgement_does_not_clear_another_debit() {
    let shared = Map::default();
    put(&shared, b"old").unwrap();
    let (mut slow, mut quick) = (Sender::new(1), Sender::new(2));
    slow.next_batch(&shared, at(0)).unwrap();
    quick.next_batch(&shared, at(20_000)).unwrap();
    quick.acknowledged(&shared, at(20_001));
    for _ in 1..SLOTS {
        put(&shared, b"x").unwrap();
        quick.next_batch(&shared, at(20_003)).unwrap();
        quick.acknowledged(&shared, at(20_003));
    }
    put(&shared, b"new").unwrap();
    slow.acknowledged(&shared, at(20_004));
    assert_eq!(texts(quick.next_batch(&shared, at(20_005))), ["new"], "it has the slot of the old one");
}

#[test]
fn the_outbox_is_bounded_and_drops_nothing() {
    let shared = Map::default();
    for n in 0..SLOTS {
        assert_eq!(put(&shared, n.to_string().as_bytes()), Ok(()));
    }
    assert_eq!(put(&shared, b"one too many"), Err(Full));
    let mut sender = Sender::new(1);
    let mut seen = Vec::new();
    while let Some(batch) = sender.next_batch(&shared, at(0)) {
        assert!(batch.len() <= BATCH);
        seen.extend(texts(Some(batch)));
        let all = seen.len() == usize::try_from(SLOTS).unwrap();
        assert_eq!(sender.has_more(), !all, "a full batch says that it left something behind");
        sender.acknowledged(&shared, at(0));
    }
    assert_eq!(seen, (0..SLOTS).map(|n| n.to_string()).collect::<Vec<_>>());
    assert_eq!(put(&shared, b"there is room again"), Ok(()));
}

#[test]
fn a_number_whose_vm_died_does_not_stop_the_others_for_ever() {
    let shared = Map::default();
    shared.swap(TAIL, &1u64.to_le_bytes(), Version::ABSENT); // number 0 was given out and never written
    put(&shared, b"b").unwrap();
    let mut sender = Sender::new(1);
    assert_eq!(texts(sender.next_batch(&shared, at(0))), ["b"], "it does not even wait for it");
    sender.acknowledged(&shared, at(1));
    assert_eq!(waiting(&shared), 2, "the head waits for number 0");
    look_from_to(&mut sender, &shared, 1, GAP_MS - 1);
    assert_eq!(waiting(&shared), 2, "not yet");
    look_from_to(&mut sender, &shared, GAP_MS, GAP_MS + 1);
    assert_eq!(waiting(&shared), 0);
}

/// Looks for something to send once a second, where nothing is.
fn look_from_to(sender: &mut Sender, shared: &Map, from: u64, to: u64) {
    for ms in (from..=to).step_by(1_000) {
        assert_eq!(sender.next_batch(shared, at(ms)), None, "{ms}");
    }
}

#[test]
fn a_writer_that_was_stopped_for_too_long_writes_again_under_a_new_number() {
    let shared = Map::default();
    let passed = |head: u64| {
        let version = shared.get(HEAD).map_or(Version::ABSENT, |(_, version)| version);
        assert!(shared.swap(HEAD, &head.to_le_bytes(), version));
    };
    let times = Cell::new(0);
    let stopped = || {
        times.set(times.get() + 1);
        if times.get() == 1 {
            passed(1); // its number 0 was given up meanwhile
        }
        at(70_000)
    };
    Writer::default().put(&shared, None, b"late", at(0), stopped).unwrap();
    assert_eq!(waiting(&shared), 1, "under number 1");
    assert_eq!(texts(Sender::new(1).next_batch(&shared, at(70_001))), ["late"]);
}

#[test]
fn a_writer_looks_for_room_anew_before_it_says_that_there_is_none() {
    let shared = Map::default();
    let (writer, mut sender) = (Writer::default(), Sender::new(1));
    for _ in 0..SLOTS {
        writer.put(&shared, None, b"x", at(0), || at(0)).unwrap();
    }
    assert_eq!(writer.put(&shared, None, b"y", at(0), || at(0)), Err(Full));
    sender.next_batch(&shared, at(0)).unwrap();
    sender.acknowledged(&shared, at(0));
    assert_eq!(writer.put(&shared, None, b"y", at(0), || at(0)), Ok(()));
}

proptest! {
    #[test]
    fn whatever_the_order_every_debit_is_acknowledged_and_none_is_lost(
        steps in prop::collection::vec((0u8..7, 0usize..3), 1..200),
    ) {
        let shared = Map::default();
        let mut senders = [Sender::new(1), Sender::new(2), Sender::new(3)];
        let (mut now, mut sent, mut arrived) = (0u64, 0u32, std::collections::BTreeSet::new());
        for (step, who) in steps {
            let sender = &mut senders[who];
            match step {
                0 | 1 => {
                    put(&shared, sent.to_string().as_bytes()).unwrap();
                    sent += 1;
                }
                2 => {
                    let _ = sender.next_batch(&shared, at(now));
                }
                3 => {
                    arrived.extend(texts(Some(sender.in_flight())));
                    sender.acknowledged(&shared, at(now));
                }
                4 => sender.failed(at(now)),
                5 => sender.release(&shared),
                _ => *sender = Sender::new(now + 10),
            }
            now += 3_000;
        }
        for _ in 0..20 {
            now += LEASE_MS;
            if senders[0].in_flight().is_empty() {
                let _ = senders[0].next_batch(&shared, at(now));
            }
            arrived.extend(texts(Some(senders[0].in_flight())));
            senders[0].acknowledged(&shared, at(now));
        }
        prop_assert_eq!(waiting(&shared), 0);
        prop_assert_eq!(arrived.len(), usize::try_from(sent).unwrap());
    }
}

#[test]
fn a_sender_that_ends_makes_way_at_once_also_in_the_middle_of_a_batch() {
    let shared = Map::default();
    put(&shared, b"a").unwrap();
    let (mut ends, mut next) = (Sender::new(1), Sender::new(2));
    assert_eq!(texts(ends.next_batch(&shared, at(0))), ["a"]);
    assert!(next.next_batch(&shared, at(1)).is_none(), "one sends at a time");
    ends.retire(&shared);
    assert_eq!(texts(next.next_batch(&shared, at(1))), ["a"]);
}
