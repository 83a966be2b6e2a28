//! A fixed range of seeds, and the planted bugs: a simulation that cannot fail would prove nothing.

use pax_simulate::{Fault, run_all};

/// About half a minute on two cores; `make simulate` for more, from other seeds.
const SEEDS: u64 = 4_000;
/// A planted bug is found in so many.
const PLANTED_SEEDS: u64 = 300;

#[test]
fn what_must_hold_holds_in_thousands_of_runs() {
    match run_all(1, SEEDS, Fault::None) {
        Ok(tally) => {
            println!("{tally}");
            // What a run is about has happened in it.
            let happened = [
                tally.later_card,
                tally.orphans,
                tally.doubted,
                tally.taken,
                tally.retired,
                tally.retired_sending,
                tally.adopted,
            ];
            assert!(happened.iter().all(|times| *times > 0), "{tally}");
        }
        Err(failure) => {
            let tail = failure.trace.len().saturating_sub(60);
            let trace = failure.trace[tail..].join("\n");
            panic!("{trace}\n{failure}\nall of it: make simulate SEED={}", failure.seed);
        }
    }
}

/// Finds a planted bug, by one of these invariants.
fn is_found(fault: Fault, by: &[&str]) {
    let failure = run_all(1, PLANTED_SEEDS, fault).expect_err("the planted bug was not found");
    println!("{fault:?}: {failure}");
    assert!(by.iter().any(|by| failure.invariant.contains(by)), "found by another invariant: {failure}");
}

#[test]
fn a_call_that_is_settled_twice_is_found() {
    is_found(Fault::DoubleSettle, &["which nobody called", "more than", "the cap was exceeded"]);
}

#[test]
fn a_lost_compare_and_swap_is_found() {
    is_found(
        Fault::LostSwap,
        &[
            "the cap was exceeded",
            "nothing was owed",
            "without an exchange",
            "no debit waits",
            "should have",
            "but it was",
        ],
    );
}

#[test]
fn a_duration_on_a_clock_that_is_set_is_found() {
    is_found(
        Fault::OneClock,
        &[
            "a small call",
            "the record of",
            "never leaves its cell",
            "waited for",
            "is taken from a VM that beat",
            "is not priced by",
            "does not know that",
        ],
    );
}

#[test]
fn a_debit_that_is_dropped_is_found() {
    is_found(Fault::DroppedDebit, &["before the ledger had it", "no debit waits", "should have an entry"]);
}

#[test]
fn a_record_that_is_taken_out_too_early_is_found() {
    is_found(Fault::EarlyClear, &["taken out before", "without an exchange", "has no record"]);
}

#[test]
fn a_sweep_of_a_living_vms_lane_is_found() {
    is_found(Fault::UnheardBeat, &["is taken from a VM that beat"]);
}

#[test]
fn a_lost_retirement_is_found() {
    is_found(Fault::LostRetirement, &["never leaves its cell"]);
}

#[test]
fn a_cell_that_is_emptied_too_early_is_found() {
    is_found(Fault::EarlyEmpty, &["before the ledger had it"]);
}

#[test]
fn a_dead_vms_debit_without_a_copy_is_found() {
    // Or by its entry: the record of the call was seen to go, and no debit was seen in a cell.
    is_found(Fault::Uncopied, &["before the ledger had it", "taken out before", "should have no entry"]);
}

#[test]
fn a_thread_that_does_not_see_that_it_stood_still_is_found() {
    is_found(Fault::StoppedClock, &["is sent on without a record"]);
}
