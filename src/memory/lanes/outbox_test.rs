#![allow(clippy::unwrap_used, clippy::arithmetic_side_effects, clippy::indexing_slicing)]

use super::*;
use crate::memory::ring::GAP_MS;
use crate::memory::shared::Version;
use crate::worker::fake::Map;
use proptest::prelude::*;

const HEAD: &str = "pax/outbox/head";
const TAIL: &str = "pax/outbox/tail";

fn at(ms: u64) -> Tick {
    Tick::from_ms(ms)
}

/// A writer that knows nothing yet, on a thread that is never stopped.
fn put(shared: &Map, canonical: &[u8]) -> Result<(), Full> {
    Writer::default().put(shared, None, canonical, at(0), || at(0))
}

fn waiting(shared: &Map) -> u64 {
    Contents::of(shared).all()
}

/// The ledger takes all of the batch under way.
fn recorded(sender: &mut Sender, shared: &Map, now: Tick) {
    let outcomes = vec![DebitOutcome::Recorded; sender.in_flight().len()];
    assert_eq!(sender.answered(shared, &outcomes, || now), 0);
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
    recorded(&mut sender, &shared, at(111));
    assert_eq!(waiting(&shared), 1);
    assert_eq!(texts(sender.next_batch(&shared, at(111))), ["c"]);
    recorded(&mut sender, &shared, at(112));
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
    recorded(&mut heir, &shared, at(10_001));
    assert_eq!(waiting(&shared), 0);
}

#[test]
fn a_module_before_that_counted_by_the_wall_clock_keeps_no_debit_waiting() {
    let shared = Map::default();
    // A debit of the older module, and the lease of its sender, which ends at a time counted from 1970: no
    // tick ever reaches that.
    put(&shared, b"a").unwrap();
    let lease = [9_u64.to_le_bytes(), 1_795_392_010_000_u64.to_le_bytes()].concat();
    assert!(shared.swap("pax/outbox/sender", &lease, Version::ABSENT));
    assert_eq!(texts(Sender::new(1).next_batch(&shared, at(86_400_000))), ["a"]);
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
    recorded(&mut idle, &shared, at(2));
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
    recorded(&mut quick, &shared, at(20_001));
    for _ in 1..SLOTS {
        put(&shared, b"x").unwrap();
        quick.next_batch(&shared, at(20_003)).unwrap();
        recorded(&mut quick, &shared, at(20_003));
    }
    put(&shared, b"new").unwrap();
    recorded(&mut slow, &shared, at(20_004));
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
        recorded(&mut sender, &shared, at(0));
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
    recorded(&mut sender, &shared, at(1));
    assert_eq!(waiting(&shared), 2, "the head waits for number 0");
    look_from_to(&mut sender, &shared, 1, GAP_MS - 1);
    assert_eq!(waiting(&shared), 2, "not yet");
    look_from_to(&mut sender, &shared, GAP_MS, GAP_MS + 1);
    assert_eq!(waiting(&shared), 0);
}

/// Looks once a second for something to send, and finds nothing.
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
fn a_writer_that_was_stopped_writes_again_also_before_its_number_is_passed() {
    // The sender has looked at the number, found nothing, and not moved the head yet: a writer cannot know
    // this.
    let shared = Map::default();
    let times = Cell::new(0);
    let clock = || {
        times.set(times.get() + 1);
        at(if times.get() == 1 { 70_000 } else { 70_001 })
    };
    Writer::default().put(&shared, None, b"late", at(0), clock).unwrap();
    assert_eq!(waiting(&shared), 2, "sent twice it is one entry");
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
    recorded(&mut sender, &shared, at(0));
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
                    recorded(sender, &shared, at(now));
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
            recorded(&mut senders[0], &shared, at(now));
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

/// The ledger answers, and reads none of the debits under way whose text begins with `unread`.
fn answered(sender: &mut Sender, shared: &Map, unread: char, now: u64) -> usize {
    let outcome = |text: String| match text.starts_with(unread) {
        true => DebitOutcome::Unsupported,
        false => DebitOutcome::Recorded,
    };
    let outcomes: Vec<DebitOutcome> = texts(Some(sender.in_flight())).into_iter().map(outcome).collect();
    sender.answered(shared, &outcomes, || at(now))
}

#[test]
fn what_the_ledger_does_not_read_yet_waits_aside_and_keeps_nobody_waiting() {
    let shared = Map::default();
    for number in 0..1_000 {
        put(&shared, format!("new {number}").as_bytes()).unwrap();
    }
    put(&shared, b"old").unwrap();
    let mut sender = Sender::new(1);
    let (mut batches, mut sent, mut unread) = (0, Vec::new(), 0);
    while Contents::of(&shared).waiting > 0 {
        sent.extend(texts(sender.next_batch(&shared, at(0))));
        unread += answered(&mut sender, &shared, 'n', 0);
        batches += 1;
        assert!(batches < 5, "four batches hold them all");
    }
    assert_eq!((sent.len(), unread), (1_001, 1_000));
    assert_eq!(
        sent.last().map(String::as_str),
        Some("old"),
        "it has come to the ledger behind three full batches"
    );
    assert_eq!(Contents::of(&shared), Contents { waiting: 0, aside: 1_000, passed: 1_001 });
    assert!(holds_text(&shared, "new 999"));
    // The unread debits are tried again ever more rarely, the oldest first; what comes meanwhile is sent at
    // once.
    let (mut tried, mut seconds) = (Vec::new(), Vec::new());
    for ms in (20..60_000u64).step_by(20) {
        let again = texts(sender.next_batch(&shared, at(ms)));
        if again.is_empty() {
            continue;
        }
        assert_eq!(answered(&mut sender, &shared, 'n', ms), again.len(), "{ms}");
        tried.extend(again.first().cloned());
        seconds.push(ms / 1_000);
        put(&shared, b"old").unwrap();
        assert_eq!(texts(sender.next_batch(&shared, at(ms))), ["old"]);
        recorded(&mut sender, &shared, at(ms));
    }
    assert_eq!(tried[..5], ["new 0", "new 256", "new 512", "new 768", "new 24"], "each in its turn");
    assert!(seconds.len() < 20 && seconds.windows(2).all(|pair| pair[1] - pair[0] <= 5), "{seconds:?}");
    assert_eq!(Contents::of(&shared).all(), 1_000, "none was lost, none is there twice");
    // The ledger is upgraded: all of them are sent, and none waits for another turn.
    let mut came = Vec::new();
    while let Some(batch) = sender.next_batch(&shared, at(70_000)) {
        came.extend(texts(Some(batch)));
        recorded(&mut sender, &shared, at(70_000));
    }
    assert_eq!((came.len(), waiting(&shared)), (1_000, 0));
    came.sort_unstable();
    came.dedup();
    assert_eq!(came.len(), 1_000, "each once");
}

/// Whether shared data holds a debit with this text anywhere.
fn holds_text(shared: &Map, text: &str) -> bool {
    let mut found = false;
    shared.each("", |_, value| found |= value.ends_with(text.as_bytes()));
    found
}

#[test]
fn what_is_aside_counts_for_the_bound_and_is_never_dropped() {
    let shared = Map::default();
    let mut sender = Sender::new(1);
    let mut number = 0;
    while Contents::of(&shared).has_room() {
        for _ in 0..BATCH {
            put(&shared, format!("new {number}").as_bytes()).unwrap();
            number += 1;
        }
        while sender.next_batch(&shared, at(number)).is_some() {
            answered(&mut sender, &shared, 'n', number);
        }
    }
    assert_eq!(number, REFUSE_FROM, "new calls are refused from here on");
    // The debits of calls that were in flight still find places, in both rings.
    for _ in 0..SLOTS {
        put(&shared, format!("new {number}").as_bytes()).unwrap();
        number += 1;
    }
    for batch in 0..10_000 {
        if sender.next_batch(&shared, at(number + batch)).is_some() {
            answered(&mut sender, &shared, 'n', number + batch);
        }
    }
    let contents = Contents::of(&shared);
    assert_eq!((contents.all(), contents.aside), (number, SLOTS), "where there is no room aside it stays");
}

#[test]
fn a_sender_that_dies_while_it_puts_debits_aside_loses_none() {
    let shared = Map::default();
    put(&shared, b"new").unwrap();
    let (mut dies, mut next) = (Sender::new(1), Sender::new(2));
    dies.next_batch(&shared, at(0)).unwrap();
    // The first sender has put the debit aside, and not taken it out yet.
    ASIDE.put(&shared, &Cell::new(0), (None, b"new"), at(0), || at(0)).unwrap();
    let mut came = Vec::new();
    for ms in [LEASE_MS, LEASE_MS + 1, LEASE_MS + 2] {
        came.extend(texts(next.next_batch(&shared, at(ms))));
        recorded(&mut next, &shared, at(ms));
    }
    assert_eq!((came, waiting(&shared)), (vec!["new".to_owned(), "new".to_owned()], 0), "twice is harmless");
}

#[test]
fn the_oldest_debit_says_since_when_it_waits_also_where_it_is_aside() {
    let shared = Map::default();
    let debit = |hour| format!(r#"{{"canon_v":2,"settled_at":"2026-06-01T{hour}:00:00.000Z","x":1}}"#);
    let oldest = || oldest(&shared).map(|at| at.to_string());
    assert_eq!(oldest(), None);
    put(&shared, debit("10").as_bytes()).unwrap();
    put(&shared, debit("11").as_bytes()).unwrap();
    assert_eq!(oldest().as_deref(), Some("2026-06-01T10:00:00.000Z"));
    let mut sender = Sender::new(1);
    sender.next_batch(&shared, at(0)).unwrap();
    assert_eq!(sender.answered(&shared, &[DebitOutcome::Unsupported, DebitOutcome::Recorded], || at(1)), 1);
    put(&shared, debit("12").as_bytes()).unwrap();
    assert_eq!(oldest().as_deref(), Some("2026-06-01T10:00:00.000Z"), "aside");
    sender.next_batch(&shared, at(10_000)).unwrap();
    recorded(&mut sender, &shared, at(10_000));
    sender.next_batch(&shared, at(20_000)).unwrap();
    recorded(&mut sender, &shared, at(20_000));
    assert_eq!(oldest(), None);
}
