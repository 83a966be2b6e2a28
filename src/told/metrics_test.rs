#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::*;
use crate::told::meter::Meter;
use std::collections::{BTreeMap, BTreeSet};

const TEMPLATE: &str = include_str!("../../envoy/envoy.yaml");
const PAGE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md"));

/// What Envoy's tags make of a packed name, worked out here as the regexes mean it: the name, and each
/// label's value.
fn unpacked(packed: &str) -> (String, BTreeMap<&'static str, String>) {
    let (mut name, mut values) = (packed.to_owned(), BTreeMap::new());
    for label in Label::ALL {
        let begins = format!(";{}=", label.name());
        let Some((_, rest)) = packed.split_once(&begins) else { continue };
        let value = rest.split(';').next().unwrap();
        name = name.replace(&format!("{begins}{value}"), "");
        values.insert(label.name(), value.to_owned());
    }
    (name, values)
}

fn unescaped(value: &str) -> String {
    let mut pieces = value.split('%');
    let mut bytes = pieces.next().unwrap().as_bytes().to_vec();
    for piece in pieces {
        let (digits, rest) = piece.split_at_checked(2).unwrap();
        bytes.push(u8::from_str_radix(digits, 16).unwrap());
        bytes.extend(rest.bytes());
    }
    String::from_utf8(bytes).unwrap()
}

#[test]
fn a_name_of_any_characters_is_one_labels_value_and_nothing_else() {
    let mut meter = Meter::new();
    let names = [
        "plain/model-1.5:free",
        "a;slot=free",
        "a;tier=free;outcome=answered",
        "=",
        ";",
        "%3B",
        "a\"b\\c",
        "zwölf 12",
        "a\nb",
        "...",
    ];
    for text in names {
        let name = meter.name(text);
        let free = Value::Word("free");
        let values = [Value::Word("chat"), name, name, name, free, Value::None, Value::Other];
        let packed = Series::new(Metric::Calls, values).name(meter.names());
        let (bare, labels) = unpacked(&packed);
        assert_eq!(bare, "pax_calls_total", "{packed}");
        let got: Vec<String> =
            Metric::Calls.about().labels.iter().map(|label| unescaped(&labels[label.name()])).collect();
        assert_eq!(got, ["chat", text, text, text, "free", "none", "other"], "{packed}");
        assert!(packed.bytes().all(|byte| byte.is_ascii_graphic()), "{packed}");
    }
}

#[test]
fn names_are_unique_and_of_the_form_that_prometheus_wants() {
    let mut names = BTreeSet::new();
    for metric in Metric::ALL {
        let About { name, kind, labels } = metric.about();
        assert!(names.insert(name), "{name} stands twice");
        assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{name}");
        assert_eq!(name.ends_with("_total"), kind == MetricKind::Counter, "{name}");
        assert!(name.starts_with("pax_") || name.starts_with("gen_ai_"), "{name}");
        assert!(labels.len() <= LABELS_MAX && labels.iter().collect::<BTreeSet<_>>().len() == labels.len());
        // Envoy drops dots at a name's end, and such a name may end in one.
        assert!(!matches!(labels.last(), Some(Label::Provider | Label::Model | Label::Slot)), "{name}");
    }
    assert_eq!(Label::ALL.iter().map(|label| label.name()).collect::<BTreeSet<_>>().len(), Label::ALL.len());
}

#[test]
fn envoys_template_cuts_out_each_label() {
    let tags: Vec<&str> =
        TEMPLATE.lines().map(str::trim).filter(|line| line.starts_with("- { tag_name:")).collect();
    let tag = |label: &Label| {
        let name = label.name();
        format!("- {{ tag_name: {name}, regex: '^wasmcustom\\..*?(;{name}=([^;]*))' }}")
    };
    assert_eq!(tags, Label::ALL.iter().map(tag).collect::<Vec<_>>());
    let buckets = Metric::ALL.map(Metric::about).into_iter().filter(|it| it.kind == MetricKind::Histogram);
    let prefix = "- match: { prefix: wasmcustom.gen_ai_client_operation_ }";
    assert!(TEMPLATE.contains(prefix));
    assert!(buckets.into_iter().all(|about| about.name.starts_with("gen_ai_client_operation_")));
}

#[test]
fn the_page_has_a_row_for_each_metric_with_its_kind_and_labels() {
    // The page's first table: what follows its first heading is about something else.
    let table = PAGE.split("\n## ").next().unwrap();
    let rows: Vec<String> = table
        .lines()
        .filter(|line| line.starts_with("| `pax_") || line.starts_with("| `gen_ai_"))
        .map(|line| line.splitn(5, '|').take(4).map(str::trim).collect::<Vec<_>>().join(" | "))
        .collect();
    let row = |metric: Metric| {
        let About { name, kind, labels } = metric.about();
        let kind = format!("{kind:?}").to_lowercase();
        let labels: Vec<String> = labels.iter().map(|label| format!("`{}`", label.name())).collect();
        format!(" | `{name}` | {kind} | {}", labels.join(", ")).trim_end().to_owned()
    };
    let wanted: Vec<String> = Metric::ALL.map(row).to_vec();
    let rows: Vec<String> = rows.iter().map(|row| row.trim_end().to_owned()).collect();
    assert_eq!(rows, wanted);
}
