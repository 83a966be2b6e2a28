//! What Envoy has around its listeners: node, admin interface, overload manager.

use super::at::At;
use super::finding::Findings;
use super::gateway::Gateway;
use super::settings::Settings;

const LOOPBACK: [&str; 3] = ["127.0.0.1", "::1", "localhost"];

/// The bootstrap itself.
pub(crate) fn check(
    bootstrap: &At<'_>,
    gateways: &[Gateway<'_>],
    settings: Option<&Settings>,
    findings: &mut Findings,
) {
    check_node(bootstrap, gateways, findings);
    check_admin(bootstrap, findings);
    check_overload(bootstrap, settings, findings);
    check_vm_ids(bootstrap, gateways, findings);
    check_labels(bootstrap, findings);
}

/// The filter's metrics have labels in their names, since a module's metrics have none.
fn check_labels(bootstrap: &At<'_>, findings: &mut Findings) {
    let tags = bootstrap.down("stats_config/stats_tags");
    let cut_out = |tag: &At<'_>| tag.field("regex").text().is_some_and(|regex| regex.contains("wasmcustom"));
    if !tags.items().iter().any(cut_out) {
        let what =
            "Prometheus finds the filter's labels (provider, model, outcome, code) within the metrics' names";
        findings.warn(&tags, what, "stats_config as in envoy/minimal.yaml");
    }
}

fn check_node(bootstrap: &At<'_>, gateways: &[Gateway<'_>], findings: &mut Findings) {
    let discovers = gateways.iter().any(|gateway| gateway.entry.field("config_discovery").exists());
    for name in ["id", "cluster"] {
        let place = bootstrap.field("node").field(name);
        if place.text().is_some_and(|text| !text.is_empty()) {
            continue;
        }
        let write = format!("node: {{ {name}: pax-gateway }}");
        match discovers {
            true => findings.error(
                &place,
                "the filter is discovered, and without this Envoy does not start",
                write,
            ),
            false => findings.warn(
                &place,
                "as soon as anything is discovered, Envoy does not start without it",
                write,
            ),
        }
    }
}

fn check_admin(bootstrap: &At<'_>, findings: &mut Findings) {
    let admin = bootstrap.field("admin");
    let address = admin.down("address/socket_address/address");
    if !admin.exists() {
        let what = "without an admin interface there is no clean stop (pax-drain), and nobody sees the filter's metrics";
        let write = "admin: { address: { socket_address: { address: 127.0.0.1, port_value: 10001 } } }";
        findings.warn(&admin, what, write);
    } else if address.text().is_some_and(|it| !LOOPBACK.contains(&it)) {
        let what =
            "who reaches the admin interface can stop the gateway, and log callers' tokens (POST /logging)";
        findings.warn(&address, what, "address: 127.0.0.1");
    }
}

fn check_overload(bootstrap: &At<'_>, settings: Option<&Settings>, findings: &mut Findings) {
    let manager = bootstrap.field("overload_manager");
    let monitors = manager.field("resource_monitors").items();
    let heap = monitors.iter().map(|monitor| monitor.field("typed_config"));
    let heap = heap.into_iter().find(|it| it.has_type("fixed_heap.v3.FixedHeapConfig"));
    let Some(heap) = heap else {
        let what = "a flood of large bodies ends in the kernel's out-of-memory killer, and debits that wait are lost with Envoy";
        findings.warn(&manager, what, "overload_manager with a fixed_heap, as in envoy/envoy.yaml");
        return;
    };
    let most = heap.field("max_heap_size_bytes");
    let open = settings.map(|settings| settings.open_bytes);
    if let (Some(heap), Some(open)) = (most.number(), open)
        && open.saturating_mul(2) > heap
    {
        let what = format!(
            "limits.open_bytes, {open}, and a second copy for providers that do not read, do not fit this heap: the overload manager refuses calls first"
        );
        findings.warn(
            &most,
            what,
            format!("at least {}, or a smaller limits.open_bytes", open.saturating_mul(2)),
        );
    }
    let refuses = manager.field("actions").items();
    let refuses = refuses.iter().any(|action| {
        let name = action.field("name").text().unwrap_or_default();
        name.ends_with("stop_accepting_requests") || name.ends_with("stop_accepting_connections")
    });
    let listeners = bootstrap.down("static_resources/listeners");
    let bypass = listeners.items().iter().any(|it| it.field("bypass_overload_manager").is_true());
    if refuses && !bypass {
        let what = "under overload /healthz is 503 as well: whoever probes it starts Envoy anew, with every call cut";
        findings.warn(
            &listeners,
            what,
            "a listener for /healthz with bypass_overload_manager: true, as in envoy/envoy.yaml",
        );
    }
}

/// Debits that wait belong to the VM's id, so no other plugin may have it.
fn check_vm_ids(bootstrap: &At<'_>, gateways: &[Gateway<'_>], findings: &mut Findings) {
    let Some(plugin) = gateways.iter().find_map(|gateway| gateway.plugin.as_ref()) else { return };
    let own = plugin.down("vm_config/vm_id");
    let code = plugin.down("vm_config/code");
    for (_, manager) in super::gateway::managers(bootstrap) {
        for entry in manager.field("http_filters").items() {
            let vm = entry.down("typed_config/config/vm_config");
            let (id, other) = (vm.field("vm_id"), vm.field("code"));
            if own.exists() && id.same_as(&own) && other.exists() && !other.same_as(&code) {
                let what = format!(
                    "another module has the id of {}: it can read and overwrite what waits for the ledger",
                    own.path
                );
                findings.error(&id, what, "an id of its own");
            }
        }
    }
}
