//! Holds at the desk: one is made, posted by its call's debit, voided, or expires. Whatever ends it gives back at once
//! what it has set aside, and a lot that was over and waited for it expires.

use pax_gateway::base::account::{Status, Tier};
use pax_gateway::base::exchange_id::ExchangeId;
use pax_gateway::base::pax::Pax;
use pax_gateway::base::wire::{HoldOutcome, HoldReply, Void};
use pax_gateway::debit::frozen::{Debit, Ending};

use super::{Answer, Desk, Posts};
use crate::book::hold::{Hold, Room, answer, rejected};
use crate::book::{Entry, Link, PostedHold, Posting, Received};
use crate::store::{HoldRow, HoldState};

impl Desk<'_> {
    /// Makes a hold, or tells what is in its way. Nothing is written if it cannot be made, except expiries that are due.
    pub(in crate::store) fn hold(&mut self, hold: &Hold) -> Answer<HoldReply> {
        let debit = &hold.lost.debit;
        if let Some(row) = self.books.hold(&debit.exchange_id)? {
            return self.held_before(&row, hold);
        }
        if self.books.is_closed(&debit.exchange_id)? {
            return Ok(answer(HoldOutcome::Closed));
        }
        if !hold.is_timely(self.now) {
            return Ok(rejected(format!(
                "the exchange's id is of another hour than the ledger's clock, which is at {}: set the clocks of Envoy's \
                 host and of the ledger's",
                self.now
            )));
        }
        // A balance that is over is not lent.
        if let Err(why) = self.expire(&debit.account)? {
            return self.without_page(debit, why);
        }
        let room = match self.room(debit)? {
            Ok(room) => room,
            Err(why) => return self.without_page(debit, why),
        };
        let asked = &hold.asked;
        let reply = room.decide(debit.tier, asked.hold_pax, asked.card_cap_pax);
        if reply.outcome != HoldOutcome::Held {
            return Ok(reply);
        }
        // The column's sum counts holds of both tiers, so only here can it leave the range of an amount.
        if room.day_held.checked_add(asked.hold_pax).is_none() {
            return Ok(rejected("the open holds of the day would be more than an amount can be"));
        }
        self.books.keep_hold(hold, self.now)?;
        let day = (debit.account.as_str(), debit.token_id.as_str(), debit.utc_day);
        self.books.hold_on_day(day, asked.hold_pax.picopax())?;
        self.books.renew_lease(&asked.envoy, self.now)?;
        if debit.tier == Tier::Credit {
            self.set_held(&debit.account, reply.held_pax);
        }
        Ok(reply)
    }

    /// The answer for an account whose page cannot be opened, or whose expiries cannot be posted.
    fn without_page(&mut self, debit: &Debit, why: String) -> Answer<HoldReply> {
        Ok(match self.books.admitting(debit, self.now)? {
            // No token resolves to an account that is not there.
            None => answer(HoldOutcome::UnknownToken),
            Some(_) => rejected(why),
        })
    }

    /// The answer to a hold whose exchange has had one.
    fn held_before(&mut self, row: &HoldRow, hold: &Hold) -> Answer<HoldReply> {
        let Hold { asked, lost } = hold;
        if row.account != lost.debit.account {
            return Ok(rejected("the exchange has a hold of another account"));
        }
        if row.state != HoldState::Open {
            return Ok(answer(HoldOutcome::Closed));
        }
        if row.held_pax != asked.hold_pax || row.lost.as_ref() != Some(&lost.canonical) {
            return Ok(rejected("the exchange has an open hold that differs from this one"));
        }
        // Held it is, whatever has become of the account since: its own amount is part of what is held.
        let figures = self.room(&lost.debit)?.map(|room| {
            let figures = room.decide(row.tier, Pax::ZERO, asked.card_cap_pax);
            HoldReply { outcome: HoldOutcome::Held, ..figures }
        });
        Ok(figures.unwrap_or_else(|_| answer(HoldOutcome::Held)))
    }

    /// What a hold of a debit's account has to fit into.
    fn room(&mut self, debit: &Debit) -> Answer<Result<Room, String>> {
        let now = self.now;
        let page = match self.open(&debit.account, debit.utc_day)? {
            Ok(open) => &open.page,
            Err(why) => return Ok(Err(why)),
        };
        let spent = page.days.get(&debit.utc_day).copied().unwrap_or_default();
        let (balance, held) = (page.balance, page.held);
        let Some(admitting) = self.books.admitting(debit, now)? else {
            return Ok(Err(format!("there is no account {:?}", debit.account)));
        };
        Ok(Ok(Room {
            is_active: admitting.status == Status::Active,
            is_token_good: admitting.is_token_good,
            balance,
            held,
            spent,
            day_held: self.books.held_on(&debit.account, debit.utc_day)?,
            daily_cap: admitting.daily_cap,
        }))
    }

    /// Makes a debit an entry, and ends its exchange's hold if it has one. `again`: the posting that the entry has in
    /// another file of this ledger, which knew how the hold ended.
    pub(in crate::store) fn post(
        &mut self,
        received: &Received,
        again: Option<&Posting>,
    ) -> Answer<Result<Link, String>> {
        let debit = &received.debit;
        let row = self.books.hold(&debit.exchange_id)?;
        if row.as_ref().is_some_and(|row| row.account != debit.account) {
            return Ok(Err("the exchange has a hold of another account".to_owned()));
        }
        let mut posts = Posts {
            hold: row.as_ref().map(|row| PostedHold {
                held_pax: row.held_pax,
                late: row.state != HoldState::Open,
                overrun: debit.cost_pax > row.held_pax,
            }),
            own: row.as_ref().map(HoldRow::from_balance).unwrap_or_default(),
            own_then: Pax::ZERO,
        };
        if let Some(posting) = again {
            self.held_then = posting.held_pax;
            if let Some(hold) = &posting.hold {
                posts.own_then = hold.kept(debit.tier);
                posts.hold = Some(hold.clone());
            }
        }
        let entered = self.enter(Entry::Debit(debit), &received.canonical, &posts);
        self.held_then = Pax::ZERO;
        let entered = entered?;
        if entered.is_ok()
            && let Some(row) = &row
        {
            if row.state == HoldState::Open {
                self.books.give_back_on_day(row)?;
            }
            let state = if debit.ending == Ending::Lost { HoldState::Charged } else { HoldState::Posted };
            self.books.end_hold(row, state, self.now)?;
        }
        Ok(entered)
    }

    /// Expires the hold of an exchange, if it is open.
    pub(in crate::store) fn expire_hold(&mut self, exchange: &ExchangeId) -> Answer<bool> {
        match self.books.hold(exchange)? {
            Some(row) if row.state == HoldState::Open => {
                self.release(&row, HoldState::Expired).map(|()| true)
            }
            _ => Ok(false),
        }
    }

    /// Ends an open hold without a charge.
    pub(in crate::store) fn release(&mut self, row: &HoldRow, state: HoldState) -> Answer<()> {
        self.books.end_hold(row, state, self.now)?;
        self.books.give_back_on_day(row)?;
        if self.open(&row.account, row.utc_day)?.is_ok() {
            let held = self.held(&row.account).checked_sub(row.from_balance());
            self.set_held(&row.account, held.unwrap_or_default().max(Pax::ZERO));
            self.post_due(&row.account)?;
        }
        Ok(())
    }

    /// The call of a hold is not to be charged: an open hold is released, and one that has expired is charged by nobody.
    /// False if the hold has ended otherwise.
    pub(in crate::store) fn not_charged(&mut self, row: &HoldRow) -> Answer<bool> {
        match row.state {
            HoldState::Open => self.release(row, HoldState::Voided)?,
            HoldState::Expired => {
                self.books.end_hold(row, HoldState::Voided, self.now)?;
            }
            HoldState::Posted | HoldState::Voided | HoldState::Charged => return Ok(false),
        }
        Ok(true)
    }

    /// Ends the hold of an exchange without a charge, or sees to it that none can be made. Gives why it cannot be done.
    pub(in crate::store) fn void(&mut self, void: &Void) -> Answer<Result<(), String>> {
        let Void { void: exchange, account } = void;
        match self.books.hold(exchange)? {
            Some(row) if row.account != *account => {
                return Ok(Err("the exchange has a hold of another account".to_owned()));
            }
            Some(row) => {
                if !self.not_charged(&row)? && row.state == HoldState::Charged {
                    tracing::error!(
                        exchange_id = row.exchange_id,
                        "a call was charged as lost, and its Envoy says that it is not to be charged: correct it with \
                         `pax-ledger correct EXCHANGE --to 0`"
                    );
                }
            }
            None => return self.bury(exchange, account),
        }
        Ok(Ok(()))
    }

    fn bury(&mut self, exchange: &ExchangeId, account: &str) -> Answer<Result<(), String>> {
        if let Err(why) = self.open(account, self.now.day())? {
            return Ok(Err(why));
        }
        self.books.bury(exchange, account, self.now)?;
        Ok(Ok(()))
    }
}
