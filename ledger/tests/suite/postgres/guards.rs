//! Append-only tables, and the rights of the service's role.

use pax_gateway::base::account::Tier;
use pax_postgres::server::Server;

use crate::common::debits::reported;
use crate::common::{Folder, Service, bytes, program, record, replayed, run, stderr, stdout};

/// A ledger with an entry, a line in quarantine and an epoch.
async fn ledger() -> Folder {
    let folder = Folder::of_postgres();
    let store = folder.store_with_accounts().await;
    record(&store, &[bytes(&reported(1, "free", Tier::Free)), b"{}".to_vec()]).await;
    store.close().await;
    folder
}

/// What a replay finds. The store is closed then, so that no session of it keeps a lock.
async fn found(folder: &Folder) -> Vec<String> {
    let store = folder.store().await;
    let found = replayed(&store).await.1.iter().map(ToString::to_string).collect();
    store.close().await;
    found
}

fn name(folder: &Folder) -> String {
    folder.database().to_str().unwrap().rsplit('/').next().unwrap().to_owned()
}

fn url_of(folder: &Folder, role: &str) -> String {
    folder.database().to_str().unwrap().replace("postgres@", &format!("{role}@"))
}

#[tokio::test]
async fn rows_are_neither_changed_nor_deleted_nor_truncated_even_in_the_role_of_a_replica() {
    let folder = ledger().await;
    for table in ["credit_ledger", "quarantine", "epochs", "operator_log", "operator_log_head"] {
        for sql in [format!("DELETE FROM {table}"), format!("TRUNCATE {table} CASCADE")] {
            let sql = format!("SET session_replication_role = replica; {sql}");
            let refused = Server::shared().refuses(&name(&folder), &sql);
            assert!(refused.contains("append-only"), "{sql}: {refused}");
        }
    }
    for sql in [
        "UPDATE credit_ledger SET cost_picopax = 0",
        "UPDATE quarantine SET reason = 'conflict'",
        "UPDATE operator_log SET by = 'eve'",
        "UPDATE operator_log_head SET seq = seq - 1",
        "INSERT INTO epochs (epoch, began_at, because) VALUES (1, 1, 'served')",
    ] {
        let refused = Server::shared().refuses(&name(&folder), sql);
        assert!(
            refused.contains("append-only") || refused.contains("one row to the next"),
            "{sql}: {refused}"
        );
    }
    assert!(found(&folder).await.is_empty());
}

// A session gives back its locks in the background, while this test waits for psql.
#[tokio::test(flavor = "multi_thread")]
async fn a_replay_names_what_is_missing_altered_switched_off_or_added_and_the_statement_it_names_mends_it() {
    let folder = ledger().await;
    for (change, named) in [
        (
            "DROP TRIGGER credit_ledger_no_change ON credit_ledger",
            "trigger credit_ledger_no_change, which keeps table credit_ledger append-only, is missing",
        ),
        (
            "ALTER TABLE quarantine DISABLE TRIGGER quarantine_no_truncate",
            "is not switched on for every session",
        ),
        ("ALTER TABLE epochs ENABLE TRIGGER epochs_no_return", "is not switched on for every session"),
        (
            "DROP TRIGGER operator_log_no_change ON operator_log; CREATE TRIGGER operator_log_no_change BEFORE DELETE \
             ON operator_log FOR EACH ROW EXECUTE FUNCTION pax_append_only(); ALTER TABLE operator_log ENABLE ALWAYS \
             TRIGGER operator_log_no_change",
            "is altered (it says: CREATE TRIGGER operator_log_no_change BEFORE DELETE ON",
        ),
        (
            "CREATE TRIGGER swallow BEFORE INSERT ON credit_ledger FOR EACH ROW EXECUTE FUNCTION pax_append_only()",
            "trigger swallow on table credit_ledger is none of the ledger's",
        ),
        (
            "CREATE OR REPLACE FUNCTION pax_append_only() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NEW; END$$",
            "function pax_append_only, which the triggers of append-only tables call, is altered",
        ),
        (
            "CREATE RULE swallow AS ON INSERT TO credit_ledger WHERE NEW.account = 'eve' DO INSTEAD NOTHING",
            "rule swallow on table credit_ledger is none of the ledger's",
        ),
        (
            "GRANT DELETE ON credit_ledger TO PUBLIC",
            "role PUBLIC has the right to DELETE on the append-only table credit_ledger",
        ),
        (
            "GRANT UPDATE (by, reason) ON operator_log TO PUBLIC",
            "role PUBLIC has the right to UPDATE (by, reason) on the append-only table operator_log",
        ),
        (
            "ALTER TABLE credit_ledger DROP CONSTRAINT credit_ledger_exchange_id_key",
            "constraint UNIQUE (exchange_id) of table credit_ledger is missing",
        ),
    ] {
        folder.sql(change).await;
        let found = found(&folder).await;
        let [told] = found.as_slice() else { panic!("{change}: {found:?}") };
        assert!(told.contains(named), "{change}: {told}");
        let mending = told.rsplit_once(": ").unwrap().1;
        folder.sql(mending).await;
        assert!(self::found(&folder).await.is_empty(), "{mending}");
    }
}

#[test]
fn the_service_works_with_a_role_that_can_change_no_entry() {
    let folder = tokio::runtime::Runtime::new().unwrap().block_on(ledger());
    let role = format!("service_{}", name(&folder));
    Server::shared().run("postgres", &format!("CREATE ROLE {role} LOGIN"));
    let granted = run(&folder.database(), &["migrate", "--grant-to", &role]);
    assert!(granted.status.success(), "{}", stderr(&granted));
    let url = url_of(&folder, &role);
    for (sql, refusal) in [
        ("UPDATE credit_ledger SET cost_picopax = 0", "permission denied"),
        ("DELETE FROM quarantine", "permission denied"),
        ("TRUNCATE operator_log", "permission denied"),
        ("ALTER TABLE credit_ledger DISABLE TRIGGER credit_ledger_no_change", "must be owner"),
        ("DROP TRIGGER credit_ledger_no_change ON credit_ledger", "must be owner"),
    ] {
        let refused = Server::shared().refuses_as(&role, &name(&folder), sql);
        assert!(refused.contains(refusal), "{sql}: {refused}");
    }
    let service = Service::start(std::path::Path::new(&url));
    let line = bytes(&reported(3, "free", Tier::Free));
    let (status, body) = crate::common::http(
        service.internal,
        "POST",
        pax_gateway::base::wire::DEBITS_PATH,
        Some(crate::common::SECRET),
        &line,
    );
    assert!(status == 200 && body.contains("recorded"), "{status} {body}");
    drop(service);
    let command = |arguments: &[&str]| {
        let output = program(std::path::Path::new(&url)).args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
        stdout(&output)
    };
    command(&["account", "create", "made-by-service", "--tier", "credit"]);
    command(&["grant", "made-by-service", "1", "--class", "goodwill", "--reason", "a test"]);
    command(&["quarantine", "seen", "--all", "--reason", "a test"]);
    assert!(command(&["replay"]).contains("everything holds"));
    // A role that is the owner's could switch the triggers off.
    let (owner, database) = (format!("owner_{}", name(&folder)), name(&folder));
    Server::shared()
        .run(&database, &format!("CREATE ROLE {owner}; ALTER TABLE credit_ledger OWNER TO {owner}"));
    Server::shared().run(&database, &format!("GRANT {owner} TO {role}"));
    let told = run(std::path::Path::new(&url), &["replay"]);
    let named = format!("role {role}, to which the service's rights were given, is a member of role {owner}");
    assert!(told.status.code() == Some(1) && stderr(&told).contains(&named), "{}", stderr(&told));
    Server::shared().run(&database, &format!("REVOKE {owner} FROM {role}"));
    assert!(command(&["replay"]).contains("everything holds"));
}
