//! Sorts the bytes of a stream: some pass, some wait, and some are dropped.

/// What becomes of the bytes pushed.
#[derive(Debug, PartialEq, Eq)]
pub enum Passed {
    /// They pass as they are.
    Same,
    /// These pass in their place.
    Instead(Vec<u8>),
}

impl Passed {
    /// What passes in the place of `bytes`, with `tail` after it; none if they pass as they came.
    #[must_use]
    pub fn replacing(self, bytes: &[u8], tail: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Same if tail.is_empty() => None,
            Self::Same => Some([bytes, tail].concat()),
            Self::Instead(mut passed) => {
                passed.extend_from_slice(tail);
                Some(passed)
            }
        }
    }
}

/// The bytes that pass. They are the same that came, as long as nothing was held or dropped.
pub struct Out<'a> {
    passed: Vec<u8>,
    same: bool,
    pub bytes: &'a [u8],
    /// Up to here the bytes were passed, held or dropped.
    pub pending: usize,
    /// Where the last line began that has no data of its event before it.
    pub line_at: Option<usize>,
}

impl<'a> Out<'a> {
    /// For bytes that were pushed; `nothing_waits` tells that no earlier bytes wait.
    pub fn of(bytes: &'a [u8], nothing_waits: bool) -> Self {
        Self { passed: Vec::new(), same: nothing_waits, bytes, pending: 0, line_at: None }
    }

    /// From here on the bytes that pass are not the ones that came.
    fn differ(&mut self) {
        if std::mem::take(&mut self.same) {
            self.passed.extend_from_slice(self.bytes.get(..self.pending).unwrap_or(&[]));
        }
    }

    pub fn pass_up_to(&mut self, end: usize) {
        if !self.same {
            self.passed.extend_from_slice(self.bytes.get(self.pending..end).unwrap_or(&[]));
        }
        self.pending = end;
    }

    /// Passes the bytes that waited, before any other bytes.
    pub fn release(&mut self, held: &mut Vec<u8>) {
        if !held.is_empty() {
            self.differ();
            self.passed.append(held);
        }
    }

    pub fn hold_up_to(&mut self, end: usize, held: &mut Vec<u8>) {
        if end > self.pending {
            self.differ();
            held.extend_from_slice(self.bytes.get(self.pending..end).unwrap_or(&[]));
            self.pending = end;
        }
    }

    pub fn drop_up_to(&mut self, end: usize, held: &mut Vec<u8>) {
        self.differ();
        held.clear();
        self.pending = end;
    }

    pub fn finish(self) -> Passed {
        if self.same { Passed::Same } else { Passed::Instead(self.passed) }
    }
}
