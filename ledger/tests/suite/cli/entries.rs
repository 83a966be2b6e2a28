//! Entries, as JSON lines and as CSV.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use super::{fill, said};
use crate::common::debits::{byo, estimated, exchange, reported};
use crate::common::{Folder, program, run, stderr, stdout};
use pax_gateway::base::account::Tier;
use serde_json::Value;

#[test]
fn entries_are_json_lines_with_amounts_as_texts_and_the_usage_as_received() {
    let folder = Folder::new();
    let debits =
        [reported(1, "free", Tier::Free), estimated(2, "free", Tier::Free), byo(3, "credit", Tier::Credit)];
    fill(&folder, &debits);
    let listed = stdout(&run(&folder.database(), &["entries"]));
    let lines: Vec<Value> = listed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 3);
    for (line, debit) in lines.iter().zip(&debits) {
        let mut fields = line.as_object().unwrap().clone();
        for own in ["account_seq", "prev_hash", "entry_hash", "recorded_at", "hash_v", "posting"] {
            assert!(fields.remove(own).is_some(), "{own}");
        }
        // Everything but the usage is what the debit says.
        let mut expected: Value = serde_json::from_slice(&debit.to_canonical()).unwrap();
        expected["usage"] = fields["usage"].clone();
        assert_eq!(Value::Object(fields), expected);
    }
    assert_eq!(lines[1]["usage"], Value::Null);
    assert!(listed.contains(r#""usage":{"prompt_tokens":1001,"completion_tokens":21},"#), "{listed}");
    let cost = format!(r#""cost_pax":"{}""#, debits[0].cost_pax);
    assert!(listed.contains(&cost) && debits[0].cost_pax.to_string().len() == 14, "{listed}");
    let of = |arguments: &[&str]| stdout(&run(&folder.database(), arguments)).lines().count();
    assert_eq!(of(&["entries", "--account", "free"]), 2);
    assert_eq!(of(&["entries", "--exchange", &exchange(3).to_string()]), 1);
    assert_eq!(of(&["entries", "--since", "2026-11-24"]), 0);
    assert_eq!(of(&["entries", "--until", "2026-11-23"]), 3);
    let grant =
        ["grant", "credit", "5", "--class", "goodwill", "--key", "g", "--by", "ops", "--reason", "test"];
    assert_eq!(said(&folder.database(), &grant).0, Some(0));
    for (kind, count) in [("debit", 3), ("grant", 1), ("correction", 0), ("expiry", 0)] {
        assert_eq!(of(&["entries", "--kind", kind]), count, "{kind}");
    }
    assert_eq!(said(&folder.database(), &["entries", "--kind", "hold"]).0, Some(2));
    assert_eq!(said(&folder.database(), &["entries", "--account", "nobody"]).0, Some(1));
    assert_eq!(said(&folder.database(), &["entries", "--exchange", "17"]).0, Some(2));
    assert_eq!(said(&folder.database(), &["entries", "--since", "yesterday"]).0, Some(2));
}

#[test]
fn a_reader_that_leaves_early_is_no_error() {
    let folder = Folder::new();
    let debits: Vec<_> = (0..900).map(|n| reported(n, "free", Tier::Free)).collect();
    fill(&folder, &debits);
    let mut child = program(&folder.database())
        .arg("entries")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = String::new();
    let mut reader = BufReader::new(child.stdout.take().unwrap());
    reader.read_line(&mut first).unwrap();
    drop(reader);
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""));
    assert!(first.starts_with("{\"canon_v\":2,"), "{first}");
}

#[test]
fn entries_are_csv_that_no_spreadsheet_takes_for_formulas_limited_and_in_either_order() {
    let folder = Folder::new();
    let db = folder.database();
    let mut debits: Vec<_> = (0..700).map(|n| reported(n, "free", Tier::Free)).collect();
    debits[3].slot = "=HYPERLINK(\"x\",1)".to_owned();
    debits[4].model = "a,b\n\"c\"".to_owned();
    fill(&folder, &debits);
    let csv = said(&db, &["entries", "--csv"]).1;
    let mut reader = csv::ReaderBuilder::new().from_reader(csv.as_bytes());
    let head: Vec<String> = reader.headers().unwrap().iter().map(str::to_owned).collect();
    assert_eq!(head, *pax_ledger::listing::OPERATOR_COLUMNS);
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 700);
    let cell =
        |row: usize, name: &str| rows[row].get(head.iter().position(|it| it == name).unwrap()).unwrap();
    assert_eq!(cell(3, "slot"), "'=HYPERLINK(\"x\",1)");
    assert_eq!(cell(4, "model"), debits[4].model);
    assert_eq!((cell(699, "account"), cell(699, "account_seq")), ("free", "700"));
    assert_eq!(cell(699, "cost_pax"), debits[699].cost_pax.to_string());
    let json: Value = serde_json::from_str(said(&db, &["entries"]).1.lines().last().unwrap()).unwrap();
    assert_eq!(
        (cell(699, "entry_hash"), cell(699, "recorded_at")),
        (json["entry_hash"].as_str().unwrap(), json["recorded_at"].as_str().unwrap())
    );

    let exchanges = |more: &[&str]| -> Vec<String> {
        let out = said(&db, &[&["entries"], more].concat()).1;
        let lines = out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.map(|line| line["exchange_id"].as_str().unwrap().to_owned()).collect()
    };
    let of = |range: std::ops::Range<u64>| range.map(|n| exchange(n).to_string()).collect::<Vec<_>>();
    assert_eq!(exchanges(&["--limit", "3"]), of(0..3));
    assert_eq!(exchanges(&["--limit", "501"]), of(0..501));
    assert_eq!(exchanges(&["--limit", "9000"]).len(), 700);
    let newest: Vec<String> = of(0..700).into_iter().rev().collect();
    assert_eq!(exchanges(&["--order", "desc"]), newest);
    assert_eq!(exchanges(&["--order", "desc", "--account", "free", "--limit", "600"]), newest[..600]);
    let span = ["--from", "2026-11-23T00:00:00.010Z", "--to", "2026-11-23T00:00:00.012Z"];
    assert_eq!(exchanges(&span), of(10..12));
    assert_eq!(said(&db, &["entries", "--limit", "0"]).0, Some(2));
    assert_eq!(said(&db, &["entries", "--csv", "--json"]).0, Some(2));
}
