//! The desk's port, on what was read before.

use pax_gateway::base::account::Status;
use pax_gateway::base::clock::{Moment, UtcDay};
use pax_gateway::base::digest::Digest;
use pax_gateway::base::exchange_id::ExchangeId;
use pax_gateway::base::pax::Pax;
use pax_gateway::base::text::AsText;
use pax_gateway::debit::frozen::Debit;
use serde_json::{Value as Json, json};

use super::columns::{NUL, columns};
use super::image::{Day, Image, Known};
use crate::book::hold::Hold;
use crate::book::made::better_key;
use crate::book::{Entry, Link, Lots, Page, Rejected, Sum};
use crate::store::desk::{Admitting, Answer, Books, Found, Opened, ToBeCorrected, WhichLots};
use crate::store::{Corrects, HoldRow, HoldState, to_ms};

/// An Envoy's lease is renewed in a hold's transaction only if it is so old: all holds of an Envoy would otherwise wait for
/// each other.
const LEASE_FRESH_MS: u64 = 5_000;

impl Books for Image {
    fn epoch(&mut self) -> Answer<u64> {
        Ok(self.rows.epoch)
    }

    fn find(&mut self, exchange_id: &ExchangeId, canonical: &[u8]) -> Answer<Found> {
        let exchange = exchange_id.text();
        self.need_exchange(&exchange)?;
        Ok(match self.rows.entries.get(&exchange) {
            None => Found::Nothing,
            Some(known) if known.canonical == canonical => Found::Same { account_seq: known.account_seq },
            Some(known) => Found::Other { account_seq: known.account_seq },
        })
    }

    fn open(&mut self, account: &str, day: UtcDay) -> Answer<Opened> {
        // Both are noted, so that both are read next.
        let (of_account, of_day) = (self.need_account(account), self.need_day(account, day));
        of_account.and(of_day)?;
        let Some(row) = self.rows.accounts.get(account) else { return Ok(Opened::Nothing) };
        let Ok(head) = row.head_hash.parse::<Digest>() else { return Ok(Opened::Damaged) };
        let mut page = Page {
            account_seq: row.account_seq,
            head,
            recorded_at: row.recorded_at,
            balance: row.balance,
            held: row.held,
            ..Page::empty(account)
        };
        if let Some(known) = self.rows.days.get(&(account.to_owned(), day)) {
            page.days.insert(day, known.spent);
        }
        Ok(Opened::Page(Box::new(page), row.closed.as_ref().map(|(_, key)| key.clone())))
    }

    fn spent(&mut self, account: &str, day: UtcDay) -> Answer<Option<Sum>> {
        self.need_day(account, day)?;
        Ok(self.rows.days.get(&(account.to_owned(), day)).map(|day| day.spent))
    }

    fn spent_with(&mut self, account: &str, token_id: &str, day: UtcDay) -> Answer<Option<Sum>> {
        let key = (account.to_owned(), token_id.to_owned(), day);
        self.need_token_day(&key)?;
        Ok(self.rows.token_days.get(&key).map(|day| day.spent))
    }

    fn lots(&mut self, account: &str, which: WhichLots) -> Answer<Lots> {
        self.need_account(account)?;
        if which == WhichLots::All {
            let is_known = self.known.all_lots.contains(account);
            let of_all = if is_known { Default::default() } else { self.known.accounts.clone() };
            self.need(is_known, |wanted| wanted.all_lots.extend(of_all))?;
        }
        let lots = self.rows.lots.get(account).into_iter().flatten();
        let asked = |lot: &&crate::book::Lot| which == WhichLots::All || lot.rest > Pax::ZERO;
        Ok(Lots::of(lots.filter(asked).cloned().collect()))
    }

    fn has_due_lot(&mut self, account: &str, now: Moment) -> Answer<bool> {
        self.need_account(account)?;
        let is_over =
            |lot: &crate::book::Lot| lot.rest > Pax::ZERO && lot.expires_at.is_some_and(|end| end <= now);
        Ok(self.rows.lots.get(account).is_some_and(|lots| lots.iter().any(is_over)))
    }

    fn insert(&mut self, entry: Entry<'_>, canonical: &[u8], link: &Link) -> Answer<Result<(), String>> {
        let (exchange, key) = match entry {
            Entry::Debit(debit) => (Some(debit.exchange_id.text()), None),
            Entry::Made(made) => (None, Some(made.key().to_owned())),
        };
        if let Some(exchange) = &exchange {
            self.need_exchange(exchange)?;
        }
        let account = entry.account();
        self.need_account(account)?;
        let is_taken = self.rows.accounts.get(account).is_none_or(|row| row.last_entry >= link.account_seq);
        let is_there = is_taken
            || exchange.as_ref().is_some_and(|exchange| self.rows.entries.contains_key(exchange))
            || key.as_ref().is_some_and(|key| self.rows.keys.contains_key(key));
        if is_there {
            return Ok(Err("credit_ledger is append-only".to_owned()));
        }
        let mut row = match columns(entry) {
            Ok(row) => row,
            Err(why) => return Ok(Err(why)),
        };
        row.insert("account_seq".to_owned(), json!(link.account_seq));
        row.insert("prev_hash".to_owned(), json!(link.prev_hash.text()));
        row.insert("entry_hash".to_owned(), json!(link.entry_hash.text()));
        row.insert("recorded_at".to_owned(), json!(to_ms(link.recorded_at)));
        row.insert("posting".to_owned(), json!(link.posting));
        let kind = row.get("kind").and_then(Json::as_str).unwrap_or_default().to_owned();
        let known = Known { account_seq: link.account_seq, kind, canonical: canonical.to_vec() };
        if let Entry::Made(made) = entry
            && let crate::book::Made::Correction(correction) = made
        {
            let what = Corrects::of(correction);
            let of = (matches!(what, Corrects::Call(_)), what.name().to_owned());
            self.rows.corrections.insert(of, canonical.to_vec());
        }
        match (exchange, key) {
            (Some(exchange), _) => {
                self.rows.entries.insert(exchange, known);
            }
            (None, Some(key)) => {
                self.rows.keys.insert(key, known);
            }
            (None, None) => {}
        }
        if let Some(row) = self.rows.accounts.get_mut(account) {
            row.last_entry = link.account_seq;
        }
        self.changes.entries.push((Json::Object(row), canonical.to_vec()));
        Ok(Ok(()))
    }

    fn save(&mut self, account: &str, page: &Page) -> Answer<()> {
        self.need_account(account)?;
        if let Some(row) = self.rows.accounts.get_mut(account) {
            row.account_seq = page.account_seq;
            row.head_hash = page.head.text();
            row.balance = page.balance;
            row.recorded_at = page.recorded_at;
            self.changes.accounts.insert(account.to_owned());
        }
        for (day, spent) in &page.days {
            let key = (account.to_owned(), *day);
            let before = self.rows.days.get(&key).copied().unwrap_or_default();
            self.set_day(key, Day { spent: *spent, ..before });
        }
        for ((token_id, day), spent) in &page.tokens {
            let key = (account.to_owned(), token_id.clone(), *day);
            let before = self.rows.token_days.get(&key).copied().unwrap_or_default();
            self.set_token_day(key, Day { spent: *spent, ..before });
        }
        Ok(())
    }

    fn save_lots(&mut self, page: &Page) -> Answer<()> {
        let rows = self.rows.lots.entry(page.account.clone()).or_default();
        for lot in page.lots.iter() {
            match rows.iter_mut().find(|row| row.key == lot.key) {
                Some(row) if row == lot => continue,
                Some(row) => *row = lot.clone(),
                None => rows.push(lot.clone()),
            }
            self.changes.lots.insert(lot.key.clone(), page.account.clone());
        }
        Ok(())
    }

    fn save_held(&mut self, account: &str, held: Pax) -> Answer<()> {
        self.need_account(account)?;
        if let Some(row) = self.rows.accounts.get_mut(account) {
            row.held = held;
            self.changes.accounts.insert(account.to_owned());
        }
        Ok(())
    }

    fn close(&mut self, account: &str, key: &str, at: Moment) -> Answer<()> {
        self.need_account(account)?;
        if let Some(row) = self.rows.accounts.get_mut(account) {
            row.status = Status::Disabled;
            row.closed = Some((at, key.to_owned()));
            self.changes.accounts.insert(account.to_owned());
        }
        Ok(())
    }

    fn quarantine(
        &mut self,
        line: &Rejected,
        exchange_id: Option<&str>,
        reason: &str,
        now: Moment,
    ) -> Answer<()> {
        let row = json!({
            "exchange_id": exchange_id, "reason": reason, "message": line.why.replace(NUL, "\u{fffd}"),
            "received_at": to_ms(now), "sha256": line.sha256.text(),
        });
        self.changes.quarantine.push((row, line.bytes.clone()));
        Ok(())
    }

    fn corrected(&mut self, what: &Corrects) -> Answer<Option<ToBeCorrected>> {
        let of = (matches!(what, Corrects::Call(_)), what.name().to_owned());
        self.need(self.known.corrected.contains(&of), |wanted| wanted.corrected(what))?;
        let original = match what {
            Corrects::Call(exchange) => self.rows.entries.get(exchange),
            Corrects::Grant(key) => self.rows.keys.get(key).filter(|known| known.kind == "grant"),
        };
        let Some(original) = original.map(|known| known.canonical.clone()) else { return Ok(None) };
        let better = match what {
            Corrects::Call(exchange) => self.rows.keys.get(&better_key(exchange)),
            Corrects::Grant(_) => None,
        };
        let better = better.map(|known| known.canonical.clone());
        Ok(Some(ToBeCorrected { original, last: self.rows.corrections.get(&of).cloned(), better }))
    }

    fn number_of_key(&mut self, key: &str) -> Answer<Option<i64>> {
        self.need_key(key)?;
        Ok(self.rows.keys.get(key).map(|known| known.account_seq))
    }

    fn hold(&mut self, exchange: &ExchangeId) -> Answer<Option<HoldRow>> {
        let exchange = exchange.text();
        self.need_exchange(&exchange)?;
        Ok(self.rows.holds.get(&exchange).cloned())
    }

    fn is_closed(&mut self, exchange: &ExchangeId) -> Answer<bool> {
        let exchange = exchange.text();
        self.need_exchange(&exchange)?;
        Ok(self.rows.entries.contains_key(&exchange) || self.rows.tombstones.contains(&exchange))
    }

    fn admitting(&mut self, debit: &Debit, now: Moment) -> Answer<Option<Admitting>> {
        self.need_account(&debit.account)?;
        let is_known = self.known.tokens.contains(&debit.token_id);
        self.need(is_known, |wanted| {
            wanted.tokens.insert(debit.token_id.clone());
        })?;
        let is_token_good = self.rows.tokens.get(&debit.token_id).is_some_and(|token| {
            token.account == debit.account
                && token.revoked_at.is_none()
                && token.expires_at.is_none_or(|end| end > now)
        });
        let row = self.rows.accounts.get(&debit.account);
        Ok(row.map(|row| Admitting { status: row.status, daily_cap: row.daily_cap, is_token_good }))
    }

    fn held_on(&mut self, account: &str, day: UtcDay) -> Answer<Pax> {
        self.need_day(account, day)?;
        Ok(self.rows.days.get(&(account.to_owned(), day)).map_or(Pax::ZERO, |day| day.held))
    }

    fn keep_hold(&mut self, hold: &Hold, now: Moment) -> Answer<()> {
        let debit = &hold.lost.debit;
        self.need_account(&debit.account)?;
        let exchange = debit.exchange_id.text();
        self.need_exchange(&exchange)?;
        let row = HoldRow {
            exchange_id: exchange.clone(),
            account: debit.account.clone(),
            token_id: debit.token_id.clone(),
            utc_day: debit.utc_day,
            tier: debit.tier,
            held_pax: hold.asked.hold_pax,
            envoy: hold.asked.envoy.clone(),
            made_at: now,
            lost: Some(hold.lost.canonical.clone()),
            state: HoldState::Open,
            ended_at: None,
        };
        self.rows.holds.insert(exchange.clone(), row);
        self.changes.new_holds.push(exchange);
        Ok(())
    }

    fn hold_on_day(&mut self, day: (&str, &str, UtcDay), picopax: i64) -> Answer<()> {
        self.hold_days(day, |held| held.checked_add(Pax::from_picopax(picopax)))
    }

    fn give_back_on_day(&mut self, row: &HoldRow) -> Answer<()> {
        let day = (row.account.as_str(), row.token_id.as_str(), row.utc_day);
        self.hold_days(day, |held| Some(held.checked_sub(row.held_pax).unwrap_or_default().max(Pax::ZERO)))
    }

    fn end_hold(&mut self, row: &HoldRow, state: HoldState, now: Moment) -> Answer<()> {
        self.need_account(&row.account)?;
        self.need_exchange(&row.exchange_id)?;
        if let Some(row) = self.rows.holds.get_mut(&row.exchange_id) {
            (row.state, row.ended_at) = (state, Some(now));
            if state != HoldState::Expired {
                row.lost = None;
            }
            self.changes.ended_holds.insert(row.exchange_id.clone());
        }
        Ok(())
    }

    fn bury(&mut self, exchange: &ExchangeId, account: &str, now: Moment) -> Answer<()> {
        self.need_account(account)?;
        let exchange = exchange.text();
        if self.rows.tombstones.insert(exchange.clone()) {
            self.changes.tombstones.push((exchange, account.to_owned(), now));
        }
        Ok(())
    }

    fn renew_lease(&mut self, envoy: &str, now: Moment) -> Answer<()> {
        self.need(self.known.envoys.contains(envoy), |wanted| wanted.envoy(envoy))?;
        let is_fresh = |renewed: &Moment| now.since_ms(*renewed) < LEASE_FRESH_MS && *renewed <= now;
        if !self.rows.leases.get(envoy).is_some_and(is_fresh) {
            self.rows.leases.insert(envoy.to_owned(), now);
            self.changes.leases.insert(envoy.to_owned());
        }
        Ok(())
    }
}
