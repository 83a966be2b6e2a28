//! How long files and functions may be, how many files lie in a folder, and tests that nobody runs.

use std::collections::BTreeMap;
use std::path::Path;

use crate::assert_none;
use crate::sources::{files, item_end, line_of, parts, without_tests};

const FILE_LINES: usize = 400;
const FUNCTION_LINES: usize = 70;
const NEIGHBOURS: usize = 12;

/// Files that are longer for now. One that is not any more is taken off the list.
const LONGER: [&str; 0] = [];

/// Functions that are longer for now, by file and name; likewise.
const LONGER_FUNCTIONS: [(&str, &str); 0] = [];

/// Folders with more files for now, and why.
const FULLER: [(&str, &str); 0] = [];

#[test]
fn no_file_has_more_than_400_lines() {
    let mut long = Vec::new();
    let mut exempt: Vec<&str> = LONGER.to_vec();
    for file in files("", &[".rs"]) {
        let lines = file.text.lines().count();
        if lines > FILE_LINES {
            match exempt.iter().position(|path| *path == file.path) {
                Some(at) => drop(exempt.swap_remove(at)),
                None => long.push(format!("{}: {lines} lines", file.path)),
            }
        }
    }
    assert_none(
        &format!(
            "A file has one idea and at most {FILE_LINES} lines. Find the second idea, and give it a file:"
        ),
        &long,
    );
    let short: Vec<String> = exempt.iter().map(|path| (*path).to_owned()).collect();
    assert_none("These are short enough: take them off LONGER in tests/tidy/sizes.rs:", &short);
}

#[test]
fn no_function_has_more_than_70_lines() {
    let mut long = Vec::new();
    let mut exempt: Vec<(&str, &str)> = LONGER_FUNCTIONS.to_vec();
    // A test may be one long table.
    let is_test =
        |path: &str| path.ends_with("_test.rs") || path.starts_with("tests/") || path.contains("/tests/");
    for file in files("", &[".rs"]).iter().filter(|file| !is_test(&file.path)) {
        let code = without_tests(&parts(&file.text).code);
        for (at, name) in functions(&code) {
            let lines = line_of(&code, item_end(&code, at)) - line_of(&code, at) + 1;
            if lines > FUNCTION_LINES {
                match exempt.iter().position(|known| *known == (file.path.as_str(), name)) {
                    Some(at) => drop(exempt.swap_remove(at)),
                    None => long.push(format!("{}:{}: {name}, {lines} lines", file.path, line_of(&code, at))),
                }
            }
        }
    }
    assert_none(
        &format!(
            "A function does one thing in at most {FUNCTION_LINES} lines. Name its parts and call them:"
        ),
        &long,
    );
    let short: Vec<String> = exempt.iter().map(|(path, name)| format!("{path}: {name}")).collect();
    assert_none("These are short enough: take them off LONGER_FUNCTIONS in tests/tidy/sizes.rs:", &short);
}

/// Where functions begin, and their names.
fn functions(code: &str) -> Vec<(usize, &str)> {
    let begins = |at: usize| !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
    let name = |at: usize| {
        let rest = &code[at + "fn ".len()..];
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        (!rest[..end].is_empty()).then(|| (at, &rest[..end]))
    };
    code.match_indices("fn ").filter(|(at, _)| begins(*at)).filter_map(|(at, _)| name(at)).collect()
}

#[test]
fn a_folder_has_at_most_12_files_that_are_no_tests() {
    let mut neighbours: BTreeMap<String, usize> = BTreeMap::new();
    for file in files("src", &[".rs"]) {
        let (folder, name) = file.path.rsplit_once('/').unwrap_or(("", &file.path));
        if name != "mod.rs" && !name.ends_with("_test.rs") {
            *neighbours.entry(folder.to_owned()).or_default() += 1;
        }
    }
    let full = neighbours
        .iter()
        .filter(|(folder, count)| **count > NEIGHBOURS && !FULLER.iter().any(|(known, _)| known == folder));
    let full: Vec<String> = full.map(|(folder, count)| format!("{folder}: {count} files")).collect();
    assert_none(
        &format!(
            "At most {NEIGHBOURS} files lie beside each other, so that a folder is read at one look. Make a room:"
        ),
        &full,
    );
}

/// A test of `a/b.rs` is `a/b_test.rs`; more of them are `a/b/…_test.rs`, as are those of `a/b/mod.rs`.
#[test]
fn every_test_file_lies_beside_its_module_and_is_included() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let all = files("", &[".rs"]);
    let mut orphans = Vec::new();
    for file in all.iter().filter(|file| file.path.ends_with("_test.rs")) {
        let (folder, name) = file.path.rsplit_once('/').unwrap_or(("", &file.path));
        let beside = format!("{folder}/{}.rs", name.trim_end_matches("_test.rs"));
        let homes = [beside, format!("{folder}.rs"), format!("{folder}/mod.rs")];
        let is_at_home = homes.iter().any(|home| root.join(home).exists());
        if !is_at_home {
            orphans.push(format!("{} lies beside no module of its name", file.path));
        }
        let folder = Path::new(folder);
        let includes = |other: &&crate::sources::File| {
            let from = Path::new(&other.path).parent().unwrap_or(Path::new(""));
            folder.strip_prefix(from).is_ok_and(|way| {
                let path = way.join(name);
                other.text.contains(&format!("#[path = \"{}\"]", path.display()))
            })
        };
        let in_mod = format!("mod {};", name.trim_end_matches(".rs"));
        let declares = |other: &&crate::sources::File| {
            Path::new(&other.path) == folder.join("mod.rs") && other.text.contains(&in_mod)
        };
        if !all.iter().any(|other| includes(&other) || declares(&other)) {
            orphans.push(format!("{} is included by no file: its tests never run", file.path));
        }
    }
    assert_none(
        "Include it from its module (`#[cfg(test)] #[path = \"NAME_test.rs\"] mod tests;`), beside it:",
        &orphans,
    );
}
