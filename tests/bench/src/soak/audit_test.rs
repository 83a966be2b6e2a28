use super::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Instant;

fn id(number: u64) -> String {
    format!("0199aaaa-0000-7000-8000-{number:012x}")
}

/// Call 0 was answered whole, call 1 was cut by the one trap after the provider had answered, call 2 was refused.
fn calls() -> Vec<Call> {
    let call = |heard, number, cost| Call {
        heard,
        exchange: callers::exchange(&id(number)),
        cost,
        took_ms: [1_000, 1_010],
    };
    vec![call(Heard::Whole, 0, Some(7)), call(Heard::Cut, 1, None), call(Heard::Refused, 2, None)]
}

fn entry(number: u64, ending: &str, cost_pax: &str) -> Entry {
    Entry {
        exchange_id: id(number),
        account: accounts::name(plan().account(number)),
        intent_id: Some(number.to_string()),
        ending: ending.to_owned(),
        cost_pax: cost_pax.to_owned(),
    }
}

fn plan() -> Plan {
    let (next, hold) = (AtomicU64::new(0), AtomicBool::new(false));
    Plan { port: 0, calls: 3, accounts: 2, next, hold, begun: Instant::now() }
}

/// What differs, with these calls, traps and entries.
fn differs(calls: &[Call], traps_ms: &[[u32; 2]], entries: Vec<Entry>) -> Vec<Difference> {
    let witness: Arc<Witness> = Witness::of(3);
    witness.answers(0);
    witness.answers(1);
    let seen = Seen { plan: &plan(), calls, traps_ms, witness: &witness };
    compare(&seen, entries.into_iter().map(Ok)).unwrap().differences
}

const TRAP: [[u32; 2]; 1] = [[990, 1_005]];

fn right() -> Vec<Entry> {
    vec![entry(0, "complete", "0.000000000007"), entry(1, "orphaned", "0.000000000100")]
}

#[test]
fn entries_that_are_as_they_must_be_do_not_differ() {
    assert_eq!(differs(&calls(), &TRAP, right()), []);
}

#[test]
fn every_difference_is_found() {
    use Difference::{Doubled, Missing, Other, Unasked, Unexplained};
    let with = |at: usize, entry: Entry| {
        let mut entries = right();
        entries[at] = entry;
        differs(&calls(), &TRAP, entries)
    };
    let and = |entry: Entry| differs(&calls(), &TRAP, right().into_iter().chain([entry]).collect());
    assert_eq!(differs(&calls(), &TRAP, vec![entry(0, "complete", "0.000000000007")]), [Missing]);
    assert_eq!(differs(&calls(), &TRAP, vec![entry(1, "orphaned", "0.000000000007")]), [Missing]);
    assert_eq!(and(entry(1, "orphaned", "0.000000000100")), [Doubled]);
    assert_eq!(and(entry(2, "complete", "0.000000000100")), [Unasked]);
    assert_eq!(and(entry(3, "complete", "0.000000000100")), [Unasked]);
    assert_eq!(with(0, entry(0, "complete", "0.000000000008")), [Other]);
    assert_eq!(with(0, entry(0, "orphaned", "0.000000000007")), [Other]);
    assert_eq!(with(0, Entry { exchange_id: id(9), ..entry(0, "complete", "0.000000000007") }), [Other]);
    assert_eq!(
        with(0, Entry { account: "soak-1".into(), ..entry(0, "complete", "0.000000000007") }),
        [Other]
    );
    assert_eq!(differs(&calls(), &[[1_011, 1_020]], right()), [Unexplained]);
    let mut untold = calls();
    untold[0].cost = None;
    assert_eq!(differs(&untold, &TRAP, right()), [Other]);
}
