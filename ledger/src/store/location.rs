//! Which database to use, and how to open it.

use std::fmt;
use std::path::PathBuf;

use sqlx::postgres::PgConnectOptions;

use crate::error::Error;

/// How to open a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Open {
    /// Make it if it is missing, and bring its schema up to date.
    Create,
    /// It must be there and be a ledger's; its schema is brought up to date.
    Upgrade,
    /// It must be there and up to date.
    Existing,
    /// Like `Existing`, and nothing is written.
    Read,
}

/// The database of `--db`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// A file.
    Sqlite(PathBuf),
    /// A database of a PostgreSQL server.
    Postgres(PostgresUrl),
}

/// What may stand behind `?` in a URL of PostgreSQL.
const PARAMETERS: [&str; 11] = [
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "host",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
];

/// A URL `postgres://USER:PASSWORD@HOST:PORT,HOST:PORT/DATABASE`. Its password is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresUrl(String);

impl PostgresUrl {
    /// How to connect to each of its hosts.
    ///
    /// # Errors
    /// What is wrong with the URL; this may repeat its password.
    pub fn hosts(&self) -> Result<Vec<PgConnectOptions>, sqlx::Error> {
        let (before, hosts, behind) = self.parts();
        let to = |host: &str| -> Result<PgConnectOptions, sqlx::Error> {
            let options: PgConnectOptions = format!("{before}{host}{behind}").parse()?;
            // An IPv6 address has brackets in a URL, and none in a certificate.
            let name = options.get_host().trim_start_matches('[').trim_end_matches(']').to_owned();
            Ok(options.host(&name))
        };
        hosts.split(',').map(to).collect()
    }

    /// The first parameter behind `?` that means nothing: it would be passed over, and `sslMode` is not `sslmode`.
    fn unknown_parameter(&self) -> Option<&str> {
        let (_, _, behind) = self.parts();
        let (_, parameters) = behind.split_once('?')?;
        let mut names = parameters.split('&').filter_map(|pair| pair.split('=').next());
        names.find(|name| !name.is_empty() && !PARAMETERS.contains(name))
    }

    /// The scheme and the user, the hosts, and the rest.
    fn parts(&self) -> (&str, &str, &str) {
        let begin = self.0.find("://").map_or(0, |at| at + "://".len());
        let rest = self.0.get(begin..).unwrap_or_default();
        let end = begin + rest.find(['/', '?']).unwrap_or(rest.len());
        let authority = self.0.get(begin..end).unwrap_or_default();
        let hosts = begin + authority.rfind('@').map_or(0, |at| at + 1);
        let part = |from: usize, to: usize| self.0.get(from..to).unwrap_or_default();
        (part(0, hosts), part(hosts, end), part(end, self.0.len()))
    }
}

impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (_, hosts, behind) = self.parts();
        let database = behind.split('?').next().unwrap_or_default();
        write!(f, "postgres://{hosts}{database}")
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => path.display().fmt(f),
            Self::Postgres(url) => url.fmt(f),
        }
    }
}

impl Location {
    /// Reads a path, or a URL `sqlite:PATH`, `sqlite://PATH` or `postgres://USER:PASSWORD@HOST/DATABASE`; PostgreSQL may
    /// have several hosts, with commas between them.
    ///
    /// # Errors
    /// If it is empty or names another kind of database.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let path = match text.split_once(':') {
            Some(("sqlite", path)) => path.strip_prefix("//").unwrap_or(path),
            Some(("postgres" | "postgresql", rest)) if rest.starts_with("//") => {
                let url = PostgresUrl(text.to_owned());
                // What the reader of URLs says may repeat the URL, with its password.
                let hosts = url.hosts().map_err(|_| {
                    Error::Operator(
                        "--db (or PAX_LEDGER_DB) is no URL of a PostgreSQL database; write it as \
                         postgres://USER:PASSWORD@HOST:PORT/DATABASE, with %XX for signs like @ and / in the password"
                            .to_owned(),
                    )
                })?;
                if let Some(unknown) = url.unknown_parameter() {
                    return Err(Error::Operator(format!(
                        "{url}: there is no parameter {unknown:?}; there are {}",
                        PARAMETERS.join(", ")
                    )));
                }
                if hosts.iter().any(|host| host.get_database().is_none_or(str::is_empty)) {
                    return Err(Error::Operator(format!("{url} names no database: write {url}/DATABASE")));
                }
                return Ok(Self::Postgres(url));
            }
            Some((scheme, rest)) if rest.starts_with("//") => {
                return Err(Error::Operator(format!(
                    "{scheme}: is no database of ours; give --db a file, such as ./data/ledger.db, or \
                     postgres://USER:PASSWORD@HOST/DATABASE"
                )));
            }
            _ => text,
        };
        if path.is_empty() {
            return Err(Error::Operator(
                "--db is empty; give it a file, such as ./data/ledger.db".to_owned(),
            ));
        }
        if path.starts_with(":memory:") {
            return Err(Error::Operator("a ledger in memory would be lost; give --db a file".to_owned()));
        }
        Ok(Self::Sqlite(PathBuf::from(path)))
    }

    /// The file.
    ///
    /// # Errors
    /// If it is no file; `command` is what works on files only.
    pub fn path(&self, command: &str) -> Result<&PathBuf, Error> {
        match self {
            Self::Sqlite(path) => Ok(path),
            Self::Postgres(url) => Err(Error::Operator(format!(
                "`pax-ledger {command}` works on a SQLite file, and {url} is in PostgreSQL; `pax-ledger copy` copies it, and \
                 PostgreSQL has its own backups (pg_basebackup and its log, or pg_dump)"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_is_named_by_path_or_url() {
        for (text, path) in [
            ("ledger.db", "ledger.db"),
            ("./data/ledger.db", "./data/ledger.db"),
            ("/var/lib/a:b.db", "/var/lib/a:b.db"),
            ("sqlite:ledger.db", "ledger.db"),
            ("sqlite://data/ledger.db", "data/ledger.db"),
            ("sqlite:///var/ledger.db", "/var/ledger.db"),
        ] {
            assert_eq!(Location::parse(text).unwrap(), Location::Sqlite(path.into()), "{text}");
        }
        for text in [
            "",
            "sqlite:",
            "sqlite::memory:",
            ":memory:",
            "postgres://db",
            "postgres://u:p@db:x/l",
            "mysql://db",
        ] {
            assert!(Location::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn every_host_of_a_postgres_url_is_tried_and_its_password_is_not_shown() {
        let Ok(Location::Postgres(url)) =
            Location::parse("postgres://pax:s%40cret@one:5433,two/ledger?sslmode=require")
        else {
            panic!("it is a database of PostgreSQL");
        };
        let hosts = url.hosts().unwrap();
        let hosts: Vec<_> =
            hosts.iter().map(|host| (host.get_host(), host.get_port(), host.get_database())).collect();
        assert_eq!(hosts, [("one", 5433, Some("ledger")), ("two", 5432, Some("ledger"))]);
        assert_eq!(url.to_string(), "postgres://one:5433,two/ledger");
        assert!(!format!("{url:?}").contains("cret"));
        let Ok(Location::Postgres(url)) = Location::parse("postgres://pax@[::1]:5433/ledger") else {
            panic!("it is a database of PostgreSQL");
        };
        assert_eq!(url.hosts().unwrap()[0].get_host(), "::1");
        let error = Location::parse("postgres://u:s3cret@db/l?sslMode=verify-full").unwrap_err().to_string();
        assert!(error.contains("there is no parameter \"sslMode\"") && !error.contains("s3cret"), "{error}");
        let error = Location::parse("postgres://u:s3cret@db:x/l").unwrap_err().to_string();
        assert!(!error.contains("s3cret"), "{error}");
    }
}
