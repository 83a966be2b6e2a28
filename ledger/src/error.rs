//! The one error of the service and the command line: it tells what went wrong, and what to do about it.

use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use pax_gateway::base::wire::{IDENTITY_HEADER, UNKNOWN_TOKEN};
use serde_json::json;

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A request without the shared secret, or with a wrong one.
    #[error(
        "this listener wants `authorization: Bearer SECRET` with the secret that the ledger shares with Envoy"
    )]
    Unauthorized,
    /// A caller's request that does not name its account, or names it twice.
    #[error(
        "the request must say once who calls, by the header {IDENTITY_HEADER} that the gateway's filter sets"
    )]
    NoIdentity,
    /// A caller whose account does not exist.
    #[error("the ledger has no account of that name; ask the gateway's operator to create it")]
    UnknownAccount,
    /// A token that resolves to no account.
    #[error("the token is unknown, revoked or expired")]
    UnknownToken,
    /// No such route.
    #[error("there is no such route on this listener")]
    UnknownRoute,
    /// A route that takes another method.
    #[error("this route takes {allow} only")]
    MethodNotAllowed {
        /// The method it takes.
        allow: &'static str,
    },
    /// A query parameter that is unknown, is there twice, or has no meaning.
    #[error("{message}")]
    Query {
        /// Its name.
        param: String,
        /// What is wrong with it.
        message: String,
    },
    /// A body that cannot be read.
    #[error("{0}")]
    BadRequest(String),
    /// The name or number belongs to something else, for good.
    #[error("{0}")]
    Conflict(String),
    /// A body beyond a limit.
    #[error("{0}")]
    TooLarge(String),
    /// The store failed, and nothing of the request was kept.
    #[error("the store failed while it {doing}: {why}")]
    Store {
        /// What it was doing.
        doing: &'static str,
        /// What the database said.
        why: String,
    },
    /// The service is stopping, and takes no more requests.
    #[error("the ledger is stopping")]
    Stopping,
    /// Something the operator asked for cannot be done. The text tells why, and what to do.
    #[error("{0}")]
    Operator(String),
    /// Reading or writing failed.
    #[error("{doing}: {why}")]
    Io {
        /// What was done.
        doing: String,
        /// What the system said.
        why: std::io::Error,
    },
}

impl Error {
    fn status_and_code(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, "unauthorized"),
            Self::NoIdentity => (StatusCode::BAD_REQUEST, "invalid_header"),
            Self::UnknownAccount => (StatusCode::NOT_FOUND, "account_not_found"),
            Self::MethodNotAllowed { .. } => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
            Self::UnknownToken => (StatusCode::NOT_FOUND, UNKNOWN_TOKEN),
            Self::UnknownRoute => (StatusCode::NOT_FOUND, "unknown_route"),
            Self::BadRequest(_) | Self::Query { .. } => (StatusCode::BAD_REQUEST, "invalid_request"),
            Self::Conflict(_) => (StatusCode::CONFLICT, "conflict"),
            Self::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, "request_too_large"),
            Self::Store { .. } | Self::Stopping | Self::Io { .. } | Self::Operator(_) => {
                (StatusCode::SERVICE_UNAVAILABLE, "ledger_unavailable")
            }
        }
    }

    /// OpenAI's `type` of the error.
    fn kind(&self) -> &'static str {
        match self.status_and_code().0.as_u16() {
            401 => "authentication_error",
            500.. => "server_error",
            _ => "invalid_request_error",
        }
    }

    /// The part of the request that the error is about.
    fn param(&self) -> Option<&str> {
        match self {
            Self::Query { param, .. } => Some(param),
            Self::NoIdentity => Some(IDENTITY_HEADER),
            _ => None,
        }
    }

    /// The headers from which OpenAI's SDKs know whether to try again, and when.
    fn hints(&self) -> Vec<(HeaderName, HeaderValue)> {
        let should_retry = (HeaderName::from_static("x-should-retry"), HeaderValue::from_static("false"));
        match self {
            Self::Store { .. } | Self::Stopping | Self::Io { .. } | Self::Operator(_) => {
                vec![(header::RETRY_AFTER, HeaderValue::from_static("1"))]
            }
            Self::MethodNotAllowed { allow } => {
                vec![(header::ALLOW, HeaderValue::from_static(allow)), should_retry]
            }
            _ => vec![should_retry],
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let (status, code) = self.status_and_code();
        let message = if status == StatusCode::SERVICE_UNAVAILABLE {
            // The database's own message goes to the log, not to callers.
            tracing::error!(error = %self, "a request failed");
            "the ledger cannot answer now and kept nothing of this request; send it again".to_owned()
        } else {
            self.to_string()
        };
        // OpenAI's shape, since Envoy passes this body on to callers.
        let error = json!({"message": message, "type": self.kind(), "param": self.param(), "code": code});
        let mut response = (status, Json(json!({"error": error}))).into_response();
        response.headers_mut().extend(self.hints());
        response
    }
}
