//! Envoy's configuration from its template: `${NAME}` is replaced, and nothing else is understood.

use crate::providers::{self, Provider, Upstream, split_authority};
use crate::{CallsLog, Layout, StackError, rate_cards, replies};
use pax_gateway::reading::request::hosts::Authority;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The largest request body, in bytes: the filter's `limits.request_bytes`.
const REQUEST_BYTES: u64 = 20 * 1024 * 1024;
/// What the filter writes into a body at most, in bytes: another model name (256, escaped 512),
/// `stream_options`, a maximum. Envoy's buffer has room for it, since Envoy counts the body as it sends it
/// on.
const INSERTED_BYTES: u64 = 1024;

/// Where the system keeps the authorities that sign servers' certificates.
const CA_FILES: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// A text with `${NAME}` placeholders.
pub(crate) type Values<'a> = BTreeMap<&'a str, String>;

/// The addresses and files that differ from one start to the next.
#[derive(Debug, Clone)]
pub struct Place {
    /// The gateway's address: `127.0.0.1`, or `0.0.0.0` in a container whose port is published on loopback.
    pub gateway_address: String,
    /// The gateway's port.
    pub gateway_port: u16,
    /// The port of the listener that says whether the gateway lives, also under overload; at the gateway's address.
    pub liveness_port: u16,
    /// The port of Envoy's admin interface, on loopback.
    pub admin_port: u16,
    /// Every ledger, as Envoy reaches it. All of them work on one database.
    pub ledgers: Vec<LedgerAt>,
    /// The filter's module, as Envoy sees it.
    pub wasm: PathBuf,
    /// The file of the filter's configuration, as Envoy sees it, in a folder of its own or beside `envoy.yaml`.
    pub filter: PathBuf,
    /// The system's authorities, as Envoy sees them; None: looked for here (`SSL_CERT_FILE`, then the usual).
    pub ca_file: Option<PathBuf>,
    /// More hosts that the gateway answers to than its port on loopback, as clients name them: `host`, `host:port`, or
    /// `*` alone for all.
    pub hosts: Vec<String>,
    /// Where Envoy writes a line per call.
    pub calls_log: CallsLog,
    /// Envoy's worker threads: the filter's limits are sums, and each worker has its share.
    pub workers: u32,
}

/// Where Envoy reaches a ledger.
#[derive(Debug, Clone)]
pub struct LedgerAt {
    /// Its host: `127.0.0.1`, or its name on a network that it shares with Envoy alone. If the name has several addresses,
    /// there is a ledger at each.
    pub host: String,
    /// The port of its internal listener.
    pub port: u16,
    /// The port of its public listener.
    pub public_port: u16,
}

impl Place {
    /// Every host that the gateway answers to.
    fn all_hosts(&self) -> Result<Vec<String>, StackError> {
        if self.hosts == ["*"] {
            return Ok(self.hosts.clone());
        }
        let own = ["127.0.0.1", "localhost", "[::1]"].map(|host| format!("{host}:{}", self.gateway_port));
        let mut all: Vec<(Option<Authority>, String)> = Vec::new();
        for host in own.iter().chain(&self.hosts) {
            let authority = Authority::read(host.as_bytes());
            if authority.is_none() {
                return Err(StackError::Config(format!(
                    "{host:?} is no host or host:port (GATEWAY_HOSTS takes for example gateway.example,envoy:10000, or * alone)"
                )));
            }
            if !all.iter().any(|(known, _)| *known == authority) {
                all.push((authority, host.clone()));
            }
        }
        Ok(all.into_iter().map(|(_, host)| host).collect())
    }

    /// The ledgers' endpoints in a cluster, at one of their listeners.
    fn endpoints(&self, layout: &Layout, port: impl Fn(&LedgerAt) -> u16) -> Result<String, StackError> {
        let (file, mut all) = ("fragments/ledger-endpoint.yaml", String::new());
        let template = layout.read(file)?;
        for ledger in &self.ledgers {
            let values = Values::from([("HOST", quoted(&ledger.host)), ("PORT", port(ledger).to_string())]);
            all.push_str(&fill(file, &template, &values)?);
        }
        Ok(all)
    }
}

/// What Envoy is started with.
#[derive(Debug, Clone)]
pub struct Rendered {
    /// Its configuration.
    pub envoy: String,
    /// The filter's configuration, for the file at [`Place::filter`], which may be replaced while Envoy runs.
    pub filter: String,
}

/// Envoy's configuration, and the filter's, which `change` may change first (tests do).
///
/// # Errors
/// [`StackError`] if a file of `envoy/` is missing or has a mistake, or `upstream` is no `host:port`.
pub fn render(
    layout: &Layout,
    place: &Place,
    upstream: &Upstream,
    change: impl FnOnce(&mut Value),
) -> Result<Rendered, StackError> {
    let providers = providers::read(layout)?;
    let plain = providers::read_upstream(layout)?;
    let mut filter =
        providers::filter_config(&providers, upstream, &plain, REQUEST_BYTES, &place.all_hosts()?);
    if let Some(cards) = rate_cards::read(layout)? {
        filter["rate_cards"] = cards;
    }
    filter["workers"] = place.workers.into();
    change(&mut filter);

    let mut routes = String::new();
    let mut clusters = String::new();
    let mut secrets = String::new();
    for (name, provider) in &providers {
        let piece = Piece { layout, name, provider };
        routes.push_str(&piece.route()?);
        match upstream {
            Upstream::Server(server) | Upstream::Standin(server) => {
                clusters.push_str(&piece.plain_cluster(server)?)
            }
            Upstream::Providers => {
                clusters.push_str(&piece.tls_cluster(place)?);
                secrets.push_str(&piece.secret()?);
            }
        }
    }
    let folder = place.filter.parent().unwrap_or(Path::new("/"));
    // Tests change the filter's limit; Envoy's buffer follows.
    let limit = filter["limits"]["request_bytes"].as_u64().unwrap_or(REQUEST_BYTES);
    let values = BTreeMap::from([
        ("GATEWAY_ADDRESS", quoted(&place.gateway_address)),
        ("GATEWAY_PORT", place.gateway_port.to_string()),
        ("LIVENESS_PORT", place.liveness_port.to_string()),
        ("ADMIN_PORT", place.admin_port.to_string()),
        ("LEDGER_ENDPOINTS", place.endpoints(layout, |ledger| ledger.port)?),
        ("LEDGER_PUBLIC_ENDPOINTS", place.endpoints(layout, |ledger| ledger.public_port)?),
        ("WASM_FILE", quoted(&place.wasm.to_string_lossy())),
        ("BUFFER_BYTES", limit.saturating_add(INSERTED_BYTES).to_string()),
        ("FILTER_FILE", quoted(&place.filter.to_string_lossy())),
        ("FILTER_FOLDER", quoted(&folder.to_string_lossy())),
        ("FILTER_CONFIG", quoted(&filter.to_string())),
        ("ACCESS_LOG", place.calls_log.render(layout)?),
        ("LOCAL_REPLIES", replies::render(layout)?),
        ("PROVIDER_ROUTES", routes),
        ("PROVIDER_CLUSTERS", clusters),
        ("PROVIDER_SECRETS", secrets),
    ]);
    Ok(Rendered {
        envoy: fill("envoy.yaml", &layout.read("envoy.yaml")?, &values)?,
        filter: fill("filter.yaml", &layout.read("filter.yaml")?, &values)?,
    })
}

/// One provider's share of the configuration.
struct Piece<'a> {
    layout: &'a Layout,
    name: &'a str,
    provider: &'a Provider,
}

impl Piece<'_> {
    fn fill(&self, fragment: &str, more: &[(&'static str, String)]) -> Result<String, StackError> {
        let mut values = Values::from([("PROVIDER", self.name.to_string())]);
        values.extend(more.iter().cloned());
        fill(fragment, &self.layout.read(fragment)?, &values)
    }

    fn route(&self) -> Result<String, StackError> {
        self.fill("fragments/provider-route.yaml", &[])
    }

    fn secret(&self) -> Result<String, StackError> {
        match self.provider.has_key() {
            true => {
                self.fill("fragments/provider-secret.yaml", &[("KEY_ENV", self.provider.key_env.clone())])
            }
            false => Ok(String::new()),
        }
    }

    fn tls_cluster(&self, place: &Place) -> Result<String, StackError> {
        let (host, port) = self.split(&self.provider.authority, 443)?;
        let ca_file = match &place.ca_file {
            Some(file) => file.clone(),
            None => ca_file()?,
        };
        let tls = [("HOST", host.clone()), ("CA_FILE", quoted(&ca_file.to_string_lossy()))];
        let key = [
            ("KEY_HEADER", self.provider.key_header.clone()),
            ("KEY_PREFIX", self.provider.key_prefix.clone()),
        ];
        let injector = match self.provider.has_key() {
            true => self.fill("fragments/provider-key.yaml", &key)?,
            false => String::new(),
        };
        let cluster = [
            ("HOST", host),
            ("PORT", port.to_string()),
            // HTTP/2 if the provider offers it.
            ("HTTP_VERSION", "auto_config: {}".into()),
            // Shorter than the providers' own keep-alive, so that no call meets a connection being closed.
            ("IDLE_TIMEOUT", "30s".into()),
            ("HTTP_FILTERS", injector),
            ("TRANSPORT_SOCKET", self.fill("fragments/provider-tls.yaml", &tls)?),
        ];
        self.fill("fragments/provider-cluster.yaml", &cluster)
    }

    fn plain_cluster(&self, server: &str) -> Result<String, StackError> {
        let (host, port) = self.split(server, 80)?;
        let cluster = [
            ("HOST", host),
            ("PORT", port.to_string()),
            ("HTTP_VERSION", "explicit_http_config: { http_protocol_options: {} }".into()),
            // uvicorn (vLLM and many others) closes an idle connection after 5 s.
            ("IDLE_TIMEOUT", "4s".into()),
            ("HTTP_FILTERS", String::new()),
            ("TRANSPORT_SOCKET", String::new()),
        ];
        self.fill("fragments/provider-cluster.yaml", &cluster)
    }

    fn split(&self, authority: &str, port: u16) -> Result<(String, u16), StackError> {
        split_authority(authority, port).ok_or_else(|| {
            StackError::Config(format!(
                "{authority:?} is no host:port (UPSTREAM takes for example localhost:8000, without http://)"
            ))
        })
    }
}

fn ca_file() -> Result<PathBuf, StackError> {
    if let Some(file) = std::env::var_os("SSL_CERT_FILE").filter(|file| !file.is_empty()) {
        return Ok(file.into());
    }
    let found = CA_FILES.iter().map(Path::new).find(|file| file.is_file());
    found.map(Path::to_path_buf).ok_or_else(|| {
        let hint = "install ca-certificates, or name the file with SSL_CERT_FILE";
        StackError::Config(format!("no file of certificate authorities found: {hint}"))
    })
}

/// A JSON string, which is also a YAML one.
pub(crate) fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// Replaces every `${NAME}` once: a text that was put in is not looked at again. A placeholder that is alone
/// on its line becomes a block. The block's text begins at column 0, and every line of it is indented like
/// the placeholder.
///
/// # Errors
/// [`StackError::Config`] names a placeholder that has no value.
pub(crate) fn fill(file: &str, template: &str, values: &Values<'_>) -> Result<String, StackError> {
    let mut out = String::with_capacity(template.len());
    for (index, line) in template.lines().enumerate() {
        let value = |name: &str| {
            let unknown =
                || StackError::Config(format!("envoy/{file}:{}: ${{{name}}} is unknown", index + 1));
            values.get(name).ok_or_else(unknown)
        };
        let trimmed = line.trim();
        if let Some(name) = trimmed.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')) {
            let indent = line.split_once('$').map_or("", |(indent, _)| indent);
            let block = value(name)?;
            for piece in block.lines().filter(|piece| !piece.trim().is_empty()) {
                out.extend([indent, piece, "\n"]);
            }
            continue;
        }
        let mut rest = line;
        // A placeholder in a comment is not replaced.
        while let Some((before, after)) = rest.split_once("${").filter(|_| !trimmed.starts_with('#')) {
            let Some((name, tail)) = after.split_once('}') else { break };
            out.push_str(before);
            out.push_str(value(name)?);
            rest = tail;
        }
        out.extend([rest, "\n"]);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Place {
        Place {
            gateway_address: "127.0.0.1".into(),
            gateway_port: 10_000,
            liveness_port: 10_005,
            admin_port: 10_001,
            ledgers: vec![LedgerAt { host: "127.0.0.1".into(), port: 10_002, public_port: 10_003 }],
            wasm: "/a \"quoted\"/module.wasm".into(),
            filter: "/etc/pax/filter/filter.yaml".into(),
            ca_file: Some("/etc/ssl/certs/ca-certificates.crt".into()),
            hosts: vec!["Gateway.example".into(), "localhost:10000".into()],
            calls_log: CallsLog::File("/var/log/calls.log".into()),
            workers: 2,
        }
    }

    fn rendered(upstream: Upstream) -> String {
        let rendered = render(&Layout::find().unwrap(), &place(), &upstream, |_| ()).unwrap();
        [rendered.envoy, rendered.filter].concat()
    }

    #[test]
    fn a_block_is_indented_as_its_placeholder_and_values_are_not_read_again() {
        let values =
            Values::from([("A", "${B}".into()), ("BLOCK", "- x:\n    y\n".into()), ("B", "no".into())]);
        let text = fill("t", "a: ${A} # ${A}\n# ${NAME}\nlist:\n  ${BLOCK}\n", &values).unwrap();
        assert_eq!(text, "a: ${B} # ${B}\n# ${NAME}\nlist:\n  - x:\n      y\n");
    }

    #[test]
    fn an_unknown_placeholder_is_named_with_its_line() {
        let error = fill("envoy.yaml", "a\nb: ${NOPE}\n", &Values::new()).unwrap_err().to_string();
        assert_eq!(error, "envoy/envoy.yaml:2: ${NOPE} is unknown");
    }

    #[test]
    fn nothing_is_left_unfilled() {
        for upstream in [Upstream::Providers, Upstream::Server("localhost:8000".into())] {
            let text = rendered(upstream);
            let left: Vec<_> =
                text.lines().filter(|l| l.contains("${") && !l.trim().starts_with('#')).collect();
            assert_eq!(left, Vec::<&str>::new());
        }
    }

    #[test]
    fn a_body_at_the_limit_fits_the_buffer_with_what_is_written_into_it() {
        let upstream = Upstream::Server("localhost:8000".into());
        let change = |filter: &mut Value| filter["limits"]["request_bytes"] = 5_000.into();
        let text = render(&Layout::find().unwrap(), &place(), &upstream, change).unwrap();
        assert!(text.envoy.contains("request_body_buffer_limit: 6024\n"));
    }

    #[test]
    fn real_providers_are_verified_and_an_upstream_server_is_plain() {
        let tls = rendered(Upstream::Providers);
        let providers = providers::read(&Layout::find().unwrap()).unwrap();
        assert_eq!(tls.matches("match_typed_subject_alt_names:").count(), providers.len());
        assert_eq!(tls.matches("trusted_ca:").count(), providers.len());
        let plain = rendered(Upstream::Server("localhost:8000".into()));
        assert!(!plain.contains("transport_socket"));
        assert!(!plain.contains("_API_KEY"), "a platform key never goes over plain HTTP");
    }

    #[test]
    fn the_gateway_answers_to_its_port_on_loopback_and_to_the_hosts_that_are_named() {
        let hosts = |hosts: &[&str]| {
            Place { hosts: hosts.iter().map(|host| (*host).to_owned()).collect(), ..place() }
                .all_hosts()
                .unwrap_or_default()
        };
        let own = ["127.0.0.1:10000", "localhost:10000", "[::1]:10000"];
        assert_eq!(hosts(&[]), own);
        assert_eq!(hosts(&["Gateway.example", "localhost:10000"]), [&own[..], &["Gateway.example"]].concat());
        assert_eq!(hosts(&["*"]), ["*"]);
        for wrong in [&["gateway.example", "*"][..], &["http://gateway.example"], &["a b"]] {
            assert!(hosts(wrong).is_empty(), "{wrong:?}");
        }
    }

    #[test]
    fn an_upstream_with_a_scheme_is_refused_with_an_example() {
        let upstream = Upstream::Server("http://localhost:8000".into());
        let error = render(&Layout::find().unwrap(), &place(), &upstream, |_| ()).unwrap_err().to_string();
        assert!(error.contains("without http://"), "{error}");
    }
}
