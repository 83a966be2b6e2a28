//! The network to the ledger: questions of roots on their way, as the driver wrote them, and the answers as bytes.

use std::rc::Rc;

use pax_gateway::base::clock::Moment;
use pax_gateway::base::exchange_id::ExchangeId;
use pax_gateway::base::pax::Pax;
use pax_gateway::base::wire::{
    CARDS_PATH, CardsReply, CardsRequest, DEBITS_PATH, DebitOutcome, DebitReplies, DebitReply, HOLDS_PATH,
    HoldOutcome, HoldReply, HoldRequest, LEASE_PATH, LeaseRequest, RESOLVE_PATH, ResolveRequest,
    STANDINGS_PATH, StandingsReply, StandingsRequest, UNKNOWN_TOKEN,
};
use pax_gateway::worker::fake::Ended;
use pax_gateway::worker::host::Post;
use pax_ledger::book;

use crate::Fault;
use crate::event::{Answer, Event, Message, Question, What, heard, told};
use crate::ledger::{Ledger, read_void};
use crate::memory::exchange_of;
use crate::outside::Shared;
use crate::world::World;

impl Question {
    /// What a root asks; none where it is no question that a ledger knows.
    pub(crate) fn read(post: &Post<'_>) -> Option<Self> {
        match post.path {
            RESOLVE_PATH => {
                let asked: ResolveRequest = serde_json::from_slice(post.body).ok()?;
                Some(Self::Resolve(asked.token_sha256, asked.utc_day))
            }
            STANDINGS_PATH => {
                let asked: StandingsRequest = serde_json::from_slice(post.body).ok()?;
                Some(Self::Standings(asked.asks))
            }
            CARDS_PATH => {
                let asked: CardsRequest<'_> = serde_json::from_slice(post.body).ok()?;
                Some(Self::Cards(asked.cards.into_iter().map(std::borrow::Cow::into_owned).collect()))
            }
            DEBITS_PATH => {
                let lines = post.body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
                Some(Self::Debits(lines.map(<[u8]>::to_vec).collect()))
            }
            HOLDS_PATH => {
                let end = post.body.iter().position(|byte| *byte == b'\n')?;
                let (asked, lost) = post.body.split_at_checked(end)?;
                Some(Self::Hold(serde_json::from_slice(asked).ok()?, lost.get(1..)?.to_vec()))
            }
            LEASE_PATH => {
                let asked: LeaseRequest = serde_json::from_slice(post.body).ok()?;
                Some(Self::Lease(asked.envoy))
            }
            _ => None,
        }
    }
}

/// An answer as its root's callout ends with it.
pub(crate) fn ended(answer: Answer) -> Ended {
    let json = |body: serde_json::Result<Vec<u8>>| Ended::with(200, body.unwrap_or_default());
    match answer {
        Answer::Resolved(Some(resolved)) => json(serde_json::to_vec(&resolved)),
        Answer::Resolved(None) => {
            Ended::with(404, format!(r#"{{"error":{{"code":"{UNKNOWN_TOKEN}","message":"nobody's"}}}}"#))
        }
        Answer::Standings(standings) => json(serde_json::to_vec(&StandingsReply { standings })),
        Answer::Debits(results) => json(serde_json::to_vec(&DebitReplies { results })),
        Answer::Cards(known) => json(serde_json::to_vec(&CardsReply { known })),
        Answer::Held(reply) => json(serde_json::to_vec(&reply)),
        Answer::Renewed => Ended::with(200, "{}"),
        Answer::Away => Ended::with(503, "no healthy upstream"),
        Answer::Nothing => Ended::none(),
    }
}

/// A hold that no ledger made.
fn forged_hold() -> HoldReply {
    HoldReply {
        outcome: HoldOutcome::Held,
        balance_pax: Pax::ZERO,
        held_pax: Pax::ZERO,
        spent_pax: Pax::ZERO,
        limit_pax: None,
        message: None,
    }
}

impl World {
    /// A root asks the ledger: what it hears comes once, or nothing until the time is over.
    pub(crate) fn ask(&self, of: &Shared<'_>, callout: u32, question: &Rc<Question>, timeout_ms: u64) {
        if let Question::Debits(lines) = &**question {
            self.check_bytes(lines);
        }
        let (site, vm, root) = (of.site, of.vm, of.root.get());
        self.say(|| format!("  {site} root {root} asks ({callout}) {}", told(question)));
        self.later(timeout_ms, site, vm, What::Reply { root, callout, answer: Answer::Nothing });
        let (troubled, plan) = (!self.calm.get(), &self.plan);
        let delay = || {
            let late = troubled && self.random.chance(plan.late, 1_000);
            if late { self.random.between(500, 8_000) } else { self.random.between(1, 120) }
        };
        let may_come_twice = matches!(**question, Question::Debits(_) | Question::Hold(..));
        let twice = may_come_twice && troubled && self.random.chance(plan.twice, 1_000);
        if self.fault == Fault::UnheardHold && matches!(**question, Question::Hold(..)) {
            self.later(1, site, vm, What::Reply { root, callout, answer: Answer::Held(forged_hold()) });
        }
        for _ in 0..=u64::from(twice) {
            let answer_lost = troubled && self.random.chance(plan.lost, 1_000);
            let message = Message { site, vm, root, callout, question: Rc::clone(question), answer_lost };
            if !(troubled && self.random.chance(plan.lost, 1_000)) {
                self.push(delay(), Event::ToLedger(Box::new(message)));
            }
        }
    }

    /// What was acknowledged is never sent under other bytes.
    fn check_bytes(&self, lines: &[Vec<u8>]) {
        let truth = self.truth.borrow();
        for line in lines {
            let Ok(id) = exchange_of(line).parse::<ExchangeId>() else { continue };
            let other = truth.acknowledged.get(&id).is_some_and(|bytes| bytes != line);
            let excused = truth.calls.get(&id).is_some_and(|call| call.doubted);
            if other && !excused {
                self.fail(&format!("the acknowledged debit of {id} was sent under other bytes"));
            }
        }
    }

    /// A planted bug: the same call once more, under an id of its own.
    fn under_another_id(&self, line: &[u8]) -> Vec<u8> {
        let again = ExchangeId::new(self.ledgers_clock(), self.random.bytes()).to_string();
        String::from_utf8_lossy(line).replace(exchange_of(line), &again).into_bytes()
    }

    pub(crate) fn ledgers_clock(&self) -> Moment {
        Moment::from_ms(self.start_ms + self.time.get())
    }

    /// A debit or a void comes to the ledger.
    fn post(&self, ledger: &mut Ledger, line: &[u8]) -> DebitReply {
        let (now, void) = (self.ledgers_clock(), read_void(line));
        match (self.fault, &void) {
            (Fault::DoubleSettle, None) => drop(ledger.post(&self.under_another_id(line), now)),
            (Fault::DroppedVoid, Some(void)) => {
                return DebitReply {
                    exchange_id: void.void.to_string(),
                    outcome: DebitOutcome::Voided,
                    account_seq: None,
                    standing: None,
                    message: None,
                };
            }
            (Fault::NeedlessVoid, None) => {
                if let Ok(id) = exchange_of(line).parse() {
                    ledger.holds.void(id, false);
                }
            }
            _ => {}
        }
        ledger.lapse(self.time.get());
        let line = self.remade(Fault::RemadeDebit, line, |id| ledger.entries.contains_key(id));
        ledger.post(&line, now)
    }

    /// A hold is asked for.
    fn hold(&self, ledger: &mut Ledger, asked: &HoldRequest, lost: &[u8]) -> HoldReply {
        let Ok(received) = book::read(lost) else {
            ledger.rejected += 1;
            return HoldReply { outcome: HoldOutcome::Rejected, ..forged_hold() };
        };
        let (debit, made) = (received.debit, ledger.holds.counts.made);
        let reply = ledger.hold(asked, &debit, (self.ledgers_clock(), self.time.get()));
        let left = ledger.left(&debit.account, debit.utc_day);
        if ledger.holds.counts.made > made && left < Pax::ZERO {
            self.fail(&format!(
                "the ledger made the hold of {}, but open holds leave {left} of the balance, or the cap, of {}",
                debit.exchange_id, debit.account
            ));
        }
        match (self.fault, reply.outcome) {
            (Fault::UnheardRefusal, HoldOutcome::InsufficientCredit | HoldOutcome::DailyCapExceeded) => {
                HoldReply { outcome: HoldOutcome::Held, ..reply }
            }
            _ => reply,
        }
    }

    pub(crate) fn deliver(&self, message: &Message) {
        let Message { site, vm, root, callout, question, answer_lost } = message;
        let mut ledger = self.ledger.borrow_mut();
        let answer = match &**question {
            _ if ledger.down => Answer::Away,
            Question::Resolve(token, day) => Answer::Resolved(ledger.resolve(token, *day)),
            Question::Standings(asks) => {
                Answer::Standings(asks.iter().map(|ask| ledger.standing(ask)).collect())
            }
            Question::Debits(lines) => {
                Answer::Debits(lines.iter().map(|line| self.post(&mut ledger, line)).collect())
            }
            Question::Cards(cards) => Answer::Cards(ledger.learn_cards(cards)),
            Question::Hold(asked, lost) => Answer::Held(self.hold(&mut ledger, asked, lost)),
            Question::Lease(envoy) => {
                ledger.lapse(self.time.get());
                if self.fault != Fault::LostRenewal {
                    ledger.holds.renew(envoy, self.time.get());
                }
                Answer::Renewed
            }
        };
        drop(ledger);
        self.say(|| format!("the ledger hears ({callout}): {}", heard(&answer)));
        if !answer_lost {
            let late = !self.calm.get() && self.random.chance(self.plan.late, 1_000);
            let delay = if late { self.random.between(500, 3_000) } else { self.random.between(1, 60) };
            self.later(delay, *site, *vm, What::Reply { root: *root, callout: *callout, answer });
        }
    }
}
