//! What the next card changes, and for whom.

use std::collections::{BTreeMap, BTreeSet};

use pax_gateway::base::pax::{Pax, Rate, Usd};
use pax_gateway::dialect::usage::Mode;
use pax_gateway::price::card::{Model, RateCard};
use serde::Serialize;

use crate::Failed;
use crate::decimal::{change, dollars, per_cent};
use crate::draft::parse;
use crate::folder::CardFile;
use crate::prices::{self, Price, Prices, Which};
use crate::publish::revaluation;
use crate::reprice::Revenue;

/// All that differs between two cards. Money is text: decimals.
#[derive(Clone, Debug, Serialize)]
pub struct Diff {
    /// The card before.
    pub from: Side,
    /// The card after.
    pub to: Side,
    /// What another `pax_usd` does to every balance.
    pub revaluation: Option<String>,
    /// The free tier's daily cap, if it changes.
    pub daily_cap_pax: Option<Pair>,
    /// Prices of models that both cards have, the largest change first.
    pub prices: Vec<PriceChange>,
    /// Models that only the new card has.
    pub added: Vec<Listed>,
    /// Models that only the old card has: calls to them are refused.
    pub removed: Vec<Listed>,
    /// What else changes of models that both have.
    pub terms: Vec<Term>,
    /// Slots whose whitelist changes.
    pub whitelist: Vec<Slot>,
    /// What a period would have cost, if a ledger was named.
    pub revenue: Option<Revenue>,
}

/// One of the two cards.
#[derive(Clone, Debug, Serialize)]
pub struct Side {
    /// Its version.
    pub rate_table_v: u32,
    /// When it takes force.
    pub effective_from: String,
    /// Why it was made.
    pub reason: String,
    /// What 1 PAX is worth.
    pub pax_usd: String,
}

/// Before and after.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Pair {
    /// Before.
    pub old: String,
    /// After.
    pub new: String,
}

/// A price that changes.
#[derive(Clone, Debug, Serialize)]
pub struct PriceChange {
    /// The model.
    pub model: String,
    /// Who serves it under the new card.
    pub provider: String,
    /// Slots in which free accounts may call it under the new card. Credit accounts may call all.
    pub free_in: Vec<String>,
    /// Which price.
    pub price: String,
    /// Whether it is the least that a call costs, which a model need not have.
    #[serde(skip)]
    pub is_minimum: bool,
    /// What was charged before; none if such calls were refused.
    pub old: Option<Charged>,
    /// What is charged after; none if such calls are refused.
    pub new: Option<Charged>,
    /// The change in dollars, in per cent.
    pub change: Option<String>,
    /// The change in PAX, in per cent.
    pub change_pax: Option<String>,
    /// Tenths of a per cent, to sort by.
    #[serde(skip)]
    pub tenths: Option<i128>,
}

/// What is charged for something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Charged {
    /// US dollars.
    pub usd: String,
    /// PAX.
    pub pax: String,
    /// The price that is charged instead, if the card states none for just this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub same_as: Option<String>,
}

/// A model with its prices.
#[derive(Clone, Debug, Serialize)]
pub struct Listed {
    /// Its id.
    pub model: String,
    /// Who serves it.
    pub provider: String,
    /// Slots in which free accounts may call it.
    pub free_in: Vec<String>,
    /// Its prices by name.
    pub prices: BTreeMap<String, Charged>,
}

/// Something else about a model that changes.
#[derive(Clone, Debug, Serialize)]
pub struct Term {
    /// The model.
    pub model: String,
    /// The field.
    pub field: &'static str,
    /// Before and after.
    #[serde(flatten)]
    pub pair: Pair,
}

/// A slot's whitelist.
#[derive(Clone, Debug, Serialize)]
pub struct Slot {
    /// The slot.
    pub slot: String,
    /// Models that free accounts may call in it from then on.
    pub added: Vec<String>,
    /// Models that they may call in it no more.
    pub removed: Vec<String>,
}

/// A card, parsed, with its dollars.
struct Half {
    card: RateCard,
    prices: BTreeMap<String, Prices>,
}

impl Half {
    fn of(file: &CardFile) -> Result<Self, Failed> {
        Ok(Self { card: parse(file)?, prices: prices::of_card(&file.text) })
    }

    fn side(&self) -> Side {
        Side {
            rate_table_v: self.card.version.0,
            effective_from: self.card.effective_from.to_string(),
            reason: self.card.reason.clone(),
            pax_usd: dollars(self.card.pax_usd),
        }
    }

    fn free_in(&self, id: &str) -> Vec<String> {
        let slots = self.card.free_tier.slots.iter();
        slots.filter(|(_, ids)| ids.iter().any(|free| free == id)).map(|(slot, _)| slot.clone()).collect()
    }

    fn charged(&self, which: &Which, usd: Usd, same_as: Option<String>) -> Charged {
        let pax = match which {
            Which::Minimum => Pax::derive(usd, self.card.pax_usd).map(|pax| pax.to_string()),
            Which::Token { .. } => Rate::derive(usd, self.card.pax_usd).map(|rate| rate.to_string()),
        };
        Charged { usd: dollars(usd), pax: pax.unwrap_or_default(), same_as }
    }

    fn listed(&self, id: &str, model: &Model) -> Listed {
        let prices = self.prices.get(id).into_iter().flatten();
        let prices = prices.map(|(which, price)| (which.to_string(), self.charged(which, price.usd, None)));
        Listed {
            model: id.to_owned(),
            provider: model.provider.clone(),
            free_in: self.free_in(id),
            prices: prices.collect(),
        }
    }
}

/// Compares two cards.
///
/// # Errors
/// If one has a mistake.
pub fn diff(from: &CardFile, to: &CardFile) -> Result<Diff, Failed> {
    let (old, new) = (Half::of(from)?, Half::of(to)?);
    let mut diff = Diff {
        from: old.side(),
        to: new.side(),
        revaluation: revaluation(&old.card, &new.card),
        daily_cap_pax: pair(old.card.free_tier.daily_cap, new.card.free_tier.daily_cap),
        prices: Vec::new(),
        added: Vec::new(),
        removed: Vec::new(),
        terms: Vec::new(),
        whitelist: whitelist(&old.card, &new.card),
        revenue: None,
    };
    for (id, model) in &new.card.models {
        match old.card.models.get(id) {
            None => diff.added.push(new.listed(id, model)),
            Some(before) => {
                diff.terms.extend(terms(id, before, model));
                diff.prices.extend(price_changes(id, &old, &new));
            }
        }
    }
    for (id, model) in old.card.models.iter().filter(|(id, _)| !new.card.models.contains_key(*id)) {
        diff.removed.push(old.listed(id, model));
    }
    // A change without a percentage is a price that appears or disappears: that counts as the largest change.
    let size = |change: &PriceChange| change.tenths.map_or(u128::MAX, i128::unsigned_abs);
    diff.prices
        .sort_by(|a, b| size(b).cmp(&size(a)).then_with(|| (&a.model, &a.price).cmp(&(&b.model, &b.price))));
    Ok(diff)
}

fn pair<T: ToString + PartialEq>(old: T, new: T) -> Option<Pair> {
    (old != new).then(|| Pair { old: old.to_string(), new: new.to_string() })
}

fn whitelist(old: &RateCard, new: &RateCard) -> Vec<Slot> {
    let (old, new) = (&old.free_tier.slots, &new.free_tier.slots);
    let slots: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let only = |slot: &str, of: &BTreeMap<String, Vec<String>>, other: &BTreeMap<String, Vec<String>>| {
        let others = other.get(slot);
        let ids = of.get(slot).into_iter().flatten();
        ids.filter(|id| others.is_none_or(|others| !others.contains(id))).cloned().collect::<Vec<_>>()
    };
    let changes = slots.into_iter().map(|slot| Slot {
        slot: slot.clone(),
        added: only(slot, new, old),
        removed: only(slot, old, new),
    });
    changes.filter(|slot| !slot.added.is_empty() || !slot.removed.is_empty()).collect()
}

fn terms(id: &str, old: &Model, new: &Model) -> Vec<Term> {
    let mode = |model: &Model| if model.mode == Mode::Chat { "chat" } else { "embeddings" };
    let upstream = |model: &Model| model.upstream_model.clone().unwrap_or_else(|| id.to_owned());
    let (before, after) = (old.factors, new.factors);
    let fields = [
        ("provider", pair(&old.provider, &new.provider)),
        ("mode", pair(mode(old), mode(new))),
        ("upstream_model", pair(upstream(old), upstream(new))),
        ("context_window", pair(old.context_window, new.context_window)),
        ("max_output_tokens", pair(old.max_output, new.max_output)),
        ("bytes_per_token", pair(before.bytes_per_token, after.bytes_per_token)),
        ("bytes_per_token_other", pair(before.bytes_per_token_other, after.bytes_per_token_other)),
        ("hidden_reasoning", pair(old.hidden_reasoning, new.hidden_reasoning)),
        ("unseen_after_s", pair(before.unseen_after_s, after.unseen_after_s)),
        ("unseen_tokens_per_s", pair(before.unseen_tokens_per_s, after.unseen_tokens_per_s)),
    ];
    let changed = fields.into_iter().filter_map(|(field, pair)| Some((field, pair?)));
    changed.map(|(field, pair)| Term { model: id.to_owned(), field, pair }).collect()
}

fn price_changes(id: &str, old: &Half, new: &Half) -> Vec<PriceChange> {
    let none = Prices::new();
    let (before, after) = (old.prices.get(id).unwrap_or(&none), new.prices.get(id).unwrap_or(&none));
    let all: BTreeSet<&Which> = before.keys().chain(after.keys()).collect();
    let mut changes = Vec::new();
    for which in all {
        let (then, now) = (charge(before, which), charge(after, which));
        let usd = |found: Option<(&Which, &Price)>| found.map(|(_, price)| price.usd);
        if usd(then) == usd(now) {
            continue;
        }
        let charged = |half: &Half, found: Option<(&Which, &Price)>| {
            found.map(|(by, price)| half.charged(which, price.usd, (by != which).then(|| by.to_string())))
        };
        let (then_pax, now_pax) = (charged(old, then), charged(new, now));
        let dollars = |found: Option<(&Which, &Price)>| i128::try_from(found?.1.usd.picodollars()).ok();
        let tenths = dollars(then).zip(dollars(now)).and_then(|(then, now)| change(then, now));
        let pax = |charged: &Option<Charged>| units(&charged.as_ref()?.pax);
        let in_pax = pax(&then_pax).zip(pax(&now_pax)).and_then(|(then, now)| change(then, now));
        changes.push(PriceChange {
            model: id.to_owned(),
            provider: new.card.models.get(id).map(|model| model.provider.clone()).unwrap_or_default(),
            free_in: new.free_in(id),
            price: which.to_string(),
            is_minimum: *which == Which::Minimum,
            old: then_pax,
            new: now_pax,
            change: tenths.map(per_cent),
            change_pax: in_pax.map(per_cent),
            tenths,
        });
    }
    changes
}

/// What is charged for a part of a usage: its own price in the call's band, or else that band's price of the
/// whole to which it belongs. Nothing if such calls are refused (a service tier that is not priced), or if
/// there is no minimum.
fn charge<'a>(prices: &'a Prices, which: &Which) -> Option<(&'a Which, &'a Price)> {
    let Which::Token { tier, above, part } = which else { return prices.get_key_value(which) };
    let bounds = prices.keys().filter_map(|known| match known {
        Which::Token { tier: of, above: bound, .. } if of == tier && bound <= above => Some(*bound),
        _ => None,
    });
    let above = bounds.max()?;
    let find =
        |part: &str| prices.get_key_value(&Which::Token { tier: tier.clone(), above, part: part.to_owned() });
    find(part).or_else(|| find(prices::whole_of(part)?))
}

/// A decimal as a whole number of units of its last place, so that two of one kind can be compared.
fn units(decimal: &str) -> Option<i128> {
    decimal.replace('.', "").parse().ok()
}
