//! The house rules that no compiler knows, as tests: floors and circles, sizes of files, tests that nobody runs, host calls,
//! and sentences that nobody understands at first reading. Each failure says what to do.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    reason = "a test that looks at something else than it thinks is to stop"
)]

mod floors;
mod sizes;
mod sources;
mod words;

/// Fails with one line for each thing that breaks a rule, after what to do about it.
#[track_caller]
fn assert_none(what_to_do: &str, found: &[String]) {
    assert!(found.is_empty(), "{what_to_do}\n  {}\n", found.join("\n  "));
}
