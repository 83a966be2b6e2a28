use super::*;
use pax_gateway::base::account::Tier;
use pax_gateway::base::clock::Moment;
use pax_gateway::base::pax::Pax;

#[path = "../../tests/suite/common/debits.rs"]
#[allow(dead_code)]
pub(crate) mod debits;

use debits::{byo, estimated, on_day, reported};

fn line(debit: &Debit) -> Vec<u8> {
    debit.to_canonical()
}

#[test]
fn the_chain_is_hashed_as_the_documentation_says() {
    // printf 'pax-chain/1\ndemo' | sha256sum
    assert_eq!(
        genesis("demo").to_string(),
        "92ea640cede140729d85d0da8b991f12faf735fd62d99a0339647ef7793aecef"
    );
    // printf 'pax-entry/1\n%064d\n7\n1795392000000\n{"a":1}' 0 | sha256sum
    let hash = entry_hash(&"0".repeat(64), 7, 1_795_392_000_000, b"{\"a\":1}");
    assert_eq!(hash.to_string(), "75368190e02b942117d6a71c37ed6811efc1789cc849e5fe41a9d99aebed94cb");
    // printf 'pax-entry/2\n%064d\n7\n1795392000000\n{"p":2}\n{"a":1}' 0 | sha256sum
    let hash = entry_hash_2(&"0".repeat(64), 7, 1_795_392_000_000, "{\"p\":2}", b"{\"a\":1}");
    assert_eq!(hash.to_string(), "bc4e7f757a841660605b7d015643f1c7fdfabe1d5874a5686f3ee5fdd9ad39d8");
}

#[test]
fn each_field_of_a_debit_is_a_column() {
    let debit = reported(1, "free", Tier::Free);
    let json = serde_json::to_value(&debit).unwrap();
    let mut fields: Vec<_> = json.as_object().unwrap().keys().map(String::as_str).collect();
    let name = |name: &&'static str| if *name == "cost_picopax" { "cost_pax" } else { *name };
    let mut columns: Vec<_> = COLUMNS.iter().map(name).collect();
    fields.sort_unstable();
    columns.sort_unstable();
    assert_eq!(fields, columns);
}

#[test]
fn columns_hold_what_the_debit_says() {
    let mut debit = estimated(1, "free", Tier::Free);
    debit.flags = vec![pax_gateway::debit::frozen::Flag::UsageUnreadable];
    let columns = columns(&debit).unwrap();
    let column = |name| columns[COLUMNS.iter().position(|column| *column == name).unwrap()].to_string();
    for (name, expected) in [
        ("canon_v", "1"),
        ("account", "\"free\""),
        ("tier", "\"free\""),
        ("goal_id", "empty"),
        ("stream", "0"),
        ("upstream_status", "200"),
        ("flags", "\"[\\\"usage_unreadable\\\"]\""),
        ("usage", "empty"),
        ("tokens_input", "1001"),
        ("tokens_output", "101"),
        ("utc_day", "\"2026-11-23\""),
    ] {
        assert_eq!(column(name), expected, "{name}");
    }
    assert_eq!(column("cost_picopax"), debit.cost_pax.picopax().to_string());
}

#[test]
fn columns_are_what_the_canonical_bytes_say_in_either_version() {
    let mut flagged = estimated(3, "free", Tier::Credit);
    flagged.flags =
        vec![pax_gateway::debit::frozen::Flag::UsageZero, pax_gateway::debit::frozen::Flag::PartUnpriced];
    let mut debits = vec![reported(1, "free", Tier::Free), byo(2, "free", Tier::Free), flagged];
    let golden = include_str!("../../../tests/golden/debit_v2.json");
    debits.extend(golden.lines().map(|line| Debit::from_canonical(line.as_bytes()).unwrap()));
    for debit in debits {
        let json: serde_json::Value = serde_json::from_slice(&line(&debit)).unwrap();
        for (name, found) in COLUMNS.iter().zip(columns(&debit).unwrap()) {
            let expected = match json.get(name) {
                _ if *name == "cost_picopax" => Value::Int(debit.cost_pax.picopax()),
                None | Some(serde_json::Value::Null) => Value::Null,
                Some(serde_json::Value::Bool(truth)) => Value::Int(i64::from(*truth)),
                Some(serde_json::Value::Number(number)) => Value::Int(number.as_i64().unwrap()),
                Some(serde_json::Value::String(text)) => Value::Text(text.clone()),
                Some(list_or_object) => Value::Text(list_or_object.to_string()),
            };
            assert_eq!(found, expected, "{name} of version {}", debit.canon_v);
        }
    }
}

#[test]
fn a_line_is_unsupported_only_if_it_states_a_version_that_is_not_read() {
    let text = |n| String::from_utf8(line(&reported(n, "a", Tier::Free))).unwrap();
    let (first, second) = (text(1), text(2));
    let third = second.replacen("\"canon_v\":2", "\"canon_v\":3", 1);
    let spaced = third.replacen("\"canon_v\":3", "\"canon_v\" : 3", 1);
    let twice = second.replacen("\"canon_v\":2", "\"canon_v\":2,\"canon_v\":3", 1);
    for (line, canon_v, expected) in [
        (first.as_str(), 2, false),
        (&first, 1, false),
        (&second, 2, false),
        (&second, 1, true),
        (&third, 2, true),
        (&third, 3, true),
        (&spaced, 2, true),
        (&twice, 2, false),
        ("{\"canon_v\":9}", 2, true),
        ("{\"canon_v\":9", 2, false),
        ("{\"canon_v\":4294967296,\"exchange_id\":\"a\"}", 2, false),
        ("{\"canon_v\":-1}", 2, false),
        ("{\"canon_v\":", 2, false),
        ("", 2, false),
    ] {
        let reply = unsupported(line.as_bytes(), canon_v);
        assert_eq!(reply.is_some(), expected, "{canon_v}: {line}");
        if line.len() > 100 && expected {
            assert_eq!(reply.unwrap().exchange_id, reported(2, "a", Tier::Free).exchange_id.to_string());
        }
    }
}

#[test]
fn a_platform_debit_counts_against_its_day_and_on_credit_reduces_the_balance_and_the_lots() {
    let cost = reported(1, "a", Tier::Free).cost_pax;
    let less = Pax::ZERO.checked_sub(cost).unwrap();
    for (debit, balance, counts, lots) in [
        (reported(1, "a", Tier::Free), Pax::ZERO, true, OnLots::None),
        (reported(1, "a", Tier::Credit), less, true, OnLots::Draw(cost)),
        (byo(1, "a", Tier::Free), Pax::ZERO, false, OnLots::None),
        (byo(1, "a", Tier::Credit), Pax::ZERO, false, OnLots::None),
    ] {
        let debit = on_day(debit, 1);
        let utc_day = "2026-11-24".parse().unwrap();
        let spent = counts.then_some(Spent { utc_day, token_id: &debit.token_id, amount: cost });
        assert_eq!(effect(Entry::Debit(&debit)), Effect { balance, spent, lots });
    }
}

fn post(page: &mut Page, entry: Entry<'_>, canonical: &[u8], ms: u64) -> Link {
    let effect = effect(entry);
    let link = page.link(&effect, (None, Pax::ZERO), canonical, Moment::from_ms(ms)).unwrap();
    page.add(&effect, &link);
    link
}

fn post_debit(page: &mut Page, debit: &Debit, ms: u64) -> Link {
    post(page, Entry::Debit(debit), &line(debit), ms)
}

#[test]
fn posting_chains_entries_and_adds_them_up() {
    let (first, second) = (reported(1, "a", Tier::Credit), estimated(2, "a", Tier::Credit));
    let mut page = Page::empty("a");
    let one = post_debit(&mut page, &first, 5);
    let two = post_debit(&mut page, &second, 4);
    assert_eq!((one.account_seq, one.prev_hash), (1, genesis("a")));
    assert_eq!((two.account_seq, two.prev_hash), (2, one.entry_hash));
    assert_eq!((page.account_seq, page.head), (2, two.entry_hash));
    assert_eq!(
        two.recorded_at,
        Moment::from_ms(5),
        "a clock that is set back does not turn the chain around"
    );
    let spent = first.cost_pax.checked_add(second.cost_pax).unwrap();
    assert_eq!(page.days.into_iter().collect::<Vec<_>>(), [(first.utc_day, Sum::from(spent))]);
    let token = (first.token_id.clone(), first.utc_day);
    assert_eq!(page.tokens.into_iter().collect::<Vec<_>>(), [(token, Sum::from(spent))]);
    assert_eq!(page.balance, Sum::ZERO.minus(spent));
    let posting = Posting::read(&one.posting).unwrap();
    assert_eq!(posting.scopes, ["account:a".to_owned(), format!("token:{}", first.token_id)]);
    assert_eq!(
        one.posting,
        format!(
            r#"{{"posting_v":1,"hold":null,"held_pax":"0.000000000000","scopes":["account:a","token:{}"]}}"#,
            first.token_id
        )
    );
}

#[test]
fn a_lot_that_is_over_expires_but_for_what_open_holds_set_aside() {
    let (at, pax) = (Moment::from_ms, |text: &str| text.parse::<Pax>().unwrap());
    let mut page = Page::empty("a");
    let mut grant = made::Grant::new("g", "a", pax("5"), made::GrantClass::Promotion, at(1));
    grant.expires_at = Some(at(100));
    let grant = Made::Grant(grant);
    post(&mut page, Entry::Made(&grant), &grant.canonical(), 1);
    let due = |page: &Page, held, ms| page.due(pax(held), at(ms)).map(|due| due.amount_pax);
    assert_eq!(due(&page, "0", 99), None);
    for (held, expected) in [("0", Some("5")), ("2", Some("3")), ("5", None), ("6", None)] {
        assert_eq!(due(&page, held, 100), expected.map(pax), "{held}");
    }
    let part = Made::Expiry(page.due(pax("2"), at(100)).unwrap());
    post(&mut page, Entry::Made(&part), &part.canonical(), 100);
    assert_eq!((due(&page, "2", 100), due(&page, "0.5", 100)), (None, Some(pax("1.5"))));
    assert_eq!(page.balance, Sum::from(pax("2")));
}

#[test]
fn no_sum_is_too_large_for_one_more_debit() {
    let mut dear = reported(1, "a", Tier::Credit);
    dear.cost_pax = Pax::MAX;
    let mut page = Page::empty("a");
    for number in 1..=3 {
        assert_eq!(post_debit(&mut page, &dear, 5).account_seq, number);
    }
    let spent = Sum::ZERO.plus(Pax::MAX).plus(Pax::MAX).plus(Pax::MAX);
    assert_eq!(page.days.values().copied().collect::<Vec<_>>(), [spent]);
    assert_eq!(page.balance, Sum::ZERO.minus(Pax::MAX).minus(Pax::MAX).minus(Pax::MAX));
}

#[test]
fn lines_that_are_no_debits_are_rejected_with_their_exchange_where_it_can_be_read() {
    let debit = reported(1, "a", Tier::Free);
    let id = Some(debit.exchange_id);
    let text = String::from_utf8(line(&debit)).unwrap();
    let mut negative = debit.clone();
    negative.cost_pax = Pax::from_picopax(-1);
    let mut huge = debit.clone();
    huge.tokens_input.0 = u64::MAX;
    let mut long = debit.clone();
    long.slot = "x".repeat(CANON_MAX);
    for (name, line, exchange_id) in [
        ("nothing", Vec::new(), None),
        ("no JSON", b"hello".to_vec(), None),
        ("not UTF-8", vec![0xff, 0xfe], None),
        ("another object", b"{\"a\":1}".to_vec(), None),
        ("a space too much", text.replacen(':', ": ", 1).into_bytes(), id),
        ("a carriage return", format!("{text}\r").into_bytes(), id),
        ("another version", text.replacen("\"canon_v\":1", "\"canon_v\":3", 1).into_bytes(), id),
        ("a negative cost", line(&negative), id),
        ("more tokens than a column holds", line(&huge), id),
        ("longer than a debit may be", line(&long), id),
    ] {
        let rejected = read(&line).map(|_| ()).expect_err(name);
        assert_eq!(rejected.exchange_id, exchange_id, "{name}");
        assert_eq!(rejected.sha256, Digest::of(&[&line]), "{name}");
        assert!(rejected.bytes.len() <= CANON_MAX && line.starts_with(&rejected.bytes), "{name}");
        assert!(!rejected.why.is_empty(), "{name}");
    }
    assert_eq!(read(text.as_bytes()).unwrap().debit, debit);
}
