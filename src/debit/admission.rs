//! What a debit is made of: what was admitted, and what was answered.

use std::sync::Arc;

use crate::base::account::{Account, Funding};
use crate::base::clock::Moment;
use crate::base::exchange_id::ExchangeId;
use crate::base::pax::{Pax, Tokens};
use crate::base::stopwatch::Lasted;
use crate::base::text_bytes::TextBytes;
use crate::debit::frozen::Ending;
use crate::dialect::usage::{Mode, Rules};
use crate::price::card::{Model, RateCard};
use crate::reading::answer::said::Said;

/// A call that was let through: all that its debit will say of it, frozen at admission.
#[derive(Clone, Debug)]
pub struct Admission {
    /// The idempotency key.
    pub exchange_id: ExchangeId,
    /// When it was admitted: its UTC date is the day it counts on.
    pub admitted_at: Moment,
    /// Whom it debits.
    pub account: Arc<Account>,
    /// Whose provider key pays.
    pub funding: Funding,
    /// The slot, default included.
    pub slot: String,
    /// `X-Matrix-Intent-ID`.
    pub intent_id: Option<String>,
    /// `X-Matrix-Goal-ID`.
    pub goal_id: Option<String>,
    /// Which of the metered calls.
    pub mode: Mode,
    /// Whether the caller asked for a stream.
    pub wants_stream: bool,
    /// The card in force at admission; the exchange keeps it to its end.
    pub card: Arc<RateCard>,
    /// The public model id.
    pub model: String,
    /// The model as the caller named it, if that is another name of it.
    pub asked_model: Option<String>,
    /// Who serves it.
    pub provider: String,
    /// How its provider's raw usage is read.
    pub usage_rules: Rules,
    /// The service tier that was asked for, if the card prices it; none for the standard one.
    pub service_tier: Option<String>,
    /// How many answers are wanted.
    pub n: u64,
    /// The maximum of each answer that the caller states to the provider.
    pub stated_maximum: Option<Tokens>,
    /// Text in the request, for an estimate.
    pub input: TextBytes,
    /// Whether any part of the request is not text.
    pub not_text: bool,
    /// Whether input and output share the context window.
    pub shares_window: bool,
    /// The most input there can be.
    pub input_limit: Tokens,
    /// The most output there can be.
    pub output_limit: Tokens,
    /// What is set aside of the account's daily cap in shared data; none if nothing is.
    pub reservation: Option<Pax>,
    /// What is set aside in the ledger, by a hold; none if the call needs none.
    pub hold: Option<Pax>,
}

impl Admission {
    /// The price of the model under the card of the admission. A call with the caller's own key may be for a model
    /// that the card does not know.
    #[must_use]
    pub fn priced(&self) -> Option<&Model> {
        self.card.models.get(&self.model).filter(|model| model.mode == self.mode)
    }

    /// What is set aside for the call, in shared data or in the ledger.
    #[must_use]
    pub fn set_aside(&self) -> Option<Pax> {
        self.reservation.or(self.hold)
    }

    /// Whether the provider may write text that the caller does not see at once.
    #[must_use]
    pub fn may_write_unseen(&self) -> bool {
        let hides = || self.priced().is_some_and(|model| model.hidden_reasoning);
        self.mode != Mode::Embeddings && (!self.wants_stream || hides())
    }
}

/// How an answer ended, for its debit.
#[derive(Clone, Debug)]
pub struct Answered {
    /// The provider's status; none if the caller was gone before it came.
    pub status: Option<u16>,
    /// The provider's own id of the request.
    pub provider_request_id: Option<String>,
    /// Whether the answer was a stream.
    pub stream: bool,
    /// How it ended.
    pub ending: Ending,
    /// What it said.
    pub said: Said,
    /// How long it took.
    pub lasted: Lasted,
}

impl Answered {
    /// A call without an answer's head: the caller was gone before it came, or no answer is known.
    #[must_use]
    pub fn without_head(admission: &Admission, lasted: Lasted) -> Self {
        Self {
            status: None,
            provider_request_id: None,
            stream: admission.wants_stream,
            ending: Ending::NoAnswer,
            said: Said::default(),
            lasted,
        }
    }
}
