//! The rights of the service's role: it may add to what only grows, and change nothing there.

use sqlx::postgres::PgConnection;
use sqlx::{Connection, Error, Executor, Row};

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

/// Rights to change rows, on a table or on columns of it.
const RIGHTS_ON: &str = "WITH given AS ( \
    SELECT pg_class.relname, relowner, acl.grantee, acl.privilege_type, '' AS columns \
    FROM pg_class, aclexplode(relacl) AS acl WHERE relnamespace = 'public'::regnamespace \
    UNION ALL SELECT pg_class.relname, relowner, acl.grantee, acl.privilege_type, \
    ' (' || string_agg(quote_ident(attname), ', ' ORDER BY attnum) || ')' \
    FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid, aclexplode(attacl) AS acl \
    WHERE relnamespace = 'public'::regnamespace GROUP BY 1, 2, 3, 4) \
    SELECT DISTINCT relname::text, CASE WHEN grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END, \
    privilege_type, columns FROM given WHERE relname = ANY($1) AND grantee <> relowner \
    AND (privilege_type IN ('DELETE', 'TRUNCATE', 'TRIGGER') \
    OR (privilege_type = 'UPDATE' AND relname <> 'operator_log_head')) ORDER BY 1, 2, 3, 4";
/// Roles that may add entries, and are members of the role that owns the entries' table.
const OWNERS: &str = "SELECT DISTINCT quote_ident(rolname), quote_ident(pg_get_userbyid(relowner)) \
    FROM pg_class, aclexplode(relacl) AS acl JOIN pg_roles ON pg_roles.oid = acl.grantee \
    WHERE pg_class.oid = 'public.credit_ledger'::regclass AND acl.grantee <> relowner \
    AND acl.privilege_type = 'INSERT' AND NOT rolsuper AND pg_has_role(acl.grantee, relowner, 'MEMBER') ORDER BY 1";

/// Gives a role the rights of the service, and no others.
///
/// # Errors
/// If the database refuses.
pub(in crate::store) async fn grant(hosts: &Hosts, name: &str) -> Result<(), Error> {
    let mut connection = hosts.connect().await?;
    let role: String =
        sqlx::query_scalar("SELECT quote_ident($1)").bind(name).fetch_one(&mut connection).await?;
    let mut sql = format!(
        "BEGIN; REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {role}; REVOKE CREATE ON SCHEMA public FROM PUBLIC, {role}; \
         GRANT USAGE ON SCHEMA public TO {role}; \
         GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role};"
    );
    for (table, rights) in RIGHTS {
        sql.push_str(&format!("GRANT {rights} ON {table} TO {role};"));
    }
    sql.push_str("COMMIT");
    connection.execute(sql.as_str()).await?;
    // Only the schema's owner can take that right away; PostgreSQL merely warns anybody else.
    let may_create: bool = sqlx::query_scalar("SELECT has_schema_privilege($1, 'public', 'CREATE')")
        .bind(name)
        .fetch_one(&mut connection)
        .await?;
    connection.close().await?;
    if may_create {
        let why = format!(
            "{role} may still create tables and functions in the schema: let the schema's owner run this in `psql`, and grant \
             again: REVOKE CREATE ON SCHEMA public FROM PUBLIC, {role};"
        );
        return Err(Error::Configuration(why.into()));
    }
    Ok(())
}

/// Rights on append-only tables that nobody but their owner should have, and roles of the service that are the owner's,
/// with what to do about each. An owner may do everything with what is his; whoever else has one of these could have used
/// it.
pub(super) async fn broken(connection: &mut PgConnection, tables: &[&str]) -> Result<Vec<String>, Error> {
    let mut broken = Vec::new();
    for row in sqlx::query(RIGHTS_ON).bind(tables).fetch_all(&mut *connection).await? {
        let (table, role, right, columns): (String, String, String, String) =
            (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?);
        broken.push(format!(
            "role {role} has the right to {right}{columns} on the append-only table {table}. Find out who gave it, compare \
             the table with a backup, then run this in `psql`: REVOKE {right}{columns} ON {table} FROM {role};"
        ));
    }
    for row in sqlx::query(OWNERS).fetch_all(connection).await? {
        let (role, owner): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        broken.push(format!(
            "role {role}, to which the service's rights were given, is a member of role {owner}, which owns the tables: it can \
             switch their triggers off. Find out who made it one, compare the tables with a backup, then run this in `psql`: \
             REVOKE {owner} FROM {role};"
        ));
    }
    Ok(broken)
}

/// Whether this session's role may make tables.
pub(super) async fn may_create(connection: &mut PgConnection) -> Result<bool, Error> {
    let sql = "SELECT has_schema_privilege(current_schema(), 'CREATE')";
    sqlx::query_scalar::<_, Option<bool>>(sql).fetch_one(connection).await.map(|may| may == Some(true))
}
