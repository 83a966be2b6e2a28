//! The quarantine, for operators: its lines, and the marks of lines that were looked at. The lines never
//! change; a mark is a row of another table.

use serde_json::{Value as Json, json};

use super::operator_log::{Begun, Done};
use crate::book::{About, Act};
use crate::error::Error;
use crate::store::sql::{Ask, Row, text};
use crate::store::{
    Acted, Marked, Quarantined, QuarantinedLine, Seen, Snapshot, Store, failed, from_ms, to_ms,
};

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
        let mut query = Ask::new(format!(
            "SELECT quarantine.rowid, received_at, quarantine.reason, exchange_id, message, quarantine.sha256, \
             {bytes}, seen_at, seen_by, because FROM {LINES} WHERE quarantine.rowid > "
        ));
        query.push_bind(after).push(" ORDER BY quarantine.rowid LIMIT ").push_bind(limit);
        let rows = query.all(&self.pool).await;
        rows.and_then(|rows| rows.iter().map(line).collect()).map_err(failed("listed the quarantine"))
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
                let all = Ask::new("SELECT rowid FROM quarantine ORDER BY rowid");
                all.scalars(&mut acting.tx).await.map_err(&marking)?
            }
        };
        let (mut marked, mut lines) = (Marked::default(), Vec::new());
        let line = format!(
            "SELECT seen_at IS NOT NULL, quarantine.sha256, quarantine.reason FROM {LINES} WHERE quarantine.rowid = ?1"
        );
        for number in numbers {
            let Some(line) = Ask::new(&line).bind(number).optional(&mut acting.tx).await.map_err(&marking)?
            else {
                return Ok(Err(number));
            };
            let (sha256, reason) = (text(&line, 1), text(&line, 2));
            match line.try_get::<bool>(0).map_err(&marking)? {
                true => marked.known += 1,
                false => {
                    let mark = Ask::new(
                        "INSERT INTO quarantine_seen (sha256, reason, seen_at, seen_by, because) \
                         VALUES (?1, ?2, ?3, ?4, ?5)",
                    );
                    let mark = mark.bind(&sha256).bind(&reason).bind(at).bind(act.by()).bind(because);
                    mark.run(&mut acting.tx).await.map_err(&marking)?;
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
    /// The line in quarantine that names an exchange; if there are several, the newest.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn quarantined_of(&mut self, exchange: &str) -> Result<Option<QuarantinedLine>, Error> {
        let sql = format!(
            "SELECT quarantine.rowid, received_at, quarantine.reason, exchange_id, message, quarantine.sha256, NULL, \
             seen_at, seen_by, because FROM {LINES} WHERE exchange_id = ?1 ORDER BY quarantine.rowid DESC LIMIT 1"
        );
        let row = Ask::new(&sql).bind(exchange).optional(&mut self.tx).await;
        row.and_then(|row| row.map(|row| line(&row)).transpose())
            .map_err(failed("looked into the quarantine"))
    }

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
        let row = Ask::new(sql).one(&mut self.tx).await;
        let counted = |row: Row| -> Result<Quarantined, sqlx::Error> {
            Ok(Quarantined { conflicts: row.try_get(0)?, rejected: row.try_get(1)?, unseen: row.try_get(2)? })
        };
        row.and_then(counted).map_err(counting)
    }

    /// The hashes of lines that were marked as seen, but are not in the quarantine any more.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn seen_and_gone(&mut self) -> Result<Vec<String>, Error> {
        let gone = Ask::new(
            "SELECT sha256 FROM quarantine_seen WHERE NOT EXISTS (SELECT 1 FROM quarantine \
             WHERE quarantine.sha256 = quarantine_seen.sha256 AND quarantine.reason = quarantine_seen.reason)",
        );
        gone.scalars(&mut self.tx).await.map_err(failed("looked for quarantined lines that are gone"))
    }
}

fn line(row: &Row) -> Result<QuarantinedLine, sqlx::Error> {
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
