//! Admission: who may call what, at which price, through which provider. The gate (whitelist, cap, holds) has
//! its place here.

use std::sync::Arc;

use crate::account::Account;
use crate::clock::Moment;
use crate::config::{Gateway, Provider, StreamUsage};
use crate::event::{AnswerHead, Forward};
use crate::exchange_id::ExchangeId;
use crate::head::Call;
use crate::refusal::Refusal;
use crate::request::{Request, edited_length};
use crate::settle::{Admission, limits};
use crate::usage::Mode;

/// A call that was let through and is not settled.
#[derive(Debug)]
pub struct InFlight {
    /// What its debit will say.
    pub admission: Admission,
    /// The caller's `stream`.
    pub wants_stream: bool,
    /// Whether the usage chunk is the filter's doing.
    pub takes_out: bool,
}

impl InFlight {
    /// What every answer to the call carries.
    #[must_use]
    pub fn answer_head(&self) -> AnswerHead {
        let add = vec![
            ("x-matrix-rate-table-version", self.admission.card.version.to_string()),
            ("x-matrix-exchange-id", self.admission.exchange_id.to_string()),
        ];
        AnswerHead { add, length_changes: self.takes_out }
    }
}

/// Lets a call through, or refuses it: finds the card in force, the model's price and its provider, and how
/// the request goes upstream.
///
/// # Errors
/// [`Refusal::ModelNotFound`], [`Refusal::GatewayDisabled`].
pub fn admit(
    gateway: &Gateway,
    exchange_id: ExchangeId,
    now: Moment,
    call: Call,
    account: Arc<Account>,
    request: Request,
) -> Result<(InFlight, Forward), Refusal> {
    let config = &gateway.config;
    let card = gateway.bundle.in_force(now).ok_or(Refusal::GatewayDisabled)?;
    let model = card.models.get(&request.model).filter(|model| model.mode == call.mode);
    let served = model.and_then(|model| Some((model, config.providers.get(&model.provider)?)));
    let Some((model, provider)) = served else {
        return Err(Refusal::ModelNotFound { model: request.model });
    };
    let (input_limit, output_limit) = limits(&request, model);
    let streams = request.stream && call.mode == Mode::Chat;
    let asks = streams && provider.stream_usage == StreamUsage::Ask;
    let edits = request.edits(model.upstream_model.as_deref(), asks);
    let forward = Forward {
        provider: model.provider.clone(),
        headers: upstream_headers(provider, &call),
        content_length: edited_length(request.body_bytes, &edits),
        edits,
    };
    let admission = Admission {
        exchange_id,
        admitted_at: now,
        account,
        slot: call.slot.clone().unwrap_or_else(|| config.default_slot.clone()),
        call,
        card: Arc::clone(card),
        input_bytes: request
            .text_bytes
            .saturating_add(request.given_tokens.saturating_mul(model.bytes_per_token)),
        input_limit,
        output_limit,
        model: request.model.clone(),
        usage_rules: provider.usage_rules,
    };
    let takes_out = asks && !request.asks_usage();
    Ok((InFlight { admission, wants_stream: streams, takes_out }, forward))
}

/// An allow-list: nothing else of the caller's head reaches a provider. The provider's key is put on by
/// Envoy, and its answer is asked for uncompressed so that it can be read.
fn upstream_headers(provider: &Provider, call: &Call) -> Vec<(&'static str, Vec<u8>)> {
    let route = match call.mode {
        Mode::Chat => "/chat/completions",
        Mode::Embeddings => "/embeddings",
    };
    let path = [provider.base_path.as_str(), route].concat();
    let mut headers = vec![
        (":method", b"POST".to_vec()),
        (":path", path.into_bytes()),
        (":authority", provider.authority.clone().into_bytes()),
        ("content-type", b"application/json".to_vec()),
        ("accept-encoding", b"identity".to_vec()),
    ];
    headers.extend(call.passed.iter().cloned());
    headers
}
