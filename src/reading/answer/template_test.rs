#![allow(clippy::unwrap_used, clippy::arithmetic_side_effects)]

use super::*;

const EVENT: &[u8] =
    b"data: {\"object\":\"chunk\",\"choices\":[{\"delta\":{\"content\":\" so\"}}],\"p\":\"xx\"}\n\n";

/// A template that has learned [`EVENT`]: its content counts, and its padding does not.
fn learned() -> Template {
    let mut skeleton = Template::default();
    let holes = [("chunk", Field::NoText), (" so", Field::Said), ("xx", Field::NoText)];
    skeleton.learn(EVENT, &holes.map(|(text, field)| hole(text, field)));
    skeleton
}

fn hole(text: &str, field: Field) -> Hole {
    let quoted = format!("\"{text}\"");
    let document = EVENT.get(6..).unwrap();
    let from = document.windows(quoted.len()).position(|it| it == quoted.as_bytes()).unwrap() + 1;
    Hole { from, to: from + text.len(), field }
}

/// The event with another content and padding, and the beginning of one after it.
fn event(content: &str, padding: &str) -> Vec<u8> {
    let event = String::from_utf8(EVENT.to_vec()).unwrap();
    let event = event.replace(" so", content).replace("xx", padding);
    format!("{event}data: {{").into_bytes()
}

#[test]
fn an_event_with_other_text_fits_and_its_text_is_counted_as_it_reads() {
    let mut skeleton = learned();
    for (content, padding, ascii, other) in [
        (" so", "xx", 3, 0),
        ("", "", 0, 0),
        ("a word and another, and so on", "0123456789", 29, 0),
        ("ä€😀", "ä", 0, 9),
        (r"\n\u00e4\ud83d\ude00\\", r"\n", 2, 6),
        (r"\ud83d", "", 0, 3),
        (r#"a \"quoted\" word"#, "", 15, 0),
    ] {
        let bytes = event(content, padding);
        let length = bytes.len() - "data: {".len();
        assert_eq!(
            skeleton.fits(&bytes),
            Some(Fit { length, text: TextBytes { ascii, other } }),
            "{content}"
        );
    }
}

#[test]
fn what_differs_in_anything_else_or_is_not_whole_does_not_fit() {
    let mut skeleton = learned();
    let whole = event(" so", "xx");
    for end in 0..EVENT.len() {
        assert_eq!(skeleton.fits(whole.get(..end).unwrap()), None, "{end} bytes of it");
        let mut changed = whole.clone();
        let place = changed.get_mut(end).unwrap();
        let before = std::mem::replace(place, b'"');
        if before != b'"' {
            assert_eq!(skeleton.fits(&changed), None, "a quote at {end}");
        }
    }
    for content in ["\u{1}", "\n", r"\x", r"\u12", r#"","tool":""#] {
        assert_eq!(skeleton.fits(&event(content, "")), None, "{content}");
    }
    skeleton.forget();
    assert_eq!(skeleton.fits(&whole), None);
}

#[test]
fn only_an_event_of_one_line_and_few_strings_is_learned() {
    let learned = |event: &[u8], holes: &[Hole]| {
        let mut skeleton = Template::default();
        skeleton.learn(event, holes);
        skeleton.fits(event).is_some()
    };
    assert!(learned(EVENT, &[]) && learned(b"data:{}\n\n", &[]));
    for event in
        ["data: {}\n", "data: {}\n\r\n", "data: {}\r\n\n", "data: {\ndata:}\n\n", ": x\ndata: {}\n\n"]
    {
        assert!(!learned(event.as_bytes(), &[]), "{event:?}");
    }
    assert!(!learned(EVENT, &[Hole::default(); HOLES_MAX + 1]));
    assert!(!learned(EVENT, &[Hole { from: 9, to: 9_999, field: Field::Said }]));
    let long = format!("data: {}\n\n", "1".repeat(FIXED_MAX));
    assert!(!learned(long.as_bytes(), &[]));
}

#[test]
fn a_stream_whose_events_never_fit_is_given_up() {
    let mut skeleton = Template::default();
    for _ in 0..MISSES_MAX {
        skeleton.learn(EVENT, &[]);
    }
    assert!(skeleton.fits(EVENT).is_some(), "that is no miss");
    for _ in 0..=MISSES_MAX {
        skeleton.learn(EVENT, &[]);
    }
    assert_eq!(skeleton.fits(EVENT), None);
}
