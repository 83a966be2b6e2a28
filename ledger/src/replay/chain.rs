//! Checks an entry's place in its account's chain, and its posting.

use pax_gateway::base::pax::Pax;

use super::{Walk, moment};
use crate::book::{Effect, Entry, OnLots, Posting};
use crate::store::ChainEntry;

/// Checks an entry's place in the chain, and takes the next step.
pub(super) fn differences(entry: &ChainEntry<'_>, walk: &mut Walk) -> Vec<String> {
    let mut found = Vec::new();
    let due = walk.account_seq.saturating_add(1);
    if entry.account_seq != due {
        found
            .push(format!("number {due} should stand here: entries are missing, or account_seq was changed"));
    }
    let (prev_hash, entry_hash) = (entry.prev_hash(), entry.entry_hash());
    if prev_hash != walk.stored && prev_hash != walk.computed {
        let before = &walk.stored;
        found.push(format!("its prev_hash is {prev_hash}, but the entry before has {before}"));
    }
    walk.computed = entry.hash().to_string();
    walk.is_sound &= entry_hash == walk.computed;
    if entry_hash != walk.computed {
        found.push(format!(
            "its entry_hash is {entry_hash}, but its canonical bytes, account_seq, prev_hash, recorded_at and posting \
             make {}",
            walk.computed
        ));
    }
    if entry.hash_v < walk.hash_v {
        found
            .push(format!("its hash has version {}, but the entry before has {}", entry.hash_v, walk.hash_v));
    }
    // Before version 2 the ledger's clock could be set back between two entries.
    if walk.is_sound && entry.hash_v > 1 && entry.recorded_at < walk.recorded_at {
        found.push(format!(
            "it was recorded at {}, before the entry before it, at {}",
            moment(entry.recorded_at),
            moment(walk.recorded_at)
        ));
    }
    walk.hash_v = walk.hash_v.max(entry.hash_v);
    walk.recorded_at = walk.recorded_at.max(entry.recorded_at);
    walk.account_seq = entry.account_seq;
    walk.stored.clear();
    walk.stored.push_str(&entry_hash);
    found
}

/// Checks what only the ledger knows of an entry, before the entry is added to the sums.
pub(super) fn posting_differences(
    entry: &ChainEntry<'_>,
    (read, effect): (Entry<'_>, &Effect<'_>),
    walk: &Walk,
) -> Vec<String> {
    let Some(line) = entry.posting else { return Vec::new() };
    let posting = match Posting::read(line) {
        Ok(posting) => posting,
        Err(why) => return vec![format!("its posting cannot be read: {why}")],
    };
    let mut found = Vec::new();
    let scopes = effect.scopes(&walk.sums.account);
    if posting.scopes != scopes {
        found.push(format!("its posting charges {:?}, but it belongs to {scopes:?}", posting.scopes));
    }
    if posting.held_pax < Pax::ZERO {
        found.push("its posting says that less than nothing was held".to_owned());
    }
    let kept = posting.hold.as_ref().map_or(Pax::ZERO, |hold| {
        let Entry::Debit(debit) = read else {
            found.push("its posting names a hold, but only a debit posts one".to_owned());
            return Pax::ZERO;
        };
        if hold.held_pax < Pax::ZERO || hold.overrun != (debit.cost_pax > hold.held_pax) {
            found.push(format!(
                "its posting says of its hold: {} PAX, overrun {}; but it cost {} PAX",
                hold.held_pax, hold.overrun, debit.cost_pax
            ));
        }
        hold.kept(debit.tier)
    });
    // Lots that are over kept its own hold for it.
    let held = posting.held_pax.checked_add(kept).unwrap_or(Pax::MAX);
    let is_expiry = matches!(effect.lots, OnLots::Expire { .. });
    if effect.lots != OnLots::None
        && !is_expiry
        && let Some(due) = walk.sums.due(held, moment(entry.recorded_at))
    {
        found.push(format!("an expiry of {} PAX is missing before it", due.amount_pax));
    }
    found
}
