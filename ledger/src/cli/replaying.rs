//! Runs a replay, for operators: each difference on standard error, the sums on standard output.

use std::io::Write;
use std::process::ExitCode;

use pax_gateway::base::pax::Pax;

use super::print;
use super::progress::Progress;
use crate::error::Error;
use crate::replay::{self, News, Report};
use crate::server::embedded_bundle;
use crate::store::{Quarantined, Store};

/// How many differences are printed. The rest are only counted.
const DIFFERENCES_SHOWN: u64 = 100;

pub(super) async fn run(store: &Store) -> Result<ExitCode, Error> {
    let report = replay_and_tell(store).await?;
    print(&summary(&report))?;
    Ok(if report.is_well() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Replays, with each difference and each note on standard error.
pub(super) async fn replay_and_tell(store: &Store) -> Result<Report, Error> {
    let bundle = embedded_bundle()?;
    let mut snapshot = store.snapshot().await?;
    let mut shown = 0;
    let mut progress = Progress::new();
    let heard = replay::replay_heard(&mut snapshot, &bundle, &mut |news| match news {
        News::Found(difference) if shown < DIFFERENCES_SHOWN => {
            shown += 1;
            progress.clear();
            let _ = writeln!(std::io::stderr(), "difference: {difference}");
        }
        News::Found(_) => {}
        News::Replayed { entries, of } => progress.show(entries, of),
    })
    .await;
    progress.clear();
    let report = heard?;
    for note in notes(&report, shown) {
        let _ = writeln!(std::io::stderr(), "{note}");
    }
    Ok(report)
}

fn notes(report: &Report, shown: u64) -> Vec<String> {
    let mut notes = Vec::new();
    if report.differences > shown {
        notes.push(format!("... and {} more differences", report.differences - shown));
    }
    let Quarantined { conflicts, rejected, unseen } = report.quarantined;
    if conflicts + rejected > 0 {
        notes.push(format!("note: in quarantine are {conflicts} conflicts and {rejected} rejected lines"));
    }
    if unseen > 0 {
        notes.push(format!(
            "quarantine: {unseen} lines that nobody has marked as seen; each may be a call that nobody was charged for. \
             `pax-ledger quarantine list --unseen` shows them, `pax-ledger quarantine seen NUMBER --by NAME --reason \
             TEXT` says that you have seen one"
        ));
    }
    notes
}

pub(super) fn summary(report: &Report) -> String {
    let verdict = match report.differences {
        0 => "everything holds".to_owned(),
        1 => "1 DIFFERENCE".to_owned(),
        many => format!("{many} DIFFERENCES"),
    };
    let (entries, accounts) = (report.entries, report.accounts);
    let unseen = match report.quarantined.unseen {
        0 => String::new(),
        1 => "; 1 LINE IN QUARANTINE NOT SEEN".to_owned(),
        many => format!("; {many} LINES IN QUARANTINE NOT SEEN"),
    };
    let mut text = format!("replayed {entries} entries of {accounts} accounts: {verdict}{unseen}");
    text.push_str(&format!("\ntotal cost {}", amount(report.picopax)));
    for ((version, sha256), sum) in &report.cards {
        let (entries, cost) = (sum.entries, amount(sum.picopax));
        text.push_str(&format!("\nrate card {version} (sha256 {sha256}): {entries} entries, {cost}"));
    }
    text
}

fn amount(picopax: i128) -> String {
    match i64::try_from(picopax) {
        Ok(picopax) => format!("{} PAX", Pax::from_picopax(picopax)),
        Err(_) => format!("{picopax} picopax"),
    }
}
