//! The database itself: replayed, read while it is served, missing, and of an older release.

use std::path::Path;

use super::{fill, said};
use crate::common::debits::{exchange, reported};
use crate::common::{Folder, Service, bytes, program, record, run, stderr, stdout};
use pax_gateway::base::account::Tier;

#[test]
fn replay_says_what_it_replayed_and_fails_where_anything_differs() {
    let folder = Folder::new();
    let debits = [reported(1, "free", Tier::Free), reported(2, "credit", Tier::Credit)];
    fill(&folder, &debits);
    let (code, out, error) = said(&folder.database(), &["replay"]);
    assert_eq!((code, error.as_str()), (Some(0), ""));
    let total = debits[0].cost_pax.checked_add(debits[1].cost_pax).unwrap();
    let card = format!("rate card 2 (sha256 {}): 2 entries, {total} PAX\n", debits[0].card_sha256);
    assert_eq!(
        out,
        format!("replayed 2 entries of 2 accounts: everything holds\ntotal cost {total} PAX\n{card}")
    );

    let (away, guard) = match folder.is_postgres() {
        true => ("DROP TRIGGER credit_ledger_no_change ON credit_ledger", "credit_ledger_no_change"),
        false => ("DROP TRIGGER credit_ledger_no_update", "credit_ledger_no_update"),
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let change = "UPDATE credit_ledger SET tokens_output = tokens_output + 1 WHERE account = 'free'";
    for sql in [away, change] {
        runtime.block_on(folder.sql(sql));
    }
    let (code, out, error) = said(&folder.database(), &["replay"]);
    assert_eq!(code, Some(1));
    assert!(out.starts_with("replayed 2 entries of 2 accounts: 2 DIFFERENCES\n"), "{out}");
    assert!(error.contains(&format!("entry {} (account free, number 1)", exchange(1))), "{error}");
    assert!(error.contains("tokens_output is 22, but its canonical bytes say 21"), "{error}");
    assert!(error.contains(&format!("difference: database: trigger {guard}")), "{error}");
}

#[test]
fn reading_commands_work_while_the_service_runs() {
    let folder = Folder::new();
    fill(&folder, &[reported(1, "free", Tier::Free)]);
    let _service = Service::start(&folder.database());
    assert_eq!(stdout(&run(&folder.database(), &["entries"])).lines().count(), 1);
    assert_eq!(said(&folder.database(), &["replay"]).0, Some(0));
    assert_eq!(said(&folder.database(), &["account", "create", "more", "--tier", "free"]).0, Some(0));
}

#[test]
fn a_database_that_is_missing_or_none_of_ours_is_said_and_not_made() {
    let folder = Folder::new();
    let missing = folder.0.join("missing.db");
    for arguments in [
        &["entries"][..],
        &["replay"],
        &["account", "list"],
        &["account", "disable", "a"],
        &["token", "list"],
        &["token", "add", "a", "--name", "x"],
    ] {
        let (code, out, error) = said(&missing, arguments);
        assert_eq!((code, out.as_str()), (Some(1), ""), "{arguments:?}");
        assert!(error.contains("missing.db") && error.contains("--db"), "{error}");
    }
    assert!(!missing.exists());
    let junk = folder.0.join("junk.db");
    std::fs::write(&junk, "this is no database at all, not even a little one").unwrap();
    let (code, _, error) = said(&junk, &["replay"]);
    assert!(code == Some(1) && error.contains("junk.db") && error.contains("not a database"), "{error}");
    let (code, _, error) = said(Path::new("postgres://somewhere/ledger"), &["replay"]);
    assert!(code == Some(1) && error.contains("cannot use postgres://somewhere/ledger"), "{error}");
    let output = program(&missing).env_remove("PAX_LEDGER_DB").arg("replay").output().unwrap();
    assert!(stderr(&output).contains("PAX_LEDGER_DB"), "{}", stderr(&output));
}

/// A database as the first release left it, with an account.
async fn first_release(folder: &Folder) {
    use sqlx::migrate::Migrator;
    std::fs::File::create(folder.database()).unwrap();
    let mut shell = folder.shell().await;
    let all = Migrator::new(crate::common::sqlite_migrations()).await.unwrap();
    let first = all.iter().filter(|migration| migration.version == 1).cloned().collect::<Vec<_>>();
    let first = Migrator { migrations: first.into(), ..Migrator::DEFAULT };
    first.run_direct(&mut shell).await.unwrap();
    let sql = "INSERT INTO accounts VALUES ('free', 'free', 'active', 0, 0, ?1, 0)";
    let genesis = pax_ledger::book::genesis("free").to_string();
    sqlx::query(sql).bind(genesis).execute(&mut shell).await.unwrap();
}

#[test]
fn a_database_of_the_first_release_is_brought_up_to_date_by_serve_and_refused_by_what_only_reads() {
    if crate::common::on_postgres() {
        return;
    }
    let folder = Folder::new();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(first_release(&folder));
    let db = folder.database();
    for arguments in [&["replay"][..], &["account", "list"], &["account", "cap", "free", "1"]] {
        let (code, _, error) = said(&db, arguments);
        assert!(code == Some(1) && error.contains("its schema 1 is older"), "{error}");
        assert!(error.contains("`pax-ledger serve` brings it up to date"), "{error}");
    }
    drop(Service::start(&db));
    assert!(said(&db, &["account", "list"]).1.ends_with("free  active  0        0.000000000000  default\n"));
    assert_eq!(said(&db, &["account", "cap", "free", "1"]).0, Some(0));
    runtime.block_on(async {
        let store = folder.store().await;
        assert_eq!(record(&store, &[bytes(&reported(1, "free", Tier::Free))]).await[0].account_seq, Some(1));
    });
    assert_eq!(said(&db, &["replay"]).0, Some(0));
}
