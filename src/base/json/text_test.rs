#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::unwrap_used)]

use super::*;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// The text of a string, from the bytes after its opening quote; or the place of the first wrong byte.
fn decode(bytes: &[u8]) -> Result<String, usize> {
    let (mut text, mut said) = (Text::Plain, Vec::new());
    for (at, &byte) in bytes.iter().enumerate() {
        match text.step(byte, &mut |bytes| said.extend(bytes)) {
            Ok(Some(next)) => text = next,
            Ok(None) if at + 1 == bytes.len() => return Ok(String::from_utf8(said).unwrap()),
            Ok(None) | Err(_) => return Err(at),
        }
    }
    Err(bytes.len())
}

#[test]
fn only_utf_8_stands_in_a_string() {
    // The first and the last character of each length, and the bytes just outside of them (Unicode, table
    // 3-7).
    for (bytes, wrong_at) in [
        (&b"\x7f"[..], None),
        (b"\xc2\x80\xdf\xbf", None),
        (b"\xe0\xa0\x80\xe1\x80\x80\xec\xbf\xbf\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf", None),
        (b"\xf0\x90\x80\x80\xf1\x80\x80\x80\xf3\xbf\xbf\xbf\xf4\x8f\xbf\xbf", None),
        (b"\x80", Some(0)),
        (b"\xbf", Some(0)),
        (b"\xc1\xbf", Some(0)),
        (b"\xc2\x7f", Some(1)),
        (b"\xc2\xc0", Some(1)),
        (b"\xe0\x9f\xbf", Some(1)),
        (b"\xed\xa0\x80", Some(1)),
        (b"\xe1\x80", Some(2)),
        (b"\xe1\x80\xc0", Some(2)),
        (b"\xf0\x8f\xbf\xbf", Some(1)),
        (b"\xf4\x90\x80\x80", Some(1)),
        (b"\xf1\x80\x80", Some(3)),
        (b"\xf1\x80\x80\x7f", Some(3)),
        (b"\xf5\x80\x80\x80", Some(0)),
        (b"\xff", Some(0)),
    ] {
        let said = decode(&[bytes, b"\""].concat());
        let expected = wrong_at.map_or_else(|| Ok(str::from_utf8(bytes).unwrap().to_owned()), Err);
        assert_eq!(said, expected, "{}", bytes.escape_ascii());
        assert_eq!(str::from_utf8(bytes).is_ok(), wrong_at.is_none(), "{}", bytes.escape_ascii());
    }
}

#[test]
fn each_escape_says_its_character() {
    for (string, said) in [
        (r#"\"\\\/""#, "\"\\/"),
        (r#"\b\f\n\r\t""#, "\u{8}\u{c}\n\r\t"),
        (r#"\u0041\u00e9\u00E9\u0000""#, "A\u{e9}\u{e9}\0"),
        (r#"\ud83d\ude00""#, "\u{1f600}"),
        (r#"\uD800\uDC00\udbff\udfff""#, "\u{10000}\u{10ffff}"),
    ] {
        assert_eq!(decode(string.as_bytes()), Ok(said.to_owned()));
    }
}

#[test]
fn half_a_surrogate_pair_is_a_replacement_and_what_follows_is_read() {
    for (string, said) in [
        (r#"\ud83d""#, "\u{fffd}"),
        (r#"\ude00""#, "\u{fffd}"),
        (r#"\ud83dx""#, "\u{fffd}x"),
        (r#"\ud83dé""#, "\u{fffd}é"),
        (r#"\ud83d\n""#, "\u{fffd}\n"),
        (r#"\ud83d\\u0041""#, "\u{fffd}\\u0041"),
        (r#"\ud83d\u0041""#, "\u{fffd}A"),
        (r#"\ud83d\ud83d\ude00""#, "\u{fffd}\u{1f600}"),
        (r#"\ud83d\ud83d""#, "\u{fffd}\u{fffd}"),
        (r#"\ude00\ud83d""#, "\u{fffd}\u{fffd}"),
    ] {
        assert_eq!(decode(string.as_bytes()), Ok(said.to_owned()), "{string}");
    }
}

proptest! {
    #[test]
    fn any_bytes_say_what_they_say_to_serde_json(
        bytes in vec(prop_oneof![9 => select(br#"\\u0dD8cC"bn/"#.to_vec()), 1 => any::<u8>()], 0..10),
    ) {
        let string = [&bytes, &b"\""[..]].concat();
        let quoted = [b"\"", &string[..]].concat();
        match (decode(&string), serde_json::from_slice::<String>(&quoted)) {
            // Half a surrogate pair becomes U+FFFD here. serde_json refuses it only if it decodes the string.
            (Ok(said), Err(_)) => {
                let replaced = said.contains('\u{fffd}');
                prop_assert!(replaced);
                prop_assert!(serde_json::from_slice::<serde::de::IgnoredAny>(&quoted).is_ok());
            }
            (ours, theirs) => prop_assert_eq!(ours.ok(), theirs.ok()),
        }
    }

    #[test]
    fn escaped_code_units_are_utf_16_with_replacements(
        units in vec(prop_oneof![any::<u16>(), 0xd7f0..0xe010u16, 0xdbfe..0xdc02u16], 1..8),
    ) {
        let escaped: String = units.iter().map(|unit| format!("\\u{unit:04x}")).collect();
        prop_assert_eq!(decode(format!("{escaped}\"").as_bytes()), Ok(String::from_utf16_lossy(&units)));
    }

    #[test]
    fn a_plain_run_ends_at_the_first_byte_that_is_not_plain(
        mut bytes in vec(0x20..0x80u8, 0..40),
        special in vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
    ) {
        for (place, byte) in special {
            if !bytes.is_empty() {
                let at = place.index(bytes.len());
                bytes[at] = byte;
            }
        }
        let special = |byte: &u8| !(0x20..0x80).contains(byte) || matches!(byte, b'"' | b'\\');
        prop_assert_eq!(plain_run(&bytes), bytes.iter().position(special).unwrap_or(bytes.len()));
    }
}
