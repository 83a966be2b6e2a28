//! What a refusal says to its caller, who reads it in the middle of the night: what to do first, then why.

use crate::clock::Moment;
use crate::json::MAX_DEPTH;
use crate::pax::Pax;
use crate::refusal::{Refusal, fits};
use crate::request::RequestError;

/// What a refusal says to the caller.
pub(crate) fn message(refusal: &Refusal) -> String {
    match refusal {
        Refusal::UnknownHost => {
            "This gateway does not answer to the host of this request, or the request names none or two. Use the base URL that the gateway's operator gave you; the operator lists hosts under \"hosts\" (GATEWAY_HOSTS)."
                .to_owned()
        }
        Refusal::UnknownRoute => {
            "This gateway serves POST /v1/chat/completions, POST /v1/embeddings, GET /v1/models, GET /v1/credits and GET /v1/credits/ledger. Check the base URL: it ends in /v1."
                .to_owned()
        }
        Refusal::MethodNotAllowed { allow } => format!("This path takes {allow} only."),
        Refusal::InvalidHeader { name } => {
            format!("Header {name} stands twice, contradicts another, is empty or too long, or has characters it cannot have. Send it once, in plain ASCII.")
        }
        Refusal::InvalidSlot => {
            "X-Matrix-Slot must be a slot's name: at most 64 of a-z, 0-9, '-' and '_'. Leave it out for the default slot."
                .to_owned()
        }
        Refusal::ByoMissingKey => {
            "A call with a provider key of your own needs the key: send it in X-Matrix-BYO-API-Key, or send X-Matrix-BYO-API-Key: true and the key in X-Matrix-User-API-Key."
                .to_owned()
        }
        Refusal::InvalidApiKey => {
            "No valid token. Send `Authorization: Bearer <token>` with a token that the gateway's operator gave you and that was not revoked."
                .to_owned()
        }
        Refusal::AccountDisabled => "This account is disabled. Ask the gateway's operator.".to_owned(),
        Refusal::Body(error) => body_message(error),
        Refusal::ModelNotFound { model, own_key: true } => {
            format!("No provider of this gateway is known for model {model:?} on this route, so a key of your own has nowhere to go. Check the model's name and the route.")
        }
        Refusal::ModelNotFound { model, own_key: false } => {
            format!("Model {model:?} has no price here for this route. GET /v1/models lists those that you may use.")
        }
        Refusal::ModelNotAllowed { model, slot, own_keys: true } => {
            format!("Model {model:?} is not among the free models of slot {slot:?}. Take one of GET /v1/models, or call it with a provider key of your own in X-Matrix-BYO-API-Key.")
        }
        Refusal::ModelNotAllowed { model, slot, own_keys: false } => {
            format!("Model {model:?} is not among the free models of slot {slot:?}. Take one of GET /v1/models; its provider takes no key of your own in X-Matrix-BYO-API-Key.")
        }
        Refusal::OwnKeyNotTaken { model } => {
            format!("The provider of model {model:?} takes no key of your own, so the call cannot be paid by one. Leave out X-Matrix-BYO-API-Key, or take a model whose \"own_keys\" is true in GET /v1/models.")
        }
        Refusal::DailyCapExceeded { spent, reserved, needed, limit, resets_at, own_keys } => {
            let means = way_out(*limit, *spent, *needed, *resets_at);
            let own_key = match own_keys {
                true => ", or call with a provider key of your own in X-Matrix-BYO-API-Key",
                false => "",
            };
            format!("This call can cost up to {needed} PAX, and of today's {limit} PAX {spent} are spent and {reserved} reserved by calls in flight. {means}{own_key}.")
        }
        Refusal::ProviderRefusedPlatformKey => {
            "The provider refused this gateway's own key for the call, which no change of the call mends. Nothing was charged. Tell the gateway's operator, or take another provider's model of GET /v1/models."
                .to_owned()
        }
        Refusal::UpstreamFailed => {
            "The provider sent something that is no answer to the call. Nothing was charged. Take another model, or tell the gateway's operator."
                .to_owned()
        }
        Refusal::RequestTooLarge { limit_bytes } => {
            format!("The request is larger than {limit_bytes} bytes. Send a shorter prompt or smaller attachments.")
        }
        Refusal::UnsupportedEncoding => {
            "The request body is compressed. Send it without Content-Encoding.".to_owned()
        }
        Refusal::TooManyBytesOpen { own: true } => {
            "The requests that this account has open here take all the memory that one account may. Wait until one of them has ended, send fewer at once, or smaller ones."
                .to_owned()
        }
        Refusal::TooManyBytesOpen { own: false } => {
            "The requests that are open here take all the memory that they may. Try again shortly.".to_owned()
        }
        Refusal::TooManyStrangers => {
            "The gateway does not know yet whose token this is, and has no room for more requests of which it does not know that. Try again shortly."
                .to_owned()
        }
        Refusal::LedgerUnavailable => {
            "The gateway cannot reach its ledger, so it cannot take calls. Try again shortly.".to_owned()
        }
        Refusal::GatewayDisabled => "The gateway takes no calls at the moment. Try again later.".to_owned(),
        Refusal::NotReady(why) => why.message().to_owned(),
    }
}

/// What a caller can do whose call does not fit its daily cap: never something that cannot help.
fn way_out(limit: Pax, spent: Pax, needed: Pax, resets_at: Moment) -> String {
    if limit <= Pax::ZERO {
        "Ask the gateway's operator for a daily cap above zero".to_owned()
    } else if needed > limit {
        "Lower max_tokens".to_owned()
    } else if fits(spent, needed, limit) {
        "Wait for the calls in flight to end, lower max_tokens".to_owned()
    } else {
        format!("Lower max_tokens, wait until {resets_at}")
    }
}

fn body_message(error: &RequestError) -> String {
    match error {
        RequestError::NotJson(error) => format!(
            "The body is not JSON: {} (byte {}). Send one JSON object in UTF-8, nested at most {MAX_DEPTH} deep.",
            error.what, error.at
        ),
        RequestError::NotAnObject => "The body must be a JSON object.".to_owned(),
        RequestError::Twice(key) => {
            format!("Key {key:?} stands twice in one object. Send it once, so that everybody reads the same.")
        }
        RequestError::Spelling(key) => {
            format!(
                "A key differs from {key:?} in case only. Spell it {key:?}, so that everybody reads the same."
            )
        }
        RequestError::WrongType { key, must_be } => format!("{key:?} must be {must_be}."),
        RequestError::MissingModel => "The body names no model. Set \"model\".".to_owned(),
        RequestError::Unpriced { names, provider } => {
            let names: Vec<String> = names.iter().map(|name| format!("{name:?}")).collect();
            format!(
                "This gateway sends provider {provider} only request options that change neither the price nor the bounds of a call, or that its rate card prices, and these are not among them: {}. Leave them out. The gateway's operator lets an option of the provider's pass in providers.{provider}.options.",
                names.join(", ")
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_caller_is_told_to_do_can_help() {
        let told = |limit: i64, spent: i64, needed: i64| {
            let [limit, spent, needed] = [limit, spent, needed].map(Pax::from_picopax);
            let (reserved, resets_at) = (Pax::from_picopax(5), Moment::default());
            let own_keys = limit > Pax::from_picopax(9);
            Refusal::DailyCapExceeded { spent, reserved, needed, limit, resets_at, own_keys }.message()
        };
        for (message, wait, less, operator) in [
            (told(10, 9, 2), "wait until 1970", true, false),
            (told(10, 4, 2), "Wait for the calls in flight", true, false),
            (told(10, 0, 11), "", true, false),
            (told(0, 0, 1), "", false, true),
        ] {
            assert!(message.contains(wait), "{message}");
            assert_eq!(message.to_lowercase().contains("wait"), !wait.is_empty(), "{message}");
            assert_eq!(message.to_lowercase().contains("lower max_tokens"), less, "{message}");
            assert_eq!(message.contains("operator"), operator, "{message}");
            assert_eq!(message.contains("X-Matrix-BYO-API-Key"), !operator, "{message}");
        }
        let own_key = Refusal::ModelNotFound { model: "x".to_owned(), own_key: true }.message();
        assert!(own_key.contains("No provider") && !own_key.contains("price"), "{own_key}");
    }
}
