use super::*;

#[test]
fn a_commit_of_the_writer_is_synced_and_its_accounts_exist() {
    let path = std::env::temp_dir().join(format!("pax-ledger-statements-{}.db", std::process::id()));
    std::fs::File::create(&path).unwrap();
    let connection = connect(&path).unwrap();
    let pragma = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).unwrap();
    // FULL: the log is synced at every commit. SQLite's own default is weaker where it is compiled so.
    assert_eq!((pragma("synchronous"), pragma("foreign_keys")), (2, 1));
    assert_eq!(i64::try_from(BUSY.as_millis()), Ok(pragma("busy_timeout")));
    drop(connection);
    std::fs::remove_file(&path).unwrap();
    assert!(connect(&path).is_err(), "a database that is gone is not made anew");
}

#[test]
fn sqlite_counts_no_memory_and_shares_no_page_cache_between_connections() {
    let connection = Connection::open_in_memory().unwrap();
    let is_compiled_with = |option: &str| -> bool {
        let used = "SELECT sqlite_compileoption_used(?1)";
        connection.query_row(used, [option], |row| row.get(0)).unwrap()
    };
    let found = ["DEFAULT_MEMSTATUS=0", "ENABLE_MEMORY_MANAGEMENT"].map(is_compiled_with);
    assert_eq!(found, [true, false], "cargo did not read .cargo/config.toml of this repository");
}
