//! Restores a backup: it takes the place of a ledger's file, with an epoch above all that filters have heard
//! of.
//!
//! Filters know the replaced file's numbers, which are higher than the backup's. Only a higher epoch tells them
//! that the lower numbers are true now. The replaced file is kept: it may be all that is left of what the
//! backup lacks.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pax_gateway::base::clock::Moment;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection};

use crate::error::Error;
use crate::store::{Began, Location, Open, Store, epoch_of};

/// How often to look whether a file is still in use, and how long to wait between two looks: a service may be
/// about to end.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(100);
/// The endings of the files that SQLite keeps beside a database.
const BESIDE: [&str; 3] = ["-wal", "-shm", "-journal"];

/// A ledger that was restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// The epoch that began with the restore.
    pub epoch: u64,
    /// How many entries the backup has.
    pub entries: i64,
    /// The file that was there before.
    pub replaced: Option<Replaced>,
}

/// The file that the backup has replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replaced {
    /// Where it is now.
    pub path: PathBuf,
    /// How many entries it has; none if it cannot be read.
    pub entries: Option<i64>,
}

/// What a file that is to be replaced contains, as far as it can be read.
#[derive(Default)]
struct Former {
    epoch: u64,
    entries: Option<i64>,
}

/// Puts a copy of a backup in the place of a ledger's file, and begins an epoch above those of both. The backup stays as
/// it is; a file that was there is moved aside.
///
/// # Errors
/// If the backup is missing, or is no ledger with this program's schema or an older one; if the ledger's file
/// is in use; if files cannot be copied or moved. The ledger's file then stays where it was. Only if a move
/// failed it may be elsewhere, and the error names the place.
pub async fn restore(ledger: &Location, backup: &Path, now: Moment) -> Result<Restored, Error> {
    let target = ledger.path("restore")?;
    check_backup(backup, target)?;
    let former = if target.exists() { former(target).await? } else { Former::default() };
    let copy = beside(target, ".restoring");
    remove(&copy)?;
    let copied = copy_database(backup, &copy).and_then(|()| keep_permissions(target, &copy));
    copied.map_err(|why| Error::Io {
        doing: format!("copying {} to {}", backup.display(), copy.display()),
        why,
    })?;
    let (epoch, entries) = match begin(&copy, former.epoch, now).await {
        Ok(begun) => begun,
        Err(error) => {
            remove(&copy)?;
            return Err(error);
        }
    };
    let aside = beside(target, &format!(".replaced-{}", now.ms()));
    let moved = move_database(target, &aside).and_then(|there| move_database(&copy, target).map(|_| there));
    let there = moved.and_then(|there| sync_folder(target).map(|()| there)).map_err(|why| Error::Io {
        doing: format!("moving {} to {}, and {} there", target.display(), aside.display(), copy.display()),
        why,
    })?;
    let replaced = there.then_some(Replaced { path: aside, entries: former.entries });
    Ok(Restored { epoch, entries, replaced })
}

fn check_backup(backup: &Path, target: &Path) -> Result<(), Error> {
    if !backup.is_file() {
        return Err(Error::Operator(format!("there is no backup at {}", backup.display())));
    }
    if let (Ok(one), Ok(other)) = (backup.canonicalize(), target.canonicalize())
        && one == other
    {
        return Err(Error::Operator(format!(
            "{} is the ledger itself, not a backup of it; say --db for the file that is to be replaced",
            backup.display()
        )));
    }
    Ok(())
}

/// Makes sure that no other process has a file open, and reads its epoch and its number of entries. If they
/// cannot be read, the file is damaged, which may be the reason for the restore.
async fn former(target: &Path) -> Result<Former, Error> {
    let options = SqliteConnectOptions::new().filename(target);
    let Ok(mut connection) = options.connect().await else { return Ok(Former::default()) };
    let mut tries = TRIES;
    while is_in_use(&mut connection).await {
        tries -= 1;
        if tries == 0 {
            return Err(Error::Operator(format!(
                "{} is in use: stop `pax-ledger serve` and whatever else has it open, then restore again",
                target.display()
            )));
        }
        tokio::time::sleep(PAUSE).await;
    }
    let former = Former {
        // A file of an older schema has no epochs.
        epoch: epoch(&mut connection).await.unwrap_or(0),
        entries: entries(&mut connection).await.ok(),
    };
    let _ = connection.close().await;
    Ok(former)
}

/// Whether another process has a file open: SQLite lets a connection switch the write-ahead log off only if it
/// is the only one. That also folds the log into the file; `serve` begins a new log.
async fn is_in_use(connection: &mut SqliteConnection) -> bool {
    match sqlx::query_scalar::<_, String>("PRAGMA journal_mode = DELETE").fetch_one(connection).await {
        Ok(mode) => mode != "delete",
        Err(error) => is_busy(&error),
    }
}

/// Whether this error means that another process has the file open.
fn is_busy(error: &sqlx::Error) -> bool {
    const SQLITE_BUSY: i64 = 5;
    const SQLITE_LOCKED: i64 = 6;
    let code = error.as_database_error().and_then(|error| error.code());
    // The low byte of an extended code is the primary one.
    let primary = code.and_then(|code| code.parse::<i64>().ok()).map(|code| code & 0xff);
    matches!(primary, Some(SQLITE_BUSY | SQLITE_LOCKED))
}

async fn epoch(connection: &mut SqliteConnection) -> Result<u64, sqlx::Error> {
    let epoch = sqlx::query_scalar("SELECT max(epoch) FROM epochs").fetch_one(connection).await;
    epoch.map(epoch_of)
}

async fn entries(connection: &mut SqliteConnection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("SELECT count(*) FROM credit_ledger").fetch_one(connection).await
}

/// Brings the copy's schema up to date and begins its epoch. The backup's holds expire: their calls may have ended since,
/// so nobody renews or ends these holds. The debits of calls that still are under way come late.
async fn begin(copy: &Path, above: u64, now: Moment) -> Result<(u64, i64), Error> {
    let store = Store::open(&Location::Sqlite(copy.to_owned()), Open::Upgrade).await?;
    let begun = store.begin_epoch(Began::Restored, above, now).await;
    let mut writer = store.writer();
    let expired = writer.expire_all_holds(now).await;
    writer.close().await;
    let counted = store.snapshot().await?.entry_count().await;
    store.close().await;
    expired?;
    Ok((begun?, counted?))
}

pub(super) fn beside(file: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(file);
    name.push(ending);
    PathBuf::from(name)
}

/// Copies a database, with the log beside it if there is one.
fn copy_database(from: &Path, to: &Path) -> io::Result<()> {
    for ending in ["", "-wal"] {
        let (from, to) = (beside(from, ending), beside(to, ending));
        if ending.is_empty() || from.exists() {
            // `fs::copy` would copy the permissions, too: a read-only backup would make a read-only ledger.
            let mut copy = fs::File::create(to)?;
            io::copy(&mut fs::File::open(from)?, &mut copy)?;
            copy.sync_all()?;
        }
    }
    Ok(())
}

fn keep_permissions(of: &Path, on: &Path) -> io::Result<()> {
    match fs::metadata(of) {
        Ok(of) => fs::set_permissions(on, of.permissions()),
        Err(_) => Ok(()),
    }
}

/// Moves a database with all files beside it: SQLite would take a log that is left for the next file's. Gives
/// whether there was a database.
fn move_database(from: &Path, to: &Path) -> io::Result<bool> {
    for ending in BESIDE {
        present(fs::rename(beside(from, ending), beside(to, ending)))?;
    }
    present(fs::rename(from, to))
}

fn remove(database: &Path) -> Result<(), Error> {
    let endings = BESIDE.into_iter().chain([""]);
    let removed = endings
        .map(|ending| present(fs::remove_file(beside(database, ending))))
        .collect::<io::Result<Vec<_>>>();
    removed.map(|_| ()).map_err(|why| Error::Io { doing: format!("removing {}", database.display()), why })
}

/// Whether there was a file to be moved or removed.
fn present(done: io::Result<()>) -> io::Result<bool> {
    match done {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Makes moves durable.
pub(super) fn sync_folder(of: &Path) -> io::Result<()> {
    let folder = of.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::File::open(folder)?.sync_all()
}
