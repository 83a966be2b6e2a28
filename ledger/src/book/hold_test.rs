use super::*;

fn pax(text: &str) -> Pax {
    text.parse().unwrap()
}

/// An account with 10 PAX, of which 4 are held; it has spent 1 today, and 2 of that day are held.
fn room() -> Room {
    Room {
        is_active: true,
        is_token_good: true,
        balance: pax("10").into(),
        held: pax("4"),
        spent: pax("1").into(),
        day_held: pax("2"),
        daily_cap: None,
    }
}

#[test]
fn the_first_thing_in_the_way_of_a_hold_is_answered() {
    let blocked = Room { is_active: false, is_token_good: false, balance: Sum::ZERO, ..room() };
    for (room, tier, hold, expected) in [
        (room(), Tier::Credit, "6", HoldOutcome::Held),
        (room(), Tier::Credit, "6.000000000001", HoldOutcome::InsufficientCredit),
        (room(), Tier::Credit, "9000000", HoldOutcome::InsufficientCredit),
        (room(), Tier::Free, "2", HoldOutcome::Held),
        (room(), Tier::Free, "2.000000000001", HoldOutcome::DailyCapExceeded),
        (Room { daily_cap: Some(pax("4")), ..room() }, Tier::Free, "1.1", HoldOutcome::DailyCapExceeded),
        (Room { daily_cap: Some(pax("9")), ..room() }, Tier::Free, "6", HoldOutcome::Held),
        (
            Room { daily_cap: Some(Pax::ZERO), spent: Sum::ZERO, day_held: Pax::ZERO, ..room() },
            Tier::Free,
            "0",
            { HoldOutcome::DailyCapExceeded },
        ),
        (blocked, Tier::Credit, "1", HoldOutcome::AccountDisabled),
        (Room { is_active: true, ..blocked }, Tier::Credit, "1", HoldOutcome::UnknownToken),
        (Room { is_active: true, is_token_good: true, ..blocked }, Tier::Credit, "1", {
            HoldOutcome::InsufficientCredit
        }),
        // A balance below zero lends nothing, not even nothing.
        (Room { balance: Sum::ZERO.minus(pax("1")), held: Pax::ZERO, ..room() }, Tier::Credit, "0", {
            HoldOutcome::InsufficientCredit
        }),
    ] {
        assert_eq!(room.decide(tier, pax(hold), Some(pax("5"))).outcome, expected, "{hold} of {room:?}");
    }
}

#[test]
fn the_answer_has_the_figures_from_which_the_decision_was_made() {
    let held = room().decide(Tier::Credit, pax("3"), None);
    assert_eq!((held.balance_pax, held.held_pax, held.limit_pax), (pax("10"), pax("7"), None));
    let refused = room().decide(Tier::Credit, pax("7"), None);
    assert_eq!((refused.balance_pax, refused.held_pax), (pax("10"), pax("4")));
    let of_the_day = room().decide(Tier::Free, pax("1"), Some(pax("5")));
    assert_eq!((of_the_day.spent_pax, of_the_day.held_pax), (pax("1"), pax("3")));
    assert_eq!(of_the_day.limit_pax, Some(pax("5")));
}

#[test]
fn sixteen_hex_digits_in_lowercase_name_an_envoy() {
    assert!(is_envoy("0123456789abcdef"));
    for wrong in ["", "0123456789abcde", "0123456789abcdef0", "0123456789ABCDEF", "0123456789abcdeg"] {
        assert!(!is_envoy(wrong), "{wrong}");
    }
}
