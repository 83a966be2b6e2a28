//! Whose token it is, remembered in shared data for all workers: one question to the ledger per token and TTL.
//!
//! A fixed number of buckets, each with a few places, whatever strangers send: a new token takes the place of
//! the one that expires first. Where an entry's time is over, the first to see it asks the ledger, and the
//! others go on with what is there for [`GRACE_MS`] while it asks.

use std::cell::RefCell;
use std::sync::Arc;

use crate::account::Account;
use crate::clock::Moment;
use crate::digest::Digest;
use crate::event::Resolution;
use crate::shared::{SharedData, numbered, update};

const BUCKETS: u32 = 4_096;
const PLACES: usize = 4;
/// How long others use an entry that one caller is renewing.
pub const GRACE_MS: u64 = 2_000;

/// An entry: 32 bytes of the token's digest, 8 of the moment it was written, 8 of its expiry, 2 of length, the account
/// as JSON (none: unknown).
struct Place<'a> {
    token: &'a [u8],
    times: Times,
    account: &'a [u8],
}

/// From when until when an entry is believed. Before it was written is after its time too: then the clock was set back,
/// and its expiry may be hours away.
#[derive(Clone, Copy, Debug)]
struct Times {
    since: Moment,
    expires: Moment,
}

impl Times {
    fn from(now: Moment, ttl_ms: u64) -> Self {
        Self { since: now, expires: now.plus_ms(ttl_ms) }
    }

    fn hold(self, now: Moment) -> bool {
        self.since <= now && now < self.expires
    }
}

fn places(bucket: &[u8]) -> Vec<Place<'_>> {
    let mut places = Vec::with_capacity(PLACES);
    let mut rest = bucket;
    while let Some((token, after)) = rest.split_at_checked(32) {
        let Some((since, after)) = after.split_first_chunk::<8>() else { break };
        let Some((expires, after)) = after.split_first_chunk::<8>() else { break };
        let Some((length, after)) = after.split_first_chunk::<2>() else { break };
        let length = usize::from(u16::from_le_bytes(*length));
        let Some((account, after)) = after.split_at_checked(length) else { break };
        let moment = |bytes: &[u8; 8]| Moment::from_ms(u64::from_le_bytes(*bytes));
        let times = Times { since: moment(since), expires: moment(expires) };
        places.push(Place { token, times, account });
        rest = after;
    }
    places
}

fn bucket<'a>(places: impl Iterator<Item = Place<'a>>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for place in places {
        let Ok(length) = u16::try_from(place.account.len()) else { continue };
        bytes.extend_from_slice(place.token);
        bytes.extend_from_slice(&place.times.since.ms().to_le_bytes());
        bytes.extend_from_slice(&place.times.expires.ms().to_le_bytes());
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(place.account);
    }
    bytes
}

fn key(token: &Digest) -> String {
    let [a, b, c, d, ..] = token.0;
    let bucket = u32::from_le_bytes([a, b, c, d]) & BUCKETS.saturating_sub(1);
    numbered("pax/token/", u64::from(bucket))
}

/// What one VM has read of shared data: the next call with the same token costs no host call, and no JSON.
/// An entry is over at the same moment as the shared one that it was read from.
#[derive(Debug)]
pub struct Near(RefCell<Vec<Option<Known>>>);

#[derive(Clone, Debug)]
struct Known {
    token: Digest,
    times: Times,
    resolution: Resolution,
}

/// Each token has one place, whatever strangers send.
const NEAR: usize = 1_024;

impl Default for Near {
    fn default() -> Self {
        Self(RefCell::new(vec![None; NEAR]))
    }
}

impl Near {
    /// What is remembered of a token; nothing where the ledger has to be asked, and the asker is this caller.
    #[must_use]
    pub fn look_up(&self, shared: &impl SharedData, token: &Digest, now: Moment) -> Option<Resolution> {
        // Other bits than those of the bucket. Nobody borrows while this runs: one thread, no callback.
        let [.., a, b] = token.0;
        let place = usize::from(u16::from_le_bytes([a, b])) & NEAR.saturating_sub(1);
        let mut places = self.0.try_borrow_mut().ok()?;
        let place = places.get_mut(place)?;
        if let Some(known) = place.as_ref().filter(|known| known.token == *token && known.times.hold(now)) {
            return Some(known.resolution.clone());
        }
        let (resolution, times) = look_up(shared, token, now)?;
        *place = Some(Known { token: *token, times, resolution: resolution.clone() });
        Some(resolution)
    }
}

/// What shared data holds of a token, and from when until when.
fn look_up(shared: &impl SharedData, token: &Digest, now: Moment) -> Option<(Resolution, Times)> {
    let found = update(shared, &key(token), |value| {
        let mut places = places(value);
        let Some(place) = places.iter_mut().find(|place| place.token == token.0) else { return (None, None) };
        let resolution = match place.account {
            [] => Some(Resolution::Unknown),
            json => serde_json::from_slice::<Account>(json).ok().map(|it| Resolution::Account(Arc::new(it))),
        };
        if place.times.hold(now) {
            return (None, resolution.map(|it| (it, place.times)));
        }
        // Its time is over: whoever wins this swap asks, the others find it extended.
        place.times = Times::from(now, GRACE_MS);
        (Some(bucket(places.into_iter())), None)
    });
    found.flatten()
}

/// Remembers what the ledger said for `ttl_ms`.
pub fn remember(shared: &impl SharedData, token: &Digest, resolution: &Resolution, now: Moment, ttl_ms: u64) {
    let account = match resolution {
        Resolution::Account(account) => serde_json::to_vec(account.as_ref()).unwrap_or_default(),
        Resolution::Unknown => Vec::new(),
        Resolution::Unavailable => return,
    };
    let place = Place { token: &token.0, times: Times::from(now, ttl_ms), account: &account };
    // Losing every swap only means that the ledger is asked once more.
    let _ = update(shared, &key(token), |value| {
        let mut others = places(value);
        others.retain(|other| other.token != token.0);
        others.sort_by_key(|other| std::cmp::Reverse(other.times.expires));
        others.truncate(PLACES.saturating_sub(1));
        let new = Place { token: place.token, times: place.times, account: place.account };
        (Some(bucket(others.into_iter().chain([new]))), ())
    });
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use crate::account::{Status, Tier};
    use crate::shared::fake::Map;

    fn account(name: &str) -> Resolution {
        Resolution::Account(Arc::new(Account {
            account: name.to_owned(),
            tier: Tier::Free,
            status: Status::Active,
            token_id: "tok_1".to_owned(),
            daily_cap_pax: None,
        }))
    }

    /// As a VM sees it that has read nothing yet.
    fn look_up(shared: &Map, token: &Digest, now: Moment) -> Option<Resolution> {
        Near::default().look_up(shared, token, now)
    }

    fn name(found: Option<Resolution>) -> String {
        match found {
            None => "ask".to_owned(),
            Some(Resolution::Account(account)) => account.account.clone(),
            Some(Resolution::Unknown) => "unknown".to_owned(),
            Some(Resolution::Unavailable) => "unavailable".to_owned(),
        }
    }

    /// Tokens of one bucket.
    fn token(n: u8) -> Digest {
        let mut bytes = [0; 32];
        *bytes.last_mut().unwrap() = n;
        Digest(bytes)
    }

    #[test]
    fn one_caller_asks_and_the_others_go_on_while_it_does() {
        let (shared, t) = (Map::default(), Moment::from_ms);
        assert_eq!(name(look_up(&shared, &token(1), t(0))), "ask");
        remember(&shared, &token(1), &account("a"), t(0), 30_000);
        assert_eq!(name(look_up(&shared, &token(1), t(29_999))), "a");
        assert_eq!(name(look_up(&shared, &token(1), t(30_000))), "ask", "its time is over");
        assert_eq!(name(look_up(&shared, &token(1), t(30_001))), "a", "somebody is asking");
        assert_eq!(name(look_up(&shared, &token(1), t(32_000))), "ask", "who asked got no answer");
        remember(&shared, &token(1), &Resolution::Unknown, t(32_001), 5_000);
        assert_eq!(name(look_up(&shared, &token(1), t(32_002))), "unknown", "revoked");
    }

    #[test]
    fn the_cache_is_bounded_whatever_strangers_send() {
        let (shared, t) = (Map::default(), Moment::from_ms);
        remember(&shared, &token(0), &account("a"), t(0), 30_000);
        for n in 1..100 {
            remember(&shared, &token(n), &Resolution::Unknown, t(u64::from(n)), 5_000);
        }
        assert_eq!(name(look_up(&shared, &token(0), t(100))), "a", "it expires last, so it stays");
        let size: usize = shared.0.borrow().values().map(|(value, _)| value.len()).sum();
        assert!(size < 4 * 50 + 200, "{size}");
    }

    #[test]
    fn a_clock_that_is_set_back_makes_no_entry_last_longer() {
        let (shared, near, t) = (Map::default(), Near::default(), Moment::from_ms);
        remember(&shared, &token(1), &account("a"), t(7_200_000), 30_000);
        assert_eq!(name(near.look_up(&shared, &token(1), t(7_200_001))), "a");
        assert_eq!(name(near.look_up(&shared, &token(1), t(0))), "ask");
        assert_eq!(name(near.look_up(&shared, &token(1), t(1))), "a", "somebody is asking");
        assert_eq!(name(near.look_up(&shared, &token(1), t(2_000))), "ask");
    }

    #[test]
    fn an_outage_is_not_remembered() {
        let shared = Map::default();
        remember(&shared, &token(1), &Resolution::Unavailable, Moment::from_ms(0), 30_000);
        assert_eq!(name(look_up(&shared, &token(1), Moment::from_ms(1))), "ask");
    }

    #[test]
    fn what_a_vm_has_read_is_over_when_the_shared_entry_is() {
        let (shared, near, t) = (Map::default(), Near::default(), Moment::from_ms);
        remember(&shared, &token(1), &account("a"), t(0), 30_000);
        let Some(Resolution::Account(first)) = near.look_up(&shared, &token(1), t(1)) else { panic!("none") };
        let empty = Map::default();
        let Some(Resolution::Account(again)) = near.look_up(&empty, &token(1), t(29_999)) else {
            panic!("none")
        };
        assert!(Arc::ptr_eq(&first, &again), "without shared data, and without a copy");
        assert_eq!(name(near.look_up(&shared, &token(1), t(30_000))), "ask", "its time is over");
        assert_eq!(name(near.look_up(&shared, &token(1), t(30_001))), "a", "while it asks");
        remember(&shared, &token(1), &Resolution::Unknown, t(30_002), 5_000);
        assert_eq!(name(near.look_up(&shared, &token(1), t(32_000))), "unknown", "revoked");
    }

    #[test]
    fn tokens_that_share_a_place_never_answer_for_each_other() {
        let (shared, near, t) = (Map::default(), Near::default(), Moment::from_ms);
        let token = |n: u8| {
            let mut bytes = [7; 32];
            *bytes.first_mut().unwrap() = n;
            Digest(bytes)
        };
        for n in 0..20 {
            remember(&shared, &token(n), &account(&n.to_string()), t(0), 30_000);
        }
        for n in (0..20).chain(0..20) {
            assert_eq!(name(near.look_up(&shared, &token(n), t(1))), n.to_string());
        }
    }
}
