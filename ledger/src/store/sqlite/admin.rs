//! Administers accounts and tokens.

use pax_gateway::base::account::{Status, Tier};
use pax_gateway::base::clock::Moment;
use pax_gateway::base::digest::Digest;
use pax_gateway::base::pax::Pax;
use sqlx::Row;
use sqlx::sqlite::{SqliteExecutor, SqliteRow};

use super::{Snapshot, Store, failed};
use crate::book::{self, Sum};
use crate::error::Error;
use crate::store::{AccountRow, NewToken, TokenRow};

/// The query whose rows [`account_row`] reads.
pub(super) const ACCOUNT: &str = "SELECT name, tier, status, created_at, account_seq, head_hash, \
    balance_picopax, daily_cap_picopax, balance_carry, recorded_at FROM accounts";
const TOKEN: &str = "SELECT token_id, account, label, expires_at, revoked_at, created_at FROM tokens";

impl Store {
    /// Creates an account, with a daily cap of its own if one is given. `false` if the name is taken.
    ///
    /// # Errors
    /// If the store fails, and if the cap is negative.
    pub async fn create_account(
        &self,
        name: &str,
        tier: Tier,
        daily_cap: Option<Pax>,
        now: Moment,
    ) -> Result<bool, Error> {
        let done = sqlx::query(
            "INSERT INTO accounts \
             (name, tier, status, created_at, account_seq, head_hash, balance_picopax, daily_cap_picopax) \
             VALUES (?1, ?2, 'active', ?3, 0, ?4, 0, ?5) ON CONFLICT (name) DO NOTHING",
        )
        .bind(name)
        .bind(tier.name())
        .bind(to_ms(now))
        .bind(book::genesis(name).to_string())
        .bind(daily_cap.map(Pax::picopax))
        .execute(&self.pool)
        .await
        .map_err(failed("created an account"))?;
        Ok(done.rows_affected() == 1)
    }

    /// An account.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn account(&self, name: &str) -> Result<Option<AccountRow>, Error> {
        let row =
            sqlx::query(&format!("{ACCOUNT} WHERE name = ?1")).bind(name).fetch_optional(&self.pool).await;
        row.and_then(|row| row.map(|row| account_row(&row)).transpose())
            .map_err(failed("looked up an account"))
    }

    /// All accounts, in the order of their names.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn accounts(&self) -> Result<Vec<AccountRow>, Error> {
        let rows = sqlx::query(&format!("{ACCOUNT} ORDER BY name")).fetch_all(&self.pool).await;
        rows.and_then(|rows| rows.iter().map(account_row).collect()).map_err(failed("listed accounts"))
    }

    /// Switches an account on or off. `false` if there is no account of that name.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn set_status(&self, name: &str, status: Status) -> Result<bool, Error> {
        let status = if status == Status::Active { "active" } else { "disabled" };
        let done = sqlx::query("UPDATE accounts SET status = ?2 WHERE name = ?1").bind(name).bind(status);
        let done = done.execute(&self.pool).await.map_err(failed("switched an account"))?;
        Ok(done.rows_affected() == 1)
    }

    /// Gives an account a daily cap of its own; none brings the rate card's default back. `false` if there is
    /// no account of that name.
    ///
    /// # Errors
    /// If the store fails, and if the cap is negative.
    pub async fn set_daily_cap(&self, name: &str, daily_cap: Option<Pax>) -> Result<bool, Error> {
        let done = sqlx::query("UPDATE accounts SET daily_cap_picopax = ?2 WHERE name = ?1");
        let done = done.bind(name).bind(daily_cap.map(Pax::picopax)).execute(&self.pool).await;
        Ok(done.map_err(failed("set a daily cap"))?.rows_affected() == 1)
    }

    /// Stores a token. `false` if its id or hash is stored already.
    ///
    /// # Errors
    /// If the store fails, and if the account is missing.
    pub async fn add_token(&self, token: &NewToken<'_>, now: Moment) -> Result<bool, Error> {
        let done = sqlx::query(
            "INSERT INTO tokens (token_id, account, label, sha256, expires_at, created_at) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING",
        )
        .bind(&token.token_id)
        .bind(token.account)
        .bind(token.label)
        .bind(token.sha256.to_string())
        .bind(token.expires_at.map(to_ms))
        .bind(to_ms(now))
        .execute(&self.pool)
        .await
        .map_err(failed("stored a token"))?;
        Ok(done.rows_affected() == 1)
    }

    /// The tokens of one account, or of all, in the order of accounts and creation.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn tokens(&self, account: Option<&str>) -> Result<Vec<TokenRow>, Error> {
        tokens(&self.pool, account).await
    }

    /// The token with this hash.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn token_by_sha256(&self, sha256: &Digest) -> Result<Option<TokenRow>, Error> {
        let sql = format!("{TOKEN} WHERE sha256 = ?1");
        let row = sqlx::query(&sql).bind(sha256.to_string()).fetch_optional(&self.pool).await;
        row.and_then(|row| row.map(|row| token_row(&row)).transpose()).map_err(failed("looked up a token"))
    }

    /// Revokes a token, for good. A revoked token stays as it is. `false` if there is no such token.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn revoke_token(&self, token_id: &str, now: Moment) -> Result<bool, Error> {
        let done = sqlx::query("UPDATE tokens SET revoked_at = coalesce(revoked_at, ?2) WHERE token_id = ?1")
            .bind(token_id)
            .bind(to_ms(now))
            .execute(&self.pool)
            .await
            .map_err(failed("revoked a token"))?;
        Ok(done.rows_affected() == 1)
    }
}

impl Snapshot {
    /// An account's tokens, in the order of creation.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn tokens(&mut self, account: &str) -> Result<Vec<TokenRow>, Error> {
        tokens(&mut *self.tx, Some(account)).await
    }
}

async fn tokens(from: impl SqliteExecutor<'_>, account: Option<&str>) -> Result<Vec<TokenRow>, Error> {
    let sql = format!("{TOKEN} WHERE ?1 IS NULL OR account = ?1 ORDER BY account, created_at, token_id");
    let rows = sqlx::query(&sql).bind(account).fetch_all(from).await;
    rows.and_then(|rows| rows.iter().map(token_row).collect()).map_err(failed("listed tokens"))
}

pub(super) fn account_row(row: &SqliteRow) -> Result<AccountRow, sqlx::Error> {
    Ok(AccountRow {
        name: row.try_get(0)?,
        tier: read_tier(row.try_get(1)?)?,
        status: read_status(row.try_get(2)?)?,
        created_at: from_ms(row.try_get(3)?),
        account_seq: row.try_get(4)?,
        head_hash: row.try_get(5)?,
        recorded_at: from_ms(row.try_get("recorded_at")?),
        balance: sum(row, "balance")?,
        daily_cap: pax(row, "daily_cap_picopax")?,
    })
}

fn token_row(row: &SqliteRow) -> Result<TokenRow, sqlx::Error> {
    Ok(TokenRow {
        token_id: row.try_get(0)?,
        account: row.try_get(1)?,
        label: row.try_get(2)?,
        expires_at: row.try_get::<Option<i64>, _>(3)?.map(from_ms),
        revoked_at: row.try_get::<Option<i64>, _>(4)?.map(from_ms),
        created_at: from_ms(row.try_get(5)?),
    })
}

pub(super) fn read_tier(text: &str) -> Result<Tier, sqlx::Error> {
    match text {
        "free" => Ok(Tier::Free),
        "credit" => Ok(Tier::Credit),
        other => Err(sqlx::Error::Decode(format!("{other:?} is no tier").into())),
    }
}

pub(super) fn read_status(text: &str) -> Result<Status, sqlx::Error> {
    match text {
        "active" => Ok(Status::Active),
        "disabled" => Ok(Status::Disabled),
        other => Err(sqlx::Error::Decode(format!("{other:?} is no status").into())),
    }
}

/// A sum, from its two columns; zero if the columns are NULL.
pub(super) fn sum(row: &SqliteRow, name: &str) -> Result<Sum, sqlx::Error> {
    let column = |unit| row.try_get::<Option<i64>, _>(format!("{name}_{unit}").as_str());
    Ok(Sum::of_columns(column("carry")?.unwrap_or(0), column("picopax")?.unwrap_or(0)))
}

/// An amount; none if the column is NULL.
pub(super) fn pax(row: &SqliteRow, column: &str) -> Result<Option<Pax>, sqlx::Error> {
    Ok(row.try_get::<Option<i64>, _>(column)?.map(Pax::from_picopax))
}

/// A moment is never later than the year 9999, so its milliseconds fit.
pub(super) fn to_ms(moment: Moment) -> i64 {
    i64::try_from(moment.ms()).unwrap_or(i64::MAX)
}

pub(super) fn from_ms(ms: i64) -> Moment {
    Moment::from_ms(u64::try_from(ms).unwrap_or(0))
}
