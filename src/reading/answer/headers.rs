//! Headers of a provider's answer that do not reach the caller: they tell who the gateway's operator is at
//! the provider, carry a key or a cookie, or have names that only this gateway may use. The same holds for
//! trailers. Also reads the id that the provider gave the call, with which the provider's support finds it.

use crate::base::pairs::Pairs;

/// Words of a header's name, between its hyphens, that tell of the operator's own account or carry its credentials.
const WORDS: [&str; 12] = [
    "account",
    "authorization",
    "billing",
    "cookie",
    "cookie2",
    "customer",
    "org",
    "organisation",
    "organization",
    "project",
    "tenant",
    "workspace",
];

/// Whether a header of a provider's answer stays here. `name` is in lower case, as Envoy gives it.
#[must_use]
pub fn stays_here(name: &str) -> bool {
    name.starts_with("x-matrix-")
        // `x-api-key`, `api-key`, `x-goog-api-key`.
        || name.ends_with("api-key")
        // `authentication-info` proves to a client that the server knows its key.
        || name.ends_with("authentication-info")
        || name.contains("organization")
        || name.split('-').any(|word| WORDS.contains(&word))
}

/// The headers in which providers tell the id that they gave a call: the first of these counts.
const REQUEST_IDS: [&str; 6] =
    ["x-request-id", "request-id", "apim-request-id", "x-amzn-requestid", "x-goog-request-id", "cf-ray"];
/// The longest id that is kept, in bytes.
const REQUEST_ID_MAX: usize = 128;

/// The id that a provider gave a call, if an entry can keep it: printable ASCII of at most 128 bytes.
#[must_use]
pub fn provider_request_id(headers: &Pairs) -> Option<&str> {
    REQUEST_IDS.iter().find_map(|wanted| {
        let value = headers.get(wanted)?;
        let fits = (1..=REQUEST_ID_MAX).contains(&value.len()) && value.iter().all(u8::is_ascii_graphic);
        std::str::from_utf8(value).ok().filter(|_| fits)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::string_slice)]
    use super::*;

    #[test]
    fn what_says_who_the_operator_is_stays_here() {
        for name in [
            "x-matrix-cost-pax",
            "set-cookie",
            "set-cookie2",
            "openai-organization",
            "anthropic-organization-id",
            "x-organizationid",
            "openai-project",
            "x-goog-user-project",
            "x-api-key",
            "api-key",
            "authorization",
            "proxy-authorization",
            "proxy-authentication-info",
            "x-org-id",
            "x-account-id",
            "anthropic-workspace-id",
            "x-billing-plan",
        ] {
            assert!(stays_here(name), "{name}");
        }
    }

    #[test]
    fn what_a_client_acts_on_reaches_it() {
        for name in [
            "content-type",
            "retry-after",
            "x-ratelimit-remaining-tokens",
            "openai-processing-ms",
            "openai-version",
            "x-request-id",
            "x-should-retry",
            "www-authenticate",
            "x-accounting",
            "x-projector",
        ] {
            assert!(!stays_here(name), "{name}");
        }
    }

    #[test]
    fn a_providers_request_id_is_the_first_that_an_entry_can_keep() {
        let long = "x".repeat(129);
        let id = |headers: &[(&str, &str)]| provider_request_id(&Pairs::of(headers)).map(str::to_owned);
        for (headers, expected) in [
            (&[("cf-ray", "8f-FRA"), ("x-request-id", "req_1")][..], Some("req_1")),
            (&[("request-id", "req_2"), ("cf-ray", "8f-FRA")], Some("req_2")),
            (&[("apim-request-id", "a"), ("x-amzn-requestid", "b")], Some("a")),
            (&[("x-request-id", ""), ("cf-ray", "8f-FRA")], Some("8f-FRA")),
            (&[("x-request-id", &long), ("request-id", "a b"), ("cf-ray", "8f-FRA")], Some("8f-FRA")),
            (&[("x-request-id", "\u{e4}")], None),
            (&[("x-request-id", &long[1..])], Some(&long[1..])),
            (&[("x-correlation", "1")], None),
            (&[], None),
        ] {
            assert_eq!(id(headers).as_deref(), expected, "{headers:?}");
        }
    }
}
