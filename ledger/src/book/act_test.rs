use super::*;

fn act(key: &str, by: &str, reason: Option<&str>) -> Result<Act, String> {
    Act::new(key.to_owned(), by.to_owned(), reason.map(str::to_owned), Moment::from_ms(0))
}

#[test]
fn an_act_has_a_key_a_name_and_perhaps_a_reason_and_what_is_wrong_with_them_is_said() {
    for key in ["k", "2026-07 grants", "~!\"{}", &"x".repeat(128)] {
        assert_eq!(act(key, "kim", None).unwrap().key(), key);
    }
    for key in ["", " ", " k", "k ", "k\n", "k\u{7f}", "\u{e9}", &"x".repeat(129)] {
        assert!(act(key, "kim", None).unwrap_err().starts_with("key must"), "{key:?}");
    }
    for by in ["", " ", "a\tb", &"x".repeat(129)] {
        assert!(act("k", by, None).unwrap_err().starts_with("by must"), "{by:?}");
    }
    for reason in ["", "\u{1b}[2J", &"x".repeat(1_025)] {
        assert!(act("k", "kim", Some(reason)).unwrap_err().starts_with("reason must"), "{reason:?}");
    }
    let whole = act("k", "Zo\u{eb}", Some(&"x".repeat(1_024))).unwrap();
    assert_eq!((whole.by(), whole.reason().map(str::len)), ("Zo\u{eb}", Some(1_024)));
}

#[test]
fn a_request_is_its_action_its_arguments_and_its_reason() {
    // printf 'pax-operator-request/1\n{"action":"a","arguments":{"b":2,"c":1},"reason":null}' | sha256sum
    let arguments = json!({"c": 1, "b": 2});
    let plain = request_sha256("a", &arguments, None);
    assert_eq!(plain.to_string(), "36df0dcdbb287cdc8b60f41fb8a0d61b5b666963965743be8f63965d770aff04");
    for other in [
        request_sha256("b", &arguments, None),
        request_sha256("a", &json!({"c": 1, "b": 3}), None),
        request_sha256("a", &arguments, Some("why")),
    ] {
        assert_ne!(other, plain);
    }
}

#[test]
fn a_subject_is_read_as_it_was_written() {
    for about in [About::Account("a:b"), About::Token("tok_1"), About::Event("cards")] {
        assert_eq!(About::of(&about.subject()), about);
    }
}
