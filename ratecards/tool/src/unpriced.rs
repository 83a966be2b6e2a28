//! What of a listed model's price a card cannot say, and why the model can be taken all the same (`--leave-unpriced`):
//! the gateway refuses every call that would incur it, or charges not less than the provider, or no call incurs it.
//!
//! The rest, such as prices per image or per second, leaves the model out, whatever is asked for.

use std::collections::BTreeMap;

use pax_gateway::base::pax::Usd;

use crate::decimal::per_million;
use crate::source::{Field, Listed, Place, field};
use crate::spans::Value;

/// A part of a price that may be left unpriced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unpriced {
    /// A tool that the provider runs, billed by its calls.
    HostedTool,
    /// What is written to the provider's cache stays for longer than an hour.
    LongCacheWrite,
    /// Calls to a region's own address cost more.
    Region,
    /// Calls at some hours cost less.
    OffPeak,
    /// A part whose price is zero: it then costs what the rest of its side costs.
    FreePart,
}

/// Fields of tools that the provider runs. A call has to ask for one, by `tools` or `web_search_options`.
const HOSTED: [&str; 3] =
    ["search_context_cost_per_query", "code_interpreter_cost_per_session", "file_search_cost_per_1k_calls"];
/// Providers, under the source's names, at which only the request switches such a tool on, as far as is
/// known.
const ASKED: [&str; 5] = ["openai", "azure", "groq", "xai", "anthropic"];

/// Sorts a field that no card can express; nothing if the field leaves its model out.
#[must_use]
pub fn unpriced(name: &str) -> Option<Unpriced> {
    match name {
        _ if HOSTED.contains(&name) => Some(Unpriced::HostedTool),
        _ if name.starts_with("cache_creation_input_token_cost_above_12hr") => Some(Unpriced::LongCacheWrite),
        _ if name.starts_with("regional_processing_uplift_multiplier_") => Some(Unpriced::Region),
        // The same for a government's region: another address, and another account.
        "fedramp_uplift_multiplier" => Some(Unpriced::Region),
        "off_peak_pricing" => Some(Unpriced::OffPeak),
        _ => None,
    }
}

impl Unpriced {
    /// What becomes of calls that would incur it, for the operator.
    #[must_use]
    pub fn says(self) -> &'static str {
        match self {
            Self::HostedTool => "a call that asks for the tool is refused (unpriced_option)",
            Self::LongCacheWrite => {
                "a call that asks for a longer life by prompt_cache_retention is refused (unpriced_option)"
            }
            Self::Region => {
                "only an address of a region charges it, such as eu.api.openai.com: the gateway cannot refuse it, so name \
                 none as the provider's authority, and take no key of a project with data residency"
            }
            Self::OffPeak => "the discount is not passed on: the card's price holds at all hours",
            Self::FreePart => "it is charged as the rest of its side",
        }
    }

    /// Whether the model can be taken with this left unpriced.
    ///
    /// # Errors
    /// Why it cannot.
    pub fn may_be_left(
        self,
        listed: &Listed<'_>,
        value: &Value,
        prices: &BTreeMap<Place, String>,
        authority: Option<&str>,
    ) -> Result<(), String> {
        match self {
            Self::HostedTool if listed.name.contains("search") => {
                Err("it searches in every call, asked or not".to_owned())
            }
            Self::HostedTool => {
                let of = listed.fields.get("litellm_provider").and_then(Value::text).unwrap_or_default();
                let known = ASKED.contains(&of);
                known.then_some(()).ok_or_else(|| format!("{of} may run the tool without being asked"))
            }
            Self::Region => match authority.filter(|authority| !authority.starts_with("api.")) {
                Some(authority) => Err(format!(
                    "the gateway calls {} at {authority}, which may be an address of a region",
                    listed.provider
                )),
                None => Ok(()),
            },
            Self::OffPeak => not_dearer(value, prices),
            Self::LongCacheWrite | Self::FreePart => Ok(()),
        }
    }
}

/// Checks that no price for certain hours is above the price that the card has.
fn not_dearer(hours: &Value, prices: &BTreeMap<Place, String>) -> Result<(), String> {
    for member in hours.members() {
        let place = match field(&member.key) {
            Field::Plain => continue,
            Field::Price(place) | Field::SameAs(place) => place,
            _ => return Err(format!("nobody knows what {} in it means", member.key)),
        };
        let usd = |text: &str| text.parse::<Usd>().ok().map(Usd::picodollars);
        let of_card = prices.get(&place).and_then(|text| usd(text));
        let then = member.value.plain().and_then(|raw| per_million(raw).ok()).and_then(|text| usd(&text));
        if of_card.zip(then).is_none_or(|(of_card, then)| then > of_card) {
            return Err(format!("its {} may be above the price at other hours", member.key));
        }
    }
    Ok(())
}
