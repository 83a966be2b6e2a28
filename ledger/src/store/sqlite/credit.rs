//! Grants and corrections: actions of operators that make entries.

use pax_gateway::base::clock::Moment;
use pax_gateway::base::pax::Pax;
use pax_gateway::debit::frozen::Debit;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::desk::Desk;
use super::operator_log::{Acting, Begun, Done};
use super::statements::Statements;
use super::{Store, failed, with_rusqlite};
use crate::book::made::{BETTER, Correction, Grant, Made, PAYOUT};
use crate::book::{About, Act, Posting, debt};
use crate::error::Error;
use crate::store::{Acted, Corrected, Corrects, Granted, MadeAgain, NewGrant, Settled, ToCorrect};

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
        let granted =
            acting.at_desk(act.at(), |desk| Ok(enter(desk, &made)?.map(|(seq, pax)| (made, seq, pax))));
        let (made, account_seq, balance_pax) = granted.await?.map_err(nothing_is_done)?;
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
        let settled = acting.at_desk(act.at(), |desk| {
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
        let made = acting.at_desk(act.at(), |desk| {
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
        let done = acting.at_desk(recorded_at, |desk| match fits(desk, made)? {
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
        let canonical =
            sqlx::query_scalar::<_, Vec<u8>>("SELECT canonical FROM credit_ledger WHERE entry_key = ?1");
        let canonical = canonical.bind(key).fetch_optional(&self.pool).await;
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
    /// Works at the book's desk, in this action's transaction. `now` is when entries are recorded: the log's own clock
    /// never goes back, but a clock that was wrong once must not end lots for ever.
    pub(super) async fn at_desk<T>(
        &mut self,
        now: Moment,
        work: impl FnOnce(&mut Desk<'_>) -> Result<T, rusqlite::Error>,
    ) -> Result<T, Error> {
        with_rusqlite(&mut self.tx, |connection| {
            let mut desk = Desk::new(Statements::prepare(connection)?, now);
            let done = work(&mut desk)?;
            desk.save()?;
            Ok(done)
        })
        .await
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

/// Makes an entry; gives its number in the account, and the account's balance after it.
fn enter(desk: &mut Desk<'_>, made: &Made) -> Result<Result<(i64, Pax), String>, rusqlite::Error> {
    if let Made::Grant(grant) = made {
        if let Some(why) = grant.refused() {
            return Ok(Err(why));
        }
        if desk.open(&grant.account, desk.now.day())?.is_ok() && desk.closed_by(&grant.account).is_some() {
            return Ok(Err(format!("account {} is closed: it takes no credit", grant.account)));
        }
    }
    let link = desk.make(made)?;
    let balance = desk.balance(made.account());
    Ok(link.map(|link| (link.account_seq, balance)))
}

/// What is corrected, and what it cost or granted after all corrections so far; of a call the better report too, if one
/// came.
enum Base {
    Call(Box<Debit>, Option<Box<Debit>>, Pax),
    Grant(Box<Grant>, Pax),
}

fn base(desk: &Desk<'_>, what: &Corrects) -> Result<Result<Base, String>, rusqlite::Error> {
    let name = what.name();
    let Some(found) = desk.statements.corrected(what)? else {
        return Ok(Err(match what {
            Corrects::Call(_) => {
                format!(
                    "there is no call {name:?}; `pax-ledger entries` lists them, and --grant names a grant"
                )
            }
            Corrects::Grant(_) => format!("there is no grant {name:?}; `pax-ledger entries` lists them"),
        }));
    };
    let unreadable = || format!("{name:?} or its last correction cannot be read: run `pax-ledger replay`");
    let (Ok(last), Ok(better)) = (found.last_amount(), found.better_debit()) else {
        return Ok(Err(unreadable()));
    };
    Ok(match what {
        Corrects::Call(_) => Debit::from_canonical(&found.original).map_err(|_| unreadable()).map(|debit| {
            let was = last.unwrap_or(debit.cost_pax);
            Base::Call(Box::new(debit), better.map(Box::new), was)
        }),
        Corrects::Grant(_) => match Made::read(&found.original) {
            Ok(Made::Grant(grant)) => {
                let was = last.unwrap_or(grant.amount_pax);
                Ok(Base::Grant(Box::new(grant), was))
            }
            _ => Err(unreadable()),
        },
    })
}

/// The correction that is asked for.
fn correction(
    desk: &Desk<'_>,
    act: &Act,
    asked: &ToCorrect,
) -> Result<Result<Correction, String>, rusqlite::Error> {
    let made = base(desk, &asked.what)?.and_then(|base| {
        let mut correction = match &base {
            Base::Call(debit, better, was) => {
                let now = asked.amount.of_call(better.as_ref().unwrap_or(debit))?;
                Correction::of_debit(act.key(), debit, (*was, now), act.at())
            }
            Base::Grant(grant, was) => {
                let now = asked.amount.of_grant(grant, act.at())?;
                Correction::of_grant(act.key(), grant, (*was, now), act.at())
            }
        };
        if correction.was_pax == correction.now_pax {
            return Err(format!("{:?} is {} PAX already", correction.corrects, correction.now_pax));
        }
        correction.repriced_under = asked.amount.card();
        correction.by = act.by().to_owned();
        correction.reason = act.reason().unwrap_or_default().to_owned();
        Ok(correction)
    });
    Ok(made)
}

/// Why an entry of another file does not follow from what is here. None if it does.
fn fits(desk: &Desk<'_>, made: &Made) -> Result<Option<String>, rusqlite::Error> {
    let Made::Correction(correction) = made else { return Ok(None) };
    Ok(match base(desk, &Corrects::of(correction))? {
        Err(why) => Some(why),
        Ok(base) => {
            let (account, was) = match &base {
                Base::Call(debit, _, was) => (&debit.account, *was),
                Base::Grant(grant, was) => (&grant.account, *was),
            };
            let fits = *account == correction.account && was == correction.was_pax;
            (!fits).then(|| {
                format!(
                    "it makes {:?} {} PAX instead of {}, but here it is {was}",
                    correction.corrects, correction.now_pax, correction.was_pax
                )
            })
        }
    })
}
