//! Actions of operators: each is one transaction, with its row of the operator log.

use std::time::Instant;

use pax_gateway::base::clock::Moment;
use pax_gateway::base::digest::Digest;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use crate::book::{
    self, About, Act, OPERATOR_CANON_V, OPERATOR_COLUMNS, StoredRow, request_sha256, row_hash,
};
use crate::error::Error;
use crate::store::postgres::{PATIENCE, is_for_another};
use crate::store::sql::{Arg, Ask, Engine, Row, Tx, text, value};
use crate::store::{Acted, DoneBefore, OperatorFilter, Snapshot, Store, failed, from_ms, to_ms};

/// The last row of the log.
struct Head {
    seq: i64,
    row_hash: String,
    at: i64,
}

/// The row that a key has.
struct Known {
    at: i64,
    by: String,
    action: String,
    subject: String,
    request_sha256: String,
    reply: Option<String>,
}

impl Head {
    fn of(row: &Row) -> Result<Self, sqlx::Error> {
        Ok(Self { seq: row.try_get(0)?, row_hash: row.try_get(1)?, at: row.try_get(2)? })
    }
}

impl Known {
    fn of(row: &Row) -> Result<Self, sqlx::Error> {
        Ok(Self {
            at: row.try_get(0)?,
            by: row.try_get(1)?,
            action: row.try_get(2)?,
            subject: row.try_get(3)?,
            request_sha256: row.try_get(4)?,
            reply: row.try_get(5)?,
        })
    }
}

/// How an action begins.
pub(super) enum Begun<'a, Reply> {
    /// Its key is new: do the work, then [`Acting::finish`].
    First(Acting<'a>),
    /// It was done before.
    Again(Acted<Reply>),
}

/// The open transaction of an action. If it is dropped unfinished, nothing was done.
pub(super) struct Acting<'a> {
    /// Where the work is done.
    pub(super) tx: Tx,
    /// When: the act's moment, or that of the last row if the clock was set back.
    pub(super) at: Moment,
    pub(super) act: &'a Act,
    action: &'static str,
    request_sha256: Digest,
    head: Head,
    /// Whether the time is what the act says, and not what the database's clock says.
    pub(super) is_time_given: bool,
}

/// What an action has done. States are canonical JSON, and no secret may be in them.
pub(super) struct Done<'a> {
    /// To what.
    pub(super) about: About<'a>,
    /// The account that it concerns.
    pub(super) account: Option<&'a str>,
    /// The subject before; null if there was nothing.
    pub(super) before: Json,
    /// The subject after.
    pub(super) after: Json,
}

impl Store {
    /// Begins an action: looks for its key, in the transaction in which the work will be done. `arguments` are all
    /// that decides what the action does; a secret among them may be there as a hash only.
    ///
    /// # Errors
    /// [`Error::Conflict`] if the key was used for another request; if the store fails.
    pub(super) async fn begin_act<'a, Reply: DeserializeOwned>(
        &self,
        act: &'a Act,
        action: &'static str,
        arguments: &Json,
    ) -> Result<Begun<'a, Reply>, Error> {
        let beginning = failed("began an operator's action");
        // Nobody else acts meanwhile, so that of two processes that send one key at once, the second reads the first
        // one's row.
        let (mut tx, head) = self.begin_at_head().await.map_err(&beginning)?;
        let request_sha256 = request_sha256(action, arguments, act.reason());
        let sql = "SELECT at, by, action, subject, request_sha256, reply FROM operator_log WHERE key = ?1";
        let known = Ask::new(sql).bind(act.key()).optional(&mut tx).await.map_err(&beginning)?;
        if let Some(known) = known {
            let known = Known::of(&known).map_err(&beginning)?;
            return again(act, known, &request_sha256).map(Begun::Again);
        }
        let head = head.map(|row| Head::of(&row)).transpose().map_err(&beginning)?;
        let Some(head) = head else {
            return Err(Error::Operator(
                "nothing is done: the head of the operator log is gone; `pax-ledger replay` says what else is".to_owned(),
            ));
        };
        let at = act.at().max(from_ms(head.at));
        let is_time_given = self.pool.is_time_given();
        Ok(Begun::First(Acting { tx, at, act, action, request_sha256, head, is_time_given }))
    }

    /// Begins to write, with the head of the operator log, which nobody else has then. An act that waits for an account
    /// keeps it for a while, so the next one waits for it twice.
    async fn begin_at_head(&self) -> Result<(Tx, Option<Row>), sqlx::Error> {
        let began = Instant::now();
        loop {
            let mut tx = self.pool.begin_to_write().await?;
            let lock = if tx.engine() == Engine::Postgres { " FOR UPDATE" } else { "" };
            let head = Ask::new(format!("SELECT seq, row_hash, at FROM operator_log_head{lock}"));
            match head.optional(&mut tx).await {
                Ok(head) => return Ok((tx, head)),
                Err(error) if is_for_another(&error) && began.elapsed() < PATIENCE => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// At most `limit` rows of the operator log before the number `before`, the newest first.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn operator_rows(
        &self,
        filter: &OperatorFilter,
        before: i64,
        limit: u32,
    ) -> Result<Vec<StoredRow>, Error> {
        let mut query = Ask::new(format!("{} WHERE seq < ", select("")));
        query.push_bind(before);
        if let Some(account) = &filter.account {
            query.push(" AND account = ").push_bind(account);
        }
        if let Some(since) = filter.since {
            query.push(" AND at >= ").push_bind(to_ms(since));
        }
        query.push(" ORDER BY seq DESC LIMIT ").push_bind(limit);
        let rows = query.all(&self.pool).await.map_err(failed("listed the operator log"))?;
        Ok(rows.iter().map(stored_row).collect())
    }
}

impl Store {
    /// Whether an action with this key was done.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn knows_act(&self, key: &str) -> Result<bool, Error> {
        let found = Ask::new("SELECT EXISTS (SELECT 1 FROM operator_log WHERE key = ?1)").bind(key);
        found.scalar(&self.pool).await.map_err(failed("looked into the operator log"))
    }
}

/// The answer to an action whose key has a row.
fn again<Reply: DeserializeOwned>(act: &Act, known: Known, request: &Digest) -> Result<Acted<Reply>, Error> {
    let (at, by) = (from_ms(known.at), known.by);
    if known.request_sha256 != request.to_string() {
        return Err(Error::Conflict(format!(
            "nothing is done: the key {:?} was used at {at} by {by} for another request ({} of {}); use another key",
            act.key(),
            known.action,
            known.subject
        )));
    }
    let reply = serde_json::from_str(known.reply.as_deref().unwrap_or("null"));
    let reply = reply.map_err(failed("read what an action was answered before"))?;
    Ok(Acted { reply, before: Some(DoneBefore { at, by }) })
}

impl Acting<'_> {
    /// Writes the row and commits.
    ///
    /// # Errors
    /// If the store fails: then nothing was done.
    pub(super) async fn finish<Reply: Serialize>(
        mut self,
        done: Done<'_>,
        reply: Reply,
    ) -> Result<Acted<Reply>, Error> {
        let writing = failed("wrote the operator log");
        let row = book::Row {
            canon_v: OPERATOR_CANON_V,
            at: self.at,
            by: self.act.by().to_owned(),
            key: self.act.key().to_owned(),
            action: self.action.to_owned(),
            subject: done.about.subject(),
            account: done.account.map(str::to_owned),
            before: done.before,
            after: done.after,
            reason: self.act.reason().map(str::to_owned),
            request_sha256: self.request_sha256,
            reply: serde_json::to_value(&reply).map_err(failed("wrote the operator log"))?,
        };
        let canonical = row.to_canonical();
        let seq = self.head.seq.saturating_add(1);
        let hash = row_hash(&self.head.row_hash, seq, &canonical).to_string();
        let columns = OPERATOR_COLUMNS.join(", ");
        let mut insert = Ask::new(format!(
            "INSERT INTO operator_log ({columns}, seq, canonical, prev_hash, row_hash) VALUES ("
        ));
        for column in row.columns() {
            let value = match column {
                book::Value::Int(number) => Arg::Int(Some(number)),
                book::Value::Text(text) => Arg::Text(Some(text)),
                book::Value::Null | book::Value::Alien => Arg::Text(None),
            };
            insert.push_bind(value).push(", ");
        }
        insert.push_bind(seq).push(", ").push_bind(canonical).push(", ").push_bind(&self.head.row_hash);
        insert.push(", ").push_bind(&hash).push(")");
        insert.run(&mut self.tx).await.map_err(&writing)?;
        let head = Ask::new("UPDATE operator_log_head SET seq = ?1, row_hash = ?2, at = ?3");
        let head = head.bind(seq).bind(&hash).bind(to_ms(self.at));
        head.run(&mut self.tx).await.map_err(&writing)?;
        self.tx.commit().await.map_err(&writing)?;
        Ok(Acted::new(reply))
    }
}

/// A row of the log, with what a replay compares it with.
#[derive(Clone, Debug)]
pub struct LoggedRow {
    /// The row.
    pub row: StoredRow,
    /// The row before it on the same subject: its number, and the subject after it.
    pub previous: Option<(i64, String)>,
    /// Whether it is the last one on its subject.
    pub is_last: bool,
}

impl Snapshot {
    /// At most `limit` rows of the operator log after the number `after`, in the order of numbers.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn operator_rows(&mut self, after: i64, limit: u32) -> Result<Vec<LoggedRow>, Error> {
        let earlier = "FROM operator_log AS earlier WHERE earlier.subject = operator_log.subject \
            AND earlier.seq < operator_log.seq ORDER BY earlier.seq DESC LIMIT 1";
        let compared = format!(
            ", (SELECT earlier.seq {earlier}), (SELECT coalesce(earlier.after, 'null') {earlier}), NOT EXISTS \
             (SELECT 1 FROM operator_log AS later WHERE later.subject = operator_log.subject \
             AND later.seq > operator_log.seq)"
        );
        let sql =
            format!("{} WHERE operator_log.seq > ?1 ORDER BY operator_log.seq LIMIT ?2", select(&compared));
        let rows = Ask::new(&sql).bind(after).bind(limit).all(&mut self.tx).await;
        Ok(rows.map_err(failed("read the operator log"))?.iter().map(logged_row).collect())
    }

    /// The log's head: the number of the last row, its hash and its time in milliseconds; none if it is gone.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn operator_head(&mut self) -> Result<Option<(i64, String, i64)>, Error> {
        let head = Ask::new("SELECT seq, row_hash, at FROM operator_log_head").optional(&mut self.tx);
        let head = head.await.map_err(failed("read the operator log's head"))?;
        let number = |row: &Row, index| row.try_get(index).unwrap_or_default();
        Ok(head.map(|row| (number(&row, 0), text(&row, 1), number(&row, 2))))
    }
}

/// The query whose rows [`stored_row`] reads, with more columns behind its own.
fn select(more: &str) -> String {
    let columns = OPERATOR_COLUMNS.join(", ");
    format!("SELECT {columns}, seq, canonical, prev_hash, row_hash{more} FROM operator_log")
}

fn stored_row(row: &Row) -> StoredRow {
    let last = OPERATOR_COLUMNS.len();
    StoredRow {
        columns: (0..last).map(|index| value(row, index)).collect(),
        seq: row.try_get(last).unwrap_or_default(),
        canonical: row.try_get(last + 1).unwrap_or_default(),
        prev_hash: text(row, last + 2),
        row_hash: text(row, last + 3),
    }
}

fn logged_row(row: &Row) -> LoggedRow {
    let next = OPERATOR_COLUMNS.len() + 4;
    let seq: Option<i64> = row.try_get(next).unwrap_or_default();
    LoggedRow {
        row: stored_row(row),
        previous: seq.map(|seq| (seq, text(row, next + 1))),
        is_last: row.try_get(next + 2).unwrap_or_default(),
    }
}
