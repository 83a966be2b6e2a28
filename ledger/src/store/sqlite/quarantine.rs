//! The quarantine, for operators: its lines, and the marks of lines that were looked at. The lines never
//! change; a mark is a row of another table.

use serde_json::{Value as Json, json};
use sqlx::sqlite::{Sqlite, SqliteRow};
use sqlx::{QueryBuilder, Row};

use super::admin::{from_ms, to_ms};
use super::operator_log::{Begun, Done};
use super::{Snapshot, Store, failed, text};
use crate::book::{About, Act};
use crate::error::Error;
use crate::store::{Acted, Marked, Quarantined, QuarantinedLine, Seen};

/// The quarantine's lines with their marks. A line's number is its row's: rows are never deleted, so numbers
/// follow the order in which lines came.
const LINES: &str = "quarantine LEFT JOIN quarantine_seen ON quarantine_seen.sha256 = quarantine.sha256 \
    AND quarantine_seen.reason = quarantine.reason";

impl Store {
    /// At most `limit` lines of the quarantine after the number `after`, in the order of numbers; with their
    /// bytes if asked for.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn quarantine(
        &self,
        after: i64,
        limit: u32,
        with_bytes: bool,
    ) -> Result<Vec<QuarantinedLine>, Error> {
        let bytes = if with_bytes { "bytes" } else { "NULL" };
        let mut query = QueryBuilder::<Sqlite>::new(format!(
            "SELECT quarantine.rowid, received_at, quarantine.reason, exchange_id, message, quarantine.sha256, \
             {bytes}, seen_at, seen_by, because FROM {LINES} WHERE quarantine.rowid > "
        ));
        query.push_bind(after).push(" ORDER BY quarantine.rowid LIMIT ").push_bind(limit);
        let rows = query.build().fetch_all(&self.pool).await;
        rows.and_then(|rows| rows.iter().map(line).collect()).map_err(failed("listed the quarantine"))
    }

    /// The line in quarantine that names an exchange; if there are several, the newest.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn quarantined_of(&self, exchange: &str) -> Result<Option<QuarantinedLine>, Error> {
        let sql = format!(
            "SELECT quarantine.rowid, received_at, quarantine.reason, exchange_id, message, quarantine.sha256, NULL, \
             seen_at, seen_by, because FROM {LINES} WHERE exchange_id = ?1 ORDER BY quarantine.rowid DESC LIMIT 1"
        );
        let row = sqlx::query(&sql).bind(exchange).fetch_optional(&self.pool).await;
        row.and_then(|row| row.map(|row| line(&row)).transpose())
            .map_err(failed("looked into the quarantine"))
    }

    /// Marks lines of the quarantine as seen: those with these numbers, or all that are there. Lines that were
    /// marked before stay as they were. If one of the numbers has no line, nothing is marked, and that number
    /// is given.
    ///
    /// # Errors
    /// [`Error::Conflict`] if the act's key was used for another request; if the store fails; if the act has no
    /// reason.
    pub async fn mark_seen(
        &self,
        act: &Act,
        numbers: Option<&[i64]>,
    ) -> Result<Result<Acted<Marked>, i64>, Error> {
        let Some(because) = act.reason() else {
            return Err(Error::Operator("a line is marked as seen for a reason: say --reason".to_owned()));
        };
        let mut acting = match self.begin_act(act, "quarantine_seen", &json!({"numbers": numbers})).await? {
            Begun::First(acting) => acting,
            Begun::Again(acted) => return Ok(Ok(acted)),
        };
        let marking = failed("marked quarantined lines as seen");
        let at = to_ms(acting.at);
        let numbers = match numbers {
            Some(numbers) => numbers.to_vec(),
            None => {
                let all = sqlx::query_scalar("SELECT rowid FROM quarantine ORDER BY rowid");
                all.fetch_all(&mut *acting.tx).await.map_err(&marking)?
            }
        };
        let (mut marked, mut lines) = (Marked::default(), Vec::new());
        let line = format!(
            "SELECT seen_at IS NOT NULL, quarantine.sha256, quarantine.reason FROM {LINES} WHERE quarantine.rowid = ?1"
        );
        for number in numbers {
            let line = sqlx::query_as::<_, (bool, String, String)>(&line).bind(number);
            match line.fetch_optional(&mut *acting.tx).await.map_err(&marking)? {
                None => return Ok(Err(number)),
                Some((true, ..)) => marked.known += 1,
                Some((false, sha256, reason)) => {
                    let mark = sqlx::query(
                        "INSERT INTO quarantine_seen (sha256, reason, seen_at, seen_by, because) \
                         VALUES (?1, ?2, ?3, ?4, ?5)",
                    );
                    let mark = mark.bind(&sha256).bind(&reason).bind(at).bind(act.by()).bind(because);
                    mark.execute(&mut *acting.tx).await.map_err(&marking)?;
                    marked.new += 1;
                    lines.push(json!({"reason": reason, "sha256": sha256}));
                }
            }
        }
        let about = About::Event("quarantine");
        let done = Done { about, account: None, before: Json::Null, after: json!({"seen": lines}) };
        acting.finish(done, marked).await.map(Ok)
    }
}

impl Snapshot {
    /// How many lines are in quarantine.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn quarantined(&mut self) -> Result<Quarantined, Error> {
        let counting = failed("counted the quarantine");
        let sql = format!(
            "SELECT count(*) FILTER (WHERE quarantine.reason = 'conflict'), \
             count(*) FILTER (WHERE quarantine.reason = 'rejected'), count(*) FILTER (WHERE seen_at IS NULL) \
             FROM {LINES}"
        );
        let row = sqlx::query_as::<_, (i64, i64, i64)>(&sql);
        let (conflicts, rejected, unseen) = row.fetch_one(&mut *self.tx).await.map_err(counting)?;
        Ok(Quarantined { conflicts, rejected, unseen })
    }

    /// The hashes of lines that were marked as seen, but are not in the quarantine any more.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn seen_and_gone(&mut self) -> Result<Vec<String>, Error> {
        let gone = sqlx::query_scalar(
            "SELECT sha256 FROM quarantine_seen WHERE NOT EXISTS (SELECT 1 FROM quarantine \
             WHERE quarantine.sha256 = quarantine_seen.sha256 AND quarantine.reason = quarantine_seen.reason)",
        );
        gone.fetch_all(&mut *self.tx).await.map_err(failed("looked for quarantined lines that are gone"))
    }
}

fn line(row: &SqliteRow) -> Result<QuarantinedLine, sqlx::Error> {
    let seen_at: Option<i64> = row.try_get(7)?;
    let seen = seen_at.map(|at| Seen { at: from_ms(at), by: text(row, 8), because: text(row, 9) });
    Ok(QuarantinedLine {
        number: row.try_get(0)?,
        received_at: from_ms(row.try_get(1)?),
        reason: text(row, 2),
        exchange_id: row.try_get(3)?,
        message: text(row, 4),
        sha256: text(row, 5),
        bytes: row.try_get(6)?,
        seen,
    })
}
