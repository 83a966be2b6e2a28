//! The desk's port, on the writer's connection.

use pax_gateway::base::clock::{Moment, UtcDay};
use pax_gateway::base::exchange_id::ExchangeId;
use pax_gateway::base::pax::Pax;
use pax_gateway::debit::frozen::Debit;

use super::statements::{Statements, is_refused};
use crate::book::hold::Hold;
use crate::book::{Entry, Link, Lots, Page, Rejected, Sum};
use crate::store::desk::{Admitting, Answer, Books, Found, Opened, ToBeCorrected, WhichLots};
use crate::store::{Corrects, HoldRow, HoldState};

impl Books for Statements<'_> {
    fn epoch(&mut self) -> Answer<u64> {
        Ok(Self::epoch(self)?)
    }

    fn find(&mut self, exchange_id: &ExchangeId, canonical: &[u8]) -> Answer<Found> {
        Ok(Self::find(self, exchange_id, canonical)?)
    }

    fn open(&mut self, account: &str, day: UtcDay) -> Answer<Opened> {
        Ok(Self::open(self, account, day)?)
    }

    fn spent(&mut self, account: &str, day: UtcDay) -> Answer<Option<Sum>> {
        Ok(Self::spent(self, account, day)?)
    }

    fn spent_with(&mut self, account: &str, token_id: &str, day: UtcDay) -> Answer<Option<Sum>> {
        Ok(Self::spent_with(self, account, token_id, day)?)
    }

    fn lots(&mut self, account: &str, which: WhichLots) -> Answer<Lots> {
        Ok(Self::lots(self, account, which)?)
    }

    fn has_due_lot(&mut self, account: &str, now: Moment) -> Answer<bool> {
        Ok(Self::has_due_lot(self, account, now)?)
    }

    fn insert(&mut self, entry: Entry<'_>, canonical: &[u8], link: &Link) -> Answer<Result<(), String>> {
        match Self::insert(self, entry, canonical, link) {
            Ok(()) => Ok(Ok(())),
            Err(error) if is_refused(&error) => Ok(Err(error.to_string())),
            Err(error) => Err(error.into()),
        }
    }

    fn save(&mut self, account: &str, page: &Page) -> Answer<()> {
        Ok(Self::save(self, account, page)?)
    }

    fn save_lots(&mut self, page: &Page) -> Answer<()> {
        Ok(Self::save_lots(self, page)?)
    }

    fn save_held(&mut self, account: &str, held: Pax) -> Answer<()> {
        Ok(Self::save_held(self, account, held)?)
    }

    fn close(&mut self, account: &str, key: &str, at: Moment) -> Answer<()> {
        Ok(Self::close(self, account, key, at)?)
    }

    fn quarantine(
        &mut self,
        line: &Rejected,
        exchange_id: Option<&str>,
        reason: &str,
        now: Moment,
    ) -> Answer<()> {
        Ok(Self::quarantine(self, line, exchange_id, reason, now)?)
    }

    fn corrected(&mut self, what: &Corrects) -> Answer<Option<ToBeCorrected>> {
        Ok(Self::corrected(self, what)?)
    }

    fn number_of_key(&mut self, key: &str) -> Answer<Option<i64>> {
        Ok(Self::number_of_key(self, key)?)
    }

    fn hold(&mut self, exchange: &ExchangeId) -> Answer<Option<HoldRow>> {
        Ok(Self::hold(self, exchange)?)
    }

    fn is_closed(&mut self, exchange: &ExchangeId) -> Answer<bool> {
        Ok(Self::is_closed(self, exchange)?)
    }

    fn admitting(&mut self, debit: &Debit, now: Moment) -> Answer<Option<Admitting>> {
        Ok(Self::admitting(self, debit, now)?)
    }

    fn held_on(&mut self, account: &str, day: UtcDay) -> Answer<Pax> {
        Ok(Self::held_on(self, account, day)?)
    }

    fn keep_hold(&mut self, hold: &Hold, now: Moment) -> Answer<()> {
        Ok(Self::keep_hold(self, hold, now)?)
    }

    fn hold_on_day(&mut self, day: (&str, &str, UtcDay), picopax: i64) -> Answer<()> {
        Ok(Self::hold_on_day(self, day, picopax)?)
    }

    fn give_back_on_day(&mut self, row: &HoldRow) -> Answer<()> {
        Ok(Self::give_back_on_day(self, row)?)
    }

    fn end_hold(&mut self, row: &HoldRow, state: HoldState, now: Moment) -> Answer<()> {
        Ok(Self::end_hold(self, &row.exchange_id, state, now)?)
    }

    fn bury(&mut self, exchange: &ExchangeId, account: &str, now: Moment) -> Answer<()> {
        Ok(Self::bury(self, exchange, account, now)?)
    }

    fn renew_lease(&mut self, envoy: &str, now: Moment) -> Answer<()> {
        Ok(Self::renew_lease(self, envoy, now)?)
    }
}
