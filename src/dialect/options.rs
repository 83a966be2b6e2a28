//! Which options a request may bring on platform funding: those on a list. An option that is not on the list
//! is refused, and the refusal names it.
//!
//! Providers, and the servers that people run themselves, take options that multiply the work of a call,
//! override its maximum, or buy what no card prices. Each of their releases brings new ones: a list of what
//! to refuse would never be complete. So every provider is sent the options that are common to all, and of
//! its own options those that the operator lists (`providers.NAME.options`). If the caller's own key pays,
//! none of this applies.

use crate::base::json::reader::KEY_KEPT;
use crate::dialect::usage::Mode;

/// The options of a chat call that every provider is sent; a provider passes over one that it does not know.
/// An option here changes neither a price nor a bound, or the gateway reads it and prices it.
pub(crate) const CHAT: &[&str] = &[
    "model",
    "messages",
    "stream",
    "stream_options",
    "max_tokens",
    "max_completion_tokens",
    "n",
    "temperature",
    "top_p",
    "stop",
    "seed",
    "presence_penalty",
    "frequency_penalty",
    "logit_bias",
    "logprobs",
    "top_logprobs",
    "response_format",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "functions",
    "function_call",
    "user",
    "safety_identifier",
    "metadata",
    "store",
    "prompt_cache_key",
    CACHE_RETENTION,
    "reasoning_effort",
    "verbosity",
    "modalities",
    "service_tier",
    "top_k",
    "min_p",
    "top_a",
    "typical_p",
    "repetition_penalty",
];

/// The same for embeddings.
const EMBEDDINGS: &[&str] = &["model", "input", "encoding_format", "dimensions", "user"];

/// The options that no operator can let pass. With one of them a provider does, or charges, what the gateway
/// did not price: another maximum, more answers than are reserved for, another model, a prompt that is not in
/// the body, a hosted tool.
pub(crate) const NEVER: &[&str] = &[
    "n_predict",
    "n_cmpl",
    "max_new_tokens",
    "max_output_tokens",
    "max_gen_len",
    "max_length",
    "min_tokens",
    "ignore_eos",
    "best_of",
    "use_beam_search",
    "prediction",
    "provider",
    "preset",
    "route",
    "transforms",
    "plugins",
    "models",
    "fallbacks",
    "thinking_budget",
    "data_sources",
    "documents",
    "chat_template",
    "extra_body",
    "safety_model",
    "web_search_options",
    "search_parameters",
    "search_settings",
    "enable_search",
    "deferred",
    "audio",
    CACHE_LIFE,
    "prompt_cache_options",
    "tools",
    "messages",
    "input",
];

/// The option that sets how long something stays in the provider's cache: the card tells whether that is
/// priced.
pub(crate) const CACHE_LIFE: &str = "cache_control.ttl";
/// The option that sets how long the whole prompt stays there.
pub(crate) const CACHE_RETENTION: &str = "prompt_cache_retention";

/// Whether every provider is sent this key.
pub(crate) fn is_common(mode: Mode, key: &[u8]) -> bool {
    let common = match mode {
        Mode::Chat => CHAT,
        Mode::Embeddings => EMBEDDINGS,
        // No route yet: no option is sent.
        Mode::Completions | Mode::Responses => &[],
    };
    common.iter().any(|name| name.as_bytes() == key)
}

/// Whether an operator may list this option for a provider.
///
/// # Errors
/// Why not, for the operator.
pub(crate) fn may_be_listed(name: &str) -> Result<(), &'static str> {
    // Some servers take `nPredict` and `N_PREDICT` for `n_predict`.
    let plain = |text: &str| -> String {
        text.chars().filter(|c| c.is_ascii_alphanumeric()).map(|c| c.to_ascii_lowercase()).collect()
    };
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    let (top, member) = name.split_once('.').map_or((name, None), |(top, member)| (top, Some(member)));
    if !(1..KEY_KEPT).contains(&name.len()) || !name.bytes().all(fits) || member == Some("") || top.is_empty()
    {
        return Err(
            "must be the name of a request's option, such as \"think\" or \"thinking.budget_tokens\"",
        );
    }
    if NEVER.iter().any(|never| plain(never) == plain(top) || plain(never) == plain(name)) {
        return Err(
            "cannot be let pass: with it a provider does or charges what this gateway does not price",
        );
    }
    if member.is_none() && CHAT.contains(&name) {
        return Err("need not be listed: every provider is sent it");
    }
    Ok(())
}
