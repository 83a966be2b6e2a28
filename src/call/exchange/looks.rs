//! What an exchange's state alone tells: whether the request or the answer waits, what is owed, and what is still of
//! interest.

use super::{Exchange, State};
use crate::base::exchange_id::ExchangeId;
use crate::base::text::AsText;
use crate::call::story::Story;

impl Exchange {
    /// Whether the request must not go on.
    #[must_use]
    pub const fn request_waits(&self) -> bool {
        match &self.state {
            State::Fresh
            | State::Resolving(_)
            | State::Reading(..)
            | State::Opening(_)
            | State::Holding(_)
            | State::Replied => true,
            State::Forwarded(_)
            | State::Answering(_)
            | State::Settling(_)
            | State::AtLedger
            | State::Replaced
            | State::Over => false,
        }
    }

    /// Whether the answer must not go on.
    #[must_use]
    pub const fn answer_waits(&self) -> bool {
        match &self.state {
            State::Answering(answering) => answering.is_held(),
            State::Settling(_) | State::Replaced => true,
            State::Fresh
            | State::Resolving(_)
            | State::Reading(..)
            | State::Opening(_)
            | State::Holding(_)
            | State::Forwarded(_)
            | State::AtLedger
            | State::Replied
            | State::Over => false,
        }
    }

    /// The call whose settlement or release is still to come.
    #[must_use]
    pub fn owed(&self) -> Option<ExchangeId> {
        match &self.state {
            State::Holding(holding) => Some(holding.owed()),
            State::Forwarded(forwarded) => Some(forwarded.owed()),
            State::Answering(answering) => Some(answering.owed()),
            State::Fresh
            | State::Resolving(_)
            | State::Reading(..)
            | State::Opening(_)
            | State::Settling(_)
            | State::AtLedger
            | State::Replied
            | State::Replaced
            | State::Over => None,
        }
    }

    /// Whether a settlement or a release is still to come.
    #[must_use]
    pub fn owes(&self) -> bool {
        self.owed().is_some()
    }

    /// The exchange's id; none before its head came.
    #[must_use]
    pub const fn id(&self) -> Option<ExchangeId> {
        self.id
    }

    /// The header with the exchange's id. Every answer carries it, so that a caller can name the call to the
    /// operator.
    #[must_use]
    pub fn request_id(&self) -> Option<(&'static str, String)> {
        self.id.map(|id| ("x-request-id", id.text()))
    }

    /// What the log and the metrics are to tell of the exchange.
    #[must_use]
    pub const fn story(&self) -> &Story {
        &self.story
    }

    /// Whether bytes of the request's body are still of interest.
    #[must_use]
    pub const fn reads_body(&self) -> bool {
        match &self.state {
            State::Resolving(arriving) | State::Reading(arriving, _) => arriving.reads_body(),
            _ => false,
        }
    }

    /// Whether the provider has the request, and has not answered yet.
    #[must_use]
    pub const fn is_forwarded(&self) -> bool {
        matches!(self.state, State::Forwarded(_))
    }

    /// Whether bytes of the answer's body are still of interest.
    #[must_use]
    pub const fn reads_answer(&self) -> bool {
        matches!(self.state, State::Answering(_))
    }

    /// Whether the time of the answer's next piece matters: it does until the first visible text is there.
    #[must_use]
    pub fn awaits_text(&self) -> bool {
        matches!(&self.state, State::Answering(answering) if answering.awaits_text())
    }
}
