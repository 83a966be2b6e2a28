//! The codes of all errors that the gateway itself answers. The metrics count each of them, and the calls log
//! has words for each.

/// The codes of the filter's refusals, in alphabetical order:
/// [`crate::base::refusal::refusals::Refusal::code`] gives no other.
pub const CODES: [&str; 22] = [
    "account_disabled",
    "byo_missing_key",
    "daily_cap_exceeded",
    "gateway_disabled",
    "insufficient_credit",
    "invalid_api_key",
    "invalid_header",
    "invalid_json",
    "invalid_slot",
    "ledger_unavailable",
    "method_not_allowed",
    "missing_model",
    "model_not_allowed",
    "model_not_found",
    "provider_refused_platform_key",
    "request_too_large",
    "too_many_bytes_open",
    "unknown_host",
    "unknown_route",
    "unpriced_option",
    "unsupported_encoding",
    "upstream_failed",
];

/// The codes that only Envoy's own replies have (`envoy/local-replies.json`), in alphabetical order.
pub const ENVOYS_CODES: [&str; 9] = [
    "gateway_error",
    "http_version_not_supported",
    "invalid_request",
    "overloaded",
    "request_timeout",
    "upgrade_not_supported",
    "upstream_cut",
    "upstream_timeout",
    "upstream_unavailable",
];

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_list_has_every_code_that_a_refusal_gives_and_no_other() {
        let source = include_str!("refusals.rs");
        let body = source.split_once("pub fn code(&self) -> &'static str {").unwrap().1;
        let body = body.split_once("\n    }\n").unwrap().0;
        // The texts in quotation marks, in lines that are no comments.
        let code = body.lines().filter(|line| !line.trim_start().starts_with("//"));
        let given: BTreeSet<&str> = code.flat_map(|line| line.split('"').skip(1).step_by(2)).collect();
        assert_eq!(
            given.into_iter().collect::<Vec<_>>(),
            CODES,
            "and ledger/src/calls_log/words.rs has words for each"
        );
    }

    #[test]
    fn the_other_list_has_every_other_code_of_envoys_replies() {
        let replies = include_str!("../../../envoy/local-replies.json");
        let codes = replies.split("\"code\": \"").skip(1).filter_map(|rest| rest.split('"').next());
        let codes: BTreeSet<&str> = codes.filter(|code| !CODES.contains(code)).collect();
        assert_eq!(codes.into_iter().collect::<Vec<_>>(), ENVOYS_CODES);
    }
}
