//! PAX, rates and tokens: exact integers, and the only roundings of the gateway.
//!
//! | type | unit | range |
//! | --- | --- | --- |
//! | [`Pax`] | picopax, 10⁻¹² PAX | ±9.2 million PAX (an SQLite INTEGER) |
//! | [`Rate`] | 10⁻⁹ PAX per million tokens | 0 to 1.8 × 10¹⁰ PAX |
//! | [`Usd`] | 10⁻¹² US dollars | 0 to 10⁹ dollars |
//!
//! Rounding happens when a card's dollars become PAX ([`Rate::derive`], 9 decimals; [`Pax::derive`], 12) and
//! when a bill is closed ([`Bill::total`], 12 decimals); always half up.
//!
//! Why integers and no `rust_decimal`: every amount has a fixed number of decimals, so a whole number of the smallest unit is
//! exact, takes eight bytes, and rounds at two named places only. A decimal type would round wherever it runs out of digits.
//! The tests use `rust_decimal` as the oracle against which these sums are checked.

use std::fmt;
use std::str::FromStr;

use crate::base::text::{AsText, by_text, put_decimal};

/// Decimals of an amount of PAX.
pub const PAX_DECIMALS: u32 = 12;
/// Decimals of a rate.
pub const RATE_DECIMALS: u32 = 9;
/// Decimals of a US dollar price.
pub const USD_DECIMALS: u32 = 12;

/// Why a decimal text is no amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AmountError {
    /// Not `-?digits[.digits]`: no exponent, no sign but `-`, no spaces.
    NotDecimal,
    /// More decimals than the unit has.
    TooPrecise {
        /// How many decimals the unit has.
        decimals: u32,
    },
    /// Outside the unit's range.
    OutOfRange,
}

impl fmt::Display for AmountError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotDecimal => write!(f, "must be a plain decimal such as \"0.15\", without an exponent"),
            Self::TooPrecise { decimals } => write!(f, "must have at most {decimals} decimals"),
            Self::OutOfRange => write!(f, "is out of range"),
        }
    }
}

impl std::error::Error for AmountError {}

/// Reads `-?digits[.digits]` as an integer of 10^-`decimals` units.
fn parse_scaled(text: &str, decimals: u32) -> Result<i128, AmountError> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = match digits.split_once('.') {
        Some((_, "")) => return Err(AmountError::NotDecimal),
        Some(parts) => parts,
        None => (digits, ""),
    };
    if whole.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit() || b == b'.') || fraction.contains('.')
    {
        return Err(AmountError::NotDecimal);
    }
    let missing = u32::try_from(fraction.len()).ok().and_then(|len| decimals.checked_sub(len));
    let Some(missing) = missing else { return Err(AmountError::TooPrecise { decimals }) };
    let mut value: i128 = 0;
    for digit in whole.bytes().chain(fraction.bytes()) {
        let digit = i128::from(digit.saturating_sub(b'0'));
        value = value.checked_mul(10).and_then(|v| v.checked_add(digit)).ok_or(AmountError::OutOfRange)?;
    }
    let value = 10i128
        .checked_pow(missing)
        .and_then(|scale| value.checked_mul(scale))
        .ok_or(AmountError::OutOfRange)?;
    Ok(if negative { value.saturating_neg() } else { value })
}

/// Writes an integer of 10^-`decimals` units as a decimal with exactly that many decimals.
fn put_scaled(to: &mut Vec<u8>, negative: bool, units: u128, decimals: u32) {
    let width = usize::try_from(decimals).unwrap_or(0);
    if negative {
        to.push(b'-');
    }
    // The cost of a call fits 64 bits, and WebAssembly divides 64 bits in one step.
    if let (Ok(units), Some(scale)) = (u64::try_from(units), 10u64.checked_pow(decimals)) {
        put_decimal(to, units.checked_div(scale).unwrap_or(0), 0);
        to.push(b'.');
        return put_decimal(to, units.checked_rem(scale).unwrap_or(0), width);
    }
    let scale = 10u128.checked_pow(decimals).unwrap_or(1);
    let whole = units.checked_div(scale).unwrap_or(0);
    let fraction = units.checked_rem(scale).unwrap_or(0);
    to.extend_from_slice(format!("{whole}.{fraction:0width$}").as_bytes());
}

/// An amount of PAX, exact to the picopax. Written and read as a decimal with 12 decimals.
///
/// ```
/// use pax_gateway::base::pax::Pax;
/// let cost: Pax = "0.052493439000".parse()?;
/// assert_eq!(cost.picopax(), 52_493_439_000);
/// assert_eq!(cost.to_string(), "0.052493439000");
/// # Ok::<(), pax_gateway::base::pax::AmountError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pax(i64);

impl Pax {
    /// No PAX.
    pub const ZERO: Self = Self(0);
    /// The largest amount.
    pub const MAX: Self = Self(i64::MAX);

    /// An amount from picopax.
    #[must_use]
    pub const fn from_picopax(picopax: i64) -> Self {
        Self(picopax)
    }

    /// The amount in picopax.
    #[must_use]
    pub const fn picopax(self) -> i64 {
        self.0
    }

    /// The amount for people to read: without the zeros at its end.
    ///
    /// ```
    /// use pax_gateway::base::pax::Pax;
    /// let of = |picopax| Pax::from_picopax(picopax).short();
    /// assert_eq!([of(3_600_000_000), of(10_000_000_000_000), of(0)], ["0.0036", "10", "0"]);
    /// ```
    #[must_use]
    pub fn short(self) -> String {
        self.text().trim_end_matches('0').trim_end_matches('.').to_owned()
    }

    /// An amount of US dollars ÷ `pax_usd`, rounded half up to 12 decimals.
    ///
    /// # Errors
    /// [`AmountError::OutOfRange`] if `pax_usd` is zero or the amount does not fit.
    pub fn derive(usd: Usd, pax_usd: Usd) -> Result<Self, AmountError> {
        let picopax = usd.over(pax_usd, 1_000_000_000_000).and_then(|picopax| i64::try_from(picopax).ok());
        picopax.map(Self).ok_or(AmountError::OutOfRange)
    }

    /// The sum, or none if it leaves the range.
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// The difference, or none if it leaves the range.
    #[must_use]
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).map(Self)
    }
}

impl AsText for Pax {
    fn put(&self, to: &mut Vec<u8>) {
        put_scaled(to, self.0 < 0, u128::from(self.0.unsigned_abs()), PAX_DECIMALS);
    }
}

impl FromStr for Pax {
    type Err = AmountError;

    fn from_str(text: &str) -> Result<Self, AmountError> {
        let picopax = parse_scaled(text, PAX_DECIMALS)?;
        i64::try_from(picopax).map(Self).map_err(|_| AmountError::OutOfRange)
    }
}

/// A price in US dollars, from a rate card: never negative, at most 10⁹ dollars.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Usd(u128);

/// 10⁹ dollars in units of 10⁻¹². A higher price is a mistake, and up to this one no arithmetic overflows.
const USD_MAX: i128 = 1_000_000_000_000_000_000_000;

impl Usd {
    /// Whether the price is zero.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// The price in 10⁻¹² US dollars.
    #[must_use]
    pub const fn picodollars(self) -> u128 {
        self.0
    }

    /// This ÷ `pax_usd` in units of 1 ÷ `scale`, rounded half up: (2·usd·scale + pax_usd) ÷ (2·pax_usd).
    fn over(self, pax_usd: Self, scale: u128) -> Option<u128> {
        // At most 2·10²¹·10¹², which a u128 holds.
        let doubled = self.0.checked_mul(scale)?.checked_mul(2)?.checked_add(pax_usd.0)?;
        doubled.checked_div(pax_usd.0.checked_mul(2)?)
    }
}

impl AsText for Usd {
    fn put(&self, to: &mut Vec<u8>) {
        put_scaled(to, false, self.0, USD_DECIMALS);
    }
}

impl fmt::Display for Usd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

impl FromStr for Usd {
    type Err = AmountError;

    fn from_str(text: &str) -> Result<Self, AmountError> {
        let units = parse_scaled(text, USD_DECIMALS)?;
        if !(0..=USD_MAX).contains(&units) {
            return Err(AmountError::OutOfRange);
        }
        u128::try_from(units).map(Self).map_err(|_| AmountError::OutOfRange)
    }
}

/// PAX per million tokens, exact to 9 decimals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rate(u64);

impl Rate {
    /// USD per million tokens ÷ `pax_usd`, rounded half up to 9 decimals.
    ///
    /// # Errors
    /// [`AmountError::OutOfRange`] if `pax_usd` is zero or the rate does not fit.
    pub fn derive(usd_per_mtok: Usd, pax_usd: Usd) -> Result<Self, AmountError> {
        let rate = usd_per_mtok.over(pax_usd, 1_000_000_000).and_then(|rate| u64::try_from(rate).ok());
        rate.map(Self).ok_or(AmountError::OutOfRange)
    }

    /// The rate in 10⁻⁹ PAX per million tokens.
    #[must_use]
    pub const fn nanopax(self) -> u64 {
        self.0
    }
}

impl AsText for Rate {
    fn put(&self, to: &mut Vec<u8>) {
        put_scaled(to, false, u128::from(self.0), RATE_DECIMALS);
    }
}

impl FromStr for Rate {
    type Err = AmountError;

    fn from_str(text: &str) -> Result<Self, AmountError> {
        let units = parse_scaled(text, RATE_DECIMALS)?;
        u64::try_from(units).map(Self).map_err(|_| AmountError::OutOfRange)
    }
}

/// A number of tokens.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct Tokens(pub u64);

impl Tokens {
    /// No tokens.
    pub const ZERO: Self = Self(0);

    /// The difference, zero if `other` is larger.
    #[must_use]
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl fmt::Display for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Σ tokens × rate, kept exact until [`Bill::total`] rounds it once.
///
/// ```
/// use pax_gateway::base::pax::{Bill, Rate, Tokens};
/// let mut bill = Bill::default();
/// bill.add(Tokens(100), "0.026246719".parse()?); // USD 0.30 ÷ 11.43
/// bill.add(Tokens(50), "0.078740157".parse()?); // USD 0.90 ÷ 11.43
/// assert_eq!(bill.total().map(|cost| cost.to_string()).as_deref(), Some("0.000006561680"));
/// # Ok::<(), pax_gateway::base::pax::AmountError>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Bill {
    /// Σ tokens × nanopax per million tokens: thousandths of a picopax.
    femtopax: Option<u128>,
    overflowed: bool,
}

impl Bill {
    /// Adds `tokens` at `rate`.
    pub fn add(&mut self, tokens: Tokens, rate: Rate) {
        let line = u128::from(tokens.0).checked_mul(u128::from(rate.0));
        let sum = line.and_then(|line| line.checked_add(self.femtopax.unwrap_or(0)));
        self.overflowed |= sum.is_none();
        self.femtopax = sum;
    }

    /// The sum, rounded half up to 12 decimals like PostgreSQL's `round(numeric, 12)`; none if it does not
    /// fit a [`Pax`].
    #[must_use]
    pub fn total(self) -> Option<Pax> {
        if self.overflowed {
            return None;
        }
        let picopax = self.femtopax.unwrap_or(0).checked_add(500)?.checked_div(1000)?;
        i64::try_from(picopax).ok().map(Pax)
    }
}

by_text!(Pax, Rate);

#[cfg(test)]
#[path = "pax_test.rs"]
mod tests;
