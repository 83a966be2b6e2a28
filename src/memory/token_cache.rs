//! Whose token it is, remembered: one question to the ledger per token, worker and time to live.
//!
//! A worker remembers in its own memory what the ledger told it, and in shared data for the other workers. Tokens of
//! accounts and tokens that nobody has are kept apart in both, so that strangers push no account out. Both have a
//! fixed number of places, whatever strangers send: a new token takes the place of the one that expires first.
//!
//! Once an entry has expired, the ledger must be asked. For [`GRACE_MS`] from that moment the entry still
//! serves callers that come while the worker asks, and callers whose question the ledger does not answer.
//! After that it serves no caller: however long the ledger does not answer, no entry is extended.

use std::cell::RefCell;
use std::sync::Arc;

use crate::base::account::{Account, Status};
use crate::base::clock::Tick;
use crate::base::digest::Digest;
use crate::base::refusal::refusals::Refusal;
use crate::memory::shared::{SharedData, numbered, update};

/// How long an entry still serves callers after its expiry while the ledger does not answer.
pub const GRACE_MS: u64 = 2_000;

/// Entries of shared data: a prefix of their keys, and how many buckets of [`PLACES`] there are.
#[derive(Clone, Copy, Debug)]
struct Shelf {
    prefix: &'static str,
    buckets: u32,
}

/// The tokens of accounts.
const ACCOUNTS: Shelf = Shelf { prefix: "pax/2/token/", buckets: 16_384 };
/// Tokens that nobody has.
const STRANGERS: Shelf = Shelf { prefix: "pax/2/stranger/", buckets: 1_024 };
const PLACES: usize = 4;

/// An entry: 32 bytes of the token's digest, 8 of the tick it was written at, 8 of its expiry, 2 of length,
/// the account as JSON (empty if nobody has the token).
struct Place<'a> {
    token: &'a [u8],
    times: Times,
    account: &'a [u8],
}

/// When an entry was written, and until when it is believed.
#[derive(Clone, Copy, Debug)]
struct Times {
    since: Tick,
    expires: Tick,
}

impl Times {
    fn from(now: Tick, ttl_ms: u64) -> Self {
        Self { since: now, expires: now.plus_ms(ttl_ms) }
    }

    fn hold(self, now: Tick) -> bool {
        now < self.expires
    }

    /// Whether it expired less than [`GRACE_MS`] ago.
    fn in_grace(self, now: Tick) -> bool {
        self.expires <= now && now < self.expires.plus_ms(GRACE_MS)
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
        let tick = |bytes: &[u8; 8]| Tick::from_ms(u64::from_le_bytes(*bytes));
        let times = Times { since: tick(since), expires: tick(expires) };
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

impl Shelf {
    fn key(self, token: &Digest) -> String {
        let [a, b, c, d, ..] = token.0;
        let bucket = u32::from_le_bytes([a, b, c, d]) & self.buckets.saturating_sub(1);
        numbered(self.prefix, u64::from(bucket))
    }

    /// The entry of a token, if it was written after `than`.
    fn newer(self, shared: &impl SharedData, token: &Digest, than: Option<Times>) -> Option<Known> {
        let (value, _) = shared.get(&self.key(token))?;
        let place = places(&value).into_iter().find(|place| place.token == token.0)?;
        if than.is_some_and(|than| place.times.since <= than.since) {
            return None;
        }
        let resolution = match place.account {
            [] => Resolution::Unknown,
            json => Resolution::Account(Arc::new(serde_json::from_slice::<Account>(json).ok()?)),
        };
        Some(Known { token: *token, times: place.times, resolution })
    }

    /// Losing every swap only means that the ledger is asked once more.
    fn put(self, shared: &impl SharedData, token: &Digest, times: Times, account: &[u8]) {
        let _ = update(shared, &self.key(token), |value| {
            let mut others = places(value);
            others.retain(|other| other.token != token.0);
            others.sort_by_key(|other| std::cmp::Reverse(other.times.expires));
            others.truncate(PLACES.saturating_sub(1));
            let new = Place { token: &token.0, times, account };
            (Some(bucket(others.into_iter().chain([new]))), ())
        });
    }

    fn take_out(self, shared: &impl SharedData, token: &Digest) {
        let _ = update(shared, &self.key(token), |value| {
            let mut others = places(value);
            let all = others.len();
            others.retain(|other| other.token != token.0);
            ((others.len() < all).then(|| bucket(others.into_iter())), ())
        });
    }
}

/// A worker's own entry.
#[derive(Clone, Debug)]
struct Known {
    token: Digest,
    times: Times,
    resolution: Resolution,
}

/// A worker's own entries: buckets that have `places` at most.
#[derive(Debug)]
struct Table {
    buckets: Vec<Vec<Known>>,
    places: usize,
}

impl Table {
    fn new(buckets: usize, places: usize) -> Self {
        Self { buckets: vec![Vec::new(); buckets], places }
    }

    fn bucket(&mut self, token: &Digest) -> Option<&mut Vec<Known>> {
        // These are other bits than those that choose the bucket in shared data: tokens that are too many for
        // one bucket there are spread over many here.
        let [.., a, b] = token.0;
        let index = usize::from(u16::from_le_bytes([a, b])).checked_rem(self.buckets.len())?;
        self.buckets.get_mut(index)
    }

    fn get(&mut self, token: &Digest) -> Option<&Known> {
        self.bucket(token)?.iter().find(|known| known.token == *token)
    }

    fn put(&mut self, new: Known) {
        let places = self.places;
        let Some(bucket) = self.bucket(&new.token) else { return };
        bucket.retain(|known| known.token != new.token);
        if bucket.len() >= places
            && let Some((first, _)) = bucket.iter().enumerate().min_by_key(|(_, known)| known.times.expires)
        {
            bucket.swap_remove(first);
        }
        bucket.push(new);
    }

    fn take_out(&mut self, token: &Digest) {
        if let Some(bucket) = self.bucket(token) {
            bucket.retain(|known| known.token != *token);
        }
    }
}

/// Whose token it is.
#[derive(Clone, Debug)]
pub enum Resolution {
    /// This account's.
    Account(Arc<Account>),
    /// Nobody's.
    Unknown,
    /// The ledger did not say.
    Unavailable,
}

impl Resolution {
    /// The account, if it may call.
    ///
    /// # Errors
    /// [`Refusal::AccountDisabled`], [`Refusal::InvalidApiKey`], [`Refusal::LedgerUnavailable`].
    pub fn active(self) -> Result<Arc<Account>, Refusal> {
        match self {
            Self::Account(account) if account.status == Status::Active => Ok(account),
            Self::Account(_) => Err(Refusal::AccountDisabled),
            Self::Unknown => Err(Refusal::InvalidApiKey),
            Self::Unavailable => Err(Refusal::LedgerUnavailable),
        }
    }
}

/// What is remembered of a token.
#[derive(Clone, Debug)]
pub enum Remembered {
    /// Whose it is.
    Fresh(Resolution),
    /// Whose it was until a moment ago: this still counts while the ledger is being asked, and if it does not
    /// answer.
    Stale(Arc<Account>),
    /// Whose it was once; the ledger must say whether it still is.
    Expired(Arc<Account>),
    /// Nothing: it may be anybody's.
    Nothing,
}

impl Remembered {
    /// Whose token it is. `asking`: this worker asks the ledger already.
    ///
    /// # Errors
    /// If the ledger must be asked: whose token it was until then, if that is remembered.
    pub fn or_ask(self, asking: bool) -> Result<Resolution, Option<Arc<Account>>> {
        match self {
            Self::Fresh(resolution) => Ok(resolution),
            Self::Stale(account) if asking => Ok(Resolution::Account(account)),
            Self::Stale(account) | Self::Expired(account) => Err(Some(account)),
            Self::Nothing => Err(None),
        }
    }

    /// Whose token it is, now that the ledger did not answer.
    #[must_use]
    pub fn or_unavailable(self) -> Resolution {
        match self {
            Self::Fresh(resolution) => resolution,
            Self::Stale(account) => Resolution::Account(account),
            Self::Expired(_) | Self::Nothing => Resolution::Unavailable,
        }
    }
}

/// What one worker remembers. It answers without a host call, and without JSON, while its entry holds.
#[derive(Debug)]
pub struct TokenCache(RefCell<Tables>);

#[derive(Debug)]
struct Tables {
    accounts: Table,
    strangers: Table,
}

impl Default for TokenCache {
    fn default() -> Self {
        Self(RefCell::new(Tables { accounts: Table::new(8_192, 12), strangers: Table::new(256, 4) }))
    }
}

impl TokenCache {
    /// What is remembered of a token, by this worker or in shared data.
    #[must_use]
    pub fn look_up(&self, shared: &impl SharedData, token: &Digest, now: Tick) -> Remembered {
        // Nothing else borrows the tables while this runs: one thread, no callback.
        let Ok(mut tables) = self.0.try_borrow_mut() else { return Remembered::Nothing };
        let holds = |known: &Known| known.times.hold(now).then(|| known.resolution.clone());
        let own = tables.accounts.get(token);
        if let Some(resolution) = own.and_then(holds) {
            return Remembered::Fresh(resolution);
        }
        let own_times = own.map(|known| known.times);
        if let Some(resolution) = tables.strangers.get(token).and_then(holds) {
            return Remembered::Fresh(resolution);
        }
        // Another worker may have asked the ledger since.
        if let Some(known) = ACCOUNTS.newer(shared, token, own_times) {
            tables.accounts.put(known);
        }
        let own = tables.accounts.get(token);
        if let Some(resolution) = own.and_then(holds) {
            return Remembered::Fresh(resolution);
        }
        let own = own.cloned();
        let stranger = STRANGERS.newer(shared, token, own.as_ref().map(|known| known.times));
        if let Some(stranger) = stranger.filter(|it| it.times.hold(now)) {
            tables.strangers.put(stranger);
            return Remembered::Fresh(Resolution::Unknown);
        }
        match own {
            Some(Known { times, resolution: Resolution::Account(account), .. }) => {
                match times.in_grace(now) {
                    true => Remembered::Stale(account),
                    false => Remembered::Expired(account),
                }
            }
            _ => Remembered::Nothing,
        }
    }

    /// Remembers what the ledger said for `ttl_ms`.
    pub fn remember(
        &self,
        shared: &impl SharedData,
        token: &Digest,
        resolution: &Resolution,
        now: Tick,
        ttl_ms: u64,
    ) {
        let Ok(mut tables) = self.0.try_borrow_mut() else { return };
        let times = Times::from(now, ttl_ms);
        let known = Known { token: *token, times, resolution: resolution.clone() };
        match resolution {
            Resolution::Account(account) => {
                tables.strangers.take_out(token);
                tables.accounts.put(known);
                let account = serde_json::to_vec(account.as_ref()).unwrap_or_default();
                ACCOUNTS.put(shared, token, times, &account);
            }
            Resolution::Unknown => {
                tables.accounts.take_out(token);
                tables.strangers.put(known);
                ACCOUNTS.take_out(shared, token);
                STRANGERS.put(shared, token, times, &[]);
            }
            Resolution::Unavailable => {}
        }
    }
}

#[cfg(test)]
#[path = "token_cache_test.rs"]
mod tests;
