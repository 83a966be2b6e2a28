//! Sums of amounts, exact however large: no entry is refused because a sum would leave the range of an amount.

use std::fmt;

use pax_gateway::base::pax::{PAX_DECIMALS, Pax};
use serde::{Serialize, Serializer};

/// What one unit of the carry is worth, in picopax: a million PAX.
const CARRY: i128 = 1_000_000_000_000_000_000;

/// A sum of amounts, in picopax. All amounts that a ledger can hold fit: they have 64 bits each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sum(i128);

impl Sum {
    /// A sum of nothing.
    pub const ZERO: Self = Self(0);

    /// The sum with one more amount.
    #[must_use]
    pub fn plus(self, amount: Pax) -> Self {
        Self(self.0.saturating_add(i128::from(amount.picopax())))
    }

    /// The sum less an amount.
    #[must_use]
    pub fn minus(self, amount: Pax) -> Self {
        Self(self.0.saturating_sub(i128::from(amount.picopax())))
    }

    /// The sum less another one.
    #[must_use]
    pub fn less(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// The sum as an amount, if it is in the range of one.
    #[must_use]
    pub fn amount(self) -> Option<Pax> {
        i64::try_from(self.0).ok().map(Pax::from_picopax)
    }

    /// The amount that is nearest to the sum: for a comparison with a limit, which is an amount.
    #[must_use]
    pub fn nearest(self) -> Pax {
        let end = if self.0 < 0 { i64::MIN } else { i64::MAX };
        self.amount().unwrap_or(Pax::from_picopax(end))
    }

    /// A sum of picopax.
    #[must_use]
    pub const fn of_picopax(picopax: i128) -> Self {
        Self(picopax)
    }

    /// The sum in picopax.
    #[must_use]
    pub const fn picopax(self) -> i128 {
        self.0
    }

    /// The sum of two columns, carry and picopax.
    #[must_use]
    pub fn of_columns(carry: i64, picopax: i64) -> Self {
        Self(i128::from(carry) * CARRY + i128::from(picopax))
    }

    /// The sum in two columns, carry and picopax. The carry is 0 if the sum is in the range of an amount.
    #[must_use]
    pub fn columns(self) -> (i64, i64) {
        match self.amount() {
            Some(amount) => (0, amount.picopax()),
            // The carry cannot overflow, not even with as many of the largest debits as could ever be recorded.
            None => (narrow(self.0 / CARRY), narrow(self.0 % CARRY)),
        }
    }
}

fn narrow(wide: i128) -> i64 {
    i64::try_from(wide).unwrap_or(if wide < 0 { i64::MIN } else { i64::MAX })
}

impl From<Pax> for Sum {
    fn from(amount: Pax) -> Self {
        Self::ZERO.plus(amount)
    }
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sign, units) = (if self.0 < 0 { "-" } else { "" }, self.0.unsigned_abs());
        let one = 10_u128.pow(PAX_DECIMALS);
        let decimals = PAX_DECIMALS as usize;
        write!(f, "{sign}{}.{:0decimals$}", units / one, units % one)
    }
}

impl Serialize for Sum {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_is_written_as_an_amount_is_and_beyond_its_range_goes_on() {
        for picopax in [0, 1, -1, 1_500_000_000_000, i64::MAX, i64::MIN] {
            let amount = Pax::from_picopax(picopax);
            assert_eq!(Sum::from(amount).to_string(), amount.to_string());
            assert_eq!((Sum::from(amount).amount(), Sum::from(amount).nearest()), (Some(amount), amount));
        }
        let beyond = Sum::from(Pax::MAX).plus(Pax::MAX);
        assert_eq!(beyond.to_string(), "18446744.073709551614");
        assert_eq!((beyond.amount(), beyond.nearest()), (None, Pax::MAX));
        let below = Sum::ZERO.minus(Pax::MAX).minus(Pax::MAX);
        assert_eq!(below.to_string(), "-18446744.073709551614");
        assert_eq!((below.amount(), below.nearest()), (None, Pax::from_picopax(i64::MIN)));
    }

    #[test]
    fn two_columns_hold_any_sum_and_one_holds_what_an_amount_can() {
        let most = Pax::from_picopax(i64::MAX);
        let mut sum = Sum::ZERO.minus(most).minus(most).minus(most);
        for _ in 0..6 {
            let (carry, picopax) = sum.columns();
            assert_eq!(Sum::of_columns(carry, picopax), sum);
            assert_eq!(carry == 0, sum.amount().is_some(), "{sum}");
            sum = sum.plus(most);
        }
        assert_eq!(Sum::from(most).plus(Pax::from_picopax(1)).columns(), (9, 223_372_036_854_775_808));
    }
}
