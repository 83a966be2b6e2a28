//! Where the ledger's entries are: a file of SQLite, or a database of PostgreSQL, whose password nobody is shown.

use crate::StackError;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The ledger's database.
#[derive(Clone, PartialEq, Eq)]
pub enum Database {
    /// A file of SQLite.
    File(PathBuf),
    /// `postgres://USER:PASSWORD@HOST:PORT,HOST:PORT/DATABASE`.
    Postgres(String),
}

impl Database {
    /// Reads the URL of a database of PostgreSQL.
    ///
    /// # Errors
    /// [`StackError::Config`] if it is none. The text is not repeated: it may hold a password.
    pub fn of_url(text: &str) -> Result<Self, StackError> {
        let rest = text.strip_prefix("postgres://").or_else(|| text.strip_prefix("postgresql://"));
        match rest {
            Some(rest) if !rest.is_empty() => Ok(Self::Postgres(text.to_owned())),
            _ => Err(StackError::Config(
                "LEDGER_DB is no URL of a PostgreSQL database: write it as postgres://USER:PASSWORD@HOST:PORT/DATABASE. \
                 Without it the ledger is the file ledger.db in DATA_DIR"
                    .into(),
            )),
        }
    }

    /// What `pax-ledger --db` takes: a path, or the URL with its password.
    pub fn argument(&self) -> &Path {
        match self {
            Self::File(path) => path,
            Self::Postgres(url) => Path::new(url),
        }
    }

    /// Has a command of `pax-ledger` use it. A URL goes by the environment, since anybody on this machine can read
    /// arguments.
    pub(crate) fn give_to(&self, command: &mut Command) {
        match self {
            Self::File(path) => command.arg("--db").arg(path),
            Self::Postgres(url) => command.env("PAX_LEDGER_DB", url),
        };
    }

    /// A text of another program's that may repeat the URL or its password, without either.
    pub(crate) fn redact(&self, text: &str) -> String {
        let Self::Postgres(url) = self else { return text.to_owned() };
        let text = text.replace(url.as_str(), &self.to_string());
        let (user_info, _) = parts(url);
        match user_info.split_once(':') {
            Some((_, password)) if !password.is_empty() => text.replace(password, "***"),
            _ => text,
        }
    }
}

/// The user and the password of a URL, and its hosts with the database's name. What follows a `?` may hold a password too.
fn parts(url: &str) -> (&str, &str) {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let rest = rest.split('?').next().unwrap_or(rest);
    // A password may have a slash or a second @ where it should have %2F or %40.
    rest.rsplit_once('@').unwrap_or(("", rest))
}

impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Postgres(url) => write!(f, "postgres://{}", parts(url).1),
        }
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_not_shown() {
        for (url, shown) in [
            ("postgres://pax:s3cret@db/ledger", "postgres://db/ledger"),
            (
                "postgresql://pax:s3cret@a:5432,b:5433/ledger?sslmode=require",
                "postgres://a:5432,b:5433/ledger",
            ),
            ("postgres://pax:s3cret@/x@db/ledger", "postgres://db/ledger"),
            ("postgres://db/ledger?user=pax&password=s3cret", "postgres://db/ledger"),
        ] {
            let database = Database::of_url(url).unwrap();
            assert_eq!(database.to_string(), shown);
            assert_eq!(format!("{database:?}"), shown);
            let said = database.redact(&format!("cannot connect to {url}"));
            assert_eq!(said, format!("cannot connect to {shown}"));
        }
        let database = Database::of_url("postgres://pax:s3cret@db/ledger").unwrap();
        assert_eq!(database.redact("password s3cret is wrong"), "password *** is wrong");
        let mut command = Command::new("pax-ledger");
        database.give_to(&mut command);
        assert_eq!(command.get_args().count(), 0);
    }

    #[test]
    fn what_is_no_url_of_postgres_is_refused_and_not_repeated() {
        for text in ["mysql://pax:s3cret@db/ledger", "postgres:s3cret", "data/s3cret.db", "postgres://"] {
            let error = Database::of_url(text).unwrap_err().to_string();
            assert!(error.contains("LEDGER_DB is no URL") && !error.contains("s3cret"), "{error}");
        }
    }
}
