//! A ledger in memory around the book's own rules: what it answers, and every total that it ever had.

use std::collections::{BTreeMap, BTreeSet};

use pax_gateway::base::account::{Account, Status, Tier};
use pax_gateway::base::clock::{Moment, UtcDay};
use pax_gateway::base::digest::Digest;
use pax_gateway::base::exchange_id::ExchangeId;
use pax_gateway::base::pax::Pax;
use pax_gateway::base::wire::{CANON_VERSIONS, DebitOutcome, DebitReply, Resolved, Standing, StandingAsk};
use pax_ledger::book::{self, Page};

/// An entry.
pub(crate) struct Entry {
    pub(crate) canonical: Vec<u8>,
    pub(crate) account_seq: u64,
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
    page: Page,
    /// Of each day, every total that it had, by the number of its last entry.
    totals: BTreeMap<UtcDay, BTreeMap<u64, Pax>>,
}

#[derive(Default)]
pub(crate) struct Ledger {
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
}

impl Ledger {
    pub(crate) fn open_account(&mut self, name: &str, tier: Tier, daily_cap: Option<Pax>) {
        let (status, highest_cap) = (Status::Active, daily_cap.unwrap_or_default());
        let kept =
            Kept { tier, status, daily_cap, highest_cap, page: Page::empty(name), totals: BTreeMap::new() };
        self.accounts.insert(name.to_owned(), kept);
    }

    pub(crate) fn set_cap(&mut self, account: &str, cap: Pax) {
        if let Some(kept) = self.accounts.get_mut(account) {
            (kept.daily_cap, kept.highest_cap) = (Some(cap), kept.highest_cap.max(cap));
        }
    }

    pub(crate) fn learn_cards(&mut self, texts: &[String]) -> Vec<Digest> {
        let cards: Vec<Digest> = texts.iter().map(|text| Digest::of(&[text.as_bytes()])).collect();
        self.cards.extend(&cards);
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
        let standing = standing(&kept.page, utc_day);
        Some(Resolved { account, standing, canon_v: CANON_VERSIONS.to_vec() })
    }

    pub(crate) fn standing(&self, ask: &StandingAsk) -> Option<Standing> {
        self.accounts.get(&ask.account).map(|kept| standing(&kept.page, ask.utc_day))
    }

    /// What an account has spent on a day.
    pub(crate) fn spent(&self, account: &str, day: UtcDay) -> Pax {
        let kept = self.accounts.get(account);
        kept.and_then(|kept| kept.page.days.get(&day).copied()).unwrap_or_default().nearest()
    }

    /// The same, by the account's entries up to a number: what these cost was added up one by one.
    pub(crate) fn spent_up_to(&self, account: &str, day: UtcDay, account_seq: u64) -> Pax {
        let Some(totals) = self.accounts.get(account).and_then(|kept| kept.totals.get(&day)) else {
            return Pax::ZERO;
        };
        totals.range(..=account_seq).next_back().map_or(Pax::ZERO, |(_, total)| *total)
    }

    pub(crate) fn post(&mut self, line: &[u8], now: Moment) -> DebitReply {
        self.posted += 1;
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
        let Some(kept) = self.accounts.get_mut(&received.debit.account) else {
            self.rejected += 1;
            return reply(id.to_string(), DebitOutcome::Rejected, None, None);
        };
        if let Some(entry) = self.entries.get(&id) {
            if entry.canonical == line {
                let now_standing = standing(&kept.page, day);
                return reply(
                    id.to_string(),
                    DebitOutcome::Duplicate,
                    Some(entry.account_seq),
                    Some(now_standing),
                );
            }
            self.conflicts.push(id);
            return reply(id.to_string(), DebitOutcome::Conflict, None, None);
        }
        let effect = book::effect(book::Entry::Debit(&received.debit));
        let Ok(link) = kept.page.link(&effect, (None, Pax::ZERO), line, now) else {
            self.rejected += 1;
            return reply(id.to_string(), DebitOutcome::Rejected, None, None);
        };
        kept.page.add(&effect, &link);
        let account_seq = u64::try_from(link.account_seq).unwrap_or(0);
        let now_standing = standing(&kept.page, day);
        let totals = kept.totals.entry(day).or_default();
        let before = totals.last_key_value().map_or(Pax::ZERO, |(_, total)| *total);
        totals.insert(account_seq, before.checked_add(received.debit.cost_pax).unwrap_or(Pax::MAX));
        let entry = Entry { canonical: received.canonical, account_seq };
        self.entries.insert(id, entry);
        reply(id.to_string(), DebitOutcome::Recorded, Some(account_seq), Some(now_standing))
    }
}

fn standing(page: &Page, utc_day: UtcDay) -> Standing {
    let spent_pax = page.days.get(&utc_day).copied().unwrap_or_default().nearest();
    Standing { utc_day, spent_pax, account_seq: u64::try_from(page.account_seq).unwrap_or(0), epoch: 0 }
}

fn reply(
    exchange_id: String,
    outcome: DebitOutcome,
    account_seq: Option<u64>,
    standing: Option<Standing>,
) -> DebitReply {
    DebitReply { exchange_id, outcome, account_seq, standing, message: None }
}
