//! From the compose stack that came before this one: its ledger ran as root, so that its volume is root's.

use crate::load::one_of_each;
use crate::stack::{Stack, run, wait};
use crate::{Report, TOKEN};
use std::process::Command;

/// The database that the ledger of a version before has left behind: the demo's two accounts, and an entry of each
/// (tests/golden/debit_v1.json). Frozen, as what users have is.
const BEFORE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/before/9c65b90.gz");
const ENTRIES_BEFORE: usize = 2;

/// The volume of the version before becomes this one's; then the stack is up.
pub fn from_the_version_before(stack: &Stack, report: &mut Report) {
    // Made by compose, so that compose knows it for its own; filled by root, as it was.
    stack.compose(&["up", "--no-start"]);
    let fill = "gzip -dc | docker run --rm --interactive --user root --volume \"$0\":/data pax-gateway-test \
                sh -c 'cat >/data/ledger.db && chown -R root:root /data'";
    run(Command::new("sh")
        .args(["-ec", fill])
        .arg(stack.volume())
        .stdin(std::fs::File::open(BEFORE).unwrap()));

    stack.compose(&["up", "-d", "ledger"]);
    wait("the ledger says whose volume it is", || {
        stack
            .compose(&["logs", "--tail", "5", "ledger"])
            .contains("--user root ledger chown -R pax:pax /data")
    });
    stack.compose(&["stop"]);
    stack.compose(&[
        "run",
        "--rm",
        "--no-deps",
        "--user",
        "root",
        "ledger",
        "chown",
        "-R",
        "pax:pax",
        "/data",
    ]);
    stack.up();
    let (entries, _) = stack.entries();
    assert_eq!(entries.len(), ENTRIES_BEFORE, "entries of the version before");
    report.owed = entries;
    report.compare(stack, "upgraded from the version before", &one_of_each(stack.gateway(), TOKEN));
}
