//! Checks the operator log: its chain, each row's columns, that each row follows from the one before it on the same
//! subject, and that accounts and tokens are as the log left them. An account or a token that was made before the log
//! began may have no rows.

use serde_json::{Value as Json, json};

use super::{Replay, Subject};
use crate::book::{
    About, AccountState, BATCH_CORRECTIONS, Made, OperatorWalk, StoredRow, TokenState, batch_sha256,
    differing,
};
use crate::error::Error;
use crate::store::{LoggedRow, Snapshot};

const PAGE_ROWS: u32 = 500;

impl Replay<'_> {
    pub(super) async fn operator_log(&mut self, snapshot: &mut Snapshot) -> Result<(), Error> {
        let mut walk = OperatorWalk::default();
        let mut after = i64::MIN;
        loop {
            let page = snapshot.operator_rows(after, PAGE_ROWS).await?;
            let Some(last) = page.last() else { break };
            after = last.row.seq;
            for logged in &page {
                for what in walk.step(&logged.row) {
                    self.differs(named(&logged.row), what);
                }
                self.follows(logged);
                self.has_its_entry(snapshot, &logged.row).await?;
                self.has_its_corrections(snapshot, &logged.row).await?;
                self.has_its_charge(snapshot, &logged.row).await?;
                if logged.is_last {
                    self.is_so_still(snapshot, &logged.row).await?;
                }
            }
        }
        self.operator_head(snapshot.operator_head().await?, &walk);
        Ok(())
    }

    /// Whether the entry is there that an action has made.
    async fn has_its_entry(&mut self, snapshot: &mut Snapshot, row: &StoredRow) -> Result<(), Error> {
        let makes_entry = matches!(row.text("action"), Some("grant" | "correct" | "recover"));
        if let Some(key) = row.text("key").filter(|_| makes_entry)
            && !snapshot.has_entry_of_key(key).await?
        {
            self.differs(named(row), format!("its entry, which has the key {key:?}, is gone"));
        }
        Ok(())
    }

    /// Whether the entry is there of a call that an operator has charged.
    async fn has_its_charge(&mut self, snapshot: &mut Snapshot, row: &StoredRow) -> Result<(), Error> {
        let exchange = row.text("subject").and_then(|subject| subject.strip_prefix("hold:"));
        if let (Some("hold_charge"), Some(exchange)) = (row.text("action"), exchange)
            && !snapshot.has_entry_of_exchange(exchange).await?
        {
            self.differs(
                named(row),
                format!("the entry of exchange {exchange}, which it has charged, is gone"),
            );
        }
        Ok(())
    }

    /// Whether the corrections are there that a batch has made, to the letter.
    async fn has_its_corrections(&mut self, snapshot: &mut Snapshot, row: &StoredRow) -> Result<(), Error> {
        let (Some("reprice"), Some(key)) = (row.text("action"), row.text("key")) else { return Ok(()) };
        let most = u32::try_from(BATCH_CORRECTIONS).unwrap_or(u32::MAX).saturating_add(1);
        let made = snapshot.made_by_batch(key, most).await?;
        let changes: Vec<_> = made
            .iter()
            .filter_map(|canonical| match Made::read(canonical) {
                Ok(Made::Correction(correction)) => Some(correction.change()),
                _ => None,
            })
            .collect();
        let after = json_of(row.text("after"));
        let (count, sha256) = (json!(changes.len()), json!(batch_sha256(changes.iter())));
        if after["corrections"] != count || after["sha256"] != sha256 {
            let what = format!(
                "it made {} corrections with the hash {}, but the entries whose keys begin with {key:?} are {count}, with \
                 the hash {sha256}",
                after["corrections"], after["sha256"]
            );
            self.differs(named(row), what);
        }
        Ok(())
    }

    fn operator_head(&mut self, head: Option<(i64, String, i64)>, walk: &OperatorWalk) {
        let what = match head {
            None => "the head of the operator log is gone".to_owned(),
            Some((seq, ..)) if seq != walk.seq => format!(
                "the head of the operator log is number {seq}, but the last row found is number {}: rows or the head were \
                 changed",
                walk.seq
            ),
            Some((_, hash, _)) if hash != walk.stored && hash != walk.computed => {
                format!(
                    "the hash of the operator log's head is {hash}, but its last row's is {}",
                    walk.stored
                )
            }
            Some((.., at)) if at != walk.at => {
                format!(
                    "the operator log's head is of {at}, but its last row is of {} (milliseconds)",
                    walk.at
                )
            }
            Some(_) => return,
        };
        self.differs(Subject::Database, what);
    }

    /// Whether a row's `before` is the `after` of the row before it on the same subject.
    fn follows(&mut self, logged: &LoggedRow) {
        let LoggedRow { row, previous: Some((earlier, after)), .. } = logged else { return };
        if matches!(About::of(row.text("subject").unwrap_or_default()), About::Event(_)) {
            return;
        }
        let (before, after) = (json_of(row.text("before")), json_of(Some(after.as_str())));
        if before.is_null() != after.is_null() {
            let what = format!("its before is {before}, but row {earlier} left {after}");
            self.differs(named(row), what);
        }
        for (field, before, after) in differing(&before, &after) {
            let what = format!("its before has {field} {before}, but row {earlier} left {after}");
            self.differs(named(row), what);
        }
    }

    /// Whether an account or a token is as the last row on it left it.
    async fn is_so_still(&mut self, snapshot: &mut Snapshot, row: &StoredRow) -> Result<(), Error> {
        let seq = row.seq;
        let (subject, found) = match About::of(row.text("subject").unwrap_or_default()) {
            About::Account(name) => {
                let state = snapshot.account(name).await?.as_ref().map(AccountState::from);
                let state = state.map(|state| {
                    let mut found = json!(state);
                    // A row that has closed it is compared also if it is open again.
                    found["closed_at"] = json!(state.closed_at);
                    found
                });
                (Subject::Account(name.to_owned()), state)
            }
            About::Token(token_id) => {
                let state = snapshot.token(token_id).await?.as_ref().map(TokenState::from);
                (Subject::Token(token_id.to_owned()), state.map(|state| json!(state)))
            }
            About::Event(_) => return Ok(()),
        };
        let Some(found) = found else {
            let what = format!("is not there, but the operator log's last row on it is number {seq}");
            self.differs(subject, what);
            return Ok(());
        };
        for (field, left, found) in differing(&json_of(row.text("after")), &found) {
            let what = format!("its {field} is {found}, but row {seq} of the operator log left {left}");
            self.differs(subject.clone(), what);
        }
        Ok(())
    }
}

fn named(row: &StoredRow) -> Subject {
    Subject::OperatorRow { seq: row.seq, action: row.text("action").unwrap_or_default().to_owned() }
}

/// JSON of a column; null also for a text that is none, which the walk has named.
fn json_of(text: Option<&str>) -> Json {
    text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}
