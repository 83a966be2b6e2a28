//! Streams as they really come: events of any size, cut anywhere, with every line ending.

use crate::Case;
use crate::common::prices::reprice;
use crate::common::world::{MODEL, World};
use pax_standin::Behaviour;

pub const CASES: &[Case] = &[
    ("events of a few bytes, of kilobytes and of a megabyte pass but for the usage chunk", event_sizes),
    ("a stream in writes of one byte passes but for the usage chunk, with every line ending", single_bytes),
    ("a stream whose caller asked for usage passes whole", asked),
];

/// A chunk with so many bytes of text.
fn chunk(text_bytes: usize) -> String {
    let text = "häppchen\\n".repeat(text_bytes / 10 + 1);
    format!(
        r#"data: {{"id":"c1","choices":[{{"index":0,"delta":{{"content":"{text}"}}}}],"usage":null}}{{end}}"#
    )
}

const USAGE: &str = r#"data: {"id":"c1","choices":[],"usage":{"prompt_tokens":31,"completion_tokens":4001,"prompt_tokens_details":{"cached_tokens":7}}}{end}"#;
const DONE: &str = "data: [DONE]{end}";

fn request(options: &str) -> String {
    format!(
        r#"{{"model":"{MODEL}","stream":true,{options}"messages":[{{"role":"user","content":"Hello"}}]}}"#
    )
}

/// Plays a stream; the caller must see `expected` and the entry the usage. `{end}` in both is the end of an event.
fn check(
    world: &World,
    options: &str,
    stream: &str,
    expected: &str,
    end: &str,
    write_bytes: Option<Vec<usize>>,
) {
    let what = format!("line ends {end:?}, writes of {write_bytes:?}");
    let (stream, expected) = (stream.replace("{end}", end), expected.replace("{end}", end));
    world.behave(Behaviour {
        body: Some(stream),
        content_type: Some("text/event-stream".to_owned()),
        write_bytes,
        ..Behaviour::default()
    });
    let answer = world.chat(&request(options));
    assert!(answer.status == 200 && answer.complete, "{what}: {}", answer.status);
    assert!(
        answer.body == expected.as_bytes(),
        "{what}: {} bytes, not {}",
        answer.body.len(),
        expected.len()
    );
    let entry = world.entry(&answer.header("x-matrix-exchange-id"));
    assert_eq!((&entry["provenance"], &entry["ending"]), (&"reported".into(), &"complete".into()), "{what}");
    assert_eq!((&entry["tokens_input"], &entry["tokens_output"]), (&31.into(), &4001.into()), "{what}");
    assert_eq!((&entry["tokens_cached_input"], &entry["response_id"]), (&7.into(), &"c1".into()), "{what}");
    assert_eq!(entry["cost_pax"], reprice(&entry).as_str(), "{what}");
}

const ENDS: [&str; 3] = ["\n\n", "\r\n\r\n", "\r\r"];

fn event_sizes(world: &mut World) {
    for end in ENDS {
        for sizes in [&[1usize, 3_000, 9, 16_384, 5][..], &[1_000_000, 1], &[20, 1_000_000, 1_000_000, 20]] {
            let text: String = sizes.iter().map(|size| chunk(*size)).collect();
            let (stream, expected) = ([&text, USAGE, DONE].concat(), [&text, DONE].concat());
            for write_bytes in [None, Some(vec![65_536]), Some(vec![1, 9_973, 30])] {
                check(world, "", &stream, &expected, end, write_bytes);
            }
        }
    }
}

fn single_bytes(world: &mut World) {
    for end in ENDS {
        let line = if end == "\r\n\r\n" { "\r\n" } else { &end[..1] };
        let text = [chunk(1), format!(": ping{{end}}event: x{line}id: 7{line}"), chunk(900)].concat();
        let (stream, expected) = ([&text, USAGE, DONE].concat(), [&text, DONE].concat());
        check(world, "", &stream, &expected, end, Some(vec![1]));
        // Nothing after the usage chunk, and no blank line after it.
        let stream = [&text, USAGE.trim_end_matches("{end}")].concat();
        check(world, "", &stream, &text, end, Some(vec![1]));
    }
}

fn asked(world: &mut World) {
    let stream = [&chunk(500), USAGE, &chunk(2), DONE].concat();
    for end in ENDS {
        let options = r#""stream_options":{"include_usage":true},"#;
        check(world, options, &stream, &stream, end, Some(vec![1, 50]));
    }
}
