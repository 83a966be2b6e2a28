//! The statements of holds, tombstones and leases, on the writer's connection.

use std::sync::LazyLock;

use pax_gateway::base::account::{Status, Tier};
use pax_gateway::base::clock::{Moment, UtcDay};
use pax_gateway::base::exchange_id::ExchangeId;
use pax_gateway::base::pax::Pax;
use pax_gateway::base::text::AsText;
use pax_gateway::base::wire::LEASE_LAPSES_MS;
use pax_gateway::debit::frozen::Debit;
use rusqlite::types::Type;
use rusqlite::{OptionalExtension, Row, params};

use super::admin::{from_ms, read_status, read_tier, to_ms};
use super::statements::Statements;
use crate::book::hold::{ENDED_KEPT_MS, EXPIRED_KEPT_MS, Hold, LONGEST_LIFE_MS};
use crate::store::{HoldRow, HoldState};

pub(super) const HOLD: &str = "SELECT exchange_id, account, token_id, utc_day, tier, held_picopax, envoy, made_at, lost, state, \
     ended_at FROM holds";

/// The same, of one exchange.
pub(super) static HOLD_OF: LazyLock<String> = LazyLock::new(|| format!("{HOLD} WHERE exchange_id = ?1"));

/// What a hold's transaction reads of its account and token, beside the account's page.
pub(super) struct Admitting {
    pub(super) status: Status,
    pub(super) daily_cap: Option<Pax>,
    pub(super) is_token_good: bool,
}

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

    /// Begins the lives of all open holds anew: nobody can tell how old they are.
    pub(super) fn rejuvenate_holds(&self, now: Moment) -> Result<(), rusqlite::Error> {
        let sql = "UPDATE holds SET made_at = ?1 WHERE state = 'open'";
        self.connection.prepare_cached(sql)?.execute([to_ms(now)])?;
        Ok(())
    }

    /// Renews all leases that are not of this moment or before it.
    pub(super) fn renew_leases_after(&self, moment: Moment, now: Moment) -> Result<(), rusqlite::Error> {
        let sql = "UPDATE leases SET renewed_at = ?2 WHERE renewed_at > ?1";
        self.connection.prepare_cached(sql)?.execute(params![to_ms(moment), to_ms(now)])?;
        Ok(())
    }

    /// Open holds that live no longer: of Envoys whose lease has lapsed, and those that are too old.
    pub(super) fn lapsed_holds(&self, now: Moment, most: u32) -> Result<Vec<HoldRow>, rusqlite::Error> {
        let by_envoy = format!(
            "{HOLD} WHERE state = 'open' AND envoy IN (SELECT envoy FROM leases WHERE renewed_at <= ?1) LIMIT ?2"
        );
        let by_age = format!("{HOLD} WHERE state = 'open' AND made_at <= ?1 LIMIT ?2");
        let mut found = Vec::new();
        for (sql, life) in [(by_envoy, LEASE_LAPSES_MS), (by_age, LONGEST_LIFE_MS)] {
            let before = Moment::from_ms(now.ms().saturating_sub(life));
            let mut select = self.connection.prepare_cached(&sql)?;
            found = select.query_map(params![to_ms(before), most], hold_row)?.collect::<Result<_, _>>()?;
            if !found.is_empty() {
                break;
            }
        }
        Ok(found)
    }

    /// Open holds of any Envoy.
    pub(super) fn open_holds(&self, most: u32) -> Result<Vec<HoldRow>, rusqlite::Error> {
        let mut select = self
            .connection
            .prepare_cached(&format!("{HOLD} WHERE state = 'open' ORDER BY made_at LIMIT ?1"))?;
        select.query_map([most], hold_row)?.collect()
    }

    /// Forgets what has ended so long ago that no hold can be asked for any more, and the leases of Envoys that were not
    /// heard for as long and have no open hold: at most this many of each. Gives how many there were.
    pub(super) fn prune(&self, now: Moment, most: u32) -> Result<usize, rusqlite::Error> {
        let before = |kept| to_ms(Moment::from_ms(now.ms().saturating_sub(kept)));
        let holds = |states: &str| {
            format!(
                "DELETE FROM holds WHERE exchange_id IN \
                 (SELECT exchange_id FROM holds WHERE state <> 'open' AND {states} AND ended_at <= ?1 LIMIT ?2)"
            )
        };
        let tombstones = "DELETE FROM tombstones WHERE exchange_id IN \
             (SELECT exchange_id FROM tombstones WHERE made_at <= ?1 LIMIT ?2)";
        let leases = "DELETE FROM leases WHERE envoy IN (SELECT envoy FROM leases WHERE renewed_at <= ?1 \
             AND NOT EXISTS (SELECT 1 FROM holds WHERE state = 'open' AND holds.envoy = leases.envoy) LIMIT ?2)";
        let mut gone = 0;
        for (sql, kept) in [
            (holds("state IN ('posted', 'voided', 'charged')").as_str(), ENDED_KEPT_MS),
            (holds("state = 'expired'").as_str(), EXPIRED_KEPT_MS),
            (tombstones, ENDED_KEPT_MS),
            (leases, ENDED_KEPT_MS),
        ] {
            gone += self.connection.prepare_cached(sql)?.execute(params![before(kept), most])?;
        }
        Ok(gone)
    }
}

/// Reads a row of [`HOLD`].
pub(super) fn hold_row(row: &Row<'_>) -> Result<HoldRow, rusqlite::Error> {
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
