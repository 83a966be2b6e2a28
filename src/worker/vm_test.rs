#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

use crate::memory::shared::SharedData;
use crate::worker::fake::Native;
use crate::worker::fake::calls::{answer, forwarded, gateway, hello, serving, told};
use crate::worker::host::Level;

/// Another worker of the same Envoy, which has seen every VM that lives.
fn beside(native: &Native) -> Native {
    let mut other = native.beside();
    assert!(other.configure(gateway()));
    other.settle();
    other.tick_after(1_000);
    let _ = other.told();
    other
}

/// Time passes for one worker alone, a second at a time; the other worker does not tick.
fn seconds(native: &mut Native, seconds: u64) {
    for _ in 0..seconds {
        native.tick_after(1_000);
        native.ledger_answers();
    }
}

#[test]
fn what_a_dead_vm_left_open_is_charged_by_estimate_counted_and_told() {
    let mut dying = serving();
    forwarded(&mut dying, "tok-free", &hello());
    forwarded(&mut dying, "tok-credit", &hello());
    dying.tick_after(1_000);
    let mut other = beside(&dying);
    seconds(&mut other, 8);
    assert_eq!(told(&other, Level::Warn), [""; 0], "it may still live");
    seconds(&mut other, 4);
    let lines = told(&other, Level::Warn);
    assert_eq!(lines.iter().filter(|line| line.ends_with("lost its VM: charged by estimate")).count(), 2);
    assert_eq!(lines.last().unwrap(), "a VM died: 2 of its calls were charged by estimate");
    seconds(&mut other, 12);
    assert_eq!(told(&other, Level::Warn), [""; 0], "it is swept again, in silence");
    let debits: Vec<_> = other.ledger.borrow().debits().iter().map(|(debit, _)| debit.clone()).collect();
    assert_eq!(debits.len(), 2);
    assert!(debits.iter().all(|debit| debit.ending == crate::debit::frozen::Ending::Orphaned));
    let calls = other.state.metrics.series("pax_calls_total");
    assert!(calls.len() == 2 && calls.iter().all(|series| series.ends_with("outcome=orphaned")), "{calls:?}");
    assert!(other.records().is_empty());
}

#[test]
fn a_vm_that_was_taken_for_dead_says_so_and_goes_on_as_another() {
    let mut native = serving();
    let lost = forwarded(&mut native, "tok-credit", &hello());
    native.tick_after(1_000);
    let mut other = beside(&native);
    seconds(&mut other, 24);
    assert_eq!(other.ledger.borrow().debits().len(), 1);
    native.tick_after(1_000);
    let lines = told(&native, Level::Warn);
    assert!(lines.iter().any(|line| line.starts_with("this VM was taken for dead")), "{lines:?}");
    // The call was charged by estimate. The debit from its true answer is a conflict, which the ledger
    // quarantines.
    answer(&native, lost, "application/json", "{}");
    let next = forwarded(&mut native, "tok-credit", &hello());
    answer(&native, next, "application/json", "{}");
    native.settle();
    assert_eq!(native.ledger.borrow().debits().len(), 2);
    assert!(native.records().is_empty());
    let lines = told(&native, Level::Error);
    assert!(lines.len() == 1 && lines[0].starts_with("the ledger quarantined"), "{lines:?}");
}

#[test]
fn a_debit_that_its_dead_vm_did_not_send_is_sent_as_it_is() {
    let mut dying = serving();
    let call = forwarded(&mut dying, "tok-free", &hello());
    let body = r#"{"choices":[{}],"usage":{"prompt_tokens":7,"completion_tokens":5}}"#;
    answer(&dying, call, "application/json", body);
    let mut other = beside(&dying);
    assert_eq!(other.records().len(), 1);
    seconds(&mut other, 12);
    let lines = told(&other, Level::Warn);
    assert_eq!(lines, ["a VM died: 0 of its calls were charged by estimate"]);
    let ledger = other.ledger.borrow();
    assert_eq!(ledger.debits().len(), 1);
    assert_eq!(ledger.debits()[0].0.tokens_output.0, 5);
    assert!(other.records().is_empty());
}

#[test]
fn what_a_vm_that_ended_in_good_order_did_not_send_is_sent_by_another_at_once() {
    let mut ended = serving();
    let call = forwarded(&mut ended, "tok-free", &hello());
    answer(&ended, call, "application/json", "{}");
    let mut other = beside(&ended);
    // It was sent, and the answer does not come any more.
    ended.tick_after(20);
    ended.end_root(0);
    seconds(&mut other, 2);
    assert_eq!(other.ledger.borrow().debits().len(), 1);
    assert!(other.records().is_empty());
}

#[test]
fn where_many_vms_have_died_one_tick_sweeps_several_of_their_lanes() {
    let mut dying: Vec<Native> = Vec::new();
    let first = serving();
    for _ in 0..4 {
        let mut vm = first.beside();
        assert!(vm.configure(gateway()));
        vm.settle();
        forwarded(&mut vm, "tok-credit", &hello());
        vm.tick_after(1_000);
        dying.push(vm);
    }
    let mut other = beside(&first);
    seconds(&mut other, 12);
    assert_eq!(other.ledger.borrow().debits().len(), 4);
    assert!(other.records().is_empty());
}

#[test]
fn a_vm_keeps_its_lane_while_one_of_its_roots_lives() {
    let mut native = serving();
    assert!(native.configure(gateway()));
    native.settle();
    let call = forwarded(&mut native, "tok-free", &hello());
    native.end_root(0);
    let mut other = beside(&native);
    seconds(&mut other, 2);
    assert_eq!(told(&other, Level::Warn), [""; 0]);
    answer(&native, call, "application/json", "{}");
    native.settle();
    assert_eq!(native.ledger.borrow().debits().len(), 1);
}

#[test]
fn what_the_module_before_left_in_its_ring_is_sent() {
    let mut native = serving();
    let call = forwarded(&mut native, "tok-free", &hello());
    answer(&native, call, "application/json", "{}");
    // The same debit, as that module wrote it.
    let place = native.records()[0].clone();
    let cell = native.around.shared.read(&format!("pax/2/open/{place}")).unwrap();
    let canonical = cell.windows(2).position(|it| it == b"{\"").map(|at| cell[at..].to_vec()).unwrap();
    let slot = [&0u64.to_le_bytes()[..], &[0], &canonical].concat();
    native.around.shared.set("pax/outbox/tail", &1u64.to_le_bytes());
    native.around.shared.set("pax/outbox/0", &slot);
    native.around.shared.set(&format!("pax/2/open/{place}"), &[]);
    let mut other = native.beside();
    assert!(other.configure(gateway()));
    other.settle();
    assert_eq!(other.ledger.borrow().debits().len(), 1);
    assert!(other.records().is_empty());
}

#[test]
fn a_record_that_cannot_be_read_is_given_up_and_told() {
    let mut dying = serving();
    forwarded(&mut dying, "tok-credit", &hello());
    let place = dying.records()[0].clone();
    dying.around.shared.set(&format!("pax/2/open/{place}"), b"what");
    let mut other = beside(&dying);
    seconds(&mut other, 12);
    let lines = told(&other, Level::Error);
    assert!(
        lines.len() == 1 && lines[0].starts_with("an in-flight record of a dead VM is given up"),
        "{lines:?}"
    );
    assert!(other.records().is_empty());
}

#[test]
fn where_every_lane_is_taken_it_is_told_once_and_the_next_free_one_is_taken() {
    let native = serving();
    for lane in 0..1_024 {
        native.around.shared.set(&format!("pax/2/lane/{lane}"), &[9; 32]);
    }
    let mut other = native.beside();
    assert!(other.configure(gateway()));
    for _ in 0..3 {
        other.tick_after(1_000);
    }
    let lines = told(&other, Level::Error);
    let lanes =
        lines.iter().filter(|line| line.starts_with("every lane of in-flight records is taken")).count();
    assert_eq!(lanes, 1, "{lines:?}");
    other.around.shared.set("pax/2/lane/500", &[]);
    other.ledger_answers();
    other.tick_after(1_000);
    forwarded(&mut other, "tok-credit", &hello());
    assert!(other.records()[0].starts_with("500/"));
}
