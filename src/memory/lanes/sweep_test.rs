#![allow(clippy::unwrap_used, clippy::panic, clippy::arithmetic_side_effects)]

use std::cell::Cell;

use super::*;
use crate::memory::lanes::lane::{Lane, settle_lost};
use crate::worker::fake::Map;

/// As `FALLOW_MS` of the lanes.
const FALLOW_MS: u64 = 600_000;

fn t(ms: u64) -> Tick {
    Tick::from_ms(1_000_000 + ms)
}

/// What a sweep finds.
fn sweep(shared: &Map, mut dead: Dead) -> Vec<String> {
    let mut found = Vec::new();
    let ends = dead.sweep(
        shared,
        || t(0),
        |held| {
            found.push(String::from_utf8(held).unwrap());
            true
        },
    );
    assert!(ends, "in no time one pass is enough");
    found
}

/// Looks every second for so many seconds; gives the lanes that were found dead, and when.
fn watch(
    watch: &mut Watch,
    shared: &Map,
    from_s: u64,
    seconds: u64,
    living: &mut [&mut Lane],
) -> Vec<(u64, Dead)> {
    let mut dead = Vec::new();
    for s in from_s..from_s + seconds {
        living.iter_mut().for_each(|lane| assert!(lane.beat(shared, Sums::default(), t(s * 1_000))));
        dead.extend(watch.look(shared, 99, t(s * 1_000)).map(|it| (s, it)));
    }
    dead
}

#[test]
fn records_of_a_dead_vm_are_found_and_its_lane_is_free_again() {
    let shared = Map::default();
    let mut alive = Lane::take(&shared, 1, t(0)).unwrap();
    let mut dying = Lane::take(&shared, 2, t(0)).unwrap();
    alive.put_record(&shared, b"alive", t(0)).unwrap();
    let settled = dying.put_record(&shared, b"settled", t(0)).unwrap();
    dying.put_record(&shared, b"orphan 1", t(0)).unwrap();
    dying.put_record(&shared, b"orphan 2", t(0)).unwrap();
    dying.clear_record(&shared, settled);

    let mut looker = Watch::default();
    assert!(
        watch(&mut looker, &shared, 1, 10, &mut [&mut alive]).is_empty(),
        "ten seconds from when it was first seen"
    );
    let (_, dead) = watch(&mut looker, &shared, 11, 1, &mut [&mut alive]).pop().unwrap();
    assert_eq!(sweep(&shared, dead), ["orphan 1", "orphan 2"]);
    assert!(
        !dying.beat(&shared, Sums::default(), t(12_000)),
        "should it live after all, it learns that its lane is gone"
    );
    let mut next = Lane::take(&shared, 3, t(12_000)).unwrap();
    assert_eq!(next.number, 2, "a thread that stood still may end a write in the dead one's lane");
    let mut again = watch(&mut looker, &shared, 12, 1, &mut [&mut alive, &mut next]);
    let (_, dead) = again.pop().unwrap();
    assert!(
        again.is_empty() && dead.is_again() && sweep(&shared, dead).is_empty(),
        "once more, for what came late"
    );
    assert!(watch(&mut looker, &shared, 13, 30, &mut [&mut alive, &mut next]).is_empty());
    let later = Lane::take(&shared, 4, t(FALLOW_MS)).unwrap();
    assert_eq!(later.number, dying.number, "now it is used again");
}

#[test]
fn where_no_lane_is_free_for_long_one_that_was_just_freed_is_taken() {
    let shared = Map::default();
    let dying = Lane::take(&shared, 1, t(0)).unwrap();
    for vm in 2..=u64::from(LANES) {
        Lane::take(&shared, vm, t(0)).unwrap();
    }
    assert!(Lane::take(&shared, 5_000, t(0)).is_none(), "all are taken");
    let dead = |swept| Dead::of(dying.number, dying.vm, (Sums::default(), swept), t(0));
    sweep(&shared, dead(0));
    assert!(Lane::take(&shared, 5_000, t(1)).is_none(), "it is looked into once more first");
    shared.set(&lane_key(dying.number), &dead(1).value(t(0)));
    sweep(&shared, dead(1));
    assert_eq!(Lane::take(&shared, 5_000, t(1)).unwrap().number, dying.number);
}

#[test]
fn one_watcher_takes_over_and_where_it_dies_too_another_does() {
    let shared = Map::default();
    let mut dying = Lane::take(&shared, 2, t(0)).unwrap();
    dying.put_record(&shared, b"orphan", t(0)).unwrap();
    let (mut first, mut second) = (Watch::default(), Watch::default());
    let mut found = Vec::new();
    for s in 1..30 {
        found.extend(first.look(&shared, 10, t(s * 1_000)).filter(|_| s < 20).map(|_| (s, 1)));
        if let Some(dead) = second.look(&shared, 11, t(s * 1_000)) {
            found.push((s, 2));
            assert_eq!(sweep(&shared, dead), ["orphan"]);
        }
    }
    // The first watcher found the lane and died before it swept.
    assert_eq!(found, [(11, 1), (21, 2)]);
}

#[test]
fn a_process_that_was_stopped_takes_nobody_for_dead() {
    let shared = Map::default();
    let mut lane = Lane::take(&shared, 1, t(0)).unwrap();
    let mut looker = Watch::default();
    assert!(watch(&mut looker, &shared, 1, 5, &mut [&mut lane]).is_empty());
    // All VMs sleep for an hour; the watcher is the first to wake.
    assert!(looker.look(&shared, 99, t(3_600_000)).is_none());
    assert!(lane.beat(&shared, Sums::default(), t(3_600_001)));
    assert!(watch(&mut looker, &shared, 3_601, 30, &mut [&mut lane]).is_empty());
}

#[test]
fn a_record_that_cannot_be_settled_yet_keeps_its_lane() {
    let shared = Map::default();
    let mut dying = Lane::take(&shared, 2, t(0)).unwrap();
    dying.put_record(&shared, b"later", t(0)).unwrap();
    dying.put_record(&shared, b"now", t(0)).unwrap();
    let mut looker = Watch::default();
    let (_, mut dead) = watch(&mut looker, &shared, 1, 11, &mut []).pop().unwrap();
    assert!(dead.sweep(&shared, || t(11_000), |held| held == b"now"));
    let (_, dead) = watch(&mut looker, &shared, 12, 20, &mut []).pop().unwrap();
    assert_eq!(sweep(&shared, dead), ["later"]);
}

#[test]
fn a_record_that_a_stopped_thread_wrote_into_a_swept_lane_is_found() {
    let shared = Map::default();
    let stopped = Lane::take(&shared, 1, t(0)).unwrap();
    let mut looker = Watch::default();
    let (_, dead) = watch(&mut looker, &shared, 1, 11, &mut []).pop().unwrap();
    assert!(sweep(&shared, dead).is_empty());
    // The stopped VM had seen that the lane is its own. It writes its record, has the call made, and dies.
    shared.set(&cell_key(stopped.number, 0), b"late");
    let (_, dead) = watch(&mut looker, &shared, 12, 11, &mut []).pop().unwrap();
    assert_eq!(sweep(&shared, dead), ["late"]);
    assert!(watch(&mut looker, &shared, 23, 60, &mut []).is_empty(), "twice is enough");
}

#[test]
fn a_vm_that_lost_its_lane_and_got_it_again_does_not_take_out_what_stands_there_now() {
    let shared = Map::default();
    let mut lost = Lane::take(&shared, 1, t(0)).unwrap();
    let old = lost.put_record(&shared, b"old", t(0)).unwrap();
    let mut looker = Watch::default();
    let (_, dead) = watch(&mut looker, &shared, 1, 11, &mut []).pop().unwrap();
    assert_eq!(sweep(&shared, dead), ["old"]);
    let (_, dead) = watch(&mut looker, &shared, 12, 11, &mut []).pop().unwrap();
    assert!(sweep(&shared, dead).is_empty());

    let mut again = Lane::take(&shared, 2, t(FALLOW_MS)).unwrap();
    assert_eq!(again.number, lost.number);
    again.put_record(&shared, b"new", t(FALLOW_MS)).unwrap();
    assert!(!again.clear_record(&shared, old));
    let (_, dead) = watch(&mut looker, &shared, FALLOW_MS / 1_000, 12, &mut []).pop().unwrap();
    assert_eq!(sweep(&shared, dead), ["new"]);
}

#[test]
fn a_vm_that_was_stopped_writes_no_record_into_a_lane_that_it_lost_meanwhile() {
    let shared = Map::default();
    let mut stopped = Lane::take(&shared, 1, t(0)).unwrap();
    let mut looker = Watch::default();
    let (_, dead) = watch(&mut looker, &shared, 1, 11, &mut []).pop().unwrap();
    assert!(sweep(&shared, dead).is_empty());
    assert!(stopped.put_record(&shared, b"x", t(12_000)).is_none());
}

#[test]
fn a_long_sweep_goes_on_in_passes_and_says_that_it_lives_in_between() {
    let shared = Map::default();
    let mut dying = Lane::take(&shared, 2, t(0)).unwrap();
    for number in 0..5_000u32 {
        dying.put_record(&shared, &number.to_le_bytes(), t(0)).unwrap();
    }
    let (mut looker, mut other) = (Watch::default(), Watch::default());
    let mut dead = None;
    for s in 1..12 {
        dead = dead.or_else(|| looker.look(&shared, 99, t(s * 1_000)));
        // This watcher has begun to look later, so that the first one finds the lane.
        assert!(s < 5 || other.look(&shared, 98, t(s * 1_000)).is_none());
    }
    let (mut dead, now) = (dead.unwrap(), Cell::new(11_000u64));
    let (mut passes, mut settled) = (0u64, 0u32);
    loop {
        let began = now.get();
        // Each record takes ten milliseconds: 50 seconds for all, when ten make a VM dead.
        let ends = dead.sweep(
            &shared,
            || t(now.get()),
            |_| {
                now.set(now.get() + 10);
                settled += 1;
                true
            },
        );
        assert!(now.get() - began <= PASS_MS + 10, "a pass took {}", now.get() - began);
        passes += 1;
        if ends {
            break;
        }
        // A tick later, with calls of others in between; the other watcher looks each second, and takes nothing over.
        now.set(now.get() + 20);
        if passes % 25 == 0 {
            assert!(other.look(&shared, 98, t(now.get())).is_none(), "at {}", now.get());
        }
    }
    assert_eq!((settled, passes), (5_000, 2_501));
}

#[test]
fn a_taker_that_was_stopped_leaves_the_rest_to_who_has_taken_over() {
    let shared = Map::default();
    let mut dying = Lane::take(&shared, 2, t(0)).unwrap();
    (0..4u8).for_each(|number| assert!(dying.put_record(&shared, &[b'a' + number], t(0)).is_some()));
    let mut looker = Watch::default();
    let (_, mut stopped) = watch(&mut looker, &shared, 1, 11, &mut []).pop().unwrap();
    let now = Cell::new(11_000u64);
    let slow = |_: Vec<u8>| {
        now.set(now.get() + 12);
        true
    };
    assert!(!stopped.sweep(&shared, || t(now.get()), slow), "two of four");
    let mut heir = Watch::default();
    let (_, dead) = watch(&mut heir, &shared, 12, 12, &mut []).pop().unwrap();
    assert_eq!(sweep(&shared, dead), ["c", "d"]);
    now.set(24_000);
    assert!(stopped.sweep(&shared, || t(now.get()), |_| panic!("there is nothing left")));
    assert!(read_swept(&shared.get(&lane_key(dying.number)).unwrap().0).is_some(), "the heir's word stands");
}

#[test]
fn a_vm_that_ended_in_good_order_is_not_waited_for() {
    let shared = Map::default();
    let mut ended = Lane::take(&shared, 1, t(0)).unwrap();
    ended.put_debit(&shared, b"debit", t(0)).unwrap();
    let mut looker = Watch::default();
    assert!(watch(&mut looker, &shared, 1, 1, &mut []).is_empty());
    ended.retire(&shared, Sums { debits: 1, ..Sums::default() });
    assert_eq!(Sums::of_all(&shared, t(1_500)).debits, 1, "it still waits");
    let (_, dead) = watch(&mut looker, &shared, 2, 1, &mut []).pop().unwrap();
    assert_eq!(sweep(&shared, dead), ["debit"]);
    assert_eq!(Sums::of_all(&shared, t(2_500)), Sums::default());
}

#[test]
fn a_vm_that_was_taken_for_dead_does_not_end_the_watch_of_its_heir() {
    let shared = Map::default();
    let stopped = Lane::take(&shared, 1, t(0)).unwrap();
    let number = stopped.number;
    let mut looker = Watch::default();
    let (_, dead) = watch(&mut looker, &shared, 1, 11, &mut []).pop().unwrap();
    stopped.retire(&shared, Sums::default());
    let value = shared.read(&lane_key(number)).unwrap();
    assert_eq!(
        LaneValue::read(&value).unwrap(),
        LaneValue { vm: 99, beat: t(11_000), sums: Sums::default() }
    );
    assert!(sweep(&shared, dead).is_empty());
}

#[test]
fn a_debit_that_comes_while_its_record_is_charged_by_estimate_is_found_by_the_next_sweep() {
    let shared = Map::default();
    let mut stopped = Lane::take(&shared, 1, t(0)).unwrap();
    let record = stopped.put_record(&shared, b"record", t(0)).unwrap();
    let mut looker = Watch::default();
    let (_, mut dead) = watch(&mut looker, &shared, 1, 11, &mut []).pop().unwrap();
    // Its thread wakes in the middle of the sweep.
    let wakes = |held: Vec<u8>| {
        let debit = settle_lost(&shared, record, &held, b"debit");
        debit.is_some()
    };
    assert!(dead.sweep(&shared, || t(11_000), wakes));
    let (_, dead) = watch(&mut looker, &shared, 12, 12, &mut []).pop().unwrap();
    assert_eq!(sweep(&shared, dead), ["debit"]);
}
