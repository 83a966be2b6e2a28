//! What a restore promises: the backup's entries, in an epoch above all that filters know, and no file is lost.

use crate::common;

use std::fs;
use std::path::{Path, PathBuf};

use common::debits::reported;
use common::{Folder, SECRET, Service, act, bytes, http, record, run, stderr, stdout};
use pax_gateway::base::account::Tier;
use pax_gateway::base::clock::Moment;
use pax_gateway::base::wire::{STANDINGS_PATH, Standing, StandingAsk, StandingsReply, StandingsRequest};
use pax_ledger::store::{Began, Location, restore};

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Runtime::new().unwrap()
}

async fn add(folder: &Folder, numbers: std::ops::Range<u64>) {
    let store = folder.store().await;
    record(&store, &numbers.map(|n| bytes(&reported(n, "free", Tier::Free))).collect::<Vec<_>>()).await;
    store.close().await;
}

/// A ledger of five entries, and a backup of its first two.
async fn ledger() -> (Folder, PathBuf) {
    let folder = Folder::new();
    folder.store_with_accounts().await.close().await;
    add(&folder, 0..2).await;
    let backup = folder.0.join("backup.db");
    let into = format!("VACUUM INTO '{}'", backup.display());
    sqlx::query(&into).execute(&mut folder.shell().await).await.unwrap();
    add(&folder, 2..5).await;
    (folder, backup)
}

async fn epoch(folder: &Folder) -> u64 {
    let store = folder.store().await;
    let epoch = store.epoch().await.unwrap();
    store.close().await;
    epoch
}

fn files(folder: &Folder) -> Vec<String> {
    let names = fs::read_dir(&folder.0).unwrap().map(|it| it.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    // What SQLite keeps beside a file comes and goes.
    names.retain(|name| !name.ends_with("-wal") && !name.ends_with("-shm"));
    names.sort();
    names
}

#[test]
fn a_backup_takes_the_ledgers_place_and_the_file_that_was_there_is_kept() {
    if common::on_postgres() {
        return;
    }
    let (folder, backup) = runtime().block_on(ledger());
    let before = runtime().block_on(epoch(&folder));
    let mut read_only = fs::metadata(&backup).unwrap().permissions();
    read_only.set_readonly(true);
    fs::set_permissions(&backup, read_only).unwrap();
    let saved = fs::read(&backup).unwrap();
    let output = run(&folder.database(), &["restore", backup.to_str().unwrap()]);
    let (out, error) = (stdout(&output), stderr(&output));
    assert_eq!((output.status.code(), error.as_str()), (Some(0), ""), "{out}");
    let after = runtime().block_on(epoch(&folder));
    assert!(after > before, "{after} is not above {before}");
    assert!(out.contains(&format!("from {}: 2 entries, epoch {after}\n", backup.display())), "{out}");
    let kept =
        out.split("the file that was there is now ").nth(1).and_then(|rest| rest.split(';').next()).unwrap();
    assert!(
        out.contains(&format!("{kept}; it has 5 entries\n")) && out.contains("`pax-ledger replay`"),
        "{out}"
    );
    let entries = |db: &Path| stdout(&run(db, &["entries"])).lines().count();
    assert_eq!((entries(&folder.database()), entries(Path::new(kept))), (2, 5));
    assert_eq!(run(&folder.database(), &["replay"]).status.code(), Some(0));
    assert_eq!(fs::read(&backup).unwrap(), saved, "the backup is as it was");
    assert!(!fs::metadata(folder.database()).unwrap().permissions().readonly(), "the ledger can be written");
    assert!(!files(&folder).iter().any(|name| name.contains("restoring")), "{:?}", files(&folder));

    // What the backup lacks is recorded again from the file that was there, once, also while the service runs.
    assert!(out.contains(&format!("next: `pax-ledger recover {kept}` records again")), "{out}");
    let _service = Service::start(&folder.database());
    for said in ["recorded 3 entries of", "recorded 0 entries of"] {
        let output = run(&folder.database(), &["recover", kept]);
        let (out, error) = (stdout(&output), stderr(&output));
        assert_eq!((output.status.code(), error.as_str()), (Some(0), ""), "{out}");
        assert!(out.starts_with(said), "{out}");
    }
    assert_eq!(entries(&folder.database()), 5);
    assert_eq!(run(&folder.database(), &["replay"]).status.code(), Some(0));
}

#[test]
fn what_cannot_be_recovered_is_said() {
    if common::on_postgres() {
        return;
    }
    let (folder, backup) = runtime().block_on(ledger());
    let db = folder.database();
    runtime().block_on(async {
        let store = folder.store().await;
        assert!(store.create_account(&act(), "late", Tier::Credit, None).await.unwrap().is_some());
        record(&store, &[bytes(&reported(9, "late", Tier::Credit))]).await;
        store.close().await;
    });
    let aside = folder.0.join("aside.db");
    assert!(run(&db, &["backup", aside.to_str().unwrap()]).status.success());
    assert!(run(&db, &["restore", backup.to_str().unwrap()]).status.success());
    let output = run(&db, &["recover", aside.to_str().unwrap()]);
    let error = stderr(&output);
    assert!(
        output.status.code() == Some(1) && error.contains("`pax-ledger account create late --tier credit`"),
        "{error}"
    );
    assert_eq!(stdout(&run(&db, &["quarantine", "list", "--json"])), "", "nothing was tried");
    assert!(run(&db, &["account", "create", "late", "--tier", "credit"]).status.success());
    // An exchange that has other bytes here by now goes to quarantine.
    runtime().block_on(async {
        let mut other = reported(3, "free", Tier::Free);
        other.slot = "another".to_owned();
        record(&folder.store().await, &[bytes(&other)]).await;
    });
    let output = run(&db, &["recover", aside.to_str().unwrap()]);
    let out = stdout(&output);
    assert!(out.contains("recorded 3 entries of") && out.contains("; 2 of its entries were here"), "{out}");
    assert!(output.status.code() == Some(1) && out.contains("1 could not be recorded"), "{out}");
}

#[test]
fn nothing_is_recovered_from_another_gateways_ledger() {
    if common::on_postgres() {
        return;
    }
    let (folder, _) = runtime().block_on(ledger());
    let other = Folder::new();
    runtime().block_on(async {
        let store = other.store().await;
        assert!(store.create_account(&act(), "free", Tier::Free, None).await.unwrap().is_some());
        record(&store, &[bytes(&reported(77, "free", Tier::Free))]).await;
        store.close().await;
    });
    let before = stdout(&run(&folder.database(), &["entries"]));
    let output = run(&folder.database(), &["recover", other.database().to_str().unwrap()]);
    assert!(
        output.status.code() == Some(1) && stderr(&output).contains("another gateway's ledger"),
        "{output:?}"
    );
    assert_eq!(stdout(&run(&folder.database(), &["entries"])), before);
}

#[test]
fn each_restore_begins_a_higher_epoch_whatever_the_clock_says() {
    if common::on_postgres() {
        return;
    }
    runtime().block_on(async {
        let (folder, backup) = ledger().await;
        let location = Location::Sqlite(folder.database());
        let mut last = epoch(&folder).await;
        // The same backup again and again, while the clock stands, is set back, and goes on.
        for ms in [last, last, last - 86_400_000, 0, last + 5] {
            let restored = restore(&location, &backup, Moment::from_ms(ms)).await.unwrap();
            assert!(restored.epoch > last, "{} is not above {last}", restored.epoch);
            assert_eq!((restored.epoch, restored.entries), (epoch(&folder).await, 2));
            last = restored.epoch;
        }
        // Even if what is replaced cannot be read, the time decides.
        fs::write(folder.database(), "damaged beyond all reading").unwrap();
        let restored = restore(&location, &backup, Moment::from_ms(last + 7)).await.unwrap();
        assert_eq!(restored.epoch, last + 7);
        assert_eq!(restored.replaced.map(|replaced| replaced.entries), Some(None));
        // And where there is nothing to be replaced.
        fs::remove_file(folder.database()).unwrap();
        let restored = restore(&location, &backup, Moment::from_ms(last + 9)).await.unwrap();
        assert_eq!((restored.epoch, restored.replaced), (last + 9, None));
        let store = folder.store().await;
        assert_eq!(store.begin_epoch(Began::Served, 0, Moment::from_ms(1)).await.unwrap(), last + 10);
    });
}

#[test]
fn a_restore_that_cannot_be_is_said_and_changes_nothing() {
    if common::on_postgres() {
        return;
    }
    let (folder, backup) = runtime().block_on(ledger());
    let db = folder.database();
    let junk = folder.0.join("junk.db");
    fs::write(&junk, "this is no database at all, not even a little one").unwrap();
    let other = Folder::new();
    runtime().block_on(async {
        fs::File::create(other.database()).unwrap();
        sqlx::query("CREATE TABLE t (a)").execute(&mut other.shell().await).await.unwrap();
    });
    let (before, names) = (runtime().block_on(epoch(&folder)), files(&folder));
    for (from, why) in [
        (folder.0.join("missing.db"), "there is no backup at"),
        (folder.0.clone(), "there is no backup at"),
        (db.clone(), "is the ledger itself"),
        (junk, "file is not a database"),
        (other.database(), "it is a database, but not a ledger"),
    ] {
        let output = run(&db, &["restore", from.to_str().unwrap()]);
        let error = stderr(&output);
        assert!(output.status.code() == Some(1) && error.contains(why), "{}: {error}", from.display());
        assert_eq!(files(&folder), names);
    }
    let service = Service::start(&db);
    let output = run(&db, &["restore", backup.to_str().unwrap()]);
    let error = stderr(&output);
    assert!(
        output.status.code() == Some(1) && error.contains("is in use: stop `pax-ledger serve`"),
        "{error}"
    );
    service.signal("TERM");
    drop(service);
    assert!(runtime().block_on(epoch(&folder)) > before, "the service began one");
    assert_eq!(stdout(&run(&db, &["entries"])).lines().count(), 5);
}

#[test]
fn a_backup_of_an_older_release_is_brought_up_to_date() {
    if common::on_postgres() {
        return;
    }
    let folder = Folder::new();
    let backup = folder.0.join("old.db");
    let db = folder.database();
    runtime().block_on(async {
        use sqlx::migrate::Migrator;
        fs::File::create(&db).unwrap();
        let all = Migrator::new(crate::common::sqlite_migrations()).await.unwrap();
        let first = all.iter().filter(|migration| migration.version < 4).cloned().collect::<Vec<_>>();
        let first = Migrator { migrations: first.into(), ..Migrator::DEFAULT };
        first.run_direct(&mut folder.shell().await).await.unwrap();
    });
    fs::rename(&db, &backup).unwrap();
    let output = run(&db, &["restore", backup.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(run(&db, &["replay"]).status.code(), Some(0));
}

fn standing(service: &Service) -> Standing {
    let ask = StandingAsk { account: "free".to_owned(), utc_day: reported(0, "free", Tier::Free).utc_day };
    let body = serde_json::to_vec(&StandingsRequest { asks: vec![ask] }).unwrap();
    let (_, body) = http(service.internal, "POST", STANDINGS_PATH, Some(SECRET), &body);
    serde_json::from_str::<StandingsReply>(&body).unwrap().standings[0].unwrap()
}

#[test]
fn a_file_that_was_copied_by_hand_is_believed_too_because_each_start_begins_an_epoch() {
    if common::on_postgres() {
        return;
    }
    let (folder, backup) = runtime().block_on(ledger());
    let service = Service::start(&folder.database());
    let known = standing(&service);
    service.signal("TERM");
    drop(service);
    for beside in ["ledger.db-wal", "ledger.db-shm"] {
        let _ = fs::remove_file(folder.0.join(beside));
    }
    fs::copy(&backup, folder.database()).unwrap();
    let service = Service::start(&folder.database());
    let restored = standing(&service);
    assert_eq!((known.account_seq, restored.account_seq), (5, 2));
    assert!(restored.epoch > known.epoch, "{restored:?} {known:?}");
}

#[test]
fn a_ledger_that_says_no_epoch_is_of_the_first() {
    if common::on_postgres() {
        return;
    }
    let old = r#"{"utc_day":"2026-11-23","spent_pax":"1.5","account_seq":3}"#;
    assert_eq!(serde_json::from_str::<Standing>(old).unwrap().epoch, 0);
}
