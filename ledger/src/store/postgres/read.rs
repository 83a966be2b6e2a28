//! Reads, in one question, all that a transaction asks for. Each row says which table it comes from, and has its values in
//! columns that all tables share.

use std::sync::LazyLock;

use pax_gateway::base::clock::UtcDay;
use pax_gateway::base::pax::Pax;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{Error, Row};

use super::image::{Account, Day, Known, Rows, Token};
use super::wanted::Wanted;
use crate::book::{Lot, Sum};
use crate::store::{HoldRow, HoldState, epoch_of, from_ms, read_status, read_tier};

/// How many texts, and how many numbers, a row has.
const WIDTH: usize = 8;

/// Where a row comes from.
const CLOCK: i32 = 0;
const ACCOUNT: i32 = 1;
const DAY: i32 = 2;
const TOKEN_DAY: i32 = 3;
const LOT: i32 = 4;
const HOLD: i32 = 5;
const ENTRY: i32 = 6;
const TOMBSTONE: i32 = 7;
const TOKEN: i32 = 8;
const LEASE: i32 = 9;
const KEY: i32 = 10;
const CORRECTION: i32 = 11;

static READ: LazyLock<String> = LazyLock::new(|| {
    [
        // Asked after the locks were taken.
        part(CLOCK, &[], &["floor(extract(epoch FROM clock_timestamp()) * 1000)", "(SELECT max(epoch) FROM epochs)"], None, ""),
        part(
            ACCOUNT,
            &["name", "head_hash", "status", "close_key"],
            &[
                "account_seq", "balance_carry", "balance_picopax", "recorded_at", "held_picopax", "daily_cap_picopax",
                "closed_at", "(SELECT max(entry.account_seq) FROM credit_ledger AS entry WHERE entry.account = name)",
            ],
            None,
            "FROM accounts WHERE name = ANY($1)",
        ),
        part(
            DAY,
            &["account", "utc_day"],
            &["spent_carry", "spent_picopax", "held_picopax"],
            None,
            "FROM day_totals JOIN unnest($2::text[], $3::text[]) AS wanted (account, utc_day) USING (account, utc_day)",
        ),
        part(
            TOKEN_DAY,
            &["account", "token_id", "utc_day"],
            &["spent_carry", "spent_picopax", "held_picopax"],
            None,
            "FROM token_days JOIN unnest($4::text[], $5::text[], $6::text[]) AS wanted (account, token_id, utc_day) \
             USING (account, token_id, utc_day)",
        ),
        part(
            LOT,
            &["account", "entry_key"],
            &["account_seq", "amount_picopax", "rest_picopax", "expires_at"],
            None,
            "FROM lots WHERE account = ANY($1) AND (rest_picopax > 0 OR account = ANY($7))",
        ),
        part(
            HOLD,
            &["exchange_id", "account", "token_id", "utc_day", "tier", "envoy", "state"],
            &["held_picopax", "made_at", "ended_at"],
            Some("lost"),
            "FROM holds WHERE exchange_id = ANY($8)",
        ),
        part(
            ENTRY,
            &["exchange_id", "kind"],
            &["account_seq"],
            Some("canonical"),
            "FROM credit_ledger WHERE exchange_id = ANY($8)",
        ),
        part(TOMBSTONE, &["exchange_id"], &[], None, "FROM tombstones WHERE exchange_id = ANY($8)"),
        part(
            TOKEN,
            &["token_id", "account"],
            &["revoked_at", "expires_at"],
            None,
            "FROM tokens WHERE token_id = ANY($9)",
        ),
        part(LEASE, &["envoy"], &["renewed_at"], None, "FROM leases WHERE envoy = ANY($10)"),
        part(
            KEY,
            &["entry_key", "kind"],
            &["account_seq"],
            Some("canonical"),
            "FROM credit_ledger WHERE entry_key = ANY($11)",
        ),
        // A correction of a call repeats the call's tier; one of a grant has none.
        correction(1, "$12", "IS NOT NULL"),
        correction(0, "$13", "IS NULL"),
    ]
    .join(" UNION ALL ")
});

fn correction(is_call: u8, of: &str, tier: &str) -> String {
    part(
        CORRECTION,
        &["corrects"],
        &[if is_call == 1 { "1" } else { "0" }],
        Some("canonical"),
        &format!(
            "FROM (SELECT DISTINCT ON (corrects) corrects, canonical FROM credit_ledger WHERE corrects = ANY({of}) \
             AND tier {tier} ORDER BY corrects, account_seq DESC) AS last_{is_call}"
        ),
    )
}

fn part(what: i32, texts: &[&str], numbers: &[&str], bytes: Option<&str>, from: &str) -> String {
    let padded = |given: &[&str], kind: &str| {
        let all = given.iter().copied().chain(std::iter::repeat("NULL")).take(WIDTH);
        all.map(|value| format!("CAST({value} AS {kind})")).collect::<Vec<_>>().join(", ")
    };
    let (texts, numbers) = (padded(texts, "TEXT"), padded(numbers, "BIGINT"));
    format!("SELECT {what}, {texts}, {numbers}, CAST({} AS BYTEA) {from}", bytes.unwrap_or("NULL"))
}

/// Locks the accounts, in the order of their names.
pub(super) async fn lock(connection: &mut PgConnection, wanted: &Wanted) -> Result<(), Error> {
    if wanted.accounts.is_empty() {
        return Ok(());
    }
    let accounts: Vec<&str> = wanted.accounts.iter().map(String::as_str).collect();
    let sql = "SELECT 1 FROM accounts WHERE name = ANY($1) ORDER BY name FOR NO KEY UPDATE";
    sqlx::query(sql).bind(accounts).execute(connection).await.map(|_| ())
}

/// Reads what is wanted.
pub(super) async fn read(connection: &mut PgConnection, wanted: &Wanted) -> Result<Rows, Error> {
    let text = |day: &UtcDay| day.to_string();
    let list = |set: &std::collections::BTreeSet<String>| set.iter().cloned().collect::<Vec<_>>();
    let corrected = |is_call: bool| {
        let of = wanted.corrected.iter().filter(|(call, _)| *call == is_call);
        of.map(|(_, name)| name.clone()).collect::<Vec<_>>()
    };
    let rows = sqlx::query(&READ)
        .bind(list(&wanted.accounts))
        .bind(wanted.days.iter().map(|(account, _)| account.clone()).collect::<Vec<_>>())
        .bind(wanted.days.iter().map(|(_, day)| text(day)).collect::<Vec<_>>())
        .bind(wanted.token_days.iter().map(|(account, ..)| account.clone()).collect::<Vec<_>>())
        .bind(wanted.token_days.iter().map(|(_, token, _)| token.clone()).collect::<Vec<_>>())
        .bind(wanted.token_days.iter().map(|(.., day)| text(day)).collect::<Vec<_>>())
        .bind(list(&wanted.all_lots))
        .bind(list(&wanted.exchanges))
        .bind(list(&wanted.tokens))
        .bind(list(&wanted.envoys))
        .bind(list(&wanted.keys))
        .bind(corrected(true))
        .bind(corrected(false))
        .fetch_all(connection)
        .await?;
    let mut read = Rows::default();
    for row in &rows {
        take(&mut read, row)?;
    }
    Ok(read)
}

fn take(read: &mut Rows, row: &PgRow) -> Result<(), Error> {
    let text = |place: usize| row.try_get::<String, _>(1 + place);
    let number = |place: usize| row.try_get::<i64, _>(1 + WIDTH + place);
    let maybe = |place: usize| row.try_get::<Option<i64>, _>(1 + WIDTH + place);
    let bytes = || row.try_get::<Option<Vec<u8>>, _>(1 + 2 * WIDTH);
    let sum = |place: usize| Ok::<_, Error>(Sum::of_columns(number(place)?, number(place + 1)?));
    let amount = |place: usize| number(place).map(Pax::from_picopax);
    let day = |place: usize| {
        let day = text(place)?;
        day.parse::<UtcDay>().map_err(|_| unreadable(&day))
    };
    let spent = || Ok::<_, Error>(Day { spent: sum(0)?, held: amount(2)? });
    let known = || {
        let canonical = bytes()?.unwrap_or_default();
        Ok::<_, Error>(Known { account_seq: number(0)?, kind: text(1)?, canonical })
    };
    match row.try_get::<i32, _>(0)? {
        CLOCK => (read.now, read.epoch) = (from_ms(number(0)?), epoch_of(maybe(1)?)),
        ACCOUNT => {
            let close_key = row.try_get::<Option<String>, _>(4)?;
            let account = Account {
                head_hash: text(1)?,
                status: read_status(&text(2)?)?,
                account_seq: number(0)?,
                balance: sum(1)?,
                recorded_at: from_ms(number(3)?),
                held: amount(4)?,
                daily_cap: maybe(5)?.map(Pax::from_picopax),
                closed: maybe(6)?.map(from_ms).zip(close_key),
                last_entry: maybe(7)?.unwrap_or(0),
            };
            read.accounts.insert(text(0)?, account);
        }
        DAY => {
            read.days.insert((text(0)?, day(1)?), spent()?);
        }
        TOKEN_DAY => {
            read.token_days.insert((text(0)?, text(1)?, day(2)?), spent()?);
        }
        LOT => {
            let lot = Lot {
                key: text(1)?,
                account_seq: number(0)?,
                amount: amount(1)?,
                rest: amount(2)?,
                expires_at: maybe(3)?.map(from_ms),
            };
            read.lots.entry(text(0)?).or_default().push(lot);
        }
        HOLD => {
            let state = text(6)?;
            let hold = HoldRow {
                exchange_id: text(0)?,
                account: text(1)?,
                token_id: text(2)?,
                utc_day: day(3)?,
                tier: read_tier(&text(4)?)?,
                held_pax: amount(0)?,
                envoy: text(5)?,
                made_at: from_ms(number(1)?),
                lost: bytes()?,
                state: HoldState::of_name(&state).ok_or_else(|| unreadable(&state))?,
                ended_at: maybe(2)?.map(from_ms),
            };
            read.holds.insert(hold.exchange_id.clone(), hold);
        }
        ENTRY => {
            read.entries.insert(text(0)?, known()?);
        }
        TOMBSTONE => {
            read.tombstones.insert(text(0)?);
        }
        TOKEN => {
            let (revoked_at, expires_at) = (maybe(0)?.map(from_ms), maybe(1)?.map(from_ms));
            read.tokens.insert(text(0)?, Token { account: text(1)?, revoked_at, expires_at });
        }
        LEASE => {
            read.leases.insert(text(0)?, from_ms(number(0)?));
        }
        KEY => {
            read.keys.insert(text(0)?, known()?);
        }
        CORRECTION => {
            read.corrections.insert((number(0)? == 1, text(0)?), bytes()?.unwrap_or_default());
        }
        other => return Err(unreadable(&other.to_string())),
    }
    Ok(())
}

fn unreadable(what: &str) -> Error {
    Error::Decode(format!("{what:?} cannot be read").into())
}
