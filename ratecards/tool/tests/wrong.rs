//! Wrong cards and wrong bundles, and every line that an operator reads about them.

mod common;

use std::collections::BTreeSet;
use std::fs;

use common::tests;
use pax_gateway::card_file::version_of;
use pax_ratecard::check::{Level, Rules, check};
use pax_ratecard::folder::{CardFile, Folder, lock_entry};

/// Both test cards, published.
fn folder() -> Folder {
    let card = |name: &str| CardFile {
        name: name.to_owned(),
        version: version_of(name),
        text: fs::read_to_string(tests("cards").join(name)).unwrap(),
    };
    Folder { path: "cards".into(), cards: vec![card("v1.json"), card("v2.json")], lock: String::new() }
}

/// Makes the changes of a block: `FILE: from → to`, `FILE is now NAME`, `FILE is gone`, `LOCK: from → to`, and
/// `unlocked FILE`; LOCK is made of the changed cards, or before them by `locked before`.
fn changed(changes: &[&str]) -> Folder {
    let mut folder = folder();
    let lock = |folder: &Folder| folder.cards.iter().map(lock_entry).collect::<String>();
    if changes.contains(&"locked before") {
        folder.lock = lock(&folder);
    }
    for change in changes {
        if let Some((name, to)) = change.split_once(" is now ") {
            let card = folder.cards.iter_mut().find(|card| card.name == name).unwrap();
            (card.name, card.version) = (to.to_owned(), version_of(to));
        } else if let Some((name, edit)) = change.split_once(": ")
            && name != "LOCK"
        {
            let (from, to) = edit.split_once(" →").unwrap();
            let card = folder.cards.iter_mut().find(|card| card.name == name).unwrap();
            assert!(card.text.contains(from), "{change}");
            card.text = card.text.replacen(from, to.trim_start(), 1);
        }
    }
    if folder.lock.is_empty() {
        folder.lock = lock(&folder);
    }
    for change in changes {
        if let Some(name) = change.strip_suffix(" is gone") {
            folder.cards.retain(|card| card.name != name);
        } else if let Some(edit) = change.strip_prefix("LOCK: ") {
            let (from, to) = edit.split_once(" →").unwrap();
            assert!(folder.lock.contains(from), "{change}");
            folder.lock = folder.lock.replacen(from, to.trim_start(), 1);
        } else if let Some(name) = change.strip_prefix("unlocked ") {
            let kept: Vec<&str> = folder.lock.lines().filter(|line| !line.ends_with(name)).collect();
            folder.lock = kept.iter().map(|line| format!("{line}\n")).collect();
        }
    }
    folder
}

fn said(folder: &Folder) -> String {
    let providers: BTreeSet<String> = ["openai", "mistral", "groq"].map(str::to_owned).into();
    let rules =
        Rules { providers: Some(providers), published: None, now: "2026-11-24T00:00:00Z".parse().unwrap() };
    let checked = check(folder, &rules);
    let is_wrong = checked.count(Level::Mistake) > 0;
    assert_eq!(checked.bundle.is_none(), is_wrong);
    checked.findings.iter().map(|finding| format!("{finding}\n")).collect()
}

#[test]
fn the_test_cards_have_no_mistake() {
    let mut folder = folder();
    folder.lock = folder.cards.iter().map(lock_entry).collect();
    assert_eq!(said(&folder), "");
}

#[test]
fn each_wrong_card_is_named_with_file_line_and_path() {
    let path = tests("wrong.txt");
    let table = fs::read_to_string(&path).unwrap();
    let (mut cases, mut found) = (0, String::new());
    for block in table.trim_end().split("\n\n") {
        let changes: Vec<&str> = block.lines().filter_map(|line| line.strip_prefix("> ")).collect();
        let lines: String = changes.iter().map(|change| format!("> {change}\n")).collect();
        let said = said(&changed(&changes));
        assert!(!said.is_empty(), "nothing is said of {changes:?}");
        found.push_str(&format!("{lines}{said}\n"));
        cases += 1;
    }
    let found = format!("{}\n", found.trim_end());
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, &found).unwrap();
    }
    assert!(found == fs::read_to_string(&path).unwrap(), "said otherwise:\n{found}");
    assert!(cases >= 50, "{cases}");
}
