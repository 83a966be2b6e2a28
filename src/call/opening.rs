//! A call between its admission and its provider: what it waits for, and the request that then goes on.

use std::rc::Rc;

use crate::base::account::Account;
use crate::base::clock::Now;
use crate::base::digest::Digest;
use crate::base::stopwatch::Stopwatch;
use crate::call::admit::{InFlight, daily_cap};
use crate::call::answering::Forwarded;
use crate::call::event::{Effect, Forward};
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

/// What an opening call waits for. The ledger's answer to a hold will be one more step. That step will carry
/// the call's [`Owed`], because the gate comes first; a call that leaves it without being forwarded is released
/// together with its hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpeningStep {
    /// The gate writes the call's in-flight record and makes its reservation.
    Reserving,
    /// The gate did not know the account's day. The ledger is asked for the standing.
    AskedAgain,
    /// The gate tries once more, with the ledger's answer.
    ReservingAgain,
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
        story.cap = self.in_flight.cap;
        Effect::Open { admission: Rc::clone(&self.in_flight.admission), cap: self.in_flight.cap }
    }

    /// The gate does not know the account's day, so the ledger is asked.
    #[must_use]
    pub fn asks_again(self) -> (Self, Effect) {
        let utc_day = self.in_flight.admission.admitted_at.day();
        let resolve = Effect::Resolve { token: self.token, utc_day, fresh: true };
        (Self { waits_for: OpeningStep::AskedAgain, ..self }, resolve)
    }

    /// The ledger has told the account's standing, and the cap that it has by now.
    #[must_use]
    pub fn knows(mut self, account: &Account) -> Self {
        self.in_flight.cap = daily_cap(account, &self.in_flight.admission.card);
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
