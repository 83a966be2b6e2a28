//! What the writer does every few seconds: leases begin anew, holds and lots expire, and what has ended long ago is
//! forgotten. What is over is looked for first, and each thing is decided at the desk, where it may have ended meanwhile.

use std::time::Duration;

use pax_gateway::base::clock::Moment;
use pax_gateway::base::exchange_id::ExchangeId;
use pax_gateway::base::wire::LEASE_LAPSES_MS;

use super::desk::Desk;
use super::postgres::Wanted;
use super::sql::{Ask, Engine, Pool};
use super::{Writer, failed, from_ms, to_ms};
use crate::book::hold::{ENDED_KEPT_MS, EXPIRED_KEPT_MS, LONGEST_LIFE_MS};
use crate::error::Error;

/// Of how many accounts expiries are posted in one transaction.
const EXPIRED_AT_ONCE: u32 = 100;
/// How many holds expire in one transaction.
const LAPSED_AT_ONCE: u32 = 100;
/// How many ended holds, tombstones and leases are forgotten in one transaction.
const FORGOTTEN_AT_ONCE: u32 = 500;

impl Writer {
    /// Counts all leases as renewed now: no Envoy could renew its own for a while, or nobody knows for how long it has
    /// not done so. If the clock was set, nobody knows either how old open holds are.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn renew_all(&mut self, now: Moment, clock_was_set: bool) -> Result<(), Error> {
        bounded(renew_leases(&self.pool, now, clock_was_set)).await
    }

    /// Begins a pass of upkeep. Of several ledgers on one database, one that was away says nothing of the others: all leases
    /// begin anew if no ledger has begun a pass for a while, so that nobody can have renewed any. A file has one ledger,
    /// which knows itself how long it was away: then this does nothing, and gives false.
    ///
    /// # Errors
    /// If the store fails: then nothing may expire.
    pub async fn begin_pass(&mut self, now: Moment) -> Result<bool, Error> {
        match self.pool.engine() {
            Engine::Sqlite => Ok(false),
            Engine::Postgres => bounded(begin_pass(&self.pool, now)).await.map(|()| true),
        }
    }

    /// Expires open holds that live no longer: of Envoys whose lease has lapsed, and those that are too old; not all if
    /// there are many. Gives how many.
    ///
    /// # Errors
    /// If the store fails: then none has expired.
    pub async fn expire_holds(&mut self, now: Moment) -> Result<usize, Error> {
        let looking = failed("looked for holds that are over");
        let now = self.pool.clock(now).await.map_err(&looking)?;
        // If the clock was set back, a lease of the future would never lapse.
        let future = Ask::new("UPDATE leases SET renewed_at = ?1 WHERE renewed_at > ?1");
        future.bind(to_ms(now)).run(&self.pool).await.map_err(&looking)?;
        let by_envoy = "SELECT account, exchange_id FROM holds WHERE state = 'open' AND envoy IN \
            (SELECT envoy FROM leases WHERE renewed_at <= ?1) LIMIT ?2";
        let by_age = "SELECT account, exchange_id FROM holds WHERE state = 'open' AND made_at <= ?1 LIMIT ?2";
        for (sql, life) in [(by_envoy, LEASE_LAPSES_MS), (by_age, LONGEST_LIFE_MS)] {
            let before = Moment::from_ms(now.ms().saturating_sub(life));
            let ask = Ask::new(sql).bind(to_ms(before)).bind(LAPSED_AT_ONCE);
            let expired = self.expire_found(ask, now).await?;
            if expired > 0 {
                return Ok(expired);
            }
        }
        Ok(0)
    }

    /// Expires all open holds: the Envoys that have them know another file of this ledger. Gives how many.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn expire_all_holds(&mut self, now: Moment) -> Result<usize, Error> {
        let sql = "SELECT account, exchange_id FROM holds WHERE state = 'open' ORDER BY made_at LIMIT ?1";
        let mut all = 0;
        loop {
            match self.expire_found(Ask::new(sql).bind(LAPSED_AT_ONCE), now).await? {
                0 => return Ok(all),
                some => all += some,
            }
        }
    }

    /// Expires the open holds that a question finds, in one transaction.
    async fn expire_found(&mut self, ask: Ask, now: Moment) -> Result<usize, Error> {
        let looking = failed("looked for holds that are over");
        let rows = ask.all(&self.pool).await.map_err(&looking)?;
        let mut found = Vec::with_capacity(rows.len());
        for row in &rows {
            let (account, exchange): (String, String) =
                (row.try_get(0).map_err(&looking)?, row.try_get(1).map_err(&looking)?);
            match exchange.parse::<ExchangeId>() {
                Ok(exchange) => found.push((account, exchange)),
                // Somebody has changed it by hand. The others must not wait for that.
                Err(_) => tracing::error!(
                    exchange,
                    "a hold cannot be read, so it does not expire: run `pax-ledger replay`"
                ),
            }
        }
        if found.is_empty() {
            return Ok(0);
        }
        let known = found.clone();
        let wanted = move |wanted: &mut Wanted| {
            for (account, exchange) in &known {
                wanted.account(account);
                wanted.exchange(exchange);
            }
        };
        let expire = move |desk: &mut Desk<'_>| {
            let mut expired = 0_usize;
            for (_, exchange) in &found {
                expired += usize::from(desk.expire_hold(exchange)?);
            }
            Ok(expired)
        };
        self.work(now, "expired holds", wanted, expire).await
    }

    /// Forgets, in one transaction, ended holds, tombstones and leases that nobody can need any more: not all if there
    /// are many. Gives how many.
    ///
    /// # Errors
    /// If the store fails: then nothing was forgotten.
    pub async fn prune(&mut self, now: Moment) -> Result<usize, Error> {
        bounded(forget(&self.pool, now)).await
    }

    /// Posts all expiries that are due.
    ///
    /// # Errors
    /// If the store fails: then those of some accounts were not posted.
    pub async fn expire(&mut self, now: Moment) -> Result<(), Error> {
        let mut last = String::new();
        while let Some(account) = self.expire_after(last, now).await? {
            last = account;
        }
        Ok(())
    }

    /// Posts the expiries that are due of accounts whose names come after this one, in one transaction. Gives the last of
    /// these accounts; none if there is none left.
    ///
    /// # Errors
    /// If the store fails: then none was posted.
    pub async fn expire_after(&mut self, after: String, now: Moment) -> Result<Option<String>, Error> {
        let looking = failed("looked for lots that are over");
        let now = self.pool.clock(now).await.map_err(&looking)?;
        let due = Ask::new(
            "SELECT DISTINCT account FROM lots WHERE rest_picopax > 0 AND expires_at <= ?1 AND account > ?2 \
             ORDER BY account LIMIT ?3",
        );
        let due = due.bind(to_ms(now)).bind(after).bind(EXPIRED_AT_ONCE).scalars(&self.pool).await;
        let due: Vec<String> = due.map_err(&looking)?;
        let Some(last) = due.last().cloned() else { return Ok(None) };
        let known = due.clone();
        let wanted = move |wanted: &mut Wanted| known.iter().for_each(|account| wanted.account(account));
        let expire = move |desk: &mut Desk<'_>| due.iter().try_for_each(|account| desk.post_due(account));
        self.work(now, "posted expiries", wanted, expire).await?;
        Ok(Some(last))
    }
}

async fn renew_leases(pool: &Pool, now: Moment, clock_was_set: bool) -> Result<(), Error> {
    let renewing = failed("renewed leases");
    let now = pool.clock(now).await.map_err(&renewing)?;
    let mut tx = pool.begin_to_write().await.map_err(&renewing)?;
    if clock_was_set {
        let young = Ask::new("UPDATE holds SET made_at = ?1 WHERE state = 'open'").bind(to_ms(now));
        young.run(&mut tx).await.map_err(&renewing)?;
    }
    let renew = Ask::new("UPDATE leases SET renewed_at = ?1").bind(to_ms(now));
    renew.run(&mut tx).await.map_err(&renewing)?;
    tx.commit().await.map_err(&renewing)
}

async fn begin_pass(pool: &Pool, now: Moment) -> Result<(), Error> {
    let beginning = failed("began to look for what is over");
    let now = pool.clock(now).await.map_err(&beginning)?;
    let mut tx = pool.begin_to_write().await.map_err(&beginning)?;
    let last = Ask::new("SELECT renewed_at FROM leases WHERE envoy = ?1 FOR UPDATE").bind(PASSES);
    let last: Option<i64> = last.scalar_optional(&mut tx).await.map_err(&beginning)?;
    let is_late = last.is_none_or(|last| now.since_ms(from_ms(last)) >= LATE_MS);
    if is_late {
        tracing::warn!("all Envoys' leases begin anew: no ledger could look after them for a while");
        let renew = Ask::new("UPDATE leases SET renewed_at = ?1").bind(to_ms(now));
        renew.run(&mut tx).await.map_err(&beginning)?;
    }
    let begun = Ask::new(
        "INSERT INTO leases (envoy, renewed_at) VALUES (?1, ?2) ON CONFLICT (envoy) DO UPDATE \
         SET renewed_at = excluded.renewed_at",
    );
    begun.bind(PASSES).bind(to_ms(now)).run(&mut tx).await.map_err(&beginning)?;
    tx.commit().await.map_err(&beginning)
}

/// The lease of the ledgers themselves: when one of them has begun a pass. No Envoy has this number.
const PASSES: &str = "pax-ledger";
/// A pass begins every five seconds. If none has begun for so long, no ledger was there.
const LATE_MS: u64 = 15_000;

async fn forget(pool: &Pool, now: Moment) -> Result<usize, Error> {
    let forgetting = failed("forgot holds");
    let now = pool.clock(now).await.map_err(&forgetting)?;
    let mut tx = pool.begin_to_write().await.map_err(&forgetting)?;
    // Of several ledgers that forget at once, each leaves the others what they have locked.
    let skip = if tx.engine() == Engine::Postgres { " FOR UPDATE SKIP LOCKED" } else { "" };
    let holds = |states: &str| {
        format!(
            "DELETE FROM holds WHERE exchange_id IN (SELECT exchange_id FROM holds WHERE state <> 'open' \
             AND {states} AND ended_at <= ?1 LIMIT ?2{skip})"
        )
    };
    let tombstones = format!(
        "DELETE FROM tombstones WHERE exchange_id IN \
         (SELECT exchange_id FROM tombstones WHERE made_at <= ?1 LIMIT ?2{skip})"
    );
    let leases = format!(
        "DELETE FROM leases WHERE envoy IN (SELECT envoy FROM leases WHERE renewed_at <= ?1 \
         AND NOT EXISTS (SELECT 1 FROM holds WHERE state = 'open' AND holds.envoy = leases.envoy) LIMIT ?2{skip})"
    );
    let mut gone = 0;
    for (sql, kept) in [
        (holds("state IN ('posted', 'voided', 'charged')"), ENDED_KEPT_MS),
        (holds("state = 'expired'"), EXPIRED_KEPT_MS),
        (tombstones, ENDED_KEPT_MS),
        (leases, ENDED_KEPT_MS),
    ] {
        let before = Moment::from_ms(now.ms().saturating_sub(kept));
        let forget = Ask::new(sql).bind(to_ms(before)).bind(FORGOTTEN_AT_ONCE);
        gone += forget.run(&mut tx).await.map_err(&forgetting)?;
    }
    tx.commit().await.map_err(&forgetting)?;
    Ok(usize::try_from(gone).unwrap_or(usize::MAX))
}

/// Works for so long at most: everybody's holds wait meanwhile, and a database may be gone without a word.
async fn bounded<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let silent = || Error::Store { doing: "waited for the database", why: "it is silent".to_owned() };
    tokio::time::timeout(UPKEEP, work).await.unwrap_or_else(|_| Err(silent()))
}

/// Longer than a writer waits for another process that writes to the same file.
const UPKEEP: Duration = Duration::from_secs(12);
