//! Administers accounts and tokens.

use pax_gateway::base::account::{Status, Tier};
use pax_gateway::base::digest::Digest;
use pax_gateway::base::pax::Pax;
use serde_json::json;

use super::closing::is_closed;
use super::credit::nothing_is_done;
use super::operator_log::{Acting, Begun, Done};
use crate::book::{self, About, AccountState, Act, TokenState};
use crate::error::Error;
use crate::store::sql::{Ask, On, Row};
use crate::store::{
    AccountRow, Acted, NewToken, Snapshot, Store, TokenRow, failed, from_ms, pax, read_status, read_tier,
    sum, to_ms,
};

/// The query whose rows [`account_row`] reads.
const ACCOUNT: &str = "SELECT name, tier, status, created_at, account_seq, head_hash, \
    balance_picopax, daily_cap_picopax, balance_carry, recorded_at, held_picopax, closed_at, close_key FROM accounts";
const TOKEN: &str = "SELECT token_id, account, label, expires_at, revoked_at, created_at FROM tokens";

impl Store {
    /// Creates an account, with a daily cap of its own if one is given. None if the name is taken.
    ///
    /// # Errors
    /// [`Error::Conflict`] if the act's key was used for another request; if the store fails, and if the cap is
    /// negative.
    pub async fn create_account(
        &self,
        act: &Act,
        name: &str,
        tier: Tier,
        daily_cap: Option<Pax>,
    ) -> Result<Option<Acted<AccountState>>, Error> {
        let arguments = json!({"account": name, "tier": tier, "daily_cap_pax": daily_cap});
        let mut acting = match self.begin_act(act, "account_create", &arguments).await? {
            Begun::First(acting) => acting,
            Begun::Again(acted) => return Ok(Some(acted)),
        };
        let done = Ask::new(
            "INSERT INTO accounts \
             (name, tier, status, created_at, account_seq, head_hash, balance_picopax, daily_cap_picopax) \
             VALUES (?1, ?2, 'active', ?3, 0, ?4, 0, ?5) ON CONFLICT (name) DO NOTHING",
        )
        .bind(name)
        .bind(tier.name())
        .bind(to_ms(acting.at))
        .bind(book::genesis(name).to_string())
        .bind(daily_cap.map(Pax::picopax))
        .run(&mut acting.tx)
        .await
        .map_err(failed("created an account"))?;
        if done == 0 {
            return Ok(None);
        }
        let after = AccountState { tier, status: Status::Active, daily_cap_pax: daily_cap, closed_at: None };
        acting.finish(Done::to_account(name, None, after), after).await.map(Some)
    }

    /// An account.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn account(&self, name: &str) -> Result<Option<AccountRow>, Error> {
        account(&self.pool, name).await
    }

    /// All accounts, in the order of their names.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn accounts(&self) -> Result<Vec<AccountRow>, Error> {
        let rows = Ask::new(format!("{ACCOUNT} ORDER BY name")).all(&self.pool).await;
        rows.and_then(|rows| rows.iter().map(account_row).collect()).map_err(failed("listed accounts"))
    }

    /// Switches an account on or off. None if there is no account of that name.
    ///
    /// # Errors
    /// [`Error::Conflict`] if the act's key was used for another request; if the store fails.
    pub async fn set_status(
        &self,
        act: &Act,
        name: &str,
        status: Status,
    ) -> Result<Option<Acted<AccountState>>, Error> {
        let (action, column) = match status {
            Status::Active => ("account_enable", "active"),
            Status::Disabled => ("account_disable", "disabled"),
        };
        let mut acting = match self.begin_act(act, action, &json!({"account": name})).await? {
            Begun::First(acting) => acting,
            Begun::Again(acted) => return Ok(Some(acted)),
        };
        let Some(before) = acting.open_account(name).await? else { return Ok(None) };
        let set = Ask::new("UPDATE accounts SET status = ?2 WHERE name = ?1").bind(name).bind(column);
        set.run(&mut acting.tx).await.map_err(failed("switched an account"))?;
        let after = AccountState { status, ..before };
        acting.finish(Done::to_account(name, Some(before), after), after).await.map(Some)
    }

    /// Moves an account to a tier. Calls that are under way keep the tier that they were admitted with. None if there is
    /// no account of that name.
    ///
    /// # Errors
    /// As of every action ([`Store::begin_act`]).
    pub async fn set_tier(
        &self,
        act: &Act,
        name: &str,
        tier: Tier,
    ) -> Result<Option<Acted<AccountState>>, Error> {
        let arguments = json!({"account": name, "tier": tier});
        let mut acting = match self.begin_act(act, "account_tier", &arguments).await? {
            Begun::First(acting) => acting,
            Begun::Again(acted) => return Ok(Some(acted)),
        };
        let Some(before) = acting.open_account(name).await? else { return Ok(None) };
        let set = Ask::new("UPDATE accounts SET tier = ?2 WHERE name = ?1").bind(name).bind(tier.name());
        set.run(&mut acting.tx).await.map_err(failed("moved an account to a tier"))?;
        let after = AccountState { tier, ..before };
        acting.finish(Done::to_account(name, Some(before), after), after).await.map(Some)
    }

    /// Gives an account a daily cap of its own; no cap brings the rate card's default back. None if there is no
    /// account of that name.
    ///
    /// # Errors
    /// [`Error::Conflict`] if the act's key was used for another request; if the store fails, and if the cap is
    /// negative.
    pub async fn set_daily_cap(
        &self,
        act: &Act,
        name: &str,
        daily_cap: Option<Pax>,
    ) -> Result<Option<Acted<AccountState>>, Error> {
        let arguments = json!({"account": name, "daily_cap_pax": daily_cap});
        let mut acting = match self.begin_act(act, "account_cap", &arguments).await? {
            Begun::First(acting) => acting,
            Begun::Again(acted) => return Ok(Some(acted)),
        };
        let Some(before) = acting.open_account(name).await? else { return Ok(None) };
        let set = Ask::new("UPDATE accounts SET daily_cap_picopax = ?2 WHERE name = ?1");
        let set = set.bind(name).bind(daily_cap.map(Pax::picopax)).run(&mut acting.tx).await;
        set.map_err(failed("set a daily cap"))?;
        let after = AccountState { daily_cap_pax: daily_cap, ..before };
        acting.finish(Done::to_account(name, Some(before), after), after).await.map(Some)
    }

    /// Stores a token, and gives its id; if this was done before under the same key, the id of that token. None if
    /// its id or hash is stored already.
    ///
    /// # Errors
    /// [`Error::Conflict`] if the act's key was used for another request; if the store fails, and if the account is
    /// missing.
    pub async fn add_token(&self, act: &Act, token: &NewToken<'_>) -> Result<Option<Acted<String>>, Error> {
        let NewToken { token_id, account, label, sha256, expires_at, .. } = token;
        // The same command makes another random token each time it is sent, so a random one decides nothing.
        let given = token.is_given.then_some(sha256);
        let arguments =
            json!({"account": account, "label": label, "expires_at": expires_at, "token_sha256": given});
        let mut acting = match self.begin_act(act, "token_add", &arguments).await? {
            Begun::First(acting) => acting,
            Begun::Again(acted) => return Ok(Some(acted)),
        };
        acting.open_account(account).await?;
        let done = Ask::new(
            "INSERT INTO tokens (token_id, account, label, sha256, expires_at, created_at) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING",
        )
        .bind(token_id)
        .bind(*account)
        .bind(*label)
        .bind(sha256.to_string())
        .bind(expires_at.map(to_ms))
        .bind(to_ms(acting.at))
        .run(&mut acting.tx)
        .await
        .map_err(failed("stored a token"))?;
        if done == 0 {
            return Ok(None);
        }
        let (account, label) = ((*account).to_owned(), (*label).to_owned());
        let after = TokenState { account, label, expires_at: *expires_at, revoked_at: None };
        acting.finish(Done::to_token(token_id, None, &after), token_id.clone()).await.map(Some)
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
        let row = Ask::new(&sql).bind(sha256.to_string()).optional(&self.pool).await;
        row.and_then(|row| row.map(|row| token_row(&row)).transpose()).map_err(failed("looked up a token"))
    }

    /// Revokes a token, for good. A token that was revoked before stays as it is, and that makes no row of the
    /// operator log, since nothing can undo it. None if there is no such token.
    ///
    /// # Errors
    /// [`Error::Conflict`] if the act's key was used for another request; if the store fails.
    pub async fn revoke_token(&self, act: &Act, token_id: &str) -> Result<Option<Acted<TokenState>>, Error> {
        let mut acting = match self.begin_act(act, "token_revoke", &json!({"token_id": token_id})).await? {
            Begun::First(acting) => acting,
            Begun::Again(acted) => return Ok(Some(acted)),
        };
        let row = token(&mut acting.tx, token_id).await?;
        let Some(before) = row.as_ref().map(TokenState::from) else { return Ok(None) };
        if before.revoked_at.is_some() {
            return Ok(Some(Acted::new(before)));
        }
        let revoke = Ask::new("UPDATE tokens SET revoked_at = ?2 WHERE token_id = ?1");
        let revoke = revoke.bind(token_id).bind(to_ms(acting.at)).run(&mut acting.tx).await;
        revoke.map_err(failed("revoked a token"))?;
        let after = TokenState { revoked_at: Some(acting.at), ..before.clone() };
        acting.finish(Done::to_token(token_id, Some(&before), &after), after.clone()).await.map(Some)
    }
}

impl Acting<'_> {
    /// The state of an account, within the action's transaction. None if there is no such account.
    ///
    /// # Errors
    /// If the account is closed: nothing is done to it any more.
    pub(super) async fn open_account(&mut self, name: &str) -> Result<Option<AccountState>, Error> {
        let row = account(&mut self.tx, name).await?;
        match row.as_ref().and_then(|row| row.closed.as_ref()) {
            Some((at, _)) => Err(nothing_is_done(is_closed(name, *at))),
            None => Ok(row.as_ref().map(AccountState::from)),
        }
    }
}

impl<'a> Done<'a> {
    /// What was done to an account.
    pub(super) fn to_account(name: &'a str, before: Option<AccountState>, after: AccountState) -> Self {
        Self { about: About::Account(name), account: Some(name), before: json!(before), after: json!(after) }
    }

    /// What was done to a token.
    fn to_token(token_id: &'a str, before: Option<&TokenState>, after: &'a TokenState) -> Self {
        let (before, json) = (json!(before), json!(after));
        Self { about: About::Token(token_id), account: Some(&after.account), before, after: json }
    }
}

impl Snapshot {
    /// An account's tokens, in the order of creation.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn tokens(&mut self, account: &str) -> Result<Vec<TokenRow>, Error> {
        tokens(&mut self.tx, Some(account)).await
    }

    /// A token.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn token(&mut self, token_id: &str) -> Result<Option<TokenRow>, Error> {
        token(&mut self.tx, token_id).await
    }
}

/// An account.
pub(in crate::store) async fn account(
    from: impl Into<On<'_>>,
    name: &str,
) -> Result<Option<AccountRow>, Error> {
    let row = Ask::new(format!("{ACCOUNT} WHERE name = ?1")).bind(name).optional(from).await;
    row.and_then(|row| row.map(|row| account_row(&row)).transpose()).map_err(failed("looked up an account"))
}

async fn token(from: impl Into<On<'_>>, token_id: &str) -> Result<Option<TokenRow>, Error> {
    let row = Ask::new(format!("{TOKEN} WHERE token_id = ?1")).bind(token_id).optional(from).await;
    row.and_then(|row| row.map(|row| token_row(&row)).transpose()).map_err(failed("looked up a token"))
}

async fn tokens(from: impl Into<On<'_>>, account: Option<&str>) -> Result<Vec<TokenRow>, Error> {
    let sql = format!("{TOKEN} WHERE ?1 IS NULL OR account = ?1 ORDER BY account, created_at, token_id");
    let rows = Ask::new(&sql).bind(account).all(from).await;
    rows.and_then(|rows| rows.iter().map(token_row).collect()).map_err(failed("listed tokens"))
}

fn account_row(row: &Row) -> Result<AccountRow, sqlx::Error> {
    Ok(AccountRow {
        name: row.try_get(0)?,
        tier: read_tier(&row.try_get::<String>(1)?)?,
        status: read_status(&row.try_get::<String>(2)?)?,
        created_at: from_ms(row.try_get(3)?),
        account_seq: row.try_get(4)?,
        head_hash: row.try_get(5)?,
        recorded_at: from_ms(row.try_get("recorded_at")?),
        balance: sum(row, "balance")?,
        held: Pax::from_picopax(row.try_get("held_picopax")?),
        daily_cap: pax(row, "daily_cap_picopax")?,
        closed: row.try_get::<Option<i64>>("closed_at")?.map(from_ms).zip(row.try_get("close_key")?),
    })
}

fn token_row(row: &Row) -> Result<TokenRow, sqlx::Error> {
    Ok(TokenRow {
        token_id: row.try_get(0)?,
        account: row.try_get(1)?,
        label: row.try_get(2)?,
        expires_at: row.try_get::<Option<i64>>(3)?.map(from_ms),
        revoked_at: row.try_get::<Option<i64>>(4)?.map(from_ms),
        created_at: from_ms(row.try_get(5)?),
    })
}
