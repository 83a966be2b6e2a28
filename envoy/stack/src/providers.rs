//! Providers as `envoy/providers.json` names them, and which server plays them.

use crate::{Layout, StackError};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Whether a provider is asked to report usage in streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StreamUsage {
    /// It understands `stream_options.include_usage`.
    Ask,
    /// It reports unasked, or refuses the option.
    Always,
}

/// The field of a request that carries the most output tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OutputMaximum {
    /// The older name, which nearly all understand.
    #[default]
    MaxTokens,
    /// The newer one.
    MaxCompletionTokens,
}

/// Where a provider stops writing if it is told no maximum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StopsAt {
    /// At the model's own maximum.
    ModelMaximum,
    /// At the end of the context.
    ContextEnd,
}

/// How a server is spoken to: what the filter is told of it, and where that can be read.
#[derive(Debug, Clone, Deserialize)]
pub struct Conventions {
    /// See [`StreamUsage`].
    pub stream_usage: StreamUsage,
    /// The name of the rules that read its raw usage; the filter knows them.
    #[serde(default = "openai")]
    pub usage_rules: String,
    /// See [`OutputMaximum`].
    #[serde(default)]
    pub output_maximum: OutputMaximum,
    /// See [`StopsAt`].
    pub stops_at: StopsAt,
    /// Whether it takes callers' own keys. Only a provider that charges the key itself may do so.
    pub own_keys: bool,
    /// Its word for the standard service tier, if it has one.
    #[serde(default)]
    pub standard_tier: Option<String>,
    /// The request options that it may be sent beside those that every provider is sent.
    #[serde(default)]
    pub options: Vec<String>,
    /// Where all this is documented; for people.
    #[serde(default)]
    pub source: String,
}

/// One provider: an Envoy cluster and its conventions. `envoy/README.md` describes the fields.
#[derive(Debug, Clone, Deserialize)]
pub struct Provider {
    /// `host` or `host:port`; also the TLS name that is asked for and verified.
    pub authority: String,
    /// The path before `/chat/completions`; it begins with `/`, and does not end with one.
    pub base_path: String,
    /// The environment variable with the platform's key.
    pub key_env: String,
    /// How it is spoken to.
    #[serde(flatten)]
    pub conventions: Conventions,
    /// The ids of models that it serves although no card prices them; each has at most one `*`.
    #[serde(default)]
    pub model_patterns: Vec<String>,
    /// The header that carries the key.
    #[serde(default = "authorization")]
    pub key_header: String,
    /// The text before the key in that header.
    #[serde(default = "bearer")]
    pub key_prefix: String,
    /// Fields that have no meaning, and are refused.
    #[serde(flatten)]
    unknown: BTreeMap<String, Value>,
}

fn openai() -> String {
    "openai/1".into()
}

fn authorization() -> String {
    "authorization".into()
}

fn bearer() -> String {
    "Bearer ".into()
}

/// Clusters of the template's own.
const CLUSTERS: [&str; 4] = ["ledger", "ledger_public", "ledger_resolve", "nowhere"];

/// Who serves the providers' models.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Upstream {
    /// The providers themselves, over verified TLS.
    Providers,
    /// One plain-HTTP server, `host:port`, for all of them, at base path `/v1`.
    Server(String),
    /// The stand-in, likewise.
    Standin(String),
}

/// Whether the environment has the platform's key of at least one provider.
///
/// # Errors
/// [`StackError`] if `envoy/providers.json` cannot be read or has a mistake.
pub fn any_provider_key(layout: &Layout) -> Result<bool, StackError> {
    Ok(read(layout)?.values().any(Provider::has_key))
}

impl Provider {
    /// Whether the environment has the platform's key. An empty one is none.
    pub(crate) fn has_key(&self) -> bool {
        std::env::var_os(&self.key_env).is_some_and(|key| !key.is_empty())
    }
}

/// Every provider of `envoy/providers.json`, by name.
pub(crate) fn read(layout: &Layout) -> Result<BTreeMap<String, Provider>, StackError> {
    parse(&layout.read("providers.json")?)
}

pub(crate) fn parse(text: &str) -> Result<BTreeMap<String, Provider>, StackError> {
    let bad = |what: String| StackError::Config(format!("envoy/providers.json: {what}"));
    let providers: BTreeMap<String, Provider> = serde_json::from_str(text).map_err(|e| bad(e.to_string()))?;
    // These strings end up in YAML and in HTTP headers: plain text stays plain there.
    let plain = |text: &str, more: &str| {
        !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c))
    };
    for (name, provider) in &providers {
        if let Some(key) = provider.unknown.keys().next() {
            return Err(bad(format!("{name}.{key} is unknown here")));
        }
        let wrong =
            |field: &str| Err(bad(format!("{name}.{field} is empty or has a character it cannot have")));
        if !plain(name, "-_") || CLUSTERS.contains(&name.as_str()) {
            return Err(bad(format!("{name:?} cannot be a provider's name")));
        }
        if !plain(&provider.authority, "-.:") || split_authority(&provider.authority, 443).is_none() {
            return wrong("authority");
        }
        if !plain(&provider.base_path, "/-_.")
            || !provider.base_path.starts_with('/')
            || provider.base_path.ends_with('/')
        {
            return wrong("base_path");
        }
        if !plain(&provider.key_env, "_") {
            return wrong("key_env");
        }
        if !plain(&provider.key_header, "-") || provider.key_header.contains(|c: char| c.is_ascii_uppercase())
        {
            return wrong("key_header");
        }
        if !provider.key_prefix.is_empty() && !plain(&provider.key_prefix, "- ") {
            return wrong("key_prefix");
        }
    }
    Ok(providers)
}

/// Host and port of `host`, `host:port`, `[v6]:port`; None if it is none of them.
pub(crate) fn split_authority(authority: &str, default_port: u16) -> Option<(String, u16)> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (host, port) = rest.split_once(']')?;
        let port = if port.is_empty() { default_port } else { port.strip_prefix(':')?.parse().ok()? };
        return Some((host.to_string(), port)).filter(|(host, _)| host.parse::<std::net::Ipv6Addr>().is_ok());
    }
    let (host, port) = match authority.split_once(':') {
        Some((host, port)) => (host, port.parse().ok()?),
        None => (authority, default_port),
    };
    let named = !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c));
    (named && port > 0).then(|| (host.to_string(), port))
}

/// How one plain server in the place of all providers is spoken to (vLLM, Ollama, llama.cpp): `envoy/upstream.json`.
///
/// # Errors
/// [`StackError`] if the file cannot be read or has a mistake.
pub(crate) fn read_upstream(layout: &Layout) -> Result<Conventions, StackError> {
    let text = layout.read("upstream.json")?;
    serde_json::from_str(&text).map_err(|e| StackError::Config(format!("envoy/upstream.json: {e}")))
}

/// A provider in the filter's configuration. If one plain server plays every provider, the models that the
/// provider serves and the way in which a caller's key is sent stay the same.
fn provider_config(name: &str, provider: &Provider, upstream: &Upstream, plain: &Conventions) -> Value {
    let (authority, base_path) = match upstream {
        Upstream::Providers => (&provider.authority, provider.base_path.as_str()),
        Upstream::Server(server) | Upstream::Standin(server) => (server, "/v1"),
    };
    let conventions = match upstream {
        Upstream::Providers => provider.conventions.clone(),
        Upstream::Server(_) => plain.clone(),
        // The stand-in answers a few words and stops by itself, and is sent the options of the provider that
        // it plays.
        Upstream::Standin(_) => Conventions {
            stops_at: StopsAt::ModelMaximum,
            options: provider.conventions.options.clone(),
            ..plain.clone()
        },
    };
    let mut config = json!({
        "cluster": name,
        "authority": authority,
        "base_path": base_path,
        "stream_usage": if conventions.stream_usage == StreamUsage::Always { "always" } else { "ask" },
        "usage_rules": conventions.usage_rules,
        "output_maximum": conventions.output_maximum,
        "stops_at": conventions.stops_at,
        "own_keys": conventions.own_keys,
        // One plain server asks for no key.
        "platform_funding": *upstream != Upstream::Providers || provider.has_key(),
        "options": conventions.options,
        "credential": { "header": provider.key_header, "prefix": provider.key_prefix },
        "model_patterns": provider.model_patterns,
    });
    if let Some(word) = &conventions.standard_tier {
        config["standard_tier"] = json!(word);
    }
    config
}

/// Lets every provider in the filter's configuration take callers' own keys: for one server that plays them
/// all and charges the keys.
pub fn take_own_keys(filter: &mut Value) {
    let providers = filter["providers"].as_object_mut();
    for provider in providers.into_iter().flat_map(serde_json::Map::values_mut) {
        provider["own_keys"] = true.into();
    }
}

/// The filter's configuration (its `providers`, and what is the same everywhere), as JSON.
pub(crate) fn filter_config(
    providers: &BTreeMap<String, Provider>,
    upstream: &Upstream,
    plain: &Conventions,
    request_bytes: u64,
    hosts: &[String],
) -> Value {
    let providers: serde_json::Map<String, Value> = providers
        .iter()
        .map(|(name, provider)| (name.clone(), provider_config(name, provider, upstream, plain)))
        .collect();
    json!({
        "ledger": {
            "cluster": "ledger", "resolve_cluster": "ledger_resolve", "authority": "ledger", "timeout_ms": 2000,
        },
        "hosts": hosts,
        "tokens": { "ttl_s": 30, "unknown_ttl_s": 5 },
        "default_slot": "default",
        "providers": providers,
        "limits": { "request_bytes": request_bytes, "held_answer_bytes": 524_288 },
        "gate": { "sync_s": 5, "when_unbounded": "reserve_limit" },
        "credits": { "cluster": "ledger_public", "authority": "ledger" },
    })
}

#[cfg(test)]
#[path = "providers_test.rs"]
mod tests;
