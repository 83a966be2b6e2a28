//! The options of a request that not every provider is sent, and what each of them buys.
//! [`crate::dialect::options`] has the lists of what a provider is sent, and what never.

use crate::base::json::reader::Kind;
use crate::dialect::options::{CACHE_LIFE, CACHE_RETENTION, is_common};
use crate::dialect::usage::Mode;
use crate::price::rates::ServiceTier;
use crate::reading::request::keys::{RequestKey, STREAM_OPTIONS};
use crate::reading::request::parsed::{AskedOption, Buys};

/// At most this many options are kept. A body that asks for more is refused, whatever they are.
const KEPT: usize = 64;
/// The name that is noted for all options that were not kept.
const MORE: &str = "and more";
/// With this option vLLM tells in each chunk what one of several answers has used so far. A call that is cut
/// after such a chunk would be charged for that one only.
const CONTINUOUS: &str = "stream_options.continuous_usage_stats";

/// The options that were read so far.
#[derive(Debug, Default)]
pub(crate) struct Options {
    /// The service tier that is asked for.
    pub tier: ServiceTier,
    /// Each option once, in the order of the body.
    pub asked: Vec<AskedOption>,
    /// What the key that was just read asks for, unless its value asks for nothing.
    key: Option<(AskedOption, Unless)>,
}

/// What the type of a message's part tells about the part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PartKind {
    /// Its tokens can be told from its bytes.
    Text,
    /// A picture, or a file with pages.
    Picture,
    /// Sound, film, or something of an unknown type.
    Heard,
}

/// What was read so far of a part of a message, or of a tool.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PartSaid {
    /// Whether a tool has named its type.
    pub its_type: bool,
    /// What a part's type tells.
    pub part: Option<PartKind>,
    /// Whether a part has a picture or a file.
    pub picture: bool,
    /// Whether a part has anything else that is no text.
    pub media: bool,
    /// Whether a tool has `function`.
    pub function: bool,
    /// Whether a tool has `custom`.
    pub custom: bool,
}

impl PartSaid {
    /// Whether a part may be something else than its type tells.
    pub fn hides(self) -> bool {
        match self.part {
            None => true,
            Some(PartKind::Text) => self.picture || self.media,
            Some(PartKind::Picture) => self.media,
            Some(PartKind::Heard) => false,
        }
    }
}

/// The value with which a key asks for nothing.
#[derive(Clone, Copy, Debug)]
enum Unless {
    Null,
    /// `null`, `true` or `false`.
    Flag,
}

impl Options {
    /// Notes an option.
    pub fn ask(&mut self, name: &str, buys: Buys) {
        let known = self.asked.iter().any(|asked| asked.name == name && asked.buys == buys);
        match self.asked.len() {
            _ if known => {}
            ..KEPT => self.asked.push(AskedOption { name: name.to_owned(), buys }),
            KEPT => self.asked.push(AskedOption { name: MORE.to_owned(), buys: Buys::Other }),
            _ => {}
        }
    }

    /// Notes that the body, which is read now, asks for several answers.
    pub fn several_answers(&mut self) {
        for asked in self.asked.iter_mut().filter(|asked| asked.name == CONTINUOUS) {
            asked.buys = Buys::Other;
        }
    }

    /// Notes a key; `way` leads to the object that has it.
    pub fn key(&mut self, mode: Mode, way: &[RequestKey], key: &[u8]) {
        let is = |known: &[&str]| known.iter().any(|name| name.as_bytes() == key);
        let asks = |within: &str, buys| {
            (AskedOption { name: [within, &String::from_utf8_lossy(key)].concat(), buys }, Unless::Null)
        };
        self.key = match way {
            [] if mode == Mode::Chat && key == b"audio" => Some(asks("", Buys::AudioOutput)),
            [] if !is_common(mode, key) => Some(asks("", Buys::Provider)),
            [RequestKey::StreamOptions] if !is(STREAM_OPTIONS) => {
                Some(asks("stream_options.", Buys::Provider))
            }
            [RequestKey::Shaped(shape)] if !is(shape.members) => {
                Some(asks(&[shape.key, "."].concat(), Buys::Provider))
            }
            [RequestKey::Shaped(shape)] if shape.flags => {
                Some((AskedOption { name: shape.key.to_owned(), buys: Buys::Other }, Unless::Flag))
            }
            [RequestKey::Tools, RequestKey::Element]
                if !is(&["type", "function", "custom", "strict", "cache_control"]) =>
            {
                Some(asks("tools.", Buys::Other))
            }
            _ => None,
        };
    }

    /// Notes that the value of that key begins.
    pub fn value(&mut self, kind: Kind) {
        match (self.key.take(), kind) {
            (None, _) | (_, Kind::Null) | (Some((_, Unless::Flag)), Kind::True | Kind::False) => {}
            (Some((asked, _)), _) => self.ask(&asked.name, asked.buys),
        }
    }

    /// `service_tier`. If the caller names no tier, the provider does what the card's plain prices are for.
    pub fn tier(&mut self, value: &[u8]) {
        self.tier = ServiceTier::of(&String::from_utf8_lossy(value));
        if self.tier.name().is_some() {
            self.ask("service_tier", Buys::ServiceTier);
        }
    }

    /// One of `modalities`.
    pub fn modality(&mut self, kind: Kind, value: &[u8]) {
        match (kind, value) {
            (Kind::String, b"text") => {}
            (Kind::String, b"audio") => self.ask("modalities", Buys::AudioOutput),
            (Kind::String, b"image") => self.ask("modalities", Buys::ImageOutput),
            _ => self.ask("modalities", Buys::Other),
        }
    }

    /// How long something is to stay in the provider's cache. Without this option it stays for five minutes.
    pub fn cache_life(&mut self, kind: Kind, value: &[u8]) {
        match (kind, value) {
            (Kind::Null, _) | (Kind::String, b"5m") => {}
            (Kind::String, b"1h") => self.ask(CACHE_LIFE, Buys::CacheWrite1h),
            _ => self.ask(CACHE_LIFE, Buys::Other),
        }
    }

    /// `prompt_cache_retention`: how long the provider is to keep the whole prompt in its cache.
    pub fn cache_retention(&mut self, kind: Kind, value: &[u8]) {
        match (kind, value) {
            // OpenAI has both spellings, for what it did before there was a choice.
            (Kind::Null, _) | (Kind::String, b"in_memory" | b"in-memory") => {}
            _ => self.ask(CACHE_RETENTION, Buys::LongCacheWrite),
        }
    }

    /// The type of a part of a message.
    pub fn part(&mut self, kind: Kind, value: &[u8]) -> PartKind {
        let of = |part: &[u8]| format!("messages.content.{}", String::from_utf8_lossy(part));
        match (kind, value) {
            (Kind::String, b"text" | b"refusal" | b"input_text" | b"output_text" | b"thinking") => {
                return PartKind::Text;
            }
            (Kind::String, b"image_url" | b"input_image" | b"file") => return PartKind::Picture,
            (Kind::String, b"input_audio" | b"audio_url" | b"video_url" | b"input_video") => {
                self.ask(&of(value), Buys::AudioInput);
            }
            (Kind::String, other) => self.ask(&of(other), Buys::Other),
            _ => self.ask("messages.content", Buys::Other),
        }
        PartKind::Heard
    }

    /// Takes the beginning of a picture's address. If the address holds sound or film itself, it is no
    /// picture.
    pub fn picture(&mut self, address: &[u8]) {
        if is_data(address) && !is_data_of(address, &["image/"]) {
            self.ask("messages.content.image_url", Buys::AudioInput);
        }
    }

    /// Takes the beginning of a file that a part has in it. What is not known to be text or pages may be
    /// sound.
    pub fn file(&mut self, data: &[u8]) {
        if !is_data_of(data, &["application/pdf", "text/", "image/"]) {
            self.ask("messages.content.file", Buys::AudioInput);
        }
    }
}

fn is_data(address: &[u8]) -> bool {
    is_data_of(address, &[""])
}

fn is_data_of(address: &[u8], kinds: &[&str]) -> bool {
    let begins = |text: &[u8], with: &str| {
        text.get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with.as_bytes()))
    };
    let address = address.trim_ascii_start();
    begins(address, "data:") && kinds.iter().any(|kind| begins(address.get(5..).unwrap_or(&[]), kind))
}

#[cfg(test)]
#[path = "asked_options_test.rs"]
mod tests;
