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
    DebitReply, RESOLVE_PATH, ResolveRequest, Resolved, STANDINGS_PATH, Standing, StandingsReply,
    StandingsRequest, UNKNOWN_TOKEN,
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
}

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

    fn record(&mut self, body: &[u8]) -> Ended {
        let lines = body.split_inclusive(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\n").unwrap());
        let results = lines.map(|line| self.record_line(line)).collect();
        Ended::with(200, serde_json::to_vec(&DebitReplies { results }).unwrap())
    }

    fn record_line(&mut self, line: &[u8]) -> DebitReply {
        let debit = Debit::from_canonical(line).unwrap();
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
