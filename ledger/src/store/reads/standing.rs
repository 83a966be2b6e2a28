//! Reads accounts' standings. The sum and the number of a standing are read at one moment: if they did not
//! belong together, a filter could overspend a cap.

use pax_gateway::base::account::Account;
use pax_gateway::base::clock::{Moment, UtcDay};
use pax_gateway::base::digest::Digest;
use pax_gateway::base::pax::Pax;
use pax_gateway::base::wire::{CANON_VERSIONS, Resolved, Standing, StandingAsk};

use super::columns::{from_ms, pax, read_status, read_tier, sum, to_ms};
use super::epoch::epoch_of;
use crate::error::Error;
use crate::store::sql::{Ask, Row};
use crate::store::{Credits, Store, failed};

impl Store {
    /// The account to which a token's hash resolves, with its standing on a day; nothing if the token is
    /// unknown, revoked or expired.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn resolve(
        &self,
        sha256: &Digest,
        utc_day: UtcDay,
        now: Moment,
    ) -> Result<Option<Resolved>, Error> {
        // One statement reads at one moment.
        let row = Ask::new(
            "SELECT name, tier, status, token_id, daily_cap_picopax, account_seq, spent_carry, spent_picopax, \
             (SELECT max(epoch) FROM epochs) AS epoch \
             FROM tokens JOIN accounts ON accounts.name = tokens.account \
             LEFT JOIN day_totals ON day_totals.account = accounts.name AND utc_day = ?3 \
             WHERE sha256 = ?1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ?2)",
        )
        .bind(sha256.to_string())
        .bind(to_ms(now))
        .bind(utc_day.to_string())
        .optional(&self.pool)
        .await;
        let resolved = |row: Row| -> Result<Resolved, sqlx::Error> {
            let account = Account {
                account: row.try_get("name")?,
                tier: read_tier(&row.try_get::<String>("tier")?)?,
                status: read_status(&row.try_get::<String>("status")?)?,
                token_id: row.try_get("token_id")?,
                daily_cap_pax: pax(&row, "daily_cap_picopax")?,
                canon_v: 1,
            };
            Ok(Resolved { account, standing: standing(&row, utc_day)?, canon_v: CANON_VERSIONS.to_vec() })
        };
        row.and_then(|row| row.map(resolved).transpose()).map_err(failed("resolved a token"))
    }

    /// The standings of accounts, in the order of `asks` and all at one moment; nothing for an account that
    /// does not exist.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn standings(&self, asks: &[StandingAsk]) -> Result<Vec<Option<Standing>>, Error> {
        if asks.is_empty() {
            return Ok(Vec::new());
        }
        // One statement reads at one moment.
        let mut question = Ask::new("WITH asked (place, account, day) AS (VALUES ");
        // Of few lengths, so that the database knows the question: what was added asks for nobody.
        for place in 0..asks.len().next_power_of_two() {
            let ask = asks.get(place).map(|ask| (ask.account.as_str(), ask.utc_day.to_string()));
            let (account, day) = ask.unwrap_or_default();
            question.push(if place == 0 { "(" } else { ", (" }).push(place.to_string()).push(", CAST(");
            question.push_bind(account).push(" AS TEXT), CAST(").push_bind(day).push(" AS TEXT))");
        }
        question.push(
            ") SELECT place, account_seq, spent_carry, spent_picopax, (SELECT max(epoch) FROM epochs) AS epoch FROM asked \
             JOIN accounts ON accounts.name = asked.account \
             LEFT JOIN day_totals ON day_totals.account = accounts.name AND utc_day = asked.day",
        );
        let rows = question.all(&self.pool).await.map_err(failed("read standings"))?;
        let mut standings = vec![None; asks.len()];
        for row in &rows {
            let place: i64 = row.try_get("place").map_err(failed("read standings"))?;
            let place = usize::try_from(place).ok();
            let of = place.and_then(|place| Some((standings.get_mut(place)?, asks.get(place)?)));
            if let Some((found, ask)) = of {
                *found = Some(standing(row, ask.utc_day).map_err(failed("read a standing"))?);
            }
        }
        Ok(standings)
    }

    /// What an account may spend and has spent on a day; nothing if there is no such account.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn credits(&self, account: &str, now: Moment) -> Result<Option<Credits>, Error> {
        // One statement reads at one moment.
        let row = Ask::new(
            "SELECT tier, status, balance_carry, balance_picopax, daily_cap_picopax, spent_carry, spent_picopax, \
             accounts.held_picopax AS held, coalesce(day_totals.held_picopax, 0) AS held_today, \
             lots.rest_picopax AS rest, lots.expires_at AS expires_at FROM accounts \
             LEFT JOIN day_totals ON day_totals.account = accounts.name AND utc_day = ?2 \
             LEFT JOIN lots ON lots.account = accounts.name AND rest_picopax > 0 AND expires_at > ?3 \
             WHERE name = ?1 ORDER BY lots.expires_at, lots.account_seq LIMIT 1",
        );
        let row = row.bind(account).bind(now.day().to_string()).bind(to_ms(now));
        let row = row.optional(&self.pool).await;
        let credits = |row: Row| -> Result<Credits, sqlx::Error> {
            Ok(Credits {
                tier: read_tier(&row.try_get::<String>("tier")?)?,
                status: read_status(&row.try_get::<String>("status")?)?,
                balance: sum(&row, "balance")?,
                daily_cap: pax(&row, "daily_cap_picopax")?,
                spent: sum(&row, "spent")?,
                held: Pax::from_picopax(row.try_get("held")?),
                held_today: Pax::from_picopax(row.try_get("held_today")?),
                next_expiry: match (row.try_get("expires_at")?, row.try_get("rest")?) {
                    (Some(at), Some(rest)) => Some((from_ms(at), Pax::from_picopax(rest))),
                    _ => None,
                },
            })
        };
        row.and_then(|row| row.map(credits).transpose()).map_err(failed("read an account's credits"))
    }
}

/// The standing from a row that has `account_seq`, `epoch` and, if anything was spent on the day, its total.
/// The filter compares the total with a cap, which is an amount; so a total that is larger than any amount is
/// told as the largest one.
fn standing(row: &Row, utc_day: UtcDay) -> Result<Standing, sqlx::Error> {
    let account_seq: i64 = row.try_get("account_seq")?;
    let account_seq = u64::try_from(account_seq).map_err(|error| sqlx::Error::Decode(error.into()))?;
    let epoch = epoch_of(row.try_get("epoch")?);
    Ok(Standing { utc_day, spent_pax: sum(row, "spent")?.nearest(), account_seq, epoch })
}
