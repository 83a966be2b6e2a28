//! What each error code means, and what to do: for an operator whom a caller asked "why was I refused?".
//!
//! A test fails if a code has no words (tests/calls_log.rs). Codes come from the filter's refusals and from
//! Envoy's own replies (envoy/local-replies.json); some are promised to callers, but no version gives them yet.

/// A code and its words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Words {
    /// The code, as the caller got it.
    pub code: &'static str,
    /// Why it is given.
    pub why: &'static str,
    /// What to do, the likeliest first. "You" are the operator.
    pub what_to_do: &'static [&'static str],
}

/// The words of a code.
#[must_use]
pub fn of(code: &str) -> Option<&'static Words> {
    CODES.iter().find(|words| words.code == code)
}

/// The words of all codes.
pub const CODES: [Words; 33] = [
    Words {
        code: "account_disabled",
        why: "The account is disabled, so that none of its calls is served.",
        what_to_do: &[
            "If that is over: `pax-ledger account enable NAME`. Filters believe it once their memory of the token expires \
             (`tokens.ttl_s`, 30 seconds if you did not say otherwise).",
        ],
    },
    Words {
        code: "budget_exceeded",
        why: "What the call could cost at most does not fit a budget of its token, its account or a group any more. The message \
              names the budget's scope and its window.",
        what_to_do: &[
            "Raise that budget, or have the caller wait until its window is over.",
            "Have the caller state a smaller max_tokens: what a call could cost is set aside until it ends.",
        ],
    },
    Words {
        code: "byo_missing_key",
        why: "The caller said that it brings a provider key of its own, and no key came with the call.",
        what_to_do: &[
            "The caller sends the key in X-Matrix-BYO-API-Key, or `true` there and the key in X-Matrix-User-API-Key.",
            "Without both headers the platform's key pays.",
        ],
    },
    Words {
        code: "daily_cap_exceeded",
        why: "What was spent today, what calls in flight have set aside, and what this call could cost at most are together more \
              than the account's daily cap. A call's most is what its input and its maximum of output would cost at the \
              model's dearest prices.",
        what_to_do: &[
            "Have the caller state a smaller max_tokens: without one the model's own maximum is set aside.",
            "`pax-ledger account show NAME` shows the day; `pax-ledger account cap NAME PAX` sets another cap.",
            "The day is UTC: at midnight the cap begins anew.",
        ],
    },
    Words {
        code: "gateway_disabled",
        why: "The gateway takes no calls: its kill switch is on, it is draining, no rate card is in force, or its filter does not \
              run.",
        what_to_do: &[
            "Ask `/readyz`, which says which of these it is now. Envoy's log says when the kill switch was set, and since when a card is in \
             force.",
            "Envoy's log says what is wrong with a configuration or a rate card that was not taken.",
        ],
    },
    Words {
        code: "gateway_error",
        why: "Envoy gave up the call for a reason that the gateway has no other word for; `details` above is Envoy's own.",
        what_to_do: &[
            "Look into Envoy's log at that time: a filter that was trapped says so there.",
            "If it happens again, keep the line of the calls log: it has all that is known.",
        ],
    },
    Words {
        code: "http_version_not_supported",
        why: "The request is HTTP/1.0.",
        what_to_do: &["The caller, or a proxy before the gateway, speaks HTTP/1.1 or HTTP/2."],
    },
    Words {
        code: "insufficient_credit",
        why: "What the call could cost at most is more than the account's balance less what is held for calls in flight.",
        what_to_do: &[
            "Grant the account more credit, or have the caller wait until its calls in flight have ended.",
            "Have the caller state a smaller max_tokens.",
        ],
    },
    Words {
        code: "invalid_api_key",
        why: "There was no token, or it is none of this gateway's, was revoked, or has expired.",
        what_to_do: &[
            "The caller sends `Authorization: Bearer TOKEN`; a key of a provider's is no token.",
            "`pax-ledger token list` shows each token's state, `pax-ledger token add NAME --name LABEL` makes another one.",
            "A token that was used before it was made stays unknown for `tokens.unknown_ttl_s` (5 seconds if you did not say \
             otherwise).",
        ],
    },
    Words {
        code: "invalid_header",
        why: "A header stood twice, contradicted another one, was empty or too long, or had characters that it cannot have; or \
              there were more than 100 headers, or more than 60 KiB of them.",
        what_to_do: &[
            "The caller sends the header that the message names once, in plain ASCII.",
            "If the caller does so already, a proxy before the gateway adds or repeats it.",
        ],
    },
    Words {
        code: "invalid_json",
        why: "The body could not be read as the provider would read it: it is no JSON object in UTF-8, is nested too deeply, names \
              a key twice, or a value has the wrong type or lies beyond what a provider takes. What several readers could read \
              differently is not sent on.",
        what_to_do: &["The caller mends what the message names."],
    },
    Words {
        code: "invalid_request",
        why: "The request is not valid HTTP, or has a transfer-encoding that is not served. Envoy answered by itself.",
        what_to_do: &[
            "Look at what stands between caller and gateway: a client of HTTP rarely sends such a request.",
        ],
    },
    Words {
        code: "invalid_slot",
        why: "X-Matrix-Slot is no slot's name: at most 64 of a-z, 0-9, `-` and `_`.",
        what_to_do: &["The caller sends a slot of the rate card's, or none for the default slot."],
    },
    Words {
        code: "ledger_unavailable",
        why: "The gateway could not ask its ledger, or had no room for a token that it did not know yet, or too many debits wait \
              for the ledger. No call is served that could not be recorded.",
        what_to_do: &[
            "`pax-ledger health --internal ADDR:PORT --public ADDR:PORT` says whether the ledger answers.",
            "Envoy's log names what the ledger answered: a 401 is another secret there than here.",
            "Metric pax_outbox_waiting says how many debits wait; they are sent until the ledger has them.",
        ],
    },
    Words {
        code: "method_not_allowed",
        why: "The path takes another method.",
        what_to_do: &["The caller sends the method that the answer's `allow` header names."],
    },
    Words {
        code: "missing_model",
        why: "The body names no model.",
        what_to_do: &["The caller sets \"model\"; `GET /v1/models` lists those that it may use."],
    },
    Words {
        code: "model_not_allowed",
        why: "The model may not be called like this: it is not among the free models of the slot (tier free), or its provider takes \
              no key of the caller's own, or only that. The message says which.",
        what_to_do: &[
            "The caller takes a model of `GET /v1/models`.",
            "Not among the free models: the caller takes another slot, or a rate card with the model in `free_tier.slots` lets the free \
             tier have it (`pax-ratecard new` starts one), or the account becomes one of tier credit.",
            "The gateway has no key of its own for the provider: set its key in Envoy's environment (`pax-stack keys` names them) and \
             `platform_funding`, or the caller brings a key of its own.",
            "The provider takes no key of the caller's own: the caller leaves the header out, or the operator sets `own_keys` (with \
             UPSTREAM: UPSTREAM_OWN_KEYS=1).",
        ],
    },
    Words {
        code: "model_not_found",
        why: "The rate card in force has no price for the model on this route, or its provider is not configured, or nobody is known to \
              serve it with a key of the caller's own. The message says which. Nothing is served without a price.",
        what_to_do: &[
            "The caller checks the model's name, letter for letter, with `GET /v1/models`, and the route.",
            "No price: add the model to the next rate card (`pax-ratecard new`, `check` and `publish`).",
            "A price, and no provider: configure it in `providers.NAME`. With a key of the caller's own: `providers.NAME.model_patterns`.",
        ],
    },
    Words {
        code: "overloaded",
        why: "Envoy had as many connections or calls as it may, or too little memory, and took no more.",
        what_to_do: &[
            "The caller tries again in a moment.",
            "If it goes on, look at Envoy's `overload.` and `circuit_breakers.` figures, and raise the limits of envoy.yaml \
             that they name, or add an Envoy.",
        ],
    },
    Words {
        code: "provider_refused_platform_key",
        why: "The provider answered 401 or 403 to the platform's own key. That is not the caller's fault, and nothing was charged.",
        what_to_do: &[
            "Give Envoy a key that the provider takes for this model: it may have expired, lack the model, or have no credit.",
            "Envoy's log names provider and status, at most once a minute and worker.",
        ],
    },
    Words {
        code: "rate_limited",
        why: "The token or the account has made as many calls, or used as many tokens, as it may in a minute, or has as many calls \
              open as it may.",
        what_to_do: &[
            "The caller waits as long as `retry-after` says.",
            "Raise the limit that the message names.",
        ],
    },
    Words {
        code: "request_timeout",
        why: "The request did not arrive completely in time. Envoy answered by itself.",
        what_to_do: &["The caller sends it again; a slow uplink sends a smaller one."],
    },
    Words {
        code: "request_too_large",
        why: "The body is larger than the gateway takes (`limits.request_bytes`, 20 MiB if you did not say otherwise).",
        what_to_do: &[
            "The caller sends a shorter prompt or smaller attachments, or names a picture by its address.",
        ],
    },
    Words {
        code: "too_many_bytes_open",
        why: "The bodies of open requests take all the memory that they may: the account's own (`limits.open_bytes_per_account`) or \
              all accounts' (`limits.open_bytes`). The message says which.",
        what_to_do: &[
            "The caller sends fewer large requests at once.",
            "Raise the limit, if Envoy's heap has room for it.",
        ],
    },
    Words {
        code: "unknown_host",
        why: "The request was for a host that this gateway does not answer to, or it named none or two. A page in somebody's browser \
              may have sent it.",
        what_to_do: &[
            "The caller uses the base URL that you gave it.",
            "If the host is yours, add it to \"hosts\" of the filter's configuration (GATEWAY_HOSTS of `make up` and compose).",
        ],
    },
    Words {
        code: "unknown_route",
        why: "The gateway has no such path. Nothing reaches a provider by a path that is not metered.",
        what_to_do: &[
            "The caller does what the message says: its base URL ends in /v1 once, and a client adds the rest by itself; or the API is \
             one that the gateway does not serve.",
        ],
    },
    Words {
        code: "unpriced_option",
        why: "The body has an option that could change the price or the bounds of the call, and that neither the rate card prices nor \
              your configuration lets pass. With the platform's key no other option is sent on.",
        what_to_do: &[
            "The caller leaves out the options that the message names.",
            "If an option is harmless, let it pass: `providers.NAME.options` of the filter's configuration.",
        ],
    },
    Words {
        code: "unsupported_encoding",
        why: "The request's body is compressed, so that it could not be read.",
        what_to_do: &["The caller sends it without Content-Encoding."],
    },
    Words {
        code: "upgrade_not_supported",
        why: "The request asked for a websocket or another upgrade. There is none.",
        what_to_do: &["The caller sends POST with a JSON body."],
    },
    Words {
        code: "upstream_cut",
        why: "The provider broke off in the middle of an answer of which the caller had got nothing yet. What the provider had done is \
              charged by estimate, as the entry says.",
        what_to_do: &[
            "The caller tries again: that is a new call.",
            "If it happens often, ask the provider, by its own id of the request.",
        ],
    },
    Words {
        code: "upstream_failed",
        why: "The provider broke the connection before it answered, or what it sent is no answer to the call.",
        what_to_do: &[
            "The caller tries again, or takes another model.",
            "If it happens with every call, check the provider's address, port and TLS in Envoy: another protocol answers so.",
        ],
    },
    Words {
        code: "upstream_timeout",
        why: "The provider was silent for longer than Envoy waits.",
        what_to_do: &[
            "The caller asks for a shorter answer, or for a stream.",
            "If the model is that slow, raise the idle timeout of its route in envoy.yaml.",
        ],
    },
    Words {
        code: "upstream_unavailable",
        why: "The provider could not be reached: its name does not resolve, nothing listens there, or TLS failed.",
        what_to_do: &[
            "Check the provider's address, and the way there from Envoy's host.",
            "Envoy's log and `/clusters` of its admin interface say what fails.",
        ],
    },
];
