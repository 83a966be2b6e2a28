//! Grants and corrections at the desk: whether they can be made, and what a correction starts from.

use pax_gateway::base::pax::Pax;
use pax_gateway::debit::frozen::Debit;

use super::{Answer, Desk};
use crate::book::Act;
use crate::book::made::{Correction, Grant, Made};
use crate::store::{Corrects, ToCorrect};

/// Makes an entry; gives its number in the account, and the account's balance after it.
pub(in crate::store) fn enter(desk: &mut Desk<'_>, made: &Made) -> Answer<Result<(i64, Pax), String>> {
    if let Made::Grant(grant) = made {
        if let Some(why) = grant.refused() {
            return Ok(Err(why));
        }
        if desk.open(&grant.account, desk.now.day())?.is_ok() && desk.closed_by(&grant.account).is_some() {
            return Ok(Err(format!("account {} is closed: it takes no credit", grant.account)));
        }
    }
    let link = desk.make(made)?;
    let balance = desk.balance(made.account());
    Ok(link.map(|link| (link.account_seq, balance)))
}

/// What is corrected, and what it cost or granted after all corrections so far; of a call the better report too, if one
/// came.
enum Base {
    Call(Box<Debit>, Option<Box<Debit>>, Pax),
    Grant(Box<Grant>, Pax),
}

fn base(desk: &mut Desk<'_>, what: &Corrects) -> Answer<Result<Base, String>> {
    let name = what.name();
    let Some(found) = desk.books.corrected(what)? else {
        return Ok(Err(match what {
            Corrects::Call(_) => {
                format!(
                    "there is no call {name:?}; `pax-ledger entries` lists them, and --grant names a grant"
                )
            }
            Corrects::Grant(_) => format!("there is no grant {name:?}; `pax-ledger entries` lists them"),
        }));
    };
    let unreadable = || format!("{name:?} or its last correction cannot be read: run `pax-ledger replay`");
    let (Ok(last), Ok(better)) = (found.last_amount(), found.better_debit()) else {
        return Ok(Err(unreadable()));
    };
    Ok(match what {
        Corrects::Call(_) => Debit::from_canonical(&found.original).map_err(|_| unreadable()).map(|debit| {
            let was = last.unwrap_or(debit.cost_pax);
            Base::Call(Box::new(debit), better.map(Box::new), was)
        }),
        Corrects::Grant(_) => match Made::read(&found.original) {
            Ok(Made::Grant(grant)) => {
                let was = last.unwrap_or(grant.amount_pax);
                Ok(Base::Grant(Box::new(grant), was))
            }
            _ => Err(unreadable()),
        },
    })
}

/// The correction that is asked for.
pub(in crate::store) fn correction(
    desk: &mut Desk<'_>,
    act: &Act,
    asked: &ToCorrect,
) -> Answer<Result<Correction, String>> {
    let made = base(desk, &asked.what)?.and_then(|base| {
        let mut correction = match &base {
            Base::Call(debit, better, was) => {
                let now = asked.amount.of_call(better.as_ref().unwrap_or(debit))?;
                Correction::of_debit(act.key(), debit, (*was, now), act.at())
            }
            Base::Grant(grant, was) => {
                let now = asked.amount.of_grant(grant, act.at())?;
                Correction::of_grant(act.key(), grant, (*was, now), act.at())
            }
        };
        if correction.was_pax == correction.now_pax {
            return Err(format!("{:?} is {} PAX already", correction.corrects, correction.now_pax));
        }
        correction.repriced_under = asked.amount.card();
        correction.by = act.by().to_owned();
        correction.reason = act.reason().unwrap_or_default().to_owned();
        Ok(correction)
    });
    Ok(made)
}

/// Why an entry of another file does not follow from what is here. None if it does.
pub(in crate::store) fn fits(desk: &mut Desk<'_>, made: &Made) -> Answer<Option<String>> {
    let Made::Correction(correction) = made else { return Ok(None) };
    Ok(match base(desk, &Corrects::of(correction))? {
        Err(why) => Some(why),
        Ok(base) => {
            let (account, was) = match &base {
                Base::Call(debit, _, was) => (&debit.account, *was),
                Base::Grant(grant, was) => (&grant.account, *was),
            };
            let fits = *account == correction.account && was == correction.was_pax;
            (!fits).then(|| {
                format!(
                    "it makes {:?} {} PAX instead of {}, but here it is {was}",
                    correction.corrects, correction.now_pax, correction.was_pax
                )
            })
        }
    })
}
