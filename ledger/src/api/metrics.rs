//! `GET /metrics` on the internal listener: the ledger's figures for Prometheus.
//!
//! They name no account, but they tell what a business earns. So the collector must know the shared secret, or
//! the one that opens this route alone.

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::encoding::prometheus_text::CONTENT_TYPE;

use super::bearer;
use super::internal::Internal;
use crate::error::Error;

/// The path that Prometheus asks for.
pub const METRICS_PATH: &str = "/metrics";

pub(super) fn routes(internal: &Internal) -> Router<Internal> {
    let asked = get(metrics).fallback(get_only);
    Router::new()
        .route(METRICS_PATH, asked)
        .route_layer(middleware::from_fn_with_state(internal.clone(), authorize))
}

async fn get_only() -> Error {
    Error::MethodNotAllowed { allow: "GET" }
}

async fn authorize(
    State(internal): State<Internal>,
    request: Request,
    next: Next,
) -> Result<Response, Error> {
    let is_known = |offered: &[u8]| {
        internal.secret.is(offered) || internal.metrics_secret.is_some_and(|secret| secret.is(offered))
    };
    if !bearer(&request, is_known) {
        return Err(Error::Unauthorized);
    }
    Ok(next.run(request).await)
}

async fn metrics(State(internal): State<Internal>) -> Result<Response, Error> {
    let figures = internal.store.figures().await?;
    let in_force = internal.cards.current().await?.in_force(crate::now()).map(|card| card.version);
    Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], internal.metrics.text(&figures, in_force)).into_response())
}
