use pax_gateway::base::account::Tier;

use super::*;
use crate::book::tests::debits;

fn at() -> Moment {
    "2026-11-28T01:02:03.004Z".parse().unwrap()
}

fn pax(text: &str) -> Pax {
    text.parse().unwrap()
}

/// One of each kind, and of each form that a kind can have.
fn all() -> Vec<Made> {
    let gift = Grant::new("gift-1", "zoe", pax("5"), GrantClass::Goodwill, at());
    let mut bought = Grant::new("order 7", "zoe", pax("1000000"), GrantClass::Purchase, at());
    bought.expires_at = Some("2027-11-28T00:00:00.000Z".parse().unwrap());
    bought.paid = Some("12.50EUR".parse().unwrap());
    bought.reference = Some("invoice \"7\"".to_owned());
    (bought.by, bought.reason) = ("ann".to_owned(), "paid\nby card".to_owned());
    let debit = debits::reported(1, "zoe", Tier::Credit);
    let mut cheaper = Correction::of_debit("fix-1", &debit, (debit.cost_pax, pax("0.000001")), at());
    cheaper.repriced_under = Some(debit.card_sha256);
    let mut better = Correction::of_debit("better-1", &debit, (pax("1"), debit.cost_pax), at());
    better.better = Some(String::from_utf8(debit.to_canonical()).unwrap());
    vec![
        Made::Expiry(Expiry::new("zoe", "order 7", 9, pax("2"), (at(), at()))),
        Made::Correction(Box::new(Correction::of_grant("less", &gift, (pax("5"), pax("3")), at()))),
        Made::Correction(Box::new(cheaper)),
        Made::Correction(Box::new(better)),
        Made::Grant(gift),
        Made::Grant(bought),
        Made::Payout(Payout::new("zoe", "close-1", 12, pax("2.5"), at())),
    ]
}

#[test]
fn the_canonical_bytes_are_those_of_the_golden_file_and_are_read_again() {
    let lines: Vec<String> = all().iter().map(|made| String::from_utf8(made.canonical()).unwrap()).collect();
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/made_entries.json");
    let expected = std::fs::read_to_string(golden).unwrap_or_default();
    assert_eq!(lines.join("\n") + "\n", expected, "published forms never change");
    for (made, line) in all().iter().zip(&lines) {
        assert_eq!(Made::read(line.as_bytes()).as_ref(), Ok(made));
    }
}

#[test]
fn bytes_that_this_program_did_not_write_are_refused() {
    let line = String::from_utf8(all()[4].canonical()).unwrap();
    for (from, to, why) in [
        ("{", "{ ", "not in canonical form"),
        ("\"canon_v\":1", "\"canon_v\":2", "version 2 of kind \"grant\" is unknown"),
        ("\"grant\"", "\"gift\"", "kind \"gift\" is unknown"),
        ("\"kind\"", "\"more\":1,\"kind\"", "unknown field `more`"),
        ("\"5.000000000000\"", "5", "invalid type"),
        (",\"by\":\"\"", "", "missing field `by`"),
    ] {
        let changed = line.replacen(from, to, 1);
        assert_ne!(changed, line);
        let refused = Made::read(changed.as_bytes()).unwrap_err();
        assert!(refused.contains(why), "{changed}: {refused}");
    }
    assert!(Made::read(&vec![b' '; 7 * CANON_MAX + 1]).unwrap_err().contains("bytes"));
}

#[test]
fn a_correction_moves_only_what_the_corrected_entry_moved() {
    for (tier, byo, cost, balance) in [
        (Tier::Credit, false, "-0.500000000000", "0.500000000000"),
        (Tier::Free, false, "-0.500000000000", "0.000000000000"),
        (Tier::Credit, true, "-0.500000000000", "0.000000000000"),
    ] {
        let debit = if byo { debits::byo(1, "a", tier) } else { debits::reported(1, "a", tier) };
        let correction = Correction::of_debit("k", &debit, (pax("2"), pax("1.5")), at());
        assert_eq!(
            (correction.cost().to_string(), correction.balance().to_string()),
            (cost.into(), balance.into())
        );
    }
    let gift = Grant::new("gift-1", "zoe", pax("5"), GrantClass::Goodwill, at());
    let less = Correction::of_grant("k", &gift, (pax("5"), pax("3")), at());
    assert_eq!((less.cost(), less.balance()), (Pax::ZERO, pax("-2")));
}

#[test]
fn a_price_is_a_decimal_number_and_a_currency() {
    for (text, amount, currency) in [("12.50EUR", "12.50", "EUR"), ("0USD", "0", "USD")] {
        let paid: Paid = text.parse().unwrap();
        assert_eq!((paid.amount.as_str(), paid.currency.as_str()), (amount, currency));
    }
    for text in [
        "",
        "EUR",
        "12.5",
        "12.5eur",
        "1e3EUR",
        "-1EUR",
        "1.EUR",
        ".5EUR",
        "1.1234567EUR",
        "1,5EUR",
        "1\u{20ac}",
    ] {
        assert!(text.parse::<Paid>().is_err(), "{text}");
    }
}

#[test]
fn a_grant_that_cannot_be_is_refused_in_words() {
    let grant = |amount: &str| Grant::new("k", "a", pax(amount), GrantClass::Goodwill, at());
    assert_eq!(grant("0.000000000001").refused(), None);
    assert_eq!(grant("1000000").refused(), None);
    assert!(grant("0").refused().unwrap().contains("correct the grant"));
    assert!(grant("-1").refused().unwrap().contains("more than 0"));
    assert!(grant("1000000.000000000001").refused().unwrap().contains("make several"));
    let ends = |expires_at| {
        let mut grant = grant("1");
        grant.expires_at = Some(expires_at);
        grant
    };
    assert!(ends(at()).refused().unwrap().contains("ended already"));
    assert_eq!(ends(at().plus_ms(1)).refused(), None);
}
