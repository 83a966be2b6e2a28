//! Helpers of the tests that run without an Envoy: they run the production driver on the fake of one.

use pax_gateway::base::account::{Account, Status, Tier};
use pax_gateway::worker::fake::Native;

/// An account of tier credit.
pub fn credit_account(name: &str) -> Account {
    Account {
        account: name.to_owned(),
        tier: Tier::Credit,
        status: Status::Active,
        token_id: "tok_1".to_owned(),
        daily_cap_pax: None,
        canon_v: 2,
    }
}

/// The bytes in pieces; one empty piece where there are none.
pub fn pieces(bytes: &[u8], size: usize) -> impl Iterator<Item = &[u8]> {
    let empty = bytes.is_empty().then_some(bytes);
    empty.into_iter().chain(bytes.chunks(size.min(bytes.len().max(1))))
}

/// The provider has reset its stream, as Envoy says it.
pub fn upstream_reset(native: &Native, context: u32) {
    const UPSTREAM_REMOTE_RESET: u64 = 1 << 4;
    native.state.stream(context, |stream| {
        let flags = UPSTREAM_REMOTE_RESET.to_le_bytes().to_vec();
        stream.properties.insert(b"response\0flags".to_vec(), flags);
    });
}

/// The body's length, if the head says one, is that of the body that came.
pub fn end_of_body(headers: &[(String, Vec<u8>)], body: &[u8]) {
    let said = headers.iter().find(|(name, _)| name == "content-length");
    let said = said.map(|(_, value)| String::from_utf8_lossy(value).into_owned());
    let length = body.len().to_string();
    assert!(said.as_ref().is_none_or(|said| *said == length), "content-length {said:?} of {length} bytes");
}
