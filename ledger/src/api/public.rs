//! The public listener, which Envoy routes callers to.
//!
//! The callers' own balance and entries (`/v1/credits`, `/v1/credits/ledger`) belong here: identity by a header
//! that the filter puts on, never by one that a caller sends.

use axum::Router;
use axum::routing::get;

use super::{healthz, unknown_route};

/// The public routes.
pub fn routes() -> Router {
    Router::new().route("/healthz", get(healthz)).fallback(unknown_route)
}
