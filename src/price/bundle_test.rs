#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::arithmetic_side_effects)]

use super::*;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::base::pax::{Rate, Tokens};
use crate::dialect::usage::{Mode, Usage};

/// The lock of these files, as `sha256sum` writes it.
fn lock_of(files: &[(&str, &str)]) -> String {
    files.iter().fold(String::new(), |mut lock, (name, text)| {
        writeln!(lock, "{}  {name}", Digest::of(&[text.as_bytes()])).unwrap();
        lock
    })
}

fn mistakes(files: &[(&str, &str)], lock: &str) -> String {
    Bundle::load(files, lock).map_or_else(|mistakes| mistakes.to_string(), |_| "none".to_owned())
}

fn moment(text: &str) -> Moment {
    text.parse().unwrap()
}

/// The cards of the first release, whatever was published since.
fn first_two() -> [(&'static str, &'static str); 2] {
    let file = |name: &str| *embedded::FILES.iter().find(|(file, _)| *file == name).unwrap();
    [file("v1.json"), file("v2.json")]
}

/// A third card: the second one with another version and date.
fn third(effective_from: &str) -> String {
    let [_, (_, second)] = first_two();
    let third = second.replacen("\"rate_table_v\": 2", "\"rate_table_v\": 3", 1);
    third.replacen("2026-11-23T00:00:00Z", effective_from, 1)
}

#[test]
fn the_embedded_bundle_has_every_published_card() {
    let bundle = Bundle::embedded().unwrap();
    let versions: Vec<u32> = bundle.cards().iter().map(|card| card.version.0).collect();
    let expected: Vec<u32> = (1..).take(versions.len()).collect();
    assert_eq!(versions, expected);
    assert!(versions.len() >= 2);
    for card in bundle.cards() {
        assert_eq!(bundle.by_sha256(&card.sha256).unwrap().version, card.version);
    }
    assert!(bundle.by_sha256(&Digest::of(&[b"another"])).is_none());
}

#[test]
fn the_cards_that_were_released_never_change() {
    // The hashes are here as well as in LOCK, so that nobody changes a card and its lock in one go unseen.
    for (version, sha256) in [
        (1, "6da7395465f2857ddfc99eb3bb860d43bd941ef24bc324008a2d6fd21150e3aa"),
        (2, "329c1ac11af8b12ce9935058fb6b07db4834cebb8793cce23aa9f82b7314fb72"),
        (3, "4ebec6d632db00619b0b27b11dc0c811bc11862fe67aed71fe2313303f7e67f0"),
    ] {
        let bundle = Bundle::embedded().unwrap();
        let card = bundle.by_sha256(&sha256.parse().unwrap());
        assert_eq!(card.map(|card| card.version.0), Some(version));
    }
}

#[test]
fn the_first_card_has_the_first_prices() {
    let bundle = Bundle::embedded().unwrap();
    let card = &bundle.cards()[0];
    assert_eq!(card.pax_usd, "11.43".parse().unwrap());
    let fireworks = |name: &str| format!("accounts/fireworks/models/{name}");
    let expected = BTreeMap::from([
        (fireworks("gpt-oss-120b"), (Mode::Chat, "0.60", Some("1.20"))),
        (fireworks("gpt-oss-20b"), (Mode::Chat, "0.20", Some("0.40"))),
        (fireworks("deepseek-v4-flash"), (Mode::Chat, "0.30", Some("0.90"))),
        (fireworks("deepseek-v4-pro"), (Mode::Chat, "1", Some("2"))),
        (fireworks("kimi-k2.6"), (Mode::Chat, "0.80", Some("1.60"))),
        ("nomic-ai/nomic-embed-text-v1.5".to_owned(), (Mode::Embeddings, "0.008", None)),
    ]);
    assert!(card.models.keys().eq(expected.keys()));
    let rate = |usd: &str| Rate::derive(usd.parse().unwrap(), card.pax_usd).unwrap();
    for (id, (mode, input, output)) in expected {
        let model = &card.models[&id];
        assert_eq!((model.mode, model.provider.as_str()), (mode, "fireworks"), "{id}");
        assert_eq!(model.prices.rates.input, rate(input), "{id}");
        assert_eq!(model.prices.rates.cached_input, None, "{id}");
        assert_eq!(model.prices.rates.output, output.map(rate).unwrap_or_default(), "{id}");
    }
}

#[test]
fn the_second_card_reprices_for_many_providers() {
    let bundle = Bundle::embedded().unwrap();
    let card = &bundle.cards()[1];
    assert_eq!(card.effective_from, moment("2026-11-23T00:00:00Z"));
    assert!(card.models.len() >= 25);
    let providers: BTreeSet<&str> = card.models.values().map(|model| model.provider.as_str()).collect();
    assert!(providers.len() >= 5, "{providers:?}");
    for mode in [Mode::Chat, Mode::Embeddings] {
        assert!(card.models.values().any(|model| model.mode == mode));
    }
    assert!(card.models.values().any(|model| model.prices.rates.cached_input.is_some()));
    let kimi = &card.models["accounts/fireworks/models/kimi-k2.6"];
    assert_eq!(kimi.upstream_model.as_deref(), Some("accounts/fireworks/models/kimi-k2p6"));
    for id in bundle.cards()[0].models.keys() {
        assert!(card.models.contains_key(id), "{id} is priced by the next card too");
    }
}

#[test]
fn the_free_tier_is_the_same_in_both() {
    let fireworks = |name: &str| match name {
        "nomic-embed-text-v1.5" => "nomic-ai/nomic-embed-text-v1.5".to_owned(),
        name => format!("accounts/fireworks/models/{name}"),
    };
    let expected: BTreeMap<String, Vec<String>> = [
        ("compiler", &["gpt-oss-120b", "deepseek-v4-pro"][..]),
        ("planner", &["gpt-oss-120b", "deepseek-v4-flash", "deepseek-v4-pro"]),
        ("executor", &["deepseek-v4-flash", "kimi-k2.6"]),
        ("default", &["gpt-oss-120b", "deepseek-v4-flash", "nomic-embed-text-v1.5"]),
    ]
    .map(|(slot, names)| (slot.to_owned(), names.iter().map(|name| fireworks(name)).collect()))
    .into();
    for card in &Bundle::embedded().unwrap().cards()[..2] {
        assert_eq!(card.free_tier.daily_cap.to_string(), "10.000000000000");
        assert_eq!(card.free_tier.slots, expected);
    }
}

#[test]
fn the_card_in_force_is_the_highest_that_has_begun() {
    let bundle = Bundle::load(&first_two(), &lock_of(&first_two())).unwrap();
    let in_force = |now: &str| bundle.in_force(moment(now)).map(|card| card.version.0);
    assert_eq!(in_force("2025-12-31T23:59:59.999Z"), None);
    assert_eq!(in_force("2026-01-01T00:00:00Z"), Some(1));
    assert_eq!(in_force("2026-11-22T23:59:59.999Z"), Some(1));
    assert_eq!(in_force("2026-11-23T00:00:00Z"), Some(2));
    assert_eq!(in_force("9999-12-31T23:59:59Z"), Some(2));
}

#[test]
fn a_third_card_changes_nothing_of_the_first_two() {
    let [one, two] = first_two();
    let before = Bundle::load(&[one, two], &lock_of(&[one, two])).unwrap();
    let third = third("2027-01-01T00:00:00Z");
    let files = [one, two, ("v3.json", &*third)];
    let after = Bundle::load(&files, &lock_of(&files)).unwrap();
    let usage =
        Usage { input: Tokens(1_200), cached_input: Tokens(300), output: Tokens(350), ..Usage::default() };
    let prices =
        |card: &RateCard| -> Vec<_> { card.models.values().map(|model| model.price(&usage, None)).collect() };
    for card in before.cards() {
        let same = after.by_sha256(&card.sha256).unwrap();
        assert_eq!((same.version, prices(same)), (card.version, prices(card)));
    }
    let in_force = |bundle: &Bundle, now: &str| bundle.in_force(moment(now)).map(|card| card.version.0);
    for now in
        ["2025-12-31T23:59:59Z", "2026-01-01T00:00:00Z", "2026-11-23T00:00:00Z", "2026-12-31T23:59:59.999Z"]
    {
        assert_eq!(in_force(&after, now), in_force(&before, now), "{now}");
    }
    assert_eq!(in_force(&after, "2027-01-01T00:00:00Z"), Some(3));
}

#[test]
fn the_highest_version_counts_and_not_the_latest_date() {
    let [one, two] = first_two();
    let third = third("2026-06-01T00:00:00Z");
    let files = [one, two, ("v3.json", &*third)];
    let bundle = Bundle::load(&files, &lock_of(&files)).unwrap();
    let in_force = |now: &str| bundle.in_force(moment(now)).map(|card| card.version.0);
    assert_eq!(in_force("2026-05-31T23:59:59.999Z"), Some(1));
    assert_eq!(in_force("2026-06-01T00:00:00Z"), Some(3));
    assert_eq!(in_force("2026-11-23T00:00:00Z"), Some(3));
}

#[test]
fn files_and_lock_may_stand_in_any_order() {
    let [one, two] = first_two();
    let bundle = Bundle::load(&[two, one], &lock_of(&[one, two])).unwrap();
    assert_eq!(bundle.cards()[0].version.0, 1);
    assert_eq!(bundle.in_force(moment("2026-06-01T00:00:00Z")).unwrap().version.0, 1);
}

#[test]
fn each_way_that_cards_and_lock_differ_is_named() {
    let [one, two] = first_two();
    let lock = lock_of(&[one, two]);
    let one_changed = (one.0, &*one.1.replacen("the first card", "The first card", 1));
    let one_digit = (one.0, &*one.1.replacen("\"0.60\"", "\"0.61\"", 1));
    let two_broken = (two.0, &*two.1.replacen("\"11.43\"", "11.43", 1));
    let no_prefix = &*lock_of(&[one]).replacen("  ", " ", 1);
    let upper = &*lock_of(&[one]).replacen("6da7", "6DA7", 1);
    const CHANGED: &str = "v1.json: differs from its hash in LOCK: a published card never changes; restore it and \
                           make the change a new version";
    const UNLOCKED: &str = "is not locked: `pax-ratecard publish` locks it, once it is final";
    const GONE: &str = "is locked but missing; a published card stays in the bundle for ever";
    const LINE: &str = "must be a line of sha256sum: hash, two spaces, name";
    for (files, lock, expected) in [
        (&[one, two][..], &*lock, "none".to_owned()),
        (&[one_changed, two], &lock, CHANGED.to_owned()),
        (&[one_digit, two], &lock, CHANGED.to_owned()),
        (&[one, two], &lock_of(&[one]), format!("v2.json: {UNLOCKED}")),
        (&[one, two], "", format!("v1.json: {UNLOCKED}\nv2.json: {UNLOCKED}")),
        (&[one], &lock, format!("v2.json: {GONE}")),
        (&[two], &lock, format!("v1.json: {GONE}")),
        (&[two], &lock_of(&[two]), "version 1 is missing: versions follow each other from 1".to_owned()),
        (
            &[one, two],
            &format!("{lock}{lock}"),
            "LOCK:3: v1.json is locked twice\nLOCK:4: v2.json is locked twice".to_owned(),
        ),
        (&[one], no_prefix, format!("LOCK:1: {LINE}\nv1.json: {UNLOCKED}")),
        (&[one], upper, format!("LOCK:1: {LINE}\nv1.json: {UNLOCKED}")),
        (&[one, two], &format!("\n{lock}"), format!("LOCK:1: {LINE}")),
        (
            &[("first.json", one.1)],
            &lock_of(&[("first.json", one.1)]),
            "first.json: has rate_table_v 1, so its name must be v1.json".to_owned(),
        ),
        (
            &[one, ("v02.json", two.1)],
            &lock_of(&[one, ("v02.json", two.1)]),
            "v02.json: has rate_table_v 2, so its name must be v2.json".to_owned(),
        ),
        (
            &[one, two_broken],
            &lock,
            "v2.json: pax_usd: must be a string, is a number: write it in double quotes".to_owned(),
        ),
        (
            &[one_changed, two_broken],
            &lock,
            format!("{CHANGED}\nv2.json: pax_usd: must be a string, is a number: write it in double quotes"),
        ),
        (&[one, (two.0, "[]")], &lock, "v2.json: must be an object, is a list".to_owned()),
        (&[], "", "the bundle has no card".to_owned()),
    ] {
        assert_eq!(mistakes(files, lock), expected);
    }
}

#[test]
fn a_gap_between_versions_is_named() {
    let third = third("2027-01-01T00:00:00Z");
    let gap = [first_two()[0], ("v3.json", &*third)];
    assert_eq!(mistakes(&gap, &lock_of(&gap)), "version 2 is missing: versions follow each other from 1");
}

#[path = "bundle/prices_test.rs"]
mod prices;
