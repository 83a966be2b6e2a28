//! `check --entries`: a warning if models write far faster than the card says.

mod common;

use std::sync::atomic::{AtomicU32, Ordering};

use common::{Temp, tests};

const LINE: &str = r#"{"canon_v":2,"kind":"debit","provenance":"reported","model":"gpt","tokens_output":1000,"duration_ms":10000}"#;

/// Entries: each list of changes makes one line.
fn entries(lines: &[&[(&str, &str)]]) -> String {
    let line = |changes: &&[(&str, &str)]| {
        let mut line = LINE.to_owned();
        for (from, to) in *changes {
            assert!(line.contains(from), "{from}");
            line = line.replace(from, to);
        }
        line + "\n"
    };
    lines.iter().map(line).collect()
}

fn check(entries: &str, card: Option<(&str, &str)>) -> (bool, String) {
    static FOLDERS: AtomicU32 = AtomicU32::new(0);
    let name = format!("speed-{}", FOLDERS.fetch_add(1, Ordering::Relaxed));
    let cards = Temp::of_cards(&name, &tests("cards"));
    if let Some((from, to)) = card {
        cards.write("v2.json", &cards.text("v2.json").replacen(from, to, 1));
    }
    cards.write("entries.jsonl", entries);
    let file = cards.0.join("entries.jsonl");
    let (ok, said) = cards.run(&["check", "--strict", "--entries", file.to_str().unwrap()]);
    let told: Vec<&str> = said.lines().filter(|line| !line.contains("is a draft")).collect();
    (ok, told.join("\n"))
}

const WARNED: &str = "warning: v2.json:13: models.gpt.unseen_tokens_per_s: is 40, under half of the";

#[test]
fn a_model_that_writes_more_than_twice_as_fast_is_named_with_the_figures() {
    // 100, 90 and 500 tokens a second.
    let three = entries(&[&[], &[("1000,", "900,")], &[("10000}", "2000}")]]);
    let (ok, said) = check(&three, None);
    let expected = format!(
        "{WARNED} 100 tokens a second (median) of 3 reported calls: the next card should say about 100\n\
         2 cards: 0 mistakes, 1 warning"
    );
    assert_eq!((ok, said), (false, expected));
    let two = entries(&[&[("1000,", "1200,")], &[("10000}", "5000}")]]);
    let (_, said) = check(&two, None);
    assert!(said.contains("the 160 tokens a second (median) of 2 reported calls"), "{said}");
    let (_, said) = check(LINE, None);
    assert!(said.contains("the 100 tokens a second (median) of 1 reported call:"), "{said}");
}

#[test]
fn what_says_nothing_of_the_speed_is_left_aside() {
    for changes in [
        &[(r#""canon_v":2"#, r#""canon_v":1"#)],
        &[("debit", "grant")],
        &[("reported", "estimated")],
        &[(r#""gpt""#, r#""nobodys""#)],
        &[(":10000}", ":null}")],
        &[(":10000}", ":0}")],
        // 80 tokens a second: twice what the card says, not more.
        &[("1000,", "800,")],
        &[("1000,", "0,")],
    ] {
        let (ok, said) = check(&entries(&[changes]), None);
        assert!(ok && said == "2 cards: 0 mistakes, 0 warnings", "{changes:?}: {said}");
    }
    let old = r#"{"canon_v":1,"kind":"debit","provenance":"reported","model":"gpt","tokens_output":1000,"usage":{"a":[1]}}"#;
    assert!(check(old, None).0, "entries of before do not say how long a call took");
}

#[test]
fn the_cards_own_rate_is_what_is_compared() {
    let says =
        |rate: &str| check(LINE, Some(("65536,", &format!("65536, \"unseen_tokens_per_s\": {rate},"))));
    assert!(says("50").0 && !says("49").0);
    assert!(says("0").0, "switched off is meant so");
}

#[test]
fn a_file_that_is_no_list_of_entries_is_refused_with_its_line() {
    let (ok, said) = check(&format!("{LINE}\nexchange,model\n"), None);
    assert!(!ok && said.contains("line 2 of the entries is none"), "{said}");
    assert!(said.contains("pass what `pax-ledger entries` prints"), "{said}");
}
