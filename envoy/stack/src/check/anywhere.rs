//! What is a danger anywhere in the file: secrets that a header or a log tells, calls that are sent more than
//! once or cut, and clusters that a caller may choose.

use super::at::At;
use super::finding::Findings;

/// Formats of Envoy's that write out a header with a token or a key in it, in lower case.
const SECRETS: [&str; 7] = [
    "%req(authorization",
    "%req(x-matrix-byo-api-key",
    "%req(x-matrix-user-api-key",
    "%req(x-api-key",
    "%req(api-key",
    "headers['authorization']",
    "headers[\"authorization\"]",
];

/// The whole bootstrap.
pub(crate) fn check(bootstrap: &At<'_>, findings: &mut Findings) {
    for (place, text) in bootstrap.all_texts() {
        check_text(&place, text, findings);
    }
    for (name, place) in bootstrap.all_members() {
        check_member(name, &place, findings);
    }
}

fn check_text(place: &At<'_>, text: &str, findings: &mut Findings) {
    let lower = text.to_ascii_lowercase();
    // The connection manager's log has a check of its own, in `words`.
    let looked_through = place.path.contains(".access_log[") && !lower.contains("headers[");
    if !looked_through && SECRETS.iter().any(|secret| lower.contains(secret)) {
        let what = "writes out a caller's token, or the platform's key, which has been put on by then";
        findings.error(place, what, "no header that carries a token or a key");
    }
    if lower == "x-envoy-retry-on" {
        let what = "Envoy sends a call again that the provider has worked on, and it is paid for each";
        findings.error(place, what, "retry_policy: { retry_on: connect-failure } on the provider's route");
    }
}

fn check_member(name: &str, place: &At<'_>, findings: &mut Findings) {
    match name {
        "request_mirror_policies" | "requestMirrorPolicies" => {
            let what = "each call is sent a second time, with the platform's key, and one of them is metered";
            findings.error(place, what, "no request_mirror_policies");
        }
        "hedge_policy" | "hedgePolicy" => {
            let what = "a slow call is sent again while the provider works on it, and one of them is metered";
            findings.error(place, what, "no hedge_policy");
        }
        "cluster_header" | "clusterHeader" => {
            let what = "a header chooses the cluster: whoever sends it can reach a provider unmetered, or the ledger";
            findings.error(place, what, "cluster: NAME");
        }
        "lds_config" | "ldsConfig" => {
            let what = "listeners that come from elsewhere are not looked at: one that reaches a provider's cluster is unmetered";
            findings.warn(place, what, "listeners in static_resources, or a check of what the source sends");
        }
        "per_try_timeout" | "perTryTimeout" | "per_try_idle_timeout" | "perTryIdleTimeout" => {
            findings.error(
                place,
                "cuts every call that takes longer, which the provider has worked on",
                format!("no {name}"),
            );
        }
        "idle_timeout" | "max_stream_duration" if place.path.ends_with(&format!(".route.{name}")) => {
            findings.warn(
                place,
                "cuts calls on this route: models think, and streams last",
                format!("no {name}"),
            );
        }
        "trust_chain_verification" | "trustChainVerification" if place.is("ACCEPT_UNTRUSTED") => {
            findings.error(
                place,
                "whoever answers gets the platform's key",
                "VERIFY_TRUST_CHAIN, the default",
            );
        }
        "virtual_hosts" | "virtualHosts" => {
            place.items().iter().for_each(|host| check_domains(host, findings))
        }
        _ => {}
    }
}

/// The filter writes the provider's authority into the request, and Envoy then chooses the virtual host
/// again, for that authority.
fn check_domains(host: &At<'_>, findings: &mut Findings) {
    let marked = |route: &At<'_>| route.down("match/filter_state").exists();
    let domains = host.field("domains");
    if host.field("routes").items().iter().any(marked) && !domains.items().iter().any(|it| it.is("*")) {
        let what = "once the filter has written the provider's authority into a call, this virtual host is not chosen any more: calls \
                    are 503, or go by another one's routes";
        findings.error(&domains, what, "domains: [\"*\"]; the filter's `hosts` says whom it answers to");
    }
}
