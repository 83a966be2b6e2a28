//! The internal listener: the routes on which filters ask, hold and send debits, behind the shared secret.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::middleware;
use axum::routing::{get, post};
use axum::{Json, Router};
use pax_gateway::base::pax::Pax;
use pax_gateway::base::wire::{
    CARDS_PATH, CardsReply, CardsRequest, DEBITS_PATH, DebitOutcome, DebitReplies, DebitReply, HOLDS_PATH,
    HoldReply, LEASE_PATH, LeaseRequest, RESOLVE_PATH, ResolveRequest, Resolved, STANDINGS_MAX,
    STANDINGS_PATH, StandingsReply, StandingsRequest,
};
use pax_gateway::debit::frozen::CANON_MAX;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::{authorize, count, healthz, metrics, unknown_route};
use crate::book::hold::{Hold, is_envoy, rejected};
use crate::book::{self, Line};
use crate::cards::Cards;
use crate::error::Error;
use crate::linger::{Heard, hear};
use crate::metrics::Metrics;
use crate::recorder::Recorder;
use crate::secret::SharedSecret;
use crate::store::Store;

/// The most lines of a batch; filters send fewer.
pub const LINES_MAX: usize = 1_024;
/// The largest body, in bytes; filters send smaller ones.
pub const BODY_MAX: usize = 4 * 1024 * 1024;
/// The largest body of a hold: its debit is as long as a canonical form can be, and its first line is short.
const HOLD_MAX: usize = CANON_MAX + 1_024;
/// The largest body of a lease.
const LEASE_MAX: usize = 1_024;

/// What the internal routes work with.
#[derive(Clone, Debug)]
pub struct Internal {
    /// Looks tokens up.
    pub store: Store,
    /// Learns rate cards.
    pub cards: Arc<Cards>,
    /// Records debits.
    pub recorder: Recorder,
    /// The secret that a filter must know.
    pub secret: SharedSecret,
    /// The newest version of a debit that is read.
    pub canon_v: u32,
    /// When a filter was last heard.
    pub heard: Heard,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// A secret that opens `/metrics` and nothing else.
    pub metrics_secret: Option<SharedSecret>,
}

/// The internal routes.
pub fn routes(internal: Internal) -> Router {
    Router::new()
        .route(RESOLVE_PATH, post(resolve))
        .route(STANDINGS_PATH, post(standings))
        .route(CARDS_PATH, post(cards))
        .route(DEBITS_PATH, post(debits))
        .route(HOLDS_PATH, post(holds).layer(DefaultBodyLimit::max(HOLD_MAX)))
        .route(LEASE_PATH, post(lease).layer(DefaultBodyLimit::max(LEASE_MAX)))
        .method_not_allowed_fallback(post_only)
        .layer(DefaultBodyLimit::max(BODY_MAX))
        // The layer that is added last runs first: a filter counts as heard only if it knows the secret.
        .route_layer(middleware::from_fn_with_state(internal.heard.clone(), hear))
        .route_layer(middleware::from_fn_with_state(internal.secret, authorize))
        .route_layer(middleware::from_fn_with_state(Arc::clone(&internal.metrics), count))
        .merge(metrics::routes(&internal))
        .route("/healthz", get(healthz))
        .fallback(unknown_route)
        .with_state(internal)
}

async fn post_only() -> Error {
    Error::MethodNotAllowed { allow: "POST" }
}

fn body(body: Result<Bytes, BytesRejection>) -> Result<Bytes, Error> {
    body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Error::TooLarge(format!(
            "a body has at most {BODY_MAX} bytes, that of a hold {HOLD_MAX}, and that of a lease {LEASE_MAX}"
        )),
        _ => Error::BadRequest(format!("the body did not arrive: {}", rejection.body_text())),
    })
}

/// Reads a body that must be JSON. `shape`: how it must look, for the error.
fn read_json<T: DeserializeOwned>(sent: Result<Bytes, BytesRejection>, shape: &str) -> Result<T, Error> {
    serde_json::from_slice(&body(sent)?)
        .map_err(|error| Error::BadRequest(format!("the body must be {shape}: {error}")))
}

async fn resolve(
    State(internal): State<Internal>,
    sent: Result<Bytes, BytesRejection>,
) -> Result<Json<Resolved>, Error> {
    let shape = "{\"token_sha256\":\"<64 hex>\",\"utc_day\":\"YYYY-MM-DD\"}";
    let asked: ResolveRequest = read_json(sent, shape)?;
    let resolved = internal.store.resolve(&asked.token_sha256, asked.utc_day, crate::now()).await?;
    let mut resolved = resolved.ok_or(Error::UnknownToken)?;
    resolved.canon_v.retain(|version| *version <= internal.canon_v);
    Ok(Json(resolved))
}

async fn standings(
    State(internal): State<Internal>,
    sent: Result<Bytes, BytesRejection>,
) -> Result<Json<StandingsReply>, Error> {
    let shape = "{\"asks\":[{\"account\":\"<name>\",\"utc_day\":\"YYYY-MM-DD\"}]}";
    let StandingsRequest { asks } = read_json(sent, shape)?;
    if asks.len() > STANDINGS_MAX {
        return Err(Error::TooLarge(format!(
            "a question asks for at most {STANDINGS_MAX} standings; this one asks for {}",
            asks.len()
        )));
    }
    Ok(Json(StandingsReply { standings: internal.store.standings(&asks).await? }))
}

async fn cards(
    State(internal): State<Internal>,
    sent: Result<Bytes, BytesRejection>,
) -> Result<Json<CardsReply>, Error> {
    let sent: CardsRequest = read_json(sent, "{\"cards\":[\"<a card's file>\"]}")?;
    let texts: Vec<&str> = sent.cards.iter().map(AsRef::as_ref).collect();
    Ok(Json(CardsReply { known: internal.cards.learn(&texts).await? }))
}

async fn debits(
    State(internal): State<Internal>,
    sent: Result<Bytes, BytesRejection>,
) -> Result<Json<DebitReplies>, Error> {
    let body = body(sent)?;
    let text = body.strip_suffix(b"\n").unwrap_or(&body);
    let lines = if text.is_empty() { Vec::new() } else { text.split(|byte| *byte == b'\n').collect() };
    if lines.len() > LINES_MAX {
        return Err(Error::TooLarge(format!(
            "a batch has at most {LINES_MAX} lines; this one has {}",
            lines.len()
        )));
    }
    let unsupported: Vec<Option<DebitReply>> =
        lines.iter().map(|line| book::unsupported(line, internal.canon_v)).collect();
    for _ in unsupported.iter().flatten() {
        internal.metrics.debit(DebitOutcome::Unsupported, Pax::ZERO);
    }
    let read = lines.iter().zip(&unsupported).filter(|(_, reply)| reply.is_none());
    let read = read.map(|(line, _)| Line::read(line)).collect();
    let mut recorded = internal.recorder.record(read).await?.into_iter();
    let results = unsupported.into_iter().filter_map(|reply| reply.or_else(|| recorded.next())).collect();
    Ok(Json(DebitReplies { results }))
}

async fn holds(
    State(internal): State<Internal>,
    sent: Result<Bytes, BytesRejection>,
) -> Result<Json<HoldReply>, Error> {
    let body = body(sent)?;
    let debit = body.splitn(2, |byte| *byte == b'\n').nth(1).unwrap_or_default();
    let unread = book::unsupported(debit, internal.canon_v).and_then(|reply| reply.message);
    let hold = match unread {
        Some(why) => Err(why),
        None => Hold::read(&body),
    };
    match hold {
        Ok(hold) => Ok(Json(internal.recorder.hold(hold).await?)),
        Err(why) => {
            let reply = rejected(why);
            internal.metrics.hold(reply.outcome);
            Ok(Json(reply))
        }
    }
}

async fn lease(
    State(internal): State<Internal>,
    sent: Result<Bytes, BytesRejection>,
) -> Result<Json<serde_json::Value>, Error> {
    let shape = "{\"envoy\":\"<16 hex digits in lowercase>\"}";
    let LeaseRequest { envoy } = read_json(sent, shape)?;
    if !is_envoy(&envoy) {
        return Err(Error::BadRequest(format!("the body must be {shape}")));
    }
    internal.recorder.renew(envoy).await?;
    Ok(Json(json!({})))
}
