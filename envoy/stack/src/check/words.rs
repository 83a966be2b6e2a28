//! What is logged of a call: one line for each call, and no secret.

use super::at::At;
use super::finding::Findings;
use super::gateway::Gateway;
use super::settings::Settings;

/// Headers in which callers send secrets.
const SECRET: [&str; 7] = [
    "authorization",
    "proxy-authorization",
    "cookie",
    "api-key",
    "x-api-key",
    "x-matrix-byo-api-key",
    "x-matrix-user-api-key",
];

/// The logs and the tracing of one connection manager.
pub(crate) fn check(gateway: &Gateway<'_>, settings: Option<&Settings>, findings: &mut Findings) {
    let mut secret: Vec<String> = SECRET.map(str::to_owned).to_vec();
    if let Some(settings) = settings {
        secret.extend(settings.config.providers.values().map(|it| it.credential.header.to_ascii_lowercase()));
    }
    let logs = [gateway.manager.field("access_log"), gateway.listener.field("access_log")];
    for place in [&logs[0], &logs[1], &gateway.manager.field("tracing")] {
        for (at, text) in place.all_texts() {
            check_text(&at, text, &secret, findings);
        }
    }
    let has_line = logs[0].all_texts().iter().any(|(_, text)| text.contains("FILTER_STATE(wasm.pax"));
    if !has_line {
        let what = "no line is written per call: nobody can be told why a call was refused";
        findings.warn(&logs[0], what, "the two access logs of envoy/minimal.yaml");
    }
}

fn check_text(at: &At<'_>, text: &str, secret: &[String], findings: &mut Findings) {
    let is_secret = |name: &str| secret.iter().any(|it| it.eq_ignore_ascii_case(name));
    let named: Vec<&str> = requested_headers(text);
    if let Some(name) = named.iter().copied().chain([text]).find(|name| is_secret(name)) {
        let what = format!(
            "secrets are written down: {name} (the caller's, or the platform's key, which Envoy has put on by then)"
        );
        findings.error(at, what, "no header of the caller's; the line of envoy/minimal.yaml says who called");
    } else if at.path.contains("text_format") && named.iter().any(|name| !name.starts_with(':')) {
        let what = "a text format escapes nothing: callers write lines of their own into the log";
        findings.warn(at, what, "no header of the caller's");
    }
}

/// The request's headers that a format names: `%REQ(A?B)%`.
fn requested_headers(text: &str) -> Vec<&str> {
    let parts = text.split("%REQ").skip(1).filter_map(|rest| rest.split_once('(')?.1.split_once(')'));
    parts.flat_map(|(names, _)| names.split('?')).collect()
}
