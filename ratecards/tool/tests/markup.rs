//! `new --markup`: every price, exactly, and nothing else.

mod common;

use common::{Temp, golden, tests};

/// Both test cards published, under a clock at which the second is in force.
fn cards(name: &str) -> Temp {
    let cards = Temp::of_cards(name, &tests("cards"));
    cards.ok(&["publish", "--revalue-balances"]);
    cards
}

const LATER: [&str; 2] = ["--now", "2027-02-01T12:00:00Z"];

#[test]
fn every_price_is_raised_and_the_card_says_so() {
    let cards = cards("markup");
    let said = cards.ok_at(&["new", "--markup", "10%"], &LATER);
    assert!(said.contains("a draft from v2.json, in force from 2027-02-03T00:00:00.000Z"), "{said}");
    assert!(said.contains("16 prices of 4 models changed, exactly."), "{said}");
    assert!(!said.contains("compounds"), "{said}");
    golden("markup.json", &cards.text("v3.json"));
    golden("markup.txt", &cards.ok_at(&["diff", "v2", "v3"], &LATER));
    assert!(cards.ok_at(&["check", "--strict"], &LATER).contains("0 mistakes, 0 warnings"));
    cards.ok_at(&["publish"], &LATER);

    // A mark-up of a mark-up compounds, and is said to.
    let said = cards.ok_at(&["new", "--markup", "10%", "--effective", "2027-03-01T00:00:00Z"], &LATER);
    assert!(said.contains("warning: v3.json has a mark-up already"), "{said}");
    assert!(cards.text("v4.json").contains("\"reason\": \"mark-up of 10% on version 3\""));
    let input = |name: &str| {
        let text = cards.text(name);
        let model = text.split("\"gpt\": {").nth(1).unwrap();
        model.split("\"input\": ").nth(1).unwrap().split(',').next().unwrap().to_owned()
    };
    assert_eq!([input("v2.json"), input("v3.json"), input("v4.json")], ["\"2.00\"", "\"2.20\"", "\"2.42\""]);
}

#[test]
fn a_mark_up_may_be_for_some_providers_and_models() {
    let cards = cards("markup-some");
    let new = [
        "new",
        "--reason",
        "cheaper here",
        "--markup",
        "-5%",
        "--provider",
        "openai",
        "--model",
        "emb*",
        "gpt",
    ];
    let said = cards.ok_at(&new, &LATER);
    assert!(said.contains("5 prices of 2 models changed, exactly."), "{said}");
    let text = cards.text("v3.json");
    assert!(
        text.contains(
            "\"reason\": \"cheaper here (mark-up of -5% on version 2, for openai, models emb* gpt)\""
        ),
        "{text}"
    );
    assert!(text.contains("\"usd_per_mtok\": {\"input\": \"0.019\"}"), "{text}");
    assert!(
        text.contains("\"usd_per_mtok\": {\"input\": \"0.10\", \"output\": \"0.30\"}"),
        "groq's stays: {text}"
    );
}

#[test]
fn what_a_mark_up_cannot_be_is_said() {
    let cards = cards("markup-wrong");
    for (args, why) in [
        (&["--markup", "10"][..], "must be per cent"),
        (&["--markup", "-100%"], "would leave nothing of a price"),
        (&["--markup", "0%"], "changes no price"),
        (&["--markup", "5%", "--provider", "acme"], "no model is of acme and fits *: nothing would change"),
        (&["--markup", "5%", "--model", "nope*"], "no model is of any provider and fits nope*"),
        (&["--provider", "openai", "--reason", "x"], "--markup"),
        (&[], "--reason"),
    ] {
        let said = cards.fails_at(&[&["new"], args].concat(), &LATER);
        assert!(said.contains(why), "{args:?}: {said}");
    }
    assert!(!cards.0.join("v3.json").exists());
}

#[test]
fn a_price_that_has_too_many_decimals_is_rounded_and_counted() {
    let cards = cards("markup-rounded");
    cards.ok_at(&["new", "--markup", "0.000001%", "--model", "embed"], &LATER);
    // 0.02 × 1.00000001 is 0.0200000002, which a price can say.
    assert!(cards.text("v3.json").contains("\"input\": \"0.0200000002\""));
    cards.ok_at(&["publish"], &LATER);
    let said = cards
        .ok_at(&["new", "--markup", "0.000001%", "--model", "embed"], &["--now", "2027-03-01T00:00:00Z"]);
    assert!(
        said.contains("1 prices of 1 models changed, 1 of them rounded half up to 12 decimals."),
        "{said}"
    );
    assert!(cards.text("v4.json").contains("\"input\": \"0.0200000004\""));
}

#[test]
fn a_shell_can_complete_the_commands() {
    let cards = cards("completions");
    for shell in ["bash", "zsh", "fish"] {
        let said = cards.ok(&["completions", shell]);
        for word in ["markup", "publish", "drop-later", "leave-unpriced"] {
            assert!(said.contains(word), "{shell} has no {word}");
        }
    }
    assert!(cards.fails(&["completions", "tcsh"]).contains("bash"));
}
