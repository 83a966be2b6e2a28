//! Grants and corrections: actions of operators that make entries.

use pax_gateway::base::clock::Moment;
use pax_gateway::base::pax::Pax;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::operator_log::{Acting, Begun, Done};
use crate::book::made::{BETTER, Correction, Made, PAYOUT};
use crate::book::{About, Act, Posting, debt};
use crate::error::Error;
use crate::store::desk::{Answer, Desk, correction, enter, fits};
use crate::store::postgres::{self, Wanted};
use crate::store::sql::{Ask, Tx};
use crate::store::sqlite;
use crate::store::{Acted, Corrected, Granted, MadeAgain, NewGrant, Settled, Store, ToCorrect, failed};

/// Keys that begin like this are those of entries which the ledger makes itself.
const OWN_KEYS: [&str; 3] = ["expiry/", PAYOUT, BETTER];

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
        let made = Made::Grant(asked.grant(act, act.at()));
        let granted = acting.at_desk(|desk| enter(desk, &made));
        let (account_seq, balance_pax) = granted.await?.map_err(nothing_is_done)?;
        acting.finish_entry(&made, Granted { account_seq, balance_pax }).await
    }

    /// Grants an account what it lacks to zero by then. Nothing is granted if it lacks nothing any more.
    ///
    /// # Errors
    /// As of every action ([`Store::begin_act`]), and if the grant cannot be.
    pub async fn grant_to_zero(&self, act: &Act, account: &str) -> Result<Acted<Settled>, Error> {
        let arguments = json!({"account": account, "to_zero": true});
        let mut acting = match self.begin_entry(act, "grant", &arguments).await? {
            Begun::First(acting) => acting,
            Begun::Again(acted) => return Ok(acted),
        };
        let settled = acting.at_desk(|desk| {
            let amount_pax = match desk.open(account, desk.now.day())? {
                Ok(open) => debt(open.page.balance),
                Err(why) => return Ok(Err(why)),
            };
            let asked = NewGrant::goodwill(account, amount_pax);
            let made = Made::Grant(asked.grant(act, act.at()));
            let entered = if amount_pax > Pax::ZERO { enter(desk, &made)?.map(|_| ()) } else { Ok(()) };
            Ok(entered.map(|()| (made, Settled { amount_pax })))
        });
        let (made, settled) = settled.await?.map_err(nothing_is_done)?;
        if settled.amount_pax == Pax::ZERO {
            return Ok(Acted::new(settled));
        }
        acting.finish_entry(&made, settled).await
    }

    /// Corrects what a call cost, or what was granted.
    ///
    /// # Errors
    /// As of every action ([`Store::begin_act`]), and if there is nothing of this name, or it cannot be corrected so.
    pub async fn correct(&self, act: &Act, asked: &ToCorrect) -> Result<Acted<Corrected>, Error> {
        let arguments = json!({"corrects": asked.what, "amount": asked.amount.argument()});
        let mut acting = match self.begin_entry(act, "correct", &arguments).await? {
            Begun::First(acting) => acting,
            Begun::Again(acted) => return Ok(acted),
        };
        let made = acting.at_desk(|desk| {
            let correction = match correction(desk, act, asked)? {
                Ok(correction) => correction,
                Err(why) => return Ok(Err(why)),
            };
            let made = Made::Correction(Box::new(correction.clone()));
            Ok(enter(desk, &made)?.map(|(seq, balance)| (correction, seq, balance)))
        });
        let (correction, account_seq, balance_pax) = made.await?.map_err(nothing_is_done)?;
        let Correction { was_pax, now_pax, .. } = correction;
        let account = correction.account.clone();
        let corrected = Corrected { account, account_seq, was_pax, now_pax, balance_pax };
        acting.finish_entry(&Made::Correction(Box::new(correction)), corrected).await
    }

    /// Enters a grant or a correction again that another file of this ledger has, at the moment at which it was recorded
    /// there, and with what its posting says of holds.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn make_again(
        &self,
        act: &Act,
        made: &Made,
        recorded_at: Moment,
        posting: Option<&Posting>,
    ) -> Result<MadeAgain, Error> {
        let begun = self.begin_act::<()>(act, "recover", &json!({"key": made.key()})).await;
        let mut acting = match begun {
            Ok(Begun::First(acting)) => acting,
            Ok(Begun::Again(_)) => return Ok(MadeAgain::Known),
            // The key has a row of another action: the one that made the entry, if the entry is here.
            Err(Error::Conflict(why)) => {
                let known = self.entry_of_key(made.key()).await?;
                let is_known = known.is_some_and(|known| known.is_same(made));
                return Ok(if is_known { MadeAgain::Known } else { MadeAgain::Refused(why) });
            }
            Err(error) => return Err(error),
        };
        let done =
            acting.at_desk_with(Some(recorded_at), Wanted::default(), |desk| match fits(desk, made)? {
                Some(why) => Ok(Err(why)),
                None => {
                    desk.held_then = posting.map(|posting| posting.held_pax).unwrap_or_default();
                    enter(desk, made)
                }
            });
        match done.await? {
            Ok(_) => acting.finish_entry(made, ()).await.map(|_| MadeAgain::Recorded),
            Err(why) => Ok(MadeAgain::Refused(why)),
        }
    }

    async fn entry_of_key(&self, key: &str) -> Result<Option<Made>, Error> {
        let canonical = Ask::new("SELECT canonical FROM credit_ledger WHERE entry_key = ?1");
        let canonical = canonical.bind(key).scalar_optional::<Vec<u8>>(&self.pool).await;
        Ok(canonical.map_err(failed("looked for an entry"))?.and_then(|bytes| Made::read(&bytes).ok()))
    }

    pub(super) async fn begin_entry<'a, Reply: DeserializeOwned>(
        &self,
        act: &'a Act,
        action: &'static str,
        arguments: &serde_json::Value,
    ) -> Result<Begun<'a, Reply>, Error> {
        if let Some(own) = OWN_KEYS.into_iter().find(|own| act.key().starts_with(own)) {
            return Err(nothing_is_done(format!(
                "keys that begin with {own:?} are the ledger's own; use another --key"
            )));
        }
        if act.reason().is_none() {
            return Err(nothing_is_done("an entry says why it was made, so say --reason TEXT".to_owned()));
        }
        self.begin_act(act, action, arguments).await
    }
}

pub(super) fn nothing_is_done(why: String) -> Error {
    Error::Operator(format!("nothing is done: {why}"))
}

impl Acting<'_> {
    /// Works at the book's desk, in this action's transaction. Entries are recorded at the act's moment, or by the database's
    /// clock if it has one, and not at that of the log's row: the log's clock never goes back, but a clock that was wrong
    /// once must not end lots for ever.
    pub(super) async fn at_desk<T>(
        &mut self,
        work: impl FnMut(&mut Desk<'_>) -> Answer<T>,
    ) -> Result<T, Error> {
        self.at_desk_with(None, Wanted::default(), work).await
    }

    /// The same. `again` is when the entries were recorded that another file of this ledger has. `wanted` names what the
    /// work will ask for: what it leaves out is read once the work has asked for it.
    pub(super) async fn at_desk_with<T>(
        &mut self,
        again: Option<Moment>,
        wanted: Wanted,
        mut work: impl FnMut(&mut Desk<'_>) -> Answer<T>,
    ) -> Result<T, Error> {
        match &mut self.tx {
            Tx::Sqlite(tx) => sqlite::at_desk(tx, again.unwrap_or(self.act.at()), work).await,
            Tx::Postgres(tx) => {
                let now = again.or(self.is_time_given.then_some(self.act.at()));
                let worked = postgres::at_desk(tx, (wanted, now), &mut work).await;
                worked.map_err(failed("worked on entries"))
            }
        }
    }

    /// Writes the row of an action that has made an entry.
    async fn finish_entry<Reply: serde::Serialize>(
        self,
        made: &Made,
        reply: Reply,
    ) -> Result<Acted<Reply>, Error> {
        let (subject, before, after) = match made {
            Made::Grant(grant) => (format!("grant:{}", grant.key), json!(null), grant.amount_pax),
            Made::Correction(correction) => {
                let kind = if correction.debit.is_some() { "exchange" } else { "grant" };
                let was = json!({"amount_pax": correction.was_pax});
                (format!("{kind}:{}", correction.corrects), was, correction.now_pax)
            }
            Made::Expiry(expiry) => (format!("grant:{}", expiry.grant), json!(null), expiry.amount_pax),
            Made::Payout(payout) => (format!("payout:{}", payout.key), json!(null), payout.amount_pax),
        };
        let after = json!({"amount_pax": after});
        let done = Done { about: About::Event(&subject), account: Some(made.account()), before, after };
        self.finish(done, reply).await
    }
}
