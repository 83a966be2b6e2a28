//! Routes: only a call with the filter's mark reaches a provider, and a call without a mark goes nowhere.

use super::at::At;
use super::clusters::Clusters;
use super::finding::Findings;
use super::gateway::{Gateway, managers};
use super::settings::Settings;

/// The filter state that the filter marks a call with.
const MARK: &str = "wasm.pax_provider";
/// The mark of calls that ask for the caller's own credits.
const CREDITS: &str = "pax/credits";
/// What the filter may write into a request body, in bytes.
const INSERTED_BYTES: u64 = 1_024;
/// Headers that Envoy adds, and that providers should not see.
const REMOVED: [&str; 4] =
    ["x-forwarded-proto", "x-forwarded-for", "x-envoy-external-address", "x-request-id"];

/// One route with what matters of it.
struct Route<'a> {
    at: At<'a>,
    /// The exact mark that it demands.
    mark: Option<&'a str>,
    /// Whether it demands a mark in another way than as an exact text.
    vague: bool,
}

impl<'a> Route<'a> {
    fn of(at: At<'a>) -> Self {
        let states = at.down("match/filter_state").items();
        let state = states.into_iter().find(|state| state.field("key").is(MARK));
        let mark = state.as_ref().and_then(|state| state.down("string_match/exact").text());
        let inverted = state.as_ref().is_some_and(|state| state.field("invert").is_true());
        Self { at, mark: mark.filter(|_| !inverted), vague: state.is_some() && (mark.is_none() || inverted) }
    }

    fn cluster(&self) -> At<'a> {
        self.at.down("route/cluster")
    }

    /// Whether it takes every path and every method.
    fn takes_all(&self) -> bool {
        let matched = self.at.field("match");
        let known = ["prefix", "filter_state", "filterState", "case_sensitive", "caseSensitive"];
        matched.field("prefix").is("/") && matched.members().iter().all(|(name, _)| known.contains(name))
    }

    /// Every cluster that it may send a call to, or a copy of it.
    fn clusters(&self) -> Vec<At<'a>> {
        let action = self.at.field("route");
        let mut all = vec![action.field("cluster")];
        all.extend(action.down("weighted_clusters/clusters").items().iter().map(|it| it.field("name")));
        all.extend(action.field("request_mirror_policies").items().iter().map(|it| it.field("cluster")));
        all.into_iter().filter(At::exists).collect()
    }
}

/// No route of any listener may reach a provider, or the ledger, without the filter's mark.
pub(crate) fn check_every_manager(bootstrap: &At<'_>, settings: &Settings, findings: &mut Findings) {
    for (_, manager) in managers(bootstrap) {
        for host in manager.down("route_config/virtual_hosts").items() {
            for route in host.field("routes").items().into_iter().map(Route::of) {
                check_reach(&route, settings, findings);
            }
        }
    }
}

fn check_reach(route: &Route<'_>, settings: &Settings, findings: &mut Findings) {
    for cluster in route.clusters() {
        let Some(name) = cluster.text() else { continue };
        let provider = settings.config.providers.iter().find(|(_, provider)| provider.cluster == name);
        let ledger = &settings.config.ledger;
        let credits = settings.config.credits.as_ref();
        let is_ledger = ledger.cluster == name || ledger.resolve_cluster == name;
        if is_ledger {
            let what = "callers reach the ledger's internal listener, with the shared secret put on";
            findings.error(&cluster, what, "no route to this cluster: the filter itself calls it");
        } else if let Some((provider, _)) = provider.filter(|_| route.mark.is_none()) {
            let how = if route.vague { "another match than an exact mark" } else { "no mark" };
            let what = format!(
                "calls reach {provider} by {how} of the filter: unmetered, and with the platform's key"
            );
            let write = format!(
                "match: {{ prefix: \"/\", filter_state: [{{ key: {MARK}, string_match: {{ exact: {provider} }} }}] }}"
            );
            findings.error(&route.at.field("match"), what, write);
        } else if credits.is_some_and(|credits| credits.cluster == name) && route.mark != Some(CREDITS) {
            let what = "callers reach the ledger's public listener as whoever they say they are, with the shared secret put on";
            findings.error(&route.at.field("match"), what, credits_match());
        }
    }
}

/// The routes beside one filter.
pub(crate) fn check(
    gateway: &Gateway<'_>,
    settings: &Settings,
    clusters: &Clusters<'_>,
    findings: &mut Findings,
) {
    let config = gateway.manager.field("route_config");
    if !config.exists() {
        let what = "the routes come from a control plane: they are not looked at here";
        findings.warn(
            &gateway.manager.field("rds"),
            what,
            "nothing; check them with the routes in a file before",
        );
        return;
    }
    let hosts = config.field("virtual_hosts");
    let all = hosts.items();
    let has_mark =
        |host: &At<'_>| host.field("routes").items().into_iter().any(|at| Route::of(at).mark.is_some());
    let Some(host) = all.iter().find(|host| has_mark(host)).or(all.first()) else {
        findings.error(
            &hosts,
            "there is no route: every call is 404",
            "a virtual host as in envoy/minimal.yaml",
        );
        return;
    };
    let routes: Vec<_> = host.field("routes").items().into_iter().map(Route::of).collect();
    for (name, provider) in &settings.config.providers {
        check_provider(name, &provider.cluster, host, &routes, findings);
    }
    if let Some(credits) = &settings.config.credits {
        check_credits(&credits.cluster, host, &routes, findings);
    }
    check_last(host, &routes, clusters, findings);
    check_body_limit(host, &routes, settings, findings);
    check_headers(&config, host, &routes, findings);
    check_overrides(gateway, host, &routes, findings);
}

/// Settings of a route that take the filter away from its calls.
fn check_overrides(gateway: &Gateway<'_>, host: &At<'_>, routes: &[Route<'_>], findings: &mut Findings) {
    let name = gateway.entry.field("name").text().unwrap_or_default();
    for place in routes.iter().map(|route| &route.at).chain([host]) {
        let disabled = place.field("typed_per_filter_config").field(name).field("disabled");
        if disabled.is_true() {
            let what = "the filter does not see these calls, so none is marked: all are 503";
            findings.error(&disabled, what, "no typed_per_filter_config for this filter");
        }
    }
}

fn check_provider(name: &str, cluster: &str, host: &At<'_>, routes: &[Route<'_>], findings: &mut Findings) {
    let write = format!(
        "{{ match: {{ prefix: \"/\", filter_state: [{{ key: {MARK}, string_match: {{ exact: {name} }} }}] }}, route: {{ cluster: {cluster}, timeout: 0s }} }}"
    );
    let mut own = routes.iter().filter(|route| route.mark == Some(name));
    let Some(route) = own.next() else {
        let what = format!("no route has the mark of {name}: its calls are all 503");
        findings.error(&host.field("routes"), what, write);
        return;
    };
    if let Some(second) = own.next() {
        let what = format!(
            "a second route with the mark of {name}, which is reached only if the first does not match"
        );
        findings.warn(&second.at, what, "one route for each provider");
    }
    if !route.takes_all() {
        let what = format!(
            "the filter rewrites the path before the route is chosen, so calls to {name} miss this match: 503"
        );
        findings.error(&route.at.field("match"), what, write);
    }
    if !route.cluster().is(cluster) {
        let what =
            format!("calls of {name} go to another cluster than providers.{name}.cluster, {cluster:?}");
        findings.error(&route.cluster(), what, format!("cluster: {cluster}"));
    }
    check_action(&route.at, host, findings);
}

/// How long a call may take, and how often it is made.
fn check_action(route: &At<'_>, host: &At<'_>, findings: &mut Findings) {
    let timeout = route.down("route/timeout");
    match timeout.milliseconds() {
        Some(0) => {}
        None if !timeout.exists() => {
            let what =
                "Envoy's default of 15 s cuts streams and slow answers, which are charged all the same";
            findings.error(&timeout, what, "timeout: 0s (silence is bounded by stream_idle_timeout)");
        }
        _ => {
            let what = "cuts every longer stream or answer, which is charged all the same";
            findings.warn(&timeout, what, "timeout: 0s (silence is bounded by stream_idle_timeout)");
        }
    }
    for policy in [route.down("route/retry_policy"), host.field("retry_policy")] {
        check_retries(&policy, findings);
    }
}

/// A retry policy that applies to calls of a provider.
pub(super) fn check_retries(policy: &At<'_>, findings: &mut Findings) {
    let on = policy.field("retry_on");
    let risky = on.text().into_iter().flat_map(|on| on.split(',')).map(str::trim);
    let risky: Vec<&str> = risky.filter(|on| !on.is_empty() && *on != "connect-failure").collect();
    if !risky.is_empty() {
        let what = format!(
            "{}: the provider is paid for each attempt, and the caller charged for one",
            risky.join(",")
        );
        findings.error(&on, what, "retry_on: connect-failure");
    }
}

fn credits_match() -> String {
    format!(
        "match: {{ prefix: \"/v1/credits\", filter_state: [{{ key: {MARK}, string_match: {{ exact: {CREDITS} }} }}] }}"
    )
}

fn check_credits(cluster: &str, host: &At<'_>, routes: &[Route<'_>], findings: &mut Findings) {
    match routes.iter().find(|route| route.mark == Some(CREDITS)) {
        None => {
            let what = "no route has the mark of callers' own credits: /v1/credits is 503";
            let write = format!("{{ {}, route: {{ cluster: {cluster}, timeout: 30s }} }}", credits_match());
            findings.error(&host.field("routes"), what, write);
        }
        Some(route) if !route.cluster().is(cluster) => {
            let what =
                format!("callers' credits are asked for elsewhere than at credits.cluster, {cluster:?}");
            findings.error(&route.cluster(), what, format!("cluster: {cluster}"));
        }
        Some(_) => {}
    }
}

/// The last route, which all calls are on until the filter has marked them.
fn check_last(host: &At<'_>, routes: &[Route<'_>], clusters: &Clusters<'_>, findings: &mut Findings) {
    let write = "after all others { match: { prefix: \"/\" }, route: { cluster: nowhere } }, with a cluster that has no endpoint";
    let unmarked = |route: &&Route<'_>| route.mark.is_none() && !route.vague && route.takes_all();
    let Some((index, last)) = routes.iter().enumerate().find(|(_, route)| unmarked(route)) else {
        let what = "no route takes calls before they are marked: bodies beyond the listener's buffer are 413, and a dead filter's calls 404";
        findings.error(&host.field("routes"), what, write);
        return;
    };
    if index + 1 < routes.len() {
        let what = "takes every call before the routes after it are looked at: those are never reached, and calls are 503";
        findings.error(&last.at, what, write);
    }
    let answer = last.at.field("direct_response");
    if answer.exists() {
        let what = "the virtual host's body limit does not hold on a direct_response, and calls are on this route while \
                    their body is read: bodies beyond the listener's buffer are 413";
        findings.error(&answer, what, write);
    } else if let Some(name) = last.cluster().text() {
        let has_endpoints = clusters.find(name).is_some_and(|cluster| !Clusters::is_empty(&cluster));
        if has_endpoints {
            let what = format!(
                "whatever the filter did not mark is sent to {name}: with a dead filter that is every call"
            );
            findings.error(&last.cluster(), what, write);
        }
    }
}

fn check_body_limit(host: &At<'_>, routes: &[Route<'_>], settings: &Settings, findings: &mut Findings) {
    let wanted = settings.config.limits.request.saturating_add(INSERTED_BYTES);
    let write = format!(
        "request_body_buffer_limit: {wanted} (limits.request_bytes and {INSERTED_BYTES} for what the filter writes)"
    );
    let own = routes.iter().map(|route| route.at.field("request_body_buffer_limit")).filter(At::exists);
    let of_host = host.field("request_body_buffer_limit");
    let no_limit = !of_host.exists();
    for limit in own.chain([of_host]) {
        match limit.number() {
            Some(bytes) if bytes == wanted => {}
            Some(bytes) if bytes > wanted => {
                findings.warn(&limit, "Envoy holds more of a body than the filter will take", write.clone());
            }
            _ => {
                let least = if no_limit { "1 MiB, Envoy's default," } else { "this" };
                let what =
                    format!("request bodies beyond {least} are 413, though the filter would take them");
                findings.error(&limit, what, write.clone());
            }
        }
    }
}

/// Headers that the configuration removes or adds beside the filter.
fn check_headers(config: &At<'_>, host: &At<'_>, routes: &[Route<'_>], findings: &mut Findings) {
    let removed_here = host.field("request_headers_to_remove");
    let lists = [removed_here.clone(), config.field("request_headers_to_remove")];
    let removed: Vec<&str> = lists.iter().flat_map(At::items).filter_map(|name| name.text()).collect();
    let told: Vec<&str> =
        REMOVED.into_iter().filter(|name| !removed.iter().any(|it| it.eq_ignore_ascii_case(name))).collect();
    if !told.is_empty() {
        let what = format!("providers are told of callers, and of this Envoy: {}", told.join(", "));
        findings.warn(&removed_here, what, format!("request_headers_to_remove: [{}]", REMOVED.join(", ")));
    }
    let places = routes.iter().map(|route| route.at.clone()).chain([host.clone(), config.clone()]);
    for header in places.flat_map(|place| place.field("request_headers_to_add").items()) {
        let key = header.down("header/key").text().unwrap_or_default().to_ascii_lowercase();
        if ["authorization", "x-api-key", "api-key"].contains(&key.as_str()) {
            let what = format!(
                "{key} is put on each call: the secret is told by /config_dump, and a caller's own key is lost"
            );
            let write =
                "a credential_injector in the cluster, with the secret from the environment or a file";
            findings.error(&header, what, write);
        }
    }
}
