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
                tally.holds,
                tally.holds_refused,
                tally.holds_voided,
                tally.holds_expired,
                tally.late,
                tally.free_holds,
                tally.expiries,
                tally.kept_for_holds,
                tally.debts_paid,
                tally.grants_corrected,
                tally.corrected,
                tally.better,
                tally.restores,
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
    is_found(
        Fault::DoubleSettle,
        &["which nobody called", "more than", "the cap was exceeded", "or nobody asked for it"],
    );
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
            "has another number",
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
    is_found(
        Fault::EarlyClear,
        &["taken out before", "without an exchange", "has no record", "for which nothing was owed"],
    );
}

#[test]
fn a_sweep_of_a_living_vms_lane_is_found() {
    is_found(Fault::UnheardBeat, &["is taken from a VM that beat"]);
}

#[test]
fn a_lost_retirement_is_found() {
    is_found(Fault::LostRetirement, &["never leaves its cell", "is still held"]);
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

#[test]
fn a_void_that_is_dropped_is_found() {
    is_found(Fault::DroppedVoid, &["left its last cell before the ledger had it"]);
}

#[test]
fn a_record_that_says_too_early_that_its_call_goes_on_is_found() {
    is_found(Fault::EarlyGoesOn, &["was charged that never went on"]);
}

#[test]
fn a_lease_that_is_never_renewed_is_found() {
    is_found(Fault::LostRenewal, &["has expired, but envoy"]);
}

#[test]
fn a_void_that_is_forgotten_before_its_hold_comes_is_found() {
    is_found(Fault::ForgottenVoid, &["is still held"]);
}

#[test]
fn a_call_that_goes_on_without_waiting_for_its_hold_is_found() {
    is_found(Fault::UnheardHold, &["but the ledger has made no hold for it"]);
}

#[test]
fn a_call_that_goes_on_though_its_hold_was_refused_is_found() {
    is_found(Fault::UnheardRefusal, &["but the ledger has made no hold for it"]);
}

#[test]
fn a_hold_that_does_not_count_for_the_next_one_is_found() {
    is_found(Fault::UncountedHolds, &["but open holds leave"]);
}

#[test]
fn a_lease_that_never_lapses_is_found() {
    is_found(Fault::EndlessLease, &["is held, but its Envoy was killed", "is held for ever"]);
}

#[test]
fn a_void_of_a_call_that_is_charged_is_found() {
    is_found(Fault::NeedlessVoid, &["its hold was voided or refused"]);
}

#[test]
fn a_correction_that_no_envoy_can_notice_is_found() {
    is_found(Fault::SilentCorrection, &["knows that", "does not know that"]);
}

#[test]
fn a_true_debit_that_changes_nothing_after_an_estimate_is_found() {
    is_found(Fault::EstimateWins, &["in the end, but it was charged"]);
}

#[test]
fn a_restored_ledger_in_the_epoch_before_is_found() {
    is_found(
        Fault::KeptEpoch,
        &["knows that", "does not know that", "the cap was exceeded", "a small call of"],
    );
}

#[test]
fn a_hold_of_the_free_tier_that_does_not_count_for_the_next_one_is_found() {
    is_found(Fault::UncountedFreeHolds, &["but open holds leave"]);
}

#[test]
fn a_call_that_costs_more_than_its_hold_is_found() {
    is_found(Fault::SmallHold, &["cost more than its hold"]);
}

#[test]
fn a_lot_that_expires_before_its_end_is_found() {
    is_found(Fault::EarlyExpiry, &["before its end"]);
}

#[test]
fn an_expiry_of_what_open_holds_need_is_found() {
    is_found(Fault::GreedyExpiry, &["takes what open holds need"]);
}

#[test]
fn an_expiry_that_its_lot_does_not_feel_is_found() {
    is_found(Fault::UndrawnExpiry, &["but its lots are", "have expired"]);
}

#[test]
fn an_expiry_of_more_than_its_lot_is_found() {
    is_found(Fault::DearExpiry, &["have expired"]);
}

#[test]
fn a_lot_that_stays_after_its_hold_is_found() {
    is_found(Fault::ForgottenRest, &["no hold needs it, and it stays"]);
}

#[test]
fn a_lot_that_nobody_looks_for_is_found() {
    is_found(Fault::LostPass, &["a lot has been over for"]);
}

#[test]
fn a_debit_that_draws_on_the_wrong_lot_is_found() {
    is_found(Fault::LastLotFirst, &["not in the order of its lots"]);
}

#[test]
fn a_correction_that_its_lot_does_not_feel_is_found() {
    is_found(Fault::UncorrectedLot, &["but its lots are"]);
}

#[test]
fn a_grant_that_pays_no_debt_is_found() {
    is_found(Fault::UnpaidDebt, &["but its lots are"]);
}

#[test]
fn a_debit_that_is_not_recovered_after_a_restore_is_found() {
    is_found(Fault::UnrecoveredDebits, &["was lost, and did not come back"]);
}

#[test]
fn a_grant_that_is_not_recovered_after_a_restore_is_found() {
    is_found(Fault::UnrecoveredGrants, &["a grant was lost, and did not come back"]);
}

#[test]
fn a_correction_that_is_not_recovered_after_a_restore_is_found() {
    is_found(Fault::UnrecoveredCorrections, &["in the end, but it was charged"]);
}

#[test]
fn a_key_in_a_log_is_found() {
    is_found(Fault::LoggedSecret, &["a secret is in a line of the log"]);
}

#[test]
fn a_key_in_an_answer_is_found() {
    is_found(Fault::AnsweredSecret, &["a secret is in an answer"]);
}

#[test]
fn a_key_in_a_question_to_the_ledger_is_found() {
    is_found(Fault::AskedSecret, &["a secret is in a question to the ledger"]);
}

#[test]
fn a_number_that_an_envoy_keeps_when_it_starts_anew_is_found() {
    is_found(Fault::KeptNumber, &["another Envoy has the number"]);
}

#[test]
fn a_number_of_each_worker_is_found() {
    is_found(Fault::ManyNumbers, &["its Envoy has another number than"]);
}

#[test]
fn a_debit_that_is_made_anew_is_found() {
    is_found(Fault::RemadeDebit, &["two debits of"]);
}

#[test]
fn an_acknowledged_debit_that_is_made_anew_is_found() {
    is_found(Fault::RemadeAcknowledged, &["was sent under other bytes"]);
}

#[test]
fn a_debit_before_its_card_is_found() {
    is_found(Fault::UntoldCards, &["under a card that it had not heard of"]);
}

#[test]
fn a_worker_that_counts_for_nobody_is_found() {
    is_found(Fault::UntoldMetrics, &["at rest", "but it was"]);
}
