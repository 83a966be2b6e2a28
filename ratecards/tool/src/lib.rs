//! pax-ratecard: the operator's tool for the rate cards of the gateway.
//!
//! The filter's own reader (`pax_gateway::price::card`, `pax_gateway::price::bundle`) judges every card;
//! nothing here has an opinion of its own about what a card may say. This tool adds the place of a mistake,
//! what looks wrong although it can be read, and what the next card would change.
//!
//! | module | what |
//! | --- | --- |
//! | [`spans`] | a JSON text with the place of every value, for lines and for edits that keep the rest as it is |
//! | [`folder`] | the folder: cards, LOCK, the draft |
//! | [`check`] | every mistake of every card, with file, line and path |
//! | [`speed`] | how fast models write, against what a card says of it |
//! | [`prices`] | the dollars of a card, one by one |
//! | [`diff`], [`show`] | what the next card changes, and how that is shown |
//! | [`reprice`] | what a period would have cost under another card |
//! | [`draft`], [`markup`] | starting the next card, with its prices raised |
//! | [`order`], [`publish`] | which card is in force when; publishing the draft, and again what it overtakes |
//! | [`litellm`], [`source`], [`listed`], [`unpriced`], [`model_text`] | prices from LiteLLM's list into a card |
//! | [`decimal`] | decimal texts: the point moves, no float |
//! | [`cli`] | the command line |

pub mod check;
pub mod cli;
pub mod decimal;
pub mod diff;
pub mod draft;
pub mod folder;
pub mod listed;
pub mod litellm;
pub mod markup;
pub mod model_text;
pub mod order;
pub mod prices;
pub mod publish;
pub mod reprice;
pub mod show;
pub mod source;
pub mod spans;
pub mod speed;
pub mod unpriced;

use std::fmt;

/// Why a command did not do what it was asked, said for the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed(pub String);

impl Failed {
    /// A failure of the file system or another part that speaks for itself.
    pub fn at(doing: impl fmt::Display, why: impl fmt::Display) -> Self {
        Self(format!("{doing}: {why}"))
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Failed {}
