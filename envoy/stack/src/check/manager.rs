//! The connection manager around the filter: what it does before the filter runs, and how long it waits.

use super::at::At;
use super::finding::Findings;
use super::gateway::Gateway;
use super::settings::Settings;

/// Shorter silences than this are usual for models that think.
const LONG_SILENCE_MS: u64 = 600_000;
/// What a caller may send ahead of the filter over HTTP/2, in bytes: for one call, and for one connection.
const WINDOWS: [(&str, u64); 2] =
    [("initial_stream_window_size", 262_144), ("initial_connection_window_size", 1_048_576)];

/// One connection manager.
pub(crate) fn check(gateway: &Gateway<'_>, settings: Option<&Settings>, findings: &mut Findings) {
    let manager = &gateway.manager;
    check_trust(manager, findings);
    check_waits(manager, findings);
    check_windows(manager, findings);
    check_neighbours(gateway, findings);
    if !manager.down("local_reply_config/mappers").exists() {
        let what =
            "Envoy's own answers (413, 503, 504) are plain text, which clients of OpenAI's API cannot read";
        findings.warn(
            &manager.field("local_reply_config"),
            what,
            "local_reply_config as in envoy/minimal.yaml",
        );
    }
    let prefix = manager.field("stat_prefix");
    if !prefix.is("gateway") {
        let what =
            "pax-drain counts the calls in flight by http.gateway.*: it would end Envoy with calls in flight";
        findings.warn(&prefix, what, "stat_prefix: gateway");
    }
    if settings.is_some_and(|settings| settings.config.disabled) {
        let what = "the kill switch is on: every call is answered 503 gateway_disabled";
        findings.warn(
            &manager.field("http_filters"),
            what,
            "\"disabled\": false in the filter's configuration",
        );
    }
}

/// Callers are strangers: nothing that they say of themselves may be trusted.
fn check_trust(manager: &At<'_>, findings: &mut Findings) {
    let remote = manager.field("use_remote_address");
    if !remote.is_true() {
        let what = "callers are believed what they say in x-forwarded-for and x-envoy-* headers";
        findings.warn(
            &remote,
            what,
            "use_remote_address: true, where callers connect to this Envoy themselves",
        );
    }
    let normalize = manager.field("normalize_path");
    if !normalize.is_true() {
        let what =
            "a path with dot segments is an unknown route to the filter, or another one than to the router";
        findings.warn(&normalize, what, "normalize_path: true");
    }
    let always = manager.field("always_set_request_id_in_response");
    if always.is_true() {
        let what = "Envoy's own id takes the place of the exchange's in x-request-id, so that no caller can name an exchange";
        findings.warn(&always, what, "always_set_request_id_in_response: false");
    }
    for filter in manager.field("http_filters").items() {
        let config = filter.field("typed_config");
        let suppressed = config.field("suppress_envoy_headers");
        if config.has_type("filters.http.router.v3.Router") && !suppressed.is_true() {
            let what = "providers and callers are told x-envoy-* headers";
            findings.warn(&suppressed, what, "suppress_envoy_headers: true");
        }
    }
}

fn check_waits(manager: &At<'_>, findings: &mut Findings) {
    let idle = manager.field("stream_idle_timeout");
    let silence = if idle.exists() { idle.milliseconds().unwrap_or(0) } else { 300_000 };
    if silence > 0 && silence < LONG_SILENCE_MS {
        let what = format!(
            "a call is cut after {} s of silence (five minutes by default): models think for longer",
            silence / 1_000
        );
        findings.warn(&idle, what, "stream_idle_timeout: 1800s");
    }
    let longest = manager.down("common_http_protocol_options/max_stream_duration");
    if longest.milliseconds().is_some_and(|it| it > 0) {
        findings.warn(
            &longest,
            "cuts every longer stream, which is charged all the same",
            "no max_stream_duration",
        );
    }
    for (name, wanted) in [("request_headers_timeout", "10s"), ("request_timeout", "300s")] {
        let timeout = manager.field(name);
        if timeout.milliseconds().is_none_or(|it| it == 0) {
            let what =
                "who sends a request slowly on purpose holds memory and a stream for as long as he likes";
            findings.warn(&timeout, what, format!("{name}: {wanted}"));
        }
    }
}

fn check_windows(manager: &At<'_>, findings: &mut Findings) {
    if manager.field("codec_type").is("HTTP1") {
        return;
    }
    for (name, most) in WINDOWS {
        let window = manager.field("http2_protocol_options").field(name);
        if window.number().is_none_or(|bytes| bytes > most) {
            let what = "what HTTP/2 lets callers send ahead (16 and 24 MiB by default), no limit of the filter counts";
            findings.warn(&window, what, format!("{name}: {most}"));
        }
    }
}

/// What other filters take away from this one.
fn check_neighbours(gateway: &Gateway<'_>, findings: &mut Findings) {
    let entries = gateway.manager.field("http_filters").items();
    let before = entries.iter().take_while(|entry| entry.path != gateway.entry.path);
    let configs: Vec<At<'_>> = before.map(|entry| entry.field("typed_config")).collect();
    let probes = configs.iter().any(|config| config.has_type("health_check.v3.HealthCheck"));
    if !probes {
        let what = "/readyz does not fail while Envoy drains: load balancers send calls until it is gone";
        let write = "the filter envoy.filters.http.health_check before pax_gateway, as in envoy/minimal.yaml";
        findings.warn(&gateway.manager.field("http_filters"), what, write);
    }
    let early = gateway.manager.field("early_header_mutation_extensions").items();
    let early = early.iter().map(|it| it.field("typed_config"));
    for config in configs.iter().cloned().chain(early) {
        let mut mutations = config.down("mutations/request_mutations").items();
        mutations.extend(config.field("mutations").items());
        for removed in mutations.iter().map(|it| it.field("remove")) {
            if removed.text().is_some_and(|name| name.eq_ignore_ascii_case("x-forwarded-proto")) {
                let what = "Envoy finds no route without it once the filter has marked the call: every call is 404 or 503";
                findings.error(
                    &removed,
                    what,
                    "request_headers_to_remove of the virtual host, which acts later",
                );
            }
        }
    }
}
