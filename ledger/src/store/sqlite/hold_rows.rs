//! The statements of holds, tombstones and leases, on the writer's connection.

use pax_gateway::base::account::Tier;
use pax_gateway::base::clock::{Moment, UtcDay};
use pax_gateway::base::exchange_id::ExchangeId;
use pax_gateway::base::pax::Pax;
use pax_gateway::base::text::AsText;
use pax_gateway::debit::frozen::Debit;
use rusqlite::types::Type;
use rusqlite::{OptionalExtension, Row, params};

use super::statements::Statements;
use crate::book::hold::Hold;
use crate::store::desk::Admitting;
use crate::store::{HOLD_OF, HoldRow, HoldState, from_ms, read_status, read_tier, to_ms};

impl Statements<'_> {
    /// The hold of an exchange.
    pub(super) fn hold(&self, exchange: &ExchangeId) -> Result<Option<HoldRow>, rusqlite::Error> {
        self.connection.prepare_cached(&HOLD_OF)?.query_row([exchange.text()], hold_row).optional()
    }

    /// Whether no hold can be made for an exchange any more, since it has an entry or was voided.
    pub(super) fn is_closed(&self, exchange: &ExchangeId) -> Result<bool, rusqlite::Error> {
        let sql = "SELECT EXISTS (SELECT 1 FROM credit_ledger WHERE exchange_id = ?1) \
             OR EXISTS (SELECT 1 FROM tombstones WHERE exchange_id = ?1)";
        self.connection.prepare_cached(sql)?.query_row([exchange.text()], |row| row.get(0))
    }

    /// What decides about a hold of a debit's account beside the account's page. None if there is no such account.
    pub(super) fn admitting(&self, debit: &Debit, now: Moment) -> Result<Option<Admitting>, rusqlite::Error> {
        let sql = "SELECT status, daily_cap_picopax, EXISTS (SELECT 1 FROM tokens WHERE token_id = ?2 \
             AND account = accounts.name AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ?3)) \
             FROM accounts WHERE name = ?1";
        let admitting = |row: &Row<'_>| {
            Ok(Admitting {
                status: parsed(row, 0, |text| read_status(text).ok())?,
                daily_cap: row.get::<_, Option<i64>>(1)?.map(Pax::from_picopax),
                is_token_good: row.get(2)?,
            })
        };
        let asked = params![debit.account, debit.token_id, to_ms(now)];
        self.connection.prepare_cached(sql)?.query_row(asked, admitting).optional()
    }

    /// What open holds of a day set aside.
    pub(super) fn held_on(&self, account: &str, day: UtcDay) -> Result<Pax, rusqlite::Error> {
        let sql = "SELECT held_picopax FROM day_totals WHERE account = ?1 AND utc_day = ?2";
        let held = self.connection.prepare_cached(sql)?.query_row([account, &day.text()], |row| row.get(0));
        Ok(held.optional()?.map_or(Pax::ZERO, Pax::from_picopax))
    }

    /// Keeps an open hold.
    pub(super) fn keep_hold(&self, hold: &Hold, now: Moment) -> Result<(), rusqlite::Error> {
        let debit = &hold.lost.debit;
        let sql = "INSERT INTO holds (exchange_id, account, token_id, utc_day, tier, held_picopax, envoy, made_at, lost, \
             state) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 'open')";
        self.connection.prepare_cached(sql)?.execute(params![
            debit.exchange_id.text(),
            debit.account,
            debit.token_id,
            debit.utc_day.text(),
            debit.tier.name(),
            hold.asked.hold_pax.picopax(),
            hold.asked.envoy,
            to_ms(now),
            hold.lost.canonical,
        ])?;
        Ok(())
    }

    /// Adds to what open holds of a day set aside, for the account and for the token.
    pub(super) fn hold_on_day(
        &self,
        (account, token_id, day): (&str, &str, UtcDay),
        picopax: i64,
    ) -> Result<(), rusqlite::Error> {
        let day = day.text();
        let of_account = "INSERT INTO day_totals (account, utc_day, spent_carry, spent_picopax, held_picopax) \
             VALUES (?1, ?2, 0, 0, ?3) ON CONFLICT (account, utc_day) DO UPDATE \
             SET held_picopax = held_picopax + excluded.held_picopax";
        let of_token = "INSERT INTO token_days (account, token_id, utc_day, spent_carry, spent_picopax, held_picopax) \
             VALUES (?1, ?2, ?3, 0, 0, ?4) ON CONFLICT (account, token_id, utc_day) DO UPDATE \
             SET held_picopax = held_picopax + excluded.held_picopax";
        self.connection.prepare_cached(of_account)?.execute(params![account, day, picopax])?;
        self.connection.prepare_cached(of_token)?.execute(params![account, token_id, day, picopax])?;
        Ok(())
    }

    /// Gives back what an open hold sets aside on its day. A sum that somebody has made too small becomes zero: a replay
    /// names it, and the call's debit is recorded all the same.
    pub(super) fn give_back_on_day(&self, row: &HoldRow) -> Result<(), rusqlite::Error> {
        let (day, picopax) = (row.utc_day.text(), row.held_pax.picopax());
        let of_account = "UPDATE day_totals SET held_picopax = max(held_picopax - ?3, 0) \
             WHERE account = ?1 AND utc_day = ?2";
        let of_token = "UPDATE token_days SET held_picopax = max(held_picopax - ?4, 0) \
             WHERE account = ?1 AND token_id = ?2 AND utc_day = ?3";
        self.connection.prepare_cached(of_account)?.execute(params![row.account, day, picopax])?;
        let of_token = self.connection.prepare_cached(of_token)?.execute(params![
            row.account,
            row.token_id,
            day,
            picopax
        ]);
        of_token.map(|_| ())
    }

    /// Writes what open holds set aside from an account's balance.
    pub(super) fn save_held(&self, account: &str, held: Pax) -> Result<(), rusqlite::Error> {
        let sql = "UPDATE accounts SET held_picopax = ?2 WHERE name = ?1";
        self.connection.prepare_cached(sql)?.execute(params![account, held.picopax()])?;
        Ok(())
    }

    /// Ends a hold, or says of one that has ended how its call was charged in the end.
    pub(super) fn end_hold(
        &self,
        exchange: &str,
        state: HoldState,
        now: Moment,
    ) -> Result<(), rusqlite::Error> {
        let sql = "UPDATE holds SET state = ?2, ended_at = ?3, lost = CASE WHEN ?2 = 'expired' THEN lost END \
             WHERE exchange_id = ?1";
        self.connection.prepare_cached(sql)?.execute(params![exchange, state.name(), to_ms(now)])?;
        Ok(())
    }

    /// Notes that no hold can be made for an exchange any more.
    pub(super) fn bury(
        &self,
        exchange: &ExchangeId,
        account: &str,
        now: Moment,
    ) -> Result<(), rusqlite::Error> {
        let sql = "INSERT INTO tombstones (exchange_id, account, made_at) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
        self.connection.prepare_cached(sql)?.execute(params![exchange.text(), account, to_ms(now)])?;
        Ok(())
    }

    /// Whether an account has a lot which is over, though something is left of it.
    pub(super) fn has_due_lot(&self, account: &str, now: Moment) -> Result<bool, rusqlite::Error> {
        let sql =
            "SELECT EXISTS (SELECT 1 FROM lots WHERE account = ?1 AND rest_picopax > 0 AND expires_at <= ?2)";
        self.connection.prepare_cached(sql)?.query_row(params![account, to_ms(now)], |row| row.get(0))
    }

    /// Renews an Envoy's lease.
    pub(super) fn renew_lease(&self, envoy: &str, now: Moment) -> Result<(), rusqlite::Error> {
        let sql = "INSERT INTO leases (envoy, renewed_at) VALUES (?1, ?2) ON CONFLICT (envoy) DO UPDATE \
             SET renewed_at = excluded.renewed_at";
        self.connection.prepare_cached(sql)?.execute(params![envoy, to_ms(now)])?;
        Ok(())
    }
}

/// Reads a row of [`crate::store::HOLD`].
fn hold_row(row: &Row<'_>) -> Result<HoldRow, rusqlite::Error> {
    let tier: Tier = parsed(row, 4, |text| read_tier(text).ok())?;
    Ok(HoldRow {
        exchange_id: row.get(0)?,
        account: row.get(1)?,
        token_id: row.get(2)?,
        utc_day: parsed(row, 3, |text| text.parse().ok())?,
        tier,
        held_pax: Pax::from_picopax(row.get(5)?),
        envoy: row.get(6)?,
        made_at: from_ms(row.get(7)?),
        lost: row.get(8)?,
        state: parsed(row, 9, HoldState::of_name)?,
        ended_at: row.get::<_, Option<i64>>(10)?.map(from_ms),
    })
}

fn parsed<T>(
    row: &Row<'_>,
    index: usize,
    read: impl FnOnce(&str) -> Option<T>,
) -> Result<T, rusqlite::Error> {
    let text = row.get_ref(index)?.as_str()?;
    read(text).ok_or_else(|| {
        let why = format!("{text:?} cannot be read");
        rusqlite::Error::FromSqlConversionFailure(index, Type::Text, why.into())
    })
}
