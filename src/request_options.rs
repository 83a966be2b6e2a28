//! Which options of a request change the provider's price. Whether a model prices them is for admission to say.

use crate::json::Kind;
use crate::price::ServiceTier;
use crate::request::{Buys, PricedOption};

/// Those that were read so far.
#[derive(Debug, Default)]
pub(crate) struct Options {
    /// The service tier that is asked for.
    pub tier: ServiceTier,
    /// Each once, in the order of the body.
    pub bought: Vec<PricedOption>,
}

impl Options {
    /// Notes one.
    pub fn buys(&mut self, key: &'static str, buys: Buys) {
        let option = PricedOption { key, buys };
        if !self.bought.contains(&option) {
            self.bought.push(option);
        }
    }

    /// `service_tier`. What the provider does where the caller says nothing is what the card's plain prices are for.
    pub fn tier(&mut self, value: &[u8]) {
        self.tier = ServiceTier::of(&String::from_utf8_lossy(value));
        if self.tier.name().is_some() {
            self.buys("service_tier", Buys::ServiceTier);
        }
    }

    /// A tool must say that it is a function: any other is hosted by the provider and billed apart.
    pub fn tool(&mut self, kind: Kind, value: &[u8]) {
        if kind != Kind::String || !matches!(value, b"function" | b"custom") {
            self.buys("tools", Buys::Other);
        }
    }

    /// One of `modalities`.
    pub fn modality(&mut self, kind: Kind, value: &[u8]) {
        match (kind, value) {
            (Kind::String, b"text") => {}
            (Kind::String, b"audio") => self.buys("modalities", Buys::AudioOutput),
            _ => self.buys("modalities", Buys::Other),
        }
    }
}
