//! A call that went to its provider. Its answer is read as it passes; at the answer's end the call is settled
//! or released.

use crate::base::clock::Now;
use crate::base::exchange_id::ExchangeId;
use crate::base::pax::Pax;
use crate::base::text::AsText;
use crate::call::admit::{InFlight, Known};
use crate::call::event::{AnswerHead, ClosedBy, Effect};
use crate::call::story::Story;
use crate::debit::admission::Answered;
use crate::debit::debiting::debit_of;
use crate::debit::frozen::Ending;
use crate::memory::cap_bytes::Daily;
use crate::memory::gate::Owed;
use crate::reading::answer::said::Answer;
use crate::reading::answer::status::Verdict;

/// A call whose provider has not answered yet.
#[derive(Debug)]
pub struct Forwarded {
    in_flight: Box<InFlight>,
    owed: Owed,
}

/// What is kept of the head of a provider's answer.
#[derive(Debug)]
pub struct ProviderHead {
    /// The status.
    pub status: u16,
    /// The id that the provider gave the call.
    pub request_id: Option<String>,
}

/// A call whose answer has begun.
#[derive(Debug)]
pub struct Answering {
    in_flight: Box<InFlight>,
    owed: Owed,
    head: ProviderHead,
    answer: Answer,
    /// How many bytes of the answer's body wait with its head until the cost is known; none if they do not
    /// wait.
    held: Option<u64>,
}

/// An answer's head that waits until its call is settled, and then goes on with the cost headers.
#[derive(Debug)]
pub struct Settling {
    head: AnswerHead,
    known: Known,
    cost: Pax,
}

impl Forwarded {
    /// A call that goes to its provider now.
    #[must_use]
    pub const fn new(in_flight: Box<InFlight>, owed: Owed) -> Self {
        Self { in_flight, owed }
    }

    /// The call for which a settlement or a release is owed.
    #[must_use]
    pub fn owed(&self) -> ExchangeId {
        self.owed.admission().exchange_id
    }

    /// The provider's answer begins. Its head waits; [`Answering::begins`] lets the head of a stream go on.
    #[must_use]
    pub fn answered(
        mut self,
        now: Now,
        head: ProviderHead,
        (content_type, content_encoding): (&[u8], &[u8]),
    ) -> Answering {
        self.in_flight.watch.answered(now.tick);
        let answer = Answer::of(content_type, content_encoding, self.in_flight.asked);
        Answering { in_flight: self.in_flight, owed: self.owed, head, answer, held: Some(0) }
    }

    /// No answer comes any more. The provider may have done the work, so the input is charged.
    #[must_use]
    pub fn closed(self, now: Now, story: &mut Story) -> Effect {
        let lasted = self.in_flight.watch.stop(now.tick);
        let answered = Answered::without_head(&self.in_flight.admission, lasted);
        settlement(self.owed, answered, now, story).0
    }
}

impl Answering {
    /// The call for which a settlement or a release is owed.
    #[must_use]
    pub fn owed(&self) -> ExchangeId {
        self.owed.admission().exchange_id
    }

    /// Whether the answer's head waits, with the bytes that came after it.
    #[must_use]
    pub const fn is_held(&self) -> bool {
        self.held.is_some()
    }

    /// Whether the time of the answer's next piece matters: it does until the first visible text is there.
    #[must_use]
    pub fn awaits_text(&self) -> bool {
        !self.in_flight.watch.saw_text() && self.in_flight.admission.may_write_unseen()
    }

    /// What becomes of the answer.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        Verdict::of(self.head.status, self.in_flight.admission.funding)
    }

    /// The answer goes on as it came, and is not charged.
    #[must_use]
    pub fn pass_on(self) -> Vec<Effect> {
        vec![Effect::AnswerHead(self.in_flight.answer_head()), Effect::Release(self.owed)]
    }

    /// The answer goes no further, and is not charged. Gives what is owed, which the caller of this must
    /// release.
    pub fn put_aside(self) -> Owed {
        self.owed
    }

    /// Tells the operator that the provider refused the platform's key.
    #[must_use]
    pub fn key_refused(&self) -> Effect {
        let provider = self.in_flight.admission.provider.clone();
        Effect::KeyRefused { provider, status: self.head.status }
    }

    /// The answer will be charged, and more of it follows. The head of a stream goes on at once.
    pub fn begins(&mut self) -> Vec<Effect> {
        self.let_stream_go().into_iter().collect()
    }

    /// Reads more of the answer, the last of it if `end`. A held answer waits as long as it fits into
    /// `held_max` bytes.
    pub fn read(&mut self, now: Now, bytes: &[u8], end: bool, held_max: u64) -> Vec<Effect> {
        let passed = self.answer.push(bytes);
        if self.answer.has_text() {
            self.in_flight.watch.has_text(now.tick);
        }
        // The bytes may show that the answer is a stream, even if its head said otherwise. Then its head goes
        // on at once, without a cost.
        let mut effects: Vec<Effect> = self.let_stream_go().into_iter().collect();
        let tail = if end {
            self.answer.finish()
        } else {
            effects.extend(self.hold(bytes.len(), held_max));
            Vec::new()
        };
        effects.extend(passed.replacing(bytes, &tail).map(Effect::ReplaceBody));
        effects
    }

    /// A stream's head does not wait.
    fn let_stream_go(&mut self) -> Option<Effect> {
        let goes = self.answer.is_stream() && self.held.take().is_some();
        goes.then(|| Effect::AnswerHead(self.in_flight.answer_head()))
    }

    /// So many bytes more wait with the head; if that is too much, the head goes on without its cost.
    fn hold(&mut self, bytes: usize, held_max: u64) -> Option<Effect> {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.held = self.held.map(|held| held.saturating_add(bytes));
        let is_too_much = self.held.take_if(|held| *held > held_max).is_some();
        is_too_much.then(|| Effect::AnswerHead(self.in_flight.answer_head()))
    }

    /// The answer came to its end. Gives its one settlement or release and, if a held head has a cost to tell,
    /// the head that waits for the settlement.
    #[must_use]
    pub fn ended(self, now: Now, story: &mut Story) -> (Option<Settling>, Vec<Effect>) {
        let known = self.in_flight.known;
        let held = self.is_held().then(|| self.in_flight.answer_head());
        let (settlement, cost) = self.settled(now, Ending::Complete, story);
        match (held, cost) {
            (None, _) => (None, vec![settlement]),
            (Some(head), None) => (None, vec![settlement, Effect::AnswerHead(head)]),
            (Some(mut head), Some(cost)) => {
                head.add.push(("x-matrix-cost-pax", cost.text()));
                (Some(Settling { head, known, cost }), vec![settlement])
            }
        }
    }

    /// The answer did not come to its end.
    #[must_use]
    pub fn broken_off(self, now: Now, by: ClosedBy, story: &mut Story) -> Effect {
        let ending = match by {
            ClosedBy::Caller => Ending::CallerGone,
            ClosedBy::Provider => Ending::ProviderBrokeOff,
        };
        let was_held = self.is_held();
        let charged = self.settled(now, ending, story).0;
        if was_held && by == ClosedBy::Provider {
            story.replied_in_place_of_held();
        }
        charged
    }

    fn settled(self, now: Now, ending: Ending, story: &mut Story) -> (Effect, Option<Pax>) {
        let answered = Answered {
            status: Some(self.head.status),
            provider_request_id: self.head.request_id,
            stream: self.answer.is_stream(),
            ending,
            said: self.answer.said(),
            lasted: self.in_flight.watch.stop(now.tick),
        };
        settlement(self.owed, answered, now, story)
    }
}

impl Settling {
    /// The head with the cost, and with what the account has left after the settlement.
    #[must_use]
    pub fn told(mut self, daily: Option<Daily>) -> Effect {
        self.head.add.extend(self.known.told(daily, self.cost));
        Effect::AnswerHead(self.head)
    }
}

/// The settlement by one debit, with its cost; a release if there is nothing to charge.
fn settlement(owed: Owed, answered: Answered, now: Now, story: &mut Story) -> (Effect, Option<Pax>) {
    let (ending, lasted) = (answered.ending, answered.lasted);
    let debit = debit_of(owed.admission(), answered, now.wall);
    story.settle(ending, lasted, debit.as_ref());
    match debit {
        Some(debit) => {
            let cost = debit.cost_pax;
            (Effect::Settle { owed, debit: Box::new(debit) }, Some(cost))
        }
        None => (Effect::Release(owed), None),
    }
}
