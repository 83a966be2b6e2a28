//! `new --markup`: the prices of a card raised or lowered by a percentage.
//!
//! A card says what callers pay and nothing of what a provider charges. So a mark-up raises the prices that
//! the card has: a second mark-up compounds with the first.

use std::fmt;
use std::str::FromStr;

use pax_gateway::base::pax::Usd;

use crate::Failed;
use crate::decimal::{cents, picodollars};
use crate::draft::{Edits, quoted};
use crate::source::glob;
use crate::spans::{self, Member, Value};

/// Decimals of a percentage.
const DECIMALS: usize = 6;
/// One hundred per cent in the unit of [`Percent`].
const WHOLE: i64 = 100_000_000;
/// A mark-up above this is more likely a slipped digit.
const MOST: i64 = 10 * WHOLE;

/// A percentage, in millionths of one per cent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Percent(i64);

impl FromStr for Percent {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("must be per cent, such as 10%, 2.5% or -5%, with at most {DECIMALS} decimals");
        let number = text.strip_suffix('%').ok_or_else(wrong)?.trim_end();
        let (sign, digits) = match number.strip_prefix('-') {
            Some(digits) => (-1, digits),
            None => (1, number.strip_prefix('+').unwrap_or(number)),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
        let are_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !are_digits(whole) || !are_digits(fraction) || fraction.len() > DECIMALS {
            return Err(wrong());
        }
        let units: i64 = format!("{whole}{fraction:0<DECIMALS$}").parse().map_err(|_| wrong())?;
        match sign * units {
            0 => Err("0% changes no price".to_owned()),
            units if units <= -WHOLE => {
                Err("would leave nothing of a price: at least -99.999999%".to_owned())
            }
            units if units > MOST => Err("is above 1000%: is it a slipped digit?".to_owned()),
            units => Ok(Self(units)),
        }
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let units = self.0.unsigned_abs();
        let fraction = format!("{:06}", units % 1_000_000);
        let fraction = fraction.trim_end_matches('0');
        let point = if fraction.is_empty() { "" } else { "." };
        write!(f, "{sign}{}{point}{fraction}%", units / 1_000_000)
    }
}

impl Percent {
    /// A price raised by this, rounded half up to the 12 decimals of a price; and whether it had to be rounded.
    fn of(self, price: Usd) -> Option<(u128, bool)> {
        let factor = u128::try_from(WHOLE.checked_add(self.0)?).ok()?;
        let whole = u128::try_from(WHOLE).ok()?;
        let scaled = price.picodollars().checked_mul(factor)?;
        let raised = scaled.checked_add(whole / 2)?.checked_div(whole)?;
        Some((raised, scaled.checked_rem(whole)? != 0))
    }
}

/// A mark-up, and whose prices it is for.
#[derive(Clone, Debug)]
pub struct Markup {
    /// By how much.
    pub percent: Percent,
    /// Only models of these providers; if there are none, of all.
    pub providers: Vec<String>,
    /// Only models whose id, here or at the provider, fits one of these patterns; if there are none, all.
    pub models: Vec<String>,
}

/// What a mark-up did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marked {
    /// How many models it changed.
    pub models: usize,
    /// How many prices.
    pub prices: usize,
    /// How many of them were rounded to 12 decimals.
    pub rounded: usize,
}

impl Markup {
    /// What a card's `reason` says of it.
    #[must_use]
    pub fn said(&self, version: u32) -> String {
        let mut said = format!("mark-up of {} on version {version}", self.percent);
        for (whose, names) in [("for", &self.providers), ("models", &self.models)] {
            if !names.is_empty() {
                said.push_str(&format!(", {whose} {}", names.join(" ")));
            }
        }
        said
    }

    /// Changes every price of a card's text that it is for; every other byte stays.
    ///
    /// # Errors
    /// If no model fits, or a price leaves the range of prices.
    pub fn apply(&self, text: &str) -> Result<(String, Marked), Failed> {
        let card = spans::read(text);
        let models = card.as_ref().and_then(|card| card.get("models")).map(Value::members);
        let (mut edits, mut marked) = (Edits::default(), Marked::default());
        for model in models.unwrap_or_default().iter().filter(|model| self.is_for(model)) {
            marked.models += 1;
            for (path, price) in prices(model) {
                let usd = price.text().and_then(|text| text.parse::<Usd>().ok());
                let raised = usd.and_then(|usd| self.percent.of(usd));
                let (raised, is_rounded) =
                    raised.ok_or_else(|| Failed(format!("{path} cannot be raised by {}", self.percent)))?;
                marked.prices += 1;
                marked.rounded += usize::from(is_rounded);
                edits.replace(price.span.clone(), quoted(&cents(&picodollars(raised))));
            }
        }
        if marked.models == 0 {
            return Err(Failed(format!(
                "no model is of {} and fits {}: nothing would change",
                if self.providers.is_empty() {
                    "any provider".to_owned()
                } else {
                    self.providers.join(" or ")
                },
                if self.models.is_empty() { "*".to_owned() } else { self.models.join(" or ") },
            )));
        }
        Ok((edits.apply(text), marked))
    }

    fn is_for(&self, model: &Member) -> bool {
        let text = |key| model.value.get(key).and_then(Value::text);
        let provider = text("provider").unwrap_or_default();
        let names = [Some(model.key.as_str()), text("upstream_model")];
        let fits = |pattern: &String| names.iter().flatten().any(|name| glob(pattern, name));
        (self.providers.is_empty() || self.providers.iter().any(|known| known == provider))
            && (self.models.is_empty() || self.models.iter().any(fits))
    }
}

/// Every price of a model, with its path for a message.
fn prices(model: &Member) -> Vec<(String, &Value)> {
    let path = pax_gateway::base::strict_json::join("models", &model.key);
    let tiers = model.value.get("service_tiers").map(Value::members).unwrap_or_default();
    let scopes = [&model.value].into_iter().chain(tiers.iter().map(|tier| &tier.value));
    let mut found = Vec::new();
    for scope in scopes {
        let bands = scope.get("bands").map(Value::items).unwrap_or_default();
        for holder in [scope].into_iter().chain(bands) {
            let rates = holder.get("usd_per_mtok").map(Value::members).unwrap_or_default();
            found.extend(rates.iter().map(|rate| (format!("{path}: {}", rate.key), &rate.value)));
        }
    }
    let minimum = model.value.get("usd_per_request_minimum");
    found.extend(minimum.map(|minimum| (format!("{path}.usd_per_request_minimum"), minimum)));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentage_is_read_exactly() {
        for (text, units, shown) in [
            ("10%", 10_000_000, "10%"),
            ("+10%", 10_000_000, "10%"),
            ("-5%", -5_000_000, "-5%"),
            ("2.5%", 2_500_000, "2.5%"),
            ("2.50 %", 2_500_000, "2.5%"),
            ("0.000001%", 1, "0.000001%"),
            ("-99.999999%", -99_999_999, "-99.999999%"),
            ("1000%", 1_000_000_000, "1000%"),
        ] {
            assert_eq!(text.parse::<Percent>(), Ok(Percent(units)), "{text}");
            assert_eq!(Percent(units).to_string(), shown);
        }
        for wrong in [
            "10",
            "",
            "%",
            "ten%",
            "1e1%",
            "0%",
            "-100%",
            "-200%",
            "1001%",
            "0.0000001%",
            "1.%",
            ".5%",
            "--5%",
            "5 5%",
        ] {
            assert!(wrong.parse::<Percent>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_price_is_raised_exactly_and_rounded_once() {
        for (percent, price, raised, is_rounded) in [
            ("10%", "0.15", "0.165", false),
            ("-5%", "0.60", "0.57", false),
            ("2.5%", "0.008", "0.0082", false),
            ("33.333333%", "3", "3.99999999", false),
            // 1.5 times and 1.49 times the smallest price: a half is rounded up, less than a half is rounded
            // down.
            ("50%", "0.000000000001", "0.000000000002", true),
            ("49%", "0.000000000001", "0.000000000001", true),
            ("1000%", "1000000000", "11000000000.00", false),
        ] {
            let (pico, rounded) = percent.parse::<Percent>().unwrap().of(price.parse().unwrap()).unwrap();
            assert_eq!(
                (cents(&picodollars(pico)).as_str(), rounded),
                (raised, is_rounded),
                "{percent} {price}"
            );
        }
    }
}
