//! What a call can cost at most, as long as its provider keeps its own limits, and the maximum that is written into its
//! request so that it can cost no more.

use crate::card::{Model, bytes_per_token};
use crate::pax::{Pax, Tokens};
use crate::price::ServiceTier;
use crate::provider::{Provider, StopsAt};
use crate::request::{Request, WrittenMaximum};
use crate::usage::Mode;

/// Tokens of output where nothing bounds them: for a call that costs nothing, and for an estimate of text that is
/// there.
pub const UNBOUNDED: u64 = 1_000_000_000;
/// A model's chat template adds some tokens to a prompt's own: generously.
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
    shares_window: bool,
}

impl Bounds {
    /// Of a call on platform funding. `clamp` is the operator's maximum for a request that states none.
    #[must_use]
    pub fn of(request: &Request, model: &Model, provider: &Provider, clamp: Option<u64>) -> Self {
        let input = most_input(request, model);
        let bounded = |output: u64, tokens: Option<u64>| Self {
            input,
            output: Tokens(output.saturating_mul(request.n)),
            maximum: Some(WrittenMaximum { field: provider.output_maximum, tokens }),
            shares_window: false,
        };
        let (most, window) = (model.max_output.0, model.context_window.0);
        if model.mode == Mode::Embeddings {
            return Self { input, output: Tokens::ZERO, maximum: None, shares_window: false };
        }
        if let Some(stated) = request.stated_maximum(provider.output_maximum) {
            return bounded(stated.min(most), Some(stated.min(most)));
        }
        if let Some(clamp) = clamp.filter(|clamp| *clamp < most) {
            return bounded(clamp, Some(clamp));
        }
        match provider.stops_at {
            StopsAt::ModelMaximum => bounded(most, None),
            // Written wherever it fits: beside a long prompt the server would refuse it.
            StopsAt::ContextEnd if input.0.saturating_add(most) <= window => bounded(most, Some(most)),
            StopsAt::ContextEnd if request.n > 1 => bounded(window, None),
            StopsAt::ContextEnd => {
                let prompt = tokens_of(input_bytes(request, Some(model)), model).min(input);
                let output = model.context_window.saturating_sub(prompt);
                Self { shares_window: true, output, ..bounded(window, None) }
            }
        }
    }

    /// Of a call with the caller's own key, which costs nothing here: its request is left alone.
    #[must_use]
    pub fn of_own_key(request: &Request, model: Option<&Model>, provider: &Provider) -> Self {
        let stated = request.maximum(provider.output_maximum).and_then(|member| member.number);
        let most = model.map_or(UNBOUNDED, |model| model.max_output.0);
        let output = stated.unwrap_or(most).min(most).saturating_mul(request.n).min(UNBOUNDED);
        let input = model.map_or(Tokens(request.body_bytes), |model| most_input(request, model));
        Self { input, output: Tokens(output), maximum: None, shares_window: false }
    }

    /// The most that the call can cost, if its request says this of a service tier.
    #[must_use]
    pub fn ceiling(&self, model: &Model, asked: &ServiceTier) -> Pax {
        if self.shares_window {
            return model.window_ceiling(asked);
        }
        model.ceiling(self.input, self.output, asked)
    }
}

/// Bytes of a request that an estimate counts as its input.
#[must_use]
pub fn input_bytes(request: &Request, model: Option<&Model>) -> u64 {
    let given = request.given_tokens.saturating_mul(bytes_per_token(model));
    request.text.all().saturating_add(given)
}

fn tokens_of(bytes: u64, model: &Model) -> Tokens {
    Tokens(bytes.div_ceil(bytes_per_token(Some(model))))
}

fn most_input(request: &Request, model: &Model) -> Tokens {
    // A token is at least a byte.
    let bytes = Tokens(request.body_bytes.saturating_add(TEMPLATE_OVERHEAD));
    match model.mode {
        // The window is each text's own, and a call may bring many.
        Mode::Embeddings => bytes,
        Mode::Chat if request.not_text => model.context_window,
        Mode::Chat => bytes.min(model.context_window),
    }
}

/// The most output that an estimate of a text of so many bytes counts: `limit`, unless the text disproves it. So many
/// tokens never have twice the bytes that the card gives them, as an average; a provider that wrote more did not keep
/// the maximum, and then it bounds nothing.
#[must_use]
pub fn estimated_output_limit(limit: Tokens, text_bytes: u64, bytes_per_token: u64) -> Tokens {
    const SLACK_BYTES: u64 = 64;
    let plausible = limit.0.saturating_mul(bytes_per_token).saturating_mul(2).saturating_add(SLACK_BYTES);
    if text_bytes > plausible { Tokens(UNBOUNDED).max(limit) } else { limit }
}

#[cfg(test)]
#[path = "bounds_test.rs"]
mod tests;
