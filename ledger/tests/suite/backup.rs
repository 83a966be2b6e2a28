//! What a backup promises: a whole ledger of one moment, made while others write, and nothing of anybody's replaced.

use crate::common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicBool, Ordering};

use common::debits::reported;
use common::{Folder, SECRET, Service, bytes, http, record, run, stderr, stdout};
use pax_gateway::base::account::Tier;
use pax_gateway::base::wire::DEBITS_PATH;

fn entries(db: &std::path::Path) -> usize {
    stdout(&run(db, &["entries"])).lines().count()
}

#[test]
fn a_backup_under_load_replays_and_is_restored_and_what_came_later_is_recorded_again() {
    if common::on_postgres() {
        return;
    }
    let folder = Folder::new();
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        folder.store_with_accounts().await.close().await;
    });
    let service = Service::start(&folder.database());
    let stop = AtomicBool::new(false);
    let backup = folder.0.join("backup.db");
    let sent = std::thread::scope(|scope| {
        let writing = scope.spawn(|| {
            let mut sent = 0_u64;
            while !stop.load(Ordering::Relaxed) {
                let lines: Vec<_> =
                    (sent..sent + 20).map(|n| bytes(&reported(n, "free", Tier::Free))).collect();
                assert_eq!(
                    http(service.internal, "POST", DEBITS_PATH, Some(SECRET), &lines.join(&b'\n')).0,
                    200
                );
                sent += 20;
            }
            sent
        });
        std::thread::sleep(std::time::Duration::from_millis(300));
        let output = run(&folder.database(), &["backup", backup.to_str().unwrap()]);
        std::thread::sleep(std::time::Duration::from_millis(300));
        stop.store(true, Ordering::Relaxed);
        let sent = writing.join().unwrap();
        let out = stdout(&output);
        assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""), "{out}");
        assert!(out.contains("everything holds"), "{out}");
        sent
    });
    let held = entries(&backup);
    assert!(held > 0 && held < usize::try_from(sent).unwrap() && held.is_multiple_of(20), "{held} of {sent}");
    assert_eq!(fs::metadata(&backup).unwrap().permissions().mode() & 0o777, 0o600);
    let beside = |ending: &str| backup.with_file_name(format!("backup.db{ending}"));
    for ending in [".partial", "-wal", "-shm", "-journal"] {
        assert!(!beside(ending).exists(), "{ending}");
    }

    service.signal("TERM");
    drop(service);
    let output = run(&folder.database(), &["restore", backup.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(run(&folder.database(), &["replay"]).status.code(), Some(0));
    assert_eq!(entries(&folder.database()), held);
    // Every debit once more, as an outbox would send it: what the backup has is a duplicate, the rest is recorded.
    let service = Service::start(&folder.database());
    for first in (0..sent).step_by(500) {
        let lines: Vec<_> =
            (first..sent.min(first + 500)).map(|n| bytes(&reported(n, "free", Tier::Free))).collect();
        assert_eq!(http(service.internal, "POST", DEBITS_PATH, Some(SECRET), &lines.join(&b'\n')).0, 200);
    }
    assert_eq!(entries(&folder.database()), usize::try_from(sent).unwrap());
    assert_eq!(run(&folder.database(), &["replay"]).status.code(), Some(0));
}

fn ledger() -> Folder {
    let folder = Folder::new();
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let store = folder.store_with_accounts().await;
        record(&store, &(0..3).map(|n| bytes(&reported(n, "free", Tier::Free))).collect::<Vec<_>>()).await;
        store.close().await;
    });
    folder
}

#[test]
fn a_backup_replaces_nothing_and_leaves_nothing_half_made() {
    if common::on_postgres() {
        return;
    }
    let folder = ledger();
    let backup = |name: &str| {
        let output = run(&folder.database(), &["backup", folder.0.join(name).to_str().unwrap()]);
        (output.status.code(), stderr(&output))
    };
    assert_eq!(backup("one.db").0, Some(0));
    let before = fs::read(folder.0.join("one.db")).unwrap();
    for (name, why) in [
        ("one.db", "is there already, and a backup replaces nothing"),
        ("ledger.db", "is there already"),
        ("nowhere/two.db", "nowhere/two.db.partial"),
    ] {
        let (code, error) = backup(name);
        assert!(code == Some(1) && error.contains(why), "{name}: {error}");
    }
    assert_eq!(fs::read(folder.0.join("one.db")).unwrap(), before);
    // Somebody else's copy that is being made, or was broken off.
    fs::write(folder.0.join("three.db.partial"), "half").unwrap();
    let (code, error) = backup("three.db");
    assert!(code == Some(1) && error.contains("another backup to this file is being made"), "{error}");
    assert_eq!(fs::read(folder.0.join("three.db.partial")).unwrap(), b"half");
    assert!(!folder.0.join("three.db").exists());
    // A link that points nowhere is a name that is taken.
    std::os::unix::fs::symlink("gone.db", folder.0.join("link.db")).unwrap();
    assert!(backup("link.db").1.contains("is there already") && !folder.0.join("gone.db").exists());
}

#[test]
fn a_copy_that_does_not_replay_is_said_and_kept() {
    if common::on_postgres() {
        return;
    }
    let folder = ledger();
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let mut shell = folder.shell().await;
        for sql in [
            "DROP TRIGGER credit_ledger_no_update",
            "UPDATE credit_ledger SET tokens_output = tokens_output + 1 WHERE account_seq = 2",
        ] {
            sqlx::query(sql).execute(&mut shell).await.unwrap();
        }
    });
    let file = folder.0.join("copy.db");
    let output = run(&folder.database(), &["backup", file.to_str().unwrap()]);
    let error = stderr(&output);
    assert!(output.status.code() == Some(1) && error.contains("does not replay. It is kept"), "{error}");
    assert!(error.contains("column tokens_output is") && file.exists(), "{error}");
    let unverified = folder.0.join("other.db");
    let output = run(&folder.database(), &["backup", "--no-verify", unverified.to_str().unwrap()]);
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""));
    assert_eq!(entries(&unverified), 3);
}
