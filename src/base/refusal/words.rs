//! The message of a refusal, for a caller who reads it in the middle of the night: first what to do, then
//! why.

use crate::base::json::reader::MAX_DEPTH;
use crate::base::pax::Pax;
use crate::base::refusal::refusals::{CostLess, Refusal, fits};
use crate::base::refusal::request_error::RequestError;

impl Refusal {
    /// The message for the caller.
    #[must_use]
    pub fn message(&self) -> String {
        message(self)
    }
}

fn message(refusal: &Refusal) -> String {
    match refusal {
        Refusal::UnknownHost => {
            "Use the base URL that the gateway's operator gave you: the gateway does not answer to the host that this request names, or it names none, or two. The operator lists hosts under \"hosts\" (GATEWAY_HOSTS)."
                .to_owned()
        }
        Refusal::UnknownRoute(path) => path.to_string(),
        Refusal::MethodNotAllowed { allow } => format!("Use {allow}: this path takes no other method."),
        Refusal::InvalidHeader { name } => {
            let name = cut(name);
            format!("Send header {name} once, in plain ASCII: it stands twice, contradicts another, is empty or too long, or has characters that it cannot have.")
        }
        Refusal::InvalidSlot => {
            "Leave out X-Matrix-Slot for the default slot, or send a slot's name: at most 64 of a-z, 0-9, '-' and '_'."
                .to_owned()
        }
        Refusal::ByoMissingKey => {
            "Send your provider key in X-Matrix-BYO-API-Key, or send X-Matrix-BYO-API-Key: true and the key in X-Matrix-User-API-Key: this call has one of the two without the other, or an empty key."
                .to_owned()
        }
        Refusal::InvalidApiKey => {
            "Send `Authorization: Bearer <token>` with a token that the gateway's operator gave you: the token of this call is missing, unknown here, or revoked."
                .to_owned()
        }
        Refusal::AccountDisabled => "Ask the gateway's operator: this account is disabled.".to_owned(),
        Refusal::Body(error) => body_message(error),
        Refusal::RequestTooLarge { limit_bytes } => {
            format!("Send a shorter prompt or smaller attachments: the request is larger than {limit_bytes} bytes.")
        }
        Refusal::UnsupportedEncoding => {
            "Send the request body without Content-Encoding: this one is compressed.".to_owned()
        }
        Refusal::DailyCapExceeded { spent, reserved, needed, limit, .. } => {
            let [spent, reserved, needed, limit] = [spent, reserved, needed, limit].map(|pax| pax.short());
            let ways = ways_out(refusal);
            format!("{ways}: this call can cost up to {needed} PAX, and of today's {limit} PAX {spent} are spent and {reserved} are set aside for calls in flight.")
        }
        Refusal::InsufficientCredit { balance, held, needed, .. } => {
            let [balance, held, needed] = [balance, held, needed].map(|pax| pax.short());
            let ways = ways_out_of_debt(refusal);
            format!("{ways}: this call can cost up to {needed} PAX, and of this account's {balance} PAX {held} are set aside for calls in flight.")
        }
        Refusal::ModelNotFound { .. }
        | Refusal::ModelOfAnotherRoute { .. }
        | Refusal::ProviderNotConfigured { .. }
        | Refusal::NoPlatformKey { .. }
        | Refusal::ModelNotAllowed { .. }
        | Refusal::OwnKeyNotTaken { .. } => model_message(refusal),
        Refusal::ProviderRefusedPlatformKey => {
            "Take another provider's model of GET /v1/models, or tell the gateway's operator: the provider refused this gateway's own key for the call, which no change of the call mends. Nothing was charged."
                .to_owned()
        }
        Refusal::UpstreamFailed => {
            "Take another model, or tell the gateway's operator: the provider sent something that is no answer to the call. Nothing was charged."
                .to_owned()
        }
        Refusal::TooManyBytesOpen { .. } | Refusal::TooManyStrangers => no_room_message(refusal).to_owned(),
        Refusal::LedgerUnavailable => {
            "Try again shortly: the gateway cannot reach its ledger, so it cannot take calls.".to_owned()
        }
        Refusal::GatewayDisabled => "Try again later: the gateway takes no calls at the moment.".to_owned(),
        Refusal::BodiesKeptBack => {
            "Tell the gateway's operator to set allow_on_headers_stop_iteration: true in the filter's configuration in Envoy: without it Envoy keeps the bodies of requests from the filter, and no calls can be taken."
                .to_owned()
        }
        Refusal::NotReady(why) => why.message().to_owned(),
    }
}

fn no_room_message(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::TooManyBytesOpen { own: true } => {
            "Wait until one of this account's open requests has ended, or send fewer at once, or smaller ones: they take all the memory here that one account may."
        }
        Refusal::TooManyBytesOpen { own: false } => {
            "Try again shortly: the requests that are open here take all the memory that they may."
        }
        Refusal::TooManyStrangers => {
            "Try again shortly: the gateway is still asking whose token this is, and has no room for more requests of which it does not know that."
        }
        // The others do not wait for room.
        _ => "",
    }
}

/// The message about a model that the caller cannot call in this way.
fn model_message(refusal: &Refusal) -> String {
    const OWN_KEY: &str = "a provider key of your own in X-Matrix-BYO-API-Key";
    match refusal {
        Refusal::ModelNotFound { model, own_key, near } => {
            let near = match near.as_slice() {
                [] => "Take one of GET /v1/models".to_owned(),
                names => format!("Did you mean {}? GET /v1/models has all that you may use", one_of(names)),
            };
            match own_key {
                true => format!(
                    "{near}: no provider of this gateway is known for model {model:?}, so a key of your own has nowhere to go."
                ),
                false => format!("{near}: model {model:?} has no price here."),
            }
        }
        Refusal::ModelOfAnotherRoute { model, path } => {
            format!("Call POST {path}: model {model:?} is served there, and not on this path.")
        }
        Refusal::ProviderNotConfigured { model, provider } => {
            format!(
                "Take another model of GET /v1/models: the provider of model {model:?}, {provider:?}, is not configured here. The gateway's operator configures it at providers.{provider}."
            )
        }
        Refusal::NoPlatformKey { model, provider, own_keys: true } => {
            format!(
                "Send {OWN_KEY}, or take a model of GET /v1/models: this gateway has no key of its own for provider {provider:?}, which serves model {model:?}."
            )
        }
        Refusal::NoPlatformKey { model, provider, own_keys: false } => {
            format!(
                "Take another model of GET /v1/models: this gateway has no key of its own for provider {provider:?}, which serves model {model:?} and takes no key of yours."
            )
        }
        Refusal::ModelNotAllowed { model, slot, own_keys: true } => {
            format!(
                "Take a model of GET /v1/models, or send {OWN_KEY}: model {model:?} is not among the free models of slot {slot:?}."
            )
        }
        Refusal::ModelNotAllowed { model, slot, own_keys: false } => {
            format!(
                "Take a model of GET /v1/models: model {model:?} is not among the free models of slot {slot:?}, and its provider takes no key of your own."
            )
        }
        Refusal::OwnKeyNotTaken { model } => {
            format!(
                "Leave out X-Matrix-BYO-API-Key, or take a model whose \"own_keys\" is true in GET /v1/models: the provider of model {model:?} takes no key of your own."
            )
        }
        // The other refusals are not about a model.
        _ => String::new(),
    }
}

/// Names, in quotes: `"a", "b" or "c"`.
fn one_of(names: &[String]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("{name:?}")).collect();
    listed(&quoted, " or ")
}

/// The items with commas between them, and `last` before the last one.
fn listed(items: &[String], last: &str) -> String {
    match items.split_last() {
        Some((end, rest)) if !rest.is_empty() => [&rest.join(", "), last, end].concat(),
        Some((end, _)) => end.clone(),
        None => String::new(),
    }
}

/// As much of a header's name as the message repeats.
fn cut(name: &str) -> &str {
    name.get(..64).unwrap_or(name)
}

/// What a caller can do if its call does not fit the daily cap. Only ways that can help are named.
fn ways_out(refusal: &Refusal) -> String {
    let Refusal::DailyCapExceeded { spent, needed, limit, resets_at, own_keys, less, .. } = refusal else {
        return String::new();
    };
    let less = less.words();
    // A day begins on a whole second: the milliseconds are always zero.
    let wait = format!("wait until {}", resets_at.to_string().replace(".000Z", "Z"));
    let mut ways: Vec<String> = if *limit <= Pax::ZERO {
        vec!["ask the gateway's operator for a daily cap above zero".to_owned()]
    } else if needed > limit && spent >= limit {
        vec![format!("{wait}, and {less}")]
    } else if needed > limit {
        vec![less.to_owned()]
    } else if fits(*spent, *needed, *limit) {
        vec!["wait for the calls in flight to end".to_owned(), less.to_owned()]
    } else if spent >= limit {
        vec![wait]
    } else {
        vec![less.to_owned(), wait]
    };
    if *own_keys {
        ways.push(WITH_OWN_KEY.to_owned());
    }
    sentence(&ways)
}

/// What a caller can do if its call does not fit the balance.
fn ways_out_of_debt(refusal: &Refusal) -> String {
    let Refusal::InsufficientCredit { balance, needed, own_keys, less, .. } = refusal else {
        return String::new();
    };
    let mut ways = vec!["ask the gateway's operator for more credit".to_owned()];
    if needed <= balance {
        ways.insert(0, "wait for the calls in flight to end".to_owned());
    }
    if *balance > Pax::ZERO {
        ways.push(less.words().to_owned());
    }
    if *own_keys {
        ways.push(WITH_OWN_KEY.to_owned());
    }
    sentence(&ways)
}

const WITH_OWN_KEY: &str = "call with a provider key of your own in X-Matrix-BYO-API-Key";

impl CostLess {
    const fn words(self) -> &'static str {
        match self {
            Self::StateMaximum => "state max_tokens (without it the model's whole maximum is set aside)",
            Self::LowerMaximum => "lower max_tokens",
            Self::SendLess => "send less input",
        }
    }
}

/// The ways as the beginning of a sentence.
fn sentence(ways: &[String]) -> String {
    let ways = listed(ways, " or ");
    let (first, rest) = ways.split_at_checked(1).unwrap_or_default();
    [&first.to_ascii_uppercase(), rest].concat()
}

fn body_message(error: &RequestError) -> String {
    match error {
        RequestError::NotJson(error) => format!(
            "Send one JSON object in UTF-8, nested at most {MAX_DEPTH} deep: the body is not JSON, {} (byte {}).",
            error.what, error.at
        ),
        RequestError::NotAnObject => "Send a JSON object: the body is another JSON value.".to_owned(),
        RequestError::Twice(key) => {
            format!(
                "Send key {key:?} once: it stands twice in one object, and not everybody would read the same."
            )
        }
        RequestError::Spelling(key) => {
            format!(
                "Spell key {key:?} so: one differs from it in case only, and not everybody would read the same."
            )
        }
        RequestError::WrongType { key, must_be } => format!("{key:?} must be {must_be}."),
        RequestError::MissingModel => {
            "Set \"model\": the body names none. GET /v1/models lists those that you may use.".to_owned()
        }
        RequestError::Unpriced { names, provider } => {
            let names: Vec<String> = names.iter().map(|name| format!("{name:?}")).collect();
            format!(
                "Leave out {}: this gateway sends provider {provider} only request options that change neither the price nor the bounds of a call, or that its rate card prices. The gateway's operator lets an option of the provider's pass in providers.{provider}.options.",
                names.join(", ")
            )
        }
    }
}

#[cfg(test)]
#[path = "words_test.rs"]
mod tests;
