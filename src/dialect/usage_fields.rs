//! The fields of a raw usage, and what each set of rules makes of them.

use crate::base::json::reader::{Kind, Reader, Sink};
use crate::base::pax::Tokens;
use crate::dialect::usage::{Mode, Reading, Rules, Usage, Worth};

/// How many bytes of a service tier's name are kept: more than the name of any tier on a card has.
pub const TIER_KEPT: usize = 65;

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum UsageKey {
    #[default]
    Other,
    Prompt,
    Completion,
    Total,
    Input,
    Output,
    CacheHit,
    CacheRead,
    CacheCreation,
    PromptDetails,
    CompletionDetails,
    Cached,
    CacheWrite,
    Audio,
    Image,
    Reasoning,
    Creation,
    FiveMinutes,
    Hour,
    Tier,
    ServerTools,
}

impl Rules {
    /// Reads the raw `usage` object. None if it is no object or lacks the counts of the call.
    ///
    /// ```
    /// use pax_gateway::base::pax::Tokens;
    /// use pax_gateway::dialect::usage::{Mode, Rules};
    /// // xAI leaves reasoning out of completion_tokens; the total tells.
    /// let raw = br#"{"prompt_tokens":12,"completion_tokens":2,"total_tokens":334}"#;
    /// let reading = Rules::OpenAi1.read(raw, Mode::Chat);
    /// assert_eq!(reading.map(|r| r.usage.output), Some(Tokens(322)));
    /// ```
    #[must_use]
    pub fn read(self, raw: &[u8], mode: Mode) -> Option<Reading> {
        Fields::of(raw)?.read(self, mode)
    }

    /// What the raw `usage` is worth to a call.
    #[must_use]
    pub fn worth(self, raw: &[u8], mode: Mode) -> Worth {
        match Fields::of(raw) {
            Some(fields) if fields.read(self, mode).is_some() => Worth::Readable,
            Some(fields) if fields.holds_a_count() => Worth::Unreadable,
            _ => Worth::Nothing,
        }
    }
}

/// The fields that were read so far.
#[derive(Default)]
struct Fields {
    outer: UsageKey,
    inner: UsageKey,
    digits: Digits,
    prompt: Option<u64>,
    completion: Option<u64>,
    total: Option<u64>,
    input: Option<u64>,
    output: Option<u64>,
    cache_hit: Option<u64>,
    cache_read: Option<u64>,
    cache_creation: Option<u64>,
    /// The same count inside of the prompt's details, where Alibaba's explicit cache has it.
    creation_inside: Option<u64>,
    cached: Option<u64>,
    cache_write: Option<u64>,
    audio_input: Option<u64>,
    audio_output: Option<u64>,
    reasoning: Option<u64>,
    cached_beside: Option<u64>,
    image_input: Option<u64>,
    image_output: Option<u64>,
    five_minutes: Option<u64>,
    hour: Option<u64>,
    /// Whether writes to the cache are reported for each lifetime.
    has_creation: bool,
    server_tools: bool,
    /// Whether there is any count, even one that cannot be right.
    holds_a_count: bool,
    reads_tier: bool,
    tier: Option<Vec<u8>>,
}

impl Fields {
    /// The fields of a raw usage; none if it is no JSON.
    pub fn of(raw: &[u8]) -> Option<Self> {
        let mut fields = Self::default();
        let mut reader = Reader::default();
        reader.push(raw, &mut fields).ok()?;
        reader.finish(&mut fields).ok()?;
        Some(fields)
    }

    /// Whether it holds a count, and so is a usage at all.
    pub fn holds_a_count(&self) -> bool {
        self.holds_a_count
    }

    /// The counts under these rules; none if the counts of the call are missing.
    pub fn read(&self, rules: Rules, mode: Mode) -> Option<Reading> {
        let cached_inside = self.cached.or(self.cache_hit);
        let cached_apart = self.cache_read.or(self.cached);
        match rules {
            Rules::OpenAi1 => self.inside(mode, cached_inside, self.cache_write.unwrap_or(0)),
            Rules::Additional1 => {
                self.additional(mode, cached_apart, self.cache_creation.or(self.cache_write).unwrap_or(0))
            }
            Rules::OpenAi2 => {
                self.second(|written| self.inside(mode, cached_inside.or(self.cached_beside), written))
            }
            Rules::Additional2 => {
                self.second(|written| self.additional(mode, cached_apart.or(self.cached_beside), written))
            }
        }
    }

    /// Reads as the `openai` rules do.
    fn inside(&self, mode: Mode, cached: Option<u64>, cache_write: u64) -> Option<Reading> {
        let (prompt, completion) = match (mode, self.prompt, self.completion, self.total) {
            (_, Some(prompt), Some(completion), _) => (prompt, completion),
            (_, None, Some(completion), Some(total)) => (total.checked_sub(completion)?, completion),
            (Mode::Chat, Some(prompt), None, Some(total)) => (prompt, total.checked_sub(prompt)?),
            (Mode::Embeddings, Some(input), None, _) | (Mode::Embeddings, None, None, Some(input)) => {
                (input, 0)
            }
            _ => return None,
        };
        let output = completion.max(self.total.unwrap_or(0).saturating_sub(prompt));
        let cached = cached.unwrap_or(0);
        let cached_exceeds_input = cached > prompt;
        let cached = if cached_exceeds_input { 0 } else { cached };
        let usage = self.usage(prompt, cached, cache_write, output);
        Some(Reading { usage, cached_exceeds_input, ..Reading::default() })
    }

    /// Reads as the `additional` rules do.
    fn additional(&self, mode: Mode, cached: Option<u64>, cache_write: u64) -> Option<Reading> {
        let prompt = self.prompt.or(self.input)?;
        let completion = match (mode, self.completion.or(self.output)) {
            (_, Some(completion)) => completion,
            (Mode::Embeddings, None) => 0,
            (_, None) => return None,
        };
        let cached = cached.unwrap_or(0);
        let input = sum(sum(prompt, cached)?, cache_write)?;
        let output = completion.max(self.total.unwrap_or(0).saturating_sub(input));
        Some(Reading { usage: self.usage(input, cached, cache_write, output), ..Reading::default() })
    }

    /// What the second sets read beyond the first: `read` gets the count of all that was written to the
    /// cache.
    fn second(&self, read: impl FnOnce(u64) -> Option<Reading>) -> Option<Reading> {
        let hour = self.hour.unwrap_or(0);
        let creation = self.cache_creation.or(self.creation_inside);
        let written = match creation.or(self.cache_write) {
            // If the whole is smaller than its part, at least the part is true.
            Some(whole) => whole.max(hour),
            None => sum(self.five_minutes.unwrap_or(0), hour)?,
        };
        let mut reading = read(written)?;
        reading.usage.cache_write_input = Tokens(written.saturating_sub(hour));
        reading.usage.cache_write_1h_input = Tokens(hour);
        reading.usage.image_input = Tokens(self.image_input.unwrap_or(0));
        reading.usage.image_output = Tokens(self.image_output.unwrap_or(0));
        reading.service_tier = self.tier.as_deref().map(|name| String::from_utf8_lossy(name).into_owned());
        reading.writes_cost = self.has_creation || creation.is_some();
        reading.server_tools = self.server_tools;
        Some(reading)
    }

    fn usage(&self, input: u64, cached: u64, cache_write: u64, output: u64) -> Usage {
        Usage {
            input: Tokens(input),
            cached_input: Tokens(cached),
            cache_write_input: Tokens(cache_write),
            audio_input: Tokens(self.audio_input.unwrap_or(0)),
            output: Tokens(output),
            audio_output: Tokens(self.audio_output.unwrap_or(0)),
            reasoning_output: Tokens(self.reasoning.unwrap_or(0)),
            ..Usage::default()
        }
    }

    fn place(&mut self, depth: usize) -> Option<&mut Option<u64>> {
        match (depth, self.outer, self.inner) {
            (1, UsageKey::Prompt, _) => Some(&mut self.prompt),
            (1, UsageKey::Completion, _) => Some(&mut self.completion),
            (1, UsageKey::Total, _) => Some(&mut self.total),
            (1, UsageKey::Input, _) => Some(&mut self.input),
            (1, UsageKey::Output, _) => Some(&mut self.output),
            (1, UsageKey::CacheHit, _) => Some(&mut self.cache_hit),
            (1, UsageKey::CacheRead, _) => Some(&mut self.cache_read),
            (1, UsageKey::CacheCreation, _) => Some(&mut self.cache_creation),
            (2, UsageKey::PromptDetails, UsageKey::CacheCreation) => Some(&mut self.creation_inside),
            (2, UsageKey::PromptDetails, UsageKey::Cached) => Some(&mut self.cached),
            (2, UsageKey::PromptDetails, UsageKey::CacheWrite) => Some(&mut self.cache_write),
            (1, UsageKey::Cached, _) => Some(&mut self.cached_beside),
            (2, UsageKey::Creation, UsageKey::FiveMinutes) => Some(&mut self.five_minutes),
            (2, UsageKey::Creation, UsageKey::Hour) => Some(&mut self.hour),
            (2, UsageKey::PromptDetails, UsageKey::Image) => Some(&mut self.image_input),
            (2, UsageKey::CompletionDetails, UsageKey::Image) => Some(&mut self.image_output),
            (2, UsageKey::PromptDetails, UsageKey::Audio) => Some(&mut self.audio_input),
            (2, UsageKey::CompletionDetails, UsageKey::Audio) => Some(&mut self.audio_output),
            (2, UsageKey::CompletionDetails, UsageKey::Reasoning) => Some(&mut self.reasoning),
            _ => None,
        }
    }
}

impl Sink for Fields {
    fn key(&mut self, depth: usize, key: &[u8], _: u64) {
        let name = match key {
            b"prompt_tokens" => UsageKey::Prompt,
            b"completion_tokens" => UsageKey::Completion,
            b"total_tokens" => UsageKey::Total,
            b"input_tokens" => UsageKey::Input,
            b"output_tokens" => UsageKey::Output,
            b"prompt_cache_hit_tokens" => UsageKey::CacheHit,
            b"cache_read_input_tokens" => UsageKey::CacheRead,
            b"cache_creation_input_tokens" => UsageKey::CacheCreation,
            b"prompt_tokens_details" => UsageKey::PromptDetails,
            b"completion_tokens_details" => UsageKey::CompletionDetails,
            b"cached_tokens" => UsageKey::Cached,
            b"cache_write_tokens" => UsageKey::CacheWrite,
            b"audio_tokens" => UsageKey::Audio,
            b"image_tokens" => UsageKey::Image,
            b"reasoning_tokens" => UsageKey::Reasoning,
            b"cache_creation" => UsageKey::Creation,
            b"ephemeral_5m_input_tokens" => UsageKey::FiveMinutes,
            b"ephemeral_1h_input_tokens" => UsageKey::Hour,
            b"service_tier" => UsageKey::Tier,
            b"server_tool_use" => UsageKey::ServerTools,
            _ => UsageKey::Other,
        };
        match depth {
            1 => self.outer = name,
            2 => self.inner = name,
            _ => {}
        }
    }

    fn begin(&mut self, depth: usize, kind: Kind, _: u64) {
        self.digits = Digits::default();
        self.has_creation |= depth == 1 && self.outer == UsageKey::Creation && kind == Kind::Object;
        self.reads_tier = depth == 1 && self.outer == UsageKey::Tier && kind == Kind::String;
        if self.reads_tier {
            self.tier = Some(Vec::new());
        }
        // An element of a list has no key: the key of an earlier object must not count for it.
        if depth == 1 && matches!(kind, Kind::Object | Kind::Array) {
            self.inner = UsageKey::Other;
        }
    }

    fn piece(&mut self, bytes: &[u8]) {
        if let Some(tier) = self.tier.as_mut().filter(|_| self.reads_tier) {
            let room = TIER_KEPT.saturating_sub(tier.len());
            tier.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        } else {
            bytes.iter().for_each(|byte| self.digits.push(*byte));
        }
    }

    fn end(&mut self, depth: usize, kind: Kind, _: u64) {
        let count = match kind {
            Kind::Number | Kind::String => self.digits.count(),
            _ => None,
        };
        let in_tools = self.outer == UsageKey::ServerTools && matches!(depth, 1 | 2);
        self.server_tools |= in_tools && count > Some(0);
        if let Some(place) = self.place(depth) {
            // If a key occurs twice, the last one counts, as for every JSON reader.
            *place = count;
            self.holds_a_count |= count.is_some() || kind == Kind::Number;
        }
    }
}

/// The sum of two counts; none if it is too large to be a count.
fn sum(one: u64, other: u64) -> Option<u64> {
    one.checked_add(other).filter(|sum| i64::try_from(*sum).is_ok())
}

/// A whole number, read digit by digit. `12.0` is one too: providers whose numbers are all floats write it.
#[derive(Default)]
enum Digits {
    #[default]
    Empty,
    Whole(u64),
    Point(u64),
    Zeros(u64),
    No,
}

impl Digits {
    fn push(&mut self, byte: u8) {
        *self = match (&*self, byte) {
            (Self::Empty, b'0'..=b'9') => Self::Whole(u64::from(byte.wrapping_sub(b'0'))),
            (Self::Whole(value), b'0'..=b'9') => value
                .checked_mul(10)
                .and_then(|value| value.checked_add(u64::from(byte.wrapping_sub(b'0'))))
                .map_or(Self::No, Self::Whole),
            (Self::Whole(value), b'.') => Self::Point(*value),
            (Self::Point(value) | Self::Zeros(value), b'0') => Self::Zeros(*value),
            _ => Self::No,
        };
    }

    fn count(&self) -> Option<u64> {
        match self {
            Self::Whole(value) | Self::Zeros(value) => i64::try_from(*value).is_ok().then_some(*value),
            _ => None,
        }
    }
}
