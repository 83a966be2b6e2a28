//! A ledger in memory around the book's own rules: what it answers, and every total that it ever had.

use std::collections::{BTreeMap, BTreeSet};

use pax_gateway::base::account::{Account, Status, Tier};
use pax_gateway::base::clock::{Moment, UtcDay};
use pax_gateway::base::digest::Digest;
use pax_gateway::base::exchange_id::ExchangeId;
use pax_gateway::base::pax::Pax;
use pax_gateway::base::wire::{
    CANON_VERSIONS, DebitOutcome, DebitReply, HoldOutcome, HoldReply, HoldRequest, Resolved, Standing,
    StandingAsk, Void,
};
use pax_gateway::debit::frozen::Debit;
use pax_ledger::book::{self, Page};

use crate::Fault;
use crate::holds::{Hold, Holds, Stand};
use crate::lots::{Credit, HeldThen};
use crate::memory::is_of_a_lost_vm;
use crate::restored::{Backup, Logged, What};

/// A hold is refused if the time in its exchange's id is further than this from the ledger's clock.
pub(crate) const CLOCKS_APART_MS: u64 = 3_600_000;

/// An entry's place: its number in its account, below the epoch in which it was recorded. Of two places the higher one is of
/// a later moment, as Envoys take it.
pub(crate) fn version(epoch: u64, account_seq: u64) -> u64 {
    epoch << 32 | account_seq
}

/// An entry.
pub(crate) struct Entry {
    pub(crate) canonical: Vec<u8>,
    /// Its [`version`].
    pub(crate) version: u64,
}

/// A token: whose it is, and whether it still is.
pub(crate) struct Token {
    pub(crate) account: String,
    pub(crate) id: String,
    pub(crate) revoked: bool,
}

/// An account with its page.
pub(crate) struct Kept {
    pub(crate) tier: Tier,
    pub(crate) status: Status,
    pub(crate) daily_cap: Option<Pax>,
    /// The highest that it ever was.
    pub(crate) highest_cap: Pax,
    /// Whether a debit came whose hold was not open any more: then the balance may be below zero, or a day above its cap.
    pub(crate) had_late_debits: bool,
    pub(crate) page: Page,
    /// Of each day, every total that it had, by the [`version`] of its last entry.
    pub(crate) totals: BTreeMap<UtcDay, BTreeMap<u64, Pax>>,
}

impl Kept {
    /// Notes the total of a day by the last entry.
    pub(crate) fn total(&mut self, epoch: u64, day: UtcDay) {
        let total = self.page.days.get(&day).copied().unwrap_or_default().nearest();
        let seq = u64::try_from(self.page.account_seq).unwrap_or(0);
        self.totals.entry(day).or_default().insert(version(epoch, seq), total);
    }
}

#[derive(Default)]
pub(crate) struct Ledger {
    /// The bug that is planted; most are planted elsewhere.
    pub(crate) fault: Fault,
    /// What its clock says when the run begins, in milliseconds since 1970.
    start_ms: u64,
    /// How often it was restored, as it tells Envoys; and how often it was.
    pub(crate) epoch: u64,
    pub(crate) restores: u64,
    /// What it has recorded, in order; a copy of it; and what a restore has lost that is not recorded again yet.
    pub(crate) log: Vec<Logged>,
    pub(crate) backup: Option<Backup>,
    pub(crate) lost: Vec<Logged>,
    /// While what was lost is recorded again: what open holds had set aside when it was recorded first.
    pub(crate) then: HeldThen,
    /// Grants, and what has expired of them.
    pub(crate) credit: Credit,
    /// The exchanges whose entries are lost now, and those whose entries ever were.
    pub(crate) missing: BTreeSet<ExchangeId>,
    pub(crate) lost_ever: BTreeSet<ExchangeId>,
    /// What each call costs after all corrections; what it should by its true debit; and to what an operator has made calls cheaper.
    pub(crate) nets: BTreeMap<ExchangeId, Pax>,
    pub(crate) true_costs: BTreeMap<ExchangeId, Pax>,
    pub(crate) forgiven: BTreeMap<ExchangeId, Pax>,
    /// How many holds of the free tier it has made.
    pub(crate) free_holds: u64,
    /// How many true debits came after an estimate.
    pub(crate) better: u64,
    pub(crate) down: bool,
    /// It does not read the debits of every second exchange, as if they were of a later version.
    pub(crate) behind: bool,
    pub(crate) accounts: BTreeMap<String, Kept>,
    pub(crate) tokens: BTreeMap<[u8; 32], Token>,
    /// The rate cards that it was told of.
    cards: BTreeSet<Digest>,
    pub(crate) entries: BTreeMap<ExchangeId, Entry>,
    /// Exchanges of which other bytes came than those of their entry.
    pub(crate) conflicts: Vec<ExchangeId>,
    pub(crate) rejected: u64,
    /// Debits under a card that it had not heard of.
    pub(crate) unproven: u64,
    /// How many debits came.
    pub(crate) posted: u64,
    pub(crate) holds: Holds,
    /// Debits that name a hold which was voided or refused, or which nobody ever asked for.
    pub(crate) unheld: Vec<ExchangeId>,
    /// Debits of more than their hold.
    pub(crate) overruns: Vec<ExchangeId>,
}

impl Ledger {
    /// A ledger without accounts, with a planted bug or none.
    pub(crate) fn new(fault: Fault, start_ms: u64) -> Self {
        Self { fault, start_ms, ..Self::default() }
    }

    /// What its clock says at a time of the run.
    pub(crate) fn clock(&self, at: u64) -> Moment {
        Moment::from_ms(self.start_ms + at)
    }

    pub(crate) fn open_account(&mut self, name: &str, tier: Tier, daily_cap: Option<Pax>) {
        let (status, highest_cap) = (Status::Active, daily_cap.unwrap_or_default());
        let kept = Kept {
            tier,
            status,
            daily_cap,
            highest_cap,
            had_late_debits: false,
            page: Page::empty(name),
            totals: BTreeMap::new(),
        };
        self.accounts.insert(name.to_owned(), kept);
    }

    pub(crate) fn set_cap(&mut self, account: &str, cap: Pax) {
        if let Some(kept) = self.accounts.get_mut(account) {
            (kept.daily_cap, kept.highest_cap) = (Some(cap), kept.highest_cap.max(cap));
        }
    }

    /// An account's balance.
    pub(crate) fn balance(&self, account: &str) -> Pax {
        self.accounts.get(account).map_or(Pax::ZERO, |kept| kept.page.balance.nearest())
    }

    /// What open holds leave of an account's balance, or of a free account's cap on a day.
    pub(crate) fn left(&self, account: &str, day: UtcDay) -> Pax {
        let Some(kept) = self.accounts.get(account) else { return Pax::ZERO };
        let (limit, taken) = match kept.tier {
            Tier::Credit => (self.balance(account), self.holds.held(account)),
            Tier::Free => {
                let held = self.holds.held_on(account, day).checked_add(self.spent(account, day));
                (kept.daily_cap.unwrap_or(Pax::MAX), held.unwrap_or(Pax::MAX))
            }
        };
        limit.checked_sub(taken).unwrap_or(Pax::ZERO)
    }

    pub(crate) fn learn_cards(&mut self, texts: &[String]) -> Vec<Digest> {
        let cards: Vec<Digest> = texts.iter().map(|text| Digest::of(&[text.as_bytes()])).collect();
        if self.fault != Fault::UntoldCards {
            self.cards.extend(&cards);
        }
        cards
    }

    pub(crate) fn resolve(&self, token: &Digest, utc_day: UtcDay) -> Option<Resolved> {
        let token = self.tokens.get(&token.0).filter(|token| !token.revoked)?;
        let kept = self.accounts.get(&token.account)?;
        let account = Account {
            account: token.account.clone(),
            tier: kept.tier,
            status: kept.status,
            token_id: token.id.clone(),
            daily_cap_pax: kept.daily_cap,
            canon_v: 1,
        };
        let standing = self.standing_of(kept, utc_day);
        Some(Resolved { account, standing, canon_v: CANON_VERSIONS.to_vec() })
    }

    pub(crate) fn standing(&self, ask: &StandingAsk) -> Option<Standing> {
        self.accounts.get(&ask.account).map(|kept| self.standing_of(kept, ask.utc_day))
    }

    /// What an account has spent on a day.
    pub(crate) fn spent(&self, account: &str, day: UtcDay) -> Pax {
        let kept = self.accounts.get(account);
        kept.and_then(|kept| kept.page.days.get(&day).copied()).unwrap_or_default().nearest()
    }

    /// The same, by the account's entries up to a [`version`]: what these cost was added up one by one.
    pub(crate) fn spent_up_to(&self, account: &str, day: UtcDay, version: u64) -> Pax {
        let Some(totals) = self.accounts.get(account).and_then(|kept| kept.totals.get(&day)) else {
            return Pax::ZERO;
        };
        totals.range(..=version).next_back().map_or(Pax::ZERO, |(_, total)| *total)
    }

    /// Makes a hold, or says why not. `at` is the time of the run, by which leases are good.
    pub(crate) fn hold(&mut self, asked: &HoldRequest, lost: &Debit, (now, at): (Moment, u64)) -> HoldReply {
        self.lapse(at);
        self.holds.renew(&asked.envoy, at);
        let id = lost.exchange_id;
        self.unproven += u64::from(!self.cards.contains(&lost.card_sha256));
        let stand = self.holds.stand(&id);
        if let Some(first) = self.holds.answer(&id)
            && matches!(stand, Some(Stand::Open | Stand::Refused))
        {
            return first;
        }
        if stand.is_some() || self.entries.contains_key(&id) {
            return self.answer(HoldOutcome::Closed, lost);
        }
        // A balance that is over is not lent.
        self.expire(&lost.account, Pax::ZERO, now);
        let outcome = self.decide(asked, lost, now);
        let is_made = outcome == HoldOutcome::Held;
        let (account, day) = (lost.account.clone(), lost.utc_day);
        let amount = if self.fault == Fault::SmallHold { Pax::from_picopax(1) } else { asked.hold_pax };
        let hold = Hold { account, day, envoy: asked.envoy.clone(), amount };
        self.holds.decide(id, hold, is_made);
        self.free_holds += u64::from(is_made && lost.tier == Tier::Free);
        // The answer counts this hold.
        let answer = self.answer(outcome, lost);
        self.holds.answered(id, answer.clone());
        answer
    }

    fn decide(&self, asked: &HoldRequest, lost: &Debit, now: Moment) -> HoldOutcome {
        let Some(kept) = self.accounts.get(&lost.account) else { return HoldOutcome::Rejected };
        let is_revoked = |token: &Token| token.id == lost.token_id && token.revoked;
        let mut left = self.left(&lost.account, lost.utc_day);
        let uncounted = match kept.tier {
            Tier::Credit => self.fault == Fault::UncountedHolds,
            Tier::Free => self.fault == Fault::UncountedFreeHolds,
        };
        if uncounted {
            left = left.checked_add(self.holds.held(&lost.account)).unwrap_or(Pax::MAX);
        }
        match () {
            () if made_at(&lost.exchange_id).abs_diff(now.ms()) > CLOCKS_APART_MS => HoldOutcome::Rejected,
            () if kept.status != Status::Active => HoldOutcome::AccountDisabled,
            () if self.tokens.values().any(is_revoked) => HoldOutcome::UnknownToken,
            () if asked.hold_pax > left && kept.tier == Tier::Credit => HoldOutcome::InsufficientCredit,
            () if asked.hold_pax > left => HoldOutcome::DailyCapExceeded,
            () => HoldOutcome::Held,
        }
    }

    fn answer(&self, outcome: HoldOutcome, lost: &Debit) -> HoldReply {
        HoldReply {
            outcome,
            balance_pax: self.balance(&lost.account),
            held_pax: self.holds.held(&lost.account),
            spent_pax: self.spent(&lost.account, lost.utc_day),
            limit_pax: self.accounts.get(&lost.account).and_then(|kept| kept.daily_cap),
            message: None,
        }
    }

    /// Leases that were not renewed are over.
    pub(crate) fn lapse(&mut self, at: u64) {
        if self.fault == Fault::EndlessLease {
            return;
        }
        for account in self.holds.lapse(at) {
            self.looks_after(&account, self.clock(at));
        }
    }

    /// Ends a hold without a charge.
    fn void(&mut self, void: &Void, now: Moment) -> DebitReply {
        if let Some(account) = self.holds.void(void.void, self.fault == Fault::ForgottenVoid) {
            self.looks_after(&account, now);
        }
        reply(void.void.to_string(), DebitOutcome::Voided, None, None)
    }

    /// A debit or a void came.
    pub(crate) fn post(&mut self, line: &[u8], now: Moment) -> DebitReply {
        self.posted += 1;
        self.record(line, now)
    }

    pub(crate) fn record(&mut self, line: &[u8], now: Moment) -> DebitReply {
        if let Some(void) = read_void(line) {
            return self.void(&void, now);
        }
        let received = match book::read(line) {
            Ok(received) => received,
            Err(rejected) => {
                self.rejected += 1;
                let id = rejected.exchange_id.map(|id| id.to_string()).unwrap_or_default();
                return reply(id, DebitOutcome::Rejected, None, None);
            }
        };
        let id = received.debit.exchange_id;
        self.unproven += u64::from(!self.cards.contains(&received.debit.card_sha256));
        if self.behind && id.tag().0 % 2 == 1 {
            return reply(id.to_string(), DebitOutcome::Unsupported, None, None);
        }
        let day = received.debit.utc_day;
        let account = received.debit.account.clone();
        if !self.accounts.contains_key(&account) {
            self.rejected += 1;
            return reply(id.to_string(), DebitOutcome::Rejected, None, None);
        }
        if let Some(entry) = self.entries.get(&id).filter(|_| !self.missing.contains(&id)) {
            let outcome = if entry.canonical == line {
                DebitOutcome::Duplicate
            } else {
                // Whatever becomes of it, no VM may have sent it but one that was taken for dead.
                self.conflicts.push(id);
                self.later(&received, now)
            };
            return self.reply(&account, day, (id, outcome));
        }
        let entry = book::Entry::Debit(&received.debit);
        let Some(entered) = self.enter(entry, line, now) else {
            self.rejected += 1;
            return reply(id.to_string(), DebitOutcome::Rejected, None, None);
        };
        if let Some(kept) = self.accounts.get_mut(&account) {
            kept.total(self.epoch, day);
            kept.had_late_debits |= received.debit.hold_id.is_some() && entered.hold != Some(Stand::Open);
        }
        if received.debit.hold_id.is_some() {
            if !matches!(entered.hold, Some(Stand::Open | Stand::Expired)) {
                self.unheld.push(id);
            }
            if self.holds.hold(&id).is_some_and(|hold| received.debit.cost_pax > hold.amount) {
                self.overruns.push(id);
            }
        }
        self.log.push(Logged::of(What::Line(id, received.canonical.clone()), &entered));
        self.nets.insert(id, received.debit.cost_pax);
        if !is_of_a_lost_vm(&received.canonical) {
            self.true_costs.insert(id, received.debit.cost_pax);
        }
        self.missing.remove(&id);
        let version = version(self.epoch, u64::try_from(entered.link.account_seq).unwrap_or(0));
        self.entries.insert(id, Entry { canonical: received.canonical, version });
        self.reply(&account, day, (id, DebitOutcome::Recorded))
    }

    /// What is answered to a debit, with its account's standing if it was kept.
    fn reply(&self, account: &str, day: UtcDay, (id, outcome): (ExchangeId, DebitOutcome)) -> DebitReply {
        if outcome == DebitOutcome::Conflict {
            return reply(id.to_string(), outcome, None, None);
        }
        let standing = self.accounts.get(account).map(|kept| self.standing_of(kept, day));
        reply(id.to_string(), outcome, standing.as_ref().map(|standing| standing.account_seq), standing)
    }

    fn standing_of(&self, kept: &Kept, utc_day: UtcDay) -> Standing {
        let spent_pax = kept.page.days.get(&utc_day).copied().unwrap_or_default().nearest();
        let account_seq = u64::try_from(kept.page.account_seq).unwrap_or(0);
        Standing { utc_day, spent_pax, account_seq, epoch: self.epoch }
    }
}

/// A line that is a void; none if it is a debit.
pub(crate) fn read_void(line: &[u8]) -> Option<Void> {
    line.starts_with(b"{\"void\":").then(|| serde_json::from_slice(line).ok()).flatten()
}

/// The time in an exchange's id, in milliseconds since 1970.
fn made_at(id: &ExchangeId) -> u64 {
    id.bytes().iter().take(6).fold(0, |ms, byte| ms << 8 | u64::from(*byte))
}

fn reply(
    exchange_id: String,
    outcome: DebitOutcome,
    account_seq: Option<u64>,
    standing: Option<Standing>,
) -> DebitReply {
    DebitReply { exchange_id, outcome, account_seq, standing, message: None }
}
