//! A call between its admission and its provider: what it waits for, and the request that then goes on.

use std::rc::Rc;

use crate::base::account::Account;
use crate::base::clock::Now;
use crate::base::digest::Digest;
use crate::base::exchange_id::ExchangeId;
use crate::base::refusal::refusals::Refusal;
use crate::base::stopwatch::Stopwatch;
use crate::base::wire::{HoldOutcome, HoldReply};
use crate::call::admit::{InFlight, daily_cap};
use crate::call::answering::Forwarded;
use crate::call::event::{Effect, Forward, NoHold};
use crate::call::story::Story;
use crate::memory::gate::Owed;

/// A call that was admitted, and for which nothing is owed yet.
#[derive(Debug)]
pub struct Opening {
    in_flight: Box<InFlight>,
    forward: Box<Forward>,
    token: Digest,
    waits_for: OpeningStep,
}

/// What an opening call waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpeningStep {
    /// The gate writes the call's in-flight record and makes its reservation.
    Reserving,
    /// The gate did not know the account's day. The ledger is asked for the standing.
    AskedAgain,
    /// The gate tries once more, with the ledger's answer.
    ReservingAgain,
    /// The ledger has made the hold. The gate writes that the call goes on.
    GoingOn,
}

/// A call that waits for the ledger's answer to its hold. Its in-flight record is written, so it is released if it does
/// not go on.
#[derive(Debug)]
pub struct Holding {
    opening: Opening,
    owed: Owed,
}

impl Holding {
    /// The call for which a settlement or a release is owed.
    #[must_use]
    pub fn owed(&self) -> ExchangeId {
        self.owed.admission().exchange_id
    }

    /// The call ends here. The ledger may make the hold yet, so it is voided.
    #[must_use]
    pub fn given_up(self) -> Effect {
        Effect::Release(self.owed)
    }

    /// The ledger has answered, or has not.
    ///
    /// # Errors
    /// The refusal, and the release of the call.
    pub fn answered(
        mut self,
        answer: Result<HoldReply, NoHold>,
    ) -> Result<(Opening, Effect), (Refusal, Effect)> {
        let in_flight = &mut self.opening.in_flight;
        let refusal = match &answer {
            Ok(reply) => match reply.outcome {
                HoldOutcome::Held => {
                    in_flight.held(reply);
                    self.opening.waits_for = OpeningStep::GoingOn;
                    return Ok((self.opening, Effect::GoOn(self.owed)));
                }
                HoldOutcome::InsufficientCredit => in_flight.lacks_credit(reply),
                HoldOutcome::DailyCapExceeded => in_flight.exceeds_at_ledger(reply),
                HoldOutcome::AccountDisabled => Refusal::AccountDisabled,
                HoldOutcome::UnknownToken => Refusal::InvalidApiKey,
                HoldOutcome::Closed | HoldOutcome::Rejected => Refusal::LedgerUnavailable,
            },
            Err(_) => Refusal::LedgerUnavailable,
        };
        let owed = match answer {
            Err(NoHold::NotAnswered) => self.owed,
            // The ledger has surely not made the hold, so there is nothing to be voided.
            Ok(_) | Err(NoHold::NotAsked) => self.owed.without_hold(),
        };
        Err((refusal, Effect::Release(owed)))
    }
}

impl Opening {
    /// A call that was just admitted.
    #[must_use]
    pub fn new(in_flight: InFlight, forward: Forward, token: Digest) -> Self {
        let (in_flight, forward) = (Box::new(in_flight), Box::new(forward));
        Self { in_flight, forward, token, waits_for: OpeningStep::Reserving }
    }

    /// What the call waits for.
    #[must_use]
    pub const fn waits_for(&self) -> OpeningStep {
        self.waits_for
    }

    /// The call.
    #[must_use]
    pub const fn in_flight(&self) -> &InFlight {
        &self.in_flight
    }

    /// What the gate is asked to do.
    #[must_use]
    pub fn open(&self, story: &mut Story) -> Effect {
        story.admission = Some(Rc::clone(&self.in_flight.admission));
        story.cap = self.in_flight.known.cap;
        Effect::Open { admission: Rc::clone(&self.in_flight.admission), cap: self.in_flight.known.cap }
    }

    /// The gate does not know the account's day, so the ledger is asked.
    #[must_use]
    pub fn asks_again(self) -> (Self, Effect) {
        let utc_day = self.in_flight.admission.admitted_at.day();
        let resolve = Effect::Resolve { token: self.token, utc_day, fresh: true };
        (Self { waits_for: OpeningStep::AskedAgain, ..self }, resolve)
    }

    /// The gate has written the call's record, and the call needs a hold, which the ledger is asked for.
    #[must_use]
    pub fn holds(self, owed: Owed) -> (Holding, Effect) {
        let in_flight = &self.in_flight;
        let hold =
            Effect::Hold { admission: Rc::clone(&in_flight.admission), card_cap: in_flight.card_cap() };
        (Holding { opening: self, owed }, hold)
    }

    /// The ledger has told the account's standing, and the cap that it has by now.
    #[must_use]
    pub fn knows(mut self, account: &Account) -> Self {
        self.in_flight.known.cap = daily_cap(account, &self.in_flight.admission.card);
        Self { waits_for: OpeningStep::ReservingAgain, ..self }
    }

    /// The gate has opened the call, which now goes to its provider.
    #[must_use]
    pub fn opened(mut self, now: Now, owed: Owed, story: &mut Story) -> (Forwarded, Effect) {
        self.in_flight.watch = Stopwatch::start(now.tick);
        story.forwarded = Some(now.tick);
        (Forwarded::new(self.in_flight, owed), Effect::Forward(self.forward))
    }
}
