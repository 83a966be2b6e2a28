//! A stream as Envoy holds it: its header maps, the bytes that it buffers, and what has gone on to either side.

use std::collections::BTreeMap;

use crate::worker::host::HeaderMap;

/// A local reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Its status.
    pub status: u16,
    /// Its headers.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Its body.
    pub body: Vec<u8>,
}

/// What the provider (or the ledger) was sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Upstream {
    /// The headers, `:method` and `:path` among them.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body.
    pub body: Vec<u8>,
    /// The filter state from which Envoy chose the route.
    pub mark: String,
}

/// A callout's answer; no status if no answer came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ended {
    /// The status.
    pub status: Option<u16>,
    /// The body.
    pub body: Vec<u8>,
}

impl Ended {
    /// An answer of the ledger's.
    #[must_use]
    pub fn with(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status: Some(status), body: body.into() }
    }

    /// No answer came in time.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }
}

/// A stream.
#[derive(Clone, Debug, Default)]
pub struct Stream {
    /// Its header maps.
    pub maps: BTreeMap<HeaderMap, Vec<(String, Vec<u8>)>>,
    /// The bytes of the request's body that wait.
    pub request: Vec<u8>,
    /// Whether all of the request has come.
    pub request_ended: bool,
    /// The bytes of the answer's body that wait, and the piece that a callback is about.
    pub answer: Vec<u8>,
    /// Its properties, under their paths.
    pub properties: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Its filter state, under the names without `wasm.`.
    pub filter_state: BTreeMap<String, String>,
    /// The local reply, if there is one.
    pub reply: Option<Reply>,
    /// Whether the filter has resumed a paused request, and the proxy has not let it go on yet.
    pub resumed: bool,
    /// What went on to the provider.
    pub upstream: Option<Upstream>,
    /// The head of the answer that went on to the caller.
    pub passed_head: Option<Vec<(String, Vec<u8>)>>,
    /// The bytes of the answer that went on to the caller.
    pub passed: Vec<u8>,
}

impl Stream {
    /// All headers of a map.
    #[must_use]
    pub fn headers(&self, map: HeaderMap) -> &[(String, Vec<u8>)] {
        self.maps.get(&map).map_or(&[], Vec::as_slice)
    }

    pub(super) fn set_header(&mut self, map: HeaderMap, name: &str, value: &[u8]) {
        let headers = self.maps.entry(map).or_default();
        headers.retain(|(known, _)| known != name);
        headers.push((name.to_owned(), value.to_vec()));
    }

    pub(super) fn remove_header(&mut self, map: HeaderMap, name: &str) {
        self.maps.entry(map).or_default().retain(|(known, _)| known != name);
    }

    /// Envoy counts so many bytes more of the request.
    pub fn counts(&mut self, bytes: usize) {
        let counted = self.properties.entry(b"request\0total_size".to_vec()).or_insert_with(|| vec![0; 8]);
        let sum = u64::from_le_bytes(counted.as_slice().try_into().unwrap()) + u64::try_from(bytes).unwrap();
        *counted = sum.to_le_bytes().to_vec();
    }

    /// The waiting part of the request goes on.
    pub(super) fn request_goes_on(&mut self) {
        let body = std::mem::take(&mut self.request);
        let headers = self.headers(HeaderMap::Request).to_vec();
        let mark = self.filter_state.get("pax_provider").cloned().unwrap_or_default();
        let upstream = self.upstream.get_or_insert(Upstream { headers, body: Vec::new(), mark });
        upstream.body.extend(body);
    }

    /// The waiting part of the answer goes on.
    pub(super) fn answer_goes_on(&mut self) {
        if self.passed_head.is_none() {
            self.passed_head = Some(self.headers(HeaderMap::Answer).to_vec());
        }
        self.passed.append(&mut self.answer);
    }
}

/// Puts bytes in place of a buffer's first `size` bytes, as Envoy does.
pub(super) fn replace_front(buffer: &mut Vec<u8>, size: usize, bytes: &[u8]) {
    drop(buffer.splice(..size.min(buffer.len()), bytes.iter().copied()));
}
