//! Backups: the ledger as it is at one moment, in a file of its own, made while others write.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};

use super::restore::{beside, sync_folder};
use crate::error::Error;
use crate::store::sql::Pool;
use crate::store::{Store, failed};

/// A backup that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackedUp {
    /// How many entries it has.
    pub entries: i64,
    /// How large it is.
    pub bytes: u64,
}

/// Copies the ledger to a new file, which only its owner can read. The file gets its name when it is whole and
/// on the disk.
///
/// # Errors
/// If a file of that name is there already, or if the copy cannot be written. Then no new file is left.
pub async fn back_up(store: &Store, file: &Path) -> Result<BackedUp, Error> {
    if file.symlink_metadata().is_ok() {
        return Err(taken(file));
    }
    let partial = beside(file, ".partial");
    let Some(into) = partial.to_str() else {
        let shown = file.display();
        return Err(Error::Operator(format!(
            "{shown} is no name in UTF-8; choose another one for the backup"
        )));
    };
    reserve(&partial)?;
    let made = make(store, file, &partial, into).await;
    if made.is_err() {
        // A part of a copy must not be taken for a backup.
        let _ = fs::remove_file(&partial);
    }
    made
}

async fn make(store: &Store, file: &Path, partial: &Path, into: &str) -> Result<BackedUp, Error> {
    // One statement reads from one snapshot, whatever is written meanwhile. SQLite accepts an empty file as its
    // target.
    let Pool::Sqlite(pool) = &store.pool else {
        return Err(Error::Operator(
            "`pax-ledger backup` copies a SQLite file; PostgreSQL has its own backups (pg_basebackup and its log, or \
             pg_dump), and `pax-ledger copy` copies a ledger to a file"
                .to_owned(),
        ));
    };
    let copying = sqlx::query("VACUUM INTO ?1").bind(into).execute(pool).await;
    copying.map_err(failed("copied the ledger"))?;
    let entries = entries(partial).await?;
    let bytes = publish(partial, file)?;
    Ok(BackedUp { entries, bytes })
}

/// Makes an empty file for the copy. From its first byte on, only its owner can read it.
fn reserve(partial: &Path) -> Result<(), Error> {
    let made = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(partial);
    made.map(drop).map_err(|why| match why.kind() {
        ErrorKind::AlreadyExists => Error::Operator(format!(
            "{} is there: another backup to this file is being made, or one was broken off; then remove it",
            partial.display()
        )),
        _ => Error::Io { doing: format!("making {}", partial.display()), why },
    })
}

async fn entries(copy: &Path) -> Result<i64, Error> {
    let options = SqliteConnectOptions::new().filename(copy).read_only(true);
    let counting = failed("counted the copy's entries");
    let mut connection = options.connect().await.map_err(&counting)?;
    let counted = sqlx::query_scalar("SELECT count(*) FROM credit_ledger").fetch_one(&mut connection).await;
    let _ = connection.close().await;
    counted.map_err(&counting)
}

/// Syncs the copy to the disk and gives it its name. It never replaces another file.
fn publish(partial: &Path, file: &Path) -> Result<u64, Error> {
    let synced = fs::File::open(partial).and_then(|copy| {
        copy.sync_all()?;
        copy.metadata()
    });
    let failed = |why: io::Error| Error::Io { doing: format!("writing the backup {}", file.display()), why };
    let bytes = synced.map_err(failed)?.len();
    // A hard link fails if the name is taken; a rename would replace the file that has it.
    match fs::hard_link(partial, file) {
        Ok(()) => fs::remove_file(partial).map_err(failed)?,
        Err(why) if why.kind() == ErrorKind::AlreadyExists => return Err(taken(file)),
        // This file system has no hard links.
        Err(_) if !file.exists() => fs::rename(partial, file).map_err(failed)?,
        Err(why) => return Err(failed(why)),
    }
    sync_folder(file).map_err(failed)?;
    Ok(bytes)
}

fn taken(file: &Path) -> Error {
    Error::Operator(format!(
        "{} is there already, and a backup replaces nothing; choose another name",
        file.display()
    ))
}
