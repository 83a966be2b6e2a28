//! What `diff` shows, word for word.

mod common;

use common::{Temp, golden, published, tests};

#[test]
fn a_diff_is_shown_for_a_terminal_a_pull_request_and_a_program() {
    let cards = Temp::of_cards("diff", &tests("cards"));
    golden("diff.txt", &cards.ok(&["diff", "v1", "v2"]));
    golden("diff.md", &cards.ok(&["diff", "v1", "2", "--markdown"]));
    golden("diff.json", &cards.ok(&["diff", "v1.json", "v2.json", "--json"]));
}

#[test]
fn cards_that_are_the_same_but_for_their_names_say_so() {
    let cards = Temp::of_cards("diff-same", &tests("cards"));
    assert!(cards.ok(&["diff", "v1", "v1"]).ends_with("\nNothing else differs.\n"));
    assert!(cards.fails(&["diff", "v1", "v3"]).contains("there is no card v3; there are v1, v2"));
}

#[test]
fn another_pax_usd_needs_consent_to_be_published() {
    let cards = Temp::of_cards("revalue", &tests("cards"));
    let said = cards.fails(&["publish"]);
    assert!(said.contains("pax_usd changes from 10.00 to 12.50 US dollars (+25.0%)"), "{said}");
    assert!(said.contains("changes by -20.0% in PAX"), "{said}");
    assert!(said.contains("nothing was published; --revalue-balances is your consent"), "{said}");
    assert_eq!(cards.text("LOCK").lines().count(), 1);
    let said = cards.ok(&["publish", "--revalue-balances"]);
    assert!(said.contains("published v2.json"), "{said}");
    assert!(said.contains("It takes force at 2027-01-01T00:00:00.000Z. Until then:"), "{said}");
    assert!(cards.fails(&["publish", "v2"]).contains("v2.json is published: it never changes"));
    assert!(cards.fails(&["publish"]).contains("there is no draft"));
    assert!(cards.ok(&["check", "--strict"]).ends_with("2 cards: 0 mistakes, 0 warnings\n"));
}

#[test]
fn what_is_in_force_already_or_looks_wrong_needs_consent_too() {
    let cards = Temp::of_cards("consent", &tests("cards"));
    let card = cards.text("v2.json").replace("\"12.5\"", "\"10\"");
    cards.write("v2.json", &card.replace("2027-01-01", "2026-11-01"));
    assert!(cards.fails(&["publish"]).contains("effective_from 2026-11-01T00:00:00.000Z is in the past"));
    cards.write("v2.json", &card.replace("\"12.00\"", "\"0.12\""));
    assert!(cards.fails(&["publish"]).contains("0.12 is more than 20 times apart from 10.00 in v1.json"));
    cards.write("v2.json", &card.replace("\"12.00\"", "12"));
    assert!(
        cards.fails(&["publish", "--despite-warnings", "--now-in-force"]).contains("v2.json:15: models.gpt")
    );
    assert_eq!(cards.text("LOCK").lines().count(), 1);
    cards.write("v2.json", &card.replace("\"12.00\"", "\"0.12\"").replace("2027-01-01", "2026-11-01"));
    let said = cards.ok(&["publish", "--despite-warnings", "--now-in-force"]);
    assert!(said.contains("It takes force wherever it is loaded. Now:"), "{said}");
    assert_eq!(cards.text("LOCK").lines().count(), 2);
    cards.write("v2.json", &card);
    assert!(cards.fails(&["check"]).contains("v2.json:1: differs from its hash in LOCK"));
}

#[test]
fn nothing_of_what_was_published_may_be_gone() {
    let cards = Temp::of_cards("published", &tests("cards"));
    let before = tests("cards").join("LOCK");
    let before = before.to_str().unwrap();
    cards.ok(&["check", "--published", before]);
    cards.write("v1.json", &cards.text("v1.json").replace("the first card", "The first card"));
    let hash = pax_gateway::base::digest::Digest::of(&[cards.text("v1.json").as_bytes()]);
    cards.write("LOCK", &format!("{hash}  v1.json\n"));
    cards.ok(&["check"]);
    let said = cards.fails(&["check", "--published", before]);
    assert!(said.contains("LOCK:1: v1.json was published with another hash"), "{said}");
}

#[test]
fn the_third_card_has_the_prices_of_the_second_and_says_who_reasons_unseen() {
    let cards = Temp::of_cards("diff-third", &published());
    let said: serde_json::Value = serde_json::from_str(&cards.ok(&["diff", "v2", "v3", "--json"])).unwrap();
    let models: Vec<(&str, &str)> = said["terms"]
        .as_array()
        .unwrap()
        .iter()
        .map(|term| (term["model"].as_str().unwrap(), term["field"].as_str().unwrap()))
        .collect();
    let hidden = ["gpt-5", "gpt-5-mini", "gpt-5-nano", "gpt-5.1", "gpt-5.2", "o3", "qwen/qwen3.8-27b"];
    assert_eq!(models, hidden.map(|model| (model, "hidden_reasoning")));
    for list in ["prices", "added", "removed", "whitelist"] {
        assert_eq!(said[list], serde_json::json!([]), "{list}");
    }
}
