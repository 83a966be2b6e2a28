//! Copies a ledger into another database, and proves the copy, for operators.

use std::process::ExitCode;

use super::print;
use super::progress::Progress;
use super::replaying::{replay_and_tell, summary};
use crate::error::Error;
use crate::now;
use crate::store::{Copied, Location, Open, Store};

/// Copies, then replays both ledgers. A copy that does not replay as its source does is said, and kept.
pub(super) async fn run(from: &Location, to: &Location) -> Result<ExitCode, Error> {
    if from == to {
        return Err(Error::Operator("nothing is copied: both names are of the same database".to_owned()));
    }
    let source = Store::open(from, Open::Read).await?;
    let target = Store::open(to, Open::Create).await?;
    let copied = copy(&source, &target).await;
    let same = match &copied {
        Ok(_) => is_same(&source, &target, (from, to)).await,
        Err(_) => Ok(false),
    };
    source.close().await;
    target.close().await;
    copied?;
    Ok(if same? { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn copy(source: &Store, target: &Store) -> Result<(), Error> {
    let mut snapshot = source.snapshot().await?;
    let mut progress = Progress::new();
    let copied = target.copy_from(&mut snapshot, now(), &mut |done, of| progress.show(done, of)).await;
    progress.clear();
    let Copied { entries, before, epoch } = copied?;
    print(&format!("copied {entries} entries, {before} of them before; epoch {epoch}"))
}

/// Whether both ledgers replay, and alike.
async fn is_same(source: &Store, target: &Store, names: (&Location, &Location)) -> Result<bool, Error> {
    let mut reports = Vec::with_capacity(2);
    let mut heads = Vec::with_capacity(2);
    for (store, name) in [(source, names.0), (target, names.1)] {
        let report = replay_and_tell(store).await?;
        let (hash, accounts) = store.snapshot().await?.heads().await?;
        print(&format!(
            "{name}: {}\nheads of its {accounts} accounts and of its operator log: {hash}",
            summary(&report)
        ))?;
        reports.push(report);
        heads.push(hash);
    }
    let is_same = reports.first() == reports.last() && heads.first() == heads.last();
    print(if is_same {
        "both ledgers are the same"
    } else {
        "THE LEDGERS DIFFER: was the source written meanwhile? Stop its service, and copy to an empty database again"
    })?;
    Ok(is_same && reports.iter().all(|report| report.differences == 0))
}
