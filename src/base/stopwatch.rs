//! How long a call takes, measured on the monotonic clock.

use crate::base::clock::Tick;

/// How long a call took, in milliseconds on the monotonic clock, counted from when its request was forwarded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lasted {
    /// Until the answer's first byte; none if no byte came.
    pub first_byte_ms: Option<u64>,
    /// Until the first visible text, or until the end if no text came.
    pub unseen_ms: Option<u64>,
    /// Until the end; none if that is not known.
    pub duration_ms: Option<u64>,
}

/// Measures a call from the tick at which its request is forwarded.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch {
    forwarded: Tick,
    first_byte: Option<Tick>,
    first_text: Option<Tick>,
}

impl Stopwatch {
    /// Starts a stopwatch.
    #[must_use]
    pub const fn start(forwarded: Tick) -> Self {
        Self { forwarded, first_byte: None, first_text: None }
    }

    /// Notes that the answer's head has come.
    pub fn answered(&mut self, now: Tick) {
        self.first_byte.get_or_insert(now);
    }

    /// Notes that visible text has come.
    pub fn has_text(&mut self, now: Tick) {
        self.first_text.get_or_insert(now);
    }

    /// Whether visible text has come.
    #[must_use]
    pub const fn saw_text(&self) -> bool {
        self.first_text.is_some()
    }

    /// How long the call took, now that it is over.
    #[must_use]
    pub fn stop(&self, now: Tick) -> Lasted {
        let since = |tick: Tick| tick.since_ms(self.forwarded);
        Lasted {
            first_byte_ms: self.first_byte.map(since),
            unseen_ms: Some(since(self.first_text.unwrap_or(now))),
            duration_ms: Some(since(now)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_did_not_come_until_the_end_is_measured_to_the_end() {
        let at = Tick::from_ms;
        let mut watch = Stopwatch::start(at(100));
        let lasted = |first_byte_ms, unseen_ms| Lasted {
            first_byte_ms,
            unseen_ms: Some(unseen_ms),
            duration_ms: Some(900),
        };
        assert_eq!(watch.stop(at(1_000)), lasted(None, 900));
        watch.answered(at(300));
        watch.answered(at(400));
        assert_eq!(watch.stop(at(1_000)), lasted(Some(200), 900));
        watch.has_text(at(700));
        watch.has_text(at(800));
        assert_eq!((watch.saw_text(), watch.stop(at(1_000))), (true, lasted(Some(200), 600)));
    }
}
