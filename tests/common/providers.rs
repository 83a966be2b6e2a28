//! Changes Envoy's configuration for one provider or for the ledger: another server, another version of HTTP,
//! other settings.

/// Makes one provider's cluster another server.
pub fn move_provider(config: &str, provider: &str, port: u16) -> String {
    change_cluster(config, provider, |cluster| {
        let (head, rest) = cluster.split_once("port_value: ").expect("its port");
        let rest = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        format!("{head}port_value: {port}{rest}")
    })
}

/// Has Envoy speak HTTP/2 with one provider, as it does with the real ones.
pub fn speak_http2(config: &str, provider: &str) -> String {
    change_cluster(config, provider, to_http2)
}

/// Makes the cluster of the ledger's public listener another server, which speaks HTTP/2.
pub fn move_credits(config: &str, port: u16) -> String {
    change_piece(config, "- name: ledger_public\n", |cluster| {
        let (head, rest) = cluster.split_once("port_value: ").expect("its port");
        let rest = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        to_http2(&format!("{head}port_value: {port}{rest}"))
    })
}

fn to_http2(cluster: &str) -> String {
    let one = "explicit_http_config: { http_protocol_options: {} }";
    assert!(cluster.contains(one), "it speaks HTTP/1.1");
    cluster.replacen(one, "explicit_http_config: { http2_protocol_options: {} }", 1)
}

/// Changes the cluster of one provider, and what comes after it.
pub fn change_cluster(config: &str, provider: &str, change: impl FnOnce(&str) -> String) -> String {
    change_piece(config, &format!("- name: {provider}\n      type: LOGICAL_DNS"), change)
}

/// Changes the route of one provider, and what comes after it.
pub fn change_route(config: &str, provider: &str, change: impl FnOnce(&str) -> String) -> String {
    change_piece(config, &format!("- name: {provider}\n                          match:"), change)
}

fn change_piece(config: &str, start: &str, change: impl FnOnce(&str) -> String) -> String {
    let (before, cluster) = config.split_once(start).expect("it is there");
    [before, start, &change(cluster)].concat()
}
