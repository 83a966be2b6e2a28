//! Many calls priced again at once: the plan, and the run, one transaction for each batch.
//!
//! Plan and run find a batch's corrections by the same look-up ([`next_batch`]), and the run compares the hash of what it
//! finds with the plan's before it makes an entry. A correction that the run has made already, under its key, stays in
//! the plan as it was: so the plan of an interrupted run is the one with which it began.

use pax_gateway::base::clock::Moment;
use pax_gateway::debit::frozen::Debit;
use serde_json::json;

use super::credit::nothing_is_done;
use super::operator_log::{Begun, Done};
use crate::book::made::{Correction, Made, better_key, repriced};
use crate::book::{About, Act, BATCH_CORRECTIONS, Change, PlanId, batch_name, batch_sha256};
use crate::error::Error;
use crate::store::desk::{Answer, Desk};
use crate::store::postgres::Wanted;
use crate::store::repricing::{
    BatchDone, Changes, LeftOut, Place, Plan, Planned, PlannedBatch, Repricing, SHOWN,
};
use crate::store::sql::{Ask, Tx};
use crate::store::{Acted, Corrects, Store, failed, to_ms};

impl Store {
    /// What a repricing would do to the calls that were recorded until a moment. With the operator's key it is the plan
    /// of the run with that key, however far that has come.
    ///
    /// # Errors
    /// If the store fails, or an entry cannot be read.
    pub async fn plan(&self, repricing: &Repricing, until: Moment, key: Option<&str>) -> Result<Plan, Error> {
        // One snapshot, which does not hinder those who write.
        let mut tx = self.pool.begin_to_read().await.map_err(failed("made a plan"))?;
        plan(&mut tx, repricing, until, key).await
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
        // The calls are looked for before the action begins, since that may take long; each is looked at again when it is
        // corrected.
        let is_known = self.knows_act(act.key()).await?;
        let found = if is_known { Vec::new() } else { self.batch(&act, repricing, plan, planned).await? };
        let begun = self.begin_entry(&act, "reprice", &repricing.argument(&plan.id)).await?;
        let mut acting = match begun {
            Begun::First(acting) => acting,
            Begun::Again(acted) => return Ok(acted),
        };
        let to_make: Vec<_> = found.into_iter().filter(|(planned, _)| !planned.is_done).collect();
        let mut wanted = Wanted::default();
        for (planned, debit) in &to_make {
            wanted.debit(debit);
            wanted.corrected(&Corrects::Call(planned.change.corrects.clone()));
        }
        let made = acting.at_desk_with(None, wanted, |desk| {
            let mut made = Vec::new();
            for (planned, debit) in &to_make {
                if let Err(why) = correct(desk, &act, repricing, planned, debit)? {
                    return Ok(Err(why));
                }
                made.push(planned.change.clone());
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

impl Store {
    /// The corrections of a batch, which are those of the plan.
    async fn batch(
        &self,
        act: &Act,
        repricing: &Repricing,
        plan: &Plan,
        planned: &PlannedBatch,
    ) -> Result<Vec<(Planned, Debit)>, Error> {
        let mut tx =
            self.pool.begin_to_read().await.map_err(failed("looked for calls to be priced again"))?;
        let run = (act.key(), plan.id.until);
        let (found, _) = next_batch(&mut tx, repricing, run, &planned.after).await?;
        if batch_sha256(found.iter().map(|(planned, _)| &planned.change)) != planned.sha256 {
            return Err(nothing_is_done(CHANGED.to_owned()));
        }
        Ok(found)
    }
}

const CHANGED: &str = "the calls of this batch are not as the plan has them: somebody has corrected one meanwhile. Make \
    a new plan with --dry-run and another key; what this run has done so far is left out of it";

async fn plan(tx: &mut Tx, repricing: &Repricing, until: Moment, key: Option<&str>) -> Result<Plan, Error> {
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
        let (found, left_out) = next_batch(tx, repricing, (&batch_key, until), &after).await?;
        plan.left_out.corrected += left_out.corrected;
        plan.left_out.same += left_out.same;
        plan.left_out.unpriced += left_out.unpriced;
        let Some(last) = found.last().map(|(last, _)| last.place.clone()) else { break };
        let sha256 = batch_sha256(found.iter().map(|(planned, _)| &planned.change));
        plan.batches.push(PlannedBatch { after: std::mem::replace(&mut after, last), sha256 });
        for (planned, _) in found {
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
    Ok(plan)
}

/// The corrections of the batch that comes after a place, each with its call, and what was left out on the way. `run` is
/// the key of the batch, and the moment until which calls were recorded.
async fn next_batch(
    tx: &mut Tx,
    repricing: &Repricing,
    (batch_key, until): (&str, Moment),
    after: &Place,
) -> Result<(Vec<(Planned, Debit)>, LeftOut), Error> {
    let looking = failed("looked for calls to be priced again");
    let (mut found, mut left_out, mut after) = (Vec::new(), LeftOut::default(), after.clone());
    while found.len() < BATCH_CORRECTIONS {
        let calls = selection(repricing, (batch_key, until), &after).all(&mut *tx).await.map_err(&looking)?;
        if calls.is_empty() {
            break;
        }
        for row in &calls {
            let call = Call {
                place: Place {
                    account: row.try_get(0).map_err(&looking)?,
                    account_seq: row.try_get(1).map_err(&looking)?,
                },
                canonical: row.try_get(2).map_err(&looking)?,
                done: row.try_get(3).map_err(&looking)?,
                last: row.try_get(4).map_err(&looking)?,
                better: row.try_get(5).map_err(&looking)?,
            };
            after = call.place.clone();
            let Ok(debit) = Debit::from_canonical(&call.canonical) else {
                let Place { account, account_seq } = call.place;
                return Err(nothing_is_done(format!(
                    "entry {account_seq} of account {account} cannot be read: run replay"
                )));
            };
            match change(repricing, &call, &debit).map_err(nothing_is_done)? {
                Found::Change(change, is_done) => {
                    let model = debit.model.clone();
                    found.push((Planned { place: call.place, model, change, is_done }, debit));
                    if found.len() == BATCH_CORRECTIONS {
                        break;
                    }
                }
                Found::Corrected => left_out.corrected += 1,
                Found::Same => left_out.same += 1,
                Found::Unpriced => left_out.unpriced += 1,
                Found::Other => {}
            }
        }
    }
    Ok((found, left_out))
}

/// How many calls are looked at at once.
const PAGE: u32 = 500;

/// A call that may belong to a repricing, with the corrections of it that decide.
struct Call {
    place: Place,
    canonical: Vec<u8>,
    /// What the run has made of it already.
    done: Option<Vec<u8>>,
    /// Its last correction.
    last: Option<Vec<u8>>,
    /// The correction that embeds its better report.
    better: Option<Vec<u8>>,
}

/// The question for the calls after a place that may belong to a repricing. Which card has priced a corrected call is in
/// its last correction.
fn selection(repricing: &Repricing, (batch_key, until): (&str, Moment), after: &Place) -> Ask {
    // The plus keeps SQLite from walking along the account's chain.
    let mut ask = Ask::new(
        "SELECT account, account_seq, canonical, \
         (SELECT canonical FROM credit_ledger AS done WHERE done.entry_key = ?1 || '/' || entry.exchange_id), \
         (SELECT canonical FROM credit_ledger AS later WHERE later.corrects = entry.exchange_id \
         AND later.tier IS NOT NULL ORDER BY +later.account_seq DESC LIMIT 1), \
         (SELECT canonical FROM credit_ledger AS better WHERE better.entry_key = ?2 || entry.exchange_id) \
         FROM credit_ledger AS entry WHERE kind = 'debit' \
         AND funding = 'platform' AND recorded_at <= ?3 AND (account, account_seq) > (?4, ?5) \
         AND (card_sha256 = ?6 OR exchange_id IN (SELECT corrects FROM credit_ledger WHERE corrects IS NOT NULL))",
    )
    .bind(batch_key)
    .bind(better_key(""))
    .bind(to_ms(until))
    .bind(&after.account)
    .bind(after.account_seq)
    .bind(repricing.priced_under.sha256.to_string());
    let conditions = [
        (" AND account = ", repricing.account.clone()),
        (" AND model = ", repricing.model.clone()),
        (" AND utc_day >= ", repricing.since.map(|day| day.to_string())),
        (" AND utc_day <= ", repricing.until.map(|day| day.to_string())),
    ];
    for (condition, value) in conditions {
        if let Some(value) = value {
            ask.push(condition).push_bind(value);
        }
    }
    ask.push(" ORDER BY account, account_seq LIMIT ").push_bind(PAGE);
    ask
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

fn change(repricing: &Repricing, call: &Call, debit: &Debit) -> Result<Found, String> {
    let exchange = debit.exchange_id.to_string();
    let change = |was_pax, now_pax| Change { corrects: exchange.clone(), was_pax, now_pax };
    let unreadable = || format!("a correction of {exchange:?} cannot be read: run replay");
    let read = |canonical: &Option<Vec<u8>>| match canonical.as_deref().map(Made::read) {
        None => Ok(None),
        Some(Ok(Made::Correction(correction))) => Ok(Some(correction)),
        Some(_) => Err(unreadable()),
    };
    match read(&call.done)? {
        None => {}
        Some(done) if done.corrects == exchange => {
            return Ok(Found::Change(change(done.was_pax, done.now_pax), true));
        }
        Some(_) => return Err(unreadable()),
    }
    let last = read(&call.last)?;
    let card = match &last {
        Some(last) if last.better.is_none() => last.repriced_under,
        _ => Some(debit.card_sha256),
    };
    if card != Some(repricing.priced_under.sha256) {
        let is_of_the_card = debit.card_sha256 == repricing.priced_under.sha256;
        return Ok(if card.is_none() && is_of_the_card { Found::Corrected } else { Found::Other });
    }
    let was = last.as_ref().map_or(debit.cost_pax, |last| last.now_pax);
    let better =
        read(&call.better)?.and_then(|it| it.better_debit()).transpose().map_err(|_| unreadable())?;
    Ok(match repriced(better.as_ref().unwrap_or(debit), &repricing.reprice_as) {
        Err(_) => Found::Unpriced,
        Ok(cost) if cost == was => Found::Same,
        Ok(cost) => Found::Change(change(was, cost), false),
    })
}

/// Makes a correction of a plan, unless somebody else has corrected the call meanwhile.
fn correct(
    desk: &mut Desk<'_>,
    act: &Act,
    repricing: &Repricing,
    planned: &Planned,
    debit: &Debit,
) -> Answer<Result<(), String>> {
    let Change { corrects, was_pax, now_pax } = &planned.change;
    let now = desk.books.corrected(&Corrects::Call(corrects.clone()))?;
    let last = now.and_then(|now| now.last_amount().ok()).map(|last| last.unwrap_or(debit.cost_pax));
    if last != Some(*was_pax) {
        return Ok(Err(CHANGED.to_owned()));
    }
    // A recovered correction is an action of its own, so its key has to be one that an action can have.
    let key = match act.of_many(corrects) {
        Ok(each) => each.key().to_owned(),
        Err(why) => return Ok(Err(why)),
    };
    let mut correction = Correction::of_debit(&key, debit, (*was_pax, *now_pax), act.at());
    correction.repriced_under = Some(repricing.reprice_as.sha256);
    correction.by = act.by().to_owned();
    correction.reason = act.reason().unwrap_or_default().to_owned();
    Ok(desk.make(&Made::Correction(Box::new(correction)))?.map(|_| ()))
}
