//! The HTTP API: two listeners, and nothing of [`internal`] on the public one.

pub mod internal;
pub mod public;

use axum::Json;
use serde_json::json;

use crate::error::Error;

/// Liveness, on both listeners.
async fn healthz() -> Json<serde_json::Value> {
    Json(json!({"status": "ok"}))
}

async fn unknown_route() -> Error {
    Error::UnknownRoute
}
