//! A debit, or a void, as its cell holds it: with all that another VM needs to send it, if the one that wrote it dies.

use crate::base::bytes::{Bytes, put_optional, put_text};
use crate::base::clock::{Moment, UtcDay};
use crate::base::exchange_id::{ExchangeId, Tag};
use crate::base::pax::Pax;
use crate::base::wire::Void;
use crate::debit::frozen::Debit;
use crate::memory::cap::Claim;

/// The first byte. An in-flight record has the number of its form there, which is never so high.
const FORM: u8 = 0xd0;
/// The first byte of a void. Version 0.1 of the module must not take it for a debit: it could not read the ledger's answer.
/// It leaves the hold alone, which expires since that version renews no lease.
const VOID_FORM: u8 = 0xd1;

/// How many bytes a debit has, as a rule.
const USUAL_BYTES: usize = 2_048;

/// A debit's canonical bytes, behind its claim on its account's day and its cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DebitBytes {
    /// As they are in the cell.
    bytes: Vec<u8>,
    /// Where the canonical bytes begin.
    canonical_from: usize,
}

impl DebitBytes {
    /// `claim`: none if nothing was reserved for the call.
    #[must_use]
    pub fn of(claim: Option<&Claim<'_>>, debit: &Debit) -> Self {
        Self::with((FORM, claim, debit.cost_pax), |to| debit.to_canonical_into(to))
    }

    /// A debit of which only the canonical bytes and the cost are known.
    #[must_use]
    pub fn new(claim: Option<&Claim<'_>>, cost: Pax, canonical: &[u8]) -> Self {
        Self::with((FORM, claim, cost), |to| to.extend_from_slice(canonical))
    }

    /// The void of an exchange's hold. It goes to the ledger as debits do, since it must not get lost either.
    #[must_use]
    pub fn void(account: &str, exchange_id: ExchangeId) -> Self {
        let line = Void { void: exchange_id, account: account.to_owned() };
        // Texts can always be written.
        let line = serde_json::to_vec(&line).unwrap_or_default();
        Self::with((VOID_FORM, None, Pax::ZERO), |to| to.extend_from_slice(&line))
    }

    fn with(
        (form, claim, cost): (u8, Option<&Claim<'_>>, Pax),
        put_canonical: impl FnOnce(&mut Vec<u8>),
    ) -> Self {
        let mut bytes = Vec::with_capacity(USUAL_BYTES);
        bytes.push(form);
        put_optional(&mut bytes, claim, |to, claim| {
            put_text(to, claim.account);
            to.extend_from_slice(&claim.utc_day.days().to_le_bytes());
            to.extend_from_slice(&claim.tag.0.to_le_bytes());
        });
        bytes.extend_from_slice(&cost.picopax().to_le_bytes());
        let canonical_from = bytes.len();
        put_canonical(&mut bytes);
        Self { bytes, canonical_from }
    }

    /// Reads a cell; gives the bytes back if the cell holds no debit.
    ///
    /// # Errors
    /// The bytes.
    pub fn read(bytes: Vec<u8>) -> Result<Self, Vec<u8>> {
        let canonical = head(&bytes).map(|(_, _, from)| from.rest().len());
        match canonical {
            Some(canonical) => Ok(Self { canonical_from: bytes.len().saturating_sub(canonical), bytes }),
            None => Err(bytes),
        }
    }

    /// The bytes for the cell.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What goes to the ledger.
    #[must_use]
    pub fn canonical(&self) -> &[u8] {
        self.bytes.get(self.canonical_from..).unwrap_or_default()
    }

    /// The claim on the account's day.
    #[must_use]
    pub fn claim(&self) -> Option<Claim<'_>> {
        head(&self.bytes).and_then(|(claim, ..)| claim)
    }

    /// What the call cost.
    #[must_use]
    pub fn cost(&self) -> Pax {
        head(&self.bytes).map_or(Pax::ZERO, |(_, cost, _)| cost)
    }

    /// When the call was settled; of a void, when its exchange began.
    #[must_use]
    pub fn settled_at(&self) -> Option<Moment> {
        #[derive(serde::Deserialize)]
        struct Settled {
            settled_at: Option<Moment>,
            void: Option<ExchangeId>,
        }
        let line = serde_json::from_slice::<Settled>(self.canonical()).ok()?;
        line.settled_at.or_else(|| line.void.map(|exchange| exchange.began()))
    }
}

/// The claim, the cost, and what comes after them.
fn head(cell: &[u8]) -> Option<(Option<Claim<'_>>, Pax, Bytes<'_>)> {
    let mut from = Bytes::new(cell);
    if !matches!(from.u8()?, FORM | VOID_FORM) {
        return None;
    }
    let claim = from.optional(|from| {
        let (account, day, tag) = (from.str()?, from.u32()?, from.u64()?);
        Some(Claim { account, utc_day: UtcDay::from_days(day), tag: Tag(tag) })
    })?;
    let cost = from.pax()?;
    Some((claim, cost, from))
}
