//! What a call can cost at most, as long as its provider keeps its own limits, and the maximum that is written into its
//! request so that it can cost no more.

use crate::base::pax::{Pax, Tokens};
use crate::base::text_bytes::TextBytes;
use crate::dialect::provider::{Provider, StopsAt};
use crate::dialect::usage::Mode;
use crate::price::card::{Model, bytes_per_token};
use crate::price::rates::ServiceTier;
use crate::reading::request::edits::WrittenMaximum;
use crate::reading::request::parsed::Request;

/// Tokens of output if nothing bounds them: for a call that costs nothing, and for an estimate of text that
/// proves that its maximum was not kept.
pub const UNBOUNDED: u64 = 1_000_000_000;
/// A generous number of tokens that a model's chat template adds to a prompt's own.
const TEMPLATE_OVERHEAD: u64 = 1_024;

/// The bounds of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The most input there can be.
    pub input: Tokens,
    /// The most output there can be, all answers together.
    pub output: Tokens,
    /// What the request says of its output's maximum when it goes upstream; none to leave it alone.
    pub maximum: Option<WrittenMaximum>,
    /// Whether input and output share the context window, so that both together are never above it.
    pub shares_window: bool,
    /// Whether the provider may count input that the model has no price for, which is then charged at the
    /// model's dearest rate.
    unpriced_input: bool,
}

impl Bounds {
    /// The bounds of a call on platform funding. `clamp` is the operator's maximum for a request that states
    /// none.
    #[must_use]
    pub fn of(request: &Request, model: &Model, provider: &Provider, clamp: Option<u64>) -> Self {
        let input = most_input(request, model);
        let unpriced_input = may_be_unpriced(request, model);
        let bounded = |output: u64, tokens: Option<u64>| Self {
            input,
            output: Tokens(output.saturating_mul(request.n)),
            maximum: Some(WrittenMaximum { field: provider.output_maximum, tokens }),
            shares_window: false,
            unpriced_input,
        };
        let (most, window) = (model.max_output.0, model.context_window.0);
        if model.mode == Mode::Embeddings {
            let output = Tokens::ZERO;
            return Self { input, output, maximum: None, shares_window: false, unpriced_input };
        }
        if let Some(stated) = request.stated_maximum(provider.output_maximum) {
            return bounded(stated.min(most), Some(stated.min(most)));
        }
        if let Some(clamp) = clamp.filter(|clamp| *clamp < most) {
            return bounded(clamp, Some(clamp));
        }
        match provider.stops_at {
            StopsAt::ModelMaximum => bounded(most, None),
            // The maximum is written only if it fits: the server would refuse it beside a long prompt.
            StopsAt::ContextEnd if input.0.saturating_add(most) <= window => bounded(most, Some(most)),
            StopsAt::ContextEnd if request.n > 1 => bounded(window, None),
            StopsAt::ContextEnd => {
                let prompt = model.factors.tokens(input_text(request, Some(model))).min(input);
                let output = model.context_window.saturating_sub(prompt);
                Self { shares_window: true, output, ..bounded(window, None) }
            }
        }
    }

    /// The bounds of a call with the caller's own key, which costs nothing here: its request is left alone.
    #[must_use]
    pub fn of_own_key(request: &Request, model: Option<&Model>, provider: &Provider) -> Self {
        let stated = request.maximum(provider.output_maximum).and_then(|member| member.number);
        let most = model.map_or(UNBOUNDED, |model| model.max_output.0);
        let output = stated.unwrap_or(most).min(most).saturating_mul(request.n).min(UNBOUNDED);
        let input = model.map_or(Tokens(request.body_bytes), |model| most_input(request, model));
        let (output, unpriced_input) = (Tokens(output), false);
        Self { input, output, maximum: None, shares_window: false, unpriced_input }
    }

    /// The most that the call can cost. `asked` is what its request says of a service tier.
    #[must_use]
    pub fn ceiling(&self, model: &Model, asked: &ServiceTier) -> Pax {
        match (self.shares_window, self.unpriced_input) {
            (true, true) => model.unpriced_window_ceiling(asked),
            (true, false) => model.window_ceiling(asked),
            (false, true) => model.unpriced_ceiling(self.input, self.output, asked),
            (false, false) => model.ceiling(self.input, self.output, asked),
        }
    }
}

/// Text of a request that an estimate counts as its input: a token that is given as a number counts as the
/// card's bytes per token.
#[must_use]
pub fn input_text(request: &Request, model: Option<&Model>) -> TextBytes {
    let ascii = request.given_tokens.saturating_mul(bytes_per_token(model));
    request.text.plus(TextBytes { ascii, other: 0 })
}

fn most_input(request: &Request, model: &Model) -> Tokens {
    // A token is at least a byte.
    let bytes = Tokens(request.body_bytes.saturating_add(TEMPLATE_OVERHEAD));
    match model.mode {
        // Each text has the whole window, and a call may bring many texts.
        Mode::Embeddings => bytes,
        _ if request.not_text => model.context_window,
        _ => bytes.min(model.context_window),
    }
}

/// Whether a provider may count pictures or cache writes that the request brings and the model has no price for.
fn may_be_unpriced(request: &Request, model: &Model) -> bool {
    let rates = &model.prices.rates;
    request.not_text && rates.image_input.is_none() || request.caches && rates.cache_write.is_none()
}

/// The most output that an estimate of a text of so many bytes counts: `limit`, unless the text disproves it.
/// On average tokens never have twice the bytes that the card gives them: if there is more text, the provider
/// did not keep the maximum, and the maximum bounds nothing.
#[must_use]
pub fn estimated_output_limit(limit: Tokens, text_bytes: u64, bytes_per_token: u64) -> Tokens {
    const SLACK_BYTES: u64 = 64;
    let plausible = limit.0.saturating_mul(bytes_per_token).saturating_mul(2).saturating_add(SLACK_BYTES);
    if text_bytes > plausible { Tokens(UNBOUNDED).max(limit) } else { limit }
}

#[cfg(test)]
#[path = "bounds_test.rs"]
mod tests;
