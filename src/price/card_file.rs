//! Which files of a folder are rate cards, and what the file of a card is called. The build script reads this
//! file too, so it imports nothing.

/// The file with the hashes of the published cards, beside them.
pub const LOCK: &str = "LOCK";

/// Whether the name of a file tells that it is meant to be a card: `v…json`. If such a name is wrong, the
/// bundle reports a mistake: no card is left out in silence.
#[must_use]
pub fn is_card(name: &str) -> bool {
    name.starts_with('v') && name.ends_with(".json")
}

/// The name of a version's file.
#[must_use]
pub fn name_of(version: u32) -> String {
    format!("v{version}.json")
}

/// The version in the name of a card's file; none if the name is not right.
#[must_use]
pub fn version_of(name: &str) -> Option<u32> {
    let version: u32 = name.strip_prefix('v')?.strip_suffix(".json")?.parse().ok()?;
    (name_of(version) == name).then_some(version)
}

#[cfg(test)]
#[path = "card_file_test.rs"]
mod tests;
