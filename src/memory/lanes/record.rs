//! An in-flight record: an [`Admission`] as bytes. It is written for every call and read only after a VM
//! died, so it is made to be written fast: JSON took as long as all else that the gate does.

use std::sync::Arc;

use crate::base::account::{Account, Funding, Status, Tier};
use crate::base::bytes::{Bytes, put_optional, put_text};
use crate::base::clock::Moment;
use crate::base::digest::Digest;
use crate::base::exchange_id::ExchangeId;
use crate::base::pax::{Pax, Tokens};
use crate::base::text_bytes::TextBytes;
use crate::debit::admission::Admission;
use crate::debit::frozen::BadDebit;
use crate::dialect::usage::{Mode, Rules};
use crate::price::bundle::Bundle;
use crate::price::card::RateCard;

/// The form of the bytes. A module may find records that another module wrote in another form, under the same
/// `vm_id`.
const FORM: u8 = 2;
/// The form of a call with a hold: also whether it goes on, and what is held.
const HOLD_FORM: u8 = 3;

/// The record of a call. `goes_on`: whether the provider may see it. A call that waits for its hold does not go on yet.
pub(crate) fn write(admission: &Admission, goes_on: bool) -> Vec<u8> {
    let Admission {
        exchange_id,
        admitted_at,
        account,
        funding,
        slot,
        intent_id,
        goal_id,
        mode,
        wants_stream,
        card,
        model,
        provider,
        // An orphan's answer is not known, so there is no usage to read by these rules.
        usage_rules: _,
        service_tier,
        n,
        stated_maximum,
        input,
        not_text,
        shares_window,
        input_limit,
        output_limit,
        reservation,
        hold,
        asked_model,
    } = admission;
    let mut to = Vec::with_capacity(512);
    match hold {
        None => to.push(FORM),
        Some(_) => to.extend_from_slice(&[HOLD_FORM, u8::from(goes_on)]),
    }
    to.extend_from_slice(exchange_id.bytes());
    to.extend_from_slice(&admitted_at.ms().to_le_bytes());
    put_account(&mut to, account);
    to.push(u8::from(*funding == Funding::Byo));
    put_text(&mut to, slot);
    put_optional(&mut to, intent_id.as_deref(), put_text);
    put_optional(&mut to, goal_id.as_deref(), put_text);
    to.push(match mode {
        Mode::Chat => 0,
        Mode::Embeddings => 1,
        Mode::Completions => 2,
        Mode::Responses => 3,
    });
    to.push(u8::from(*wants_stream));
    to.extend_from_slice(&card.sha256.0);
    put_text(&mut to, model);
    put_text(&mut to, provider);
    put_optional(&mut to, service_tier.as_deref(), put_text);
    for number in [input.ascii, input.other, input_limit.0, output_limit.0, *n] {
        to.extend_from_slice(&number.to_le_bytes());
    }
    put_optional(&mut to, *reservation, put_pax);
    put_optional(&mut to, *stated_maximum, |to, tokens| to.extend_from_slice(&tokens.0.to_le_bytes()));
    to.push(u8::from(*not_text));
    to.push(u8::from(*shares_window));
    put_optional(&mut to, asked_model.as_deref(), put_text);
    if let Some(hold) = hold {
        put_pax(&mut to, *hold);
    }
    to
}

fn put_pax(to: &mut Vec<u8>, amount: Pax) {
    to.extend_from_slice(&amount.picopax().to_le_bytes());
}

fn put_account(to: &mut Vec<u8>, account: &Account) {
    let Account { account, tier, status, token_id, daily_cap_pax, canon_v } = account;
    put_text(to, account);
    to.push(u8::from(*tier == Tier::Credit));
    to.push(u8::from(*status == Status::Disabled));
    put_text(to, token_id);
    put_optional(to, *daily_cap_pax, put_pax);
    to.extend_from_slice(&canon_v.to_le_bytes());
}

/// A record, read.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) admission: Admission,
    /// Whether the provider may have seen the call.
    pub(crate) goes_on: bool,
}

/// Reads a record; none if its card is not in this bundle: it may be in the bundle of another VM.
///
/// # Errors
/// If it is no record of this form.
pub(crate) fn read(bundle: &Bundle, bytes: &[u8]) -> Result<Option<Record>, BadDebit> {
    let mut from = Bytes::new(bytes);
    let form = from.u8();
    let goes_on = match form {
        Some(FORM) => Some(true),
        Some(HOLD_FORM) => from.u8().map(|goes_on| goes_on != 0),
        _ => {
            let known = format!("this module knows {FORM} and {HOLD_FORM}");
            return Err(BadDebit(format!("an in-flight record of form {form:?}; {known}")));
        }
    };
    let mut card = None;
    let read = read_admission(&mut from, |sha256| {
        let found = bundle.by_sha256(&sha256);
        card = found.map(Arc::clone);
        // If the card is not known, any other takes its place while the rest is read.
        card.as_ref().or_else(|| bundle.cards().first()).map(Arc::clone)
    });
    let read = match form {
        Some(HOLD_FORM) => read.and_then(|read| Some(Admission { hold: Some(from.pax()?), ..read })),
        _ => read,
    };
    let broken = || BadDebit("an in-flight record that breaks off".to_owned());
    let admission = read.filter(|_| from.is_empty()).ok_or_else(broken)?;
    let goes_on = goes_on.unwrap_or(true);
    Ok(card.map(|card| Record { admission: Admission { card, ..admission }, goes_on }))
}

fn read_admission(
    from: &mut Bytes<'_>,
    card: impl FnOnce(Digest) -> Option<Arc<RateCard>>,
) -> Option<Admission> {
    // The fields are in the order of the bytes.
    Some(Admission {
        exchange_id: ExchangeId::from_bytes(from.array()?)?,
        admitted_at: Moment::from_ms(from.u64()?),
        account: Arc::new(read_account(from)?),
        funding: if from.u8()? == 0 { Funding::Platform } else { Funding::Byo },
        slot: from.text()?,
        intent_id: from.optional(Bytes::text)?,
        goal_id: from.optional(Bytes::text)?,
        mode: match from.u8()? {
            0 => Mode::Chat,
            1 => Mode::Embeddings,
            2 => Mode::Completions,
            _ => Mode::Responses,
        },
        wants_stream: from.u8()? != 0,
        card: card(Digest(from.array()?))?,
        model: from.text()?,
        provider: from.text()?,
        usage_rules: Rules::default(),
        service_tier: from.optional(Bytes::text)?,
        input: TextBytes { ascii: from.u64()?, other: from.u64()? },
        input_limit: Tokens(from.u64()?),
        output_limit: Tokens(from.u64()?),
        n: from.u64()?,
        reservation: from.optional(Bytes::pax)?,
        hold: None,
        stated_maximum: from.optional(Bytes::u64)?.map(Tokens),
        not_text: from.u8()? != 0,
        shares_window: from.u8()? != 0,
        asked_model: from.optional(Bytes::text)?,
    })
}

fn read_account(from: &mut Bytes<'_>) -> Option<Account> {
    Some(Account {
        account: from.text()?,
        tier: if from.u8()? == 0 { Tier::Free } else { Tier::Credit },
        status: if from.u8()? == 0 { Status::Active } else { Status::Disabled },
        token_id: from.text()?,
        daily_cap_pax: from.optional(Bytes::pax)?,
        canon_v: from.u32()?,
    })
}
