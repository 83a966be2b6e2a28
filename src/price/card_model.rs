//! Reads what a model of a rate card costs: its prices, bands, service tiers and minimum, each mistake with its path.

use std::collections::BTreeMap;
use std::str::FromStr;

use crate::base::pax::{AmountError, Pax, Rate, Tokens, Usd};
use crate::base::strict_json::{self, Fields, Mistakes, Node};
use crate::base::text::is_slot_name;
use crate::dialect::usage::Mode;
use crate::price::rates::{Band, Prices, Rates, ServiceTier};

/// No context window is larger. This bound keeps every price in range.
pub(crate) const CONTEXT_MAX: u64 = 1_000_000_000;

/// What is needed to read the prices of a model. A value with a mistake of its own is absent here: the prices
/// are read all the same, so that their mistakes are named too.
#[derive(Clone, Copy)]
pub(crate) struct Known {
    /// It decides which prices there can be.
    pub mode: Option<Mode>,
    /// What one PAX costs.
    pub pax_usd: Option<Usd>,
    /// No call has more input, except for embeddings.
    pub context_window: Option<u64>,
}

/// What a model costs.
pub(crate) struct Cost {
    /// The plain prices.
    pub prices: Prices,
    /// The least that a call costs.
    pub minimum: Option<Pax>,
    /// Prices of service tiers, under their names.
    pub service_tiers: BTreeMap<String, Prices>,
}

/// The keys of the optional prices that a model states.
type Stated = Vec<&'static str>;

/// Reads the prices of a model out of its members.
pub(crate) fn read(model: &mut Fields, known: Known, mistakes: &mut Mistakes) -> Option<Cost> {
    let mut stated = Stated::new();
    let plain = model.object("usd_per_mtok", mistakes);
    let is_there = plain.is_some();
    let rates = plain.and_then(|fields| read_rates(fields, known, Whose::Model(&mut stated), mistakes));
    let stated = Some(&stated).filter(|_| is_there);
    let bands_path = model.path("bands");
    let bands = model.optional("bands").map(|node| read_bands(node, &bands_path, known, stated, mistakes));
    let minimum_path = model.path("usd_per_request_minimum");
    let minimum = model
        .optional("usd_per_request_minimum")
        .and_then(|node| read_minimum(node, known.pax_usd, &minimum_path, mistakes));
    let has_bands = bands.is_some();
    let tiers_path = model.path("service_tiers");
    let tiers = model.optional("service_tiers").map(|node| {
        let fields = Fields::of(node, &tiers_path, mistakes);
        read_tiers(fields, known, (stated, has_bands), mistakes)
    });
    let prices = Prices { rates: rates?, bands: bands.unwrap_or_default() };
    Some(Cost { prices, minimum, service_tiers: tiers.unwrap_or_default() })
}

/// Whose prices are read.
enum Whose<'a> {
    /// The model's own. The keys of its optional prices are noted here.
    Model(&'a mut Stated),
    /// Those of a band or a service tier, which must state the same prices as the model. Otherwise tokens
    /// whose price is missing would be charged as something else, unseen.
    Other(Option<&'a Stated>),
}

impl Whose<'_> {
    /// Notes an optional price of the model, or compares one of a band or a service tier with the model's.
    fn compare(&mut self, key: &'static str, path: &str, is_stated: bool, mistakes: &mut Mistakes) {
        match self {
            Self::Model(stated) if is_stated => stated.push(key),
            Self::Other(Some(stated)) if is_stated && !stated.contains(&key) => {
                mistakes.add(path, "is not among the model's own prices: state it in its usd_per_mtok too");
            }
            Self::Other(Some(stated)) if !is_stated && stated.contains(&key) => {
                let what = "is missing: a band or a service tier states every price that the model states";
                mistakes.add(path, what);
            }
            _ => {}
        }
    }
}

/// Reads prices.
fn read_rates(
    mut prices: Fields,
    known: Known,
    mut whose: Whose<'_>,
    mistakes: &mut Mistakes,
) -> Option<Rates> {
    let mut price = |key: &'static str, required: bool| -> Option<(Usd, Option<Rate>)> {
        let path = prices.path(key);
        let node = if required {
            prices.required(key, mistakes)
        } else {
            let node = prices.optional(key);
            whose.compare(key, &path, node.is_some(), mistakes);
            node
        };
        let usd = read_usd(node?, &path, mistakes)?;
        Some((usd, known.pax_usd.and_then(|pax_usd| read_rate(usd, pax_usd, &path, mistakes))))
    };
    let rate = |price: Option<(Usd, Option<Rate>)>| price.and_then(|(_, rate)| rate);
    let input = price("input", true);
    let cached_input = price("cached_input", false);
    let mut rates = Rates { cached_input: rate(cached_input), ..Rates::default() };
    let output = match known.mode {
        Some(Mode::Embeddings) => Some(Rate::default()),
        mode => {
            let output = rate(price("output", mode.is_some()));
            rates.cache_write = rate(price("cache_write", false));
            rates.cache_write_1h = rate(price("cache_write_1h", false));
            rates.audio_input = rate(price("audio_input", false));
            rates.image_input = rate(price("image_input", false));
            rates.audio_output = rate(price("audio_output", false));
            rates.image_output = rate(price("image_output", false));
            rates.reasoning_output = rate(price("reasoning_output", false));
            output
        }
    };
    if let (Some((cached, _)), Some((input, _))) = (cached_input, input)
        && cached > input
    {
        mistakes.add(&prices.path("cached_input"), "must not be above the price of input");
    }
    prices.finish(mistakes);
    Some(Rates { input: rate(input)?, output: output?, ..rates })
}

fn read_bands(
    node: Node,
    path: &str,
    known: Known,
    stated: Option<&Stated>,
    mistakes: &mut Mistakes,
) -> Vec<Band> {
    let Node::List(nodes) = node else {
        mistakes.add(path, "must be a list of bands, by ascending above_input_tokens");
        return Vec::new();
    };
    let mut bands = Vec::new();
    let mut before = None;
    for (index, node) in nodes.into_iter().enumerate() {
        let mut band = Fields::of(node, &format!("{path}[{index}]"), mistakes);
        let above = band.whole("above_input_tokens", 1..=CONTEXT_MAX, mistakes);
        if let Some(above) = above {
            check_bound(above, before, known, &band.path("above_input_tokens"), mistakes);
            before = Some(above);
        }
        let prices = band.object("usd_per_mtok", mistakes);
        let rates = prices.and_then(|prices| read_rates(prices, known, Whose::Other(stated), mistakes));
        band.finish(mistakes);
        bands.extend(above.zip(rates).map(|(above, rates)| Band { above_input: Tokens(above), rates }));
    }
    bands
}

fn check_bound(above: u64, before: Option<u64>, known: Known, path: &str, mistakes: &mut Mistakes) {
    if let Some(before) = before.filter(|before| above <= *before) {
        mistakes.add(path, format!("must be above that of the band before, {before}, is {above}"));
    }
    // An embeddings call may bring many texts, each as long as the window.
    let window = known.context_window.filter(|_| known.mode == Some(Mode::Chat));
    if let Some(window) = window.filter(|window| above >= *window) {
        mistakes.add(path, format!("is never passed: the context window has {window} tokens"));
    }
}

fn read_tiers(
    tiers: Fields,
    known: Known,
    (stated, has_bands): (Option<&Stated>, bool),
    mistakes: &mut Mistakes,
) -> BTreeMap<String, Prices> {
    let mut read = BTreeMap::new();
    for (name, path, node) in tiers.rest() {
        if !is_slot_name(&name) {
            mistakes.add(&path, "is no service tier: use at most 64 of a-z, 0-9, '-' and '_'");
        } else if ServiceTier::of(&name).name().is_none() {
            mistakes.add(&path, "is what the model's own prices are for: take it out here");
        }
        let mut tier = Fields::of(node, &path, mistakes);
        let prices = tier.object("usd_per_mtok", mistakes);
        let rates = prices.and_then(|prices| read_rates(prices, known, Whose::Other(stated), mistakes));
        let bands_path = tier.path("bands");
        let bands = tier.optional("bands");
        if bands.is_none() && has_bands {
            let what = "is missing: the model has bands; write [] if this tier costs the same for any input";
            mistakes.add(&bands_path, what);
        }
        let bands = bands.map(|node| read_bands(node, &bands_path, known, stated, mistakes));
        tier.finish(mistakes);
        read.extend(rates.map(|rates| (name, Prices { rates, bands: bands.unwrap_or_default() })));
    }
    read
}

fn read_minimum(node: Node, pax_usd: Option<Usd>, path: &str, mistakes: &mut Mistakes) -> Option<Pax> {
    let usd = read_usd(node, path, mistakes)?;
    match Pax::derive(usd, pax_usd?) {
        Ok(minimum) if minimum != Pax::ZERO => return Some(minimum),
        Ok(_) => mistakes.add(path, "is so little that it would be 0 PAX: leave it out"),
        Err(_) => mistakes.add(path, "is more than 9 million PAX: are it and pax_usd dollars?"),
    }
    None
}

/// Reads a price, which must not be zero: a zero is how a missing price looks, and nothing is ever free
/// because a price is missing.
pub(crate) fn read_usd(node: Node, path: &str, mistakes: &mut Mistakes) -> Option<Usd> {
    const RANGE: &str = "above 0 and at most 1000000000 US dollars";
    let usd: Usd = amount(node, path, RANGE, mistakes)?;
    if usd.is_zero() {
        mistakes.add(path, format!("must be {RANGE}"));
    }
    (!usd.is_zero()).then_some(usd)
}

fn read_rate(usd: Usd, pax_usd: Usd, path: &str, mistakes: &mut Mistakes) -> Option<Rate> {
    match Rate::derive(usd, pax_usd) {
        Ok(rate) if rate != Rate::default() => return Some(rate),
        Ok(_) => mistakes.add(path, "is so little that its rate would be 0 PAX: is it per million tokens?"),
        Err(_) => mistakes.add(path, "makes a rate above 18 billion PAX: are it and pax_usd dollars?"),
    }
    None
}

/// An amount as a decimal string; `range` tells in words what its type takes.
pub(crate) fn amount<T>(node: Node, path: &str, range: &str, mistakes: &mut Mistakes) -> Option<T>
where
    T: FromStr<Err = AmountError>,
{
    let parsed = strict_json::text(node, path, mistakes)?.parse();
    let what = |error| match error {
        AmountError::OutOfRange => format!("must be {range}"),
        other => other.to_string(),
    };
    parsed.map_err(|error| mistakes.add(path, what(error))).ok()
}
