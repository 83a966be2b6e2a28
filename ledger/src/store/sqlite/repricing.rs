//! Many calls priced again at once: the plan, and the run, one transaction for each batch.
//!
//! Plan and run find a batch's corrections by the same look-up ([`next_batch`]), and the run compares the hash of what it
//! finds with the plan's before it makes an entry. A correction that the run has made already, under its key, stays in
//! the plan as it was: so the plan of an interrupted run is the one with which it began.

use pax_gateway::base::clock::Moment;
use pax_gateway::debit::frozen::Debit;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, params_from_iter};
use serde_json::json;

use super::admin::to_ms;
use super::credit::nothing_is_done;
use super::operator_log::{Begun, Done};
use super::{Store, failed, with_rusqlite};
use crate::book::made::{Correction, Made, better_key, repriced};
use crate::book::{About, Act, BATCH_CORRECTIONS, Change, PlanId, batch_name, batch_sha256};
use crate::error::Error;
use crate::store::Acted;
use crate::store::repricing::{
    BatchDone, Changes, LeftOut, Place, Plan, Planned, PlannedBatch, Repricing, SHOWN,
};

impl Store {
    /// What a repricing would do to the calls that were recorded until a moment. With the operator's key it is the plan
    /// of the run with that key, however far that has come.
    ///
    /// # Errors
    /// If the store fails, or an entry cannot be read.
    pub async fn plan(&self, repricing: &Repricing, until: Moment, key: Option<&str>) -> Result<Plan, Error> {
        // One snapshot, which does not hinder those who write.
        let mut tx = self.pool.begin().await.map_err(failed("made a plan"))?;
        let plan = with_rusqlite(&mut tx, |connection| plan(connection, repricing, until, key)).await?;
        plan.map_err(nothing_is_done)
    }

    /// Makes the corrections of a batch of a plan, numbered from 0, in one transaction with its row of the operator
    /// log. The batch's key is the act's, a slash and [`batch_name`].
    ///
    /// # Errors
    /// As of every action ([`Store::begin_act`]), and if the batch is not what the plan says.
    pub async fn reprice(
        &self,
        act: &Act,
        repricing: &Repricing,
        plan: &Plan,
        batch: usize,
    ) -> Result<Acted<BatchDone>, Error> {
        let Some(planned) = plan.batches.get(batch) else {
            return Err(nothing_is_done(format!("the plan has no batch {batch}")));
        };
        let act = act.of_many(&batch_name(batch.saturating_add(1))).map_err(Error::Operator)?;
        let begun = self.begin_entry(&act, "reprice", &repricing.argument(&plan.id)).await?;
        let mut acting = match begun {
            Begun::First(acting) => acting,
            Begun::Again(acted) => return Ok(acted),
        };
        let made = acting.at_desk(act.at(), |desk| {
            let run = (act.key(), plan.id.until);
            let found = match next_batch(desk.statements.connection(), repricing, run, &planned.after)? {
                Ok((found, _)) => found,
                Err(why) => return Ok(Err(why)),
            };
            if batch_sha256(found.iter().map(|it| &it.change)) != planned.sha256 {
                return Ok(Err(CHANGED.to_owned()));
            }
            let mut made = Vec::new();
            for planned in found.into_iter().filter(|planned| !planned.is_done) {
                let correction = match correction(desk.statements.connection(), &act, repricing, &planned)? {
                    Ok(correction) => correction,
                    Err(why) => return Ok(Err(why)),
                };
                if let Err(why) = desk.make(&Made::Correction(Box::new(correction)))? {
                    return Ok(Err(why));
                }
                made.push(planned.change);
            }
            Ok(Ok(made))
        });
        let made = made.await?.map_err(nothing_is_done)?;
        let mut changes = Changes::default();
        made.iter().for_each(|change| changes.add(change));
        let done = Done {
            about: About::Event(&format!("plan:{}", plan.id)),
            account: repricing.account.as_deref(),
            before: json!({"cost_pax": changes.was}),
            after: json!({
                "cost_pax": changes.now, "corrections": made.len(), "sha256": batch_sha256(made.iter()),
            }),
        };
        acting.finish(done, BatchDone { corrections: made.len() }).await
    }
}

const CHANGED: &str = "the calls of this batch are not as the plan has them: somebody has corrected one meanwhile. Make \
    a new plan with --dry-run and another key; what this run has done so far is left out of it";

fn plan(
    connection: &Connection,
    repricing: &Repricing,
    until: Moment,
    key: Option<&str>,
) -> Result<Result<Plan, String>, rusqlite::Error> {
    let mut plan = Plan {
        id: PlanId::new(until, repricing.reprice_as.sha256, std::iter::empty()),
        batches: Vec::new(),
        all: Changes::default(),
        done: 0,
        by_account: Default::default(),
        by_model: Default::default(),
        first: Vec::new(),
        left_out: LeftOut::default(),
    };
    let mut after = Place::default();
    loop {
        let number = plan.batches.len().saturating_add(1);
        let batch_key = key.map(|key| format!("{key}/{}", batch_name(number))).unwrap_or_default();
        let (found, left_out) = match next_batch(connection, repricing, (&batch_key, until), &after)? {
            Ok(found) => found,
            Err(why) => return Ok(Err(why)),
        };
        plan.left_out.corrected += left_out.corrected;
        plan.left_out.same += left_out.same;
        plan.left_out.unpriced += left_out.unpriced;
        let Some(last) = found.last().map(|last| last.place.clone()) else { break };
        let sha256 = batch_sha256(found.iter().map(|planned| &planned.change));
        plan.batches.push(PlannedBatch { after: std::mem::replace(&mut after, last), sha256 });
        for planned in found {
            plan.all.add(&planned.change);
            plan.done += u64::from(planned.is_done);
            plan.by_account.entry(planned.place.account.clone()).or_default().add(&planned.change);
            plan.by_model.entry(planned.model.clone()).or_default().add(&planned.change);
            if plan.first.len() < SHOWN {
                plan.first.push(planned);
            }
        }
    }
    let batches = plan.batches.iter().map(|batch| batch.sha256);
    plan.id = PlanId::new(until, repricing.reprice_as.sha256, batches);
    Ok(Ok(plan))
}

/// The corrections of the batch that comes after a place, and what was left out on the way. `run` is the key of the
/// batch, and the moment until which calls were recorded.
fn next_batch(
    connection: &Connection,
    repricing: &Repricing,
    (batch_key, until): (&str, Moment),
    after: &Place,
) -> Result<Result<(Vec<Planned>, LeftOut), String>, rusqlite::Error> {
    let (mut found, mut left_out) = (Vec::new(), LeftOut::default());
    let (sql, values) = selection(repricing, until, after);
    let mut calls = connection.prepare_cached(&sql)?;
    let mut calls = calls.query(params_from_iter(values))?;
    while found.len() < BATCH_CORRECTIONS
        && let Some(row) = calls.next()?
    {
        let place = Place { account: row.get(0)?, account_seq: row.get(1)? };
        let canonical = row.get_ref(2)?.as_blob()?;
        let Ok(debit) = Debit::from_canonical(canonical) else {
            let Place { account, account_seq } = place;
            return Ok(Err(format!("entry {account_seq} of account {account} cannot be read: run replay")));
        };
        match change(connection, repricing, batch_key, &debit)? {
            Ok(Found::Change(change, is_done)) => {
                found.push(Planned { place, model: debit.model, change, is_done });
            }
            Ok(Found::Corrected) => left_out.corrected += 1,
            Ok(Found::Same) => left_out.same += 1,
            Ok(Found::Unpriced) => left_out.unpriced += 1,
            Ok(Found::Other) => {}
            Err(why) => return Ok(Err(why)),
        }
    }
    Ok(Ok((found, left_out)))
}

/// The query for the calls after a place that may belong to a repricing: account, number and canonical bytes. Which
/// card has priced a corrected call is in its last correction.
fn selection(repricing: &Repricing, until: Moment, after: &Place) -> (String, Vec<Value>) {
    let mut sql = "SELECT account, account_seq, canonical FROM credit_ledger WHERE kind = 'debit' \
        AND funding = 'platform' AND recorded_at <= ? AND (account, account_seq) > (?, ?) \
        AND (card_sha256 = ? OR exchange_id IN (SELECT corrects FROM credit_ledger WHERE corrects IS NOT NULL))"
        .to_owned();
    let mut values: Vec<Value> = vec![
        to_ms(until).into(),
        after.account.clone().into(),
        after.account_seq.into(),
        repricing.priced_under.sha256.to_string().into(),
    ];
    let conditions = [
        (" AND account = ?", repricing.account.clone()),
        (" AND model = ?", repricing.model.clone()),
        (" AND utc_day >= ?", repricing.since.map(|day| day.to_string())),
        (" AND utc_day <= ?", repricing.until.map(|day| day.to_string())),
    ];
    for (condition, value) in conditions {
        if let Some(value) = value {
            sql.push_str(condition);
            values.push(value.into());
        }
    }
    sql.push_str(" ORDER BY account, account_seq");
    (sql, values)
}

/// What a repricing makes of a call.
enum Found {
    /// It is corrected so; true if the run has done it already.
    Change(Change, bool),
    /// An operator has corrected it.
    Corrected,
    /// It costs the same.
    Same,
    /// It has no price.
    Unpriced,
    /// Another card has priced it.
    Other,
}

fn change(
    connection: &Connection,
    repricing: &Repricing,
    batch_key: &str,
    debit: &Debit,
) -> Result<Result<Found, String>, rusqlite::Error> {
    let exchange = debit.exchange_id.to_string();
    let change = |was_pax, now_pax| Change { corrects: exchange.clone(), was_pax, now_pax };
    let unreadable = || Ok(Err(format!("a correction of {exchange:?} cannot be read: run replay")));
    let of_key = "SELECT canonical FROM credit_ledger WHERE entry_key = ?1";
    match read(connection, of_key, &entry_key(batch_key, &exchange))? {
        None => {}
        Some(Ok(Made::Correction(done))) if done.corrects == exchange => {
            return Ok(Ok(Found::Change(change(done.was_pax, done.now_pax), true)));
        }
        Some(_) => return unreadable(),
    }
    // The plus keeps SQLite from walking along the account's chain.
    let last = "SELECT canonical FROM credit_ledger WHERE corrects = ?1 AND tier IS NOT NULL \
        ORDER BY +account_seq DESC LIMIT 1";
    let last = match read(connection, last, &exchange)? {
        None => None,
        Some(Ok(Made::Correction(last))) => Some(last),
        Some(_) => return unreadable(),
    };
    let card = match &last {
        Some(last) if last.better.is_none() => last.repriced_under,
        _ => Some(debit.card_sha256),
    };
    if card != Some(repricing.priced_under.sha256) {
        let is_of_the_card = debit.card_sha256 == repricing.priced_under.sha256;
        return Ok(Ok(if card.is_none() && is_of_the_card { Found::Corrected } else { Found::Other }));
    }
    let was = last.as_ref().map_or(debit.cost_pax, |last| last.now_pax);
    let better = match read(connection, of_key, &better_key(&exchange))? {
        None => None,
        Some(Ok(Made::Correction(it))) => match it.better_debit().transpose() {
            Ok(better) => better,
            Err(_) => return unreadable(),
        },
        Some(_) => return unreadable(),
    };
    Ok(Ok(match repriced(better.as_ref().unwrap_or(debit), &repricing.reprice_as) {
        Err(_) => Found::Unpriced,
        Ok(cost) if cost == was => Found::Same,
        Ok(cost) => Found::Change(change(was, cost), false),
    }))
}

/// The entry that a query finds by a text.
fn read(
    connection: &Connection,
    sql: &str,
    name: &str,
) -> Result<Option<Result<Made, String>>, rusqlite::Error> {
    let canonical = connection.prepare_cached(sql)?.query_row([name], |row| row.get::<_, Vec<u8>>(0));
    Ok(canonical.optional()?.map(|canonical| Made::read(&canonical)))
}

/// The key of a correction that a batch makes, as [`Act::of_many`] makes it.
fn entry_key(batch_key: &str, exchange: &str) -> String {
    format!("{batch_key}/{exchange}")
}

/// The entry for a correction of a plan.
fn correction(
    connection: &Connection,
    act: &Act,
    repricing: &Repricing,
    planned: &Planned,
) -> Result<Result<Correction, String>, rusqlite::Error> {
    let sql = "SELECT canonical FROM credit_ledger WHERE exchange_id = ?1";
    let corrects = &planned.change.corrects;
    let canonical: Vec<u8> = connection.prepare_cached(sql)?.query_row([corrects], |row| row.get(0))?;
    let Change { was_pax, now_pax, .. } = planned.change;
    // A recovered correction is an action of its own, so its key has to be one that an action can have.
    let key = match act.of_many(corrects) {
        Ok(each) => each.key().to_owned(),
        Err(why) => return Ok(Err(why)),
    };
    Ok(Debit::from_canonical(&canonical).map_err(|bad| bad.to_string()).map(|debit| {
        let mut correction = Correction::of_debit(&key, &debit, (was_pax, now_pax), act.at());
        correction.repriced_under = Some(repricing.reprice_as.sha256);
        correction.by = act.by().to_owned();
        correction.reason = act.reason().unwrap_or_default().to_owned();
        correction
    }))
}
