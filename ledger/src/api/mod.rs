//! The HTTP API: two listeners, both behind the shared secret, and nothing of [`internal`] on the public one.

pub mod internal;
pub mod public;
pub mod query;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::header;
use axum::middleware::Next;
use axum::response::Response;
use serde_json::json;

use crate::error::Error;
use crate::secret::SharedSecret;

/// Liveness, on both listeners, for whoever asks.
async fn healthz() -> Json<serde_json::Value> {
    Json(json!({"status": "ok"}))
}

async fn unknown_route() -> Error {
    Error::UnknownRoute
}

/// Lets through whoever knows the shared secret.
async fn authorize(
    State(secret): State<SharedSecret>,
    request: Request,
    next: Next,
) -> Result<Response, Error> {
    let mut offered = request.headers().get_all(header::AUTHORIZATION).iter();
    let bearer = match (offered.next(), offered.next()) {
        (Some(only), None) => only.as_bytes().split_at_checked(b"Bearer ".len()),
        _ => None,
    };
    let known =
        bearer.is_some_and(|(scheme, token)| scheme.eq_ignore_ascii_case(b"Bearer ") && secret.is(token));
    if !known {
        return Err(Error::Unauthorized);
    }
    Ok(next.run(request).await)
}
