//! Holds that an operator ends: one that is voided, and one whose call is charged though nobody reported what it cost.

use pax_gateway::base::exchange_id::ExchangeId;
use serde_json::json;

use super::credit::nothing_is_done;
use super::operator_log::{Begun, Done};
use crate::book::{self, About, Act};
use crate::error::Error;
use crate::store::{Acted, HoldEnded, HoldRow, HoldState, Store};

impl Store {
    /// Ends a hold that is open, or says of one that has expired that its call is not to be charged.
    ///
    /// # Errors
    /// As of every action ([`Store::begin_act`]), and if there is no such hold, or its call has an entry.
    pub async fn void_hold(&self, act: &Act, exchange: ExchangeId) -> Result<Acted<HoldEnded>, Error> {
        let name = exchange.to_string();
        let mut acting = match self.begin_act(act, "hold_void", &json!({"exchange": name})).await? {
            Begun::First(acting) => acting,
            Begun::Again(acted) => return Ok(acted),
        };
        let voided = acting.at_desk(|desk| {
            let row = match found(desk.books.hold(&exchange)?, &name) {
                Ok(row) => row,
                Err(why) => return Ok(Err(why)),
            };
            let voided = desk.not_charged(&row)?;
            Ok(if voided { Ok(row) } else { Err(ended_already(&name, row.state)) })
        });
        let row = voided.await?.map_err(nothing_is_done)?;
        let ended = HoldEnded { account: row.account.clone(), amount_pax: row.held_pax };
        let after = json!({"state": HoldState::Voided.name()});
        acting.finish(done(&row, &format!("hold:{name}"), after), ended).await
    }

    /// Charges the call of a hold that has expired: the debit that was kept for that becomes its entry. If the true debit
    /// comes later, it corrects the entry.
    ///
    /// # Errors
    /// As of every action ([`Store::begin_act`]), and if there is no such hold, or it has not expired.
    pub async fn charge_hold(&self, act: &Act, exchange: ExchangeId) -> Result<Acted<HoldEnded>, Error> {
        let name = exchange.to_string();
        let mut acting = match self.begin_entry(act, "hold_charge", &json!({"exchange": name})).await? {
            Begun::First(acting) => acting,
            Begun::Again(acted) => return Ok(acted),
        };
        let charged = acting.at_desk(|desk| {
            let row = match found(desk.books.hold(&exchange)?, &name) {
                Ok(row) => row,
                Err(why) => return Ok(Err(why)),
            };
            let lost = match (row.state, &row.lost) {
                (HoldState::Expired, Some(lost)) => book::read(lost),
                (HoldState::Open | HoldState::Expired, _) => {
                    return Ok(Err(format!(
                        "the hold of {name:?} is open: its call may still be under way. It expires 60 s after its \
                         Envoy was last heard; then charge it, or void it"
                    )));
                }
                (ended, _) => return Ok(Err(ended_already(&name, ended))),
            };
            let Ok(lost) = lost else {
                return Ok(Err(format!("what the hold of {name:?} keeps cannot be read: run replay")));
            };
            Ok(desk.post(&lost, None)?.map(|_| (row, lost.debit.cost_pax)))
        });
        let (row, cost) = charged.await?.map_err(nothing_is_done)?;
        let ended = HoldEnded { account: row.account.clone(), amount_pax: cost };
        let after = json!({"state": HoldState::Charged.name(), "cost_pax": cost});
        acting.finish(done(&row, &format!("hold:{name}"), after), ended).await
    }
}

fn done<'a>(row: &'a HoldRow, subject: &'a str, after: serde_json::Value) -> Done<'a> {
    Done {
        about: About::Event(subject),
        account: Some(&row.account),
        before: json!({"state": row.state.name(), "held_pax": row.held_pax}),
        after,
    }
}

fn found(row: Option<HoldRow>, exchange: &str) -> Result<HoldRow, String> {
    row.ok_or_else(|| {
        format!("there is no hold of {exchange:?}; `pax-ledger holds list` lists those that are open or have expired")
    })
}

fn ended_already(exchange: &str, state: HoldState) -> String {
    match state {
        HoldState::Voided => {
            format!("the hold of {exchange:?} is voided already, and its call is not charged")
        }
        _ => format!(
            "the call of {exchange:?} has an entry; `pax-ledger explain {exchange}` shows it, and `correct` changes it"
        ),
    }
}
