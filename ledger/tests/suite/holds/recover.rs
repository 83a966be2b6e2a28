//! Calls with holds that are recovered after a restore: what lots kept for them is kept again, so nobody is charged more
//! than before.

use super::common::tampering::{copy_of, fold};
use super::common::{run, stderr, stdout};
use super::story::{Ledger, at};

#[tokio::test]
async fn a_recovered_debit_keeps_its_hold_and_draws_on_the_lot_that_was_kept_for_it() {
    if crate::common::on_postgres() {
        return;
    }
    let mut lost = Ledger::new().await;
    lost.tell("grant short 1 until 100 -> 1\n hold 2 0.4 -> held 0.4\n hold 4 0.1 -> held 0.5").await;
    fold(&lost.folder).await;
    let backup = copy_of(&lost.folder);
    // After the backup: the lot ends while both holds are open, then both calls end.
    lost.tell(
        "@100 expire               -> ok
         debit 2                   -> recorded; hold 0.4; others 0.1
         debit 4                   -> recorded; hold 0.1; others 0",
    )
    .await;
    let (rows, lots) = (lost.step("rows").await, lost.step("lots").await);
    assert_eq!(lots, "short 0/1");
    let lost = lost.closed().await;
    // At the time of the restore the lot has not ended, so the backup's balance is whole.
    let target = super::common::Folder::new();
    let location = pax_ledger::store::Location::Sqlite(target.database());
    pax_ledger::store::restore(&location, &backup.database(), at(99)).await.unwrap();
    let recovered = run(&target.database(), &["recover", lost.database().to_str().unwrap()]);
    assert!(recovered.status.success(), "{}{}", stdout(&recovered), stderr(&recovered));
    let store = target.store().await;
    let writer = store.writer();
    let mut target = Ledger { folder: target, store, writer, now: at(200) };
    target.tell(&format!("rows -> {rows}\n lots -> {lots}\n held -> 0 0 0\n state 2 -> posted")).await;
}
