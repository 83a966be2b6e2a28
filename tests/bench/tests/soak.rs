//! A small soak as a test: the same comparison as `make soak`, with fewer calls.

use std::process::Command;

#[test]
fn entries_are_answers_while_workers_trap() {
    let mut soak = Command::new(env!("CARGO_BIN_EXE_pax-bench"));
    soak.arg("soak").env("SOAK_CALLS", "20000").env("SOAK_ACCOUNTS", "2000");
    soak.env("SOAK_TRAP_S", "2").env("SOAK_TRAPS", "2");
    let soaked = soak.output().unwrap();
    let (table, why) = (String::from_utf8_lossy(&soaked.stdout), String::from_utf8_lossy(&soaked.stderr));
    assert!(soaked.status.success(), "{table}\n{why}");
}
