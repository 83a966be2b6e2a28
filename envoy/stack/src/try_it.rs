//! An example call for the operator who has just started the gateway: a model that the gateway can serve as
//! it was started, and an account that may call it.

use crate::{StackError, rate_cards};
use pax_gateway::base::account::{Account, Funding, Status, Tier};
use pax_gateway::base::clock::Moment;
use pax_gateway::call::config::Gateway;
use pax_gateway::call::usable::Asker;
use pax_gateway::dialect::usage::Mode;
use std::time::{SystemTime, UNIX_EPOCH};

/// A call that can be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TryIt {
    /// The model.
    pub model: String,
    /// The tier of an account that may call it: `free` if that is enough.
    pub tier: Tier,
}

impl TryIt {
    /// From the text of the filter's file; None if every model needs a key of the caller's own.
    pub(crate) fn of(filter: &str) -> Result<Option<Self>, StackError> {
        let mut config = String::new();
        rate_cards::change_filter(filter, |value| config = value.to_string())?;
        let gateway = Gateway::parse(&config).map_err(|mistakes| StackError::Config(mistakes.to_string()))?;
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = Moment::from_ms(u64::try_from(since.as_millis()).unwrap_or(u64::MAX));
        Ok(Self::choose(&gateway, now))
    }

    /// The first chat model of the default slot's free list that is served, else the cheapest of all that are.
    fn choose(gateway: &Gateway, now: Moment) -> Option<Self> {
        let card = gateway.bundle.in_force(now)?;
        let account = |tier| Account {
            account: String::new(),
            tier,
            status: Status::Active,
            token_id: String::new(),
            daily_cap_pax: None,
            canon_v: 1,
        };
        let [free, credit] = [Tier::Free, Tier::Credit].map(account);
        let asker = |account| Asker {
            config: &gateway.config,
            card,
            account,
            slot: &gateway.config.default_slot,
            funding: Funding::Platform,
        };
        let list = card.free_tier.slots.get(&gateway.config.default_slot);
        let first = list.into_iter().flatten().find(|id| asker(&free).find(id, Mode::Chat).is_ok());
        if let Some(model) = first {
            return Some(Self { model: model.clone(), tier: Tier::Free });
        }
        let chat = asker(&credit).models().filter(|(_, model, _)| model.mode == Mode::Chat);
        let (model, ..) = chat.min_by_key(|(_, model, _)| model.prices.rates.output)?;
        Some(Self { model: model.to_owned(), tier: Tier::Credit })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Layout, Place, Upstream, render};
    use serde_json::Value;

    /// What is chosen if these providers have a key.
    fn chosen(with_keys: &[&str]) -> Option<(Tier, String)> {
        let keys: Vec<String> = with_keys.iter().map(|name| (*name).to_owned()).collect();
        let change = move |filter: &mut Value| {
            for (name, provider) in filter["providers"].as_object_mut().unwrap() {
                provider["platform_funding"] = keys.contains(name).into();
            }
        };
        let place = Place {
            gateway_address: "127.0.0.1".into(),
            gateway_port: 10_000,
            liveness_port: 10_005,
            admin_port: 10_001,
            ledgers: Vec::new(),
            wasm: "/module.wasm".into(),
            filter: "/etc/pax/filter/filter.yaml".into(),
            ca_file: Some("/etc/ssl/certs/ca-certificates.crt".into()),
            hosts: Vec::new(),
            calls_log: crate::CallsLog::Off,
            workers: 2,
        };
        let rendered = render(&Layout::find().unwrap(), &place, &Upstream::Providers, change).unwrap();
        TryIt::of(&rendered.filter).unwrap().map(|call| (call.tier, call.model))
    }

    #[test]
    fn the_call_to_try_is_one_that_can_be_served() {
        let free = Some((Tier::Free, "accounts/fireworks/models/gpt-oss-120b".to_owned()));
        assert_eq!(chosen(&["fireworks", "openai", "groq"]), free);
        let (tier, model) = chosen(&["openai"]).unwrap();
        assert!(tier == Tier::Credit && model.starts_with("gpt-"), "{model}");
        assert_eq!(chosen(&[]), None);
    }
}
