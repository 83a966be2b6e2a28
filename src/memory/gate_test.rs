#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::*;
use crate::base::account::{Account, Funding, Status, Tier};
use crate::base::clock::Moment;
use crate::base::exchange_id::ExchangeId;
use crate::base::pax::Tokens;
use crate::base::stopwatch::Lasted;
use crate::base::text_bytes::TextBytes;
use crate::base::wire::{DebitOutcome, Void};
use crate::debit::admission::Answered;
use crate::debit::debiting::debit_of;
use crate::dialect::usage::{Mode, Rules};
use crate::worker::fake::Map;
use std::sync::Arc;

#[path = "gate/dead_test.rs"]
mod dead_test;

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
        hold: (tier == Tier::Credit).then(|| pax("2")),
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

/// A VM's own memory: it is gone when the VM dies.
struct Vm {
    lane: Lane,
    outbox: Outbox,
}

/// What was sent for an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sent {
    /// The debit of an answer that was read.
    Debit,
    /// The estimate of a call whose VM died.
    Orphan,
    Void,
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

    fn go_on(&mut self, shared: &impl SharedData, owed: Owed) -> Result<Owed, NotOpened> {
        go_on(shared, Some(&mut self.lane), &mut self.outbox, owed, (t(1), || t(1)))
    }

    fn release(&mut self, shared: &impl SharedData, owed: Owed) {
        release(shared, Some(&mut self.lane), &mut self.outbox, (owed, t(2)));
    }

    /// Sends what waits; gives the exchanges and what was sent for them.
    fn send(&mut self, map: &impl SharedData) -> Vec<(ExchangeId, Sent)> {
        let mut sent = Vec::new();
        while self.outbox.next_batch(t(100_000)).is_some() {
            let mut replies = Vec::new();
            for waiting in self.outbox.under_way() {
                if let Ok(void) = serde_json::from_slice::<Void>(waiting.debit.canonical()) {
                    assert_eq!(void.account, "acme");
                    sent.push((void.void, Sent::Void));
                    replies.push(DebitReply {
                        exchange_id: void.void.to_string(),
                        outcome: DebitOutcome::Voided,
                        account_seq: None,
                        standing: None,
                        message: None,
                    });
                    continue;
                }
                let debit = Debit::from_canonical(waiting.debit.canonical()).unwrap();
                debit.prove(&Bundle::embedded().unwrap()).unwrap();
                let orphaned = debit.ending == Ending::Orphaned;
                assert_eq!(debit.hold_id.is_some(), debit.tier == Tier::Credit);
                sent.push((debit.exchange_id, if orphaned { Sent::Orphan } else { Sent::Debit }));
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
            let outcomes: Vec<_> = replies.iter().map(|reply| reply.outcome).collect();
            self.outbox.answered(map, Some(&mut self.lane), &outcomes, t(100_000));
        }
        sent
    }
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
    assert_eq!(vm.send(&map), [(admission.exchange_id, Sent::Debit)]);
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
    assert_eq!(dead_test::sweep(&map), (0, Vec::new()));
}

#[test]
fn a_record_holds_all_that_an_orphans_debit_needs() {
    let bundle = Bundle::embedded().unwrap();
    for (tier, service_tier) in [(Tier::Free, None), (Tier::Credit, Some("flex".to_owned()))] {
        let admission = Admission { service_tier, ..Rc::unwrap_or_clone(admission(3, tier)) };
        let bytes = record::write(&admission, tier == Tier::Free);
        let read = record::read(&bundle, &bytes).unwrap().unwrap();
        assert_eq!(format!("{:?}", read.admission), format!("{admission:?}"));
        assert_eq!(read.goes_on, tier == Tier::Free);
        for length in 0..bytes.len() {
            assert!(record::read(&bundle, &bytes[..length]).is_err(), "cut at {length}");
        }
        assert!(record::read(&bundle, &[&bytes[..], b"x"].concat()).is_err(), "more than a record");
    }
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
