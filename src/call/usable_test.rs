#![allow(clippy::unwrap_used)]

use super::*;
use crate::base::clock::Moment;
use crate::call::config::Config;
use crate::price::bundle::Bundle;
use std::collections::BTreeSet;
use std::sync::Arc;

const CHAT: &str = "accounts/fireworks/models/gpt-oss-120b";
const EMBEDDING: &str = "nomic-ai/nomic-embed-text-v1.5";

/// `NAME MORE` for each provider: more of its configuration.
fn config(providers: &[(&str, &str)]) -> Config {
    let provider = |(name, more): &(&str, &str)| {
        format!(
            r#""{name}": {{"cluster": "c", "authority": "a", "base_path": "/v1", "stream_usage": "ask",
                "stops_at": "model_maximum", "model_patterns": ["{name}-*"]{more}}}"#
        )
    };
    let providers: Vec<String> = providers.iter().map(provider).collect();
    let text = format!(
        r#"{{"ledger": {{"cluster": "l", "authority": "l"}}, "hosts": ["*"], "providers": {{{}}}}}"#,
        providers.join(",")
    );
    Config::parse(&text).unwrap()
}

fn card() -> Arc<RateCard> {
    let bundle = Bundle::embedded().unwrap();
    Arc::clone(bundle.in_force("2026-11-27T00:00:00Z".parse::<Moment>().unwrap()).unwrap())
}

struct World {
    config: Config,
    card: Arc<RateCard>,
    account: Account,
}

impl World {
    fn new(tier: Tier, providers: &[(&str, &str)]) -> Self {
        let account = Account {
            account: "acme".to_owned(),
            tier,
            status: crate::base::account::Status::Active,
            token_id: "t".to_owned(),
            daily_cap_pax: None,
            canon_v: 1,
        };
        Self { config: config(providers), card: card(), account }
    }

    fn asker(&self, funding: Funding) -> Asker<'_> {
        Asker { config: &self.config, card: &self.card, account: &self.account, slot: "default", funding }
    }

    fn ids(&self, funding: Funding) -> BTreeSet<&str> {
        self.asker(funding).models().map(|(id, ..)| id).collect()
    }
}

const SERVED: &str = r#", "own_keys": true"#;
const KEYLESS: &str = r#", "own_keys": true, "platform_funding": false"#;
const OFF: &str = r#", "own_keys": false, "platform_funding": false"#;

#[test]
fn the_list_is_what_can_be_served_to_this_caller() {
    let world = World::new(Tier::Credit, &[("openai", SERVED), ("fireworks", KEYLESS), ("mistral", OFF)]);
    let of = |provider: &str| -> BTreeSet<&str> {
        let models = world.card.models.iter().filter(|(_, model)| model.provider == provider);
        models.map(|(id, _)| id.as_str()).collect()
    };
    assert!(!of("openai").is_empty() && !of("fireworks").is_empty() && !of("mistral").is_empty());
    assert_eq!(world.ids(Funding::Platform), of("openai"));
    assert_eq!(world.ids(Funding::Byo), of("openai").union(&of("fireworks")).copied().collect());
    let free = World::new(Tier::Free, &[("openai", SERVED), ("fireworks", SERVED)]);
    let listed = free.ids(Funding::Platform);
    assert!(!listed.is_empty() && listed.iter().all(|id| free.card.is_free("default", id)), "{listed:?}");
    let free = World::new(Tier::Free, &[("openai", SERVED), ("fireworks", KEYLESS)]);
    assert_eq!(free.ids(Funding::Platform), BTreeSet::new(), "its list has none of OpenAI's");
}

#[test]
fn every_model_of_the_list_is_served_and_every_other_is_refused() {
    for tier in [Tier::Free, Tier::Credit] {
        let world = World::new(
            tier,
            &[("openai", SERVED), ("fireworks", KEYLESS), ("mistral", OFF), ("groq", SERVED)],
        );
        for funding in [Funding::Platform, Funding::Byo] {
            let (asker, listed) = (world.asker(funding), world.ids(funding));
            for (id, model) in &world.card.models {
                let is_listed = listed.contains(id.as_str());
                assert_eq!(asker.find(id, model.mode).is_ok(), is_listed, "{id}");
                assert_eq!(asker.find_priced(id).is_ok(), is_listed, "{id}");
            }
        }
    }
}

#[test]
fn a_model_that_cannot_be_had_is_refused_for_what_is_in_the_way() {
    let refused = |tier, providers: &[(&str, &str)], funding, id: &str, mode| {
        let world = World::new(tier, providers);
        world.asker(funding).find(id, mode).unwrap_err()
    };
    let (model, provider) = (CHAT.to_owned(), "fireworks".to_owned());
    for own_keys in [true, false] {
        let more = if own_keys { KEYLESS } else { OFF };
        let told = refused(Tier::Free, &[("fireworks", more)], Funding::Platform, CHAT, Mode::Chat);
        let (model, provider) = (model.clone(), provider.clone());
        assert_eq!(told, Refusal::NoPlatformKey { model, provider, own_keys });
    }
    let told = refused(Tier::Free, &[("openai", SERVED)], Funding::Platform, CHAT, Mode::Chat);
    assert_eq!(told, Refusal::ProviderNotConfigured { model: model.clone(), provider });
    let told = refused(Tier::Credit, &[("fireworks", SERVED)], Funding::Platform, CHAT, Mode::Embeddings);
    assert_eq!(told, Refusal::ModelOfAnotherRoute { model, path: "/v1/chat/completions" });
    let told = refused(Tier::Credit, &[("fireworks", SERVED)], Funding::Platform, EMBEDDING, Mode::Chat);
    assert_eq!(told, Refusal::ModelOfAnotherRoute { model: EMBEDDING.to_owned(), path: "/v1/embeddings" });
}

#[test]
fn the_names_that_were_meant_are_those_that_this_caller_may_use() {
    let near = |tier, providers: &[(&str, &str)], funding, id: &str, mode| {
        let world = World::new(tier, providers);
        match world.asker(funding).find(id, mode).unwrap_err() {
            Refusal::ModelNotFound { near, .. } => near,
            other => vec![format!("{other:?}")],
        }
    };
    let all: &[(&str, &str)] = &[("fireworks", SERVED), ("groq", SERVED)];
    let credit = near(Tier::Credit, all, Funding::Platform, "gpt-oss-120b", Mode::Chat);
    assert_eq!(credit.first().map(String::as_str), Some(CHAT), "{credit:?}");
    assert!(credit.iter().any(|id| id == "accounts/fireworks/models/gpt-oss-20b"), "{credit:?}");
    let free = near(Tier::Free, all, Funding::Platform, "gpt-oss-120b", Mode::Chat);
    assert_eq!(free, [CHAT], "no other is on its list");
    assert_eq!(near(Tier::Credit, all, Funding::Platform, "gpt-oss-120b", Mode::Embeddings), [""; 0]);
    let keyless = [("fireworks", KEYLESS)];
    assert_eq!(near(Tier::Credit, &keyless, Funding::Platform, "gpt-oss-120b", Mode::Chat), [""; 0]);
    assert_eq!(near(Tier::Free, &keyless, Funding::Byo, "gpt-oss-120b", Mode::Chat).first().unwrap(), CHAT);
}

#[test]
fn with_a_key_of_ones_own_a_providers_patterns_count_also_for_what_no_card_prices() {
    let world = World::new(Tier::Free, &[("fireworks", KEYLESS)]);
    let found = world.asker(Funding::Byo).find("fireworks-new", Mode::Chat).unwrap();
    assert!(found.name == "fireworks" && found.model.is_none());
    assert!(world.asker(Funding::Platform).find("fireworks-new", Mode::Chat).is_err());
    for (id, own_key) in [("fireworks-new", false), ("nobody/knows", true)] {
        let told = world.asker(Funding::Byo).find_priced(id).unwrap_err();
        let (model, near) = (id.to_owned(), Vec::new());
        assert_eq!(
            told,
            Refusal::ModelNotFound { model, own_key, near },
            "{id}: it is not said that nobody serves it"
        );
    }
}
