//! Records lines in order: debits, voids, and what is neither.

use pax_gateway::base::clock::{Moment, UtcDay};
use pax_gateway::base::exchange_id::ExchangeId;
use pax_gateway::base::wire::{DebitOutcome, DebitReply, Standing, Void};
use pax_gateway::debit::frozen::Debit;

use super::{Answer, Desk, Found};
use crate::book::{Line, Page, Posting, Received, Rejected};

/// A transaction of debits.
pub(in crate::store) struct Recording<'a, 'tx> {
    pub(in crate::store) desk: &'a mut Desk<'tx>,
    /// The ledger's epoch, for each standing.
    epoch: u64,
    /// Whether the debit before this one had an entry already.
    is_sent_again: bool,
}

/// Records lines in order. A line that was recorded before comes with its moment, and its posting of then. Stops after a
/// line if `is_enough`.
pub(in crate::store) fn record_each<'a>(
    desk: &mut Desk<'_>,
    lines: impl Iterator<Item = (&'a Line, Option<Moment>, Option<&'a Posting>)>,
    is_enough: impl Fn(usize) -> bool,
) -> Answer<Vec<DebitReply>> {
    let epoch = desk.books.epoch()?;
    let mut recording = Recording { desk, epoch, is_sent_again: false };
    let mut replies = Vec::with_capacity(lines.size_hint().0);
    for (line, at, again) in lines {
        recording.desk.now = at.unwrap_or(recording.desk.now);
        replies.push(match line {
            Line::Debit(received) => recording.record(received, again)?,
            Line::Void(void) => recording.void(void)?,
            Line::Needless(exchange) => voided(exchange),
            Line::Rejected(rejected) => recording.quarantine(rejected, DebitOutcome::Rejected)?,
        });
        if is_enough(replies.len()) {
            break;
        }
    }
    Ok(replies)
}

fn voided(exchange: &ExchangeId) -> DebitReply {
    DebitReply {
        exchange_id: exchange.to_string(),
        outcome: DebitOutcome::Voided,
        account_seq: None,
        standing: None,
        message: None,
    }
}

impl Recording<'_, '_> {
    /// Most debits are new, so an entry is inserted at once, and looked for only if it cannot be: an exchange that
    /// has an entry already is a duplicate or a conflict, whatever else is wrong with the line. But a filter that
    /// was not answered sends the whole batch again, so after one such exchange the next one is looked for first.
    fn record(&mut self, received: &Received, again: Option<&Posting>) -> Answer<DebitReply> {
        if self.is_sent_again
            && let Some(reply) = self.known(received)?
        {
            return Ok(reply);
        }
        self.is_sent_again = false;
        let debit = &received.debit;
        let why = match self.desk.post(received, again)? {
            Ok(link) => {
                let standing = self.standing(debit)?;
                return Ok(reply(&debit.exchange_id, DebitOutcome::Recorded, link.account_seq, standing));
            }
            Err(why) => why,
        };
        if let Some(reply) = self.known(received)? {
            self.is_sent_again = true;
            return Ok(reply);
        }
        self.quarantine(&Rejected::new(&received.canonical, why), DebitOutcome::Rejected)
    }

    /// Ends a hold without a charge.
    fn void(&mut self, void: &Void) -> Answer<DebitReply> {
        match self.desk.void(void)? {
            Ok(()) => Ok(voided(&void.void)),
            Err(why) => {
                let line = serde_json::to_vec(void).unwrap_or_default();
                let mut rejected = Rejected::new(&line, why);
                rejected.exchange_id = Some(void.void);
                self.quarantine(&rejected, DebitOutcome::Rejected)
            }
        }
    }

    /// Answers a debit whose exchange has an entry; none if it has none.
    fn known(&mut self, received: &Received) -> Answer<Option<DebitReply>> {
        let debit = &received.debit;
        Ok(Some(match self.desk.books.find(&debit.exchange_id, &received.canonical)? {
            Found::Nothing => return Ok(None),
            Found::Same { account_seq } => {
                let standing = self.standing(debit)?;
                reply(&debit.exchange_id, DebitOutcome::Duplicate, account_seq, standing)
            }
            Found::Other { account_seq } => self.later(received, account_seq)?,
        }))
    }

    /// The standing of a debit's account on its day. None if the account's page cannot be read.
    pub(in crate::store) fn standing(&mut self, debit: &Debit) -> Answer<Option<Standing>> {
        let epoch = self.epoch;
        let open = self.desk.open(&debit.account, debit.utc_day)?;
        Ok(open.ok().and_then(|open| standing(&open.page, debit.utc_day, epoch)))
    }

    pub(in crate::store) fn quarantine(
        &mut self,
        line: &Rejected,
        outcome: DebitOutcome,
    ) -> Answer<DebitReply> {
        let reason = if outcome == DebitOutcome::Conflict { "conflict" } else { "rejected" };
        let exchange_id = line.exchange_id.map(|id| id.to_string());
        let now = self.desk.now;
        self.desk.books.quarantine(line, exchange_id.as_deref(), reason, now)?;
        let message = Some(line.why.clone());
        let exchange_id = exchange_id.unwrap_or_default();
        Ok(DebitReply { exchange_id, outcome, account_seq: None, standing: None, message })
    }
}

/// The account's standing from its page, on a day whose total the page knows.
fn standing(page: &Page, utc_day: UtcDay, epoch: u64) -> Option<Standing> {
    let account_seq = u64::try_from(page.account_seq).ok()?;
    let spent_pax = page.days.get(&utc_day).copied().unwrap_or_default().nearest();
    Some(Standing { utc_day, spent_pax, account_seq, epoch })
}

pub(in crate::store) fn reply(
    exchange_id: &ExchangeId,
    outcome: DebitOutcome,
    account_seq: i64,
    standing: Option<Standing>,
) -> DebitReply {
    let account_seq = u64::try_from(account_seq).ok();
    DebitReply { exchange_id: exchange_id.to_string(), outcome, account_seq, standing, message: None }
}
