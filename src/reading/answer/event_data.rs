//! The data of one event of a stream, as bytes: how many there are, and whether they mean that the stream is
//! over.

/// What was read of an event's data.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct EventData {
    /// How many bytes.
    pub(crate) bytes: u64,
    /// Whether it begins as a chunk does.
    pub(crate) is_object: bool,
    /// How many bytes of [`DONE`] were read; none before the first byte that is not blank. If it is something
    /// else, the count is larger than the length of [`DONE`].
    done: Option<usize>,
}

/// The data of the event that ends a stream; it is no JSON.
const DONE: &[u8] = b"[DONE]";

impl EventData {
    /// Reads on.
    pub(crate) fn take(&mut self, bytes: &[u8]) {
        self.bytes = self.bytes.saturating_add(length(bytes));
        let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
        if self.done.is_none() && !self.is_object {
            let Some(first) = bytes.iter().find(|byte| !blank(byte)) else { return };
            self.is_object = *first == b'{';
            self.done = Some(0);
        }
        for byte in bytes.iter().filter(|byte| !blank(byte)) {
            let Some(read) = self.done.filter(|read| *read <= DONE.len()) else { return };
            let fits = DONE.get(read) == Some(byte);
            self.done = Some(if fits { read.saturating_add(1) } else { usize::MAX });
        }
    }

    /// Whether it is [`DONE`].
    pub(crate) fn is_done(self) -> bool {
        self.done == Some(DONE.len())
    }
}

/// The length of bytes, as a count.
pub(crate) fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}
