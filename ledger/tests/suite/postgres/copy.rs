//! A ledger copied from a file to PostgreSQL and back: nothing differs.

use std::process::Stdio;
use std::time::Duration;

use pax_gateway::base::account::Tier;
use pax_ledger::store::Store;

use crate::common::debits::{estimated, exchange, reported};
use crate::common::{Folder, bytes, program, record, replayed, run, stderr, stdout};
use crate::holds::story::{Ledger, at};

/// A ledger with one of everything: entries of all kinds, open, lapsed and ended holds, lines in quarantine.
async fn one_of_everything(folder: Folder) -> Folder {
    let mut ledger = Ledger::in_folder(folder).await;
    let story = "grant gift 2 -> 2
         grant short 1 until 50000 -> 3
         hold 2 0.4 -> held 0.4
         debit 2 -> recorded; hold 0.4; others 0
         hold 4 0.5 -> held 0.5
         hold 6 0.1 -> held 0.6
         void 6 -> voided
         void 8 -> voided
         @60001 lapse -> 1
         @60002 hold 10 0.2 -> held 0.2";
    ledger.tell(story).await;
    let store = ledger.store.clone();
    let lines = [
        bytes(&estimated(20, "free", Tier::Free)),
        bytes(&reported(21, "free", Tier::Free)),
        b"{\"no\": \"debit\"}".to_vec(),
    ];
    record(&store, &lines).await;
    store.mark_seen(&crate::common::act_at(at(70_000)), None).await.unwrap().unwrap();
    ledger.closed().await
}

fn copy(from: &Folder, to: &Folder) -> (Option<i32>, String) {
    let (from, to) = (from.database(), to.database());
    let output =
        program(&from).args(["copy", from.to_str().unwrap(), to.to_str().unwrap()]).output().unwrap();
    (output.status.code(), stdout(&output) + &stderr(&output))
}

/// What is in a ledger, for a comparison across databases.
async fn all(folder: &Folder) -> Vec<Vec<Vec<String>>> {
    let mut tables = Vec::new();
    for sql in [
        "SELECT account, account_seq, entry_hash, hash_v, posting, recorded_at FROM credit_ledger ORDER BY rowid",
        "SELECT name, tier, status, account_seq, head_hash, balance_picopax, held_picopax, recorded_at FROM accounts ORDER BY name",
        "SELECT token_id, account, label, sha256 FROM tokens ORDER BY token_id",
        "SELECT account, utc_day, spent_picopax, held_picopax FROM day_totals ORDER BY 1, 2",
        "SELECT account, token_id, utc_day, spent_picopax, held_picopax FROM token_days ORDER BY 1, 2, 3",
        "SELECT entry_key, rest_picopax, expires_at FROM lots ORDER BY 1",
        "SELECT exchange_id, state, held_picopax, envoy, made_at, ended_at, length(lost) FROM holds ORDER BY 1",
        "SELECT exchange_id, account FROM tombstones ORDER BY 1",
        "SELECT envoy, renewed_at FROM leases ORDER BY 1",
        "SELECT sha256, reason, message, length(bytes) FROM quarantine ORDER BY rowid",
        "SELECT sha256, seen_by, because FROM quarantine_seen ORDER BY 1",
        "SELECT seq, key, row_hash FROM operator_log ORDER BY seq",
        "SELECT seq, row_hash, at FROM operator_log_head",
        "SELECT version, sha256, length(text) FROM rate_cards ORDER BY 1",
    ] {
        tables.push(folder.sql(sql).await);
    }
    tables
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_copied_to_postgresql_and_back_has_the_same_rows_and_replays_alike() {
    let file = one_of_everything(Folder::of_file()).await;
    let (there, back) = (Folder::of_postgres(), Folder::of_file());
    for (from, to) in [(&file, &there), (&there, &back)] {
        let (code, said) = copy(from, to);
        assert!(code == Some(0) && said.contains("both ledgers are the same"), "{said}");
        assert_eq!(all(from).await, all(to).await);
    }
    // A second copy into a ledger that is whole is refused, and changes nothing.
    let (code, said) = copy(&file, &there);
    assert!(code == Some(1) && said.contains("a ledger of its own"), "{said}");
    // The copy takes more entries.
    let store = there.store().await;
    record(&store, &[bytes(&reported(31, "free", Tier::Free))]).await;
    assert_eq!(replayed(&store).await.1, []);
    store.close().await;
}

/// A ledger of many entries.
async fn large(folder: &Folder, entries: u64) -> Store {
    let store = folder.store_with_accounts().await;
    let lines: Vec<_> = (0..entries).map(|n| bytes(&reported(n, "free", Tier::Free))).collect();
    for lines in lines.chunks(1_000) {
        record(&store, lines).await;
    }
    store
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_was_killed_is_no_ledger_and_goes_on_where_it_stopped() {
    let file = Folder::of_file();
    large(&file, 20_000).await.close().await;
    let there = Folder::of_postgres();
    let (from, to) = (file.database(), there.database());
    let mut command = program(&from);
    command
        .args(["copy", from.to_str().unwrap(), to.to_str().unwrap()])
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut running = command.spawn().unwrap();
    let copied = async || {
        let table = "SELECT count(*) FROM pg_tables WHERE tablename = 'credit_ledger'";
        if there.sql(table).await != [["1"]] {
            return 0;
        }
        there.sql("SELECT count(*) FROM credit_ledger").await[0][0].parse::<u64>().unwrap()
    };
    while copied().await < 4_000 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    running.kill().unwrap();
    running.wait().unwrap();
    let had = copied().await;
    assert!((4_000..20_000).contains(&had), "{had}: it was not killed in the middle");
    assert_eq!(there.sql("SELECT count(*) FROM accounts WHERE status = 'active'").await, [["0"]]);
    assert_eq!(run(&there.database(), &["replay"]).status.code(), Some(1));
    let served = program(&to)
        .args(["serve", "--internal", "127.0.0.1:0", "--public", "127.0.0.1:0"])
        .output()
        .unwrap();
    assert!(
        served.status.code() == Some(1) && stderr(&served).contains("was broken off"),
        "{}",
        stderr(&served)
    );
    let (code, said) = copy(&file, &there);
    let expected = format!("copied 20000 entries, {had} of them before");
    assert!(code == Some(0) && said.contains(&expected) && said.contains("are the same"), "{said}");
    assert_eq!(
        there.sql(&format!("SELECT count(*) FROM credit_ledger WHERE exchange_id = '{}'", exchange(7))).await,
        [["1"]]
    );
}

#[tokio::test]
async fn what_is_no_copy_of_the_ledger_is_not_copied_over() {
    let (file, other) = (Folder::of_file(), Folder::of_postgres());
    file.store_with_accounts().await.close().await;
    let store = other.store().await;
    store.create_account(&crate::common::act(), "somebody-else", Tier::Free, None).await.unwrap().unwrap();
    store.close().await;
    let (code, said) = copy(&file, &other);
    assert!(code == Some(1) && said.contains("nothing is copied"), "{said}");
    assert_eq!(other.sql("SELECT name FROM accounts").await, [["somebody-else"]]);
    let (code, said) = copy(&file, &file);
    assert!(code == Some(1) && said.contains("the same database"), "{said}");
}
