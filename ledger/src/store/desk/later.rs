//! Records a debit whose exchange has an entry of other bytes.

use pax_gateway::base::wire::{DebitOutcome, DebitReply};
use pax_gateway::debit::frozen::Debit;

use super::recording::{Recording, reply};
use super::{Answer, ToBeCorrected};
use crate::book::made::{Correction, Made, better_key};
use crate::book::{Later, Received, Rejected};
use crate::store::Corrects;

/// Who makes the corrections that embed a better report.
const LEDGER: &str = "pax-ledger";

impl Recording<'_, '_> {
    /// Answers a debit whose exchange has an entry of other bytes, which has the number `account_seq`.
    pub(in crate::store) fn later(&mut self, received: &Received, account_seq: i64) -> Answer<DebitReply> {
        let debit = &received.debit;
        let call = Corrects::Call(debit.exchange_id.to_string());
        let Some(first) = self.desk.books.corrected(&call)? else {
            return self.conflict(received, account_seq);
        };
        let Ok(original) = Debit::from_canonical(&first.original) else {
            return self.conflict(received, account_seq);
        };
        let has_better = first.better.is_some();
        match Later::of(debit, &original) {
            Later::Superseded => self.superseded(debit, account_seq),
            Later::Better if has_better => self.better_again(received, &first, account_seq),
            Later::Better => self.better(received, &original, &first),
            Later::Conflict => self.conflict(received, account_seq),
        }
    }

    /// A filter of version 0.1 cannot read an answer that says `superseded`, and would send its batch for ever. Such a
    /// filter writes debits of version 1.
    fn superseded(&mut self, debit: &Debit, account_seq: i64) -> Answer<DebitReply> {
        let outcome = if debit.canon_v == 1 { DebitOutcome::Duplicate } else { DebitOutcome::Superseded };
        let standing = self.standing(debit)?;
        Ok(reply(&debit.exchange_id, outcome, account_seq, standing))
    }

    /// The true debit, after an estimate: its bytes become a part of the correction, which is proved from them.
    fn better(&mut self, received: &Received, original: &Debit, first: &ToBeCorrected) -> Answer<DebitReply> {
        let debit = &received.debit;
        let (Ok(was), Ok(better)) = (first.last_amount(), String::from_utf8(received.canonical.clone()))
        else {
            return self.rejected(received, "the last correction of its call cannot be read: run replay");
        };
        let amounts = (was.unwrap_or(original.cost_pax), debit.cost_pax);
        let key = better_key(&debit.exchange_id.to_string());
        let mut correction = Correction::of_debit(&key, original, amounts, self.desk.now);
        correction.better = Some(better);
        correction.by = LEDGER.to_owned();
        correction.reason = format!("the true debit came after an estimate ({})", original.ending.name());
        match self.desk.make(&Made::Correction(Box::new(correction)))? {
            Ok(link) => {
                let standing = self.standing(debit)?;
                let corrects = format!("it corrects an estimate of the call ({})", original.ending.name());
                let recorded = reply(&debit.exchange_id, DebitOutcome::Recorded, link.account_seq, standing);
                Ok(DebitReply { message: Some(corrects), ..recorded })
            }
            Err(why) => self.rejected(received, &why),
        }
    }

    /// A true debit, after another one has corrected the estimate.
    fn better_again(
        &mut self,
        received: &Received,
        first: &ToBeCorrected,
        account_seq: i64,
    ) -> Answer<DebitReply> {
        let exchange_id = &received.debit.exchange_id;
        let known = match first.better.as_deref().map(Made::read) {
            Some(Ok(Made::Correction(known))) => known.better,
            _ => None,
        };
        if known.as_ref().map(String::as_bytes) != Some(received.canonical.as_slice()) {
            return self.conflict(received, account_seq);
        }
        let account_seq = self.desk.books.number_of_key(&better_key(&exchange_id.to_string()))?;
        let standing = self.standing(&received.debit)?;
        Ok(reply(exchange_id, DebitOutcome::Duplicate, account_seq.unwrap_or_default(), standing))
    }

    fn conflict(&mut self, received: &Received, account_seq: i64) -> Answer<DebitReply> {
        let why = format!("entry {account_seq} of the account has other bytes for this exchange");
        self.quarantine(&Rejected::new(&received.canonical, why), DebitOutcome::Conflict)
    }

    fn rejected(&mut self, received: &Received, why: &str) -> Answer<DebitReply> {
        self.quarantine(&Rejected::new(&received.canonical, why), DebitOutcome::Rejected)
    }
}
