//! Ledgers of versions before, with accounts below zero, are brought up to date and prove themselves.

use crate::common;

use std::process::Command;

use common::debits::{byo, estimated, on_day, reported};
use common::{Folder, record, replayed, run, stderr, stdout};
use pax_gateway::base::account::{Funding, Tier};
use pax_gateway::debit::frozen::Debit;
use pax_ledger::book::{COLUMNS, Sum, Value, columns, entry_hash, genesis};
use pax_ledger::store::{AccountRow, DayTotal, EntryFilter, Store, StoredEntry};
use sqlx::migrate::Migrator;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, QueryBuilder};

/// The schema of version 0.1.0.
const OLD_SCHEMA: i64 = 5;
const RECORDED_AT: i64 = 1_795_400_000_000;

/// A database with the schema of version 0.1.0 and these debits, as that version wrote them.
async fn old_ledger(folder: &Folder, debits: &[Debit]) {
    let mut migrator = Migrator::new(common::sqlite_migrations()).await.unwrap();
    migrator.migrations.to_mut().retain(|migration| migration.version <= OLD_SCHEMA);
    assert_eq!(migrator.migrations.len(), 5);
    let options = SqliteConnectOptions::new().filename(folder.database()).create_if_missing(true);
    let mut old = options.connect().await.unwrap();
    migrator.run_direct(&mut old).await.unwrap();
    for (account, tier) in [("free", "free"), ("credit", "credit"), ("idle", "credit")] {
        chain(&mut old, account, tier, debits).await;
    }
}

async fn chain(old: &mut SqliteConnection, account: &str, tier: &str, debits: &[Debit]) {
    let (mut head, mut seq, mut balance) = (genesis(account).to_string(), 0, Sum::ZERO);
    let insert = "INSERT INTO accounts (name, tier, status, created_at, account_seq, head_hash, balance_picopax) \
         VALUES (?1, ?2, 'active', 0, 0, ?3, 0)";
    sqlx::query(insert).bind(account).bind(tier).bind(&head).execute(&mut *old).await.unwrap();
    for debit in debits.iter().filter(|debit| debit.account == account) {
        seq += 1;
        // Its clock was set back between any two entries.
        let recorded_at = RECORDED_AT - seq;
        let canonical = debit.to_canonical();
        let hash = entry_hash(&head, seq, recorded_at, &canonical).to_string();
        let names = COLUMNS.join(", ");
        let mut row = QueryBuilder::<sqlx::Sqlite>::new(format!(
            "INSERT INTO credit_ledger ({names}, canonical, account_seq, prev_hash, entry_hash, recorded_at) VALUES ("
        ));
        let mut values = row.separated(", ");
        for column in columns(debit).unwrap() {
            match column {
                Value::Int(number) => values.push_bind(number),
                Value::Text(text) => values.push_bind(text),
                Value::Null | Value::Alien => values.push_bind(None::<String>),
            };
        }
        values.push_bind(canonical).push_bind(seq).push_bind(head).push_bind(hash.clone());
        values.push_bind(recorded_at);
        row.push(")").build().execute(&mut *old).await.unwrap();
        head = hash;
        if debit.funding == Funding::Platform {
            let add = "INSERT INTO day_totals (account, utc_day, spent_picopax) VALUES (?1, ?2, ?3) \
                 ON CONFLICT DO UPDATE SET spent_picopax = spent_picopax + ?3";
            let add = sqlx::query(add).bind(account).bind(debit.utc_day.to_string());
            add.bind(debit.cost_pax.picopax()).execute(&mut *old).await.unwrap();
            if debit.tier == Tier::Credit {
                balance = balance.minus(debit.cost_pax);
            }
        }
    }
    let save = "UPDATE accounts SET account_seq = ?2, head_hash = ?3, balance_picopax = ?4 WHERE name = ?1";
    let save = sqlx::query(save).bind(account).bind(seq).bind(head);
    save.bind(balance.nearest().picopax()).execute(old).await.unwrap();
}

#[tokio::test]
async fn a_ledger_of_0_1_0_proves_itself_after_the_upgrade_and_its_debts_are_listed_and_settled() {
    if common::on_postgres() {
        return;
    }
    let folder = Folder::new();
    let debits = [
        reported(1, "free", Tier::Free),
        on_day(estimated(2, "free", Tier::Free), 1),
        reported(3, "credit", Tier::Credit),
        byo(4, "credit", Tier::Credit),
        estimated(5, "credit", Tier::Credit),
    ];
    old_ledger(&folder, &debits).await;
    let store = folder.store().await;
    assert_eq!(replayed(&store).await.1, []);
    let owed = debits[2].cost_pax.checked_add(debits[4].cost_pax).unwrap();
    assert_eq!(store.account("credit").await.unwrap().unwrap().balance, Sum::ZERO.minus(owed));

    // What the ledger writes from now on follows what it wrote before.
    record(
        &store,
        &[reported(6, "free", Tier::Free), reported(7, "credit", Tier::Credit)].map(|it| it.to_canonical()),
    )
    .await;
    let owed = owed.checked_add(reported(7, "credit", Tier::Credit).cost_pax).unwrap();
    // The list of debts changes nothing; then each is settled by an entry, once.
    let of_free = free(&store).await;
    let settle = ["grant", "--to-zero", "--all", "--key", "upgrade", "--reason", "from 0.1.0"];
    let said = |more: &[&str]| stdout(&run(&folder.database(), &[&settle[..], more].concat()));
    let listed = said(&["--dry-run"]);
    assert_eq!(listed, format!("would grant {owed} PAX to account credit\n1 accounts are below zero\n"));
    assert_eq!(replayed(&store).await.0.entries, 7);
    let settled = said(&[]);
    assert!(settled.starts_with(&format!("granted {owed} PAX to account credit")), "{settled}");
    assert_eq!(said(&[]), "0 accounts were below zero\n");
    assert_eq!(store.account("credit").await.unwrap().unwrap().balance, Sum::ZERO);
    let (report, found) = replayed(&store).await;
    assert_eq!((report.entries, found), (8, Vec::new()));
    assert_eq!(free(&store).await, of_free, "the free tier is untouched");
}

/// The database that the demo of commit 9c65b90 has left behind: an account of each tier, with an entry of each.
const OF_9C65B90: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/compose/before/9c65b90.gz");

#[tokio::test]
async fn a_ledger_that_9c65b90_wrote_is_upgraded_its_debt_is_listed_and_settled_and_it_can_move_to_postgresql()
 {
    if common::on_postgres() {
        return;
    }
    let (folder, moved) = (Folder::new(), Folder::of_postgres());
    let unpacked = Command::new("gzip").args(["-dc", OF_9C65B90]).output().unwrap();
    std::fs::write(folder.database(), unpacked.stdout).unwrap();
    let command = |arguments: &[&str]| {
        let output = run(&folder.database(), arguments);
        assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
        stdout(&output)
    };
    command(&["migrate"]);
    let store = folder.store().await;
    let untouched = of_account(&store, "demo-free").await;
    assert_eq!(untouched.2.len(), 1);
    let settle = ["grant", "--to-zero", "--all", "--key", "upgrade", "--reason", "from 9c65b90"];
    let listed = command(&[&settle[..], &["--dry-run"]].concat());
    assert_eq!(listed, "would grant 0.000021763780 PAX to account demo-credit\n1 accounts are below zero\n");
    assert!(command(&settle).starts_with("granted 0.000021763780 PAX to account demo-credit"));
    let (report, found) = replayed(&store).await;
    assert_eq!((report.entries, found), (3, Vec::new()));
    assert_eq!(of_account(&store, "demo-free").await, untouched, "the free tier is untouched");
    store.close().await;
    let copied = command(&["copy", folder.database().to_str().unwrap(), moved.database().to_str().unwrap()]);
    assert!(copied.contains("3 entries"), "{copied}");
    let store = moved.store().await;
    assert_eq!(of_account(&store, "demo-free").await.2.len(), 1);
    assert_eq!(replayed(&store).await.1, []);
}

/// All that the ledger keeps of account `free`.
async fn free(store: &Store) -> (AccountRow, Vec<DayTotal>, Vec<StoredEntry>) {
    of_account(store, "free").await
}

/// All that the ledger keeps of an account.
async fn of_account(store: &Store, name: &str) -> (AccountRow, Vec<DayTotal>, Vec<StoredEntry>) {
    let mut snapshot = store.snapshot().await.unwrap();
    let account = snapshot.account(name).await.unwrap().unwrap();
    let days = snapshot.day_totals(name).await.unwrap();
    let filter = EntryFilter { account: Some(name.to_owned()), ..EntryFilter::default() };
    (account, days, store.entries(&filter, None, 100).await.unwrap())
}
