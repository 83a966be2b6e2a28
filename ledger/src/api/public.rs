//! The public listener, to which Envoy routes callers' own requests: they ask what they may spend and have
//! spent, and for their entries.
//!
//! [`IDENTITY_HEADER`] names the caller's account. The filter sets it and lets no such header of the caller's
//! through. Envoy adds the shared secret, so nobody else who reaches the port can pretend to be an account.

use std::sync::Arc;

use axum::extract::{FromRequestParts, RawQuery, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use pax_gateway::base::account::{Status, Tier};
use pax_gateway::base::clock::{Moment, UtcDay};
use pax_gateway::base::pax::Pax;
use pax_gateway::base::wire::IDENTITY_HEADER;
use pax_gateway::price::card::RateTableVersion;
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::sync::Semaphore;

use super::query::{Format, Listing, Parameters};
use super::{authorize, count, healthz, unknown_route};
use crate::book::Sum;
use crate::cards::Cards;
use crate::error::Error;
use crate::listing::{self, OWN_CSV_COLUMNS};
use crate::metrics::Metrics;
use crate::secret::SharedSecret;
use crate::store::{OwnEntry, Store};

/// What a caller may spend and has spent.
pub const CREDITS_PATH: &str = "/v1/credits";
/// A caller's entries.
pub const ENTRIES_PATH: &str = "/v1/credits/ledger";

/// How many callers' requests may read at the same time. They are fewer than the store's readers, so that a
/// caller who asks for many pages at once does not keep tokens from being resolved.
const TURNS: usize = 2;

/// What the public routes work with.
#[derive(Clone, Debug)]
pub struct Public {
    store: Store,
    cards: Arc<Cards>,
    secret: SharedSecret,
    turns: Arc<Semaphore>,
    metrics: Arc<Metrics>,
}

impl Public {
    /// What the public routes work with: the store to read, the cards that have the default cap, the secret,
    /// and the metrics.
    #[must_use]
    pub fn new(store: Store, cards: Arc<Cards>, secret: SharedSecret, metrics: Arc<Metrics>) -> Self {
        Self { store, cards, secret, turns: Arc::new(Semaphore::new(TURNS)), metrics }
    }
}

/// The public routes.
pub fn routes(public: Public) -> Router {
    // Without this a HEAD would be answered as a GET; the gateway has no HEAD route.
    Router::new()
        .route(CREDITS_PATH, get(credits).head(get_only))
        .route(ENTRIES_PATH, get(entries).head(get_only))
        .method_not_allowed_fallback(get_only)
        .route_layer(middleware::from_fn_with_state(public.secret, authorize))
        .route_layer(middleware::from_fn_with_state(Arc::clone(&public.metrics), count))
        .route("/healthz", get(healthz))
        .fallback(unknown_route)
        .layer(middleware::map_response(not_stored))
        .with_state(public)
}

async fn get_only() -> Error {
    Error::MethodNotAllowed { allow: "GET" }
}

/// Keeps the answer out of caches: amounts change, and are for their owner only.
async fn not_stored(mut response: Response) -> Response {
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The account that calls.
struct Caller(String);

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        let mut named = parts.headers.get_all(IDENTITY_HEADER).iter();
        let name = match (named.next(), named.next()) {
            (Some(only), None) => only.to_str().ok().filter(|name| !name.is_empty()),
            _ => None,
        };
        name.map(|name| Self(name.to_owned())).ok_or(Error::NoIdentity)
    }
}

#[derive(Serialize)]
struct Credits {
    account: String,
    tier: Tier,
    status: Status,
    balance_pax: Sum,
    held_pax: Pax,
    available_pax: Option<Sum>,
    next_expiry: Option<NextExpiry>,
    daily_cap_pax: Option<Pax>,
    utc_day: UtcDay,
    spent_today_pax: Sum,
    remaining_today_pax: Option<Pax>,
    resets_at: Moment,
    rate_table_v: RateTableVersion,
}

/// The lot that ends next.
#[derive(Serialize)]
struct NextExpiry {
    at: Moment,
    amount_pax: Pax,
}

impl Public {
    /// Reads the store in a turn that lasts as long as the query: a caller who hangs up ends its handler, and the query
    /// goes on to its end all the same.
    async fn in_turn<T, Reading>(
        &self,
        read: impl FnOnce(Store) -> Reading + Send + 'static,
    ) -> Result<T, Error>
    where
        T: Send + 'static,
        Reading: Future<Output = Result<T, Error>> + Send,
    {
        let turn = Arc::clone(&self.turns).acquire_owned().await;
        let store = self.store.clone();
        let reading = tokio::spawn(async move {
            let _turn = turn;
            read(store).await
        });
        let failed = |error: tokio::task::JoinError| Error::Store { doing: "read", why: error.to_string() };
        reading.await.map_err(failed)?
    }
}

async fn credits(
    State(public): State<Public>,
    Caller(account): Caller,
    RawQuery(query): RawQuery,
) -> Result<Json<Credits>, Error> {
    Parameters::read(query.as_deref())?.end()?;
    let now = crate::now();
    let utc_day = now.day();
    let bundle = public.cards.current().await?;
    let Some(card) = bundle.in_force(now) else {
        return Err(Error::Operator(format!("no rate card is in force at {now}: is the clock right?")));
    };
    let asked = account.clone();
    let found = public.in_turn(move |store| async move { store.credits(&asked, now).await }).await?;
    let found = found.ok_or(Error::UnknownAccount)?;
    // For tier credit the balance is the only limit.
    let cap = match found.tier {
        Tier::Free => Some(found.daily_cap.unwrap_or(card.free_tier.daily_cap)),
        Tier::Credit => None,
    };
    // A hold draws on what limits its account: the day's cap, or the balance.
    let (held_pax, available_pax) = match found.tier {
        Tier::Free => (found.held_today, None),
        Tier::Credit => (found.held, Some(found.balance.minus(found.held))),
    };
    Ok(Json(Credits {
        account,
        tier: found.tier,
        status: found.status,
        balance_pax: found.balance,
        held_pax,
        available_pax,
        next_expiry: found.next_expiry.map(|(at, amount_pax)| NextExpiry { at, amount_pax }),
        daily_cap_pax: cap,
        utc_day,
        spent_today_pax: found.spent,
        remaining_today_pax: cap.map(|cap| remaining(cap, found.spent.plus(held_pax).nearest())),
        resets_at: utc_day.next().start(),
        rate_table_v: card.version,
    }))
}

/// What is left of a cap; zero if the cap was lowered during the day below what was spent and is held.
fn remaining(cap: Pax, spent: Pax) -> Pax {
    cap.checked_sub(spent).unwrap_or_default().max(Pax::ZERO)
}

#[derive(Serialize)]
struct Page<'a> {
    object: &'static str,
    data: Vec<Box<RawValue>>,
    has_more: bool,
    next: Option<&'a str>,
}

async fn entries(
    State(public): State<Public>,
    Caller(account): Caller,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let listing = Listing::read(query.as_deref(), &headers)?;
    // Reads one entry more than the page has, which tells whether there is a next page.
    let (asked, filter, most) = (account.clone(), listing.filter.clone(), listing.limit.saturating_add(1));
    let read = move |store: Store| async move { store.own_entries(&asked, &filter, most).await };
    let mut found = public.in_turn(read).await?;
    if found.is_empty() && public.store.account(&account).await?.is_none() {
        return Err(Error::UnknownAccount);
    }
    let shown = usize::try_from(listing.limit).unwrap_or(usize::MAX);
    let has_more = found.len() > shown;
    found.truncate(shown);
    let next = found.last().filter(|_| has_more).map(|last| listing.next(last.account_seq));
    match listing.format {
        Format::Json => json(&found, next.as_deref()),
        Format::Csv => csv(&found, next.as_deref()),
    }
}

fn json(found: &[OwnEntry], next: Option<&str>) -> Result<Response, Error> {
    let data: Result<Vec<_>, Error> =
        found.iter().map(|entry| listing::own_json(entry).map_err(unreadable)).collect();
    Ok(Json(Page { object: "list", data: data?, has_more: next.is_some(), next }).into_response())
}

fn csv(found: &[OwnEntry], next: Option<&str>) -> Result<Response, Error> {
    let mut writer =
        csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::<u8>::new());
    writer.write_record(OWN_CSV_COLUMNS.iter()).map_err(unreadable)?;
    for entry in found {
        writer.write_record(listing::own_cells(entry).map_err(unreadable)?).map_err(unreadable)?;
    }
    let body = writer.into_inner().map_err(unreadable)?;
    let head = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8; header=present"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"ledger.csv\""),
    ];
    let link = next.map(|next| [(header::LINK, format!("<{next}>; rel=\"next\""))]);
    Ok((head, link, body).into_response())
}

/// The error for an entry that cannot be shown: the database was changed by hand.
fn unreadable(why: impl std::fmt::Display) -> Error {
    Error::Store { doing: "showed entries; run `pax-ledger replay`", why: why.to_string() }
}
