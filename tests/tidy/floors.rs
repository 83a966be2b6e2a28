//! The rooms of `src/`, who may import whom, and where the wasm module's own code is.

use std::collections::{BTreeMap, BTreeSet};

use crate::assert_none;
use crate::sources::{File, files, parts, without_tests};

/// The rooms from the bottom up: none imports one that comes after it.
const FLOORS: [&str; 10] =
    ["base", "dialect", "price", "reading", "debit", "memory", "call", "told", "worker", "wasm"];

/// The programs beside the filter, and the highest floor that each may import.
const PROGRAMS: [(&str, &str); 5] = [
    ("ledger/src", "debit"),
    ("ratecards/tool/src", "debit"),
    // It judges configurations as the filter does.
    ("envoy/stack/src", "call"),
    ("envoy/drain/src", ""),
    ("envoy/standin/src", ""),
];

/// Modules that import one another, and why they may: nobody else may.
const KNOTS: [(&[&str], &str); 1] = [(
    &["worker/driver", "worker/root_share", "worker/waiting", "worker/watching"],
    "a worker keeps the streams that wait for it, and a stream knows its worker",
)];

/// The modules of `src/` and those that each imports, tests left out.
fn imports() -> BTreeMap<String, BTreeSet<String>> {
    let sources: Vec<(String, String)> = files("src", &[".rs"])
        .iter()
        .filter(|file| !is_test(file))
        .map(|file| (module(&file.path), without_tests(&parts(&file.text).code)))
        .collect();
    let modules: BTreeSet<&String> = sources.iter().map(|(module, _)| module).collect();
    let mut graph: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (module, code) in &sources {
        let imported = graph.entry(module.clone()).or_default();
        for path in paths(code, "crate") {
            let known = (1..=path.len()).rev().map(|length| path[..length].join("/"));
            if let Some(other) = known.into_iter().find(|path| modules.contains(path)).filter(|o| o != module)
            {
                imported.insert(other);
            }
        }
    }
    assert!(
        graph.values().map(BTreeSet::len).sum::<usize>() > 100,
        "few imports were found: is `paths` blind?"
    );
    graph
}

/// `src/debit/frozen.rs` is `debit/frozen`, and `src/debit/mod.rs` is `debit`.
fn module(path: &str) -> String {
    let path = path.strip_prefix("src/").unwrap_or(path);
    path.strip_suffix("/mod.rs").or(path.strip_suffix(".rs")).unwrap_or(path).to_owned()
}

fn is_test(file: &File) -> bool {
    file.path.ends_with("_test.rs")
}

fn floor(module: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| Some(*floor) == module.split('/').next())
}

/// Every path that begins with this root, in `use` trees too: without the root.
fn paths(code: &str, root: &str) -> Vec<Vec<String>> {
    let start = format!("{root}::");
    let mut found = Vec::new();
    for (at, _) in code.match_indices(&start) {
        if !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':') {
            tree(&code[at + start.len()..], &mut Vec::new(), &mut found);
        }
    }
    found
}

/// Reads one use tree; gives what follows it.
fn tree<'a>(text: &'a str, path: &mut Vec<String>, found: &mut Vec<Vec<String>>) -> &'a str {
    let mut rest = text.trim_start();
    let depth = path.len();
    loop {
        if let Some(inside) = rest.strip_prefix('{') {
            rest = inside.trim_start();
            while !rest.starts_with('}') && !rest.is_empty() {
                rest = tree(rest, path, found).trim_start();
                rest = rest.strip_prefix(',').unwrap_or(rest).trim_start();
            }
            rest = rest.get(1..).unwrap_or_default();
            break;
        }
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        if end == 0 {
            // `*`, or what is no path.
            rest = rest.get(1..).unwrap_or_default();
            break;
        }
        path.push(rest[..end].to_owned());
        rest = &rest[end..];
        let Some(more) = rest.strip_prefix("::") else {
            found.push(path.clone());
            // `a as b`: what is called so here is of no interest.
            if let Some(alias) = rest.trim_start().strip_prefix("as ") {
                rest = alias.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_');
            }
            break;
        };
        rest = more;
    }
    path.truncate(depth);
    rest
}

#[test]
fn paths_are_found_in_use_trees_and_inline() {
    let code = "use crate::a::{self, b::C, d::{E as F, *}};\n x(crate::g::H::new()); other_crate::i();";
    let found: Vec<String> = paths(code, "crate").iter().map(|path| path.join(" ")).collect();
    assert_eq!(found, ["a self", "a b C", "a d E", "g H new"]);
}

#[test]
fn no_module_imports_a_higher_floor() {
    let mut upward = Vec::new();
    for (module, imported) in imports().iter().filter(|(module, _)| *module != "lib") {
        if floor(module).is_none() {
            upward.push(format!("src/{module} is in no room"));
        }
        for other in imported.iter().filter(|other| floor(other) > floor(module)) {
            upward.push(format!("{module} imports {other}"));
        }
    }
    assert_none(
        &format!(
            "A floor imports only itself and those below it ({}). Move what is imported to the floor where both can see \
             it, or the importer up:",
            FLOORS.join(" < ")
        ),
        &upward,
    );
}

#[test]
fn no_two_modules_import_each_other_in_a_circle() {
    let graph = imports();
    let reached = |from: &str| {
        let (mut seen, mut next) = (BTreeSet::new(), vec![from.to_owned()]);
        while let Some(module) = next.pop() {
            for other in graph.get(&module).into_iter().flatten() {
                if seen.insert(other.clone()) {
                    next.push(other.clone());
                }
            }
        }
        seen
    };
    let reach: BTreeMap<&String, BTreeSet<String>> =
        graph.keys().map(|module| (module, reached(module))).collect();
    let mut circles = BTreeSet::new();
    for (module, all) in &reach {
        let knot: BTreeSet<&str> =
            all.iter().filter(|other| reach[other].contains(*module)).map(String::as_str).collect();
        if !knot.is_empty() {
            circles.insert(knot);
        }
    }
    let allowed: Vec<BTreeSet<&str>> = KNOTS.iter().map(|(knot, _)| knot.iter().copied().collect()).collect();
    let told = |knot: &BTreeSet<&str>| knot.iter().copied().collect::<Vec<_>>().join(", ");
    let new: Vec<String> = circles.iter().filter(|knot| !allowed.contains(knot)).map(told).collect();
    assert_none(
        "These import one another. Move what both need into a file below both (an `impl` may lie in another file than \
         its type):",
        &new,
    );
    let gone: Vec<String> = allowed.iter().filter(|knot| !circles.contains(*knot)).map(told).collect();
    assert_none("These import one another no more: take them off KNOTS in tests/tidy/floors.rs:", &gone);
}

#[test]
fn the_ledger_imports_nothing_above_the_debit_and_no_program_more_than_it_may() {
    let mut upward = Vec::new();
    for (folder, highest) in PROGRAMS {
        for file in files(folder, &[".rs"]) {
            let code = without_tests(&parts(&file.text).code);
            for path in paths(&code, "pax_gateway") {
                let room = path.first().map_or("", String::as_str);
                if floor(room).is_none() || floor(room) > floor(highest) {
                    upward.push(format!("{} imports pax_gateway::{}", file.path, path.join("::")));
                }
            }
        }
    }
    assert_none(
        "Each program has a highest floor (PROGRAMS in tests/tidy/floors.rs): the ledger must be built and proved \
         without the filter's life of a call. Move what it needs down, or do without:",
        &upward,
    );
}

#[test]
fn every_host_call_is_in_one_file() {
    let mut found = Vec::new();
    for file in files("src", &[".rs"]).iter().filter(|file| file.path != "src/wasm/host.rs") {
        let code = parts(&file.text).code;
        for (number, line) in code.lines().enumerate() {
            let calls = line.contains("extern ") || line.contains("hostcalls") || line.contains(" proxy_");
            if calls && !line.contains("proxy_wasm::") {
                found.push(format!("{}:{}: {}", file.path, number + 1, line.trim()));
            }
        }
    }
    assert_none(
        "Whoever asks what the filter asks of Envoy reads one file. Add the call to the port (src/worker/host.rs) and make \
         it in src/wasm/host.rs:",
        &found,
    );
}

#[test]
fn only_the_room_wasm_knows_its_target_and_the_sdk() {
    let mut found = Vec::new();
    for file in files("src", &[".rs"]).iter().filter(|file| !file.path.starts_with("src/wasm/")) {
        for (number, line) in parts(&file.text).code.lines().enumerate() {
            let knows = line.contains("target_arch") && !line.contains("not(target_arch");
            if knows || line.contains("proxy_wasm") {
                found.push(format!("{}:{}: {}", file.path, number + 1, line.trim()));
            }
        }
    }
    assert_none(
        "What is wasm32's alone belongs into src/wasm, so that all else runs in native tests:",
        &found,
    );
}
