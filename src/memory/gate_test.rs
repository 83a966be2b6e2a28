#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::*;
use crate::base::account::{Account, Funding, Status, Tier};
use crate::base::clock::Moment;
use crate::base::exchange_id::ExchangeId;
use crate::base::pax::Tokens;
use crate::base::text_bytes::TextBytes;
use crate::base::wire::DebitOutcome;
use crate::dialect::usage::{Mode, Rules};
use crate::memory::lanes::sweep::Watch;
use crate::memory::lanes::{BEAT_MS, DEAD_MS, Sums};
use crate::memory::shared::Version;
use crate::worker::fake::Map;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

const MODEL: &str = "accounts/fireworks/models/gpt-oss-20b";

fn admitted_at() -> Moment {
    "2026-06-01T12:00:00Z".parse().unwrap()
}

/// A tick some while after the machine's start, so that no tick equals a moment of the wall clock.
fn t(ms: u64) -> Tick {
    Tick::from_ms(5_000_000 + ms)
}

fn pax(text: &str) -> Pax {
    text.parse().unwrap()
}

fn admission(random: u8, tier: Tier) -> Rc<Admission> {
    let bundle = Bundle::embedded().unwrap();
    let account = Account {
        account: "acme".to_owned(),
        tier,
        status: Status::Active,
        token_id: "tok_1".to_owned(),
        daily_cap_pax: None,
        canon_v: 2,
    };
    Rc::new(Admission {
        exchange_id: ExchangeId::new(admitted_at(), [random; 10]),
        admitted_at: admitted_at(),
        account: Arc::new(account),
        funding: Funding::Platform,
        slot: "planner".to_owned(),
        intent_id: Some("intent".to_owned()),
        goal_id: None,
        mode: Mode::Chat,
        wants_stream: true,
        card: Arc::clone(bundle.in_force(admitted_at()).unwrap()),
        model: MODEL.to_owned(),
        provider: "fireworks".to_owned(),
        usage_rules: Rules::default(),
        service_tier: None,
        n: 1,
        stated_maximum: None,
        input: TextBytes { ascii: 4_000, other: 0 },
        not_text: false,
        shares_window: false,
        asked_model: None,
        input_limit: Tokens(2_000),
        output_limit: Tokens(100),
        reservation: (tier == Tier::Free).then(|| pax("1")),
    })
}

fn known(shared: &impl SharedData) {
    let standing = Standing { utc_day: admitted_at().day(), spent_pax: Pax::ZERO, account_seq: 1, epoch: 0 };
    cap::learn(shared, "acme", &standing, t(0));
}

fn daily(shared: &Map) -> Daily {
    cap::daily(shared, "acme", admitted_at().day()).unwrap()
}

fn debit(admission: &Admission) -> Debit {
    let answered = Answered {
        status: Some(200),
        ending: Ending::Complete,
        ..Answered::without_head(admission, Lasted::default())
    };
    debit_of(admission, answered, admitted_at().plus_ms(5)).unwrap()
}

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

/// A VM's own memory: it is gone when the VM dies.
struct Vm {
    lane: Lane,
    outbox: Outbox,
}

impl Vm {
    fn new(map: &Map, id: u64) -> Self {
        Self { lane: Lane::take(map, id, t(0)).unwrap(), outbox: Outbox::default() }
    }

    fn open(&mut self, shared: &impl SharedData, admission: &Rc<Admission>) -> Result<Owed, NotOpened> {
        let limit = admission.reservation.map(|_| pax("10"));
        open(shared, &mut self.lane, admission, limit, (t(1), || t(1)))
    }

    fn settle(&mut self, shared: &impl SharedData, owed: Owed) -> Option<Daily> {
        let debit = debit(owed.admission());
        settle(shared, Some(&mut self.lane), &mut self.outbox, owed, (&debit, t(2)))
    }

    /// Sends what waits; gives the exchanges and whether they are orphans.
    fn send(&mut self, map: &impl SharedData) -> Vec<(ExchangeId, bool)> {
        let mut sent = Vec::new();
        while self.outbox.next_batch(t(100_000)).is_some() {
            let mut replies = Vec::new();
            for waiting in self.outbox.under_way() {
                let debit = Debit::from_canonical(waiting.debit.canonical()).unwrap();
                debit.prove(&Bundle::embedded().unwrap()).unwrap();
                sent.push((debit.exchange_id, debit.ending == Ending::Orphaned));
                let standing =
                    Standing { utc_day: debit.utc_day, spent_pax: debit.cost_pax, account_seq: 2, epoch: 0 };
                replies.push(DebitReply {
                    exchange_id: debit.exchange_id.to_string(),
                    outcome: DebitOutcome::Recorded,
                    account_seq: Some(2),
                    standing: Some(standing),
                    message: None,
                });
            }
            acknowledged(map, self.outbox.under_way(), &replies);
            let outcomes = vec![DebitOutcome::Recorded; replies.len()];
            self.outbox.answered(map, Some(&mut self.lane), &outcomes, t(100_000));
        }
        sent
    }
}

/// Opens a call in a lane of its own, goes on with it, and traps at the given host call after the lane was
/// taken. Gives whether the call came to its end, and what was sent.
fn live_until(
    map: &Map,
    admission: &Rc<Admission>,
    calls: u32,
    (settles, sends): (bool, bool),
) -> (bool, Vec<(ExchangeId, bool)>) {
    let mut vm = Vm::new(map, 7);
    let dying = Dying { map, calls_left: Cell::new(calls) };
    let sent = Cell::new(Vec::new());
    let life = || {
        let owed = vm.open(&dying, admission).unwrap();
        if settles {
            vm.settle(&dying, owed);
            if sends {
                // The ledger has them, whether its answer comes in time or not.
                sent.set(
                    vm.outbox
                        .next_batch(t(3))
                        .unwrap()
                        .iter()
                        .map(|_| (admission.exchange_id, false))
                        .collect(),
                );
                vm.outbox.failed();
                vm.send(&dying);
            }
        } else {
            release(&dying, Some(&mut vm.lane), owed);
        }
    };
    let lived = catch_unwind(AssertUnwindSafe(life)).is_ok();
    (lived, sent.into_inner())
}

/// Another VM sweeps what a dead one has left, and sends it. Gives how many calls were charged by estimate, and what was
/// sent.
fn sweep(map: &Map) -> (usize, Vec<(ExchangeId, bool)>) {
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
                TakenOver::Debit | TakenOver::Nothing => true,
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

#[test]
fn a_call_that_settles_leaves_its_cost_and_nothing_else() {
    let (map, admission) = (Map::default(), admission(1, Tier::Free));
    known(&map);
    let mut vm = Vm::new(&map, 7);
    let owed = vm.open(&map, &admission).unwrap();
    let cost = debit(&admission).cost_pax;
    let spent = Daily { spent: cost, reserved: Pax::ZERO };
    assert_eq!(vm.settle(&map, owed), Some(spent));
    assert_eq!((daily(&map), vm.lane.used()), (spent, 1));
    assert_eq!(vm.send(&map), [(admission.exchange_id, false)]);
    assert_eq!((daily(&map), vm.lane.used()), (spent, 0));
}

#[test]
fn a_refused_call_leaves_no_record() {
    let (map, admission) = (Map::default(), admission(1, Tier::Free));
    let mut lane = Lane::take(&map, 7, t(0)).unwrap();
    let clock = || (t(1), || t(1));
    let unknown = open(&map, &mut lane, &admission, Some(pax("10")), clock());
    assert_eq!(unknown.unwrap_err(), NotOpened::Unknown);
    known(&map);
    let exceeded = open(&map, &mut lane, &admission, Some(pax("0.5")), clock());
    assert_eq!(exceeded.unwrap_err(), NotOpened::Exceeded(Daily::default()));
    assert_eq!(lane.used(), 0);
    assert_eq!(sweep(&map), (0, Vec::new()));
}

/// At whichever host call the VM dies, nothing stays reserved, and the exchange has at most one debit:
/// exactly one if the call may have gone on.
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
                if lived {
                    assert_eq!((sent.len(), charged), (usize::from(settles), 0), "{what}");
                } else {
                    deaths += 1;
                }
            }
        }
    }
    assert!(deaths > 30, "{deaths}");
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
    assert_eq!(sweep(&map), (1, vec![(admission.exchange_id, true)]));
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
fn a_record_holds_all_that_an_orphans_debit_needs() {
    let bundle = Bundle::embedded().unwrap();
    for (tier, service_tier) in [(Tier::Free, None), (Tier::Credit, Some("flex".to_owned()))] {
        let admission = Admission { service_tier, ..Rc::unwrap_or_clone(admission(3, tier)) };
        let bytes = record::write(&admission);
        let read = record::read(&bundle, &bytes).unwrap().unwrap();
        assert_eq!(format!("{read:?}"), format!("{admission:?}"));
        for length in 0..bytes.len() {
            assert!(record::read(&bundle, &bytes[..length]).is_err(), "cut at {length}");
        }
        assert!(record::read(&bundle, &[&bytes[..], b"x"].concat()).is_err(), "more than a record");
    }
}

#[test]
fn what_cannot_be_read_is_said_and_not_tried_for_ever() {
    let (map, bundle) = (Map::default(), Bundle::embedded().unwrap());
    let mut vm = Vm::new(&map, 7);
    let problem = take_over(&map, &bundle, (&mut vm.lane, &mut vm.outbox), b"{}".to_vec(), t(0));
    assert!(matches!(problem, TakenOver::Unreadable(_)), "{problem:?}");
}

#[test]
fn a_debit_that_the_ledger_does_not_read_yet_stays_on_its_accounts_list() {
    let (map, admission) = (Map::default(), admission(1, Tier::Free));
    known(&map);
    let mut vm = Vm::new(&map, 7);
    let owed = vm.open(&map, &admission).unwrap();
    vm.settle(&map, owed);
    let cost = debit(&admission).cost_pax;
    let mut reply = DebitReply {
        exchange_id: admission.exchange_id.to_string(),
        outcome: DebitOutcome::Unsupported,
        account_seq: None,
        standing: None,
        message: None,
    };
    for (ms, outcome, left) in [(0, DebitOutcome::Unsupported, 1), (10_000, DebitOutcome::Recorded, 0)] {
        assert!(vm.outbox.next_batch(t(ms)).is_some());
        reply.outcome = outcome;
        let standing = Standing { utc_day: admitted_at().day(), spent_pax: cost, account_seq: 2, epoch: 0 };
        reply.standing = (outcome == DebitOutcome::Recorded).then_some(standing);
        acknowledged(&map, vm.outbox.under_way(), std::slice::from_ref(&reply));
        vm.outbox.answered(&map, Some(&mut vm.lane), &[outcome], t(ms));
        assert_eq!(
            daily(&map),
            Daily { spent: cost, reserved: Pax::ZERO },
            "neither forgotten nor counted twice"
        );
        assert_eq!((vm.outbox.all(), vm.lane.used()), (left, left));
    }
}
