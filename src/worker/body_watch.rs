//! Finds out whether Envoy gives the filter a request's body while its head waits. Envoy does so only with
//! `allow_on_headers_stop_iteration`; without that setting the body never comes, and every call would hang.
//!
//! Nothing tells the filter of that setting. But if Envoy has counted bytes of a stream's body and the filter
//! has seen none, Envoy keeps the body back. (A slow caller's bytes are not counted before they arrive.)
//! Streams are watched until the first body has come, since the setting cannot change under a root context.

use crate::base::clock::Tick;
use crate::worker::chores::resolves::TOLD_AT_ONCE;

/// How long Envoy may have counted bytes that the filter has not seen: another filter in front may gather a
/// body for a moment.
const PATIENCE_MS: u64 = 1_000;
/// How often one call is let through while bodies are kept back: if another filter caused it, that may have
/// ended.
const TRY_MS: u64 = 5_000;

/// What a worker knows of the setting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Known {
    /// No body has come yet.
    #[default]
    Nothing,
    /// Bodies come.
    Comes,
    /// Bodies are kept back. With the time at which a call was last let through to try again.
    KeptBack(Tick),
}

/// A stream whose body has not come yet.
#[derive(Debug)]
struct Watched<W> {
    stream: W,
    since: Tick,
    /// The bytes that Envoy had counted when the filter saw the stream's head.
    head_bytes: u64,
}

/// A worker's streams whose bodies have not come yet. `W`: the worker's handle of a stream.
#[derive(Debug)]
pub struct BodyWatch<W> {
    known: Known,
    watched: Vec<Watched<W>>,
}

impl<W> Default for BodyWatch<W> {
    fn default() -> Self {
        Self { known: Known::Nothing, watched: Vec::new() }
    }
}

/// What is to be done with a stream whose body is still to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begins {
    /// Its body will come.
    Comes,
    /// It is to be watched: [`BodyWatch::watch`].
    Watch,
    /// Its body would never come: it is refused.
    Refuse,
}

impl<W> BodyWatch<W> {
    /// A stream's head came, and its body is still to come.
    pub fn begins(&mut self, now: Tick) -> Begins {
        match self.known {
            Known::Comes => Begins::Comes,
            Known::Nothing => Begins::Watch,
            Known::KeptBack(tried) if now.since_ms(tried) < TRY_MS => Begins::Refuse,
            Known::KeptBack(_) => {
                self.known = Known::KeptBack(now);
                Begins::Watch
            }
        }
    }

    /// Watches a stream. `head_bytes`: the bytes that Envoy has counted with its head.
    pub fn watch(&mut self, now: Tick, stream: W, head_bytes: u64) {
        self.watched.push(Watched { stream, since: now, head_bytes });
    }

    /// The filter was given some of a body, or its end, while its head waited.
    pub fn came(&mut self) {
        if self.known != Known::Comes {
            self.known = Known::Comes;
            self.watched = Vec::new();
        }
    }

    /// Whether a stream is watched.
    #[must_use]
    pub fn is_watching(&self) -> bool {
        !self.watched.is_empty()
    }

    /// Whether some watched streams may still have to be refused.
    #[must_use]
    pub fn is_refusing(&self) -> bool {
        matches!(self.known, Known::KeptBack(_)) && self.is_watching()
    }

    /// Takes out some of the streams whose bodies Envoy keeps back: they are to be refused, and the operator is
    /// to be told. `counted`: the bytes that Envoy has counted of a stream by now; none if the stream has
    /// ended.
    pub fn kept_back(&mut self, now: Tick, counted: impl Fn(&W) -> Option<u64>) -> Vec<W> {
        let mut kept_back = Vec::new();
        for watched in std::mem::take(&mut self.watched) {
            if now.since_ms(watched.since) < PATIENCE_MS || kept_back.len() >= TOLD_AT_ONCE {
                self.watched.push(watched);
                continue;
            }
            match counted(&watched.stream) {
                Some(bytes) if bytes > watched.head_bytes => kept_back.push(watched.stream),
                Some(_) => self.watched.push(watched),
                None => {}
            }
        }
        if !kept_back.is_empty() {
            self.known = Known::KeptBack(now);
        }
        kept_back
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::cell::Cell;

    const HEAD: u64 = 300;

    fn at(ms: u64) -> Tick {
        Tick::from_ms(1_000_000).plus_ms(ms)
    }

    /// A watch with one stream. `bytes`: what Envoy has counted of it.
    fn watched(bytes: &Cell<Option<u64>>) -> BodyWatch<&Cell<Option<u64>>> {
        let mut watch = BodyWatch::default();
        assert_eq!(watch.begins(at(0)), Begins::Watch);
        watch.watch(at(0), bytes, HEAD);
        watch
    }

    #[test]
    fn a_stream_whose_bytes_were_counted_and_not_seen_is_refused_after_a_second() {
        for bytes in [HEAD + 1, HEAD + 16_000_000] {
            let bytes = Cell::new(Some(bytes));
            let mut watch = watched(&bytes);
            assert!(watch.kept_back(at(999), |stream| stream.get()).is_empty(), "it may still come");
            assert_eq!(watch.kept_back(at(1_000), |stream| stream.get()).len(), 1);
            assert!(watch.kept_back(at(1_001), |stream| stream.get()).is_empty(), "it is refused once");
        }
    }

    #[test]
    fn a_caller_who_sends_nothing_is_waited_for() {
        let bytes = Cell::new(Some(HEAD));
        let mut watch = watched(&bytes);
        for second in 1..300 {
            assert!(watch.kept_back(at(second * 1_000), |stream| stream.get()).is_empty());
        }
        assert_eq!(watch.begins(at(300_000)), Begins::Watch, "others are not refused for it");
        bytes.set(Some(HEAD + 1));
        assert_eq!(watch.kept_back(at(300_001), |stream| stream.get()).len(), 1);
    }

    #[test]
    fn once_a_body_came_nobody_is_watched_or_refused() {
        let bytes = Cell::new(Some(HEAD + 1));
        let mut watch = watched(&bytes);
        watch.came();
        assert!(watch.kept_back(at(5_000), |stream| stream.get()).is_empty());
        assert_eq!(watch.begins(at(5_001)), Begins::Comes);
    }

    #[test]
    fn a_stream_that_has_ended_is_forgotten() {
        let bytes = Cell::new(None);
        let mut watch = watched(&bytes);
        assert!(watch.kept_back(at(2_000), |stream| stream.get()).is_empty());
        assert!(watch.watched.is_empty());
    }

    #[test]
    fn a_crowd_is_refused_a_few_at_a_time_and_at_once_after_each_other() {
        let bytes = Cell::new(Some(HEAD + 1));
        let mut watch = watched(&bytes);
        for _ in 0..TOLD_AT_ONCE {
            watch.watch(at(0), &bytes, HEAD);
        }
        assert!(!watch.is_refusing());
        assert_eq!(watch.kept_back(at(1_000), |stream| stream.get()).len(), TOLD_AT_ONCE);
        assert!(watch.is_refusing());
        assert_eq!(watch.kept_back(at(1_020), |stream| stream.get()).len(), 1);
        assert!(!watch.is_refusing());
    }

    #[test]
    fn while_bodies_are_kept_back_one_call_in_five_seconds_is_tried_and_may_end_it() {
        let bytes = Cell::new(Some(HEAD + 1));
        let mut watch = watched(&bytes);
        assert_eq!(watch.kept_back(at(1_000), |stream| stream.get()).len(), 1);
        assert_eq!([watch.begins(at(1_001)), watch.begins(at(5_999))], [Begins::Refuse; 2]);
        assert_eq!([watch.begins(at(6_000)), watch.begins(at(6_001))], [Begins::Watch, Begins::Refuse]);
        watch.came();
        assert_eq!(watch.begins(at(6_002)), Begins::Comes);
    }
}
