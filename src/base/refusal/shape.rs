//! Writes a refusal as JSON, in OpenAI's error shape.

use serde::Serialize;

use crate::base::clock::Moment;
use crate::base::pax::Pax;
use crate::base::refusal::refusals::Refusal;
use crate::base::refusal::request_error::RequestError;

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
    means: Option<Means>,
}

/// What a refusal for want of means has beside its message.
#[derive(Serialize)]
#[serde(untagged)]
enum Means {
    /// Over the daily cap.
    Cap { spent_pax: Pax, reserved_pax: Pax, needed_pax: Pax, limit_pax: Pax, resets_at: Moment },
    /// Over the balance.
    Credit { balance_pax: Pax, held_pax: Pax, needed_pax: Pax },
}

impl Refusal {
    /// OpenAI's `type` of the error.
    fn kind(&self) -> &'static str {
        match self.status() {
            _ if matches!(self, Self::TooManyBytesOpen { .. }) => "rate_limit_error",
            401 => "authentication_error",
            403 => "permission_error",
            402 | 429 => "insufficient_quota",
            500.. => "server_error",
            _ => "invalid_request_error",
        }
    }

    /// Which part of the request is meant.
    fn param(&self) -> Option<&str> {
        match self {
            Self::Body(RequestError::MissingModel)
            | Self::ModelNotFound { .. }
            | Self::ModelOfAnotherRoute { .. }
            | Self::ProviderNotConfigured { .. }
            | Self::NoPlatformKey { .. }
            | Self::ModelNotAllowed { .. }
            | Self::OwnKeyNotTaken { .. } => Some("model"),
            Self::Body(RequestError::Twice(key) | RequestError::Spelling(key)) => Some(key),
            Self::Body(RequestError::WrongType { key, .. }) => Some(key),
            Self::Body(RequestError::Unpriced { names, .. }) => {
                // The top-level key only: the message names the key within it.
                names.first().and_then(|name| name.split('.').next())
            }
            _ => None,
        }
    }

    /// The answer's body, in OpenAI's error shape.
    #[must_use]
    pub fn body(&self) -> Vec<u8> {
        let message = self.message();
        let means = match self {
            Self::DailyCapExceeded { spent, reserved, needed, limit, resets_at, .. } => Some(Means::Cap {
                spent_pax: *spent,
                reserved_pax: *reserved,
                needed_pax: *needed,
                limit_pax: *limit,
                resets_at: *resets_at,
            }),
            Self::InsufficientCredit { balance, held, needed, .. } => {
                Some(Means::Credit { balance_pax: *balance, held_pax: *held, needed_pax: *needed })
            }
            _ => None,
        };
        let error =
            Error { message: &message, r#type: self.kind(), param: self.param(), code: self.code(), means };
        serde_json::to_vec(&Body { error }).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn a_refusal_has_the_error_shape_of_openai() {
        let refusal = Refusal::ModelNotFound { model: "a\"b".to_owned(), own_key: false, near: Vec::new() };
        let body: serde_json::Value = serde_json::from_slice(&refusal.body()).unwrap_or_default();
        assert_eq!(refusal.status(), 404);
        assert_eq!(body["error"]["code"], "model_not_found");
        assert_eq!(body["error"]["type"], "invalid_request_error");
        assert_eq!(body["error"]["param"], "model");
        assert!(body["error"]["message"].as_str().is_some_and(|text| text.contains("a\\\"b")));
    }
}
