//! The table: for each row and each subject the median of its samples, with the least and the most.

use crate::loads::{OfDebits, OfHolds};

/// The project's marks (docs/cost.md): a debit's CPU time in batches of 100, durable debits a second in such batches, and
/// what a hold may add to a call beside 1,000 debits a second, at p50 and p99.
const CPU_US_MOST: u64 = 15_000;
const PER_S_LEAST: u64 = 20_000;
const MEDIAN_US_MOST: u64 = 3_000;
const P99_US_MOST: u64 = 8_000;

/// The least, middle and largest of some samples.
pub struct Spread {
    least: u64,
    pub median: u64,
    most: u64,
}

impl Spread {
    /// Nothing if there are none.
    pub fn of(mut samples: Vec<u64>) -> Option<Self> {
        samples.sort_unstable();
        let (least, most) = (*samples.first()?, *samples.last()?);
        Some(Self { least, median: samples[samples.len() / 2], most })
    }

    pub fn text(&self, unit: fn(u64) -> String) -> String {
        format!("**{}** ({} to {})", unit(self.median), unit(self.least), unit(self.most))
    }
}

/// Debits a second, and the like.
pub fn count(number: u64) -> String {
    let (thousands, rest) = (number / 1_000, number % 1_000);
    if thousands == 0 { rest.to_string() } else { format!("{},{rest:03}", count(thousands)) }
}

pub fn milliseconds(us: u64) -> String {
    format!("{}.{:02} ms", us / 1_000, us % 1_000 / 10)
}

pub fn seconds(us: u64) -> String {
    format!("{}.{:03} s", us / 1_000_000, us % 1_000_000 / 1_000)
}

/// A line of a table.
pub fn line(cells: impl IntoIterator<Item = String>) -> String {
    format!("| {} |", cells.into_iter().collect::<Vec<_>>().join(" | "))
}

/// A row of what each subject's samples say; an empty cell where one has none.
pub fn row<T>(
    what: &str,
    subjects: &[Vec<T>],
    figure: impl Fn(&T) -> Option<u64>,
    unit: fn(u64) -> String,
) -> String {
    let cell = |samples: &Vec<T>| {
        let spread = Spread::of(samples.iter().filter_map(&figure).collect());
        spread.map(|spread| spread.text(unit)).unwrap_or_default()
    };
    line([what.to_owned()].into_iter().chain(subjects.iter().map(cell)))
}

/// The marks, and whether each subject's medians reach them.
pub fn marks(on_one: &[Vec<OfDebits>], on_six: &[Vec<OfDebits>], holds: &[Vec<OfHolds>]) -> [String; 4] {
    [
        mark(
            "the ledger's CPU for 1,000 debits in batches of 100, 1 connection: at most 0.015 s",
            on_one,
            |it| it.cpu.ledgers_us,
            (|us| us <= CPU_US_MOST, seconds),
        ),
        mark(
            "debits a second in batches of 100, 6 connections: at least 20,000",
            on_six,
            |it| it.per_s,
            (|per_s| per_s >= PER_S_LEAST, count),
        ),
        mark(
            "a hold beside 1,000 debits a second, p50: at most 3 ms",
            holds,
            |it| it.median_us,
            (|us| us <= MEDIAN_US_MOST, milliseconds),
        ),
        mark("p99: at most 8 ms", holds, |it| it.p99_us, (|us| us <= P99_US_MOST, milliseconds)),
    ]
}

/// Whether a figure reaches its mark, and how it is written.
type Judged = (fn(u64) -> bool, fn(u64) -> String);

fn mark<T>(what: &str, subjects: &[Vec<T>], figure: fn(&T) -> u64, (is_met, unit): Judged) -> String {
    let cell = |samples: &Vec<T>| {
        let Some(spread) = Spread::of(samples.iter().map(figure).collect()) else { return String::new() };
        let told = if is_met(spread.median) { "met" } else { "**missed**" };
        format!("{}: {told}", unit(spread.median))
    };
    line([what.to_owned()].into_iter().chain(subjects.iter().map(cell)))
}
