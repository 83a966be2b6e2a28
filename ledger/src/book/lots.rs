//! Lots: what is left of each grant of an account.
//!
//! Debits draw on lots in the order in which the lots end ([`Lots::draw`]). The balance is what all lots have left, less
//! what was spent when none had anything left (the *debt*): so there is a debt only while every lot is empty. A grant
//! pays the debt first.

use pax_gateway::base::clock::Moment;
use pax_gateway::base::pax::Pax;

use super::Sum;

/// What is left of one grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lot {
    /// The key of its grant.
    pub key: String,
    /// The number of its grant's entry in the account.
    pub account_seq: i64,
    /// What was granted, after any correction.
    pub amount: Pax,
    /// What is left of it: neither negative nor above the amount.
    pub rest: Pax,
    /// When it ends. None if it does not.
    pub expires_at: Option<Moment>,
}

impl Lot {
    /// Whether something is left of it although it is over.
    #[must_use]
    pub fn is_due(&self, now: Moment) -> bool {
        self.rest > Pax::ZERO && self.expires_at.is_some_and(|end| end <= now)
    }

    /// The order in which debits draw on lots: those that end first, then those that never end; of two that end at
    /// one moment, the older one.
    fn order(&self) -> (bool, Option<Moment>, i64) {
        (self.expires_at.is_none(), self.expires_at, self.account_seq)
    }

    fn take(&mut self, wanted: Pax) -> Pax {
        let taken = wanted.min(self.rest);
        self.rest = less(self.rest, taken);
        taken
    }
}

/// The lots of an account, in the order in which debits draw on them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lots(Vec<Lot>);

impl Lots {
    /// Lots in any order.
    #[must_use]
    pub fn of(mut lots: Vec<Lot>) -> Self {
        lots.sort_by_key(Lot::order);
        Self(lots)
    }

    /// Each lot, in the order in which debits draw on them.
    pub fn iter(&self) -> impl Iterator<Item = &Lot> {
        self.0.iter()
    }

    /// The lot of a grant.
    #[must_use]
    pub fn find(&self, key: &str) -> Option<&Lot> {
        self.0.iter().find(|lot| lot.key == key)
    }

    /// The first lot of which something is left although it is over.
    #[must_use]
    pub fn due(&self, now: Moment) -> Option<&Lot> {
        self.0.iter().find(|lot| lot.is_due(now))
    }

    /// Adds the lot of a new grant. `debt` is what the grant pays first.
    pub fn grant(&mut self, lot: Lot, debt: Pax) {
        let lot = Lot { rest: less(lot.amount, debt.min(lot.amount)), ..lot };
        let place = self.0.partition_point(|other| other.order() < lot.order());
        self.0.insert(place, lot);
    }

    /// Takes an amount out of the lots, as far as they have it. Gives what was taken.
    pub fn draw(&mut self, amount: Pax) -> Pax {
        let mut wanted = amount;
        for lot in &mut self.0 {
            wanted = less(wanted, lot.take(wanted));
        }
        less(amount, wanted)
    }

    /// Puts an amount back, as if that much less had been drawn: into the lots that debits reach last. Lots that are
    /// over come after all others, since what goes into them expires at once.
    pub fn put_back(&mut self, amount: Pax, now: Moment) {
        let mut left = amount;
        for over in [false, true] {
            for lot in self.0.iter_mut().rev() {
                if lot.expires_at.is_some_and(|end| end <= now) == over {
                    let room = less(lot.amount, lot.rest).min(left);
                    lot.rest = plus(lot.rest, room);
                    left = less(left, room);
                }
            }
        }
    }

    /// Changes what a grant granted. A smaller amount is taken from its own lot first, then from the others; a larger
    /// one pays the debt first. Gives false if there is no such lot.
    pub fn correct(&mut self, key: &str, to: Pax, debt: Pax) -> bool {
        let Some(lot) = self.0.iter_mut().find(|lot| lot.key == key) else { return false };
        let (removed, added) = (less(lot.amount, to.min(lot.amount)), less(to, to.min(lot.amount)));
        lot.amount = to;
        lot.rest = plus(lot.rest, less(added, debt.min(added)));
        let elsewhere = less(removed, lot.take(removed));
        self.draw(elsewhere);
        true
    }

    /// Takes what has expired out of a lot.
    pub fn expire(&mut self, key: &str, amount: Pax) -> Pax {
        let lot = self.0.iter_mut().find(|lot| lot.key == key);
        lot.map(|lot| lot.take(amount)).unwrap_or_default()
    }

    /// What all lots have left.
    #[must_use]
    pub fn rest(&self) -> Sum {
        self.0.iter().fold(Sum::ZERO, |sum, lot| sum.plus(lot.rest))
    }
}

/// What is spent beyond all lots, for a balance; as an amount, which no true account's debt exceeds.
#[must_use]
pub fn debt(balance: Sum) -> Pax {
    Sum::ZERO.less(balance).nearest().max(Pax::ZERO)
}

// Amounts of lots are at most a million PAX, and never negative, so neither leaves the range.
fn less(amount: Pax, part: Pax) -> Pax {
    amount.checked_sub(part).unwrap_or_default()
}

fn plus(amount: Pax, part: Pax) -> Pax {
    amount.checked_add(part).unwrap_or(Pax::MAX)
}

#[cfg(test)]
#[path = "lots_test.rs"]
mod tests;
