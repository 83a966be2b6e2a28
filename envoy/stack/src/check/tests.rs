//! `envoy/minimal.yaml` with one edit each, and exactly what is said of it.

use super::*;
use crate::{Layout, Upstream, render};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// What is said of `minimal.yaml` as it is.
const KNOWN: &str = "warning overload_manager: a flood";
/// Long paths by short names.
const SHORT: [(&str, &str); 6] = [
    (
        "static_resources.listeners[0].filter_chains[0].filters[0].typed_config.http_filters[1].typed_config.config",
        "PLUGIN",
    ),
    (
        "static_resources.listeners[0].filter_chains[0].filters[0].typed_config.route_config.virtual_hosts[0]",
        "HOST",
    ),
    ("static_resources.listeners[0].filter_chains[0].filters[0].typed_config", "MANAGER"),
    ("static_resources.clusters", "CLUSTERS"),
    (
        "typed_extension_protocol_options[\"envoy.extensions.upstreams.http.v3.HttpProtocolOptions\"].http_filters",
        "FILTERS",
    ),
    ("bootstrap_extensions[0].typed_config", "SERVICE"),
];

/// One edit, and what is then found: its level, place, and how the sentence begins.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    edit: String,
    to: String,
    found: Vec<String>,
}

fn minimal() -> String {
    let text = Layout::find().unwrap().read("minimal.yaml").unwrap();
    text.replace("/etc/pax/pax_gateway.wasm", "/MODULE")
}

/// A folder of this test's own, with a file that begins as a module does.
fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("pax-check-{}-{name}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("pax_gateway.wasm"), b"\0asm\x01\0\0\0").unwrap();
    std::fs::write(folder.join("not_wasm"), b"#!/bin/sh").unwrap();
    folder
}

/// What is found in a text, in short.
fn told(folder: &Path, text: &str) -> Vec<String> {
    let file = folder.join("envoy.yaml");
    let path = |name: &str| folder.join(name).to_string_lossy().into_owned();
    std::fs::write(
        &file,
        text.replace("/MODULE", &path("pax_gateway.wasm")).replace("/NOT_WASM", &path("not_wasm")),
    )
    .unwrap();
    let found = check(&file).unwrap();
    let short = |finding: &Finding| {
        assert!(!finding.write.is_empty(), "{finding} says what to write");
        let level = if finding.level == Level::Error { "error" } else { "warning" };
        let line = format!("{level} {}: {}", finding.path, finding.what);
        SHORT.iter().fold(line, |line, (long, short)| line.replace(long, short))
    };
    found.iter().map(short).collect()
}

fn judge(group: &str, base: &str, known: &[&str]) {
    let mut groups: BTreeMap<String, Vec<Case>> =
        serde_yaml_ng::from_str(include_str!("cases.yaml")).unwrap();
    let folder = folder(group);
    for Case { edit, to, found } in groups.remove(group).unwrap() {
        assert_eq!(base.matches(&edit).count(), 1, "{edit:?} is to be there once");
        let told = told(&folder, &base.replace(&edit, &to));
        let wanted: Vec<&str> = found.iter().map(String::as_str).chain(known.iter().copied()).collect();
        let is_there = |want: &&str| told.iter().any(|it| it.starts_with(want));
        let right = told.len() == wanted.len() && wanted.iter().all(is_there);
        assert!(right, "{edit:?} -> {to:?}\n  found    {told:#?}\n  expected {wanted:#?}");
    }
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn minimal_yaml_has_no_error_and_one_warning() {
    let folder = folder("minimal");
    let told = told(&folder, &minimal());
    assert!(told.len() == 1 && told[0].starts_with(KNOWN), "{told:#?}");
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn each_mistake_in_how_the_filter_is_loaded_is_found() {
    // With these anchors an edit can give the filter's twin other parts than the filter's.
    let base = minimal().replace("vm_config:\n", "vm_config: &vm_config\n");
    let base = base.replace(" configuration:\n", " configuration: &configuration\n");
    judge("filter", &base, &[KNOWN]);
}

#[test]
fn each_mistake_in_the_filters_configuration_is_found() {
    judge("settings", &minimal(), &[KNOWN]);
}

#[test]
fn each_mistake_in_the_routes_is_found() {
    judge("routes", &minimal(), &[KNOWN]);
}

#[test]
fn each_mistake_in_the_clusters_is_found() {
    judge("clusters", &minimal(), &[KNOWN]);
}

#[test]
fn each_mistake_in_the_connection_manager_is_found() {
    judge("manager", &minimal(), &[KNOWN]);
}

#[test]
fn each_mistake_around_the_listeners_is_found() {
    judge("around", &minimal(), &[KNOWN]);
    let overload = "overload_manager:\n  resource_monitors:\n    - name: h\n      typed_config: { \"@type\": x/envoy.extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig, max_heap_size_bytes: HEAP }\n  actions: [{ name: envoy.overload_actions.shrink_heap }]\n";
    judge("overload", &(minimal() + overload), &[]);
}

#[test]
fn a_filter_that_is_discovered_is_read_from_its_file() {
    let folder = folder("discovered");
    let text = minimal();
    let filter = "\"@type\": type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm";
    let entry = format!(
        "typed_config:\n                      {filter}\n                      config: *pax_gateway\n"
    );
    assert!(text.contains(&entry));
    let file = folder.join("filter.yaml");
    let discovered = format!(
        "config_discovery: {{ config_source: {{ path_config_source: {{ path: {} }} }}, type_urls: [type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm] }}\n",
        file.display()
    );
    let text = text.replace(&entry, &discovered);
    let missing = told(&folder, &text);
    assert!(
        missing[0].contains("config_discovery.config_source.path_config_source.path: ")
            && missing[0].contains("does not start"),
        "{missing:#?}"
    );

    std::fs::write(
        &file,
        "resources: [{ name: pax_gateway, typed_config: { config: { root_id: pax_gateway, failure_policy: FAIL_OPEN } } }]",
    )
    .unwrap();
    let found = told(&folder, &text);
    let start = format!(
        "error {}: resources[0].typed_config.config.failure_policy: calls pass unmetered",
        file.display()
    );
    assert!(found.iter().any(|it| it.starts_with(&start)), "{found:#?}");

    std::fs::write(&file, "resources: [{ name: another }]").unwrap();
    let unnamed = told(&folder, &text.replace("node: { id: pax-gateway, cluster: pax-gateway }", ""));
    let starts = ["error node.id: the filter is discovered", "error node.cluster: the filter is discovered"];
    assert!(starts.iter().all(|start| unnamed.iter().any(|it| it.starts_with(start))), "{unnamed:#?}");
    assert!(
        unnamed.iter().any(|it| it.contains("has no resource of the name \"pax_gateway\"")),
        "{unnamed:#?}"
    );
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn what_is_rendered_here_has_no_error() {
    let folder = folder("rendered");
    let layout = Layout { wasm: folder.join("pax_gateway.wasm"), ..Layout::find().unwrap() };
    let place = crate::Place {
        gateway_address: "127.0.0.1".into(),
        gateway_port: 10_000,
        liveness_port: 10_005,
        admin_port: 10_001,
        ledgers: vec![crate::LedgerAt { host: "ledger".into(), port: 10_002, public_port: 10_004 }],
        wasm: layout.wasm.clone(),
        filter: folder.join("filter.yaml"),
        ca_file: Some("/etc/ssl/certs/ca-certificates.crt".into()),
        hosts: Vec::new(),
        calls_log: crate::CallsLog::Off,
        workers: 2,
    };
    for upstream in [Upstream::Providers, Upstream::Server("localhost:8000".into())] {
        let rendered = render(&layout, &place, &upstream, |_| ()).unwrap();
        std::fs::write(&place.filter, rendered.filter).unwrap();
        let told = told(&folder, &rendered.envoy);
        assert!(!told.iter().any(|line| line.starts_with("error")), "{told:#?}");
        // Providers without a platform key are said to have none.
        let keyless = told.iter().filter(|line| line.contains("no platform key is put on")).count();
        assert_eq!(keyless > 0, upstream != Upstream::Providers, "{told:#?}");
    }
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn what_is_a_danger_wherever_it_stands_is_found() {
    judge("anywhere", &minimal(), &[KNOWN]);
}

#[test]
fn a_file_that_is_no_configuration_is_an_error_with_its_line() {
    let folder = folder("broken");
    let file = folder.join("envoy.yaml");
    for (text, said) in
        [("a: [", "is neither YAML nor JSON"), ("- a", "is no configuration"), ("a: 1\na: 2", "neither")]
    {
        std::fs::write(&file, text).unwrap();
        assert!(check(&file).unwrap_err().to_string().contains(said), "{text}");
    }
    assert!(check(&folder.join("none")).is_err());
    std::fs::remove_dir_all(folder).unwrap();
}
