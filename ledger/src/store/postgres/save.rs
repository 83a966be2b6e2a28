//! Writes, in one statement, all that a transaction has changed. The rows of each table come as one JSON text, and bytes
//! come beside them. The statement has a part for each table that has changed, so there are few statements, which stay
//! prepared.

use std::fmt::Write;
use std::sync::LazyLock;

use serde_json::{Value as Json, json};
use sqlx::Error;
use sqlx::postgres::PgConnection;

use super::image::{Changes, Image, Rows};
use crate::book::COLUMNS;
use crate::book::made::MADE_COLUMNS;
use crate::store::to_ms;

/// The version of an entry's hash that is written.
const HASH_V: i64 = 2;

// In each part `$rows` stands for the JSON text's place, and `$bytes` for that of the bytes.

static ENTRIES: LazyLock<String> = LazyLock::new(|| {
    let columns = [COLUMNS.as_slice(), &MADE_COLUMNS].concat();
    let columns =
        [columns.as_slice(), &["account_seq", "prev_hash", "entry_hash", "recorded_at", "posting"]].concat();
    let columns = columns.join(", ");
    format!(
        "INSERT INTO credit_ledger ({columns}, hash_v, canonical) SELECT {columns}, {HASH_V}, entry.unnest \
         FROM ROWS FROM (json_populate_recordset(CAST(NULL AS credit_ledger), $rows::json), unnest($bytes::bytea[])) \
         WITH ORDINALITY AS entry ORDER BY entry.ordinality"
    )
});

const ACCOUNTS: &str = "UPDATE accounts SET account_seq = new.account_seq, head_hash = new.head_hash, \
    balance_carry = new.balance_carry, balance_picopax = new.balance_picopax, recorded_at = new.recorded_at, \
    held_picopax = new.held_picopax, status = new.status, closed_at = new.closed_at, close_key = new.close_key \
    FROM json_to_recordset($rows::json) AS new (name text, account_seq bigint, head_hash text, \
    balance_carry bigint, balance_picopax bigint, recorded_at bigint, held_picopax bigint, status text, closed_at bigint, \
    close_key text) WHERE accounts.name = new.name";

const DAYS: &str = "INSERT INTO day_totals (account, utc_day, spent_carry, spent_picopax, held_picopax) \
    SELECT account, utc_day, spent_carry, spent_picopax, held_picopax \
    FROM json_to_recordset($rows::json) AS new (account text, utc_day text, spent_carry bigint, \
    spent_picopax bigint, held_picopax bigint) ON CONFLICT (account, utc_day) DO UPDATE SET \
    spent_carry = excluded.spent_carry, spent_picopax = excluded.spent_picopax, held_picopax = excluded.held_picopax";

const TOKEN_DAYS: &str = "INSERT INTO token_days (account, token_id, utc_day, spent_carry, spent_picopax, held_picopax) \
    SELECT account, token_id, utc_day, spent_carry, spent_picopax, held_picopax \
    FROM json_to_recordset($rows::json) AS new (account text, token_id text, utc_day text, \
    spent_carry bigint, spent_picopax bigint, held_picopax bigint) ON CONFLICT (account, token_id, utc_day) DO UPDATE SET \
    spent_carry = excluded.spent_carry, spent_picopax = excluded.spent_picopax, held_picopax = excluded.held_picopax";

const LOTS: &str = "INSERT INTO lots (entry_key, account, account_seq, amount_picopax, rest_picopax, expires_at) \
    SELECT entry_key, account, account_seq, amount_picopax, rest_picopax, expires_at \
    FROM json_to_recordset($rows::json) AS new (entry_key text, account text, account_seq bigint, \
    amount_picopax bigint, rest_picopax bigint, expires_at bigint) ON CONFLICT (entry_key) DO UPDATE SET \
    amount_picopax = excluded.amount_picopax, rest_picopax = excluded.rest_picopax";

const ENDED_HOLDS: &str = "UPDATE holds SET state = new.state, ended_at = new.ended_at, \
    lost = CASE WHEN new.state = 'expired' THEN lost END \
    FROM json_to_recordset($rows::json) AS new (exchange_id text, state text, ended_at bigint) \
    WHERE holds.exchange_id = new.exchange_id";

const NEW_HOLDS: &str = "INSERT INTO holds (exchange_id, account, token_id, utc_day, tier, held_picopax, envoy, made_at, state, \
    ended_at, lost) SELECT exchange_id, account, token_id, utc_day, tier, held_picopax, envoy, made_at, state, ended_at, \
    new.unnest FROM ROWS FROM (json_to_recordset($rows::json) AS (exchange_id text, account text, \
    token_id text, utc_day text, tier text, held_picopax bigint, envoy text, made_at bigint, state text, ended_at bigint), \
    unnest($bytes::bytea[])) AS new ORDER BY exchange_id";

const TOMBSTONES: &str = "INSERT INTO tombstones (exchange_id, account, made_at) SELECT exchange_id, account, made_at \
    FROM json_to_recordset($rows::json) AS new (exchange_id text, account text, made_at bigint) \
    ORDER BY exchange_id ON CONFLICT DO NOTHING";

const LEASES: &str = "INSERT INTO leases (envoy, renewed_at) SELECT envoy, renewed_at \
    FROM json_to_recordset($rows::json) AS new (envoy text, renewed_at bigint) ORDER BY envoy \
    ON CONFLICT (envoy) DO UPDATE SET renewed_at = greatest(leases.renewed_at, excluded.renewed_at)";

const QUARANTINE: &str = "INSERT INTO quarantine (exchange_id, reason, message, received_at, sha256, bytes) \
    SELECT exchange_id, reason, message, received_at, sha256, new.unnest \
    FROM ROWS FROM (json_to_recordset($rows::json) AS (exchange_id text, reason text, message text, \
    received_at bigint, sha256 text), unnest($bytes::bytea[])) WITH ORDINALITY AS new ORDER BY new.ordinality \
    ON CONFLICT DO NOTHING";

/// Rows of one table, and the bytes beside each, if the table has any.
type Part<'a> = (&'a str, Vec<Json>, Vec<Option<&'a [u8]>>);

/// Writes what has changed.
pub(super) async fn save(connection: &mut PgConnection, image: &Image) -> Result<(), Error> {
    let parts = parts(&image.rows, &image.changes);
    if parts.is_empty() {
        return Ok(());
    }
    let mut sql = String::from("WITH ");
    for (number, (part, ..)) in parts.iter().enumerate() {
        let (rows, bytes) = (format!("${}", 2 * number + 1), format!("${}", 2 * number + 2));
        let part = part.replace("$rows", &rows).replace("$bytes", &bytes);
        let comma = if number == 0 { "" } else { ", " };
        let _ = write!(sql, "{comma}part_{number} AS ({part})");
    }
    sql.push_str(" SELECT 1");
    let mut save = sqlx::query(&sql);
    for (_, rows, bytes) in parts {
        save = save.bind(Json::from(rows).to_string()).bind(bytes);
    }
    save.execute(connection).await.map(|_| ())
}

/// Of each table that has changed, the statement and its rows.
fn parts<'a>(rows: &'a Rows, changes: &'a Changes) -> Vec<Part<'a>> {
    fn plain(sql: &str, rows: Vec<Json>) -> Part<'_> {
        (sql, rows, Vec::new())
    }
    fn beside<'a>(sql: &'a str, rows: &'a [(Json, Vec<u8>)]) -> Part<'a> {
        let bytes = rows.iter().map(|(_, bytes)| Some(bytes.as_slice()));
        (sql, rows.iter().map(|(row, _)| row.clone()).collect(), bytes.collect())
    }
    let lost = changes.new_holds.iter().filter_map(|exchange| rows.holds.get(exchange));
    let parts = [
        beside(&ENTRIES, &changes.entries),
        plain(ACCOUNTS, accounts(rows, changes)),
        plain(DAYS, days(rows, changes)),
        plain(TOKEN_DAYS, token_days(rows, changes)),
        plain(LOTS, lots(rows, changes)),
        plain(ENDED_HOLDS, ended_holds(rows, changes)),
        (NEW_HOLDS, new_holds(rows, changes), lost.map(|hold| hold.lost.as_deref()).collect()),
        plain(TOMBSTONES, tombstones(changes)),
        plain(LEASES, leases(rows, changes)),
        beside(QUARANTINE, &changes.quarantine),
    ];
    parts.into_iter().filter(|(_, rows, _)| !rows.is_empty()).collect()
}

fn tombstones(changes: &Changes) -> Vec<Json> {
    let row = |(exchange, account, at): &(String, String, _)| json!({"exchange_id": exchange, "account": account, "made_at": to_ms(*at)});
    changes.tombstones.iter().map(row).collect()
}

fn leases(rows: &Rows, changes: &Changes) -> Vec<Json> {
    let row = |envoy: &String| Some(json!({"envoy": envoy, "renewed_at": to_ms(*rows.leases.get(envoy)?)}));
    changes.leases.iter().filter_map(row).collect()
}

fn accounts(rows: &Rows, changes: &Changes) -> Vec<Json> {
    let row = |name: &String| {
        let row = rows.accounts.get(name)?;
        let (carry, picopax) = row.balance.columns();
        Some(json!({
            "name": name, "account_seq": row.account_seq, "head_hash": row.head_hash, "balance_carry": carry,
            "balance_picopax": picopax, "recorded_at": to_ms(row.recorded_at), "held_picopax": row.held.picopax(),
            "status": row.status, "closed_at": row.closed.as_ref().map(|(at, _)| to_ms(*at)),
            "close_key": row.closed.as_ref().map(|(_, key)| key),
        }))
    };
    changes.accounts.iter().filter_map(row).collect()
}

fn days(rows: &Rows, changes: &Changes) -> Vec<Json> {
    let row = |key: &(String, _)| {
        let day = rows.days.get(key)?;
        let (carry, picopax) = day.spent.columns();
        Some(json!({
            "account": key.0, "utc_day": key.1.to_string(), "spent_carry": carry, "spent_picopax": picopax,
            "held_picopax": day.held.picopax(),
        }))
    };
    changes.days.iter().filter_map(row).collect()
}

fn token_days(rows: &Rows, changes: &Changes) -> Vec<Json> {
    let row = |key: &super::image::OfToken| {
        let day = rows.token_days.get(key)?;
        let (carry, picopax) = day.spent.columns();
        Some(json!({
            "account": key.0, "token_id": key.1, "utc_day": key.2.to_string(), "spent_carry": carry,
            "spent_picopax": picopax, "held_picopax": day.held.picopax(),
        }))
    };
    changes.token_days.iter().filter_map(row).collect()
}

fn lots(rows: &Rows, changes: &Changes) -> Vec<Json> {
    let row = |(key, account): (&String, &String)| {
        let lot = rows.lots.get(account)?.iter().find(|lot| lot.key == *key)?;
        Some(json!({
            "entry_key": key, "account": account, "account_seq": lot.account_seq, "amount_picopax": lot.amount.picopax(),
            "rest_picopax": lot.rest.picopax(), "expires_at": lot.expires_at.map(to_ms),
        }))
    };
    changes.lots.iter().filter_map(row).collect()
}

fn ended_holds(rows: &Rows, changes: &Changes) -> Vec<Json> {
    let row = |exchange: &String| {
        let hold = rows.holds.get(exchange).filter(|_| !changes.new_holds.contains(exchange))?;
        Some(json!({
            "exchange_id": exchange, "state": hold.state.name(), "ended_at": hold.ended_at.map(to_ms),
        }))
    };
    changes.ended_holds.iter().filter_map(row).collect()
}

fn new_holds(rows: &Rows, changes: &Changes) -> Vec<Json> {
    let holds = changes.new_holds.iter().filter_map(|exchange| rows.holds.get(exchange));
    let row = |hold: &crate::store::HoldRow| {
        json!({
            "exchange_id": hold.exchange_id, "account": hold.account, "token_id": hold.token_id,
            "utc_day": hold.utc_day.to_string(), "tier": hold.tier.name(), "held_picopax": hold.held_pax.picopax(),
            "envoy": hold.envoy, "made_at": to_ms(hold.made_at), "state": hold.state.name(),
            "ended_at": hold.ended_at.map(to_ms),
        })
    };
    holds.map(row).collect()
}
