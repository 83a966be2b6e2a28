//! Every code that a refusal of the filter can have, for whoever has words for each: [`crate::refusal::Refusal::code`]
//! gives no other.

/// The codes, by name.
pub const CODES: [&str; 21] = [
    "account_disabled",
    "byo_missing_key",
    "daily_cap_exceeded",
    "gateway_disabled",
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_list_has_every_code_that_a_refusal_gives_and_no_other() {
        let source = include_str!("refusal.rs");
        let body = source.split_once("pub fn code(&self) -> &'static str {").unwrap().1;
        let body = body.split_once("\n    }\n").unwrap().0;
        // What stands between quotation marks in the lines that are no comments.
        let code = body.lines().filter(|line| !line.trim_start().starts_with("//"));
        let given: BTreeSet<&str> = code.flat_map(|line| line.split('"').skip(1).step_by(2)).collect();
        assert_eq!(
            given.into_iter().collect::<Vec<_>>(),
            CODES,
            "and ledger/src/calls_log/words.rs has words for each"
        );
    }
}
