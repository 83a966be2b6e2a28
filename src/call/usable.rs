//! Which models a caller may use, which provider serves each, and why any other model is refused.

use crate::base::account::{Account, Funding, Tier};
use crate::base::refusal::nearest::nearest;
use crate::base::refusal::refusals::Refusal;
use crate::call::config::{Config, Provider};
use crate::dialect::usage::Mode;
use crate::price::card::{Model, RateCard};

/// All that decides which models a caller may use: its account, its slot, whose key pays, the card and the
/// providers.
#[derive(Clone, Copy, Debug)]
pub struct Asker<'a> {
    /// The configuration, which has the providers.
    pub config: &'a Config,
    /// The card in force.
    pub card: &'a RateCard,
    /// The caller's account.
    pub account: &'a Account,
    /// The slot in which it calls.
    pub slot: &'a str,
    /// Whose provider key pays.
    pub funding: Funding,
}

/// The provider that serves a model, and the model's price if the card has one.
#[derive(Clone, Copy, Debug)]
pub struct Served<'a> {
    /// The provider's name.
    pub name: &'a str,
    /// The provider.
    pub provider: &'a Provider,
    /// The card's model.
    pub model: Option<&'a Model>,
}

/// Why a model that is known must not be used.
enum Bar {
    OwnKeyNotTaken,
    NoPlatformKey,
    NotFree,
}

impl<'a> Asker<'a> {
    /// The models of the card that it may use, by id.
    pub fn models(self) -> impl Iterator<Item = (&'a str, &'a Model, &'a Provider)> {
        self.card.models.iter().filter_map(move |(id, model)| {
            let provider = self.config.providers.get(&model.provider)?;
            self.bar(id, provider).is_none().then_some((id.as_str(), model, provider))
        })
    }

    /// The provider for a call of this mode. The card names it. A caller with its own provider key may also
    /// name a model that is not on the card, if it matches a provider's id patterns.
    ///
    /// # Errors
    /// Why the call is refused.
    pub fn find(self, id: &str, mode: Mode) -> Result<Served<'a>, Refusal> {
        let priced = self.card.models.get(id).filter(|model| model.mode == mode);
        let priced = priced.and_then(|model| self.served(model));
        let served = priced.or_else(|| self.served_by_its_id(id));
        let served = served.ok_or_else(|| self.not_found(id, Some(mode)))?;
        self.check(id, served)
    }

    /// A model of the card, whatever the mode.
    ///
    /// # Errors
    /// Why a call of it would be refused.
    pub fn find_priced(self, id: &str) -> Result<(&'a str, &'a Model, &'a Provider), Refusal> {
        let priced = self.card.models.get_key_value(id);
        let served = priced.and_then(|(id, model)| Some((id, model, self.served(model)?)));
        let (id, model, served) = served.ok_or_else(|| self.not_found(id, None))?;
        Ok((id, model, self.check(id, served)?.provider))
    }

    fn served(self, model: &'a Model) -> Option<Served<'a>> {
        let (name, provider) = self.config.providers.get_key_value(&model.provider)?;
        Some(Served { name, provider, model: Some(model) })
    }

    fn served_by_its_id(self, id: &str) -> Option<Served<'a>> {
        let (name, provider) = self.config.provider_of(id).filter(|_| self.funding == Funding::Byo)?;
        Some(Served { name, provider, model: None })
    }

    fn bar(self, id: &str, provider: &Provider) -> Option<Bar> {
        match self.funding {
            Funding::Byo => (!provider.own_keys).then_some(Bar::OwnKeyNotTaken),
            Funding::Platform if !provider.platform_funding => Some(Bar::NoPlatformKey),
            Funding::Platform => {
                let is_barred = self.account.tier == Tier::Free && !self.card.is_free(self.slot, id);
                is_barred.then_some(Bar::NotFree)
            }
        }
    }

    fn check(self, id: &str, served: Served<'a>) -> Result<Served<'a>, Refusal> {
        let Some(bar) = self.bar(id, served.provider) else { return Ok(served) };
        let (model, own_keys) = (id.to_owned(), served.provider.own_keys);
        Err(match bar {
            Bar::OwnKeyNotTaken => Refusal::OwnKeyNotTaken { model },
            Bar::NoPlatformKey => {
                Refusal::NoPlatformKey { model, provider: served.name.to_owned(), own_keys }
            }
            Bar::NotFree => Refusal::ModelNotAllowed { model, slot: self.slot.to_owned(), own_keys },
        })
    }

    /// Why no provider serves a model: it is priced for another route, its provider is not configured, or it is
    /// not known.
    fn not_found(self, id: &str, mode: Option<Mode>) -> Refusal {
        let asked = id.to_owned();
        match self.card.models.get(id) {
            Some(model) if mode.is_some_and(|mode| mode != model.mode) => {
                Refusal::ModelOfAnotherRoute { model: asked, path: model.mode.path() }
            }
            Some(model) => Refusal::ProviderNotConfigured { model: asked, provider: model.provider.clone() },
            None => {
                let fitting =
                    self.models().filter(|(_, model, _)| mode.is_none_or(|mode| mode == model.mode));
                let near = nearest(id, fitting.map(|(id, _, _)| id)).into_iter().map(str::to_owned).collect();
                // A model that is not on the card can be called with the caller's own key, if a provider's id
                // patterns match it. Then only its price is not known.
                let own_key = self.funding == Funding::Byo && self.served_by_its_id(id).is_none();
                Refusal::ModelNotFound { model: asked, own_key, near }
            }
        }
    }
}

#[cfg(test)]
#[path = "usable_test.rs"]
mod tests;
