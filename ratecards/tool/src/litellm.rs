//! `import litellm`: prices from LiteLLM's list into a draft.

use std::collections::BTreeSet;

use pax_gateway::base::strict_json;
use pax_gateway::price::card::RateCard;

use crate::Failed;
use crate::draft::{Edits, quoted};
use crate::folder::CardFile;
use crate::listed::{self, Leave, Reading, Taken};
use crate::model_text::{self, Entry, PARTS};
use crate::source::{self, Listed, Place, glob};
use crate::spans::{self, Value};

/// Which models to take, and how.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Providers by the gateway's names.
    pub providers: Vec<String>,
    /// Patterns: a model is taken if its id, its provider's name for it or its name in the list fits one of
    /// them. If there are none, all models are taken.
    pub models: Vec<String>,
    /// What may be left aside.
    pub leave: Leave,
}

/// What an import does.
#[derive(Clone, Debug)]
pub struct Import {
    /// The card's new text.
    pub text: String,
    /// Models taken.
    pub taken: Vec<Model>,
    /// Models left out.
    pub left_out: Vec<LeftOut>,
    /// How many models of the providers were not asked for.
    pub not_asked: usize,
}

/// A model that is taken.
#[derive(Clone, Debug)]
pub struct Model {
    /// Its id in the card.
    pub id: String,
    /// Its name in the list.
    pub name: String,
    /// Whether the card had it before.
    pub is_new: bool,
    /// Each price, with the one that the card had.
    pub prices: Vec<(Taken, Option<String>)>,
    /// Prices that the card had and the list does not.
    pub gone: Vec<String>,
    /// What was not taken of it.
    pub notes: Vec<String>,
    /// What of its price is left unpriced.
    pub unpriced: Vec<String>,
}

/// A model that is not taken.
#[derive(Clone, Debug)]
pub struct LeftOut {
    /// Its name in the list.
    pub name: String,
    /// Why, each reason.
    pub why: Vec<String>,
    /// Its ids in the card, which keep the prices that they had.
    pub kept: Vec<String>,
}

/// Takes prices into a card's text.
///
/// # Errors
/// If the list or the card is no JSON, or a provider has no model in the list.
pub fn import(card: &CardFile, list: &str, wanted: &Wanted) -> Result<Import, Failed> {
    let source = spans::read(list).ok_or_else(|| Failed("the price list is not JSON".to_owned()))?;
    let document = spans::read(&card.text).ok_or_else(|| Failed(format!("{} is not JSON", card.name)))?;
    let models = document.get("models").ok_or_else(|| Failed(format!("{} has no models", card.name)))?;
    let mut import = Import { text: String::new(), taken: Vec::new(), left_out: Vec::new(), not_asked: 0 };
    let mut draft = Draft { document: &document, models, edits: Edits::default(), ids: BTreeSet::new() };
    for provider in &wanted.providers {
        let listed = source::models(&source, provider);
        if listed.is_empty() {
            return Err(Failed(format!("the price list has no model of provider {provider:?}")));
        }
        for listed in listed {
            if !asked(&listed, &draft, &wanted.models) {
                import.not_asked += 1;
                continue;
            }
            match listed::read(&listed, &wanted.leave).and_then(|reading| draft.take(&listed, reading)) {
                Ok(taken) => import.taken.extend(taken),
                Err(why) => {
                    let upstream = listed.upstream.as_deref().unwrap_or_default();
                    let kept = draft.ids_of(provider, upstream);
                    import.left_out.push(LeftOut { name: listed.name.to_owned(), why, kept });
                }
            }
        }
    }
    import.text = draft.edits.apply(&card.text);
    if RateCard::parse(&card.text).is_ok() {
        // Each model was tried alone before; together they can only be wrong by a mistake of this program.
        RateCard::parse(&import.text)
            .map_err(|mistakes| Failed(format!("nothing was written:\n{mistakes}")))?;
    }
    Ok(import)
}

fn asked(listed: &Listed<'_>, draft: &Draft<'_>, patterns: &[String]) -> bool {
    let upstream = listed.upstream.as_deref().unwrap_or(listed.name);
    let ids = draft.ids_of(listed.provider, upstream);
    let names = ids.iter().map(String::as_str).chain([listed.name, upstream]);
    patterns.is_empty() || names.into_iter().any(|name| patterns.iter().any(|pattern| glob(pattern, name)))
}

struct Draft<'a> {
    document: &'a Value,
    models: &'a Value,
    edits: Edits,
    /// Ids that were put in.
    ids: BTreeSet<String>,
}

impl Draft<'_> {
    /// The card's own ids of a provider's model.
    fn ids_of(&self, provider: &str, upstream: &str) -> Vec<String> {
        let of = self.models.members().iter().filter(|member| {
            let text = |key| member.value.get(key).and_then(Value::text);
            text("provider") == Some(provider) && text("upstream_model").unwrap_or(&member.key) == upstream
        });
        of.map(|member| member.key.clone()).collect()
    }

    fn take(&mut self, listed: &Listed<'_>, reading: Reading) -> Result<Vec<Model>, Vec<String>> {
        let upstream = listed.upstream.clone().map_err(|why| vec![why])?;
        let ids = self.ids_of(listed.provider, &upstream);
        if ids.is_empty() {
            let id = self.new_id(listed.provider, &upstream)?;
            let mut reading = reading;
            if id != upstream {
                reading
                    .notes
                    .push(format!("{upstream} is another provider's in this card, so that its id is {id}"));
                reading.entry.upstream_model = Some(upstream);
            }
            self.judge(&id, &reading.entry.render())?;
            self.insert(&id, &reading.entry);
            return Ok(vec![model(&id, listed.name, reading, None)]);
        }
        let mut taken = Vec::new();
        for id in ids {
            let Some(old) = self.models.get(&id) else { continue };
            if old.get("mode").and_then(Value::text) != Some(reading.entry.mode) {
                return Err(vec![format!("the card has {id} with another mode")]);
            }
            self.judge(&id, &reading.entry.render())?;
            reading.entry.update(old, &mut self.edits);
            taken.push(model(&id, listed.name, reading.clone(), Some(old)));
        }
        Ok(taken)
    }

    /// The id for a model that the card does not have: its provider's id, or, if another provider's model has
    /// that one, the provider's name and that id.
    fn new_id(&mut self, provider: &str, upstream: &str) -> Result<String, Vec<String>> {
        for id in [upstream.to_owned(), format!("{provider}/{upstream}")] {
            if self.models.get(&id).is_none() && self.ids.insert(id.clone()) {
                return Ok(id);
            }
        }
        Err(vec![format!("the card has {upstream} and {provider}/{upstream} as other models")])
    }

    /// What the gateway's reader says of the model alone, in a card with this one's PAX.
    fn judge(&self, id: &str, model: &str) -> Result<(), Vec<String>> {
        let pax_usd = self.document.get("pax_usd").and_then(Value::text).unwrap_or("1");
        let card = format!(
            r#"{{"rate_table_v": 1, "effective_from": "2026-01-01T00:00:00Z", "reason": "one model", "pax_usd": {},
            "free_tier": {{"daily_cap_pax": "0", "slots": {{}}}}, "models": {{{}: {model}}}}}"#,
            quoted(pax_usd),
            quoted(id)
        );
        let path = strict_json::join("models", id);
        let said = |mistakes: strict_json::Mistakes| -> Vec<String> {
            let of_model = mistakes.0.into_iter().filter(|mistake| mistake.path.starts_with(&path));
            let short = |path: &str, whole: &str| {
                whole.strip_prefix(path).unwrap_or_default().trim_start_matches('.').to_owned()
            };
            of_model.map(|m| format!("no card takes it: {} {}", short(&path, &m.path), m.what)).collect()
        };
        match RateCard::parse(&card).map_err(said) {
            Err(why) if !why.is_empty() => Err(why),
            _ => Ok(()),
        }
    }

    /// Puts a model in behind the last one of its provider, or at the end.
    fn insert(&mut self, id: &str, entry: &Entry) {
        let members = self.models.members();
        let own = members
            .iter()
            .rfind(|member| member.value.get("provider").and_then(Value::text) == Some(&entry.provider));
        let text = format!("{}: {}", quoted(id), entry.render());
        match own.or(members.last()) {
            Some(before) => {
                let at = before.value.span.end;
                self.edits.replace(at..at, format!(",\n    {text}"));
            }
            None => {
                let at = self.models.span.start + 1;
                let comma = if self.ids.len() > 1 { "," } else { "" };
                self.edits.replace(at..at, format!("{comma}\n    {text}"));
            }
        }
    }
}

fn model(id: &str, name: &str, reading: Reading, old: Option<&Value>) -> Model {
    let before = old.map(prices_of).unwrap_or_default();
    let places: BTreeSet<&Place> = reading.taken.iter().map(|taken| &taken.place).collect();
    let gone = before.iter().filter(|(place, _)| !places.contains(place));
    let gone = gone.map(|(place, usd)| format!("{} {usd}", shown(place))).collect();
    let prices = reading.taken.iter().map(|taken| {
        let old = before.iter().find(|(place, _)| *place == taken.place).map(|(_, usd)| usd.clone());
        (taken.clone(), old)
    });
    Model {
        id: id.to_owned(),
        name: name.to_owned(),
        is_new: old.is_none(),
        prices: prices.collect(),
        gone,
        notes: reading.notes.clone(),
        unpriced: reading.unpriced.clone(),
    }
}

/// The prices of a model in a card.
fn prices_of(model: &Value) -> Vec<(Place, String)> {
    let mut prices = Vec::new();
    let plain = (None, model_text::scope_of(model));
    let tiers = model_text::tiers_of(model).into_iter().map(|(name, scope)| (Some(name), scope));
    for (tier, scope) in [plain].into_iter().chain(tiers) {
        let bands = scope.bands.into_iter().map(|(above, rates)| (Some(above), rates));
        for (above, rates) in [(None, scope.rates)].into_iter().chain(bands) {
            for (part, usd) in rates {
                let Some(part) = PARTS.into_iter().find(|known| **known == part) else { continue };
                prices.push((Place { tier: tier.clone(), above, part }, usd));
            }
        }
    }
    prices
}

/// A price's name as people read it.
#[must_use]
pub fn shown(place: &Place) -> String {
    let tier = place.tier.as_ref().map_or_else(String::new, |tier| format!("{tier}: "));
    let above = place.above.map_or_else(String::new, |above| format!(" above {above}"));
    format!("{tier}{}{above}", place.part)
}
