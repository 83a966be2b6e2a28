//! What the operator is told if Envoy cannot reach a provider, and why Envoy says that it cannot. One of the
//! workers that meet the trouble writes a line at once, and then one an interval for as long as it goes on.

use std::collections::BTreeMap;

use crate::base::clock::Tick;
use crate::call::event::CREDITS_MARK;
use crate::memory::shared::SharedData;
use crate::told::rarely::{RarelyAmongAll, more};

/// How many characters of Envoy's words about a failure a line quotes at most.
const QUOTED: usize = 300;

/// What Envoy says of a request that it answered itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LocalReply {
    /// `response.code_details`.
    pub details: String,
    /// `upstream.transport_failure_reason`: empty if it was not the transport that failed.
    pub transport: String,
    /// The route that it took; empty if it has no name.
    pub route: String,
    /// The cluster of that route; empty if Envoy has no cluster of that name.
    pub cluster: String,
}

/// Why a request reached no server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unreachable {
    /// The route names a cluster that Envoy does not have.
    UnknownCluster,
    /// No route takes requests that are marked for the provider.
    NoRoute,
    /// The cluster has no host: its name was not resolved, or none is healthy.
    NoHost,
    /// No connection, or none over TLS.
    NoConnection,
    /// The cluster's circuit breakers let nothing more through.
    Overflow,
}

impl Unreachable {
    /// The reason, from an answer that Envoy gave by itself; none if the provider was reached, or if the
    /// answer was the provider's.
    #[must_use]
    pub fn of(told: &LocalReply) -> Option<Self> {
        let details = told.details.as_str();
        let reset = details.strip_prefix("upstream_reset_before_response_started{");
        match (details, reset) {
            ("cluster_not_found", _) => Some(Self::UnknownCluster),
            ("route_not_found", _) => Some(Self::NoRoute),
            ("no_healthy_upstream", _) => Some(Self::NoHost),
            (_, Some(why)) if why.starts_with("overflow") => Some(Self::Overflow),
            (_, Some(why)) if why.contains("connection_failure") || why.contains("connection_timeout") => {
                Some(Self::NoConnection)
            }
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::UnknownCluster => "unknown_cluster",
            Self::NoRoute => "no_route",
            Self::NoHost => "no_host",
            Self::NoConnection => "no_connection",
            Self::Overflow => "overflow",
        }
    }
}

/// What one worker has met of it, by provider and reason.
#[derive(Debug, Default)]
pub struct ProviderTroubles {
    met: BTreeMap<(String, Unreachable), RarelyAmongAll>,
}

impl ProviderTroubles {
    /// A request that was marked for a provider reached no server. Gives the line for Envoy's log if one is
    /// due.
    pub fn tell(
        &mut self,
        shared: &impl SharedData,
        now: Tick,
        (mark, why): (&str, Unreachable),
        told: &LocalReply,
    ) -> Option<String> {
        let met = self.met.entry((mark.to_owned(), why)).or_default();
        let more = more(met.tell(shared, &format!("{}/{mark}", why.name()), "", now)?);
        let who = match mark {
            CREDITS_MARK => "the ledger's public listener (GET /v1/credits)".to_owned(),
            provider => format!("provider {provider:?}"),
        };
        let cluster = &told.cluster;
        let what = match why {
            Unreachable::UnknownCluster => format!(
                "its route {:?} names a cluster that Envoy does not have. Correct the route's cluster, or add that one",
                told.route
            ),
            Unreachable::NoRoute => no_route(mark),
            // If the configuration sends all requests without a route of their own to a cluster without
            // hosts, the route may be what is missing.
            Unreachable::NoHost => format!(
                "cluster {cluster:?} has no host. Is its name resolved, and is a host of it healthy? If that is not its \
                 cluster, {}",
                no_route(mark)
            ),
            Unreachable::NoConnection => {
                let reason = if told.transport.is_empty() { &told.details } else { &told.transport };
                let reason: String = reason.chars().take(QUOTED).collect();
                format!(
                    "cluster {cluster:?} gets no connection: {reason}. Is the address right, does somebody listen there, \
                     and does it speak TLS exactly if the cluster has a transport_socket for that?"
                )
            }
            Unreachable::Overflow => format!(
                "the circuit breakers of cluster {cluster:?} let no more calls through. Raise max_connections, \
                 max_pending_requests and max_requests under its circuit_breakers"
            ),
        };
        Some(format!("{who} cannot be reached{more}: {what}"))
    }
}

fn no_route(mark: &str) -> String {
    format!(
        "no route matches the filter state wasm.pax_provider {mark:?}: add one, before those that match everything"
    )
}

#[cfg(test)]
#[path = "provider_trouble_test.rs"]
mod tests;
