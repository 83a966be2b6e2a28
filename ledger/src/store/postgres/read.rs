//! Reads, in one question, all that a transaction asks for. Each row says which table it comes from, and has its values in
//! columns that all tables share.

use std::sync::LazyLock;

use pax_gateway::base::clock::{Moment, UtcDay};
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

/// The question's parts. One that asks for nothing is left out, so there are few questions, which stay prepared.
static PARTS: LazyLock<[(i32, String); 13]> = LazyLock::new(|| {
    [
        // Asked after the locks were taken.
        part(
            CLOCK,
            &[],
            &["floor(extract(epoch FROM clock_timestamp()) * 1000)", "(SELECT max(epoch) FROM epochs)"],
            None,
            "",
        ),
        part(
            ACCOUNT,
            &["name", "head_hash", "status", "close_key"],
            &[
                "account_seq",
                "balance_carry",
                "balance_picopax",
                "recorded_at",
                "held_picopax",
                "daily_cap_picopax",
                "closed_at",
                "(SELECT max(entry.account_seq) FROM credit_ledger AS entry WHERE entry.account = name)",
            ],
            None,
            "FROM accounts WHERE name = ANY($1)",
        ),
        part(
            DAY,
            &["account", "utc_day"],
            &["spent_carry", "spent_picopax", "held_picopax"],
            None,
            // A hold's end changes its days, whatever they are.
            "FROM day_totals JOIN (SELECT * FROM unnest($2::text[], $3::text[]) \
             UNION SELECT account, utc_day FROM holds WHERE exchange_id = ANY($8)) AS wanted (account, utc_day) \
             USING (account, utc_day)",
        ),
        part(
            TOKEN_DAY,
            &["account", "token_id", "utc_day"],
            &["spent_carry", "spent_picopax", "held_picopax"],
            None,
            "FROM token_days JOIN (SELECT * FROM unnest($4::text[], $5::text[], $6::text[]) \
             UNION SELECT account, token_id, utc_day FROM holds WHERE exchange_id = ANY($8)) \
             AS wanted (account, token_id, utc_day) USING (account, token_id, utc_day)",
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
});

/// Whether a part asks for anything.
fn asks(what: i32, wanted: &Wanted) -> bool {
    match what {
        ACCOUNT | LOT => !wanted.accounts.is_empty(),
        DAY => !wanted.days.is_empty() || !wanted.exchanges.is_empty(),
        TOKEN_DAY => !wanted.token_days.is_empty() || !wanted.exchanges.is_empty(),
        HOLD | ENTRY | TOMBSTONE => !wanted.exchanges.is_empty(),
        TOKEN => !wanted.tokens.is_empty(),
        LEASE => !wanted.envoys.is_empty(),
        KEY => !wanted.keys.is_empty(),
        CORRECTION => !wanted.corrected.is_empty(),
        _ => true,
    }
}

fn correction(is_call: u8, of: &str, tier: &str) -> (i32, String) {
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

fn part(what: i32, texts: &[&str], numbers: &[&str], bytes: Option<&str>, from: &str) -> (i32, String) {
    let padded = |given: &[&str], kind: &str| {
        let all = given.iter().copied().chain(std::iter::repeat("NULL")).take(WIDTH);
        all.map(|value| format!("CAST({value} AS {kind})")).collect::<Vec<_>>().join(", ")
    };
    let (texts, numbers) = (padded(texts, "TEXT"), padded(numbers, "BIGINT"));
    let bytes = bytes.unwrap_or("NULL");
    (what, format!("SELECT {what}, {texts}, {numbers}, CAST({bytes} AS BYTEA) {from}"))
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
    let parts = PARTS.iter().filter(|(what, _)| asks(*what, wanted));
    let question = parts.map(|(_, part)| part.as_str()).collect::<Vec<_>>().join(" UNION ALL ");
    let rows = sqlx::query(&question)
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

/// A row, by its places.
#[derive(Clone, Copy)]
struct Read<'a>(&'a PgRow);

impl Read<'_> {
    fn text(self, place: usize) -> Result<String, Error> {
        self.0.try_get(1 + place)
    }

    fn number(self, place: usize) -> Result<i64, Error> {
        self.0.try_get(1 + WIDTH + place)
    }

    fn maybe(self, place: usize) -> Result<Option<i64>, Error> {
        self.0.try_get(1 + WIDTH + place)
    }

    fn moment(self, place: usize) -> Result<Option<Moment>, Error> {
        Ok(self.maybe(place)?.map(from_ms))
    }

    fn bytes(self) -> Result<Option<Vec<u8>>, Error> {
        self.0.try_get(1 + 2 * WIDTH)
    }

    fn sum(self, place: usize) -> Result<Sum, Error> {
        Ok(Sum::of_columns(self.number(place)?, self.number(place + 1)?))
    }

    fn amount(self, place: usize) -> Result<Pax, Error> {
        self.number(place).map(Pax::from_picopax)
    }

    fn day(self, place: usize) -> Result<UtcDay, Error> {
        let day = self.text(place)?;
        day.parse().map_err(|_| unreadable(&day))
    }

    fn spent(self) -> Result<Day, Error> {
        Ok(Day { spent: self.sum(0)?, held: self.amount(2)? })
    }

    fn known(self) -> Result<Known, Error> {
        let canonical = self.bytes()?.unwrap_or_default();
        Ok(Known { account_seq: self.number(0)?, kind: self.text(1)?, canonical })
    }

    fn account(self) -> Result<Account, Error> {
        let close_key = self.0.try_get::<Option<String>, _>(4)?;
        Ok(Account {
            head_hash: self.text(1)?,
            status: read_status(&self.text(2)?)?,
            account_seq: self.number(0)?,
            balance: self.sum(1)?,
            recorded_at: from_ms(self.number(3)?),
            held: self.amount(4)?,
            daily_cap: self.maybe(5)?.map(Pax::from_picopax),
            closed: self.moment(6)?.zip(close_key),
            last_entry: self.maybe(7)?.unwrap_or(0),
        })
    }

    fn lot(self) -> Result<Lot, Error> {
        Ok(Lot {
            key: self.text(1)?,
            account_seq: self.number(0)?,
            amount: self.amount(1)?,
            rest: self.amount(2)?,
            expires_at: self.moment(3)?,
        })
    }

    fn hold(self) -> Result<HoldRow, Error> {
        let state = self.text(6)?;
        Ok(HoldRow {
            exchange_id: self.text(0)?,
            account: self.text(1)?,
            token_id: self.text(2)?,
            utc_day: self.day(3)?,
            tier: read_tier(&self.text(4)?)?,
            held_pax: self.amount(0)?,
            envoy: self.text(5)?,
            made_at: from_ms(self.number(1)?),
            lost: self.bytes()?,
            state: HoldState::of_name(&state).ok_or_else(|| unreadable(&state))?,
            ended_at: self.moment(2)?,
        })
    }

    fn token(self) -> Result<Token, Error> {
        Ok(Token { account: self.text(1)?, revoked_at: self.moment(0)?, expires_at: self.moment(1)? })
    }
}

fn take(read: &mut Rows, row: &PgRow) -> Result<(), Error> {
    let what = row.try_get::<i32, _>(0)?;
    let row = Read(row);
    match what {
        CLOCK => (read.now, read.epoch) = (from_ms(row.number(0)?), epoch_of(row.maybe(1)?)),
        ACCOUNT => {
            read.accounts.insert(row.text(0)?, row.account()?);
        }
        DAY => {
            read.days.insert((row.text(0)?, row.day(1)?), row.spent()?);
        }
        TOKEN_DAY => {
            read.token_days.insert((row.text(0)?, row.text(1)?, row.day(2)?), row.spent()?);
        }
        LOT => read.lots.entry(row.text(0)?).or_default().push(row.lot()?),
        HOLD => {
            read.holds.insert(row.text(0)?, row.hold()?);
        }
        ENTRY => {
            read.entries.insert(row.text(0)?, row.known()?);
        }
        TOMBSTONE => {
            read.tombstones.insert(row.text(0)?);
        }
        TOKEN => {
            read.tokens.insert(row.text(0)?, row.token()?);
        }
        LEASE => {
            read.leases.insert(row.text(0)?, from_ms(row.number(0)?));
        }
        KEY => {
            read.keys.insert(row.text(0)?, row.known()?);
        }
        CORRECTION => {
            read.corrections.insert((row.number(0)? == 1, row.text(0)?), row.bytes()?.unwrap_or_default());
        }
        other => return Err(unreadable(&other.to_string())),
    }
    Ok(())
}

fn unreadable(what: &str) -> Error {
    Error::Decode(format!("{what:?} cannot be read").into())
}
