//! A small ledger in the test's own process: it answers the filter's questions in the wire types, and keeps
//! every debit once.

use std::collections::BTreeMap;

use super::Ended;
use crate::base::account::{Account, Funding};
use crate::base::clock::UtcDay;
use crate::base::digest::Digest;
use crate::base::exchange_id::ExchangeId;
use crate::base::pax::Pax;
use crate::base::wire::{
    CANON_VERSIONS, CARDS_PATH, CardsReply, CardsRequest, DEBITS_PATH, DebitOutcome, DebitReplies,
    DebitReply, HOLDS_PATH, HoldOutcome, HoldReply, HoldRequest, LEASE_PATH, RESOLVE_PATH, ResolveRequest,
    Resolved, STANDINGS_PATH, Standing, StandingsReply, StandingsRequest, UNKNOWN_TOKEN, Void,
};
use crate::debit::frozen::Debit;

/// A ledger.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// The accounts, under the hashes of their tokens.
    accounts: BTreeMap<Digest, Account>,
    debits: Vec<(Debit, Vec<u8>)>,
    /// The position of each exchange's debit in the list.
    places: BTreeMap<ExchangeId, usize>,
    books: BTreeMap<String, Book>,
    /// The accounts' credit; an account that is not named has [`CREDIT`].
    credit: BTreeMap<String, Pax>,
    /// What is held for open calls, and for whom.
    holds: BTreeMap<ExchangeId, (String, Pax)>,
}

/// The credit of an account of which the test says nothing: more than any test spends.
const CREDIT: Pax = Pax::from_picopax(1_000_000_000_000_000_000);

/// What an account has spent.
#[derive(Clone, Debug, Default)]
struct Book {
    entries: u64,
    spent: BTreeMap<UtcDay, Pax>,
}

impl Ledger {
    /// Opens an account with a token, or changes whose token it is.
    pub fn open(&mut self, token: &str, account: Account) {
        self.accounts.insert(Digest::of(&[token.as_bytes()]), account);
    }

    /// The debits, in the order in which they came, each with its canonical bytes.
    #[must_use]
    pub fn debits(&self) -> &[(Debit, Vec<u8>)] {
        &self.debits
    }

    /// Gives an account of the credit tier this much, once and for all.
    pub fn credit(&mut self, account: &str, credit: Pax) {
        self.credit.insert(account.to_owned(), credit);
    }

    /// The exchanges that have an open hold.
    pub fn held(&self) -> impl Iterator<Item = &ExchangeId> {
        self.holds.keys()
    }

    /// Takes the debits out, as if there had never been any.
    pub fn take_debits(&mut self) -> Vec<(Debit, Vec<u8>)> {
        self.places.clear();
        self.books.clear();
        std::mem::take(&mut self.debits)
    }

    /// Answers a question.
    pub fn answer(&mut self, path: &str, body: &[u8]) -> Ended {
        match path {
            RESOLVE_PATH => self.resolve(&serde_json::from_slice(body).unwrap()),
            STANDINGS_PATH => self.standings(&serde_json::from_slice(body).unwrap()),
            CARDS_PATH => {
                let request: CardsRequest<'_> = serde_json::from_slice(body).unwrap();
                let known = request.cards.iter().map(|card| Digest::of(&[card.as_bytes()])).collect();
                Ended::with(200, serde_json::to_vec(&CardsReply { known }).unwrap())
            }
            DEBITS_PATH => self.record(body),
            HOLDS_PATH => self.hold(body),
            LEASE_PATH => Ended::with(200, "{}"),
            other => panic!("the ledger has no {other}"),
        }
    }

    fn resolve(&self, request: &ResolveRequest) -> Ended {
        let Some(account) = self.accounts.get(&request.token_sha256) else {
            let error = serde_json::json!({"error": {"code": UNKNOWN_TOKEN, "message": "nobody has it"}});
            return Ended::with(404, error.to_string());
        };
        let standing = self.standing(&account.account, request.utc_day);
        let resolved = Resolved { account: account.clone(), standing, canon_v: CANON_VERSIONS.to_vec() };
        Ended::with(200, serde_json::to_vec(&resolved).unwrap())
    }

    fn standings(&self, request: &StandingsRequest) -> Ended {
        let is_known = |name: &str| self.accounts.values().any(|account| account.account == name);
        let asks = request.asks.iter();
        let standings =
            asks.map(|ask| is_known(&ask.account).then(|| self.standing(&ask.account, ask.utc_day)));
        let reply = StandingsReply { standings: standings.collect() };
        Ended::with(200, serde_json::to_vec(&reply).unwrap())
    }

    fn standing(&self, account: &str, utc_day: UtcDay) -> Standing {
        let book = self.books.get(account);
        let spent_pax = book.and_then(|book| book.spent.get(&utc_day)).copied().unwrap_or_default();
        Standing { utc_day, spent_pax, account_seq: book.map_or(0, |book| book.entries), epoch: 1 }
    }

    /// A hold of the credit tier is measured against what the account has left, one of the free tier against its cap.
    fn hold(&mut self, body: &[u8]) -> Ended {
        let end = body.iter().position(|byte| *byte == b'\n').unwrap();
        let HoldRequest { hold_pax, card_cap_pax, .. } = serde_json::from_slice(&body[..end]).unwrap();
        let lost = Debit::from_canonical(&body[end + 1..]).unwrap();
        let book = self.books.get(&lost.account).cloned().unwrap_or_default();
        let spent_pax = book.spent.get(&lost.utc_day).copied().unwrap_or_default();
        let spent = book.spent.values().fold(Pax::ZERO, |sum, pax| sum.checked_add(*pax).unwrap());
        let balance_pax = self.credit.get(&lost.account).unwrap_or(&CREDIT).checked_sub(spent).unwrap();
        let of_account = self.holds.values().filter(|(account, _)| *account == lost.account);
        let held = of_account.fold(Pax::ZERO, |sum, (_, held)| sum.checked_add(*held).unwrap());
        let account = self.accounts.values().find(|account| account.account == lost.account);
        let own_cap = account.and_then(|account| account.daily_cap_pax);
        let limit_pax = card_cap_pax.map(|cap| own_cap.unwrap_or(cap));
        let with = held.checked_add(hold_pax).unwrap();
        let outcome = match limit_pax {
            Some(limit) if spent_pax.checked_add(with).unwrap() > limit => HoldOutcome::DailyCapExceeded,
            None if with > balance_pax => HoldOutcome::InsufficientCredit,
            _ => HoldOutcome::Held,
        };
        let held_pax = if outcome == HoldOutcome::Held { with } else { held };
        if outcome == HoldOutcome::Held {
            self.holds.insert(lost.exchange_id, (lost.account, hold_pax));
        }
        let reply = HoldReply { outcome, balance_pax, held_pax, spent_pax, limit_pax, message: None };
        Ended::with(200, serde_json::to_vec(&reply).unwrap())
    }

    fn record(&mut self, body: &[u8]) -> Ended {
        let lines = body.split_inclusive(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\n").unwrap());
        let results = lines.map(|line| self.record_line(line)).collect();
        Ended::with(200, serde_json::to_vec(&DebitReplies { results }).unwrap())
    }

    fn record_line(&mut self, line: &[u8]) -> DebitReply {
        if let Ok(Void { void, .. }) = serde_json::from_slice(line) {
            self.holds.remove(&void);
            let exchange_id = void.to_string();
            let (account_seq, standing, message) = (None, None, None);
            return DebitReply { exchange_id, outcome: DebitOutcome::Voided, account_seq, standing, message };
        }
        let debit = Debit::from_canonical(line).unwrap();
        self.holds.remove(&debit.exchange_id);
        let (exchange_id, account, utc_day) = (debit.exchange_id, debit.account.clone(), debit.utc_day);
        let outcome = match self.places.get(&exchange_id) {
            None => DebitOutcome::Recorded,
            Some(place) if self.debits[*place].1 == line => DebitOutcome::Duplicate,
            Some(_) => DebitOutcome::Conflict,
        };
        if outcome == DebitOutcome::Recorded {
            let book = self.books.entry(account.clone()).or_default();
            book.entries += 1;
            if debit.funding == Funding::Platform {
                let spent = book.spent.entry(utc_day).or_default();
                *spent = spent.checked_add(debit.cost_pax).unwrap();
            }
            self.places.insert(exchange_id, self.debits.len());
            self.debits.push((debit, line.to_vec()));
        }
        let standing = self.standing(&account, utc_day);
        DebitReply {
            exchange_id: exchange_id.to_string(),
            outcome,
            account_seq: Some(standing.account_seq),
            standing: Some(standing),
            message: None,
        }
    }
}
