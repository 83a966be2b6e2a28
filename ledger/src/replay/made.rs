//! Proves an entry that the ledger has made itself, from the entries before it.

use pax_gateway::base::pax::Pax;
use pax_gateway::debit::frozen::Debit;
use pax_gateway::price::bundle::Bundle;

use super::{Snapshot, Walk, moment};
use crate::book::made::{Correction, Expiry, Made, Payout, better_key, repriced};
use crate::book::{Later, Posting};
use crate::error::Error;
use crate::store::{ChainEntry, Corrects};

/// What an entry is proved from.
pub(super) struct Proof<'a> {
    pub(super) bundle: &'a Bundle,
    pub(super) entry: &'a ChainEntry<'a>,
    /// The walk along the chain up to the entry before it.
    pub(super) walk: &'a Walk,
}

impl Proof<'_> {
    /// What is wrong with the entry. Empty if it proves itself.
    pub(super) async fn differences(
        &self,
        snapshot: &mut Snapshot,
        made: &Made,
    ) -> Result<Vec<String>, Error> {
        if self.entry.posting.is_none() {
            return Ok(vec!["it has no posting, which every entry of its kind has".to_owned()]);
        }
        let (mut found, by_an_operator) = match made {
            Made::Grant(grant) => (grant.refused().into_iter().collect(), true),
            Made::Expiry(expiry) => (self.expiry(expiry).into_iter().collect(), false),
            Made::Payout(payout) => (self.payout(snapshot, payout).await?, false),
            Made::Correction(correction) => {
                (self.correction(snapshot, correction).await?, correction.better.is_none())
            }
        };
        if by_an_operator && !snapshot.has_operator_row(made.key()).await? {
            let batch = match made {
                Made::Correction(correction) => correction.batch_key(),
                _ => None,
            };
            match batch {
                Some(batch) if snapshot.has_batch_row(batch).await? => {}
                _ => found.push(format!("the operator log has no row with its key {:?}", made.key())),
            }
        }
        Ok(found)
    }

    /// An expiry takes what its lot has left, at most what the open holds leave of the balance, and not before the lot
    /// is over.
    fn expiry(&self, expiry: &Expiry) -> Option<String> {
        let posting = Posting::read(self.entry.posting?).ok()?;
        match self.walk.sums.due(posting.held_pax, moment(self.entry.recorded_at)) {
            Some(due) if due == *expiry => None,
            Some(due) => Some(format!(
                "it takes {} PAX of grant {:?} as {:?}, but {} PAX of grant {:?} were over, as {:?}",
                expiry.amount_pax, expiry.grant, expiry.key, due.amount_pax, due.grant, due.key
            )),
            None => Some("no lot was over".to_owned()),
        }
    }

    /// A payout takes the whole balance of an account that an operator has closed, once no open hold needs it.
    async fn payout(&self, snapshot: &mut Snapshot, payout: &Payout) -> Result<Vec<String>, Error> {
        let mut found = Vec::new();
        let posting = self.entry.posting.and_then(|line| Posting::read(line).ok());
        let held = posting.map(|posting| posting.held_pax).unwrap_or_default();
        match self.walk.sums.payout(&payout.close_key, held, moment(self.entry.recorded_at)) {
            Some(due) if due == *payout => {}
            Some(due) => found.push(format!(
                "it pays out {} PAX as {:?}, but {} PAX were left, as {:?}",
                payout.amount_pax, payout.key, due.amount_pax, due.key
            )),
            None => found.push("nothing was left, or open holds needed it".to_owned()),
        }
        if !snapshot.was_closed(&payout.account, &payout.close_key).await? {
            found.push(format!(
                "the operator log has no row with the key {:?} that closes its account",
                payout.close_key
            ));
        }
        Ok(found)
    }

    async fn correction(
        &self,
        snapshot: &mut Snapshot,
        correction: &Correction,
    ) -> Result<Vec<String>, Error> {
        let (account, corrects) = (&self.walk.sums.account, &correction.corrects);
        let what = Corrects::of(correction);
        let (original, last) = snapshot.corrected(account, &what, self.entry.account_seq).await?;
        let Some(original) = original else {
            return Ok(vec![format!("it corrects {corrects:?}, which is no entry before it in its account")]);
        };
        let mut found = Vec::new();
        let first = self.original(&original, correction, &mut found);
        let was = match last.as_deref().map(Made::read) {
            Some(Ok(Made::Correction(last))) => Some(last.now_pax),
            Some(_) => None,
            None => first,
        };
        if was != Some(correction.was_pax) {
            let was = was.map_or_else(|| "nothing that can be read".to_owned(), |was| format!("{was} PAX"));
            found.push(format!("it says that {corrects:?} was {} PAX, but it was {was}", correction.was_pax));
        }
        if correction.now_pax < Pax::ZERO {
            found.push("it makes what it corrects negative".to_owned());
        }
        let better = match correction.repriced_under {
            Some(_) => snapshot.better(account, corrects, self.entry.account_seq).await?,
            None => None,
        };
        found.extend(self.amount(&original, better.as_deref(), correction));
        Ok(found)
    }

    /// What the corrected entry moved at first. Tells if the correction does not repeat what that entry says.
    fn original(&self, original: &[u8], correction: &Correction, found: &mut Vec<String>) -> Option<Pax> {
        let repeats = |debit: &Debit| correction.debit.as_ref() == Some(&debit.into());
        let (amount, same) = match (Debit::from_canonical(original), Made::read(original)) {
            (Ok(debit), _) => (debit.cost_pax, repeats(&debit) && debit.utc_day == correction.utc_day),
            (_, Ok(Made::Grant(grant))) => {
                let same_day = grant.occurred_at.day() == correction.utc_day;
                (grant.amount_pax, correction.debit.is_none() && same_day)
            }
            _ => return None,
        };
        if !same {
            found.push("it does not repeat what the entry that it corrects says".to_owned());
        }
        Some(amount)
    }

    /// What a better report costs, if it can be one.
    fn better_cost(&self, original: &[u8], better: &str, correction: &Correction) -> Result<Pax, String> {
        let read = |bytes: &[u8]| Debit::from_canonical(bytes).map_err(|bad| bad.to_string());
        let (first, better) = (read(original)?, read(better.as_bytes())?);
        if Later::of(&better, &first) != Later::Better {
            return Err("the report that it embeds is not the true debit of an estimated call".to_owned());
        }
        if correction.key != better_key(&correction.corrects) {
            return Err("its key is not that of a better report".to_owned());
        }
        better.prove(self.bundle).map_err(|bad| bad.to_string())?;
        Ok(better.cost_pax)
    }

    /// Proves the amount, where the correction says what it comes from: a card, or a better report.
    /// A call of which a better report came before is priced again from that.
    fn amount(&self, original: &[u8], better: Option<&[u8]>, correction: &Correction) -> Option<String> {
        let expected = if let Some(better) = &correction.better {
            self.better_cost(original, better, correction)
        } else if let Some(card) = &correction.repriced_under {
            let better = better.map(Made::read).and_then(|made| match made {
                Ok(Made::Correction(better)) => better.better_debit(),
                _ => None,
            });
            let debit =
                better.unwrap_or_else(|| Debit::from_canonical(original).map_err(|bad| bad.to_string()));
            match self.bundle.by_sha256(card) {
                None => Err(format!("card {card} is not in the bundle")),
                Some(card) => debit.and_then(|debit| repriced(&debit, card)),
            }
        } else {
            return None;
        };
        match expected {
            Ok(cost) if cost == correction.now_pax => None,
            Ok(cost) => {
                Some(format!("it makes the cost {} PAX, but made again it is {cost} PAX", correction.now_pax))
            }
            Err(why) => Some(format!("its amount cannot be proved: {why}")),
        }
    }
}
