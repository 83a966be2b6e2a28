//! The rights of the service's role: it may add to what only grows, and change nothing there.

use sqlx::postgres::PgConnection;
use sqlx::{Connection, Error, Executor};

use super::hosts::Hosts;

/// What the service does with each table, beside reading it.
const RIGHTS: [(&str, &str); 15] = [
    ("credit_ledger", "INSERT"),
    ("quarantine", "INSERT"),
    ("quarantine_seen", "INSERT"),
    ("rate_cards", "INSERT"),
    ("epochs", "INSERT"),
    ("operator_log", "INSERT"),
    ("operator_log_head", "UPDATE"),
    ("accounts", "INSERT, UPDATE"),
    ("tokens", "INSERT, UPDATE"),
    ("day_totals", "INSERT, UPDATE"),
    ("token_days", "INSERT, UPDATE"),
    ("lots", "INSERT, UPDATE"),
    ("holds", "INSERT, UPDATE, DELETE"),
    ("tombstones", "INSERT, UPDATE, DELETE"),
    ("leases", "INSERT, UPDATE, DELETE"),
];

/// Gives a role the rights of the service, and no others.
///
/// # Errors
/// If the database refuses.
pub(in crate::store) async fn grant(hosts: &Hosts, role: &str) -> Result<(), Error> {
    let mut connection = hosts.connect().await?;
    let role: String =
        sqlx::query_scalar("SELECT quote_ident($1)").bind(role).fetch_one(&mut connection).await?;
    let mut sql = format!(
        "BEGIN; REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {role}; GRANT USAGE ON SCHEMA public TO {role}; \
         GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role};"
    );
    for (table, rights) in RIGHTS {
        sql.push_str(&format!("GRANT {rights} ON {table} TO {role};"));
    }
    sql.push_str("COMMIT");
    connection.execute(sql.as_str()).await?;
    connection.close().await
}

/// Whether this session's role may make tables.
pub(super) async fn may_create(connection: &mut PgConnection) -> Result<bool, Error> {
    let sql = "SELECT has_schema_privilege(current_schema(), 'CREATE')";
    sqlx::query_scalar::<_, Option<bool>>(sql).fetch_one(connection).await.map(|may| may == Some(true))
}
