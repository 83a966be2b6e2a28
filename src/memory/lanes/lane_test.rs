#![allow(clippy::unwrap_used, clippy::panic, clippy::arithmetic_side_effects)]

use super::*;
use crate::worker::fake::Map;

fn t(ms: u64) -> Tick {
    Tick::from_ms(1_000_000 + ms)
}

/// What a sweep finds.
fn sweep(shared: &Map, mut dead: Dead) -> Vec<String> {
    let mut found = Vec::new();
    let ends = dead.sweep(
        shared,
        || t(0),
        |record| {
            found.push(String::from_utf8(record.to_vec()).unwrap());
            true
        },
    );
    assert!(ends, "in no time one pass is enough");
    found
}

/// Looks every second for so many seconds; gives the lanes that were found dead, and when.
fn watch(watch: &mut Watch, shared: &Map, from_s: u64, seconds: u64, living: &[&Lane]) -> Vec<(u64, Dead)> {
    let mut dead = Vec::new();
    for s in from_s..from_s + seconds {
        living.iter().for_each(|lane| assert!(lane.beat(shared, t(s * 1_000))));
        dead.extend(watch.look(shared, 99, t(s * 1_000)).map(|it| (s, it)));
    }
    dead
}

#[test]
fn records_of_a_dead_vm_are_found_and_its_lane_is_free_again() {
    let shared = Map::default();
    let mut alive = Lane::take(&shared, 1, t(0)).unwrap();
    let mut dying = Lane::take(&shared, 2, t(0)).unwrap();
    alive.put(&shared, b"alive", t(0)).unwrap();
    let settled = dying.put(&shared, b"settled", t(0)).unwrap();
    dying.put(&shared, b"orphan 1", t(0)).unwrap();
    dying.put(&shared, b"orphan 2", t(0)).unwrap();
    dying.clear(&shared, settled);

    let mut looker = Watch::default();
    assert!(
        watch(&mut looker, &shared, 1, 10, &[&alive]).is_empty(),
        "ten seconds from when it was first seen"
    );
    let (_, dead) = watch(&mut looker, &shared, 11, 1, &[&alive]).pop().unwrap();
    assert_eq!(sweep(&shared, dead), ["orphan 1", "orphan 2"]);
    assert!(!dying.beat(&shared, t(12_000)), "should it live after all, it learns that its lane is gone");
    let next = Lane::take(&shared, 3, t(12_000)).unwrap();
    assert_eq!(next.number, 2, "a thread that stood still may end a write in the dead one's lane");
    let mut again = watch(&mut looker, &shared, 12, 1, &[&alive, &next]);
    let (_, dead) = again.pop().unwrap();
    assert!(
        again.is_empty() && dead.is_again() && sweep(&shared, dead).is_empty(),
        "once more, for what came late"
    );
    assert!(watch(&mut looker, &shared, 13, 30, &[&alive, &next]).is_empty());
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
    let dead = |swept| Dead { number: dying.number, vm: dying.vm, swept, next: 0, all: true, beaten: t(0) };
    sweep(&shared, dead(0));
    assert!(Lane::take(&shared, 5_000, t(1)).is_none(), "it is looked into once more first");
    shared.set(&lane_key(dying.number), &lane_value(dying.vm, t(0), Open::default()));
    sweep(&shared, dead(1));
    assert_eq!(Lane::take(&shared, 5_000, t(1)).unwrap().number, dying.number);
}

#[test]
fn one_watcher_takes_over_and_where_it_dies_too_another_does() {
    let shared = Map::default();
    let mut dying = Lane::take(&shared, 2, t(0)).unwrap();
    dying.put(&shared, b"orphan", t(0)).unwrap();
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
    let lane = Lane::take(&shared, 1, t(0)).unwrap();
    let mut looker = Watch::default();
    assert!(watch(&mut looker, &shared, 1, 5, &[&lane]).is_empty());
    // All VMs sleep for an hour; the watcher is the first to wake.
    assert!(looker.look(&shared, 99, t(3_600_000)).is_none());
    assert!(lane.beat(&shared, t(3_600_001)));
    assert!(watch(&mut looker, &shared, 3_601, 30, &[&lane]).is_empty());
}

#[test]
fn a_record_that_cannot_be_settled_yet_keeps_its_lane() {
    let shared = Map::default();
    let mut dying = Lane::take(&shared, 2, t(0)).unwrap();
    dying.put(&shared, b"later", t(0)).unwrap();
    dying.put(&shared, b"now", t(0)).unwrap();
    let mut looker = Watch::default();
    let (_, mut dead) = watch(&mut looker, &shared, 1, 11, &[]).pop().unwrap();
    assert!(dead.sweep(&shared, || t(11_000), |record| record == b"now"));
    let (_, dead) = watch(&mut looker, &shared, 12, 20, &[]).pop().unwrap();
    assert_eq!(sweep(&shared, dead), ["later"]);
}

#[test]
fn a_record_that_a_stopped_thread_wrote_into_a_swept_lane_is_found() {
    let shared = Map::default();
    let stopped = Lane::take(&shared, 1, t(0)).unwrap();
    let mut looker = Watch::default();
    let (_, dead) = watch(&mut looker, &shared, 1, 11, &[]).pop().unwrap();
    assert!(sweep(&shared, dead).is_empty());
    // The stopped VM had seen that the lane is its own. It writes its record, has the call made, and dies.
    shared.set(&record_key(stopped.number, 0), b"late");
    let (_, dead) = watch(&mut looker, &shared, 12, 11, &[]).pop().unwrap();
    assert_eq!(sweep(&shared, dead), ["late"]);
    assert!(watch(&mut looker, &shared, 23, 60, &[]).is_empty(), "twice is enough");
}

#[test]
fn a_lane_uses_its_places_again_and_is_bounded() {
    let shared = Map::default();
    let mut lane = Lane::take(&shared, 1, t(0)).unwrap();
    for _ in 0..10_000 {
        let cells: Vec<RecordCell> = (0..3).map(|_| lane.put(&shared, b"x", t(0)).unwrap()).collect();
        assert_eq!(lane.open(), 3);
        assert!(cells.into_iter().all(|cell| lane.clear(&shared, cell)));
    }
    assert_eq!(shared.keys(), 4, "its own key, and three places");
    let all: Vec<RecordCell> = (0..RECORDS).map(|_| lane.put(&shared, b"x", t(0)).unwrap()).collect();
    assert!(lane.put(&shared, b"x", t(0)).is_none(), "full");
    // A lane does not clear a place of another lane.
    let other = Lane::take(&shared, 2, t(0)).unwrap();
    let (mut other, cell) = (other, *all.first().unwrap());
    assert!(!other.clear(&shared, cell));
    assert_eq!(lane.open(), RECORDS as usize);
    assert_eq!(shared.read("pax/2/open/0/0").unwrap(), b"x");
}

#[test]
fn a_vm_that_lost_its_lane_and_got_it_again_does_not_take_out_what_stands_there_now() {
    let shared = Map::default();
    let mut lost = Lane::take(&shared, 1, t(0)).unwrap();
    let old = lost.put(&shared, b"old", t(0)).unwrap();
    let mut looker = Watch::default();
    let (_, dead) = watch(&mut looker, &shared, 1, 11, &[]).pop().unwrap();
    assert_eq!(sweep(&shared, dead), ["old"]);
    let (_, dead) = watch(&mut looker, &shared, 12, 11, &[]).pop().unwrap();
    assert!(sweep(&shared, dead).is_empty());

    let mut again = Lane::take(&shared, 2, t(FALLOW_MS)).unwrap();
    assert_eq!(again.number, lost.number);
    again.put(&shared, b"new", t(FALLOW_MS)).unwrap();
    assert!(!again.clear(&shared, old));
    let (_, dead) = watch(&mut looker, &shared, FALLOW_MS / 1_000, 12, &[]).pop().unwrap();
    assert_eq!(sweep(&shared, dead), ["new"]);
}

#[test]
fn a_vm_that_was_stopped_writes_no_record_into_a_lane_that_it_lost_meanwhile() {
    let shared = Map::default();
    let mut stopped = Lane::take(&shared, 1, t(0)).unwrap();
    let mut looker = Watch::default();
    let (_, dead) = watch(&mut looker, &shared, 1, 11, &[]).pop().unwrap();
    assert!(sweep(&shared, dead).is_empty());
    assert!(stopped.put(&shared, b"x", t(12_000)).is_none());
}

#[test]
fn a_record_that_was_written_into_a_lost_lane_is_taken_out_unless_another_stands_there() {
    let shared = Map::default();
    let mut lost = Lane::take(&shared, 1, t(0)).unwrap();
    let (late, other) =
        (lost.put(&shared, b"late", t(0)).unwrap(), lost.put(&shared, b"mine", t(0)).unwrap());
    shared.set(&record_key(other.lane, other.number), b"another's");
    clear_lost(&shared, late, b"late");
    clear_lost(&shared, other, b"mine");
    let record = |cell: RecordCell| shared.get(&record_key(cell.lane, cell.number)).unwrap().0;
    assert_eq!((record(late), record(other)), (Vec::new(), b"another's".to_vec()));
}

#[test]
fn a_long_sweep_goes_on_in_passes_and_says_that_it_lives_in_between() {
    let shared = Map::default();
    let mut dying = Lane::take(&shared, 2, t(0)).unwrap();
    for number in 0..5_000u32 {
        dying.put(&shared, &number.to_le_bytes(), t(0)).unwrap();
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
    (0..4u8).for_each(|number| assert!(dying.put(&shared, &[b'a' + number], t(0)).is_some()));
    let mut looker = Watch::default();
    let (_, mut stopped) = watch(&mut looker, &shared, 1, 11, &[]).pop().unwrap();
    let now = Cell::new(11_000u64);
    let slow = |_: &[u8]| {
        now.set(now.get() + 12);
        true
    };
    assert!(!stopped.sweep(&shared, || t(now.get()), slow), "two of four");
    let mut heir = Watch::default();
    let (_, dead) = watch(&mut heir, &shared, 12, 12, &[]).pop().unwrap();
    assert_eq!(sweep(&shared, dead), ["c", "d"]);
    now.set(24_000);
    assert!(stopped.sweep(&shared, || t(now.get()), |_| panic!("there is nothing left")));
    assert!(read_swept(&shared.get(&lane_key(dying.number)).unwrap().0).is_some(), "the heir's word stands");
}

#[test]
fn what_is_open_is_summed_over_all_lanes_as_of_their_last_beats() {
    let shared = Map::default();
    let pax = |picopax| Pax::from_picopax(picopax);
    let mut one = Lane::take(&shared, 1, t(0)).unwrap();
    let mut two = Lane::take(&shared, 2, t(0)).unwrap();
    let put = |lane: &mut Lane, amount| {
        let mut cell = lane.put(&shared, b"x", t(0)).unwrap();
        lane.reserves(&mut cell, pax(amount));
        cell
    };
    let (first, second, third) = (put(&mut one, 5), put(&mut one, 7), put(&mut two, 11));
    let all = |calls, reserved| assert_eq!(Open::of(&shared), Open { calls, reserved: pax(reserved) });
    all(0, 0);
    assert!(one.beat(&shared, t(1)) && two.beat(&shared, t(1)));
    all(3, 23);
    // A debit that found no room: nothing is reserved for it any more, and its place is still taken.
    assert!(one.clear(&shared, first) && one.keep(&shared, second, b"debit") && one.beat(&shared, t(2)));
    all(2, 11);
    assert_eq!(one.settle_kept(&shared, |_| true), 0);
    assert!(one.beat(&shared, t(3)));
    all(1, 11);

    // A dead VM's calls count as open until another VM sweeps its lane.
    let mut looker = Watch::default();
    let mut dead = watch(&mut looker, &shared, 1, 12, &[&one]);
    let (_, dead) = dead.pop().unwrap();
    assert_eq!(sweep(&shared, dead), ["x"]);
    all(0, 0);
    assert!(!two.clear(&shared, RecordCell { vm: 9, ..third }));
}

#[test]
fn a_lane_of_a_module_before_says_nothing_of_its_calls() {
    let shared = Map::default();
    let lane = Lane::take(&shared, 1, t(0)).unwrap();
    shared.set(&lane_key(lane.number), &lane_value(1, t(0), Open::default())[..16]);
    assert_eq!(Open::of(&shared), Open::default());
    assert!(lane.beat(&shared, t(1)), "it is its owner's all the same");
}
