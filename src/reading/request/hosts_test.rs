#![allow(clippy::unwrap_used)]

use super::*;

fn read(json: &str) -> Result<Hosts, String> {
    let mut mistakes = Mistakes::default();
    let hosts = Hosts::read(strict_json::parse(json).unwrap(), "hosts", &mut mistakes);
    mistakes.or(hosts).map_err(|mistakes| mistakes.to_string())
}

fn passes(hosts: &Hosts, headers: &[(&str, &str)]) -> bool {
    hosts.has_host_of(&Pairs::of(headers))
}

const LISTED: &str =
    r#"["127.0.0.1:10000", "[::1]:10000", "Gateway.Example", "other.example:80", "tls.example:443"]"#;

#[test]
fn a_listed_host_passes_in_any_case_and_with_the_schemes_own_port() {
    let hosts = read(LISTED).unwrap();
    for (scheme, authority) in [
        ("http", "127.0.0.1:10000"),
        ("http", "[::1]:10000"),
        ("http", "gateway.example"),
        ("http", "GATEWAY.example:80"),
        ("http", "gateway.example:"),
        ("https", "gateway.example:443"),
        ("https", "gateway.example"),
        ("http", "other.example"),
        ("https", "other.example:80"),
        ("https", "tls.example"),
    ] {
        assert!(passes(&hosts, &[(":scheme", scheme), (":authority", authority)]), "{scheme} {authority}");
    }
    assert!(passes(&hosts, &[(":authority", "gateway.example:80")]), "no scheme is http");
    assert!(passes(&hosts, &[(":authority", "gateway.example"), ("host", "gateway.example:80")]));
}

#[test]
fn no_other_host_passes_and_none_is_no_host() {
    let hosts = read(LISTED).unwrap();
    for (scheme, authority) in [
        ("http", "127.0.0.1"),
        ("http", "127.0.0.1:10001"),
        ("http", "127.0.0.1:100000"),
        ("http", "127.0.0.1:+10000"),
        ("http", "127.0.0.1:10000:10000"),
        ("http", "127.0.0.1:10000,127.0.0.1:10000"),
        ("http", " 127.0.0.1:10000"),
        ("http", "127.0.0.1:10000/"),
        ("http", "evil@127.0.0.1:10000"),
        ("http", "127.0.0.1:10000@evil"),
        ("http", "127.1:10000"),
        ("http", "0x7f.1:10000"),
        ("http", "2130706433:10000"),
        ("http", "::1:10000"),
        ("http", "[::1"),
        ("http", "[::1]10000"),
        ("http", "[::ffff:127.0.0.1]:10000"),
        ("http", "gateway.example."),
        ("http", "gateway.example.evil"),
        ("http", "evil.gateway.example"),
        ("http", "gateway.example:443"),
        ("https", "gateway.example:80"),
        ("http", "tls.example"),
        ("https", "other.example"),
        ("http", "gateway.example\0"),
        ("http", "gateway.ex\u{e4}mple"),
        ("http", "g\u{212a}teway.example"),
        ("http", "*"),
        ("http", ":80"),
        ("http", ":"),
        ("http", ""),
    ] {
        assert!(!passes(&hosts, &[(":scheme", scheme), (":authority", authority)]), "{scheme} {authority:?}");
    }
    let good = (":authority", "gateway.example");
    assert!(!passes(&hosts, &[]));
    assert!(!passes(&hosts, &[("host", "gateway.example")]), "Envoy makes it the authority");
    assert!(!passes(&hosts, &[good, good]), "not even the same one twice");
    assert!(!passes(&hosts, &[good, ("host", "evil.example")]));
    assert!(!passes(&hosts, &[good, ("host", "")]));
    assert!(!hosts.has_host_of(&Pairs::of(&[(":authority", b"gateway.example\xff")])));
}

#[test]
fn a_star_alone_switches_the_check_off() {
    let hosts = read(r#"["*"]"#).unwrap();
    assert_eq!(hosts, Hosts::Any);
    assert!(passes(&hosts, &[(":authority", "evil.example")]) && passes(&hosts, &[]));
}

#[test]
fn every_mistake_is_named_by_its_place() {
    let list = "must be a list of hosts, such as [\"gateway.example\", \"127.0.0.1:10000\"], or [\"*\"]";
    for (json, mistake) in [
        ("[]", format!("hosts: {list}")),
        ("\"*\"", format!("hosts: {list}")),
        (r#"["*", "a"]"#, "hosts[0]: must be alone: with \"*\" every host is answered".to_owned()),
        (r#"["a", "A"]"#, "hosts[1]: \"A\" stands twice: keep one".to_owned()),
        (
            r#"["http://a", 7, "*.a"]"#,
            "hosts[0]: must be a host or host:port, is \"http://a\"\nhosts[1]: must be a string, is a number: write it in double quotes\n\
             hosts[2]: must be a host or host:port, is \"*.a\""
                .to_owned(),
        ),
    ] {
        assert_eq!(read(json), Err(mistake), "{json}");
    }
}
