//! Checks what is kept of an account beside its entries: its head, its sums, its lots.

use std::collections::BTreeMap;

use super::Walk;
use crate::book::{Lot, Sum, debt};
use crate::store::{AccountRow, DayTotal, TokenDay};

/// The account's head and balance.
pub(super) fn head(account: &AccountRow, walk: &Walk) -> Vec<String> {
    let mut found = Vec::new();
    if account.account_seq != walk.account_seq {
        found.push(format!(
            "its head is number {}, but the last entry found is number {}: entries or the head were changed",
            account.account_seq, walk.account_seq
        ));
    }
    if account.head_hash != walk.stored && account.head_hash != walk.computed {
        found.push(format!(
            "its head's hash is {}, but its last entry's is {}",
            account.head_hash, walk.stored
        ));
    }
    if walk.is_sound && account.recorded_at != walk.sums.recorded_at {
        found.push(format!(
            "its head was recorded at {}, but its entries until {}",
            account.recorded_at, walk.sums.recorded_at
        ));
    }
    if account.balance != walk.sums.balance {
        found.push(format!("its balance is {}, but its entries make {}", account.balance, walk.sums.balance));
    }
    if walk.sums.balance.amount().is_none() {
        found.push(beyond("balance", walk.sums.balance, &format!("--account {}", account.name)));
    }
    found
}

/// The account's day totals.
pub(super) fn days(account: &str, walk: &Walk, found: &[DayTotal]) -> Vec<String> {
    let mut differences = Vec::new();
    let mut found: BTreeMap<&str, Sum> =
        found.iter().map(|total| (total.utc_day.as_str(), total.spent)).collect();
    for (day, spent) in &walk.sums.days {
        if spent.amount().is_none() {
            let of = format!("--account {account} --since {day} --until {day}");
            differences.push(beyond(&format!("total of {day}"), *spent, &of));
        }
        differences.push(match found.remove(day.to_string().as_str()) {
            Some(total) if total == *spent => continue,
            Some(total) => {
                format!("its total of {day} is {total} PAX, but its entries make {spent} PAX")
            }
            None => format!("has no total of {day}, but its entries make {spent} PAX"),
        });
    }
    // A hold makes a total of zero.
    for (day, total) in found.into_iter().filter(|(_, total)| *total != Sum::ZERO) {
        differences.push(format!("has a total of {total} PAX on {day}, but no entry of that day"));
    }
    differences
}

/// What was spent with each of the account's tokens on each day.
pub(super) fn tokens(walk: &Walk, found: &[TokenDay]) -> Vec<String> {
    let mut differences = Vec::new();
    let sum = |day: &TokenDay| ((day.token_id.clone(), day.utc_day.clone()), day.spent);
    let mut found: BTreeMap<(String, String), Sum> = found.iter().map(sum).collect();
    for ((token, day), spent) in &walk.sums.tokens {
        differences.push(match found.remove(&(token.clone(), day.to_string())) {
            Some(total) if total == *spent => continue,
            Some(total) => {
                format!("token {token} has {total} PAX on {day}, but its entries make {spent} PAX")
            }
            None => format!("token {token} has no sum on {day}, but its entries make {spent} PAX"),
        });
    }
    for ((token, day), total) in found.into_iter().filter(|(_, total)| *total != Sum::ZERO) {
        differences.push(format!("token {token} has {total} PAX on {day}, but no entry of that day"));
    }
    differences
}

/// The account's lots.
pub(super) fn lots(walk: &Walk, found: Vec<Lot>) -> Vec<String> {
    let mut differences = Vec::new();
    let (balance, rest) = (walk.sums.balance, walk.sums.lots.rest());
    if rest.minus(debt(balance)) != balance {
        differences
            .push(format!("its lots have {rest} PAX left, which does not fit its balance of {balance} PAX"));
    }
    let mut found: BTreeMap<String, Lot> = found.into_iter().map(|lot| (lot.key.clone(), lot)).collect();
    for lot in walk.sums.lots.iter() {
        let key = &lot.key;
        differences.push(match found.remove(key) {
            Some(stored) if stored == *lot => continue,
            Some(stored) => {
                format!(
                    "the lot of grant {key:?} has {}, but its entries make {}",
                    shown(&stored),
                    shown(lot)
                )
            }
            None => format!("the lot of grant {key:?} is missing"),
        });
    }
    for key in found.into_keys() {
        differences.push(format!("has a lot of grant {key:?}, but no such grant"));
    }
    differences
}

/// A lot that was over when the last entry was recorded that concerned lots, and of which no hold keeps what is left: whatever
/// freed it has made it expire at once. Otherwise the ledger does so by itself, within seconds.
pub(super) fn due(walk: &Walk, held: Sum) -> Option<String> {
    walk.sums.lots.due(walk.lots_at)?;
    let due = walk.sums.due(held.nearest(), walk.lots_at).filter(|_| walk.is_sound)?;
    Some(format!("an expiry of {} PAX of grant {:?} is missing", due.amount_pax, due.grant))
}

/// What a closed account has left, although no open hold needs it: whatever freed it has paid it out at once.
pub(super) fn owed(account: &AccountRow, walk: &Walk, held: Sum) -> Option<String> {
    let (_, close_key) = account.closed.as_ref()?;
    let due = walk.sums.payout(close_key, held.nearest(), walk.sums.recorded_at).filter(|_| walk.is_sound)?;
    Some(format!("it is closed, but a payout of {} PAX is missing", due.amount_pax))
}

fn shown(lot: &Lot) -> String {
    let ends = lot.expires_at.map_or_else(|| "without an end".to_owned(), |end| format!("until {end}"));
    format!("{} of {} PAX left, {ends}, from entry {}", lot.rest, lot.amount, lot.account_seq)
}

/// The difference for a sum that no true costs can make, with what to do.
fn beyond(name: &str, sum: Sum, entries: &str) -> String {
    format!(
        "its {name} is {sum} PAX, beyond the range of an amount (9223372 PAX either way). It is kept exactly, and every \
         debit became an entry, but filters are told the end of the range. Look for the entries whose costs cannot \
         be: `pax-ledger entries {entries}`"
    )
}
