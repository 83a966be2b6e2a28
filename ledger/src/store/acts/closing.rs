//! Closes accounts, for good: no hold, no grant and no token any more, and what is left of the balance is paid out by an
//! entry, once no open hold needs it. The account stays, so its name is never used again.

use pax_gateway::base::account::Status;
use pax_gateway::base::clock::Moment;
use serde_json::json;

use super::credit::nothing_is_done;
use super::operator_log::{Begun, Done};
use crate::book::{AccountState, Act};
use crate::error::Error;
use crate::store::sql::Ask;
use crate::store::{Acted, Closed, Snapshot, Store, failed};

impl Store {
    /// Closes an account. None if there is no account of that name.
    ///
    /// # Errors
    /// As of every action ([`Store::begin_act`]), and if the account is closed already.
    pub async fn close_account(&self, act: &Act, name: &str) -> Result<Option<Acted<Closed>>, Error> {
        let mut acting = match self.begin_entry(act, "account_close", &json!({"account": name})).await? {
            Begun::First(acting) => acting,
            Begun::Again(acted) => return Ok(Some(acted)),
        };
        let Some(before) = acting.open_account(name).await? else { return Ok(None) };
        let closed = acting.at_desk(|desk| {
            let now = desk.now;
            desk.books.close(name, act.key(), now)?;
            if let Err(why) = desk.expire(name)? {
                return Ok(Err(why));
            }
            let paid_out = desk.pay_out(name)?;
            Ok(paid_out.map(|paid_out_pax| {
                let (balance_pax, held_pax) = (desk.balance(name), desk.held(name));
                (now, Closed { paid_out_pax, balance_pax, held_pax })
            }))
        });
        // By the database's clock, if it has one.
        let (closed_at, closed) = closed.await?.map_err(nothing_is_done)?;
        let after = AccountState { status: Status::Disabled, closed_at: Some(closed_at), ..before };
        acting.finish(Done::to_account(name, Some(before), after), closed).await.map(Some)
    }
}

impl Snapshot {
    /// Whether the operator log has the row of the action that has closed an account.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn was_closed(&mut self, account: &str, key: &str) -> Result<bool, Error> {
        let sql = "SELECT EXISTS (SELECT 1 FROM operator_log \
            WHERE key = ?1 AND action = 'account_close' AND subject = 'account:' || ?2)";
        let found = Ask::new(sql).bind(key).bind(account).scalar(&mut self.tx).await;
        found.map_err(failed("looked into the operator log"))
    }
}

/// What is said to who wants to do something to a closed account.
pub(super) fn is_closed(account: &str, at: Moment) -> String {
    format!(
        "account {account} is closed since {at}, for good; its name is never used again, so create another one"
    )
}
