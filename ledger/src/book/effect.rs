//! What an entry does to its account's sums and lots.

use pax_gateway::base::account::{Funding, Tier};
use pax_gateway::base::clock::UtcDay;
use pax_gateway::base::pax::Pax;
use pax_gateway::debit::frozen::Debit;

use super::made::{Correction, Grant, MADE_COLUMNS, Made, negative};
use super::{COLUMNS, TooLarge, Value, each_column};

/// An entry, read.
#[derive(Clone, Copy, Debug)]
pub enum Entry<'a> {
    /// What a call cost.
    Debit(&'a Debit),
    /// What the ledger has made itself.
    Made(&'a Made),
}

impl Entry<'_> {
    /// The account.
    #[must_use]
    pub fn account(&self) -> &str {
        match self {
            Self::Debit(debit) => &debit.account,
            Self::Made(made) => made.account(),
        }
    }

    /// Gives `each` the values of [`COLUMNS`], then of [`MADE_COLUMNS`].
    ///
    /// # Errors
    /// The number that is too large for a column, and what `each` gives. The values before that were given.
    pub fn each_column<E: From<TooLarge>>(
        &self,
        mut each: impl FnMut(Value<&str>) -> Result<(), E>,
    ) -> Result<(), E> {
        match self {
            Self::Debit(debit) => {
                each_column(debit, &mut each)?;
                MADE_COLUMNS.iter().try_for_each(|_| each(Value::Null))
            }
            Self::Made(made) => {
                let mut names = COLUMNS.iter().chain(&MADE_COLUMNS);
                names.try_for_each(|name| each(made.column(name).borrowed()))
            }
        }
    }

    /// The day to which it belongs.
    #[must_use]
    pub fn utc_day(&self) -> UtcDay {
        match self {
            Self::Debit(debit) => debit.utc_day,
            Self::Made(made) => made.utc_day(),
        }
    }
}

/// What an entry does to its account's sums and lots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effect<'a> {
    /// How much the balance rises.
    pub balance: Pax,
    /// What was spent, if the entry concerns what was spent.
    pub spent: Option<Spent<'a>>,
    /// What becomes of the lots.
    pub lots: OnLots<'a>,
}

/// What an entry adds to what was spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spent<'a> {
    /// The day against which it counts.
    pub utc_day: UtcDay,
    /// The token with which it was spent.
    pub token_id: &'a str,
    /// How much; less than zero if a correction makes a call cheaper.
    pub amount: Pax,
}

/// What an entry does to its account's lots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnLots<'a> {
    /// Nothing.
    None,
    /// This much is spent.
    Draw(Pax),
    /// This much is not spent after all: it pays the debt first.
    PutBack(Pax),
    /// There is a new lot.
    Grant(&'a Grant),
    /// The grant of a lot has another amount.
    Correct {
        /// The grant's key.
        grant: &'a str,
        /// Its amount from now on.
        to: Pax,
    },
    /// So much of a lot is over.
    Expire {
        /// The grant's key.
        grant: &'a str,
        /// How much.
        amount: Pax,
    },
}

impl Effect<'_> {
    /// The names of the scopes whose sums it changes: `account:NAME`, `token:ID`.
    #[must_use]
    pub fn scopes(&self, account: &str) -> Vec<String> {
        let scopes =
            |spent: &Spent<'_>| vec![format!("account:{account}"), format!("token:{}", spent.token_id)];
        self.spent.as_ref().map(scopes).unwrap_or_default()
    }
}

/// What an entry does to its account's sums and lots.
#[must_use]
pub fn effect(entry: Entry<'_>) -> Effect<'_> {
    match entry {
        Entry::Debit(debit) => of_debit(debit),
        Entry::Made(made) => {
            let (spent, lots) = match made {
                Made::Grant(grant) => (None, OnLots::Grant(grant)),
                Made::Correction(correction) => of_correction(correction),
                Made::Expiry(expiry) => {
                    (None, OnLots::Expire { grant: &expiry.grant, amount: expiry.amount_pax })
                }
                Made::Payout(payout) => (None, OnLots::Draw(payout.amount_pax)),
            };
            Effect { balance: made.amount(), spent, lots }
        }
    }
}

fn of_debit(debit: &Debit) -> Effect<'_> {
    let spent = Spent { utc_day: debit.utc_day, token_id: &debit.token_id, amount: debit.cost_pax };
    let (balance, spent, lots) = match (debit.funding, debit.tier) {
        (Funding::Byo, _) => (Pax::ZERO, None, OnLots::None),
        (Funding::Platform, Tier::Free) => (Pax::ZERO, Some(spent), OnLots::None),
        (Funding::Platform, Tier::Credit) => {
            (negative(debit.cost_pax), Some(spent), OnLots::Draw(debit.cost_pax))
        }
    };
    Effect { balance, spent, lots }
}

fn of_correction(correction: &Correction) -> (Option<Spent<'_>>, OnLots<'_>) {
    let Some(debit) = &correction.debit else {
        return (None, OnLots::Correct { grant: &correction.corrects, to: correction.now_pax });
    };
    let spent = (debit.funding == Funding::Platform).then_some(Spent {
        utc_day: correction.utc_day,
        token_id: &debit.token_id,
        amount: correction.cost(),
    });
    let rises = correction.balance();
    let lots = if rises < Pax::ZERO { OnLots::Draw(negative(rises)) } else { OnLots::PutBack(rises) };
    (spent, lots)
}
