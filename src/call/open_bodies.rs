//! The request bodies that Envoy holds for this worker's streams, in bytes: those of strangers, of each account, and
//! of all. Each has a bound, so that nobody fills Envoy's memory: not before its token is known, not after.
//!
//! Envoy keeps a body from its first byte until its stream ends, also while the provider has it and answers: its router
//! could need it for another connection attempt. So a body counts until its stream ends. A stream counts, too, without a
//! body ([`STREAM`]): ten thousand heads fill a memory as well.
//!
//! A body's bytes count by the memory that they take. Envoy gives each piece of more than [`COPIED`] bytes blocks of its
//! own ([`BLOCK`]), so that 600 bytes at a time take 27 times their number. A body that came in such pieces can be
//! written anew in one ([`OpenBody::is_scattered`]).
//!
//! It is a worker's own memory: each worker has its share of the configured sums, and what a dead one held is gone with
//! its streams.

use std::collections::BTreeMap;

/// What a stream takes by itself, in Envoy and in the filter.
const STREAM: u64 = 16 * 1024;
/// Up to this size Envoy copies a piece behind the one before it.
const COPIED: u64 = 512;
/// What Envoy takes for a larger piece, and again for each more that it fills.
const BLOCK: u64 = 16 * 1024;
/// A body is written anew once it takes this much more than it has bytes, and [`SCATTERED_TIMES`] as much.
const SCATTERED_BYTES: u64 = 256 * 1024;
const SCATTERED_TIMES: u64 = 4;

/// What one worker may hold, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shares {
    /// For callers whose tokens are not known yet.
    pub strangers: u64,
    /// For one account.
    pub account: u64,
    /// For all together.
    pub all: u64,
}

/// Which bound has no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// That of callers whose tokens are not known yet.
    Strangers,
    /// The account's.
    Account,
    /// That of all.
    All,
}

/// One stream's body.
#[derive(Debug, Default)]
pub struct OpenBody {
    /// How many of its bytes have come.
    bytes: u64,
    /// How much memory they take.
    held: u64,
    /// Whether its stream counts already.
    counts: bool,
    /// Whose it is; none while its token is not known.
    account: Option<String>,
}

impl OpenBody {
    /// Whether it takes so much more memory than it has bytes that it should be written anew, in one piece. A body of
    /// the smallest such pieces grows by a tenth between two times, so that all of them cost about ten copies of it.
    #[must_use]
    pub fn is_scattered(&self) -> bool {
        self.held > self.bytes.saturating_mul(SCATTERED_TIMES)
            && self.held.saturating_sub(self.bytes) > SCATTERED_BYTES
    }
}

/// What a piece takes in Envoy's memory.
fn memory_of(piece: u64) -> u64 {
    if piece <= COPIED { piece } else { piece.div_ceil(BLOCK).saturating_mul(BLOCK) }
}

/// The bodies that one worker holds.
#[derive(Debug, Default)]
pub struct OpenBodies {
    strangers: u64,
    accounts: BTreeMap<String, u64>,
    all: u64,
}

impl OpenBodies {
    /// Nobody's yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { strangers: 0, accounts: BTreeMap::new(), all: 0 }
    }

    /// A body has so many bytes now; none, where its stream has only begun to wait.
    ///
    /// # Errors
    /// They do not fit: the call is to be refused. They count until [`OpenBodies::ended`].
    pub fn grows(&mut self, body: &mut OpenBody, bytes: u64, shares: Shares) -> Result<(), Full> {
        let piece = bytes.saturating_sub(body.bytes);
        body.bytes = body.bytes.max(bytes);
        self.begins(body);
        self.add(body, memory_of(piece));
        body.held = body.held.saturating_add(memory_of(piece));
        self.fits(body, shares)
    }

    /// A body was written anew, in one piece.
    pub fn gathered(&mut self, body: &mut OpenBody) {
        let held = memory_of(body.bytes);
        self.subtract(body, body.held.saturating_sub(held));
        body.held = body.held.min(held);
    }

    /// The token of a body's caller is this account's.
    ///
    /// # Errors
    /// It has no room for it: the call is to be refused.
    pub fn belongs_to(&mut self, body: &mut OpenBody, account: &str, shares: Shares) -> Result<(), Full> {
        if body.account.as_deref() == Some(account) {
            return Ok(());
        }
        self.begins(body);
        let sum = body.held.saturating_add(STREAM);
        self.subtract(body, sum);
        body.account = Some(account.to_owned());
        self.add(body, sum);
        self.fits(body, shares)
    }

    /// Envoy does not hold a body any more.
    pub fn ended(&mut self, body: &mut OpenBody) {
        if std::mem::take(&mut body.counts) {
            self.subtract(body, body.held.saturating_add(STREAM));
            body.held = 0;
        }
    }

    fn begins(&mut self, body: &mut OpenBody) {
        if !std::mem::replace(&mut body.counts, true) {
            self.add(body, STREAM);
        }
    }

    fn fits(&self, body: &OpenBody, shares: Shares) -> Result<(), Full> {
        match &body.account {
            None if self.strangers > shares.strangers => Err(Full::Strangers),
            Some(account) if self.accounts.get(account).is_some_and(|held| *held > shares.account) => {
                Err(Full::Account)
            }
            _ if self.all > shares.all => Err(Full::All),
            _ => Ok(()),
        }
    }

    fn add(&mut self, body: &OpenBody, held: u64) {
        self.all = self.all.saturating_add(held);
        match &body.account {
            None => self.strangers = self.strangers.saturating_add(held),
            Some(account) => match self.accounts.get_mut(account) {
                Some(sum) => *sum = sum.saturating_add(held),
                None => drop(self.accounts.insert(account.clone(), held)),
            },
        }
    }

    fn subtract(&mut self, body: &OpenBody, held: u64) {
        self.all = self.all.saturating_sub(held);
        match &body.account {
            None => self.strangers = self.strangers.saturating_sub(held),
            Some(account) => {
                if let Some(sum) = self.accounts.get_mut(account) {
                    *sum = sum.saturating_sub(held);
                    // An account without an open body is not remembered.
                    if *sum == 0 {
                        self.accounts.remove(account);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
#[path = "open_bodies_test.rs"]
mod tests;
