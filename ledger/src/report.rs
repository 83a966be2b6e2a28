//! Reports: adds up entries by any of their dimensions, in one snapshot, with a total over all of them.
//!
//! Sums are exact: the store adds up each amount in two parts, whose sums cannot leave 64 bits, and the parts
//! are put together in 128 bits. The worth of PAX in dollars depends on the card of each entry, so the store
//! adds up the entries of each card separately.

use std::collections::BTreeMap;

use clap::ValueEnum;
use pax_gateway::price::bundle::Bundle;

use crate::book::Sum;
use crate::cards;
use crate::error::Error;
use crate::store::{EntryFilter, GroupSum, Snapshot};

/// What entries can be grouped by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Dimension {
    /// Whose they are
    Account,
    /// The model that served them
    Model,
    /// Who served them
    Provider,
    /// The UTC day on which they count
    Day,
    /// Its month
    Month,
    /// The slot
    Slot,
    /// The token's id
    Token,
    /// Whose key paid the provider
    Funding,
    /// The account's tier when the call began
    Tier,
}

impl Dimension {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Account,
        Self::Model,
        Self::Provider,
        Self::Day,
        Self::Month,
        Self::Slot,
        Self::Token,
        Self::Funding,
        Self::Tier,
    ];

    /// Its name in a report; if the dimension is a field of the entry, the field's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Model => "model",
            Self::Provider => "provider",
            Self::Day => "utc_day",
            Self::Month => "utc_month",
            Self::Slot => "slot",
            Self::Token => "token_id",
            Self::Funding => "funding",
            Self::Tier => "tier",
        }
    }
}

/// The sums over a set of entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// How many there are.
    pub calls: u64,
    /// Input tokens.
    pub input: i128,
    /// How many of the input tokens were cached.
    pub cached: i128,
    /// Output tokens.
    pub output: i128,
    /// What they cost.
    pub cost: Sum,
    /// How many of the calls were estimated, at least on one side.
    pub estimated_calls: u64,
    /// What the estimated calls cost.
    pub estimated: Sum,
}

impl Counts {
    fn add(&mut self, more: &Self) {
        self.calls = self.calls.saturating_add(more.calls);
        self.input = self.input.saturating_add(more.input);
        self.cached = self.cached.saturating_add(more.cached);
        self.output = self.output.saturating_add(more.output);
        self.cost = added(self.cost, more.cost);
        self.estimated_calls = self.estimated_calls.saturating_add(more.estimated_calls);
        self.estimated = added(self.estimated, more.estimated);
    }

    /// How much of the cost was estimated, in ten thousandths, rounded half up; nothing if nothing was charged.
    #[must_use]
    pub fn estimated_share(&self) -> Option<i128> {
        let (part, whole) = (self.estimated.picopax(), self.cost.picopax());
        let doubled = part.checked_mul(20_000)?.checked_add(whole)?;
        (whole > 0).then(|| doubled.checked_div(whole.checked_mul(2)?)).flatten()
    }
}

fn added(one: Sum, other: Sum) -> Sum {
    Sum::of_picopax(one.picopax().saturating_add(other.picopax()))
}

/// An exact amount of US dollars, in units of 10⁻²⁴: a picopax times a card's `pax_usd`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dollars(i128);

const DOLLAR_DECIMALS: usize = 24;
/// Decimals that are always written.
const DOLLAR_DECIMALS_MIN: usize = 12;

impl Dollars {
    fn of(cost: Sum, picodollars_a_pax: u128) -> Option<Self> {
        cost.picopax().checked_mul(i128::try_from(picodollars_a_pax).ok()?).map(Self)
    }

    fn plus(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }
}

impl std::fmt::Display for Dollars {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const ONE: u128 = 1_000_000_000_000_000_000_000_000;
        let (sign, units) = (if self.0 < 0 { "-" } else { "" }, self.0.unsigned_abs());
        let decimals = format!("{:0DOLLAR_DECIMALS$}", units % ONE);
        let (always, more) = decimals.split_at(DOLLAR_DECIMALS_MIN);
        write!(f, "{sign}{}.{always}{}", units / ONE, more.trim_end_matches('0'))
    }
}

/// A line of a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// What the entries of the group have in common, in the order of the dimensions; empty for the total.
    pub keys: Vec<Option<String>>,
    /// The sums.
    pub counts: Counts,
    /// What the cost is worth in US dollars; nothing if a card is not known.
    pub dollars: Option<Dollars>,
}

/// Adds up entries. `tell` gets each group, in the order of the groups' keys; the total is returned.
///
/// # Errors
/// If the store fails, or `tell` does.
pub async fn report(
    snapshot: &mut Snapshot,
    built_in: &Bundle,
    by: &[Dimension],
    filter: &EntryFilter,
    tell: &mut dyn FnMut(&Line) -> Result<(), Error>,
) -> Result<Line, Error> {
    let (bundle, _) = cards::gather(built_in, &snapshot.cards().await?);
    let worth: BTreeMap<String, u128> =
        bundle.files().map(|(card, _)| (card.sha256.to_string(), card.pax_usd.picodollars())).collect();
    let mut total = Line { keys: Vec::new(), counts: Counts::default(), dollars: Some(Dollars::default()) };
    let mut group: Option<Line> = None;
    snapshot
        .groups(by, filter, &mut |sum: GroupSum| {
            let dollars = dollars(&sum, &worth);
            add(&mut total, &sum.counts, dollars);
            match &mut group {
                Some(line) if line.keys == sum.keys => add(line, &sum.counts, dollars),
                // The sums of one group's cards come one after another.
                _ => {
                    let line = Line { keys: sum.keys, counts: sum.counts, dollars };
                    if let Some(whole) = group.replace(line) {
                        tell(&whole)?;
                    }
                }
            }
            Ok(())
        })
        .await?;
    // Without a dimension the total is the only line.
    if let Some(last) = group.filter(|_| !by.is_empty()) {
        tell(&last)?;
    }
    Ok(total)
}

fn dollars(sum: &GroupSum, worth: &BTreeMap<String, u128>) -> Option<Dollars> {
    let card = sum.card_sha256.as_ref().and_then(|sha256| worth.get(sha256));
    match card {
        // A cost of zero is worth zero dollars under any card.
        _ if sum.counts.cost == Sum::ZERO => Some(Dollars::default()),
        Some(picodollars) => Dollars::of(sum.counts.cost, *picodollars),
        None => None,
    }
}

fn add(line: &mut Line, counts: &Counts, dollars: Option<Dollars>) {
    line.counts.add(counts);
    line.dollars = line.dollars.zip(dollars).and_then(|(one, other)| one.plus(other));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dollars_have_twelve_decimals_and_as_many_more_as_they_need() {
        let dollars =
            |picopax, picodollars| Dollars::of(Sum::of_picopax(picopax), picodollars).unwrap().to_string();
        assert_eq!(dollars(1_000_000_000_000, 11_430_000_000_000), "11.430000000000");
        assert_eq!(dollars(1, 11_430_000_000_000), "0.00000000001143");
        assert_eq!(dollars(-1, 1), "-0.000000000000000000000001");
        assert_eq!(dollars(0, 1), "0.000000000000");
        assert_eq!(Dollars::of(Sum::of_picopax(i128::MAX), 2), None);
    }

    #[test]
    fn the_share_that_was_estimated_is_rounded_half_up() {
        let share = |part, whole| {
            let (estimated, cost) = (Sum::of_picopax(part), Sum::of_picopax(whole));
            Counts { estimated, cost, ..Counts::default() }.estimated_share()
        };
        assert_eq!(share(0, 0), None);
        assert_eq!([share(0, 7), share(7, 7), share(1, 3), share(2, 3)], [0, 10_000, 3_333, 6_667].map(Some));
        assert_eq!([share(1, 20_000), share(1, 20_001)], [Some(1), Some(0)]);
    }
}
