#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::*;
use crate::base::account::{Account, Funding, Status, Tier};
use crate::base::clock::Moment;
use crate::base::exchange_id::ExchangeId;
use crate::base::pax::Tokens;
use crate::base::text_bytes::TextBytes;
use crate::base::wire::DebitOutcome;
use crate::dialect::usage::{Mode, Rules};
use crate::memory::in_flight::{DEAD_MS, Watch};
use crate::memory::outbox::Sender;
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

fn debit(admission: &Admission) -> (Vec<u8>, Pax) {
    let answered = Answered {
        status: Some(200),
        ending: Ending::Complete,
        ..Answered::without_head(admission, Lasted::default())
    };
    let debit = debit_of(admission, answered, admitted_at().plus_ms(5)).unwrap();
    (debit.to_canonical(), debit.cost_pax)
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

/// Opens a call in a lane of its own, goes on with it, and traps at the given host call after the lane was
/// taken. Gives whether the call came to its end.
fn live_until(map: &Map, admission: &Rc<Admission>, calls: u32, settles: bool) -> bool {
    let mut lane = Lane::take(map, 7, t(0)).unwrap();
    let dying = Dying { map, calls_left: Cell::new(calls) };
    let life = || {
        let limit = admission.reservation.map(|_| pax("10"));
        let owed = open(&dying, &mut lane, admission, limit, t(1)).unwrap();
        if settles {
            let (canonical, cost) = debit(admission);
            let charged = (canonical.as_slice(), cost);
            settle(&dying, &mut lane, (&Writer::new(), t(2), || t(2)), owed, charged).unwrap();
        } else {
            release(&dying, &mut lane, owed);
        }
    };
    catch_unwind(AssertUnwindSafe(life)).is_ok()
}

/// Sweeps what a dead VM has left; gives how many calls were charged.
fn sweep(map: &Map) -> usize {
    let bundle = Bundle::embedded().unwrap();
    let (mut watch, writer, mut charged) = (Watch::new(), Writer::new(), 0);
    for s in 0..=DEAD_MS / 1_000 + 1 {
        let now = t(60_000 + s * 1_000);
        let Some(mut dead) = watch.look(map, 8, now) else { continue };
        dead.sweep(
            map,
            || now,
            |record| match orphan(map, &bundle, (&writer, now, || now), record) {
                Orphan::Charged(_) => {
                    charged += 1;
                    true
                }
                Orphan::Kept | Orphan::Nothing => true,
                Orphan::Later => false,
                Orphan::Unreadable(problem) => panic!("{problem}"),
            },
        );
    }
    charged
}

/// Sends what waits; gives the exchanges and whether they are orphans.
fn send(map: &Map) -> Vec<(ExchangeId, bool)> {
    let mut sender = Sender::new(1);
    let mut sent = Vec::new();
    while let Some(batch) = sender.next_batch(map, t(100_000)).map(<[Waiting]>::to_vec) {
        let mut replies = Vec::new();
        for waiting in &batch {
            let debit = Debit::from_canonical(&waiting.canonical).unwrap();
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
        acknowledged(map, &batch, &replies);
        sender.answered(map, &vec![DebitOutcome::Recorded; batch.len()], || t(100_000));
    }
    sent
}

#[test]
fn a_call_that_settles_leaves_its_cost_and_nothing_else() {
    let (map, admission) = (Map::default(), admission(1, Tier::Free));
    known(&map);
    assert!(live_until(&map, &admission, u32::MAX, true));
    let cost = debit(&admission).1;
    assert_eq!(daily(&map), Daily { spent: cost, reserved: Pax::ZERO });
    assert_eq!(send(&map), [(admission.exchange_id, false)]);
    assert_eq!(daily(&map), Daily { spent: cost, reserved: Pax::ZERO });
    assert_eq!(sweep(&map), 0);
}

#[test]
fn a_refused_call_leaves_no_record() {
    let (map, admission) = (Map::default(), admission(1, Tier::Free));
    let mut lane = Lane::take(&map, 7, t(0)).unwrap();
    let unknown = open(&map, &mut lane, &admission, Some(pax("10")), t(1));
    assert_eq!(unknown.unwrap_err(), NotOpened::Unknown);
    known(&map);
    let exceeded = open(&map, &mut lane, &admission, Some(pax("0.5")), t(1));
    assert_eq!(exceeded.unwrap_err(), NotOpened::Exceeded(Daily::default()));
    assert_eq!(lane.open(), 0);
    assert_eq!(sweep(&map), 0);
}

/// At whichever host call the VM dies, nothing stays reserved, and the exchange has at most one debit:
/// exactly one if the call may have gone on.
#[test]
fn a_vm_may_die_between_any_two_writes() {
    for tier in [Tier::Free, Tier::Credit] {
        for settles in [true, false] {
            for calls in 0..40 {
                let (map, admission) = (Map::default(), admission(1, tier));
                known(&map);
                let lived = live_until(&map, &admission, calls, settles);
                // A debit that the VM left may be sent to the ledger before the VM is found dead.
                for sends_first in [false, true] {
                    let map = map.clone();
                    let mut sent = if sends_first { send(&map) } else { Vec::new() };
                    let charged = sweep(&map);
                    sent.extend(send(&map));
                    let what = format!(
                        "{tier:?}, settles {settles}, {calls} calls, sent first {sends_first}: {sent:?}"
                    );
                    assert_eq!(daily(&map).reserved, Pax::ZERO, "{what}");
                    assert_eq!(sweep(&map), 0, "swept twice: {what}");
                    let mut exchanges: Vec<_> = sent.iter().map(|(exchange, _)| *exchange).collect();
                    exchanges.dedup();
                    assert!(exchanges.len() <= 1, "{what}");
                    // A credit account has no reservation that would tell. So if the debit was acknowledged
                    // before the record was taken out, the call is charged again; the ledger has that
                    // exchange, and quarantines the second debit.
                    let again = tier == Tier::Credit && sends_first && charged == 1;
                    assert!(sent.len() <= 1 + usize::from(again), "{what}");
                    if lived {
                        assert_eq!(sent.len(), usize::from(settles), "{what}");
                        assert_eq!(charged, 0, "{what}");
                    }
                }
            }
        }
    }
}

#[test]
fn an_orphan_is_charged_for_its_input_once_and_says_what_it_is() {
    let (map, admission) = (Map::default(), admission(1, Tier::Free));
    known(&map);
    let mut lane = Lane::take(&map, 7, t(0)).unwrap();
    // Its VM dies with it.
    drop(open(&map, &mut lane, &admission, Some(pax("10")), t(1)).unwrap());
    assert_eq!(daily(&map).reserved, pax("1"));
    assert_eq!(sweep(&map), 1);
    // USD 0.20 per million tokens, 1,000 tokens of four bytes each.
    assert_eq!(daily(&map), Daily { spent: pax("0.000017497813"), reserved: Pax::ZERO });
    assert_eq!(send(&map), [(admission.exchange_id, true)]);
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
    let problem = orphan(&map, &bundle, (&Writer::new(), t(0), || t(0)), b"{}");
    assert!(matches!(problem, Orphan::Unreadable(_)), "{problem:?}");
}

/// Takes every place of the outbox, or frees all of them again.
fn fill(map: &Map, full: bool) {
    let end = outbox::SLOTS.to_le_bytes();
    map.set(if full { "pax/outbox/tail" } else { "pax/outbox/head" }, &end);
}

#[test]
fn a_debit_that_finds_the_outbox_full_waits_in_its_calls_record_for_room() {
    for tier in [Tier::Free, Tier::Credit] {
        let (map, admission, writer) = (Map::default(), admission(1, tier), Writer::new());
        known(&map);
        let mut lane = Lane::take(&map, 7, t(0)).unwrap();
        let limit = admission.reservation.map(|_| pax("10"));
        let owed = open(&map, &mut lane, &admission, limit, t(1)).unwrap();
        fill(&map, true);
        let (canonical, cost) = debit(&admission);
        let charged = (canonical.as_slice(), cost);
        let settled = settle(&map, &mut lane, (&writer, t(2), || t(2)), owed, charged);
        let spent = if tier == Tier::Free { cost } else { Pax::ZERO };
        assert_eq!(settled.unwrap().map_or(Pax::ZERO, |daily| daily.spent), spent);
        assert_eq!(settle_kept(&map, &mut lane, (&writer, || t(3))), 1, "still full");
        assert_eq!((lane.open(), daily(&map).spent), (1, spent));
        fill(&map, false);
        assert_eq!(settle_kept(&map, &mut lane, (&writer, || t(4))), 0);
        assert_eq!((lane.open(), send(&map)), (0, vec![(admission.exchange_id, false)]));
        assert_eq!(daily(&map).reserved, Pax::ZERO);
        assert_eq!(settle_kept(&map, &mut lane, (&writer, || t(5))), 0, "once");
        assert!(send(&map).is_empty());
    }
}

#[test]
fn a_debit_that_waited_for_room_when_its_vm_died_goes_in_as_it_is() {
    let (map, admission, writer) = (Map::default(), admission(1, Tier::Free), Writer::new());
    known(&map);
    let mut lane = Lane::take(&map, 7, t(0)).unwrap();
    let owed = open(&map, &mut lane, &admission, Some(pax("10")), t(1)).unwrap();
    fill(&map, true);
    let (canonical, cost) = debit(&admission);
    let charged = (canonical.as_slice(), cost);
    settle(&map, &mut lane, (&writer, t(2), || t(2)), owed, charged).unwrap();
    drop(lane);
    assert_eq!(
        (sweep(&map), send(&map)),
        (0, Vec::new()),
        "there is no room yet, and it is not charged by estimate"
    );
    fill(&map, false);
    assert_eq!(sweep(&map), 0);
    assert_eq!(send(&map), [(admission.exchange_id, false)], "its own debit, not an estimate");
    assert_eq!((daily(&map).reserved, daily(&map).spent), (Pax::ZERO, cost));
}

#[test]
fn a_debit_that_the_ledger_does_not_read_yet_stays_on_its_accounts_list() {
    let (map, admission) = (Map::default(), admission(1, Tier::Free));
    known(&map);
    assert!(live_until(&map, &admission, u32::MAX, true));
    let (mut sender, cost) = (Sender::new(1), debit(&admission).1);
    let mut reply = DebitReply {
        exchange_id: admission.exchange_id.to_string(),
        outcome: DebitOutcome::Unsupported,
        account_seq: None,
        standing: None,
        message: None,
    };
    for (ms, outcome, left) in [(0, DebitOutcome::Unsupported, 1), (10_000, DebitOutcome::Recorded, 0)] {
        let batch = sender.next_batch(&map, t(ms)).unwrap().to_vec();
        reply.outcome = outcome;
        let standing = Standing { utc_day: admitted_at().day(), spent_pax: cost, account_seq: 2, epoch: 0 };
        reply.standing = (outcome == DebitOutcome::Recorded).then_some(standing);
        acknowledged(&map, &batch, std::slice::from_ref(&reply));
        sender.answered(&map, &[outcome], || t(ms));
        assert_eq!(
            daily(&map),
            Daily { spent: cost, reserved: Pax::ZERO },
            "neither forgotten nor counted twice"
        );
        assert_eq!(outbox::Contents::of(&map).all(), left);
        assert_eq!(
            outbox::holds(&map, &admission.exchange_id),
            left > 0,
            "an orphan's record finds it there"
        );
    }
}
