use super::*;
use crate::base::clock::Moment;

/// The message about a daily cap. Limit, spent and needed are in thousandths of a PAX; 0.005 PAX are set
/// aside.
fn exceeded(limit: i64, spent: i64, needed: i64, less: CostLess) -> String {
    let milli = |n: i64| Pax::from_picopax(n.saturating_mul(1_000_000_000));
    let (reserved, resets_at) = (milli(5), Moment::default());
    let own_keys = limit > 9;
    let [limit, spent, needed] = [limit, spent, needed].map(milli);
    Refusal::DailyCapExceeded { spent, reserved, needed, limit, resets_at, own_keys, less }.message()
}

#[test]
fn what_a_caller_is_told_to_do_can_help_and_stands_first() {
    let less = CostLess::LowerMaximum;
    for (message, begins, waits, lowers) in [
        (
            exceeded(10, 9, 2, less),
            "Lower max_tokens, wait until 1970-01-01T00:00:00Z or call with a ",
            true,
            true,
        ),
        (
            exceeded(10, 4, 2, less),
            "Wait for the calls in flight to end, lower max_tokens or call with",
            true,
            true,
        ),
        (
            exceeded(10, 0, 11, less),
            "Lower max_tokens or call with a provider key of your own in X-",
            false,
            true,
        ),
        (
            exceeded(10, 10, 1, less),
            "Wait until 1970-01-01T00:00:00Z or call with a provider key",
            true,
            false,
        ),
        (
            exceeded(0, 0, 1, less),
            "Ask the gateway's operator for a daily cap above zero: this call",
            false,
            false,
        ),
        (exceeded(9, 9, 1, less), "Wait until 1970-01-01T00:00:00Z: this call can cost", true, false),
    ] {
        assert!(message.starts_with(begins), "{message}");
        assert_eq!(message.to_lowercase().contains("wait"), waits, "{message}");
        assert_eq!(message.to_lowercase().contains("max_tokens"), lowers, "{message}");
    }
    let told = exceeded(10, 0, 11, CostLess::StateMaximum);
    assert!(
        told.starts_with("State max_tokens (without it the model's whole maximum is set aside) or"),
        "{told}"
    );
    assert!(exceeded(10, 0, 11, CostLess::SendLess).starts_with("Send less input or call with"));
}

#[test]
fn amounts_are_told_without_zeros_that_say_nothing() {
    let told = exceeded(10_000, 1_500, 9_000, CostLess::LowerMaximum);
    let says = "this call can cost up to 9 PAX, and of today's 10 PAX 1.5 are spent and 0.005 are set aside for calls in flight.";
    assert!(told.ends_with(says), "{told}");
}

#[test]
fn a_model_that_nobody_serves_is_told_with_those_that_were_meant() {
    let told = |own_key, near: &[&str]| {
        let near = near.iter().map(|name| (*name).to_owned()).collect();
        Refusal::ModelNotFound { model: "x".to_owned(), own_key, near }.message()
    };
    assert_eq!(told(false, &[]), "Take one of GET /v1/models: model \"x\" has no price here.");
    assert!(told(false, &["a"]).starts_with("Did you mean \"a\"? GET /v1/models has all"));
    assert!(told(false, &["a", "b", "c"]).starts_with("Did you mean \"a\", \"b\" or \"c\"? "));
    let own_key = told(true, &[]);
    assert!(own_key.contains("no provider") && !own_key.contains("price"), "{own_key}");
    let other = Refusal::ModelOfAnotherRoute { model: "x".to_owned(), path: "/v1/embeddings" }.message();
    assert!(other.starts_with("Call POST /v1/embeddings: model \"x\""), "{other}");
    let off = Refusal::ProviderNotConfigured { model: "x".to_owned(), provider: "xai".to_owned() }.message();
    assert!(off.ends_with("The gateway's operator configures it at providers.xai."), "{off}");
}

#[test]
fn whose_provider_has_no_key_of_the_platforms_is_told_of_its_own_only_where_one_is_taken() {
    for (own_keys, code) in [(true, "model_not_allowed"), (false, "model_not_found")] {
        let refusal = Refusal::NoPlatformKey { model: "x".to_owned(), provider: "xai".to_owned(), own_keys };
        let told = refusal.message();
        assert_eq!((refusal.code(), told.contains("X-Matrix-BYO-API-Key")), (code, own_keys), "{told}");
        assert!(told.contains("no key of its own for provider \"xai\""), "{told}");
    }
}

#[test]
fn the_name_of_a_header_is_told_again_in_part() {
    let told = Refusal::InvalidHeader { name: format!("x-matrix-{}", "a".repeat(60_000)) }.message();
    assert!(told.starts_with("Send header x-matrix-aaa") && told.len() < 300, "{}", told.len());
}
