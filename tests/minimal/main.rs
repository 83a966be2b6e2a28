//! `envoy/minimal.yaml`, the filter in an Envoy of somebody's own: it works as it is on every version that it is said to
//! work on, and with one thing wrong it neither hangs nor fails silently.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects
)]

#[path = "../common/mod.rs"]
mod common;

mod envoy;
mod mistakes;
mod site;
mod versions;

use common::{case, run};
use site::Site;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

fn main() -> ExitCode {
    let site: Arc<Mutex<Option<Site>>> = Arc::default();
    let in_site = |name: String, test: Box<dyn FnOnce(&Site) + Send>| {
        let site = Arc::clone(&site);
        case(name, move || {
            // A case that failed does not fail the others.
            let mut site = site.lock().unwrap_or_else(PoisonError::into_inner);
            let site = site.get_or_insert_with(Site::start);
            site.world.standin.reset();
            site.world.standin.clear_received();
            test(site);
        })
    };
    let mut cases = Vec::new();
    for version in versions::chosen() {
        let name = format!("minimal.yaml serves calls on Envoy {version}");
        cases.push(in_site(name, Box::new(move |site| versions::serves(site, version))));
    }
    for mistake in mistakes::all() {
        let name = format!("minimal.yaml, {}", mistake.name);
        cases.push(in_site(name, Box::new(move |site| mistakes::judge(site, &mistake))));
    }
    cases.push(case(
        "the provider of minimal.yaml is spoken to as providers.json says",
        versions::same_provider,
    ));
    let conclusion = run(cases);
    drop(site.lock().unwrap_or_else(PoisonError::into_inner).take());
    conclusion.exit_code()
}
