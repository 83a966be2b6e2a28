//! Decimal texts: the point moves, zeros come and go, and no float is ever made.

use pax_gateway::base::pax::{AmountError, Usd};

/// Turns dollars per token, written as a JSON number, into dollars per million tokens: the point moves six
/// places.
///
/// ```
/// assert_eq!(pax_ratecard::decimal::per_million("1.5e-07").as_deref(), Ok("0.15"));
/// assert_eq!(pax_ratecard::decimal::per_million("0.00001").as_deref(), Ok("10.00"));
/// ```
///
/// # Errors
/// If it is negative, no number, or has more decimals than a price: such a number looks like a float's
/// rounding, and this program does not guess what was meant.
pub fn per_million(per_token: &str) -> Result<String, String> {
    let (mantissa, exponent) = per_token.split_once(['e', 'E']).unwrap_or((per_token, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let exponent: i32 = exponent.parse().map_err(|_| format!("{per_token} is no price"))?;
    let digits = format!("{whole}{fraction}");
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) || exponent.abs() > 40 {
        return Err(format!("{per_token} is no price"));
    }
    // The point's place among the digits, counted from their start.
    let point = i64::try_from(whole.len()).unwrap_or(0) + i64::from(exponent) + 6;
    let (digits, point) = match usize::try_from(point) {
        Ok(point) => (format!("{digits:0<point$}"), point),
        Err(_) => {
            let before = usize::try_from(-point).unwrap_or(0);
            (format!("{}{digits}", "0".repeat(before)), 0)
        }
    };
    let (whole, fraction) = digits.split_at(point);
    let whole = whole.trim_start_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    let fraction = fraction.trim_end_matches('0');
    let text = if fraction.is_empty() { whole.to_owned() } else { format!("{whole}.{fraction}") };
    match text.parse::<Usd>() {
        Ok(usd) => Ok(dollars(usd)),
        Err(AmountError::TooPrecise { decimals }) => Err(format!(
            "{per_token} has more than {decimals} decimals per million tokens, as a rounded float has: look the price up"
        )),
        Err(error) => Err(format!("{per_token} {error}")),
    }
}

/// Dollars as cards have them: no zeros at the end beyond the cents.
#[must_use]
pub fn dollars(usd: Usd) -> String {
    cents(&usd.to_string())
}

/// 10⁻¹² US dollars as dollars, with all their decimals.
#[must_use]
pub fn picodollars(units: u128) -> String {
    const DOLLAR: u128 = 1_000_000_000_000;
    format!("{}.{:012}", units / DOLLAR, units % DOLLAR)
}

/// A decimal without zeros at the end beyond the second place.
#[must_use]
pub fn cents(text: &str) -> String {
    let Some((whole, fraction)) = text.split_once('.') else { return format!("{text}.00") };
    format!("{whole}.{:0<2}", fraction.trim_end_matches('0'))
}

/// By how much `new` differs from `old`, in tenths of a per cent, rounded half away from zero. Nothing if
/// `old` is zero.
#[must_use]
pub fn change(old: i128, new: i128) -> Option<i128> {
    let doubled = new.checked_sub(old)?.checked_mul(2_000)?;
    let half = if doubled < 0 { -old.checked_abs()? } else { old.checked_abs()? };
    doubled.checked_add(half)?.checked_div(old.checked_abs()?.checked_mul(2)?)
}

/// Tenths of a per cent as a text: `+12.5%`, `-90.0%`, `0.0%`.
#[must_use]
pub fn per_cent(tenths: i128) -> String {
    let sign = match tenths {
        1.. => "+",
        0 => "",
        _ => "-",
    };
    let tenths = tenths.unsigned_abs();
    format!("{sign}{}.{}%", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_per_token_becomes_one_per_million_by_its_text() {
        for (per_token, usd) in [
            ("6e-07", "0.60"),
            ("1.5e-06", "1.50"),
            ("0.000002", "2.00"),
            ("2.8E-8", "0.028"),
            ("1e-09", "0.001"),
            ("1.25e-05", "12.50"),
            ("0.00001", "10.00"),
            ("0.0", "0.00"),
            ("0", "0.00"),
            ("1", "1000000.00"),
            ("1.25e+1", "12500000.00"),
            ("12.5e-6", "12.50"),
            ("1e-18", "0.000000000001"),
            ("123.456e-6", "123.456"),
        ] {
            assert_eq!(per_million(per_token).as_deref(), Ok(usd), "{per_token}");
        }
        for wrong in ["-1e-6", "1e-19", "5.0000000000000004e-08", "NaN", "", "null", "1e99", "1e-99", "1e4"] {
            assert!(per_million(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_change_is_exact_to_a_tenth_of_a_per_cent() {
        for (old, new, text) in [
            (60, 15, "-75.0%"),
            (15, 60, "+300.0%"),
            (3, 4, "+33.3%"),
            (3, 5, "+66.7%"),
            (2000, 2001, "+0.1%"),
            (2000, 1999, "-0.1%"),
            (4000, 4001, "0.0%"),
            (7, 7, "0.0%"),
            (5, 0, "-100.0%"),
        ] {
            assert_eq!(change(old, new).map(per_cent).as_deref(), Some(text), "{old} to {new}");
        }
        assert_eq!(change(0, 5), None);
        assert_eq!(change(i128::MAX, i128::MIN), None);
    }
}
