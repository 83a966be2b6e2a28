//! The filter's own configuration, judged by the filter's own reader.

use super::at::At;
use super::finding::Findings;
use super::gateway::Gateway;
use pax_gateway::call::config::{self, Config};

/// The filter's limit for the sum of open request bodies if `limits.open_bytes` is not stated.
const OPEN_BYTES: u64 = 768 * 1024 * 1024;

/// A configuration without mistakes.
pub(crate) struct Settings {
    /// As the filter reads it.
    pub config: Config,
    /// `limits.open_bytes`.
    pub open_bytes: u64,
    /// Its path.
    pub path: String,
}

/// Reads every configuration there is, equal ones once; returns the first one without a mistake.
pub(crate) fn read(
    gateways: &[Gateway<'_>],
    singleton: Option<&At<'_>>,
    findings: &mut Findings,
) -> Option<Settings> {
    let plugins = gateways.iter().filter_map(|gateway| gateway.plugin.as_ref()).chain(singleton);
    let mut first = None;
    let mut seen: Vec<At<'_>> = Vec::new();
    for configuration in plugins.map(|plugin| plugin.field("configuration")) {
        if seen.iter().any(|other| other.same_as(&configuration)) {
            continue;
        }
        if let Some(text) = text_of(&configuration, findings) {
            let read = read_one(text, &configuration.field("value"), findings);
            first = first.or(read);
        }
        seen.push(configuration);
    }
    first
}

fn text_of<'a>(configuration: &At<'a>, findings: &mut Findings) -> Option<&'a str> {
    let write =
        "\"@type\": type.googleapis.com/google.protobuf.StringValue, and the JSON as a text under `value`";
    if !configuration.exists() {
        findings.error(
            configuration,
            "the filter has no configuration, and takes none but a whole one",
            write,
        );
        return None;
    }
    let text = configuration.field("value").text();
    if text.is_none() || !configuration.has_type("google.protobuf.StringValue") {
        let what = "the filter is given something else than JSON in a text (Envoy hands over a Struct in binary), and rejects it";
        findings.error(&configuration.field("@type"), what, write);
        return None;
    }
    text
}

fn read_one(text: &str, place: &At<'_>, findings: &mut Findings) -> Option<Settings> {
    match config::Gateway::parse(text) {
        Ok(gateway) => {
            let json: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
            let open_bytes = json["limits"]["open_bytes"].as_u64().unwrap_or(OPEN_BYTES);
            Some(Settings { config: gateway.config, open_bytes, path: place.path.clone() })
        }
        Err(mistakes) => {
            for mistake in mistakes.0 {
                let what = format!("{}; with a mistake the filter takes no configuration", mistake.what);
                findings.error(&place.inside(&mistake.path), what, "docs/configuration.md has its values");
            }
            None
        }
    }
}
