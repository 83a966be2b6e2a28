//! The hosts that the gateway answers to. A web page can have its own name resolve to the gateway's address (DNS
//! rebinding) and then call it as if it were the page's own server; its requests still carry the page's host.

use crate::base::pairs::Pairs;
use crate::base::strict_json::{self, Mistakes, Node};

/// The entry that means every host.
const ANY: &str = "*";

/// The hosts that the gateway answers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hosts {
    /// Whatever the caller names: the check is switched off.
    Any,
    /// These and no others.
    Listed(Vec<Authority>),
}

/// A host and maybe a port, such as `gateway.example:8443`, `127.0.0.1:10000` or `[::1]:10000`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    /// In lower case; an IPv6 address in its brackets.
    host: String,
    /// None for the default port of the scheme.
    port: Option<u16>,
}

impl Authority {
    /// Reads the authority of a request or of a configuration. It must be one host, with or without a port:
    /// none for a list of two hosts, or for a host with a user's name.
    #[must_use]
    pub fn read(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let end = match text.strip_prefix('[') {
            Some(rest) => rest.find(']')?.checked_add(2)?,
            None => text.find(':').unwrap_or(text.len()),
        };
        let (host, port) = text.split_at_checked(end)?;
        let port = match port.strip_prefix(':') {
            // In HTTP "host:" means the same as "host".
            Some("") => None,
            Some(port) => Some(port.parse().ok().filter(|_| port.bytes().all(|byte| byte.is_ascii_digit()))?),
            None if port.is_empty() => None,
            None => return None,
        };
        is_host(host).then(|| Self { host: host.to_ascii_lowercase(), port })
    }

    /// Whether both mean the same host and port. A port that is left out is `default_port`.
    fn means(&self, other: &Self, default_port: u16) -> bool {
        let port = |authority: &Self| authority.port.unwrap_or(default_port);
        self.host == other.host && port(self) == port(other)
    }
}

/// A name, an IPv4 address, or an IPv6 address in brackets.
fn is_host(host: &str) -> bool {
    let fits = |host: &str, more: &[u8]| {
        !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || more.contains(&byte))
    };
    match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) => fits(address, b":."),
        None => fits(host, b"-._"),
    }
}

impl Hosts {
    /// Reads the list of a configuration.
    pub(crate) fn read(node: Node, path: &str, mistakes: &mut Mistakes) -> Option<Self> {
        const EXAMPLE: &str =
            "must be a list of hosts, such as [\"gateway.example\", \"127.0.0.1:10000\"], or [\"*\"]";
        let nodes = match node {
            Node::List(nodes) if !nodes.is_empty() => nodes,
            _ => {
                mistakes.add(path, EXAMPLE);
                return None;
            }
        };
        let count = nodes.len();
        let mut listed: Vec<Authority> = Vec::with_capacity(count);
        for (index, node) in nodes.into_iter().enumerate() {
            let path = format!("{path}[{index}]");
            let Some(text) = strict_json::text(node, &path, mistakes) else { continue };
            match Authority::read(text.as_bytes()) {
                _ if text == ANY && count == 1 => return Some(Self::Any),
                _ if text == ANY => mistakes.add(&path, "must be alone: with \"*\" every host is answered"),
                Some(authority) if listed.contains(&authority) => {
                    mistakes.add(&path, format!("{text:?} stands twice: keep one"));
                }
                Some(authority) => listed.push(authority),
                None => mistakes.add(&path, format!("must be a host or host:port, is {text:?}")),
            }
        }
        (listed.len() == count).then_some(Self::Listed(listed))
    }

    /// Whether a request with these headers is for one of these hosts. It must name exactly one host; `host`
    /// beside `:authority`, which HTTP/2 allows, must not name another one.
    #[must_use]
    pub fn has_host_of(&self, headers: &Pairs) -> bool {
        let Self::Listed(listed) = self else { return true };
        let default_port = match headers.get(":scheme") {
            Some(scheme) if scheme.eq_ignore_ascii_case(b"https") => 443,
            _ => 80,
        };
        let mut authorities = headers.values(":authority");
        let (Some(authority), None) = (authorities.next(), authorities.next()) else { return false };
        let Some(named) = Authority::read(authority) else { return false };
        let contradicts =
            |host: &[u8]| Authority::read(host).is_none_or(|host| !host.means(&named, default_port));
        !headers.values("host").any(contradicts) && listed.iter().any(|host| host.means(&named, default_port))
    }
}

#[cfg(test)]
#[path = "hosts_test.rs"]
mod tests;
