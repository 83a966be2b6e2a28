//! Counts the bytes of the request bodies that Envoy holds for this worker's streams: for strangers, for each
//! account, and in total. Each sum has a bound, so that no caller fills Envoy's memory, neither before its
//! token is known nor after.
//!
//! Envoy keeps a body from its first byte until its stream ends, also while the provider answers, because its
//! router could need it for another connection attempt. So a body counts until its stream ends. A stream counts
//! even without a body ([`STREAM`]), because ten thousand heads fill a memory as well.
//!
//! What counts is the memory that a body takes, which can be more than its bytes. Envoy gives each piece of
//! more than [`COPIED`] bytes blocks of its own ([`BLOCK`]), so that a body in pieces of 600 bytes takes 27
//! times its size. A body that came in such pieces can be written anew in one ([`OpenBody::is_scattered`]).
//!
//! Each worker counts in its own memory, against its share of the configured sums. If a worker dies, its
//! streams end, and its count ends with them.

use std::collections::BTreeMap;

/// What a stream takes by itself, in Envoy and in the filter.
const STREAM: u64 = 16 * 1024;
/// Up to this size Envoy copies a piece behind the one before it.
const COPIED: u64 = 512;
/// The size of a block. A larger piece takes as many blocks as it needs.
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

/// Which bound is reached.
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
    /// Whether the body takes so much more memory than its size that it should be written anew, in one piece.
    /// Even a body of the most wasteful pieces grows by a tenth before it is written anew again, so that all
    /// this copying costs about ten copies of it.
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
    /// No bodies yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { strangers: 0, accounts: BTreeMap::new(), all: 0 }
    }

    /// A body has `bytes` bytes now; 0 if its stream has only begun to wait.
    ///
    /// # Errors
    /// The bytes do not fit: the call is to be refused. They count until [`OpenBodies::ended`] all the same.
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

    /// The ledger has told that this account's token came with the body.
    ///
    /// # Errors
    /// The account has no room for the body: the call is to be refused.
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
