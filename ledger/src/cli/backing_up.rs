//! Makes a backup, for operators, while the ledger serves; then replays it.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use super::{print, replaying};
use crate::error::Error;
use crate::store::{BackedUp, Location, Open, Store, back_up};

pub(super) async fn run(store: &Store, file: &Path, no_verify: bool) -> Result<ExitCode, Error> {
    let BackedUp { entries, bytes } = back_up(store, file).await?;
    let shown = file.display();
    print(&format!("backed up to {shown}: {entries} entries, {bytes} bytes"))?;
    if no_verify {
        return Ok(ExitCode::SUCCESS);
    }
    let copy = Store::open(&Location::Sqlite(file.to_owned()), Open::Read).await?;
    let report = replaying::replay_and_tell(&copy).await;
    copy.close().await;
    let report = report?;
    print(&replaying::summary(&report))?;
    if report.differences == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    let _ = writeln!(
        std::io::stderr(),
        "pax-ledger: the copy {shown} does not replay. It is kept, for the ledger may be no better: \
         `pax-ledger replay` on the ledger says so, or that the copy alone is damaged"
    );
    Ok(ExitCode::FAILURE)
}
