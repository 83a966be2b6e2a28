//! Writes, in one statement, all that a transaction has changed. The rows come as one JSON document, since the statement is
//! the same whatever has changed, and so stays prepared; bytes come beside it.

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

static SAVE: LazyLock<String> = LazyLock::new(|| {
    let columns = [COLUMNS.as_slice(), &MADE_COLUMNS].concat();
    let columns =
        [columns.as_slice(), &["account_seq", "prev_hash", "entry_hash", "recorded_at", "posting"]].concat();
    let columns = columns.join(", ");
    format!(
        "WITH \
         entries AS (INSERT INTO credit_ledger ({columns}, hash_v, canonical) \
         SELECT {columns}, {HASH_V}, entry.unnest \
         FROM ROWS FROM (json_populate_recordset(CAST(NULL AS credit_ledger), $1::json -> 'entries'), \
         unnest($2::bytea[])) WITH ORDINALITY AS entry ORDER BY entry.ordinality), {OTHERS} SELECT 1"
    )
});

const OTHERS: &str = "\
    heads AS (UPDATE accounts SET account_seq = new.account_seq, head_hash = new.head_hash, \
    balance_carry = new.balance_carry, balance_picopax = new.balance_picopax, recorded_at = new.recorded_at, \
    held_picopax = new.held_picopax, status = new.status, closed_at = new.closed_at, close_key = new.close_key \
    FROM json_to_recordset($1::json -> 'accounts') AS new (name text, account_seq bigint, head_hash text, \
    balance_carry bigint, balance_picopax bigint, recorded_at bigint, held_picopax bigint, status text, closed_at bigint, \
    close_key text) WHERE accounts.name = new.name), \
    days AS (INSERT INTO day_totals (account, utc_day, spent_carry, spent_picopax, held_picopax) \
    SELECT account, utc_day, spent_carry, spent_picopax, held_picopax \
    FROM json_to_recordset($1::json -> 'days') AS new (account text, utc_day text, spent_carry bigint, \
    spent_picopax bigint, held_picopax bigint) ON CONFLICT (account, utc_day) DO UPDATE SET \
    spent_carry = excluded.spent_carry, spent_picopax = excluded.spent_picopax, held_picopax = excluded.held_picopax), \
    of_tokens AS (INSERT INTO token_days (account, token_id, utc_day, spent_carry, spent_picopax, held_picopax) \
    SELECT account, token_id, utc_day, spent_carry, spent_picopax, held_picopax \
    FROM json_to_recordset($1::json -> 'token_days') AS new (account text, token_id text, utc_day text, \
    spent_carry bigint, spent_picopax bigint, held_picopax bigint) ON CONFLICT (account, token_id, utc_day) DO UPDATE SET \
    spent_carry = excluded.spent_carry, spent_picopax = excluded.spent_picopax, held_picopax = excluded.held_picopax), \
    rests AS (INSERT INTO lots (entry_key, account, account_seq, amount_picopax, rest_picopax, expires_at) \
    SELECT entry_key, account, account_seq, amount_picopax, rest_picopax, expires_at \
    FROM json_to_recordset($1::json -> 'lots') AS new (entry_key text, account text, account_seq bigint, \
    amount_picopax bigint, rest_picopax bigint, expires_at bigint) ON CONFLICT (entry_key) DO UPDATE SET \
    amount_picopax = excluded.amount_picopax, rest_picopax = excluded.rest_picopax), \
    ended AS (UPDATE holds SET state = new.state, ended_at = new.ended_at, \
    lost = CASE WHEN new.state = 'expired' THEN lost END \
    FROM json_to_recordset($1::json -> 'ended_holds') AS new (exchange_id text, state text, ended_at bigint) \
    WHERE holds.exchange_id = new.exchange_id), \
    held AS (INSERT INTO holds (exchange_id, account, token_id, utc_day, tier, held_picopax, envoy, made_at, state, \
    ended_at, lost) SELECT exchange_id, account, token_id, utc_day, tier, held_picopax, envoy, made_at, state, ended_at, \
    new.unnest FROM ROWS FROM (json_to_recordset($1::json -> 'new_holds') AS (exchange_id text, account text, \
    token_id text, utc_day text, tier text, held_picopax bigint, envoy text, made_at bigint, state text, ended_at bigint), \
    unnest($3::bytea[])) AS new ORDER BY exchange_id), \
    buried AS (INSERT INTO tombstones (exchange_id, account, made_at) SELECT exchange_id, account, made_at \
    FROM json_to_recordset($1::json -> 'tombstones') AS new (exchange_id text, account text, made_at bigint) \
    ORDER BY exchange_id ON CONFLICT DO NOTHING), \
    heard AS (INSERT INTO leases (envoy, renewed_at) SELECT envoy, renewed_at \
    FROM json_to_recordset($1::json -> 'leases') AS new (envoy text, renewed_at bigint) ORDER BY envoy \
    ON CONFLICT (envoy) DO UPDATE SET renewed_at = greatest(leases.renewed_at, excluded.renewed_at)), \
    kept AS (INSERT INTO quarantine (exchange_id, reason, message, received_at, sha256, bytes) \
    SELECT exchange_id, reason, message, received_at, sha256, new.unnest \
    FROM ROWS FROM (json_to_recordset($1::json -> 'quarantine') AS (exchange_id text, reason text, message text, \
    received_at bigint, sha256 text), unnest($4::bytea[])) WITH ORDINALITY AS new ORDER BY new.ordinality \
    ON CONFLICT DO NOTHING)";

/// Writes what has changed.
pub(super) async fn save(connection: &mut PgConnection, image: &Image) -> Result<(), Error> {
    let Image { rows, changes, .. } = image;
    if changes.is_empty() {
        return Ok(());
    }
    let document = document(rows, changes).to_string();
    let canonical: Vec<&[u8]> = changes.entries.iter().map(|(_, bytes)| bytes.as_slice()).collect();
    let holds = changes.new_holds.iter().filter_map(|exchange| rows.holds.get(exchange));
    let lost: Vec<Option<&[u8]>> = holds.map(|hold| hold.lost.as_deref()).collect();
    let lines: Vec<&[u8]> = changes.quarantine.iter().map(|(_, bytes)| bytes.as_slice()).collect();
    let save = sqlx::query(&SAVE).bind(document).bind(canonical).bind(lost).bind(lines);
    save.execute(connection).await.map(|_| ())
}

fn document(rows: &Rows, changes: &Changes) -> Json {
    json!({
        "entries": changes.entries.iter().map(|(row, _)| row).collect::<Vec<_>>(),
        "accounts": accounts(rows, changes),
        "days": days(rows, changes),
        "token_days": token_days(rows, changes),
        "lots": lots(rows, changes),
        "ended_holds": ended_holds(rows, changes),
        "new_holds": new_holds(rows, changes),
        "tombstones": changes.tombstones.iter().map(|(exchange, account, at)| {
            json!({"exchange_id": exchange, "account": account, "made_at": to_ms(*at)})
        }).collect::<Vec<_>>(),
        "leases": changes.leases.iter().filter_map(|envoy| {
            Some(json!({"envoy": envoy, "renewed_at": to_ms(*rows.leases.get(envoy)?)}))
        }).collect::<Vec<_>>(),
        "quarantine": changes.quarantine.iter().map(|(row, _)| row).collect::<Vec<_>>(),
    })
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
