#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
use super::*;
use crate::base::account::Tier;

const GOOD: &str = r#"{
    "ledger": {"cluster": "ledger", "authority": "ledger"}, "hosts": ["*"],
    "providers": {"p": {"cluster": "c", "authority": "a", "base_path": "/v1", "stream_usage": "ask", "stops_at": "model_maximum", "own_keys": true}}
}"#;

#[test]
fn what_is_left_out_has_a_default() {
    let config = Config::parse(GOOD).unwrap();
    assert_eq!(config.default_slot, "default");
    assert_eq!((config.tokens.ttl_ms, config.tokens.unknown_ttl_ms), (30_000, 5_000));
    assert_eq!((config.limits.request, config.limits.held_answer), (20_971_520, 524_288));
    assert_eq!((config.ledger.timeout_ms, config.ledger.resolve_cluster.as_str()), (2_000, "ledger"));
    let shares = Shares { strangers: 4 * MIB, account: 40 * MIB, all: 48 * MIB };
    assert_eq!(config.limits.open_bodies, shares);
    let by = [Tier::Free, Tier::Credit].map(|tier| config.gate.admitted_by(tier));
    assert_eq!(by, [AdmittedBy::SharedData, AdmittedBy::Ledger]);
}

#[test]
fn each_tier_is_admitted_where_the_operator_says() {
    let read = |admission: &str| {
        let gate = format!(r#"{{"gate": {{"admission": {admission}}},"#);
        Config::parse(&GOOD.replacen('{', &gate, 1))
    };
    for (admission, free, credit) in [
        (r#"{"free": "ledger"}"#, AdmittedBy::Ledger, AdmittedBy::Ledger),
        (
            r#"{"free": "shared_data", "credit": "shared_data"}"#,
            AdmittedBy::SharedData,
            AdmittedBy::SharedData,
        ),
    ] {
        let gate = read(admission).unwrap().gate;
        assert_eq!((gate.free, gate.credit), (free, credit));
        assert_eq!(gate.makes_holds(), free == AdmittedBy::Ledger);
    }
    let mistakes = read(r#"{"free": "nowhere", "gold": "ledger"}"#).unwrap_err().to_string();
    assert_eq!(
        mistakes,
        "gate.admission.free: must be \"shared_data\" or \"ledger\", is \"nowhere\"\n\
         gate.admission.gold: is unknown here; known are: free, credit"
    );
}

#[test]
fn each_worker_has_its_share_and_a_known_caller_room_for_two_of_the_largest_requests() {
    let shares =
        |more: &str| Config::parse(&GOOD.replacen('{', &format!("{{{more},"), 1)).unwrap().limits.open_bodies;
    let two = shares(r#""workers": 2"#);
    assert_eq!(two, Shares { strangers: 32 * MIB, account: 96 * MIB, all: 384 * MIB });
    let many = r#""workers": 1024, "limits": {"request_bytes": 2048, "unknown_caller_bytes": 1048576}"#;
    assert_eq!(shares(many), Shares { strangers: 1_024, account: 192 * 1_024, all: 768 * 1_024 });
    let few = r#""workers": 1024, "limits": {"open_bytes_per_account": 1048576, "open_bytes": 1048576}"#;
    let few = shares(few);
    assert_eq!((few.account, few.all), (40 * MIB, 40 * MIB));
}

#[test]
fn every_mistake_is_named_by_its_path_at_once() {
    let text = r#"{
        "ledger": {"cluster": "", "timeout_ms": 1, "secret": "x"},
        "tokens": {"ttl_s": "30", "unknown_ttl_s": 5}, "default_slot": "A B", "limits": {"request_bytes": 1.5},
        "providers": {"p": {"cluster": "c", "base_path": "v1/", "stream_usage": "maybe"}, "q": 7},
        "providers": {}, "extra": 1
    }"#;
    let mistakes = Config::parse(text).unwrap_err().to_string();
    let expected = "\
        providers: stands twice: keep one\n\
        ledger.cluster: must not be empty\n\
        ledger.authority: is missing\n\
        ledger.timeout_ms: must be from 10 to 60000, is 1\n\
        ledger.secret: is unknown here; known are: cluster, authority, timeout_ms, resolve_cluster\n\
        hosts: is missing\n\
        tokens.ttl_s: must be a whole number, is a string\n\
        default_slot: must be at most 64 of a-z, 0-9, '-' and '_'\n\
        providers.p.authority: is missing\n\
        providers.p.base_path: must begin with '/' and not end with it, such as \"/v1\"\n\
        providers.p.stream_usage: must be \"ask\" or \"always\", is \"maybe\"\n\
        providers.p.stops_at: is missing\n\
        providers.p.own_keys: is missing\n\
        providers.q: must be an object, is a number\n\
        limits.request_bytes: must be a whole number from 1024 to 268435456, written in digits only\n\
        extra: is unknown here; known are: ledger, hosts, tokens, default_slot, providers, workers, limits, gate, credits, disabled, rate_cards";
    assert_eq!(mistakes, expected);
}

#[test]
fn what_is_not_json_is_told_with_its_place() {
    let mistakes = Config::parse("{\n  nope").unwrap_err().to_string();
    assert!(mistakes.starts_with("is not JSON: ") && mistakes.contains("line 2"), "{mistakes}");
}

fn with_cards(files: &[(&str, &str)], lock: &str) -> Result<Gateway, String> {
    let files: serde_json::Map<_, _> =
        files.iter().map(|(name, text)| ((*name).to_owned(), (*text).into())).collect();
    let mut config: serde_json::Value = serde_json::from_str(GOOD).unwrap();
    config["rate_cards"] = serde_json::json!({"files": files, "lock": lock});
    Gateway::parse(&config.to_string()).map_err(|mistakes| mistakes.to_string())
}

#[test]
fn the_cards_are_those_of_the_configuration_or_those_that_are_built_in() {
    let built_in = Gateway::parse(GOOD).unwrap().bundle;
    let (last, text) = built_in.files().last().unwrap();
    let next = last.version.0.checked_add(1).unwrap();
    let version = |v: u32| format!("\"rate_table_v\": {v}");
    let new = text.replace(&version(last.version.0), &version(next));
    let name = |v: u32| format!("v{v}.json");
    let mut files: Vec<(String, &str)> =
        built_in.files().map(|(card, text)| (name(card.version.0), text.as_ref())).collect();
    files.push((name(next), &new));
    let line =
        |text: &str, name: &str| format!("{}  {name}\n", crate::base::digest::Digest::of(&[text.as_bytes()]));
    let lock: String = files.iter().map(|(name, text)| line(text, name)).collect();
    let mut named: Vec<(&str, &str)> = files.iter().map(|(name, text)| (name.as_str(), *text)).collect();
    let gateway = with_cards(&named, &lock).unwrap();
    assert_eq!(gateway.bundle.cards().last().unwrap().version.0, next);
    assert_eq!(
        gateway.bundle.files().last().unwrap().1.as_ref(),
        new,
        "byte for byte: the hash is the file's"
    );

    // A built-in card under another text, though it is locked.
    let first = named.first().unwrap().1;
    let changed = first.replace("\"reason\": \"", "\"reason\": \"Not ");
    named.first_mut().unwrap().1 = &changed;
    let lock: String = named.iter().map(|(name, text)| line(text, name)).collect();
    let told = with_cards(&named, &lock).unwrap_err();
    assert!(told.starts_with("rate_cards.v1.json: is not the card that is built into the filter"), "{told}");
    let told = with_cards(&named, &lock.replacen("  v1", "  w1", 1)).unwrap_err();
    assert!(told.contains("rate_cards.v1.json: is not locked"), "{told}");
    assert!(told.contains("rate_cards.w1.json: is locked but missing"), "{told}");
}

#[test]
fn every_mistake_of_the_cards_is_named_under_rate_cards() {
    let told = with_cards(&[("v1.json", "{\"pax_usd\": 7}"), ("v2.json", "nope")], "what").unwrap_err();
    for mistake in [
        "rate_cards.LOCK:1: must be a line of sha256sum",
        "rate_cards.v1.json: pax_usd: must be a string",
        "rate_cards.v1.json: rate_table_v: is missing",
        "rate_cards.v2.json: is not JSON",
    ] {
        assert!(told.contains(mistake), "{mistake:?} is not in {told}");
    }
    let config =
        GOOD.replacen('{', "{\"rate_cards\": {\"files\": {\"v1.json\": 1, \"v2.json\": {}}, \"x\": 2},", 1);
    let told = Gateway::parse(&config).unwrap_err().to_string();
    for mistake in [
        "rate_cards.files.v1.json: must be a string",
        "rate_cards.files.v2.json: must be a string",
        "rate_cards.lock: is missing",
        "rate_cards.x: is unknown here",
    ] {
        assert!(told.contains(mistake), "{mistake:?} is not in {told}");
    }
}
