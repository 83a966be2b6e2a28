//! The HTTP API: two listeners, both behind the shared secret. The public one has none of the routes of
//! [`internal`].

pub mod internal;
pub mod metrics;
pub mod public;
pub mod query;

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::header;
use axum::middleware::Next;
use axum::response::Response;
use pax_gateway::base::wire::{
    CARDS_PATH, DEBITS_PATH, HOLDS_PATH, LEASE_PATH, RESOLVE_PATH, STANDINGS_PATH,
};
use serde_json::json;

use self::public::{CREDITS_PATH, ENTRIES_PATH};
use crate::error::Error;
use crate::metrics::{Metrics, Route};
use crate::secret::SharedSecret;

/// Liveness, on both listeners. It demands no secret.
async fn healthz() -> Json<serde_json::Value> {
    Json(json!({"status": "ok"}))
}

async fn unknown_route() -> Error {
    Error::UnknownRoute
}

/// Counts how a request to one of the routes below ended.
async fn count(State(metrics): State<Arc<Metrics>>, request: Request, next: Next) -> Response {
    let route = match request.uri().path() {
        RESOLVE_PATH => Some(Route::Resolve),
        STANDINGS_PATH => Some(Route::Standings),
        DEBITS_PATH => Some(Route::Debits),
        HOLDS_PATH => Some(Route::Holds),
        LEASE_PATH => Some(Route::Lease),
        CARDS_PATH => Some(Route::Cards),
        CREDITS_PATH => Some(Route::Credits),
        ENTRIES_PATH => Some(Route::Entries),
        _ => None,
    };
    let response = next.run(request).await;
    if let Some(route) = route {
        metrics.request(route, response.status().as_u16());
    }
    response
}

/// Lets a request through if it has the shared secret.
async fn authorize(
    State(secret): State<SharedSecret>,
    request: Request,
    next: Next,
) -> Result<Response, Error> {
    if !bearer(&request, |offered| secret.is(offered)) {
        return Err(Error::Unauthorized);
    }
    Ok(next.run(request).await)
}

/// Whether a request has exactly one `authorization: Bearer`, and with a known secret.
fn bearer(request: &Request, is_known: impl FnOnce(&[u8]) -> bool) -> bool {
    let mut offered = request.headers().get_all(header::AUTHORIZATION).iter();
    let bearer = match (offered.next(), offered.next()) {
        (Some(only), None) => only.as_bytes().split_at_checked(b"Bearer ".len()),
        _ => None,
    };
    bearer.is_some_and(|(scheme, token)| scheme.eq_ignore_ascii_case(b"Bearer ") && is_known(token))
}
