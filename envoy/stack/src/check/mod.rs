//! `pax-stack check --envoy FILE`: what is missing or fatal in somebody's own Envoy configuration, as far as the file
//! and the files that it names tell. Each check says where, what happens if it stays, and what to write.
//!
//! `gateway` finds the filter and all that belongs to it; then each family of checks has a file: `filter`
//! (how it is loaded), `settings` (its own configuration), `manager` (the connection manager around it),
//! `words` (what is logged), `routes`, `clusters`, `around` (admin interface, overload), `anywhere` (what is
//! a danger anywhere in the file).

mod anywhere;
mod around;
mod at;
mod clusters;
mod filter;
mod finding;
mod gateway;
mod manager;
mod routes;
mod settings;
mod words;

pub use finding::{Finding, Level};

use crate::StackError;
use at::At;
use finding::Findings;
use gateway::{Discovered, Gateway};
use serde_yaml_ng::Value;
use settings::Settings;
use std::path::Path;

/// Checks a bootstrap configuration of Envoy's, in YAML or JSON.
///
/// # Errors
/// [`StackError`] if the file cannot be read, or is neither.
pub fn check(file: &Path) -> Result<Vec<Finding>, StackError> {
    let value = read(file)?;
    let discovered = Discovered::read(&value);
    let mut findings = Findings::default();
    check_bootstrap(&At::root("", &value), &discovered, &mut findings);
    let mut found = findings.0;
    found.sort_by_key(|finding| finding.level);
    Ok(found)
}

fn read(file: &Path) -> Result<Value, StackError> {
    let text = std::fs::read_to_string(file).map_err(StackError::io("read", file))?;
    let value: Value = serde_yaml_ng::from_str(&text).map_err(|error| {
        StackError::Config(format!("{} is neither YAML nor JSON: {error}", file.display()))
    })?;
    match value.is_mapping() {
        true => Ok(value),
        false => Err(StackError::Config(format!("{} is no configuration of Envoy's", file.display()))),
    }
}

fn check_bootstrap(bootstrap: &At<'_>, discovered: &Discovered, findings: &mut Findings) {
    let gateways = Gateway::find_all(bootstrap, discovered, findings);
    let singleton = filter::check_singleton(bootstrap, &gateways, findings);
    for gateway in &gateways {
        filter::check(gateway, findings);
    }
    anywhere::check(bootstrap, findings);
    let settings = settings::read(&gateways, singleton.as_ref(), findings);
    around::check(bootstrap, &gateways, settings.as_ref(), findings);
    for gateway in &gateways {
        manager::check(gateway, settings.as_ref(), findings);
        words::check(gateway, settings.as_ref(), findings);
    }
    if let Some(settings) = &settings {
        check_with(settings, bootstrap, &gateways, findings);
    }
}

/// The checks that need a configuration of the filter without mistakes, since it names providers and
/// clusters.
fn check_with(settings: &Settings, bootstrap: &At<'_>, gateways: &[Gateway<'_>], findings: &mut Findings) {
    let clusters = clusters::Clusters::of(bootstrap);
    routes::check_every_manager(bootstrap, settings, findings);
    for gateway in gateways {
        routes::check(gateway, settings, &clusters, findings);
        clusters::check_buffers(gateway, settings, &clusters, findings);
    }
    clusters::check(settings, &clusters, bootstrap, findings);
}

#[cfg(test)]
mod tests;
