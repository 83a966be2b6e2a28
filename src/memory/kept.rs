//! A debit that found no room in the outbox is kept in the place of its call's in-flight record, so that it
//! is not lost with its VM. It waits there for room. If its VM dies, the VM that sweeps the lane puts it into
//! the outbox as it is.

use crate::base::bytes::{Bytes, put_optional, put_text};
use crate::base::clock::UtcDay;
use crate::base::exchange_id::Tag;
use crate::base::pax::Pax;
use crate::memory::cap::{Claim, OwnedClaim};

/// The first byte. An in-flight record has the number of its form there, which is never so high.
const FORM: u8 = 0xd0;

/// A kept debit, as it was read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Kept<'a> {
    claim: Option<OwnedClaim>,
    /// What it costs.
    pub(crate) cost: Pax,
    /// Its canonical bytes.
    pub(crate) canonical: &'a [u8],
}

impl Kept<'_> {
    /// Its claim on its account's day.
    pub(crate) fn claim(&self) -> Option<Claim<'_>> {
        self.claim.as_ref().map(OwnedClaim::as_claim)
    }
}

/// A debit's bytes with all that is needed to put it into the outbox later.
pub(crate) fn write(claim: Option<&Claim<'_>>, cost: Pax, canonical: &[u8]) -> Vec<u8> {
    let mut to = Vec::with_capacity(canonical.len().saturating_add(300));
    to.push(FORM);
    put_optional(&mut to, claim, |to, claim| {
        put_text(to, claim.account);
        to.extend_from_slice(&claim.utc_day.days().to_le_bytes());
        to.extend_from_slice(&claim.tag.0.to_le_bytes());
    });
    to.extend_from_slice(&cost.picopax().to_le_bytes());
    to.extend_from_slice(canonical);
    to
}

/// Reads a kept debit; none if the place holds a call's record, or nothing.
pub(crate) fn read(record: &[u8]) -> Option<Kept<'_>> {
    let mut from = Bytes::new(record);
    if from.u8()? != FORM {
        return None;
    }
    let claim = from.optional(|from| {
        let (account, day, tag) = (from.text()?, from.u32()?, from.u64()?);
        Some(OwnedClaim { account, utc_day: UtcDay::from_days(day), tag: Tag(tag) })
    })?;
    let cost = from.pax()?;
    Some(Kept { claim, cost, canonical: from.rest() })
}
