use proptest::prelude::*;

use super::*;

fn pax(picopax: i64) -> Pax {
    Pax::from_picopax(picopax)
}

fn at(ms: u64) -> Moment {
    Moment::from_ms(ms)
}

fn lot(key: &str, account_seq: i64, amount: i64, expires_at: Option<u64>) -> Lot {
    let amount = pax(amount);
    Lot { key: key.to_owned(), account_seq, amount, rest: amount, expires_at: expires_at.map(at) }
}

/// What each lot has left, in the order in which debits draw on them.
fn rests(lots: &Lots) -> Vec<(&str, i64)> {
    lots.iter().map(|lot| (lot.key.as_str(), lot.rest.picopax())).collect()
}

fn three() -> Lots {
    Lots::of(vec![
        lot("for ever", 1, 100, None),
        lot("late", 2, 50, Some(900)),
        lot("soon", 3, 10, Some(500)),
    ])
}

#[test]
fn debits_draw_on_what_ends_first_and_of_two_that_end_together_on_the_older() {
    let mut lots = three();
    lots.grant(lot("soon too", 4, 10, Some(500)), Pax::ZERO);
    assert_eq!(rests(&lots), [("soon", 10), ("soon too", 10), ("late", 50), ("for ever", 100)]);
    assert_eq!(lots.draw(pax(15)), pax(15));
    assert_eq!(rests(&lots), [("soon", 0), ("soon too", 5), ("late", 50), ("for ever", 100)]);
    assert_eq!(lots.draw(pax(1_000)), pax(155), "no more than there is");
    assert_eq!(lots.rest(), Sum::ZERO);
}

#[test]
fn a_grant_pays_the_debt_first() {
    for (debt, rest) in [(0, 10), (4, 6), (10, 0), (11, 0)] {
        let mut lots = Lots::default();
        lots.grant(lot("a", 1, 10, None), pax(debt));
        assert_eq!(rests(&lots), [("a", rest)]);
    }
}

#[test]
fn what_was_not_spent_after_all_goes_where_it_came_from_last_and_into_ended_lots_only_at_the_end() {
    let mut lots = three();
    lots.draw(pax(75));
    assert_eq!(rests(&lots), [("soon", 0), ("late", 0), ("for ever", 85)]);
    lots.put_back(pax(20), at(100));
    assert_eq!(rests(&lots), [("soon", 0), ("late", 5), ("for ever", 100)]);
    lots.put_back(pax(50), at(500));
    assert_eq!(rests(&lots), [("soon", 5), ("late", 50), ("for ever", 100)]);
    assert_eq!(lots.due(at(500)).map(|lot| lot.rest), Some(pax(5)), "it is over at once");
}

#[test]
fn a_lot_is_due_from_its_end_on_while_something_is_left() {
    let mut lots = three();
    assert_eq!(lots.due(at(499)), None);
    assert_eq!(lots.due(at(500)).map(|lot| lot.key.as_str()), Some("soon"));
    assert_eq!(lots.expire("soon", pax(10)), pax(10));
    assert_eq!(lots.due(at(500)), None);
    assert_eq!(lots.due(at(u64::MAX)).map(|lot| lot.key.as_str()), Some("late"));
}

#[test]
fn a_smaller_grant_is_taken_from_its_own_lot_then_from_others_and_a_larger_one_pays_the_debt_first() {
    for (to, debt, expected) in [
        (10, 0, [("soon", 3), ("late", 50), ("for ever", 100)]),
        (8, 0, [("soon", 1), ("late", 50), ("for ever", 100)]),
        (2, 0, [("soon", 0), ("late", 45), ("for ever", 100)]),
        (0, 0, [("soon", 0), ("late", 43), ("for ever", 100)]),
        (14, 0, [("soon", 7), ("late", 50), ("for ever", 100)]),
        (14, 3, [("soon", 4), ("late", 50), ("for ever", 100)]),
    ] {
        let mut lots = three();
        lots.draw(pax(7));
        assert!(lots.correct("soon", pax(to), pax(debt)));
        assert_eq!(rests(&lots), expected, "to {to}");
        assert_eq!(lots.find("soon").map(|lot| lot.amount), Some(pax(to)));
    }
    assert!(!three().correct("nobody's", pax(1), Pax::ZERO));
}

proptest! {
    /// There is a debt only while every lot is empty, so balance, lots and debt always add up, whatever happens.
    #[test]
    fn balance_and_lots_add_up(steps in prop::collection::vec((0..5_u8, 0..60_i64, 0..1_000_u64), 1..60)) {
        let (mut lots, mut balance, mut spent) = (Lots::default(), Sum::ZERO, 0_i64);
        for (number, (what, amount, ms)) in steps.into_iter().enumerate() {
            let number = i64::try_from(number).unwrap();
            let key = format!("{}", amount % 7);
            match what {
                0 if lots.find(&key).is_none() => {
                    lots.grant(lot(&key, number, amount, (ms % 2 == 0).then_some(ms)), debt(balance));
                    balance = balance.plus(pax(amount));
                }
                1 => {
                    lots.draw(pax(amount));
                    balance = balance.minus(pax(amount));
                    spent += amount;
                }
                2 => {
                    let back = amount.min(spent);
                    let beyond = back - debt(balance).picopax().min(back);
                    lots.put_back(pax(beyond), at(ms));
                    balance = balance.plus(pax(back));
                    spent -= back;
                }
                3 if lots.find(&key).is_some() => {
                    let was = lots.find(&key).unwrap().amount;
                    let owed = debt(balance);
                    lots.correct(&key, pax(amount), owed);
                    balance = balance.minus(was).plus(pax(amount));
                }
                _ => {
                    let due = lots.due(at(ms)).map(|lot| (lot.key.clone(), lot.rest));
                    if let Some((key, rest)) = due {
                        lots.expire(&key, rest);
                        balance = balance.minus(rest);
                    }
                }
            }
            prop_assert!(lots.iter().all(|lot| lot.rest >= Pax::ZERO && lot.rest <= lot.amount));
            prop_assert_eq!(balance, lots.rest().minus(debt(balance)), "{:?}", lots);
        }
    }
}
