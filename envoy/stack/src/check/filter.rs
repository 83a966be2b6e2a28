//! How the filter is loaded: its place in the chain, what its VM is, what happens when it traps, and the
//! singleton.

use super::at::At;
use super::finding::Findings;
use super::gateway::{Gateway, is_ours};
use std::io::Read;
use std::path::Path;

/// The type's name of the service that keeps shared data.
const SERVICE: &str = "extensions.wasm.v3.WasmService";

/// One filter in its chain, and its plugin.
pub(crate) fn check(gateway: &Gateway<'_>, findings: &mut Findings) {
    check_order(gateway, findings);
    if let Some(plugin) = &gateway.plugin {
        check_plugin(plugin, findings);
        check_vm(&plugin.field("vm_config"), findings);
    }
}

fn check_order(gateway: &Gateway<'_>, findings: &mut Findings) {
    let entries = gateway.manager.field("http_filters").items();
    let after = entries.iter().skip_while(|entry| entry.path != gateway.entry.path).skip(1);
    for entry in after {
        if entry.field("typed_config").has_type("filters.http.router.v3.Router") {
            continue;
        }
        let name = entry.field("name").text().unwrap_or("a filter without a name");
        let what =
            format!("{name} comes after the filter: what it does to a call is neither judged nor metered");
        findings.error(
            entry,
            what,
            "this filter before pax_gateway, which is the last one before the router",
        );
    }
}

fn check_plugin(plugin: &At<'_>, findings: &mut Findings) {
    let policy = plugin.field("failure_policy");
    let open = plugin.field("fail_open");
    if policy.is("FAIL_OPEN") || open.is_true() {
        let what = "calls pass unmetered once the filter has trapped or could not be loaded";
        let place = if open.is_true() { &open } else { &policy };
        findings.error(place, what, "failure_policy: FAIL_RELOAD");
    } else if !policy.is("FAIL_RELOAD") {
        let what = "once the filter has trapped, every further call of that worker fails until Envoy is started again";
        findings.error(&policy, what, "failure_policy: FAIL_RELOAD");
    }
    let flag = plugin.field("allow_on_headers_stop_iteration");
    if !flag.is_true() {
        let what = "no call can be served: the filter waits at the headers, and without this Envoy then keeps the body from it";
        findings.error(&flag, what, "allow_on_headers_stop_iteration: true (Envoy 1.35 and later know it)");
    }
}

fn check_vm(vm: &At<'_>, findings: &mut Findings) {
    let id = vm.field("vm_id");
    if id.text().is_none_or(str::is_empty) {
        let what = "debits that wait for the ledger belong to the VM's id: without one they are shared with, or lost to, others";
        findings.error(&id, what, "vm_id: pax-gateway, the same for ever, and for nothing else");
    }
    let runtime = vm.field("runtime");
    if !runtime.is("envoy.wasm.runtime.v8") {
        let what = "the filter is tried on V8 only; another runtime, or none, and Envoy does not start";
        findings.error(&runtime, what, "runtime: envoy.wasm.runtime.v8");
    }
    check_code(&vm.field("code"), findings);
}

fn check_code(code: &At<'_>, findings: &mut Findings) {
    let file = code.down("local/filename");
    let Some(path) = file.text() else {
        if code.field("remote").exists() {
            let what = "the module is downloaded at start: calls are answered 503 until it has come";
            findings.warn(&code.field("remote"), what, "local: { filename: /path/of/pax_gateway.wasm }");
        } else if !code.field("local").exists() {
            let what = "no module is named, so Envoy does not start";
            findings.error(code, what, "code: { local: { filename: /path/of/pax_gateway.wasm } }");
        }
        return;
    };
    let mut magic = [0; 4];
    let read = std::fs::File::open(Path::new(path)).and_then(|mut file| file.read_exact(&mut magic));
    let write = "the path of dist/pax_gateway.wasm (`make wasm` builds it), as Envoy will see it";
    match read {
        Ok(()) if magic == *b"\0asm" => {}
        Ok(()) => {
            findings.error(&file, format!("{path} is no WebAssembly module: Envoy does not start"), write)
        }
        Err(error) => {
            let what = format!("{path} cannot be read here ({error}): Envoy does not start without it");
            findings.error(&file, what, write);
        }
    }
}

/// The `WasmService` beside the listener; its plugin, if there is one.
pub(crate) fn check_singleton<'a>(
    bootstrap: &At<'a>,
    gateways: &[Gateway<'a>],
    findings: &mut Findings,
) -> Option<At<'a>> {
    let extensions = bootstrap.field("bootstrap_extensions");
    let services: Vec<At<'a>> = extensions.items().iter().map(|it| it.field("typed_config")).collect();
    let services: Vec<At<'a>> = services.into_iter().filter(|it| it.has_type(SERVICE)).collect();
    let Some(plugin) = gateways.iter().find_map(|gateway| gateway.plugin.as_ref()) else {
        return services.iter().map(|it| it.field("config")).find(is_ours);
    };
    // If there are several, the one with this filter's VM; if there is one, it is meant to be this filter's.
    let vm_id = plugin.down("vm_config/vm_id");
    let same_vm = |service: &&At<'a>| service.down("config/vm_config/vm_id").same_as(&vm_id);
    let service = services.iter().find(same_vm).or(services.first().filter(|_| services.len() == 1));
    let Some(service) = service else {
        let what = "debits that wait for the ledger are lost when the last listener goes, and a mistake in the \
                    configuration of a filter that is discovered does not stop Envoy from starting: every call is then a 500 without a body";
        let write = "envoy.bootstrap.wasm with a WasmService, `singleton: true`, and the filter's own config, as in envoy/minimal.yaml";
        findings.error(&extensions, what, write);
        return None;
    };
    let singleton = service.field("singleton");
    if !singleton.is_true() {
        let what = "one more VM for each worker is made in the place of one that lives as long as Envoy does";
        findings.error(&singleton, what, "singleton: true");
    }
    check_twin(&service.field("config"), plugin, findings);
    Some(service.field("config"))
}

/// Compares the singleton with the filter: Envoy takes them for one VM only if their whole `vm_config` is the
/// same.
fn check_twin(twin: &At<'_>, plugin: &At<'_>, findings: &mut Findings) {
    let (own, other) = (twin.field("vm_config"), plugin.field("vm_config"));
    if !own.same_as(&other) {
        let what = format!("is not the same as {}: this VM keeps none of the filter's debits", other.path);
        findings.error(
            &own,
            what,
            "the filter's vm_config, to the letter (a YAML anchor keeps them the same)",
        );
    }
    let (own, other) = (twin.field("configuration"), plugin.field("configuration"));
    if !own.same_as(&other) {
        let what = format!(
            "is not the same as {}: where no worker is left to send a debit, it goes by this one's settings",
            other.path
        );
        findings.warn(&own, what, "the filter's configuration");
    }
}
