//! A correction that begins before a card which is published already: what the tool does, and which card is then in
//! force when.

mod common;

use std::fs;

use common::{Temp, tests};
use pax_gateway::price::bundle::Bundle;

const DECEMBER: &str = "2026-12-01T00:00:00Z";

/// A folder with `v1` in force since January, and `v2` published for January of the next year.
fn planned(name: &str) -> Temp {
    let cards = Temp::of_cards(name, &tests("cards"));
    cards.ok(&["publish", "--revalue-balances"]);
    cards
}

/// The version in force at each moment, by the filter's own bundle.
fn in_force(cards: &Temp, moments: &[&str]) -> Vec<u32> {
    let mut files: Vec<(String, String)> = fs::read_dir(&cards.0)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".json"))
        .map(|name| (name.clone(), cards.text(&name)))
        .collect();
    files.sort();
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (&**name, &**text)).collect();
    let bundle = Bundle::load(&files, &cards.text("LOCK")).unwrap();
    let at = |moment: &&str| bundle.in_force(moment.parse().unwrap()).unwrap().version.0;
    moments.iter().map(at).collect()
}

const MOMENTS: [&str; 4] =
    ["2026-11-30T23:59:59.999Z", DECEMBER, "2026-12-31T23:59:59.999Z", "2027-01-01T00:00:00Z"];

#[test]
fn a_correction_ahead_of_a_published_card_brings_that_card_again() {
    let cards = planned("correction");
    assert_eq!(in_force(&cards, &MOMENTS), [1, 1, 1, 2]);

    let said = cards.ok(&["new", "--reason", "input of old was too low", "--effective", DECEMBER]);
    // The draft starts from the prices that hold in December, not from those of January.
    assert!(said.contains("v3.json, a draft from v1.json") && said.contains("diff v1 v3"), "{said}");
    assert!(said.contains("v2.json begins later"), "{said}");
    let draft = cards.text("v3.json");
    assert!(draft.contains("\"pax_usd\": \"10\""), "{draft}");
    cards.write("v3.json", &draft.replacen("\"0.20\"", "\"0.22\"", 1));
    let said = cards.ok(&["check", "--strict"]);
    assert!(
        said.contains(
            "note: v3.json:2: effective_from: begins before v2.json does, at 2027-01-01T00:00:00.000Z"
        ),
        "{said}"
    );

    let said = cards.ok(&["publish"]);
    assert!(
        said.contains("published v3.json") && said.contains("published v4.json: v2.json again"),
        "{said}"
    );
    assert!(said.contains("commit v3.json, v4.json and LOCK") && said.contains("diff v3 v4"), "{said}");
    // December has the correction, and January the prices that were published for it.
    assert_eq!(in_force(&cards, &MOMENTS), [1, 3, 3, 4]);
    let (two, four) = (cards.text("v2.json"), cards.text("v4.json"));
    let changed: Vec<&str> =
        two.lines().zip(four.lines()).filter(|(old, new)| old != new).map(|(_, new)| new).collect();
    assert_eq!(
        changed,
        [
            "  \"rate_table_v\": 4, \"effective_from\": \"2027-01-01T00:00:00Z\",",
            "  \"reason\": \"prices of | January (v2 again, behind v3)\","
        ]
    );
    assert!(cards.ok(&["check", "--strict"]).ends_with("4 cards: 0 mistakes, 0 warnings\n"));

    // A second correction publishes again the card whose turn would come (v4), and not the older one that
    // this card replaced (v2).
    cards.ok(&["new", "--reason", "again", "--effective", "2026-12-15T00:00:00Z"]);
    cards.ok(&["publish"]);
    assert_eq!(in_force(&cards, &MOMENTS), [1, 3, 5, 6]);
    assert!(cards.text("v6.json").contains("(v2 again, behind v3) (v4 again, behind v5)"));
}

#[test]
fn a_later_card_is_given_up_only_by_consent_and_is_then_named() {
    let cards = planned("drop-later");
    cards.ok(&["new", "--reason", "no January prices", "--effective", DECEMBER]);
    let said = cards.ok(&["publish", "--drop-later"]);
    assert!(said.contains("published v3.json") && !said.contains("again"), "{said}");
    assert_eq!(in_force(&cards, &MOMENTS), [1, 3, 3, 3]);
    let said = cards.ok(&["check"]);
    assert!(
        said.contains(
            "warning: v2.json:2: effective_from: never comes into force: v3.json has a higher version and begins before \
             it. `pax-ratecard new --from v2 --effective 2027-01-01T00:00:00.000Z` starts it again"
        ),
        "{said}"
    );
    assert!(cards.fails(&["check", "--strict"]).contains("1 warning"));
    // The command that the warning names, and what it does.
    let again =
        ["new", "--from", "v2", "--effective", "2027-01-01T00:00:00.000Z", "--reason", "January after all"];
    cards.ok(&again);
    cards.ok(&["publish", "--revalue-balances"]);
    assert_eq!(in_force(&cards, &MOMENTS), [1, 3, 3, 4]);
    assert!(cards.ok(&["check", "--strict"]).ends_with("0 warnings\n"));
}

#[test]
fn what_has_begun_is_not_corrected_backwards() {
    let cards = planned("backwards");
    let begins = ["--effective", "2025-12-31T00:00:00Z"];
    let said = cards.fails(&[&["new", "--reason", "x"][..], &begins].concat());
    assert!(said.contains("is before v1.json took force, at 2026-01-01"), "{said}");
    // If a published card begins later, it is not clear which moment is meant.
    assert!(cards.fails(&["new", "--markup", "5%"]).contains("v2.json is published and begins later"));
    cards.ok(&["new", "--reason", "x", "--effective", DECEMBER]);
    let draft = cards.text("v3.json").replacen(DECEMBER, "2025-12-31T00:00:00Z", 1);
    cards.write("v3.json", &draft);
    let said = cards.fails(&["publish", "--now-in-force"]);
    assert!(said.contains("effective_from: goes backwards: v1.json is in force from 2026-01-01"), "{said}");
    assert_eq!(cards.text("LOCK").lines().count(), 2);
}
