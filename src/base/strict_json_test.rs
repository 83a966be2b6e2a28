#![allow(clippy::unwrap_used)]

use super::*;

/// The members of the document at `doc`, and the mistakes so far.
fn fields(text: &str) -> (Fields, Mistakes) {
    let mut mistakes = Mistakes::default();
    let fields = Fields::of(parse(text).unwrap(), "doc", &mut mistakes);
    (fields, mistakes)
}

#[test]
fn members_are_taken_once_and_what_is_left_is_named() {
    let (mut doc, mut mistakes) =
        fields(r#"{"a": "x", "n": 3, "extra": 1, "more": 2, "last": 3, "b": {"deep": true}}"#);
    assert_eq!(doc.text("a", &mut mistakes).as_deref(), Some("x"));
    assert_eq!(doc.whole("n", 1..=3, &mut mistakes), Some(3));
    assert_eq!(doc.optional_text("c", &mut mistakes), None);
    assert_eq!(doc.whole_or("d", 7, 1..=9, &mut mistakes), Some(7));
    let mut deeper = doc.object("b", &mut mistakes).unwrap();
    assert_eq!(deeper.optional("deep"), Some(Node::Bool(true)));
    deeper.finish(&mut mistakes);
    doc.finish(&mut mistakes);
    let known = "is unknown here; known are: a, n, c, d, b";
    assert_eq!(
        mistakes.to_string(),
        format!("doc.extra: {known}\ndoc.more: {known}\ndoc.last: {known}"),
        "in the order of the file"
    );
}

#[test]
fn the_rest_keeps_the_order_of_the_file() {
    let (doc, _) = fields(r#"{"z": 1, "a": null, "": []}"#);
    let rest: Vec<_> = doc.rest().collect();
    let expected =
        [("z", "doc.z", Node::Whole(1)), ("a", "doc.a", Node::Null), ("", "doc.\"\"", Node::List(vec![]))];
    assert_eq!(rest, expected.map(|(key, path, node)| (key.to_owned(), path.to_owned(), node)));
}

#[test]
fn of_what_stands_twice_the_first_is_read_and_the_others_are_a_mistake() {
    let (mut doc, mut mistakes) = fields(r#"{"a": "first", "\u0061": "second", "a": 3}"#);
    assert_eq!(doc.text("a", &mut mistakes).as_deref(), Some("first"));
    doc.finish(&mut mistakes);
    assert_eq!(mistakes.to_string(), "doc.a: stands twice: keep one\ndoc.a: stands twice: keep one");
}

#[test]
fn of_what_is_no_object_nothing_is_missing() {
    for (text, what) in [("null", "null"), ("true", "a boolean"), ("1", "a number"), ("-1.5", "a number")] {
        let (mut doc, mut mistakes) = fields(text);
        assert_eq!(doc.text("a", &mut mistakes), None);
        doc.finish(&mut mistakes);
        assert_eq!(mistakes.to_string(), format!("doc: must be an object, is {what}"));
    }
    let (mut doc, mut mistakes) = fields("{}");
    assert_eq!(doc.text("a", &mut mistakes), None);
    assert_eq!(mistakes.to_string(), "doc.a: is missing");
}

#[test]
fn only_plain_digits_are_a_whole_number() {
    let digits = "must be a whole number from 0 to 18446744073709551615, written in digits only";
    for (text, expected) in [
        ("0", Ok(0)),
        ("18446744073709551615", Ok(u64::MAX)),
        ("18446744073709551616", Err(digits)),
        ("-1", Err(digits)),
        ("1.0", Err(digits)),
        ("1e2", Err(digits)),
        ("\"1\"", Err("must be a whole number, is a string")),
        ("[1]", Err("must be a whole number, is a list")),
        ("{}", Err("must be a whole number, is an object")),
    ] {
        let mut mistakes = Mistakes::default();
        let read = whole(parse(text).unwrap(), "", 0..=u64::MAX, &mut mistakes);
        assert_eq!(read.ok_or(mistakes.to_string()), expected.map_err(str::to_owned), "{text}");
    }
}

#[test]
fn a_document_is_one_json_value() {
    for text in ["", "{} {}", "{'a': 1}", "[1,]", "// no\n1", "NaN", "1e999"] {
        let mistakes = parse(text).unwrap_err();
        assert!(mistakes.to_string().starts_with("is not JSON: "), "{mistakes}");
        assert!(mistakes.to_string().contains(" at line "), "{mistakes}");
    }
}

#[test]
fn a_value_counts_only_without_a_mistake() {
    assert_eq!(Mistakes::default().or(Some(1)), Ok(1));
    let mut mistakes = Mistakes::default();
    mistakes.add("a.b", "is wrong");
    mistakes.add("", "is empty");
    assert_eq!(mistakes.clone().or(Some(1)), Err(mistakes.clone()));
    assert_eq!(mistakes.to_string(), "a.b: is wrong\nis empty");
}
