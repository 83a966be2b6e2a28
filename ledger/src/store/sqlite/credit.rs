//! Grants and corrections: actions of operators that make entries.

use pax_gateway::base::clock::Moment;
use pax_gateway::base::pax::Pax;
use pax_gateway::debit::frozen::Debit;
use rusqlite::Connection;
use serde::de::DeserializeOwned;
use serde_json::json;
use sqlx::SqliteConnection;

use super::desk::Desk;
use super::operator_log::{Acting, Begun, Done};
use super::statements::Statements;
use super::{Store, failed};
use crate::book::made::{Correction, Made};
use crate::book::{About, Act};
use crate::error::Error;
use crate::store::{Acted, Corrected, Granted, NewGrant, ToCorrect};

/// Keys that begin like this are those of expiries, which the ledger makes itself.
const EXPIRIES: &str = "expiry/";

impl Store {
    /// Gives an account credit.
    ///
    /// # Errors
    /// As of every action ([`Store::begin_act`]), and if there is no such account or the grant cannot be.
    pub async fn grant(&self, act: &Act, asked: &NewGrant) -> Result<Acted<Granted>, Error> {
        let mut acting = match self.begin_entry(act, "grant", &json!(asked)).await? {
            Begun::First(acting) => acting,
            Begun::Again(acted) => return Ok(acted),
        };
        let grant = asked.grant(act, acting.at);
        if let Some(why) = grant.refused() {
            return Err(Error::Operator(format!("nothing is granted: {why}")));
        }
        let made = Made::Grant(grant);
        let (account_seq, balance_pax) = acting.make(&made).await?;
        let subject = format!("grant:{}", act.key());
        let after = json!({"account": asked.account, "amount_pax": asked.amount_pax});
        let done =
            Done { about: About::Event(&subject), account: Some(&asked.account), before: json!(null), after };
        acting.finish(done, Granted { account_seq, balance_pax }).await
    }

    /// Corrects what a call cost, or what was granted.
    ///
    /// # Errors
    /// As of every action ([`Store::begin_act`]), and if there is nothing of this name, or it cannot be corrected so.
    pub async fn correct(&self, act: &Act, asked: &ToCorrect) -> Result<Acted<Corrected>, Error> {
        let arguments = json!({"corrects": asked.corrects, "amount": asked.amount.argument()});
        let mut acting = match self.begin_entry(act, "correct", &arguments).await? {
            Begun::First(acting) => acting,
            Begun::Again(acted) => return Ok(acted),
        };
        let mut correction = acting.correction(asked).await?;
        correction.by = act.by().to_owned();
        correction.reason = act.reason().unwrap_or_default().to_owned();
        let (was_pax, now_pax) = (correction.was_pax, correction.now_pax);
        let account = correction.account.clone();
        let (account_seq, balance_pax) = acting.make(&Made::Correction(Box::new(correction))).await?;
        let subject = format!("entry:{}", asked.corrects);
        let done = Done {
            about: About::Event(&subject),
            account: Some(&account),
            before: json!({"amount_pax": was_pax}),
            after: json!({"amount_pax": now_pax}),
        };
        let corrected = Corrected { account: account.clone(), account_seq, was_pax, now_pax, balance_pax };
        acting.finish(done, corrected).await
    }

    async fn begin_entry<'a, Reply: DeserializeOwned>(
        &self,
        act: &'a Act,
        action: &'static str,
        arguments: &serde_json::Value,
    ) -> Result<Begun<'a, Reply>, Error> {
        if act.key().starts_with(EXPIRIES) {
            return Err(Error::Operator(format!(
                "nothing is done: keys that begin with {EXPIRIES:?} are the ledger's own; use another --key"
            )));
        }
        if act.reason().is_none() {
            return Err(Error::Operator(
                "nothing is done: an entry says why it was made, so say --reason TEXT".to_owned(),
            ));
        }
        self.begin_act(act, action, arguments).await
    }
}

impl Acting<'_> {
    /// Makes an entry; gives its number in the account, and the account's balance after it.
    async fn make(&mut self, made: &Made) -> Result<(i64, Pax), Error> {
        let (at, account) = (self.at, made.account());
        let made = self.at_desk(at, |desk| {
            let link = desk.make(made)?;
            let balance = desk.balance(account);
            Ok(link.map(|link| (link.account_seq, balance)))
        });
        made.await?.map_err(|why| Error::Operator(format!("nothing is done: {why}")))
    }

    /// Works at the book's desk, in this action's transaction.
    async fn at_desk<T>(
        &mut self,
        now: Moment,
        work: impl FnOnce(&mut Desk<'_>) -> Result<T, rusqlite::Error>,
    ) -> Result<T, Error> {
        let writing = failed("wrote an entry");
        let mut locked = self.tx.lock_handle().await.map_err(&writing)?;
        // SAFETY: the handle is that of an open connection, which nobody else uses while it is locked, and the
        // borrowed `Connection` does not close it. Both crates link the same SQLite.
        let connection = unsafe { Connection::from_handle(locked.as_raw_handle().as_ptr()) };
        let connection = connection.map_err(failed("wrote an entry"))?;
        let at_desk = || {
            let mut desk = Desk::new(Statements::prepare(&connection)?, now);
            let done = work(&mut desk)?;
            desk.save()?;
            Ok::<_, rusqlite::Error>(done)
        };
        at_desk().map_err(failed("wrote an entry"))
    }

    /// The correction that is asked for.
    async fn correction(&mut self, asked: &ToCorrect) -> Result<Correction, Error> {
        let refused = |why: String| Error::Operator(format!("nothing is corrected: {why}"));
        let corrects = &asked.corrects;
        let found =
            corrected(&mut self.tx, corrects).await.map_err(failed("looked for what is corrected"))?;
        let Some((original, last)) = found else {
            return Err(refused(format!(
                "there is neither a call nor a grant {corrects:?}; `pax-ledger entries` lists both"
            )));
        };
        let last = last.and_then(|last| match Made::read(&last) {
            Ok(Made::Correction(last)) => Some(last.now_pax),
            _ => None,
        });
        let key = self.act.key().to_owned();
        let correction = match (Debit::from_canonical(&original), Made::read(&original)) {
            (Ok(debit), _) => {
                let now_pax = asked.amount.of_call(&debit).map_err(refused)?;
                let mut correction =
                    Correction::of_debit(&key, &debit, (last.unwrap_or(debit.cost_pax), now_pax), self.at);
                correction.repriced_under = asked.amount.card();
                correction
            }
            (_, Ok(Made::Grant(grant))) => {
                let now_pax = asked.amount.of_grant(&grant, self.at).map_err(refused)?;
                Correction::of_grant(&key, &grant, (last.unwrap_or(grant.amount_pax), now_pax), self.at)
            }
            _ => return Err(refused(format!("{corrects:?} cannot be read: run `pax-ledger replay`"))),
        };
        if correction.was_pax == correction.now_pax {
            return Err(refused(format!("{corrects:?} is {} PAX already", correction.now_pax)));
        }
        Ok(correction)
    }
}

/// The canonical bytes of the call or the grant of this name, and those of its last correction.
async fn corrected(
    tx: &mut SqliteConnection,
    corrects: &str,
) -> Result<Option<(Vec<u8>, Option<Vec<u8>>)>, sqlx::Error> {
    let original = sqlx::query_scalar(
        "SELECT canonical FROM credit_ledger WHERE exchange_id = ?1 OR (entry_key = ?1 AND kind = 'grant')",
    );
    let Some(original) = original.bind(corrects).fetch_optional(&mut *tx).await? else { return Ok(None) };
    let last = sqlx::query_scalar(
        "SELECT canonical FROM credit_ledger WHERE corrects = ?1 ORDER BY account_seq DESC LIMIT 1",
    );
    Ok(Some((original, last.bind(corrects).fetch_optional(tx).await?)))
}
