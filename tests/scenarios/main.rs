//! Every scenario of this folder, natively and again in a real Envoy; `format.rs` describes their text,
//! `table.rs` that of a table of answers.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

#[path = "../common/mod.rs"]
mod common;

mod check;
mod envoy;
mod format;
mod native;
mod self_check;
mod table;

use common::world::World;
use common::{case, run};
use format::Scenario;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

fn main() -> ExitCode {
    let world: Arc<Mutex<Option<World>>> = Arc::default();
    // The exchanges that should have an entry.
    let debited: Arc<Mutex<BTreeSet<String>>> = Arc::default();
    let mut cases = vec![case("every line of a scenario can fail", self_check::every_line_can_fail)];
    let mut in_envoy = Vec::new();
    for (file, scenario) in scenarios() {
        let scenario = Arc::new(scenario);
        let name = |driver| format!("{driver}: {file}: {}", scenario.name);
        if scenario.only.as_deref() != Some("envoy") {
            let scenario = Arc::clone(&scenario);
            cases.push(case(name("native"), move || native::run(&scenario)));
        }
        if scenario.only.as_deref() != Some("native") {
            let (world, debited, name) = (Arc::clone(&world), Arc::clone(&debited), name("envoy"));
            in_envoy.push(case(name, move || {
                with(&world, |world| {
                    let exchange_id = envoy::run(world, &scenario);
                    debited.lock().unwrap_or_else(PoisonError::into_inner).extend(exchange_id);
                });
            }));
        }
    }
    cases.extend(in_envoy);
    let last = Arc::clone(&world);
    cases.push(case("envoy: nothing else was debited, and the ledger replays", move || {
        let debited = debited.lock().unwrap_or_else(PoisonError::into_inner);
        with(&last, |world| envoy::finish(world, &debited));
    }));
    let conclusion = run(cases);
    drop(world.lock().unwrap_or_else(PoisonError::into_inner).take());
    conclusion.exit_code()
}

/// The one stack, started by the first who needs it.
fn with(world: &Mutex<Option<World>>, run: impl FnOnce(&World)) {
    let mut world = world.lock().unwrap_or_else(PoisonError::into_inner);
    run(world.get_or_insert_with(|| {
        // As native.rs has it: one provider whose cached tokens are additional, one that takes no own key, and one that
        // has no key of the platform's.
        World::start_with(|builder| {
            builder.change_filter_config(|config| {
                config["providers"]["together"]["usage_rules"] = "additional/1".into();
                config["providers"]["xai"]["own_keys"] = false.into();
                config["providers"]["deepseek"]["platform_funding"] = false.into();
            })
        })
    }));
}

/// All scenarios with the names of their files, in order.
fn scenarios() -> Vec<(String, Scenario)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/scenarios");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let is = |path: &Path, kind: &str| path.extension().is_some_and(|extension| extension == kind);
    let mut files: Vec<_> = files.filter(|path| is(path, "txt") || is(path, "table")).collect();
    files.sort();
    let mut all = Vec::new();
    for path in files {
        let file = path.file_name().unwrap().to_string_lossy().trim_end_matches(".txt").to_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        let text = if is(&path, "table") { table::scenarios(text.trim_end()) } else { text };
        all.extend(format::parse(&file, &text).into_iter().map(|scenario| (file.clone(), scenario)));
    }
    all
}
