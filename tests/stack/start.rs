//! Mistakes that stop Envoy from starting, each named in its log.

use pax_stack::{Layout, Stack, StackError};
use std::path::PathBuf;

/// A case that needs no running stack.
type Case = (&'static str, fn());

pub const CASES: &[Case] = &[
    ("a filter configuration with mistakes stops Envoy, each named by its path", wrong_configuration),
    ("a rate card with a mistake stops Envoy, each named by its file and path", wrong_card),
    ("a published card that was changed stops Envoy", changed_card),
];

/// The end of Envoy's log. It must have ended by itself.
fn does_not_start(builder: pax_stack::Builder) -> String {
    match builder.upstream("127.0.0.1:9").start() {
        Ok(_) => panic!("Envoy started all the same"),
        // It ended, it does not merely answer nobody.
        Err(error @ StackError::Died { .. }) => error.to_string(),
        Err(error) => panic!("{error}"),
    }
}

fn wrong_configuration() {
    let builder = Stack::builder().change_filter_config(|config| {
        config["ledger"]["timeout_ms"] = "2s".into();
        config["default_slot"] = "No Slot".into();
        config["providers"]["openai"]["stream_usage"] = "perhaps".into();
        config["providers"]["groq"]["base_path"] = "v1/".into();
        config["tokens"]["tll_s"] = 7.into();
    });
    let told = does_not_start(builder);
    for mistake in [
        "configuration: ledger.timeout_ms: must be",
        "configuration: default_slot: must be",
        "configuration: providers.openai.stream_usage: must be",
        "configuration: providers.groq.base_path: must",
        "configuration: tokens.tll_s: is unknown",
    ] {
        assert!(told.contains(mistake), "{mistake:?} is not in {told}");
    }
}

/// The module with some bytes of its cards changed, which stand in it as they are in their files.
fn with_cards_changed(name: &str, change: &[(&str, &str)]) -> (PathBuf, Layout) {
    let mut layout = Layout::find().unwrap();
    let mut module = std::fs::read(&layout.wasm).unwrap();
    for (old, new) in change {
        assert_eq!(old.len(), new.len());
        let places: Vec<usize> =
            (0..module.len() - old.len()).filter(|at| module[*at..].starts_with(old.as_bytes())).collect();
        assert!(!places.is_empty(), "the module does not contain {old:?}");
        for at in places {
            module[at..at + old.len()].copy_from_slice(new.as_bytes());
        }
    }
    let file = std::env::temp_dir().join(format!("pax-{name}-{}.wasm", std::process::id()));
    std::fs::write(&file, module).unwrap();
    layout.wasm.clone_from(&file);
    (file, layout)
}

fn wrong_card() {
    let change = [("\"daily_cap_pax\": \"10\"", "\"daily_cap_pax\": \"1O\""), ("\"0.008\"", "\"0,008\"")];
    let (file, layout) = with_cards_changed("wrong-card", &change);
    let told = does_not_start(Stack::builder().layout(layout));
    std::fs::remove_file(file).unwrap();
    for mistake in [
        "configuration: v1.json: free_tier.daily_cap_pax: must be",
        "configuration: v2.json: free_tier.daily_cap_pax: must be",
        "configuration: v1.json: models.nomic-ai/nomic-embed-text-v1.5.usd_per_mtok.input: must be",
    ] {
        assert!(told.contains(mistake), "{mistake:?} is not in {told}");
    }
}

fn changed_card() {
    let (file, layout) = with_cards_changed("changed-card", &[("\"the first card\"", "\"the First card\"")]);
    let told = does_not_start(Stack::builder().layout(layout));
    std::fs::remove_file(file).unwrap();
    assert!(told.contains("configuration: v1.json: differs from its hash in LOCK"), "{told}");
}
