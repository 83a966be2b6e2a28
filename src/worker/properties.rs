//! Reads a stream's properties: what the proxy knows of it beside headers and bodies.

use crate::call::event::ClosedBy;
use crate::told::provider_trouble::LocalReply;
use crate::worker::host::Host;

/// Who ended the stream, as the proxy sees it; the caller, if the proxy does not tell.
#[must_use]
pub fn closed_by(host: &impl Host) -> ClosedBy {
    ClosedBy::of_flags(number(host, b"response\0flags").unwrap_or(0))
}

/// Whether the answer is the proxy's own reply.
#[must_use]
pub fn is_local_reply(host: &impl Host) -> bool {
    host.property(b"response\0code_details").is_none_or(|details| details != b"via_upstream")
}

/// What the proxy tells of its own reply.
#[must_use]
pub fn told_of_answer(host: &impl Host) -> LocalReply {
    LocalReply {
        details: text(host, b"response\0code_details"),
        transport: text(host, b"upstream\0transport_failure_reason"),
        route: text(host, b"xds\0route_name"),
        cluster: text(host, b"xds\0cluster_name"),
    }
}

/// How many bytes of the request the proxy has received, its head included; none if there is no stream.
#[must_use]
pub fn request_bytes(host: &impl Host) -> Option<u64> {
    number(host, b"request\0total_size")
}

fn number(host: &impl Host, path: &[u8]) -> Option<u64> {
    host.property(path)?.first_chunk::<8>().map(|bytes| u64::from_le_bytes(*bytes))
}

/// A property as text; empty if it is absent.
fn text(host: &impl Host, path: &[u8]) -> String {
    String::from_utf8_lossy(&host.property(path).unwrap_or_default()).into_owned()
}
