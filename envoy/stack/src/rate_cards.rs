//! The rate cards of a checkout, as the filter's configuration carries them, and how a running gateway gets them.

use crate::folder::run_filter;
use crate::{Layout, StackError, http, render};
use pax_gateway::base::strict_json::{self, Mistakes};
use pax_gateway::call::config::Gateway;
use pax_gateway::price::bundle::Bundle;
use pax_gateway::price::card_file::{LOCK, is_card};
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long Envoy may take to read a new file, and the filter to hear from the ledger that it knows the cards.
const RELOAD_PATIENCE: Duration = Duration::from_secs(15);
/// What Envoy counts of the filter's file.
const DISCOVERY: &str = "extension_config_discovery.http_filter.pax_gateway";
/// The filter's gauge: so many cards price calls.
const CARDS_GAUGE: &str = "wasmcustom.pax_rate_cards";

/// `rate_cards` of the filter's configuration: every card and `LOCK` in `ratecards/`, byte for byte; None if
/// the layout has no such folder: then the built-in cards hold.
///
/// # Errors
/// [`StackError::Io`] if a file cannot be read.
pub(crate) fn read(layout: &Layout) -> Result<Option<Value>, StackError> {
    let folder = layout.root.join("ratecards");
    let lock = folder.join(LOCK);
    // If the cards are there but cannot be read, that is an error: otherwise the built-in cards would price
    // calls.
    if !lock.try_exists().map_err(StackError::io("read", &lock))? {
        return Ok(None);
    }
    let text = |path: &Path| std::fs::read_to_string(path).map_err(StackError::io("read", path));
    let mut files = Map::new();
    for entry in std::fs::read_dir(&folder).map_err(StackError::io("read", &folder))? {
        let path = entry.map_err(StackError::io("read", &folder))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if is_card(&name) {
            files.insert(name, text(&path)?.into());
        }
    }
    Ok(Some(json!({ "files": files, "lock": text(&lock)? })))
}

/// The cards of the layout, checked, as `rate_cards` of the filter's configuration.
///
/// # Errors
/// [`StackError::Config`] names every mistake.
pub fn rate_cards(layout: &Layout) -> Result<Value, StackError> {
    let no_cards = || StackError::Config(format!("no ratecards/LOCK in {}", layout.root.display()));
    let cards = read(layout)?.ok_or_else(no_cards)?;
    let node = strict_json::parse(&cards.to_string())
        .map_err(|mistakes| StackError::Config(mistakes.to_string()))?;
    let mut mistakes = Mistakes::default();
    let bundle = Bundle::read(node, "rate_cards", &mut mistakes);
    mistakes.or(bundle).map_err(|mistakes| StackError::Config(mistakes.to_string()))?;
    Ok(cards)
}

/// The text of the filter's file with its configuration changed.
///
/// # Errors
/// [`StackError::Config`] if the text is not one that was rendered here.
pub fn change_filter(text: &str, change: impl FnOnce(&mut Value)) -> Result<String, StackError> {
    let odd =
        || StackError::Config("the filter's file has no `value: \"...\"`: start the gateway anew".into());
    let is_value = |line: &str| line.trim_start().starts_with("value: \"");
    let (index, line) = text.lines().enumerate().find(|(_, line)| is_value(line)).ok_or_else(odd)?;
    let (indent, quoted) = line.split_once("value: ").ok_or_else(odd)?;
    let inner: String = serde_json::from_str(quoted).map_err(|_| odd())?;
    let mut config: Value = serde_json::from_str(&inner).map_err(|_| odd())?;
    change(&mut config);
    let changed = format!("{indent}value: {}", render::quoted(&config.to_string()));
    let mut lines: Vec<&str> = text.lines().collect();
    if let Some(line) = lines.get_mut(index) {
        *line = &changed;
    }
    Ok(lines.join("\n") + "\n")
}

/// The filter's configuration in the text of its file.
fn config_of(text: &str) -> Result<String, StackError> {
    let mut config = String::new();
    change_filter(text, |value| config = value.to_string())?;
    Ok(config)
}

/// Puts a text in a file's place in one move, so that no reader sees half of it.
///
/// # Errors
/// [`StackError::Io`] if it cannot be written.
pub fn replace(file: &Path, text: &str) -> Result<(), StackError> {
    let new = file.with_extension("new");
    std::fs::write(&new, text).map_err(StackError::io("write", &new))?;
    std::fs::rename(&new, file).map_err(StackError::io("replace", file))
}

/// What a reload came to.
#[derive(Debug, Clone)]
pub struct Reloaded {
    /// The cards by version, and from when on each may be in force.
    pub cards: Vec<(u32, String)>,
    /// The file that was replaced.
    pub file: PathBuf,
}

/// Gives a running stack the rate cards of the layout, without a call being cut, and waits until they are in use.
/// `run` is the stack's run folder.
///
/// # Errors
/// [`StackError::Config`] names every mistake of the cards; then nothing was changed. It also says if Envoy
/// or the ledger did not take them.
pub fn reload(layout: &Layout, run: &Path) -> Result<Reloaded, StackError> {
    let (_, file) = run_filter(run);
    let no_gateway = || StackError::Missing {
        what: "a gateway that runs",
        path: run.to_path_buf(),
        hint: "start it (`make up`), or name its port and its data folder",
    };
    if !file.is_file() {
        return Err(no_gateway());
    }
    let text = std::fs::read_to_string(&file).map_err(StackError::io("read", &file))?;
    let cards = rate_cards(layout)?;
    let text = change_filter(&text, |config| config["rate_cards"] = cards)?;
    let gateway = Gateway::parse(&config_of(&text)?)
        .map_err(|mistakes| StackError::Config(format!("nothing was changed:\n{mistakes}")))?;
    let port = run.join("admin");
    let port = std::fs::read_to_string(&port).map_err(StackError::io("read", &port))?;
    let port = port.trim().parse().map_err(|_| StackError::Config("the admin port is no number".into()))?;
    let cards = gateway.bundle.cards();
    let count = u64::try_from(cards.len()).unwrap_or(0);
    let before = http::stat(port, CARDS_GAUGE).ok_or_else(no_gateway)?;
    if before > count {
        return Err(StackError::Config(format!(
            "nothing was changed: the gateway has {before} cards, ratecards/ {count}, and what was published stays"
        )));
    }
    let failed = || http::stat(port, &format!("{DISCOVERY}.config_fail")).unwrap_or(0);
    let failed_before = failed();
    replace(&file, &text)?;
    let deadline = Instant::now() + RELOAD_PATIENCE;
    while http::stat(port, CARDS_GAUGE) != Some(count) {
        let log = run.join("envoy.log");
        let log = log.display();
        if failed() > failed_before {
            return Err(StackError::Config(format!("Envoy did not take {}: {log} says why", file.display())));
        }
        if Instant::now() > deadline {
            return Err(StackError::Config(format!(
                "the cards are not in use after {} s; calls go on under the cards before them. {log} says why: perhaps \
                 the ledger does not know them yet",
                RELOAD_PATIENCE.as_secs()
            )));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    // The first worker says so; the others look within their next tick of 20 ms.
    std::thread::sleep(Duration::from_millis(100));
    let cards = cards.iter().map(|card| (card.version.0, card.effective_from.to_string())).collect();
    Ok(Reloaded { cards, file })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cards_of_the_checkout_are_carried_byte_for_byte() {
        let layout = Layout::find().unwrap();
        let cards = read(&layout).unwrap().unwrap();
        let v1 = std::fs::read_to_string(layout.root.join("ratecards/v1.json")).unwrap();
        assert_eq!(cards["files"]["v1.json"], v1.as_str());
        assert!(cards["lock"].as_str().unwrap().contains("  v1.json\n"));
    }

    #[test]
    fn a_change_of_the_filters_file_changes_its_configuration_alone() {
        let text = "# value: no\na:\n  value: \"{\\\"x\\\":1}\"\nb: 2\n";
        let changed = change_filter(text, |config| config["x"] = "a\nb".into()).unwrap();
        assert_eq!(changed, text.replace('1', "\\\"a\\\\nb\\\""));
        assert!(change_filter("a: 1\n", |_| ()).is_err());
    }
}
