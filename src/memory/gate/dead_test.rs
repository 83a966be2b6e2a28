//! A VM that dies, or loses its lane, in the middle of a call.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use super::*;
use crate::memory::lanes::sweep::Watch;
use crate::memory::lanes::{BEAT_MS, DEAD_MS, Sums};
use crate::memory::shared::Version;

/// Shared data of a VM that traps at a host call.
struct Dying<'a> {
    map: &'a Map,
    calls_left: Cell<u32>,
}

struct Trap;

impl Dying<'_> {
    fn call(&self) {
        match self.calls_left.get().checked_sub(1) {
            Some(left) => self.calls_left.set(left),
            None => resume_unwind(Box::new(Trap)),
        }
    }
}

impl SharedData for Dying<'_> {
    fn get(&self, key: &str) -> Option<(Vec<u8>, Version)> {
        self.call();
        self.map.get(key)
    }

    fn swap(&self, key: &str, value: &[u8], expected: Version) -> bool {
        self.call();
        self.map.swap(key, value, expected)
    }

    fn set(&self, key: &str, value: &[u8]) -> bool {
        self.call();
        self.map.set(key, value)
    }
}

/// Opens a call in a lane of its own, goes on with it, and traps at the given host call after the lane was
/// taken. Gives whether the call came to its end, and what was sent.
fn live_until(
    map: &Map,
    admission: &Rc<Admission>,
    calls: u32,
    (settles, sends): (bool, bool),
) -> (bool, Vec<(ExchangeId, Sent)>) {
    let mut vm = Vm::new(map, 7);
    let dying = Dying { map, calls_left: Cell::new(calls) };
    let sent = Cell::new(Vec::new());
    let life = || {
        let mut owed = vm.open(&dying, admission).unwrap();
        if settles {
            if admission.hold.is_some() {
                owed = vm.go_on(&dying, owed).unwrap();
            }
            vm.settle(&dying, owed);
            if sends {
                // The ledger has them, whether its answer comes in time or not.
                sent.set(
                    vm.outbox
                        .next_batch(t(3))
                        .unwrap()
                        .iter()
                        .map(|_| (admission.exchange_id, Sent::Debit))
                        .collect(),
                );
                vm.outbox.failed();
                vm.send(&dying);
            }
        } else {
            vm.release(&dying, owed);
            sent.set(vm.send(&dying));
        }
    };
    let lived = catch_unwind(AssertUnwindSafe(life)).is_ok();
    (lived, sent.into_inner())
}

/// Another VM sweeps what a dead one has left, and sends it. Gives how many calls were charged by estimate, and what was
/// sent.
pub(super) fn sweep(map: &Map) -> (usize, Vec<(ExchangeId, Sent)>) {
    let bundle = Bundle::embedded().unwrap();
    let (mut vm, mut watch, mut charged) = (Vm::new(map, 8), Watch::default(), 0);
    for s in 0..=2 * DEAD_MS / BEAT_MS + 2 {
        let now = t(60_000 + s * BEAT_MS);
        assert!(vm.lane.beat(map, Sums::default(), now));
        let Some(mut dead) = watch.look(map, 8, now) else { continue };
        let ends = dead.sweep(
            map,
            || now,
            |held| match take_over(map, &bundle, (&mut vm.lane, &mut vm.outbox), held, now) {
                TakenOver::Charged(_) => {
                    charged += 1;
                    true
                }
                TakenOver::Debit | TakenOver::Voided | TakenOver::Nothing => true,
                TakenOver::Later => false,
                TakenOver::Unreadable(problem) => panic!("{problem}"),
            },
        );
        assert!(ends);
    }
    let sent = vm.send(map);
    assert_eq!((vm.lane.used(), vm.outbox.all()), (0, 0));
    vm.lane.retire(map, Sums::default());
    (charged, sent)
}

/// At whichever host call the VM dies, nothing stays reserved or held, and the exchange has at most one debit: exactly one
/// if the call may have gone on. If it had a hold and did not go on, the hold is voided.
#[test]
fn a_vm_may_die_between_any_two_writes() {
    let mut deaths = 0;
    for tier in [Tier::Free, Tier::Credit] {
        for (settles, sends) in [(true, true), (true, false), (false, false)] {
            for calls in 0..30 {
                let (map, admission) = (Map::default(), admission(1, tier));
                known(&map);
                let (lived, mut sent) = live_until(&map, &admission, calls, (settles, sends));
                let (charged, swept) = sweep(&map);
                let what = format!("{tier:?}, settles {settles}, {calls} calls: {sent:?}, then {swept:?}");
                assert!(swept.len() <= 1 && charged <= swept.len(), "{what}");
                sent.extend(swept);
                assert_eq!(daily(&map).reserved, Pax::ZERO, "{what}");
                assert_eq!(sweep(&map), (0, Vec::new()), "swept twice: {what}");
                // Sent twice, it is the same debit.
                sent.dedup();
                assert!(sent.len() <= 1, "{what}");
                let is_held = tier == Tier::Credit;
                assert!(is_held || sent.iter().all(|(_, sent)| *sent != Sent::Void), "{what}");
                assert_eq!(charged, sent.iter().filter(|(_, sent)| *sent == Sent::Orphan).count(), "{what}");
                if lived {
                    let expected = match (settles, is_held) {
                        (true, _) => vec![(admission.exchange_id, Sent::Debit)],
                        (false, true) => vec![(admission.exchange_id, Sent::Void)],
                        (false, false) => Vec::new(),
                    };
                    assert_eq!(sent, expected, "{what}");
                } else {
                    deaths += 1;
                }
            }
        }
    }
    assert!(deaths > 30, "{deaths}");
}

#[test]
fn a_hold_of_a_dead_vm_is_voided_unless_the_provider_may_have_seen_the_call() {
    let (map, waiting, went_on) = (Map::default(), admission(1, Tier::Credit), admission(2, Tier::Credit));
    known(&map);
    let mut dead = Vm::new(&map, 7);
    drop(dead.open(&map, &waiting).unwrap());
    let owed = dead.open(&map, &went_on).unwrap();
    drop(dead.go_on(&map, owed).unwrap());
    let (charged, mut sent) = sweep(&map);
    sent.sort_by_key(|(exchange, _)| *exchange);
    assert_eq!(sent, [(waiting.exchange_id, Sent::Void), (went_on.exchange_id, Sent::Orphan)]);
    assert_eq!(charged, 1);
}

#[test]
fn a_call_whose_hold_comes_after_its_vm_was_taken_for_dead_does_not_go_on() {
    let (map, admission) = (Map::default(), admission(1, Tier::Credit));
    let mut stopped = Vm::new(&map, 7);
    let owed = stopped.open(&map, &admission).unwrap();
    map.set("pax/2/lane/0", &[9u64.to_le_bytes(), 1u64.to_le_bytes()].concat());
    let late = t(12_000);
    let gone_on = go_on(&map, Some(&mut stopped.lane), &mut stopped.outbox, owed, (late, || late));
    assert_eq!(gone_on.unwrap_err(), NotOpened::Busy);
    assert_eq!(stopped.outbox.all(), 1, "its void waits to be sent");
    // The same, if the thread stood still just before it wrote.
    let map = Map::default();
    let mut stopped = Vm::new(&map, 7);
    let owed = stopped.open(&map, &admission).unwrap();
    let woken = || {
        map.set("pax/2/lane/0", &[9u64.to_le_bytes(), 1u64.to_le_bytes()].concat());
        late
    };
    let gone_on = go_on(&map, Some(&mut stopped.lane), &mut stopped.outbox, owed, (t(1), woken));
    assert_eq!((gone_on.unwrap_err(), stopped.outbox.all()), (NotOpened::Busy, 1));
}

#[test]
fn a_hold_that_the_ledger_refused_is_not_voided() {
    let (map, admission) = (Map::default(), admission(1, Tier::Credit));
    let mut vm = Vm::new(&map, 7);
    let owed = vm.open(&map, &admission).unwrap().without_hold();
    vm.release(&map, owed);
    assert_eq!((vm.send(&map), vm.lane.used()), (Vec::new(), 0));
    assert_eq!(sweep(&map), (0, Vec::new()));
}

#[test]
fn a_call_whose_thread_stood_still_before_its_reservation_does_not_go_on() {
    let (map, admission) = (Map::default(), admission(1, Tier::Free));
    known(&map);
    let mut stopped = Vm::new(&map, 7);
    let limit = Some(pax("10"));
    // A sweeping worker has the lane by then. It has found the record, which had no reservation.
    let woken = || {
        let value = [9u64.to_le_bytes(), 1u64.to_le_bytes()].concat();
        map.set("pax/2/lane/0", &value);
        t(12_000)
    };
    let opened = open(&map, &mut stopped.lane, &admission, limit, (t(1), woken));
    assert_eq!(opened.unwrap_err(), NotOpened::Busy);
    assert_eq!(daily(&map), Daily::default());
    assert_eq!(map.read("pax/2/open/0/0").unwrap(), b"", "nor is its record left, if the sweep had passed");
    // A thread that stood still and still has its lane goes on.
    let mut late = Vm::new(&map, 8);
    assert!(open(&map, &mut late.lane, &admission, limit, (t(1), || t(12_000))).is_ok());
}

#[test]
fn a_debit_of_a_vm_that_lost_its_lane_overwrites_the_record_unless_it_was_swept() {
    let (map, bundle) = (Map::default(), Bundle::embedded().unwrap());
    known(&map);
    let admissions = [1, 2, 3].map(|random| admission(random, Tier::Free));
    let mut stopped = Vm::new(&map, 7);
    let owed = admissions.each_ref().map(|admission| stopped.open(&map, admission).unwrap());
    // Another VM takes the lane, and has swept all but the first cell when the thread wakes.
    let heir = [9u64.to_le_bytes(), 1u64.to_le_bytes()].concat();
    map.set("pax/2/lane/0", &heir);
    let mut vm = Vm::new(&map, 9);
    for key in ["pax/2/open/0/1", "pax/2/open/0/2"] {
        let held = map.read(key).unwrap();
        take_over(&map, &bundle, (&mut vm.lane, &mut vm.outbox), held, t(11_000));
        map.set(key, &[]);
    }
    let debit = debit(&admissions[0]);
    let [first, second, third] = owed;
    let late = (&debit, t(12_000));
    settle(&map, Some(&mut stopped.lane), &mut stopped.outbox, first, late);
    let held = map.read("pax/2/open/0/0").unwrap();
    assert_eq!(DebitBytes::read(held).unwrap().canonical(), debit.to_canonical());
    // The VM does not know that it has lost its lane. The debit waits in its memory for another one.
    settle(&map, Some(&mut stopped.lane), &mut stopped.outbox, second, late);
    settle(&map, None, &mut stopped.outbox, third, late);
    assert!(map.read("pax/2/open/0/1").unwrap().is_empty() && map.read("pax/2/open/0/2").unwrap().is_empty());
    stopped.lane = Lane::take(&map, 17, t(12_000)).unwrap();
    stopped.outbox.house(&map, &mut stopped.lane, t(12_000));
    assert_eq!((stopped.lane.used(), stopped.outbox.all()), (2, 3));
    stopped.outbox.next_batch(t(13_000)).unwrap();
    let recorded = [DebitOutcome::Recorded; 3];
    stopped.outbox.answered(&map, Some(&mut stopped.lane), &recorded, t(13_000));
    assert!(map.read("pax/2/open/0/0").unwrap().is_empty() && stopped.lane.used() == 0);
}

#[test]
fn a_debit_of_the_module_before_is_not_charged_again_by_estimate() {
    let (map, admission) = (Map::default(), admission(1, Tier::Free));
    known(&map);
    let mut dead = Vm::new(&map, 7);
    drop(dead.open(&map, &admission).unwrap());
    // A VM of that module has put the debit into the ring, and died before anything else.
    let slot = [&0u64.to_le_bytes()[..], &[0], &debit(&admission).to_canonical()].concat();
    map.set("pax/outbox/tail", &1u64.to_le_bytes());
    map.set("pax/outbox/0", &slot);
    let mut vm = Vm::new(&map, 8);
    let record = map.read("pax/2/open/0/0").unwrap();
    let bundle = Bundle::embedded().unwrap();
    let taken = take_over(&map, &bundle, (&mut vm.lane, &mut vm.outbox), record, t(20_000));
    assert!(matches!(taken, TakenOver::Nothing), "{taken:?}");
}

#[test]
fn an_orphan_is_charged_for_its_input_once_and_says_what_it_is() {
    let (map, admission) = (Map::default(), admission(1, Tier::Free));
    known(&map);
    // Its VM dies with it.
    drop(Vm::new(&map, 7).open(&map, &admission).unwrap());
    assert_eq!(daily(&map).reserved, pax("1"));
    assert_eq!(sweep(&map), (1, vec![(admission.exchange_id, Sent::Orphan)]));
    // USD 0.20 per million tokens, 1,000 tokens of four bytes each.
    assert_eq!(daily(&map), Daily { spent: pax("0.000017497813"), reserved: Pax::ZERO });
}

#[test]
fn what_a_dead_vm_left_waits_while_there_is_no_cell_for_it() {
    let (map, one, other) = (Map::default(), admission(1, Tier::Free), admission(2, Tier::Free));
    known(&map);
    let mut dead = Vm::new(&map, 7);
    let owed = dead.open(&map, &one).unwrap();
    dead.settle(&map, owed);
    drop(dead.open(&map, &other).unwrap());
    let mut vm = Vm::new(&map, 8);
    let mut full = 0;
    while vm.lane.put_debit(&map, b"x", t(0)).is_some() {
        full += 1;
    }
    let bundle = Bundle::embedded().unwrap();
    let before = daily(&map);
    for key in ["pax/2/open/0/0", "pax/2/open/0/1"] {
        let held = map.read(key).unwrap();
        let taken = take_over(&map, &bundle, (&mut vm.lane, &mut vm.outbox), held, t(20_000));
        assert!(matches!(taken, TakenOver::Later), "{taken:?}");
    }
    assert_eq!((daily(&map), vm.outbox.all(), full), (before, 0, 65_536));
}

#[test]
fn what_cannot_be_read_is_said_and_not_tried_for_ever() {
    let (map, bundle) = (Map::default(), Bundle::embedded().unwrap());
    let mut vm = Vm::new(&map, 7);
    let problem = take_over(&map, &bundle, (&mut vm.lane, &mut vm.outbox), b"{}".to_vec(), t(0));
    assert!(matches!(problem, TakenOver::Unreadable(_)), "{problem:?}");
}
