//! The providers that the stand-in can play: what each of them makes of a chat request, as far as it decides how
//! much is generated, what is refused, and under which tier it is served.
//!
//! Every line names where it was read: a file of the project itself, the provider's own client or documentation, or
//! an issue whose author tried it. What nobody could show is marked "not verified". All of it was looked up in
//! November 2026.
//!
//! Of a key that stands twice each of them takes the last: so do Go's `encoding/json` (Ollama), Python's `json`
//! (vLLM) and `nlohmann::json` (llama.cpp); for the hosted providers it is not verified. A value of `null` is no
//! value.

use serde::Serialize;

/// How one provider reads a chat request.
#[derive(Debug, Serialize)]
pub(crate) struct Plays {
    /// Its name in `plays`.
    pub(crate) name: &'static str,
    /// The fields that state the most output tokens; the first of them that is stated counts.
    pub(crate) maximum: &'static [&'static str],
    /// Whether a request that states two of them is refused.
    pub(crate) one_maximum: bool,
    /// Beginnings of the ids of models that refuse `max_tokens`.
    pub(crate) no_max_tokens: &'static [&'static str],
    /// Where an answer ends at the latest.
    pub(crate) bound: Bound,
    /// The fields that state how many answers are generated; the first of them that is stated counts.
    pub(crate) choices: &'static [&'static str],
    /// The most answers that may be asked for.
    pub(crate) most_choices: u64,
    /// The fields that make an answer longer than the model would: a least number of tokens, or true for endless.
    pub(crate) lengthens: &'static [&'static str],
    /// Whether keys are matched without regard to case.
    pub(crate) folds_case: bool,
    /// What happens to a request with a key that is not known.
    pub(crate) unknown: Unknown,
    /// Fields, as dotted paths, that are refused although the key before the dot is known.
    pub(crate) refuses: &'static [&'static str],
    /// Its service tiers, the standard one first; none where it has no such thing.
    pub(crate) tiers: &'static [&'static str],
    /// Whether it refuses a tier that is not among them.
    pub(crate) strict_tiers: bool,
    /// Whether it serves nobody without a key.
    pub(crate) needs_key: bool,
    /// Where all this was read.
    pub(crate) source: &'static str,
}

/// Where an answer ends at the latest, stated maximum or not.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Bound {
    /// The model's own maximum.
    Model,
    /// The end of the context, of which the prompt has taken its part.
    Context,
    /// So many times the context, whatever the prompt took: the server drops the oldest tokens and goes on.
    Contexts(u64),
}

/// What happens to a request with a key that is not known.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Unknown {
    /// Nothing.
    Ignored,
    /// It is refused with this status.
    Refused {
        status: u16,
        /// The keys that are known, with a space between them.
        known: &'static str,
    },
}

/// No provider in particular: it honours `max_tokens` and nothing else, so that nobody who relies on more passes.
pub(crate) const STRICTEST: Plays = Plays {
    name: "",
    maximum: &["max_tokens"],
    one_maximum: false,
    no_max_tokens: &[],
    bound: Bound::Model,
    choices: &[],
    most_choices: 1,
    lengthens: &[],
    folds_case: false,
    unknown: Unknown::Ignored,
    refuses: &[],
    tiers: &["default"],
    strict_tiers: false,
    needs_key: false,
    source: "nobody's; the default",
};

/// The provider of that name.
pub(crate) fn find(name: &str) -> Option<&'static Plays> {
    ALL.iter().find(|plays| plays.name == name)
}

/// All names, for a message.
pub(crate) fn names() -> String {
    ALL.iter().map(|plays| plays.name).collect::<Vec<_>>().join(", ")
}

/// Everyone who can be played.
pub(crate) static ALL: &[Plays] = &[
    Plays {
        name: "openai",
        maximum: &["max_completion_tokens", "max_tokens"],
        one_maximum: true,
        no_max_tokens: &["o1", "o3", "o4", "gpt-5"],
        choices: &["n"],
        most_choices: 128,
        unknown: Unknown::Refused { status: 400, known: OPENAI_KNOWS },
        tiers: &["default", "auto", "flex", "priority", "scale", "fast"],
        strict_tiers: true,
        needs_key: true,
        source: "openai-python src/openai/types/chat/completion_create_params.py (keys, tiers, n); both maxima: \
                 'Setting max_tokens and max_completion_tokens at the same time is not supported', \
                 langchain-ai/langgraph#5943; max_tokens of reasoning models: simonw/llm#724, teilomillet/gollm#33; \
                 unknown keys: 'Unrecognized request argument supplied', coroot/coroot#698. Which models refuse \
                 max_tokens, beyond o1 and gpt-5: not verified",
        ..STRICTEST
    },
    Plays {
        name: "deepseek",
        needs_key: true,
        tiers: &[],
        source: "api-docs.deepseek.com/api/create-chat-completion knows max_tokens only; max_completion_tokens was \
                 tried and changed nothing, earendil-works/pi#8018 and #7811. That other unknown keys are ignored: \
                 not verified",
        ..STRICTEST
    },
    Plays {
        name: "groq",
        maximum: &["max_completion_tokens", "max_tokens"],
        choices: &["n"],
        unknown: Unknown::Refused { status: 400, known: GROQ_KNOWS },
        tiers: &["on_demand", "auto", "flex", "performance"],
        strict_tiers: true,
        needs_key: true,
        source: "groq-python 1.7.0 types/chat/completion_create_params.py (keys; max_tokens is deprecated in favour \
                 of max_completion_tokens; only n=1); console.groq.com/docs/service-tiers; unknown keys: \
                 'property ... is unsupported', fanenr/chatbot#21. Which maximum wins, and that a strange tier is \
                 refused: not verified",
        ..STRICTEST
    },
    Plays {
        name: "mistral",
        choices: &["n"],
        most_choices: 128,
        lengthens: &["min_tokens"],
        unknown: Unknown::Refused { status: 422, known: MISTRAL_KNOWS },
        refuses: &["stream_options.include_usage"],
        tiers: &["standard_only", "auto"],
        strict_tiers: true,
        needs_key: true,
        source: "mistralai 3.7.0 client/models/chatcompletionrequest.py and requestedservicetier.py (keys, \
                 tiers); 422 extra_forbidden: \
                 editor-code-assistant/eca#231 (max_completion_tokens), avante-corp/avante.nvim#2347 \
                 (stream_options.include_usage). How many answers n may ask for: not verified",
        ..STRICTEST
    },
    Plays {
        name: "xai",
        maximum: &["max_completion_tokens", "max_tokens"],
        bound: Bound::Context,
        choices: &["n"],
        most_choices: 128,
        tiers: &["default"],
        needs_key: true,
        source: "docs.x.ai, chat completions, as withone.ai/knowledge/x-ai quotes it: without a maximum 'generate as \
                 many as needed up to max context'; max_tokens is deprecated in favour of max_completion_tokens; all \
                 n are charged. It also says that the maximum bounds the visible tokens: that reasoning comes on top \
                 is not played. Which maximum wins, the tier's word, unknown keys: not verified",
        ..STRICTEST
    },
    Plays {
        name: "together",
        choices: &["n"],
        most_choices: 128,
        tiers: &[],
        needs_key: true,
        source: "together-python 3.1.1 types/chat/completion_create_params.py: max_tokens is the only maximum. What \
                 it does without one, and to unknown keys: not verified",
        ..STRICTEST
    },
    Plays {
        name: "fireworks",
        maximum: &["max_completion_tokens", "max_tokens"],
        one_maximum: true,
        choices: &["n"],
        most_choices: 128,
        lengthens: &["ignore_eos"],
        tiers: &["default", "auto", "flex", "priority"],
        needs_key: true,
        source: "fireworks-ai 1.2.30 types/chat/completion_create_params.py (max_completion_tokens: 'Alias for \
                 max_tokens. Cannot be specified together with max_tokens'; ignore_eos; tiers); \
                 docs.fireworks.ai/api-reference/post-chatcompletions (a default maximum where none is stated). \
                 Unknown keys: not verified",
        ..STRICTEST
    },
    Plays {
        name: "openrouter",
        maximum: &["max_completion_tokens", "max_tokens"],
        tiers: &["default", "auto", "fast", "flex", "priority", "scale", "ultrafast"],
        needs_key: true,
        source: "openrouter 1.3.84 (PyPI) components/chatrequest.py: max_tokens is deprecated in favour of \
                 max_completion_tokens; there is no n. What holds beyond that is the provider's that it chooses; \
                 which maximum wins: not verified",
        ..STRICTEST
    },
    Plays {
        name: "vllm",
        maximum: &["max_completion_tokens", "max_tokens"],
        bound: Bound::Context,
        choices: &["n"],
        most_choices: 128,
        lengthens: &["min_tokens", "ignore_eos"],
        tiers: &[],
        source: "vllm entrypoints/openai/chat_completion/protocol.py (keys; unknown ones are allowed) and serving.py \
                 (get_max_tokens: max_completion_tokens unless it is None, then max_tokens, then the rest of \
                 max_model_len). use_beam_search, by which n beams are computed, is not played. A key is asked for \
                 only with --api-key",
        ..STRICTEST
    },
    Plays {
        name: "llamacpp",
        maximum: &["n_predict", "max_completion_tokens", "max_tokens"],
        bound: Bound::Context,
        choices: &["n_cmpl", "n"],
        most_choices: 4,
        lengthens: &["ignore_eos"],
        tiers: &[],
        source: "llama.cpp tools/server/server-schema.cpp (n_predict with its aliases in this order, n_cmpl with n, \
                 null as absent, -1 as no maximum, ignore_eos; n at most --parallel). min_tokens is not among its \
                 keys. With --context-shift it would not end with the context. A key is asked for only with \
                 --api-key",
        ..STRICTEST
    },
    Plays {
        name: "ollama",
        bound: Bound::Contexts(10),
        folds_case: true,
        tiers: &[],
        source: "ollama openai/openai.go (ChatCompletionRequest: max_tokens becomes num_predict; no n, no \
                 max_completion_tokens), middleware/openai.go (encoding/json, which folds case), llm/llama_server.go \
                 (boundedNumPredict: ten contexts where there is no maximum, or a larger one; --context-shift unless \
                 the request says shift: false, which this route cannot)",
        ..STRICTEST
    },
];

/// Keys of a chat request that OpenAI's own client knows.
const OPENAI_KNOWS: &str = "messages model audio frequency_penalty function_call functions logit_bias logprobs max_completion_tokens \
    max_tokens metadata modalities moderation n parallel_tool_calls prediction presence_penalty prompt_cache_key \
    prompt_cache_options prompt_cache_retention reasoning_effort response_format safety_identifier seed \
    service_tier stop store stream stream_options temperature tool_choice tools top_logprobs top_p user \
    verbosity web_search_options";

/// Keys of a chat request that Groq's own client knows, and `stream_options`, which it does not but Groq takes.
const GROQ_KNOWS: &str = "citation_options compound_custom disable_tool_validation documents exclude_domains frequency_penalty \
    function_call functions include_domains include_reasoning logit_bias logprobs max_completion_tokens \
    max_tokens messages metadata model n parallel_tool_calls presence_penalty reasoning_effort reasoning_format \
    response_format search_settings seed service_tier stop store stream stream_options temperature tool_choice \
    tools top_logprobs top_p user";

/// Keys of a chat request that Mistral's own client knows, and `stream_options`, of which only the inside is refused.
const MISTRAL_KNOWS: &str = "model messages temperature top_p max_tokens stream stream_options stop random_seed metadata response_format \
    tools tool_choice presence_penalty frequency_penalty min_tokens repetition_penalty top_k logprobs \
    top_logprobs prompt_logprobs top_prompt_logprobs n prediction parallel_tool_calls reasoning_effort \
    prompt_mode guardrails prompt_cache_key service_tier safe_prompt";
