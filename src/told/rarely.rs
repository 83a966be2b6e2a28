//! How often the operator is told of something that goes on: a line at once, then one an interval.

use crate::base::clock::Tick;
use crate::memory::shared::{self, SharedData};

/// How long one line is enough.
const INTERVAL_MS: u64 = 60_000;

/// The keys of matters that all workers see. They hold ticks.
const KEYS: &str = "pax/2/told/";
/// The keys of troubles that were told of and are not over.
const BEGUN: &str = "pax/2/trouble/";

/// One matter that goes on.
#[derive(Debug, Default)]
pub struct Rarely {
    told: Option<Tick>,
    /// How often it has happened since then.
    since: u64,
}

impl Rarely {
    /// A matter of which nothing was told yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { told: None, since: 0 }
    }

    /// It happened once more. If a line is due, gives how often it has happened since the last line, not
    /// counting this time.
    pub fn tell(&mut self, now: Tick) -> Option<u64> {
        if self.told.is_some_and(|told| now.since_ms(told) < INTERVAL_MS) {
            self.since = self.since.saturating_add(1);
            return None;
        }
        self.told = Some(now);
        Some(std::mem::take(&mut self.since))
    }
}

/// A matter that many workers of an Envoy see, of which one of them tells.
#[derive(Debug, Default)]
pub struct RarelyAmongAll {
    /// Whether this worker has seen it before.
    seen: bool,
}

impl RarelyAmongAll {
    /// It happened once more. If a line is due, gives how often it has happened to all workers since the last
    /// line. `matter`: one of a few names; each has a key in shared data for its last line. `about`: what the
    /// configuration says of it. A worker that comes with another configuration tells at once, since its
    /// operator waits for that.
    pub fn tell(&mut self, shared: &impl SharedData, matter: &str, about: &str, now: Tick) -> Option<u64> {
        let is_new = !std::mem::replace(&mut self.seen, true);
        let told = shared::update(shared, &format!("{KEYS}{matter}"), |value| {
            let last = Last::read(value);
            let due = last.as_ref().is_none_or(|last| {
                now.since_ms(last.told) >= INTERVAL_MS || (is_new && last.about != about.as_bytes())
            });
            match last {
                Some(Last { told, since, about }) if !due => {
                    (Some(Last { told, since: since.saturating_add(1), about }.write()), None)
                }
                last => {
                    let new = Last { told: now, since: 0, about: about.as_bytes() };
                    (Some(new.write()), Some(last.map_or(0, |last| last.since)))
                }
            }
        });
        // If other workers write without end, one of them tells.
        told.flatten()
    }
}

/// A trouble was told of at `now`, by one of the workers.
pub fn begins(shared: &impl SharedData, trouble: &str, now: Tick) {
    let begun = now.ms().to_le_bytes();
    // If other workers write without end, one of them has told as well.
    let _ = shared::update(shared, &format!("{BEGUN}{trouble}"), |value| {
        (value.is_empty().then(|| begun.to_vec()), ())
    });
}

/// A trouble is over. Gives when it was first told of, to the one worker that is to tell of its end.
pub fn ends(shared: &impl SharedData, trouble: &str) -> Option<Tick> {
    let begun = shared::update(shared, &format!("{BEGUN}{trouble}"), |value| {
        let begun = value.first_chunk().map(|ms| Tick::from_ms(u64::from_le_bytes(*ms)));
        (begun.map(|_| Vec::new()), begun)
    });
    begun.flatten()
}

/// The last line about a matter, in shared data.
struct Last<'a> {
    told: Tick,
    /// How often it has happened since then.
    since: u64,
    about: &'a [u8],
}

impl<'a> Last<'a> {
    fn read(value: &'a [u8]) -> Option<Self> {
        let (told, rest) = value.split_first_chunk()?;
        let (since, about) = rest.split_first_chunk()?;
        Some(Self {
            told: Tick::from_ms(u64::from_le_bytes(*told)),
            since: u64::from_le_bytes(*since),
            about,
        })
    }

    fn write(&self) -> Vec<u8> {
        [&self.told.ms().to_le_bytes(), &self.since.to_le_bytes(), self.about].concat()
    }
}

/// How often it has happened since the last line, in words for the next line; nothing if it has not.
#[must_use]
pub fn more(since: u64) -> String {
    match since {
        0 => String::new(),
        since => format!(" ({since} more since this was last said)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker::fake::Map;

    fn at(ms: u64) -> Tick {
        Tick::from_ms(1_000_000).plus_ms(ms)
    }

    #[test]
    fn of_what_many_workers_see_one_tells_and_counts_for_all() {
        let shared = Map::default();
        let mut workers: [RarelyAmongAll; 3] = std::array::from_fn(|_| RarelyAmongAll::default());
        let mut told = Vec::new();
        for ms in 0..60_000 {
            for worker in &mut workers {
                told.extend(worker.tell(&shared, "matter", "a", at(ms)));
            }
        }
        assert_eq!(told, [0]);
        let next: Vec<_> =
            workers.iter_mut().map(|worker| worker.tell(&shared, "matter", "a", at(60_000))).collect();
        assert_eq!(next, [Some(3 * 60_000 - 1), None, None]);
        assert_eq!(RarelyAmongAll::default().tell(&shared, "another", "a", at(60_000)), Some(0));
    }

    #[test]
    fn one_worker_tells_of_the_end_of_a_trouble_and_from_when_it_was_first_told() {
        let shared = Map::default();
        assert_eq!(ends(&shared, "ledger"), None);
        begins(&shared, "ledger", at(5));
        begins(&shared, "ledger", at(60_005));
        assert_eq!(ends(&shared, "another"), None);
        assert_eq!([ends(&shared, "ledger"), ends(&shared, "ledger")], [Some(at(5)), None]);
        begins(&shared, "ledger", at(90_000));
        assert_eq!(ends(&shared, "ledger"), Some(at(90_000)));
    }

    #[test]
    fn another_configuration_is_told_of_at_once_and_two_do_not_tell_in_turn_for_ever() {
        let shared = Map::default();
        let (mut old, mut new) = (RarelyAmongAll::default(), RarelyAmongAll::default());
        assert_eq!(old.tell(&shared, "matter", "old", at(0)), Some(0));
        assert_eq!(new.tell(&shared, "matter", "new", at(1)), Some(0));
        for ms in 2..1_000 {
            assert_eq!(old.tell(&shared, "matter", "old", at(ms)), None);
            assert_eq!(new.tell(&shared, "matter", "new", at(ms)), None);
        }
    }
}
