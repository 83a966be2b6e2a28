//! Checks that what keeps tables append-only is there: the triggers as the migrations make them, switched on for every
//! session, no rule, and no role but the owner with the right to change rows.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::Row;
use sqlx::postgres::PgConnection;

use super::rights;
use crate::error::Error;
use crate::store::failed;

/// Tables whose rows never change.
const GUARDED: [&str; 6] =
    ["credit_ledger", "quarantine", "quarantine_seen", "rate_cards", "epochs", "operator_log"];
/// Tables with guards of any kind.
const ALL: [&str; 7] = [
    "credit_ledger",
    "quarantine",
    "quarantine_seen",
    "rate_cards",
    "epochs",
    "operator_log",
    "operator_log_head",
];
/// What may be there only once: the table, and the constraint as PostgreSQL writes it.
const UNIQUE: [(&str, &str); 22] = [
    ("accounts", "PRIMARY KEY (name)"),
    ("tokens", "PRIMARY KEY (token_id)"),
    ("tokens", "UNIQUE (sha256)"),
    ("credit_ledger", "PRIMARY KEY (rowid)"),
    ("credit_ledger", "UNIQUE (exchange_id)"),
    ("credit_ledger", "UNIQUE (entry_key)"),
    ("credit_ledger", "UNIQUE (account, account_seq)"),
    ("day_totals", "PRIMARY KEY (account, utc_day)"),
    ("token_days", "PRIMARY KEY (account, token_id, utc_day)"),
    ("lots", "PRIMARY KEY (entry_key)"),
    ("holds", "PRIMARY KEY (exchange_id)"),
    ("tombstones", "PRIMARY KEY (exchange_id)"),
    ("leases", "PRIMARY KEY (envoy)"),
    ("rate_cards", "PRIMARY KEY (sha256)"),
    ("rate_cards", "UNIQUE (version)"),
    ("quarantine", "PRIMARY KEY (rowid)"),
    ("quarantine", "UNIQUE (sha256, reason)"),
    ("quarantine_seen", "PRIMARY KEY (sha256, reason)"),
    ("epochs", "PRIMARY KEY (epoch)"),
    ("operator_log", "PRIMARY KEY (seq)"),
    ("operator_log", "UNIQUE (key)"),
    ("operator_log_head", "PRIMARY KEY (one)"),
];
/// The guards' functions, as the migrations write them.
const FUNCTIONS: [(&str, &str); 3] = [
    ("pax_append_only", "BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME; END"),
    (
        "pax_one_row_further",
        "BEGIN IF NEW.seq <> OLD.seq + 1 THEN RAISE EXCEPTION 'operator_log_head goes from one row to the next'; END IF; RETURN NEW; END",
    ),
    (
        "pax_no_return",
        "BEGIN IF NEW.epoch <= (SELECT max(epoch) FROM epochs) THEN RAISE EXCEPTION 'epochs is append-only: a new one is above all before it'; END IF; RETURN NEW; END",
    ),
];

/// A guard: its trigger's name, its table, and its definition.
fn guards() -> BTreeMap<String, (&'static str, String)> {
    let definition = |name: &str, when: &str, table: &str, each: &str, function: &str| {
        format!(
            "CREATE TRIGGER {name} BEFORE {when} ON public.{table} FOR EACH {each} EXECUTE FUNCTION {function}()"
        )
    };
    let mut guards = BTreeMap::new();
    let mut add = |name: String, table: &'static str, when: &str, each: &str, function: &str| {
        let made = definition(&name, when, table, each, function);
        guards.insert(name, (table, made));
    };
    for table in GUARDED {
        add(format!("{table}_no_change"), table, "DELETE OR UPDATE", "ROW", "pax_append_only");
    }
    for table in ALL {
        add(format!("{table}_no_truncate"), table, "TRUNCATE", "STATEMENT", "pax_append_only");
    }
    let head = "operator_log_head";
    add(format!("{head}_no_delete"), head, "DELETE", "ROW", "pax_append_only");
    add(format!("{head}_no_return"), head, "UPDATE", "ROW", "pax_one_row_further");
    add("epochs_no_return".to_owned(), "epochs", "INSERT", "ROW", "pax_no_return");
    guards
}

/// What is wrong with the guards, and what to do about it.
pub(in crate::store) async fn broken_guards(connection: &mut PgConnection) -> Result<Vec<String>, Error> {
    let looking = failed("looked for triggers");
    let mut broken = triggers(connection).await.map_err(&looking)?;
    broken.extend(functions(connection).await.map_err(&looking)?);
    broken.extend(rules(connection).await.map_err(&looking)?);
    broken.extend(constraints(connection).await.map_err(&looking)?);
    broken.extend(rights::broken(connection, &ALL).await.map_err(&looking)?);
    Ok(broken)
}

async fn triggers(connection: &mut PgConnection) -> Result<Vec<String>, sqlx::Error> {
    let sql = "SELECT tgname::text, tgrelid::regclass::text, tgenabled::text, pg_get_triggerdef(oid) FROM pg_trigger \
        WHERE NOT tgisinternal AND tgrelid = ANY(CAST($1 AS regclass[]))";
    let tables: Vec<String> = ALL.iter().map(|table| format!("public.{table}")).collect();
    let rows = sqlx::query(sql).bind(tables).fetch_all(connection).await?;
    let mut found: BTreeMap<String, (String, String, String)> = BTreeMap::new();
    for row in &rows {
        found.insert(row.try_get(0)?, (row.try_get(1)?, row.try_get(2)?, row.try_get(3)?));
    }
    let mut broken = Vec::new();
    for (name, (table, made)) in guards() {
        let what = match found.remove(&name) {
            Some((_, enabled, same)) if same == made && enabled == "A" => continue,
            Some((_, _, same)) if same == made => "is not switched on for every session".to_owned(),
            Some((_, _, other)) => format!("is altered (it says: {other})"),
            None => "is missing".to_owned(),
        };
        broken.push(format!(
            "trigger {name}, which keeps table {table} append-only, {what}: rows of {table} may have been changed or deleted \
             since. Find out who did that, compare the table with a backup, then run this in `psql` as the table's owner: \
             DROP TRIGGER IF EXISTS {name} ON {table}; {made}; ALTER TABLE {table} ENABLE ALWAYS TRIGGER {name};"
        ));
    }
    for (name, (table, _, says)) in found {
        broken.push(format!(
            "trigger {name} on table {table} is none of the ledger's (it says: {says}): it can swallow or change what is \
             recorded. Find out who made it, then run this in `psql`: DROP TRIGGER {name} ON {table};"
        ));
    }
    Ok(broken)
}

async fn functions(connection: &mut PgConnection) -> Result<Vec<String>, sqlx::Error> {
    let mut broken = Vec::new();
    for (name, body) in FUNCTIONS {
        let sql = "SELECT prosrc FROM pg_proc WHERE proname = $1 AND pronargs = 0 \
            AND pronamespace = 'public'::regnamespace";
        let found: Option<String> =
            sqlx::query_scalar(sql).bind(name).fetch_optional(&mut *connection).await?;
        if found.as_deref() != Some(body) {
            broken.push(format!(
                "function {name}, which the triggers of append-only tables call, is altered or missing: rows may have been \
                 changed or deleted since. Find out who did that, compare the tables with a backup, then run this in `psql`: \
                 CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $${body}$$;"
            ));
        }
    }
    Ok(broken)
}

async fn rules(connection: &mut PgConnection) -> Result<Vec<String>, sqlx::Error> {
    let mut broken = Vec::new();
    let sql = "SELECT rulename::text, tablename::text FROM pg_rules WHERE schemaname = 'public' AND tablename = ANY($1)";
    for row in sqlx::query(sql).bind(ALL.as_slice()).fetch_all(&mut *connection).await? {
        let (rule, table): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        broken.push(format!(
            "rule {rule} on table {table} is none of the ledger's: it can swallow or change what is recorded. Find out who \
             made it, then run this in `psql`: DROP RULE {rule} ON {table};"
        ));
    }
    Ok(broken)
}

/// What keeps an exchange, an entry's number, a key and a card from being there twice.
async fn constraints(connection: &mut PgConnection) -> Result<Vec<String>, sqlx::Error> {
    let sql = "SELECT conrelid::regclass::text, pg_get_constraintdef(oid) FROM pg_constraint \
        WHERE connamespace = 'public'::regnamespace AND contype IN ('p', 'u')";
    let mut found = BTreeSet::new();
    for row in sqlx::query(sql).fetch_all(connection).await? {
        found.insert((row.try_get::<String, _>(0)?, row.try_get::<String, _>(1)?));
    }
    let missing =
        UNIQUE.into_iter().filter(|(table, says)| !found.contains(&((*table).into(), (*says).into())));
    let broken = missing.map(|(table, says)| {
        format!(
            "constraint {says} of table {table} is missing: rows may be there twice. Find out who dropped it, then run this in \
             `psql`: ALTER TABLE {table} ADD {says};"
        )
    });
    Ok(broken.collect())
}

/// What the database finds wrong: constraints that were switched off or never checked, and indices that are not valid.
pub(in crate::store) async fn damage(connection: &mut PgConnection) -> Result<Vec<String>, Error> {
    let checking = failed("checked constraints and indices");
    let sql = "SELECT 'constraint ' || conname || ' of ' || conrelid::regclass || ' was never checked' FROM pg_constraint \
        WHERE connamespace = 'public'::regnamespace AND NOT convalidated \
        UNION ALL SELECT 'index ' || indexrelid::regclass || ' is not valid: run REINDEX' FROM pg_index \
        JOIN pg_class ON pg_class.oid = indexrelid WHERE relnamespace = 'public'::regnamespace AND NOT indisvalid";
    sqlx::query_scalar(sql).fetch_all(connection).await.map_err(checking)
}
