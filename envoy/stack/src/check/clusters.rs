//! Clusters: the ledger's with the shared secret, providers' with the platform's keys, and buffers that fit together.

use super::at::At;
use super::finding::Findings;
use super::gateway::Gateway;
use super::routes::check_retries;
use super::settings::Settings;
use pax_gateway::call::config::Provider;

/// Envoy's default limit of a connection's buffer, in bytes.
const DEFAULT_BUFFER: u64 = 1_048_576;

/// The static clusters.
pub(crate) struct Clusters<'a> {
    list: At<'a>,
    /// Whether more of them come from elsewhere.
    more: bool,
}

impl<'a> Clusters<'a> {
    /// Those of a bootstrap.
    pub fn of(bootstrap: &At<'a>) -> Self {
        let dynamic = ["dynamic_resources/cds_config", "dynamic_resources/ads_config"];
        let more = dynamic.iter().any(|names| bootstrap.down(names).exists());
        Self { list: bootstrap.down("static_resources/clusters"), more }
    }

    /// The cluster of that name.
    pub fn find(&self, name: &str) -> Option<At<'a>> {
        self.list.items().into_iter().find(|cluster| cluster.field("name").is(name))
    }

    /// Whether a cluster has no endpoint, so that every call to it is answered 503.
    pub fn is_empty(cluster: &At<'_>) -> bool {
        let groups = cluster.down("load_assignment/endpoints").items();
        let statically = cluster.field("type").is("STATIC") || !cluster.field("type").exists();
        let custom = cluster.field("cluster_type").exists();
        statically && !custom && groups.iter().all(|group| group.field("lb_endpoints").items().is_empty())
    }
}

/// Every cluster that the filter's configuration names.
pub(crate) fn check(
    settings: &Settings,
    clusters: &Clusters<'_>,
    bootstrap: &At<'_>,
    findings: &mut Findings,
) {
    let config = &settings.config;
    let mut ledgers = vec![("ledger.cluster", config.ledger.cluster.as_str())];
    if config.ledger.resolve_cluster != config.ledger.cluster {
        ledgers.push(("ledger.resolve_cluster", &config.ledger.resolve_cluster));
    }
    ledgers.extend(config.credits.iter().map(|credits| ("credits.cluster", credits.cluster.as_str())));
    for (key, name) in ledgers {
        if let Some(cluster) =
            find(key, name, "the ledger is asked nothing, and calls are 503", settings, clusters, findings)
        {
            check_ledger(&cluster, findings);
        }
    }
    let ledgers_secret =
        clusters.find(&config.ledger.cluster).and_then(|cluster| credential(&cluster)?.text());
    for (name, provider) in &config.providers {
        let key = format!("providers.{name}.cluster");
        let then = "its calls are 503, or Envoy does not start";
        if let Some(cluster) = find(&key, &provider.cluster, then, settings, clusters, findings) {
            check_provider(&cluster, name, provider, findings);
            check_tls(&cluster, findings);
            // Envoy takes it before the route's.
            check_retries(&http_options(&cluster).field("retry_policy"), findings);
            let key = credential(&cluster);
            if let Some(key) = key.filter(|key| key.exists() && key.text() == ledgers_secret) {
                findings.error(
                    &key,
                    "the provider is sent the ledger's shared secret",
                    "the name of the provider's own key",
                );
            }
        }
    }
    check_secrets(bootstrap, findings);
}

fn find<'a>(
    key: &str,
    name: &str,
    then: &str,
    settings: &Settings,
    clusters: &Clusters<'a>,
    findings: &mut Findings,
) -> Option<At<'a>> {
    let found = clusters.find(name);
    if found.is_none() && !clusters.more {
        let known: Vec<&str> =
            clusters.list.items().iter().filter_map(|it| it.field("name").text()).collect();
        let what = format!("{}: {key}, {name:?}, is no cluster of this file: {then}", settings.path);
        findings.error(
            &clusters.list,
            what,
            format!("a cluster {name:?}, or one of those there are: {}", known.join(", ")),
        );
    }
    found
}

/// The protocol options of a cluster.
fn http_options<'a>(cluster: &At<'a>) -> At<'a> {
    cluster
        .field("typed_extension_protocol_options")
        .field("envoy.extensions.upstreams.http.v3.HttpProtocolOptions")
}

/// The cluster's credential injector, and where its filters are.
fn injector<'a>(cluster: &At<'a>) -> (At<'a>, Option<At<'a>>) {
    let filters = http_options(cluster).field("http_filters");
    let configs = filters.items().into_iter().map(|filter| filter.field("typed_config"));
    let found = configs.into_iter().find(|it| it.has_type("credential_injector.v3.CredentialInjector"));
    (filters, found)
}

/// The name of the secret that a cluster puts on its requests.
fn credential<'a>(cluster: &At<'a>) -> Option<At<'a>> {
    injector(cluster).1.map(|injector| injector.down("credential/typed_config/credential/name"))
}

fn check_ledger(cluster: &At<'_>, findings: &mut Findings) {
    let (filters, injector) = injector(cluster);
    let Some(injector) = injector else {
        let what = "the shared secret is not put on: the ledger answers 401, and calls are 503";
        findings.error(
            &filters,
            what,
            "a credential_injector with `overwrite: true`, as in envoy/minimal.yaml",
        );
        return;
    };
    let overwrite = injector.field("overwrite");
    if !overwrite.is_true() {
        let what = "a caller's own authorization is sent to the ledger in the place of the shared secret: /v1/credits is refused";
        findings.error(&overwrite, what, "overwrite: true");
    }
    let generic = injector.down("credential/typed_config");
    let (header, prefix) = (generic.field("header"), generic.field("header_value_prefix"));
    if header.exists() && !header.text().is_some_and(|it| it.eq_ignore_ascii_case("authorization")) {
        findings.error(
            &header,
            "the ledger reads its secret from authorization, and answers 401",
            "header: authorization",
        );
    }
    if !prefix.is("Bearer ") {
        let what = "the ledger reads its secret after `Bearer `, and answers 401: calls are 503";
        findings.error(&prefix, what, "header_value_prefix: \"Bearer \"");
    }
}

fn check_provider(cluster: &At<'_>, name: &str, provider: &Provider, findings: &mut Findings) {
    let (filters, injector) = injector(cluster);
    let Some(injector) = injector else {
        if !provider.platform_funding {
            return;
        }
        let what =
            format!("no platform key is put on for {name}: right only for a server that asks for none");
        let write = format!(
            "a credential_injector with `overwrite: false`, as in envoy/minimal.yaml, or providers.{name}.platform_funding: false"
        );
        findings.warn(&filters, what, write);
        return;
    };
    let overwrite = injector.field("overwrite");
    if overwrite.is_true() {
        let what = "calls with a caller's own key are sent with the platform's: it pays, and the caller is charged 0 PAX";
        findings.error(&overwrite, what, "overwrite: false");
    }
    let header = injector.down("credential/typed_config/header");
    let own_header = &provider.credential.header;
    let text = header.text().unwrap_or("authorization");
    if !text.eq_ignore_ascii_case(own_header) {
        let what =
            format!("calls with a caller's own key, in {own_header}, are sent with the platform's beside it");
        findings.error(&header, what, format!("header: {own_header}, as providers.{name}.credential.header"));
    }
}

fn check_tls(cluster: &At<'_>, findings: &mut Findings) {
    let socket = cluster.field("transport_socket");
    let config = socket.field("typed_config");
    let (_, injector) = injector(cluster);
    if injector.is_none() {
        return;
    }
    let raw = config.has_type("transport_sockets.raw_buffer.v3.RawBuffer");
    if !socket.exists() || raw {
        let what = "the platform's key, prompts and answers go over the network in the clear";
        findings.warn(
            &socket,
            what,
            "a transport_socket with an UpstreamTlsContext, as in envoy/minimal.yaml",
        );
    } else if config.has_type("transport_sockets.tls.v3.UpstreamTlsContext") {
        let context = config.field("common_tls_context");
        let mut ways =
            ["validation_context", "combined_validation_context", "validation_context_sds_secret_config"]
                .iter();
        if !ways.any(|way| context.field(way).exists()) {
            let what =
                "Envoy verifies no certificate unless it is told to: whoever answers gets the platform's key";
            let write = "validation_context: { trusted_ca: { filename: /etc/ssl/certs/ca-certificates.crt } } and match_typed_subject_alt_names";
            findings.error(&context, what, write);
        }
        check_identity(&context.field("validation_context"), findings);
    }
}

/// A certificate proves nothing unless Envoy also checks whose it is.
fn check_identity(validation: &At<'_>, findings: &mut Findings) {
    if !validation.exists() {
        return;
    }
    for (name, write) in [
        ("trusted_ca", "trusted_ca: { filename: /etc/ssl/certs/ca-certificates.crt }"),
        ("match_typed_subject_alt_names", "[{ san_type: DNS, matcher: { exact: the provider's host } }]"),
    ] {
        let place = validation.field(name);
        if !place.exists() {
            let what = "whoever has any certificate at all gets the platform's key, prompts and answers";
            findings.error(&place, what, write);
        }
    }
}

/// The listener's buffer must hold an answer that the filter holds back and, besides, what a provider's
/// cluster buffers.
pub(crate) fn check_buffers(
    gateway: &Gateway<'_>,
    settings: &Settings,
    clusters: &Clusters<'_>,
    findings: &mut Findings,
) {
    let held = settings.config.limits.held_answer;
    let limit = gateway.listener.field("per_connection_buffer_limit_bytes");
    let room = limit.number().unwrap_or(DEFAULT_BUFFER);
    for provider in settings.config.providers.values() {
        let Some(cluster) = clusters.find(&provider.cluster) else { continue };
        let own = cluster.field("per_connection_buffer_limit_bytes");
        let bytes = own.number().unwrap_or(DEFAULT_BUFFER);
        if held.saturating_add(bytes) > room {
            let place = if held.saturating_add(32_768) > room { &limit } else { &own };
            let what = format!(
                "long JSON answers become 500s: the {held} bytes that the filter holds and the cluster's buffer of {bytes} do not fit the listener's {room}"
            );
            let write = "32768 for the provider's cluster, and 1048576 for the listener (with limits.held_answer_bytes at 524288)";
            findings.error(place, what, write);
        }
    }
}

fn check_secrets(bootstrap: &At<'_>, findings: &mut Findings) {
    let secrets = bootstrap.down("static_resources/secrets");
    let all = secrets.items();
    for secret in &all {
        for clear in ["inline_string", "inline_bytes"] {
            let place = secret.down("generic_secret/secret").field(clear);
            if place.exists() {
                let what = "a secret stands in this file, readable to whoever can read it";
                findings.warn(
                    &place,
                    what,
                    "environment_variable: NAME, or filename: /path of a file of mode 600",
                );
            }
        }
    }
    for cluster in bootstrap.down("static_resources/clusters").items() {
        let (_, Some(injector)) = injector(&cluster) else { continue };
        let credential = injector.down("credential/typed_config/credential");
        let name = credential.field("name");
        let known = all.iter().any(|secret| secret.field("name").same_as(&name));
        if name.exists() && !known && !credential.field("sds_config").exists() {
            let what =
                "no secret of static_resources.secrets has this name: Envoy does not start (1.40 crashes)";
            findings.error(&name, what, "the name of one, such as ledger_secret");
        }
    }
}
