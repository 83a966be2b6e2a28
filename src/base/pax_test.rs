#![allow(clippy::unwrap_used, clippy::arithmetic_side_effects)]

use super::*;
use proptest::prelude::*;
use rust_decimal::{Decimal, RoundingStrategy};

fn rate(usd: &str, pax_usd: &str) -> Rate {
    Rate::derive(usd.parse().unwrap(), pax_usd.parse().unwrap()).unwrap()
}

fn cost(lines: &[(u64, Rate)]) -> String {
    let mut bill = Bill::default();
    for (tokens, rate) in lines {
        bill.add(Tokens(*tokens), *rate);
    }
    bill.total().unwrap().to_string()
}

#[test]
fn known_answers_of_the_contract() {
    let million = [(1_000_000, rate("0.20", "11.43")), (1_000_000, rate("0.40", "11.43"))];
    assert_eq!(cost(&million), "0.052493439000");
    let small = [(100, rate("0.30", "11.43")), (50, rate("0.90", "11.43"))];
    assert_eq!(cost(&small), "0.000006561680");
}

#[test]
fn a_rate_is_rounded_half_up_to_nine_decimals() {
    assert_eq!(rate("1", "3").to_string(), "0.333333333");
    assert_eq!(rate("2", "3").to_string(), "0.666666667");
    assert_eq!(rate("0.0000000005", "1").to_string(), "0.000000001", "exactly half goes up");
    assert_eq!(rate("0.000000000499", "1").to_string(), "0.000000000");
}

#[test]
fn a_bill_is_rounded_once_and_half_up() {
    let tiny = "0.000000500".parse().unwrap(); // half a picopax per token
    assert_eq!(cost(&[(1, tiny)]), "0.000000000001");
    assert_eq!(cost(&[(1, tiny), (1, tiny)]), "0.000000000001", "two halves are one, not two");
}

#[test]
fn texts_that_are_no_amounts_are_refused() {
    for text in ["", ".", "1.", ".5", "+1", "1e3", " 1", "1 ", "0x1", "1.2.3", "--1", "-", "1_0", "NaN", "١"]
    {
        assert_eq!(text.parse::<Pax>(), Err(AmountError::NotDecimal), "{text:?}");
    }
    assert_eq!("0.0000000000001".parse::<Pax>(), Err(AmountError::TooPrecise { decimals: 12 }));
    assert_eq!("9223372.036854775808".parse::<Pax>(), Err(AmountError::OutOfRange));
    assert_eq!("-0.01".parse::<Usd>(), Err(AmountError::OutOfRange));
    assert_eq!("1".repeat(60).parse::<Pax>(), Err(AmountError::OutOfRange));
}

#[test]
fn a_bill_that_does_not_fit_is_no_bill() {
    let mut bill = Bill::default();
    bill.add(Tokens(u64::MAX), Rate(u64::MAX));
    bill.add(Tokens(u64::MAX), Rate(u64::MAX));
    assert_eq!(bill.total(), None);
    bill.add(Tokens(1), Rate(1));
    assert_eq!(bill.total(), None, "a later line does not make it fit again");
}

proptest! {
    #[test]
    fn an_amount_survives_its_text(picopax in any::<i64>()) {
        let pax = Pax::from_picopax(picopax);
        prop_assert_eq!(pax.to_string().parse::<Pax>().unwrap(), pax);
    }

    #[test]
    fn rates_and_bills_agree_with_decimal_arithmetic(
        usd in prop::collection::vec(0u64..2_000_000_000, 1..4),
        pax_usd in 1u64..100_000,
        tokens in prop::collection::vec(0u64..5_000_000, 1..4),
    ) {
        let half_up = RoundingStrategy::MidpointAwayFromZero;
        let pax_usd = Decimal::new(i64::try_from(pax_usd).unwrap(), 2);
        let mut bill = Bill::default();
        let mut exact = Decimal::ZERO;
        for (usd, tokens) in usd.iter().zip(&tokens) {
            let usd = Decimal::new(i64::try_from(*usd).unwrap(), 6);
            let ours = rate(&usd.to_string(), &pax_usd.to_string());
            let theirs = (usd / pax_usd).round_dp_with_strategy(9, half_up);
            prop_assert_eq!(ours.to_string(), format!("{theirs:.9}"));
            bill.add(Tokens(*tokens), ours);
            exact += theirs * Decimal::from(*tokens);
        }
        let exact = (exact / Decimal::from(1_000_000)).round_dp_with_strategy(12, half_up);
        prop_assert_eq!(bill.total().unwrap().to_string(), format!("{exact:.12}"));
    }
}
