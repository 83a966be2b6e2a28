//! The writer: batches of debits, each in one transaction that is synced once.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use pax_gateway::base::clock::{Moment, UtcDay};
use pax_gateway::base::digest::Digest;
use pax_gateway::base::exchange_id::ExchangeId;
use pax_gateway::base::wire::{DebitOutcome, DebitReply, Standing};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection, Row, Sqlite, Transaction};

use super::admin::to_ms;
use super::epoch::present;
use super::{failed, is_refused};
use crate::book::{COLUMNS, Link, Page, Received, Rejected, Sum, Value};
use crate::error::Error;
use crate::store::Line;

static INSERT: LazyLock<String> = LazyLock::new(|| {
    let columns = COLUMNS.join(", ");
    let places = vec!["?"; COLUMNS.len() + 5].join(", ");
    format!(
        "INSERT INTO credit_ledger ({columns}, canonical, account_seq, prev_hash, entry_hash, recorded_at) \
         VALUES ({places})"
    )
});

/// Records debits over a connection of its own.
#[derive(Debug)]
pub struct Writer {
    options: SqliteConnectOptions,
    connection: Option<SqliteConnection>,
}

/// The open pages of a transaction: that of each account that it touches, or why there is none.
#[derive(Default)]
struct Desk {
    pages: HashMap<String, Result<OpenPage, String>>,
    /// The ledger's epoch, for each standing.
    epoch: u64,
}

struct OpenPage {
    page: Page,
    /// The days whose total was looked up, even if there was none.
    days: HashSet<UtcDay>,
    touched: bool,
}

impl Writer {
    pub(super) fn new(options: SqliteConnectOptions) -> Self {
        Self { options, connection: None }
    }

    /// Records lines in order, in one transaction. Answers each line. All are durable on return.
    ///
    /// # Errors
    /// If the store fails: then no line was kept.
    pub async fn record(&mut self, lines: &[Line], now: Moment) -> Result<Vec<DebitReply>, Error> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.options.connect().await.map_err(failed("connected to write"))?,
        };
        let replies = record(&mut connection, lines, now).await.map_err(failed("recorded debits"))?;
        // Only a connection whose transaction succeeded is used again.
        self.connection = Some(connection);
        Ok(replies)
    }

    /// Closes the connection.
    pub async fn close(self) {
        if let Some(connection) = self.connection
            && let Err(error) = connection.close().await
        {
            tracing::warn!(%error, "the writer's connection did not close well");
        }
    }
}

async fn record(
    connection: &mut SqliteConnection,
    lines: &[Line],
    now: Moment,
) -> Result<Vec<DebitReply>, sqlx::Error> {
    // Immediate, because a transaction that first reads and then writes could find its snapshot stale.
    let mut tx = connection.begin_with("BEGIN IMMEDIATE").await?;
    let mut desk = Desk { epoch: present(&mut *tx).await?, ..Desk::default() };
    let mut replies = Vec::with_capacity(lines.len());
    for line in lines {
        replies.push(match line {
            Ok(received) => record_debit(&mut tx, &mut desk, received, now).await?,
            Err(rejected) => quarantine(&mut tx, rejected, DebitOutcome::Rejected, now).await?,
        });
    }
    for (account, page) in &desk.pages {
        if let Ok(OpenPage { page, touched: true, .. }) = page {
            save(&mut tx, account, page).await?;
        }
    }
    tx.commit().await?;
    Ok(replies)
}

async fn record_debit(
    tx: &mut Transaction<'_, Sqlite>,
    desk: &mut Desk,
    received: &Received,
    now: Moment,
) -> Result<DebitReply, sqlx::Error> {
    let (exchange_id, epoch) = (received.debit.exchange_id, desk.epoch);
    let reject = |why: String| Rejected::new(&received.canonical, why);
    if let Some((canonical, account_seq)) = find(tx, &exchange_id).await? {
        if canonical == received.canonical {
            // If the account's page cannot be read, no standing is known either.
            let open = desk.open(tx, &received.debit.account, received.debit.utc_day).await?;
            let standing = open.ok().and_then(|open| standing(&open.page, received.debit.utc_day, epoch));
            return Ok(reply(&exchange_id, DebitOutcome::Duplicate, account_seq, standing));
        }
        let conflict =
            reject(format!("entry {account_seq} of the account has other bytes for this exchange"));
        return quarantine(tx, &conflict, DebitOutcome::Conflict, now).await;
    }
    let open = match desk.open(tx, &received.debit.account, received.debit.utc_day).await? {
        Ok(open) => open,
        Err(why) => return quarantine(tx, &reject(why), DebitOutcome::Rejected, now).await,
    };
    let mut after = open.page.clone();
    let link = match after.post(&received.debit, &received.canonical, now) {
        Ok(link) => link,
        Err(why) => return quarantine(tx, &reject(why), DebitOutcome::Rejected, now).await,
    };
    match insert(tx, received, &link).await {
        Ok(()) => {
            open.page = after;
            open.touched = true;
            let standing = standing(&open.page, received.debit.utc_day, epoch);
            Ok(reply(&exchange_id, DebitOutcome::Recorded, link.account_seq, standing))
        }
        // Only a database that was changed by hand refuses an entry. The other lines of the batch must not wait
        // for that.
        Err(error) if is_refused(&error) => {
            let why = format!("the database refused the entry: {error}; run `pax-ledger replay`");
            quarantine(tx, &reject(why), DebitOutcome::Rejected, now).await
        }
        Err(error) => Err(error),
    }
}

impl Desk {
    /// Opens the account's page, with the total of the day.
    async fn open(
        &mut self,
        tx: &mut Transaction<'_, Sqlite>,
        account: &str,
        day: UtcDay,
    ) -> Result<Result<&mut OpenPage, String>, sqlx::Error> {
        if !self.pages.contains_key(account) {
            let page = load(tx, account).await?;
            self.pages.insert(account.to_owned(), page);
        }
        let open = match self.pages.get_mut(account) {
            Some(Ok(open)) => open,
            Some(Err(why)) => return Ok(Err(why.clone())),
            None => return Ok(Err(format!("there is no account {account:?}"))),
        };
        if open.days.insert(day) {
            let spent = sqlx::query_as(
                "SELECT spent_carry, spent_picopax FROM day_totals WHERE account = ?1 AND utc_day = ?2",
            );
            let spent: Option<(i64, i64)> =
                spent.bind(account).bind(day.to_string()).fetch_optional(&mut **tx).await?;
            if let Some((carry, picopax)) = spent {
                open.page.days.insert(day, Sum::of_columns(carry, picopax));
            }
        }
        Ok(Ok(open))
    }
}

async fn load(
    tx: &mut Transaction<'_, Sqlite>,
    account: &str,
) -> Result<Result<OpenPage, String>, sqlx::Error> {
    let row = sqlx::query(
        "SELECT account_seq, head_hash, balance_carry, balance_picopax FROM accounts WHERE name = ?1",
    );
    let Some(row) = row.bind(account).fetch_optional(&mut **tx).await? else {
        return Ok(Err(format!("there is no account {account:?}")));
    };
    let Ok(head) = row.try_get::<String, _>(1)?.parse::<Digest>() else {
        return Ok(Err(format!("the chain of account {account:?} is damaged: run `pax-ledger replay`")));
    };
    let balance = Sum::of_columns(row.try_get(2)?, row.try_get(3)?);
    let page = Page { account_seq: row.try_get(0)?, head, balance, days: Default::default() };
    Ok(Ok(OpenPage { page, days: HashSet::new(), touched: false }))
}

async fn find(
    tx: &mut Transaction<'_, Sqlite>,
    exchange_id: &ExchangeId,
) -> Result<Option<(Vec<u8>, i64)>, sqlx::Error> {
    let found = sqlx::query_as("SELECT canonical, account_seq FROM credit_ledger WHERE exchange_id = ?1");
    found.bind(exchange_id.to_string()).fetch_optional(&mut **tx).await
}

async fn insert(
    tx: &mut Transaction<'_, Sqlite>,
    received: &Received,
    link: &Link,
) -> Result<(), sqlx::Error> {
    let mut query = sqlx::query(&INSERT);
    for column in &received.columns {
        query = match column {
            Value::Null | Value::Alien => query.bind(None::<i64>),
            Value::Int(number) => query.bind(number),
            Value::Text(text) => query.bind(text),
        };
    }
    query
        .bind(&received.canonical)
        .bind(link.account_seq)
        .bind(link.prev_hash.to_string())
        .bind(link.entry_hash.to_string())
        .bind(to_ms(link.recorded_at))
        .execute(&mut **tx)
        .await?;
    Ok(())
}

async fn save(tx: &mut Transaction<'_, Sqlite>, account: &str, page: &Page) -> Result<(), sqlx::Error> {
    let (carry, picopax) = page.balance.columns();
    sqlx::query(
        "UPDATE accounts SET account_seq = ?2, head_hash = ?3, balance_carry = ?4, balance_picopax = ?5 \
         WHERE name = ?1",
    )
    .bind(account)
    .bind(page.account_seq)
    .bind(page.head.to_string())
    .bind(carry)
    .bind(picopax)
    .execute(&mut **tx)
    .await?;
    for (day, spent) in &page.days {
        let (carry, picopax) = spent.columns();
        sqlx::query(
            "INSERT INTO day_totals (account, utc_day, spent_carry, spent_picopax) VALUES (?1, ?2, ?3, ?4) \
             ON CONFLICT (account, utc_day) DO UPDATE \
             SET spent_carry = excluded.spent_carry, spent_picopax = excluded.spent_picopax",
        )
        .bind(account)
        .bind(day.to_string())
        .bind(carry)
        .bind(picopax)
        .execute(&mut **tx)
        .await?;
    }
    Ok(())
}

async fn quarantine(
    tx: &mut Transaction<'_, Sqlite>,
    line: &Rejected,
    outcome: DebitOutcome,
    now: Moment,
) -> Result<DebitReply, sqlx::Error> {
    let reason = if outcome == DebitOutcome::Conflict { "conflict" } else { "rejected" };
    let exchange_id = line.exchange_id.map(|id| id.to_string());
    sqlx::query(
        "INSERT INTO quarantine (exchange_id, reason, message, bytes, received_at, sha256) \
         SELECT ?1, ?2, ?3, ?4, ?5, ?6 \
         WHERE NOT EXISTS (SELECT 1 FROM quarantine WHERE sha256 = ?6 AND reason = ?2)",
    )
    .bind(&exchange_id)
    .bind(reason)
    .bind(&line.why)
    .bind(&line.bytes)
    .bind(to_ms(now))
    .bind(line.sha256.to_string())
    .execute(&mut **tx)
    .await?;
    let message = Some(line.why.clone());
    let exchange_id = exchange_id.unwrap_or_default();
    Ok(DebitReply { exchange_id, outcome, account_seq: None, standing: None, message })
}

/// The account's standing from its page, on a day whose total the page knows.
fn standing(page: &Page, utc_day: UtcDay, epoch: u64) -> Option<Standing> {
    let account_seq = u64::try_from(page.account_seq).ok()?;
    let spent_pax = page.days.get(&utc_day).copied().unwrap_or_default().nearest();
    Some(Standing { utc_day, spent_pax, account_seq, epoch })
}

fn reply(
    exchange_id: &ExchangeId,
    outcome: DebitOutcome,
    account_seq: i64,
    standing: Option<Standing>,
) -> DebitReply {
    let account_seq = u64::try_from(account_seq).ok();
    DebitReply { exchange_id: exchange_id.to_string(), outcome, account_seq, standing, message: None }
}
