use super::*;

#[test]
fn cards_are_known_by_their_names_and_a_name_that_is_nearly_right_is_one_too() {
    for (name, is_one, version) in [
        ("v1.json", true, Some(1)),
        ("v4294967295.json", true, Some(u32::MAX)),
        ("v4294967296.json", true, None),
        ("v02.json", true, None),
        ("v+2.json", true, None),
        ("v2-draft.json", true, None),
        ("v.json", true, None),
        ("V2.json", false, None),
        ("v2.json.new", false, None),
        (".v2.json.new", false, None),
        ("schema.json", false, None),
        (LOCK, false, None),
    ] {
        assert_eq!((is_card(name), version_of(name)), (is_one, version), "{name}");
        assert!(version.is_none_or(|version| name_of(version) == name), "{name}");
    }
}
