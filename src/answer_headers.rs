//! Headers of a provider's answer that do not reach the caller: they say who the gateway's operator is at the provider,
//! carry a key or a cookie, or are names that only this gateway may use. The same holds for trailers.

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

#[cfg(test)]
mod tests {
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
}
