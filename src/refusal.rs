//! Every way to say no: status, stable code, and a message that tells the caller what to do next.

use serde::Serialize;

use crate::clock::Moment;
use crate::json::MAX_DEPTH;
use crate::pax::Pax;
use crate::readiness::Unready;
use crate::request::RequestError;

/// A refusal, in OpenAI's error shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The request is for a host that the gateway does not answer to.
    UnknownHost,
    /// No such path.
    UnknownRoute,
    /// The path takes another method.
    MethodNotAllowed {
        /// The one it takes.
        allow: &'static str,
    },
    /// A header that stands twice or cannot be read.
    InvalidHeader {
        /// Its name.
        name: String,
    },
    /// `X-Matrix-Slot` names no slot.
    InvalidSlot,
    /// A call with the caller's own provider key, and no key.
    ByoMissingKey,
    /// No token, or one that nobody has.
    InvalidApiKey,
    /// The account was switched off.
    AccountDisabled,
    /// The body.
    Body(RequestError),
    /// The card in force does not price the model for this route.
    ModelNotFound {
        /// The model asked for.
        model: String,
        /// Whether the caller came with a provider key of its own: then no price was needed, but a provider.
        own_key: bool,
    },
    /// The free tier's whitelist of the slot does not have the model.
    ModelNotAllowed {
        /// The model asked for.
        model: String,
        /// The slot.
        slot: String,
        /// Whether the model's provider takes a key of the caller's own.
        own_keys: bool,
    },
    /// The model's provider takes no key of the caller's own.
    OwnKeyNotTaken {
        /// The model asked for.
        model: String,
    },
    /// What a call could cost does not fit the account's daily cap any more.
    DailyCapExceeded {
        /// What was spent today.
        spent: Pax,
        /// What calls in flight have reserved.
        reserved: Pax,
        /// What this call could cost at most.
        needed: Pax,
        /// The cap.
        limit: Pax,
        /// When the next UTC day begins.
        resets_at: Moment,
        /// Whether the model's provider takes a key of the caller's own.
        own_keys: bool,
    },
    /// The provider refused the platform's own key.
    ProviderRefusedPlatformKey,
    /// The provider sent something that is no answer to the call, such as another protocol.
    UpstreamFailed,
    /// The body is larger than the gateway takes.
    RequestTooLarge {
        /// The most it takes.
        limit_bytes: u64,
    },
    /// The body is compressed.
    UnsupportedEncoding,
    /// Open request bodies take all the memory that they may.
    TooManyBytesOpen {
        /// Whether it is the account's own bodies.
        own: bool,
    },
    /// The ledger does not answer, or does not keep up.
    LedgerUnavailable,
    /// The token is not known yet, and the bodies of such callers take all the memory that they may.
    TooManyStrangers,
    /// No card is in force, or the filter is not configured.
    GatewayDisabled,
    /// `/readyz`: no calls can be served.
    NotReady(Unready),
}

#[derive(Serialize)]
struct Body<'a> {
    error: Error<'a>,
}

#[derive(Serialize)]
struct Error<'a> {
    message: &'a str,
    r#type: &'a str,
    param: Option<&'a str>,
    code: &'a str,
    #[serde(flatten)]
    cap: Option<Cap>,
}

/// What a refusal over the daily cap says beside its message.
#[derive(Serialize)]
struct Cap {
    spent_pax: Pax,
    reserved_pax: Pax,
    needed_pax: Pax,
    limit_pax: Pax,
    resets_at: Moment,
}

impl Refusal {
    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::InvalidHeader { .. } | Self::InvalidSlot | Self::ByoMissingKey | Self::Body(_) => 400,
            Self::InvalidApiKey => 401,
            Self::AccountDisabled | Self::ModelNotAllowed { .. } | Self::OwnKeyNotTaken { .. } => 403,
            Self::UnknownRoute | Self::ModelNotFound { .. } => 404,
            Self::MethodNotAllowed { .. } => 405,
            Self::UnknownHost => 421,
            Self::RequestTooLarge { .. } => 413,
            Self::UnsupportedEncoding => 415,
            Self::DailyCapExceeded { .. } | Self::TooManyBytesOpen { .. } => 429,
            Self::ProviderRefusedPlatformKey | Self::UpstreamFailed => 502,
            Self::LedgerUnavailable | Self::TooManyStrangers | Self::GatewayDisabled | Self::NotReady(_) => {
                503
            }
        }
    }

    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnknownHost => "unknown_host",
            Self::UnknownRoute => "unknown_route",
            Self::MethodNotAllowed { .. } => "method_not_allowed",
            Self::InvalidHeader { .. } => "invalid_header",
            Self::ByoMissingKey => "byo_missing_key",
            Self::InvalidSlot => "invalid_slot",
            Self::InvalidApiKey => "invalid_api_key",
            Self::AccountDisabled => "account_disabled",
            Self::Body(RequestError::MissingModel) => "missing_model",
            Self::Body(RequestError::Unpriced { .. }) => "unpriced_option",
            Self::Body(_) => "invalid_json",
            Self::ModelNotFound { .. } => "model_not_found",
            // The model is one that the caller may not use so; the contract has no code of its own for it.
            Self::ModelNotAllowed { .. } | Self::OwnKeyNotTaken { .. } => "model_not_allowed",
            Self::DailyCapExceeded { .. } => "daily_cap_exceeded",
            Self::ProviderRefusedPlatformKey => "provider_refused_platform_key",
            Self::UpstreamFailed => "upstream_failed",
            Self::RequestTooLarge { .. } => "request_too_large",
            Self::UnsupportedEncoding => "unsupported_encoding",
            Self::TooManyBytesOpen { .. } => "too_many_bytes_open",
            Self::LedgerUnavailable
            | Self::TooManyStrangers
            | Self::NotReady(Unready::LedgerSilent | Unready::OutboxFull) => "ledger_unavailable",
            Self::GatewayDisabled | Self::NotReady(Unready::Disabled | Unready::NoCard) => "gateway_disabled",
        }
    }

    /// OpenAI's `type` of the error.
    fn kind(&self) -> &'static str {
        match self.status() {
            _ if matches!(self, Self::TooManyBytesOpen { .. }) => "rate_limit_error",
            401 => "authentication_error",
            403 => "permission_error",
            429 => "insufficient_quota",
            500.. => "server_error",
            _ => "invalid_request_error",
        }
    }

    /// Which part of the request is meant.
    fn param(&self) -> Option<&str> {
        match self {
            Self::Body(RequestError::MissingModel)
            | Self::ModelNotFound { .. }
            | Self::ModelNotAllowed { .. }
            | Self::OwnKeyNotTaken { .. } => Some("model"),
            Self::Body(RequestError::Twice(key) | RequestError::Spelling(key)) => Some(key),
            Self::Body(RequestError::WrongType { key, .. }) => Some(key),
            Self::Body(RequestError::Unpriced { names, .. }) => {
                // The top-level key: what stands within it, the message says.
                names.first().and_then(|name| name.split('.').next())
            }
            _ => None,
        }
    }

    /// What the caller is told, and what to do.
    #[must_use]
    pub fn message(&self) -> String {
        match self {
            Self::UnknownHost => {
                "This gateway does not answer to the host of this request, or the request names none or two. Use the base URL that the gateway's operator gave you; the operator lists hosts under \"hosts\" (GATEWAY_HOSTS)."
                    .to_owned()
            }
            Self::UnknownRoute => {
                "This gateway serves POST /v1/chat/completions, POST /v1/embeddings, GET /v1/models, GET /v1/credits and GET /v1/credits/ledger. Check the base URL: it ends in /v1."
                    .to_owned()
            }
            Self::MethodNotAllowed { allow } => format!("This path takes {allow} only."),
            Self::InvalidHeader { name } => {
                format!("Header {name} stands twice, contradicts another, is empty or too long, or has characters it cannot have. Send it once, in plain ASCII.")
            }
            Self::InvalidSlot => {
                "X-Matrix-Slot must be a slot's name: at most 64 of a-z, 0-9, '-' and '_'. Leave it out for the default slot."
                    .to_owned()
            }
            Self::ByoMissingKey => {
                "A call with a provider key of your own needs the key: send it in X-Matrix-BYO-API-Key, or send X-Matrix-BYO-API-Key: true and the key in X-Matrix-User-API-Key."
                    .to_owned()
            }
            Self::InvalidApiKey => {
                "No valid token. Send `Authorization: Bearer <token>` with a token that the gateway's operator gave you and that was not revoked."
                    .to_owned()
            }
            Self::AccountDisabled => "This account is disabled. Ask the gateway's operator.".to_owned(),
            Self::Body(error) => body_message(error),
            Self::ModelNotFound { model, own_key: true } => {
                format!("No provider of this gateway is known for model {model:?} on this route, so a key of your own has nowhere to go. Check the model's name and the route.")
            }
            Self::ModelNotFound { model, own_key: false } => {
                format!("Model {model:?} has no price here for this route. GET /v1/models lists those that you may use.")
            }
            Self::ModelNotAllowed { model, slot, own_keys: true } => {
                format!("Model {model:?} is not among the free models of slot {slot:?}. Take one of GET /v1/models, or call it with a provider key of your own in X-Matrix-BYO-API-Key.")
            }
            Self::ModelNotAllowed { model, slot, own_keys: false } => {
                format!("Model {model:?} is not among the free models of slot {slot:?}. Take one of GET /v1/models; its provider takes no key of your own in X-Matrix-BYO-API-Key.")
            }
            Self::OwnKeyNotTaken { model } => {
                format!("The provider of model {model:?} takes no key of your own, so the call cannot be paid by one. Leave out X-Matrix-BYO-API-Key, or take a model whose \"own_keys\" is true in GET /v1/models.")
            }
            Self::DailyCapExceeded { spent, reserved, needed, limit, resets_at, own_keys } => {
                let means = way_out(*limit, *spent, *needed, *resets_at);
                let own_key = match own_keys {
                    true => ", or call with a provider key of your own in X-Matrix-BYO-API-Key",
                    false => "",
                };
                format!("This call can cost up to {needed} PAX, and of today's {limit} PAX {spent} are spent and {reserved} reserved by calls in flight. {means}{own_key}.")
            }
            Self::ProviderRefusedPlatformKey => {
                "The provider refused this gateway's own key for the call, which no change of the call mends. Nothing was charged. Tell the gateway's operator, or take another provider's model of GET /v1/models."
                    .to_owned()
            }
            Self::UpstreamFailed => {
                "The provider sent something that is no answer to the call. Nothing was charged. Take another model, or tell the gateway's operator."
                    .to_owned()
            }
            Self::RequestTooLarge { limit_bytes } => {
                format!("The request is larger than {limit_bytes} bytes. Send a shorter prompt or smaller attachments.")
            }
            Self::UnsupportedEncoding => {
                "The request body is compressed. Send it without Content-Encoding.".to_owned()
            }
            Self::TooManyBytesOpen { own: true } => {
                "The requests that this account has open here take all the memory that one account may. Wait until one of them has ended, send fewer at once, or smaller ones."
                    .to_owned()
            }
            Self::TooManyBytesOpen { own: false } => {
                "The requests that are open here take all the memory that they may. Try again shortly.".to_owned()
            }
            Self::TooManyStrangers => {
                "The gateway does not know yet whose token this is, and has no room for more requests of which it does not know that. Try again shortly."
                    .to_owned()
            }
            Self::LedgerUnavailable => {
                "The gateway cannot reach its ledger, so it cannot take calls. Try again shortly.".to_owned()
            }
            Self::GatewayDisabled => "The gateway takes no calls at the moment. Try again later.".to_owned(),
            Self::NotReady(why) => why.message().to_owned(),
        }
    }

    /// The answer's body, in OpenAI's error shape.
    #[must_use]
    pub fn body(&self) -> Vec<u8> {
        let message = self.message();
        let cap = match self {
            Self::DailyCapExceeded { spent, reserved, needed, limit, resets_at, .. } => Some(Cap {
                spent_pax: *spent,
                reserved_pax: *reserved,
                needed_pax: *needed,
                limit_pax: *limit,
                resets_at: *resets_at,
            }),
            _ => None,
        };
        let error =
            Error { message: &message, r#type: self.kind(), param: self.param(), code: self.code(), cap };
        serde_json::to_vec(&Body { error }).unwrap_or_default()
    }

    /// The answer's headers beside its type: whether to try again, and how.
    #[must_use]
    pub fn headers(&self) -> Vec<(&'static str, &'static str)> {
        match self {
            // The ledger may be back in a moment: the SDK's own retry is welcome.
            Self::LedgerUnavailable | Self::GatewayDisabled | Self::NotReady(_) => vec![("retry-after", "2")],
            // Whose token it is, is being asked; and bodies end.
            Self::TooManyStrangers | Self::TooManyBytesOpen { .. } => vec![("retry-after", "1")],
            // Calls in flight cost less than what they have reserved: this one may fit when they end.
            Self::DailyCapExceeded { spent, needed, limit, .. } if fits(*spent, *needed, *limit) => {
                vec![("retry-after", "1")]
            }
            Self::MethodNotAllowed { allow } => vec![("allow", *allow), ("x-should-retry", "false")],
            _ => vec![("x-should-retry", "false")],
        }
    }
}

/// Whether a call fits a cap but for what calls in flight have reserved.
fn fits(spent: Pax, needed: Pax, limit: Pax) -> bool {
    spent.checked_add(needed).is_some_and(|sum| sum <= limit)
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
    #![allow(clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn a_refusal_has_the_error_shape_of_openai() {
        let refusal = Refusal::ModelNotFound { model: "a\"b".to_owned(), own_key: false };
        let body: serde_json::Value = serde_json::from_slice(&refusal.body()).unwrap_or_default();
        assert_eq!(refusal.status(), 404);
        assert_eq!(body["error"]["code"], "model_not_found");
        assert_eq!(body["error"]["type"], "invalid_request_error");
        assert_eq!(body["error"]["param"], "model");
        assert!(body["error"]["message"].as_str().is_some_and(|text| text.contains("a\\\"b")));
    }

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

    #[test]
    fn only_what_may_pass_by_itself_is_tried_again() {
        assert_eq!(Refusal::LedgerUnavailable.headers(), [("retry-after", "2")]);
        for refusal in [Refusal::TooManyStrangers, Refusal::TooManyBytesOpen { own: true }] {
            assert_eq!(refusal.headers(), [("retry-after", "1")]);
        }
        assert_eq!(Refusal::InvalidApiKey.headers(), [("x-should-retry", "false")]);
        let exceeded = |spent, reserved| {
            let [spent, reserved, needed, limit] = [spent, reserved, 2, 10].map(Pax::from_picopax);
            let (resets_at, own_keys) = (Moment::default(), true);
            Refusal::DailyCapExceeded { spent, reserved, needed, limit, resets_at, own_keys }
        };
        assert_eq!(exceeded(9, 0).headers(), [("x-should-retry", "false")]);
        assert_eq!(exceeded(8, 1).headers(), [("retry-after", "1")], "what is reserved may come back");
    }
}
