//! That a replay names whatever is changed by hand in holds, in what they set aside, and in what postings say of them.

use pax_ledger::book::{Posting, entry_hash_2};
use sqlx::Row;

use super::common::Folder;
use super::common::debits::exchange;
use super::common::replayed;
use super::common::tampering::{changes, copy_of, run, tampered, triggers};
use super::story::Ledger;

/// A closed ledger with a hold of each state (2 open, 4 posted, 6 voided, 8 expired), and a lot that is over and whose rest
/// is kept for the open hold: its expiry is the last entry.
async fn one_of_each() -> Folder {
    let mut ledger = Ledger::new().await;
    ledger
        .tell(
            "hold 8 0.2                -> InsufficientCredit
             grant short 1 until 100   -> 1
             hold 8 0.2                -> held 0.2
             @99 expire-all            -> 1
             hold 2 0.4            -> held 0.4
             hold 4 0.1                -> held 0.5
             debit 4                   -> recorded; hold 0.1; others 0.4
             hold 6 0.1                -> held 0.5
             void 6                    -> voided
             @100 expire               -> ok
             rows                      -> grant 1, debit -0.000014435696, expiry -0.599985564304",
        )
        .await;
    ledger.closed().await
}

#[tokio::test]
async fn one_digit_of_any_column_of_a_hold_is_found_and_named() {
    let ledger = one_of_each().await;
    for (n, state) in [(2, "open"), (4, "posted"), (8, "expired")] {
        let id = exchange(n).to_string();
        for (column, change) in changes(&ledger, "holds").await {
            let change = match column.as_str() {
                // Nothing depends on these but how long the hold lives.
                "envoy" | "made_at" | "ended_at" => continue,
                "lost" if state == "posted" => continue,
                "lost" => "CAST(replace(CAST(lost AS TEXT), '0', '9') AS BLOB)".to_owned(),
                "tier" => "'free'".to_owned(),
                "state" if state == "open" => "'posted', lost = NULL, ended_at = 1".to_owned(),
                "state" if state == "posted" => "'voided'".to_owned(),
                "state" => "'open', ended_at = NULL".to_owned(),
                // What an expired hold has set aside is nowhere else.
                "held_picopax" if state == "expired" => continue,
                // What has ended is kept for its exchange and its amount alone.
                "token_id" | "utc_day" if state == "posted" => continue,
                _ => change,
            };
            if state == "posted" && column == "tier" {
                continue;
            }
            let sql = format!("UPDATE holds SET {column} = {change} WHERE exchange_id = '{id}'");
            let (_, found) = tampered(&ledger, &sql).await;
            assert!(
                found.iter().any(|it| it.to_string().contains("hold") || it.to_string().contains("held")),
                "{column} of {state}: {found:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_held_sum_that_is_changed_and_a_hold_that_is_gone_are_named() {
    let ledger = one_of_each().await;
    let open = exchange(2);
    for (sql, expected) in [
        (
            "UPDATE accounts SET held_picopax = held_picopax + 1 WHERE name = 'credit'".to_owned(),
            "its balance has 0.400000000001 PAX held, but its open holds of tier credit make 0.400000000000 PAX",
        ),
        (
            "UPDATE day_totals SET held_picopax = held_picopax - 1 WHERE account = 'credit'".to_owned(),
            "it has 0.399999999999 PAX held on 2026-11-23, but its open holds make 0.400000000000 PAX",
        ),
        (
            "UPDATE token_days SET held_picopax = held_picopax + 1 WHERE account = 'credit'".to_owned(),
            "token tok_0123456789abcdef has 0.400000000001 PAX held on 2026-11-23",
        ),
        (format!("DELETE FROM holds WHERE exchange_id = '{open}'"), "its open holds of tier credit make 0.0"),
        ("DELETE FROM day_totals WHERE account = 'credit'".to_owned(), "it has no sum of what is held on"),
        ("DELETE FROM token_days WHERE account = 'credit'".to_owned(), "has no sum of what is held on"),
        (
            format!("UPDATE holds SET account = 'nobody' WHERE exchange_id = '{open}'"),
            "account nobody: has 0 entries",
        ),
    ] {
        let (_, found) = tampered(&ledger, &sql).await;
        assert!(found.iter().any(|it| it.to_string().contains(expected)), "{sql}: {found:?}");
    }
}

/// What a replay says of a copy of the ledger in which the posting of an entry of account `credit` was changed by somebody
/// who can hash: the entry's hash and, if it is the last one, the account's head fit.
async fn forged(ledger: &Folder, seq: i64, change: impl Fn(&mut Posting)) -> Vec<String> {
    let copy = copy_of(ledger);
    for (name, _) in triggers(&copy).await {
        run(&copy, &format!("DROP TRIGGER {name}")).await;
    }
    let mut shell = copy.shell().await;
    let row = sqlx::query(
        "SELECT prev_hash, recorded_at, posting, canonical FROM credit_ledger WHERE account = 'credit' AND account_seq = ?1",
    );
    let row = row.bind(seq).fetch_one(&mut shell).await.unwrap();
    let mut posting = Posting::read(&row.get::<String, _>("posting")).unwrap();
    change(&mut posting);
    let (prev, at): (String, i64) = (row.get("prev_hash"), row.get("recorded_at"));
    let hash = entry_hash_2(&prev, seq, at, &posting.line(), &row.get::<Vec<u8>, _>("canonical"));
    let update = "UPDATE credit_ledger SET posting = ?1, entry_hash = ?2 WHERE account = 'credit' AND account_seq = ?3";
    let update = sqlx::query(update).bind(posting.line()).bind(hash.to_string()).bind(seq);
    update.execute(&mut shell).await.unwrap();
    run(
        &copy,
        &format!("UPDATE accounts SET head_hash = '{hash}' WHERE name = 'credit' AND account_seq = {seq}"),
    )
    .await;
    let found = replayed(&copy.store().await).await.1;
    let found = found.iter().map(ToString::to_string);
    found.filter(|what| !what.contains("trigger")).collect()
}

#[tokio::test]
async fn what_a_posting_says_of_holds_is_proved_from_the_amounts() {
    if crate::common::on_postgres() {
        return;
    }
    let ledger = one_of_each().await;
    assert_eq!(forged(&ledger, 3, |_| {}).await, [""; 0]);
    // The expiry is the last entry: it took what the open hold left of the lot.
    let less = forged(&ledger, 3, |posting| posting.held_pax = super::story::pax("0.3")).await;
    assert_eq!(less.len(), 1, "{less:?}");
    assert!(less[0].contains("it takes 0.599985564304 PAX of grant \"short\""), "{less:?}");
    assert!(less[0].contains("but 0.699985564304 PAX of grant \"short\" were over"), "{less:?}");
    let of_an_expiry = forged(&ledger, 3, |posting| {
        posting.hold = Some(pax_ledger::book::PostedHold {
            held_pax: super::story::pax("1"),
            late: false,
            overrun: false,
        });
    });
    assert!(of_an_expiry.await[0].contains("only a debit posts one"));
    for change in [
        (|posting: &mut Posting| posting.hold.as_mut().unwrap().overrun = true) as fn(&mut Posting),
        |posting| posting.hold.as_mut().unwrap().held_pax = super::story::pax("0.000001"),
    ] {
        let found = forged(&ledger, 2, change).await;
        assert!(found.iter().any(|what| what.contains("its posting says of its hold")), "{found:?}");
    }
    for change in [
        (|posting: &mut Posting| posting.hold.as_mut().unwrap().held_pax = super::story::pax("0.2"))
            as fn(&mut Posting),
        |posting| posting.hold = None,
    ] {
        let found = forged(&ledger, 2, change).await;
        assert!(found.iter().any(|what| what.starts_with("hold ")), "{found:?}");
    }
}

#[tokio::test]
async fn an_expiry_that_is_missing_at_the_end_of_a_chain_is_named() {
    let mut ledger = Ledger::new().await;
    ledger
        .tell(
            "grant short 1 until 100   -> 1
             hold 2 0.4                -> held 0.4
             @100 expire               -> ok
             rows                      -> grant 1, expiry -0.6",
        )
        .await;
    let folder = ledger.closed().await;
    // Somebody ends the hold by hand, with all sums, and the lot keeps what nothing is held for.
    for sql in [
        "UPDATE holds SET state = 'voided', ended_at = 1, lost = NULL",
        "UPDATE accounts SET held_picopax = 0",
        "UPDATE day_totals SET held_picopax = 0",
        "UPDATE token_days SET held_picopax = 0",
    ] {
        run(&folder, sql).await;
    }
    let found = replayed(&folder.store().await).await.1;
    let found: Vec<_> = found.iter().map(ToString::to_string).collect();
    assert_eq!(found, ["account credit: an expiry of 0.400000000000 PAX of grant \"short\" is missing"]);
}
