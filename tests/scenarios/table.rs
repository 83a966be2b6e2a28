//! A table of answers. Each row becomes a scenario, so that it is played natively, cut at every byte, and in a real Envoy:
//!
//! ```text
//! # What it shows
//! openai/1 chat stream                     the provider's usage_rules; chat or embeddings; json or stream
//!   {"choices":[{"delta":{}}]}             an event's data; in an answer that is json, a piece of it
//! - {"choices":[],"usage":{...}}           an event that the caller, who asked for no usage, does not see
//! = input=1 output=2 provenance=reported   what the entry says; or `nothing`
//! ```

/// The text of the scenarios of a table.
pub fn scenarios(table: &str) -> String {
    let rows: Vec<String> = table.split("\n===\n").map(scenario).collect();
    rows.join("\n===\n")
}

fn scenario(row: &str) -> String {
    let mut lines = row.lines();
    let name = lines.next().unwrap_or_default();
    let kind = lines.next().unwrap_or_default();
    let (rules, mode, answer) = match kind.split(' ').collect::<Vec<_>>()[..] {
        [rules, mode, answer] => (rules, mode, answer),
        _ => panic!("{name}: {kind:?} is not understood; see table.rs"),
    };
    let (path, body) = match (rules, mode) {
        ("openai/1", "chat") => {
            ("chat/completions", r#""accounts/fireworks/models/gpt-oss-20b","messages":[]"#)
        }
        ("additional/1", "chat") => ("chat/completions", r#""MiniMaxAI/MiniMax-M3.1-Flash","messages":[]"#),
        ("openai/1", "embeddings") => ("embeddings", r#""nomic-ai/nomic-embed-text-v1.5","input":"a""#),
        ("additional/1", "embeddings") => ("embeddings", r#""BAAI/bge-base-en-v1.5","input":"a""#),
        _ => panic!("{name}: no model is priced for {kind:?}"),
    };
    let (stream, content_type, piece) = match answer {
        "json" => ("", "application/json", "body"),
        "stream" => (r#""stream":true,"#, "text/event-stream", "event"),
        _ => panic!("{name}: an answer is json or stream, and not {answer:?}"),
    };
    let (mut pieces, mut taken, mut ledger) = (Vec::new(), None, None);
    for line in lines {
        match line.split_at_checked(2) {
            Some(("  ", text)) => pieces.push(text),
            Some(("- ", text)) => {
                pieces.push(text);
                assert!(taken.replace(pieces.len()).is_none(), "{name}: one event is taken out at most");
            }
            Some(("= ", text)) => {
                assert!(ledger.replace(text).is_none(), "{name}: one line of what is expected")
            }
            _ => panic!("{name}: {line:?} is not understood; see table.rs"),
        }
    }
    let pieces: String = pieces.iter().map(|text| format!("provider {piece} {text}\n")).collect();
    let seen = taken.map_or_else(|| "same".to_owned(), |number| format!("same but event {number}"));
    let ledger = ledger.unwrap_or_else(|| panic!("{name}: nothing is expected"));
    // Entries are counted by the newest set of the rules that the configuration names.
    let newest = rules.replace("/1", "/2");
    let counted = if ledger.contains("provenance=reported") { newest.as_str() } else { "null" };
    let ledger = match ledger {
        "nothing" => ledger.to_owned(),
        said if said.contains("usage_rules=") => said.to_owned(),
        said => format!("{said} usage_rules={counted}"),
    };
    format!(
        "{name}\nclock 2026-11-23T00:00:00Z\nclient POST /v1/{path}\nclient as mtx-demo-credit\n\
         client body {{{stream}\"model\":{body}}}\nprovider 200 {content_type}\n{pieces}---\n\
         provider POST /v1/{path}\nclient 200\nclient body {seen}\nledger {ledger}"
    )
}
