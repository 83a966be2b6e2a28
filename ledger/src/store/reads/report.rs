//! Adds up entries by their dimensions.

use super::entries::narrow;
use crate::book::Sum;
use crate::error::Error;
use crate::report::{Counts, Dimension};
use crate::store::sql::{Ask, Row};
use crate::store::{EntryFilter, GroupSum, Snapshot, failed};

/// SQLite adds up in 64 bits, and fails beyond. So each column is added up in two parts: its value divided by
/// this, and the remainder. Each part's sum stays in range for a thousand million entries of any value.
const PART: i128 = 1_000_000_000;

/// What is added up, in this order.
const SUMMED: [(&str, &str); 5] = [
    ("tokens_input", ""),
    ("tokens_cached_input", ""),
    ("tokens_output", ""),
    ("cost_picopax", ""),
    ("cost_picopax", " FILTER (WHERE provenance = 'estimated')"),
];

fn column(dimension: Dimension) -> &'static str {
    match dimension {
        Dimension::Account => "account",
        Dimension::Model => "model",
        Dimension::Provider => "provider",
        Dimension::Day => "utc_day",
        Dimension::Month => "substr(utc_day, 1, 7)",
        Dimension::Slot => "slot",
        Dimension::Token => "token_id",
        Dimension::Funding => "funding",
        Dimension::Tier => "tier",
    }
}

impl Snapshot {
    /// Adds up the entries of each group and each rate card in it. `tell` gets the sums in the order of the
    /// groups' keys, those of one group's cards one after another.
    ///
    /// # Errors
    /// If the store fails, or `tell` does.
    pub async fn groups(
        &mut self,
        by: &[Dimension],
        filter: &EntryFilter,
        tell: &mut dyn FnMut(GroupSum) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let adding = failed("added up entries");
        let keys: Vec<&str> = by.iter().copied().map(column).chain(["card_sha256"]).collect();
        let sums = SUMMED.map(|(column, of)| {
            format!(
                "CAST(coalesce(sum({column} / {PART}){of}, 0) AS BIGINT), \
                 CAST(coalesce(sum({column} % {PART}){of}, 0) AS BIGINT)"
            )
        });
        let mut query = Ask::new(format!(
            "SELECT {}, count(*) FILTER (WHERE kind = 'debit'), \
             count(*) FILTER (WHERE kind = 'debit' AND provenance = 'estimated'), {} FROM credit_ledger \
             WHERE kind IN ('debit', 'correction')",
            keys.join(", "),
            sums.join(", ")
        ));
        narrow(&mut query, filter);
        // The places of the dimensions in the query, since a dimension may be an expression.
        let places = (1..=keys.len()).map(|place| place.to_string()).collect::<Vec<_>>().join(", ");
        let order =
            (1..=keys.len()).map(|place| format!("{place} NULLS FIRST")).collect::<Vec<_>>().join(", ");
        query.push(format!(" GROUP BY {places} ORDER BY {order}"));
        query.each(&mut self.tx, &adding, |row| tell(group(row, by.len()).map_err(&adding)?)).await
    }
}

fn group(row: &Row, dimensions: usize) -> Result<GroupSum, sqlx::Error> {
    let keys = (0..dimensions).map(|index| row.try_get(index)).collect::<Result<_, _>>()?;
    let first = dimensions.saturating_add(1);
    let count = |place: usize| -> Result<u64, sqlx::Error> {
        Ok(u64::try_from(row.try_get::<i64>(first.saturating_add(place))?).unwrap_or(0))
    };
    let sum = |number: usize| -> Result<i128, sqlx::Error> {
        let place = first.saturating_add(2).saturating_add(number.saturating_mul(2));
        let (above, below): (i64, i64) = (row.try_get(place)?, row.try_get(place.saturating_add(1))?);
        Ok(i128::from(above).saturating_mul(PART).saturating_add(i128::from(below)))
    };
    let counts = Counts {
        calls: count(0)?,
        estimated_calls: count(1)?,
        input: sum(0)?,
        cached: sum(1)?,
        output: sum(2)?,
        cost: Sum::of_picopax(sum(3)?),
        estimated: Sum::of_picopax(sum(4)?),
    };
    Ok(GroupSum { keys, card_sha256: row.try_get(dimensions)?, counts })
}
