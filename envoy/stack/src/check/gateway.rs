//! Where the filter is: the connection managers that have it, and its own configuration, which is in the listener or in a
//! file that Envoy discovers.

use super::at::At;
use super::finding::Findings;
use serde_yaml_ng::Value;
use std::collections::BTreeMap;

/// The files of configuration that a bootstrap names and Envoy discovers (ECDS), as they were read.
pub(crate) struct Discovered(BTreeMap<String, Result<Value, String>>);

/// One connection manager with the filter.
pub(crate) struct Gateway<'a> {
    /// Its listener.
    pub listener: At<'a>,
    /// The connection manager.
    pub manager: At<'a>,
    /// The filter's entry in `http_filters`.
    pub entry: At<'a>,
    /// The `config` of the filter, unless Envoy discovers it from a source that this check cannot read.
    pub plugin: Option<At<'a>>,
}

impl Discovered {
    /// Reads every file that an HTTP filter is discovered from.
    pub fn read(bootstrap: &Value) -> Self {
        let mut files = BTreeMap::new();
        for (_, manager) in managers(&At::root("", bootstrap)) {
            for entry in manager.field("http_filters").items() {
                if let Some(path) = file_of(&entry).text() {
                    let text = std::fs::read_to_string(path).map_err(|error| error.to_string());
                    let parse =
                        |text: String| serde_yaml_ng::from_str(&text).map_err(|error| error.to_string());
                    files.insert(path.to_owned(), text.and_then(parse));
                }
            }
        }
        Self(files)
    }

    /// The resource of that name in a file.
    fn resource<'a>(&'a self, path: &str, name: &str) -> Result<At<'a>, String> {
        let file = match self.0.get(path) {
            Some(Ok(file)) => At::root(&format!("{path}: "), file),
            Some(Err(error)) => return Err(format!("{path} cannot be read: {error}")),
            None => return Err(format!("{path} was not read")),
        };
        let found = file.field("resources").items().into_iter().find(|it| it.field("name").is(name));
        let found = found.ok_or_else(|| format!("{path} has no resource of the name {name:?}"))?;
        // A resource by itself, or in the wrapper of discovery.
        let inner = found.field("resource");
        Ok(if inner.exists() { inner } else { found }.field("typed_config"))
    }
}

impl<'a> Gateway<'a> {
    /// Every connection manager that has the filter, switched on.
    pub fn find_all(bootstrap: &At<'a>, discovered: &'a Discovered, findings: &mut Findings) -> Vec<Self> {
        let mut found = Vec::new();
        let mut switched_off = None;
        for (listener, manager) in managers(bootstrap) {
            for entry in manager.field("http_filters").items() {
                let Some(plugin) = plugin_of(&entry, discovered, findings) else { continue };
                if entry.field("disabled").is_true() {
                    switched_off = Some(entry.field("disabled"));
                } else {
                    let (listener, manager) = (listener.clone(), manager.clone());
                    found.push(Self { listener, manager, entry, plugin });
                }
            }
        }
        match switched_off {
            Some(place) if found.is_empty() => {
                let what = "the filter is switched off: calls pass by it, unmetered";
                findings.error(&place, what, "disabled: false");
            }
            None if found.is_empty() => {
                let what = "no connection manager has the filter: calls pass unmetered, or nowhere";
                let write = "the filter as in envoy/minimal.yaml, the last one before the router: `name: pax_gateway` with a \
                             typed_config of type envoy.extensions.filters.http.wasm.v3.Wasm";
                findings.error(&bootstrap.down("static_resources/listeners"), what, write);
            }
            _ => {}
        }
        found
    }
}

/// Every connection manager of the static listeners, with its listener.
pub(crate) fn managers<'a>(bootstrap: &At<'a>) -> Vec<(At<'a>, At<'a>)> {
    let mut found = Vec::new();
    for listener in bootstrap.down("static_resources/listeners").items() {
        let mut chains = listener.field("filter_chains").items();
        chains.push(listener.field("default_filter_chain"));
        for filter in chains.iter().flat_map(|chain| chain.field("filters").items()) {
            let config = filter.field("typed_config");
            if config.has_type("http_connection_manager.v3.HttpConnectionManager") {
                found.push((listener.clone(), config));
            }
        }
    }
    found
}

/// The file that a filter is discovered from.
fn file_of<'a>(entry: &At<'a>) -> At<'a> {
    let source = entry.down("config_discovery/config_source");
    let path = source.down("path_config_source/path");
    if path.exists() { path } else { source.field("path") }
}

/// The `config` of the entry's wasm filter if that filter is ours. The inner value is none if Envoy discovers
/// it from a source that this check cannot read.
fn plugin_of<'a>(
    entry: &At<'a>,
    discovered: &'a Discovered,
    findings: &mut Findings,
) -> Option<Option<At<'a>>> {
    let wasm = "filters.http.wasm.v3.Wasm";
    let inline = entry.field("typed_config");
    if inline.exists() {
        let plugin = inline.field("config");
        return (inline.has_type(wasm) && is_ours(&plugin)).then_some(Some(plugin));
    }
    let types = entry.down("config_discovery/type_urls").items();
    if !types.iter().any(|url| url.text().is_some_and(|url| url.ends_with(wasm))) {
        return None;
    }
    let name = entry.field("name").text().unwrap_or_default();
    let file = file_of(entry);
    let Some(path) = file.text() else {
        let ours = name.contains("pax");
        if ours {
            let what = "the filter comes from a control plane: its configuration is not looked at here";
            let write = "nothing; check the bootstrap with the filter in a file before you publish it there";
            findings.warn(&entry.field("config_discovery"), what, write);
        }
        return ours.then_some(None);
    };
    match discovered.resource(path, name) {
        Ok(config) => {
            let plugin = config.field("config");
            is_ours(&plugin).then_some(Some(plugin))
        }
        Err(why) => {
            let what = format!("{why}: Envoy does not start without it");
            findings.error(
                &file,
                what,
                "the path of the filter's file (`pax-stack render --filter` prints one)",
            );
            Some(None)
        }
    }
}

/// Whether a wasm plugin is this gateway's, by its name, its module, or what its configuration is about.
pub(crate) fn is_ours(plugin: &At<'_>) -> bool {
    let named = ["name", "root_id"].iter().any(|name| plugin.field(name).is("pax_gateway"));
    let file = plugin.down("vm_config/code/local/filename").text().unwrap_or_default();
    let about = plugin.down("configuration/value").text().unwrap_or_default();
    named || file.contains("pax_gateway") || (about.contains("\"ledger\"") && about.contains("\"providers\""))
}
