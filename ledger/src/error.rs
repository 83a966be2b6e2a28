//! One error for the service and the command line: what went wrong, and what to do about it.

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A caller without the shared secret, or with another one.
    #[error("the internal listener wants `authorization: Bearer SECRET` with the ledger's shared secret")]
    Unauthorized,
    /// A token that resolves to nobody.
    #[error("the token is unknown, revoked or expired")]
    UnknownToken,
    /// No such route.
    #[error("there is no such route on this listener")]
    UnknownRoute,
    /// A body that cannot be read.
    #[error("{0}")]
    BadRequest(String),
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
    /// The service ends and takes nothing more.
    #[error("the ledger is stopping")]
    Stopping,
    /// Something the operator asked for cannot be done. Says why and what to do.
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
            Self::UnknownToken => (StatusCode::NOT_FOUND, "unknown_token"),
            Self::UnknownRoute => (StatusCode::NOT_FOUND, "unknown_route"),
            Self::BadRequest(_) => (StatusCode::BAD_REQUEST, "invalid_request"),
            Self::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, "request_too_large"),
            Self::Store { .. } | Self::Stopping | Self::Io { .. } | Self::Operator(_) => {
                (StatusCode::SERVICE_UNAVAILABLE, "ledger_unavailable")
            }
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let (status, code) = self.status_and_code();
        let message = if status == StatusCode::SERVICE_UNAVAILABLE {
            // What the database says is for the log, not for callers.
            tracing::error!(error = %self, "a request failed");
            "the ledger cannot answer now and kept nothing of this request; send it again".to_owned()
        } else {
            self.to_string()
        };
        let body = Json(json!({"error": {"code": code, "message": message}}));
        match status {
            StatusCode::SERVICE_UNAVAILABLE => (status, [(header::RETRY_AFTER, "1")], body).into_response(),
            _ => (status, body).into_response(),
        }
    }
}
