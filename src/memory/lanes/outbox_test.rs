#![allow(clippy::unwrap_used, clippy::arithmetic_side_effects, clippy::indexing_slicing)]

use super::*;
use crate::base::pax::Pax;
use crate::worker::fake::Map;
use proptest::prelude::*;

fn at(ms: u64) -> Tick {
    Tick::from_ms(ms)
}

/// A VM's debits and its lane.
struct Mine {
    shared: Map,
    lane: Lane,
    outbox: Outbox,
}

impl Mine {
    fn new() -> Self {
        let shared = Map::default();
        let lane = Lane::take(&shared, 1, at(0)).unwrap();
        Self { shared, lane, outbox: Outbox::default() }
    }

    fn put(&mut self, canonical: &str) {
        let debit = DebitBytes::new(None, Pax::ZERO, canonical.as_bytes());
        let cell = self.lane.put_debit(&self.shared, debit.bytes(), at(0));
        self.outbox.put(debit, cell);
    }

    fn next(&mut self, now: u64) -> Vec<String> {
        self.outbox.next_batch(at(now)).map(texts).unwrap_or_default()
    }

    /// The ledger answers, and reads none of the debits under way whose text begins with `unread`.
    fn answered(&mut self, unread: char, now: u64) -> usize {
        let outcome = |text: String| match text.starts_with(unread) {
            true => DebitOutcome::Unsupported,
            false => DebitOutcome::Recorded,
        };
        let outcomes: Vec<DebitOutcome> = texts(self.outbox.under_way()).into_iter().map(outcome).collect();
        self.outbox.answered(&self.shared, Some(&mut self.lane), &outcomes, at(now))
    }

    /// The ledger takes all of the batch under way.
    fn recorded(&mut self) {
        assert_eq!(self.answered('\0', 0), 0);
    }

    /// The canonical bytes in all cells.
    fn cells(&self) -> Vec<String> {
        let mut cells = Vec::new();
        self.shared.each("pax/2/open/", |_, held| {
            if let Ok(debit) = DebitBytes::read(held.to_vec()) {
                cells.push(String::from_utf8(debit.canonical().to_vec()).unwrap());
            }
        });
        cells.sort_unstable();
        cells
    }
}

fn texts(batch: &[Waiting]) -> Vec<String> {
    let text = |waiting: &Waiting| String::from_utf8(waiting.debit.canonical().to_vec()).unwrap();
    batch.iter().map(text).collect()
}

#[test]
fn a_debit_and_its_cell_stay_until_it_is_acknowledged() {
    let mut mine = Mine::new();
    assert!(mine.next(0).is_empty());
    mine.put("a");
    mine.put("b");
    assert_eq!(mine.next(0), ["a", "b"]);
    assert!(mine.next(1).is_empty(), "one batch is under way");
    assert_eq!((mine.outbox.waiting(), mine.cells().len()), (2, 2));
    mine.put("c");
    mine.outbox.failed();
    assert_eq!(mine.next(2), ["a", "b", "c"], "the same bytes again, in the same order");
    mine.put("d");
    mine.recorded();
    assert_eq!((mine.outbox.all(), mine.cells()), (1, vec!["d".to_owned()]));
    assert_eq!(mine.next(3), ["d"]);
    mine.recorded();
    assert_eq!((mine.outbox.all(), mine.cells().len(), mine.lane.used()), (0, 0, 0));
}

#[test]
fn a_batch_is_bounded_by_number_and_by_bytes_and_a_debit_that_is_larger_goes_alone() {
    let mut mine = Mine::new();
    for number in 0..=BATCH {
        mine.put(&number.to_string());
    }
    assert_eq!((mine.next(0).len(), mine.outbox.has_more()), (BATCH, true));
    mine.recorded();
    assert_eq!((mine.next(0).len(), mine.outbox.has_more()), (1, false));
    mine.recorded();
    for _ in 0..3 {
        mine.put(&"x".repeat(BATCH_BYTES / 2));
    }
    mine.put(&"y".repeat(BATCH_BYTES + 1));
    mine.put("z");
    let sizes = std::iter::from_fn(|| {
        let batch = mine.next(0);
        mine.recorded();
        (!batch.is_empty()).then_some(batch.len())
    });
    assert_eq!(sizes.collect::<Vec<_>>(), [2, 1, 1, 1]);
}

#[test]
fn a_debit_without_a_cell_is_sent_all_the_same_and_gets_one_as_soon_as_there_is_one() {
    let mut mine = Mine::new();
    let debit = DebitBytes::new(None, Pax::ZERO, b"homeless");
    mine.outbox.put(debit.clone(), None);
    assert_eq!((mine.next(0), mine.cells().len()), (vec!["homeless".to_owned()], 0));
    mine.outbox.house(&mine.shared, &mut mine.lane, at(1));
    mine.outbox.house(&mine.shared, &mut mine.lane, at(2));
    assert_eq!(mine.cells(), ["homeless"], "also while it is under way, and once");
    mine.recorded();
    mine.outbox.put(debit, None);
    assert_eq!(mine.next(3), ["homeless"]);
    mine.recorded();
    assert_eq!((mine.cells().len(), mine.lane.used()), (0, 0));
}

#[test]
fn a_debit_in_a_lane_that_was_lost_is_taken_out_there_unless_another_is_in_its_cell() {
    let mut mine = Mine::new();
    mine.put("a");
    mine.put("b");
    // Another VM has this one's lane, and has put a call into the second cell.
    mine.lane = Lane::take(&mine.shared, 2, at(0)).unwrap();
    mine.shared.set("pax/2/open/0/1", b"another's");
    assert_eq!(mine.next(0).len(), 2);
    mine.recorded();
    let cell = |key| mine.shared.read(key).unwrap();
    assert_eq!((cell("pax/2/open/0/0"), cell("pax/2/open/0/1")), (Vec::new(), b"another's".to_vec()));
}

#[test]
fn what_the_ledger_does_not_read_yet_waits_aside_and_keeps_no_other_debit_waiting() {
    let mut mine = Mine::new();
    (0..1_000).for_each(|number| mine.put(&format!("new {number}")));
    mine.put("old");
    let (mut batches, mut sent, mut unread) = (0, Vec::new(), 0);
    while mine.outbox.waiting() > 0 {
        sent.extend(mine.next(0));
        unread += mine.answered('n', 0);
        batches += 1;
        assert!(batches < 5, "four batches hold them all");
    }
    assert_eq!((sent.len(), unread), (1_001, 1_000));
    assert_eq!(sent.last().map(String::as_str), Some("old"), "it was behind three full batches");
    assert_eq!((mine.outbox.waiting(), mine.outbox.aside(), mine.cells().len()), (0, 1_000, 1_000));
    // The unread debits are tried again ever more rarely, the oldest first; what comes meanwhile is sent at
    // once.
    let (mut tried, mut seconds) = (Vec::new(), Vec::new());
    for ms in (20..60_000u64).step_by(20) {
        let again = mine.next(ms);
        if again.is_empty() {
            continue;
        }
        assert_eq!((mine.outbox.waiting(), mine.outbox.aside()), (0, 1_000));
        assert_eq!(mine.answered('n', ms), again.len(), "{ms}");
        tried.extend(again.first().cloned());
        seconds.push(ms / 1_000);
        mine.put("old");
        assert_eq!(mine.next(ms), ["old"]);
        mine.recorded();
    }
    assert_eq!(tried[..5], ["new 0", "new 256", "new 512", "new 768", "new 24"], "each in its turn");
    assert!(seconds.len() < 20 && seconds.windows(2).all(|pair| pair[1] - pair[0] <= 5), "{seconds:?}");
    assert_eq!(mine.outbox.all(), 1_000, "none was lost, none is there twice");
    // The ledger is upgraded: all of them are sent, and none waits for another turn.
    let mut came = Vec::new();
    loop {
        let batch = mine.next(70_000);
        if batch.is_empty() {
            break;
        }
        came.extend(batch);
        mine.recorded();
    }
    came.sort_unstable();
    came.dedup();
    assert_eq!((came.len(), mine.outbox.all(), mine.cells().len()), (1_000, 0, 0), "each once");
}

#[test]
fn the_two_kinds_take_turns() {
    let mut mine = Mine::new();
    (0..3 * BATCH).for_each(|number| mine.put(&format!("new {number}")));
    (0..3).for_each(|_| {
        mine.next(0);
        mine.answered('n', 0);
    });
    (0..3 * BATCH).for_each(|number| mine.put(&format!("old {number}")));
    let mut kinds = String::new();
    for turn in 0..6u64 {
        let batch = mine.next(60_000 + turn * 10_000);
        kinds.extend(batch.first().and_then(|text| text.chars().next()));
        mine.answered('n', 60_000 + turn * 10_000);
    }
    assert_eq!(kinds, "nononon".get(..6).unwrap());
}

#[test]
fn what_is_aside_counts_for_the_bound_and_is_never_dropped() {
    let mut mine = Mine::new();
    let mut number = 0u64;
    while mine.outbox.has_room() {
        for _ in 0..BATCH {
            mine.put(&format!("new {number}"));
            number += 1;
        }
        mine.next(number);
        mine.answered('n', number);
    }
    assert_eq!(usize::try_from(number).unwrap(), REFUSE_FROM, "new calls are refused from here on");
    // The debits of calls that were in flight are still taken.
    mine.put("new one");
    assert_eq!((mine.outbox.all(), mine.cells().len()), (REFUSE_FROM + 1, REFUSE_FROM + 1));
}

#[test]
fn the_oldest_debit_says_since_when_it_waits_also_if_it_is_aside_or_under_way() {
    let mut mine = Mine::new();
    let debit = |hour| format!(r#"{{"canon_v":2,"settled_at":"2026-06-01T{hour}:00:00.000Z","x":1}}"#);
    fn oldest(mine: &mut Mine) -> Option<String> {
        mine.outbox.look();
        mine.outbox.sums().oldest.map(|at| at.to_string())
    }
    let ten = Some("2026-06-01T10:00:00.000Z".to_owned());
    assert_eq!(oldest(&mut mine), None);
    mine.put(&debit(10));
    mine.put(&debit(11));
    assert_eq!(oldest(&mut mine), ten);
    mine.next(0);
    assert_eq!(oldest(&mut mine), ten, "under way");
    let outcomes = [DebitOutcome::Unsupported, DebitOutcome::Recorded];
    assert_eq!(mine.outbox.answered(&mine.shared, Some(&mut mine.lane), &outcomes, at(1)), 1);
    mine.put(&debit(12));
    assert_eq!(oldest(&mut mine), ten, "aside");
    assert_eq!(mine.outbox.sums(), Sums { debits: 2, aside: 1, ..mine.outbox.sums() });
    for now in [10_000, 20_000] {
        mine.next(now);
        mine.recorded();
    }
    assert_eq!(mine.outbox.sums(), Sums::default(), "also before it is looked at again");
}

proptest! {
    #[test]
    fn whatever_the_order_every_debit_arrives_and_each_that_has_not_has_its_cell(
        steps in prop::collection::vec(0u8..6, 1..200),
    ) {
        let mut mine = Mine::new();
        let (mut now, mut arrived) = (0u64, std::collections::BTreeSet::new());
        let mut owed = std::collections::BTreeSet::new();
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                0 | 1 => {
                    let text = format!("{}{number}", if step == 0 { 'n' } else { 'o' });
                    mine.put(&text);
                    owed.insert(text);
                }
                2 => {
                    mine.next(now);
                }
                3 => mine.outbox.failed(),
                4 => {
                    arrived.extend(texts(mine.outbox.under_way()).into_iter().filter(|it| it.starts_with('o')));
                    mine.answered('n', now);
                }
                _ => {
                    arrived.extend(texts(mine.outbox.under_way()));
                    mine.recorded();
                }
            }
            now += 3_000;
            let left: Vec<String> = owed.difference(&arrived).cloned().collect();
            prop_assert_eq!(mine.cells(), left);
        }
        for _ in 0..20 {
            now += 10_000;
            mine.next(now);
            arrived.extend(texts(mine.outbox.under_way()));
            mine.recorded();
        }
        prop_assert_eq!(arrived, owed);
        prop_assert_eq!((mine.outbox.all(), mine.lane.used()), (0, 0));
    }
}
