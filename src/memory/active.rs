//! Which accounts the ledger is asked about, once an interval: those that called so recently that the gateway
//! may still remember their token. (Whenever the ledger is asked about a token, it tells the account's
//! standing as well.) So when a call is let through, what this Envoy knows of its account is never older than
//! an interval, even if the account was silent here and busy elsewhere.

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::base::clock::{Now, Tick};
use crate::base::wire::{STANDINGS_MAX, StandingAsk};

/// At most so many accounts are remembered. Another one is remembered when it calls again and there is room.
const ACTIVE_MAX: usize = 64 * STANDINGS_MAX;

/// The accounts with a cap that have called a short while ago.
#[derive(Debug, Default)]
pub struct Active {
    /// When each called last.
    called: BTreeMap<String, Tick>,
    /// The last one of this round that was asked about.
    asked: Option<String>,
    /// When the last round ended.
    asked_all: Tick,
}

impl Active {
    /// No account has called yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { called: BTreeMap::new(), asked: None, asked_all: Tick::from_ms(0) }
    }

    /// An account that has a cap has called.
    pub fn called(&mut self, account: &str, now: Tick) {
        if let Some(known) = self.called.get_mut(account) {
            *known = now;
        } else if self.called.len() < ACTIVE_MAX {
            self.called.insert(account.to_owned(), now);
        }
    }

    /// Whether it is time to ask. The worker looks every `tick_ms`: if the interval ends before its next look, it asks now,
    /// since that look would be too late.
    #[must_use]
    pub fn due(&self, now: Tick, interval_ms: u64, tick_ms: u64) -> bool {
        self.asked.is_some() || now.since_ms(self.asked_all).saturating_add(tick_ms) > interval_ms
    }

    /// The next accounts to ask about, and for which day: as many as one question holds. Fewer than that end
    /// the round. An account that has not called for `ttl_ms` is forgotten: its next call waits until the
    /// ledger was asked about its token.
    pub fn next(&mut self, now: Now, ttl_ms: u64) -> Vec<StandingAsk> {
        if self.asked.is_none() {
            self.called.retain(|_, called| now.tick.since_ms(*called) < ttl_ms);
        }
        let from = self.asked.take().map_or(Bound::Unbounded, Bound::Excluded);
        let rest = self.called.range((from, Bound::Unbounded)).take(STANDINGS_MAX);
        let asks: Vec<StandingAsk> = rest
            .map(|(account, _)| StandingAsk { account: account.clone(), utc_day: now.wall.day() })
            .collect();
        if asks.len() == STANDINGS_MAX {
            self.asked = asks.last().map(|ask| ask.account.clone());
        } else {
            self.asked_all = now.tick;
        }
        asks
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects)]
    use super::*;
    use crate::base::clock::{Moment, UtcDay};

    const TTL_MS: u64 = 30_000;

    fn names(asks: &[StandingAsk]) -> Vec<&str> {
        asks.iter().map(|ask| ask.account.as_str()).collect()
    }

    #[test]
    fn an_account_is_asked_about_again_and_again_until_its_token_would_be() {
        let mut active = Active::new();
        let (at, tick) = (|ms| Now::at(Moment::from_ms(ms)), Tick::from_ms);
        active.called("silent", tick(1_000));
        active.called("busy", tick(1_000));
        assert_eq!(names(&active.next(at(5_000), TTL_MS)), ["busy", "silent"]);
        active.called("busy", tick(20_000));
        assert_eq!(names(&active.next(at(30_999), TTL_MS)), ["busy", "silent"]);
        assert_eq!(names(&active.next(at(31_000), TTL_MS)), ["busy"]);
        assert_eq!(active.next(at(50_000), TTL_MS), []);
    }

    #[test]
    fn after_midnight_the_new_day_is_asked_about() {
        let mut active = Active::new();
        let midnight = UtcDay::default().next().start();
        active.called("busy", Tick::from_ms(midnight.ms() - 10));
        let days = |active: &mut Active, now: u64| -> Vec<UtcDay> {
            active.next(Now::at(Moment::from_ms(now)), TTL_MS).iter().map(|ask| ask.utc_day).collect()
        };
        assert_eq!(days(&mut active, midnight.ms() - 1), [UtcDay::default()]);
        assert_eq!(days(&mut active, midnight.ms()), [midnight.day()], "others may have spent there already");
    }

    #[test]
    fn no_tick_is_an_interval_after_a_round() {
        for (interval_ms, tick_ms) in [(1_000, 1_000), (1_000, 20), (5_000, 1_003), (2_000, 999)] {
            let mut active = Active::new();
            active.called("busy", Tick::from_ms(0));
            let mut asked = 0;
            for tick in (0..).map(|tick| tick * tick_ms).take_while(|ms| *ms < 60_000) {
                if active.due(Tick::from_ms(tick), interval_ms, tick_ms) {
                    assert!(tick - asked <= interval_ms, "{interval_ms} {tick_ms}: {asked} to {tick}");
                    assert!(asked == 0 || tick - asked >= interval_ms.saturating_sub(tick_ms), "{tick}");
                    active.next(Now::at(Moment::from_ms(tick)), TTL_MS);
                    asked = tick;
                }
            }
            assert!(asked > 60_000 - interval_ms - tick_ms);
        }
    }

    #[test]
    fn a_round_asks_about_everybody_once() {
        let mut active = Active::new();
        let now = Now::at(Moment::from_ms(1_000));
        let all: Vec<String> = (0..2 * STANDINGS_MAX + 3).map(|number| format!("{number:05}")).collect();
        all.iter().for_each(|account| active.called(account, now.tick));
        for _ in 0..2 {
            let round = [active.next(now, TTL_MS), active.next(now, TTL_MS), active.next(now, TTL_MS)];
            assert_eq!(round.each_ref().map(Vec::len), [STANDINGS_MAX, STANDINGS_MAX, 3]);
            assert_eq!(names(&round.concat()), all);
            assert!(!active.due(now.tick, 1_000, 20));
            active.next(now, TTL_MS);
            assert!(active.due(now.tick, 1_000, 20), "a round is not over");
            active.next(now, TTL_MS);
            active.next(now, TTL_MS);
        }
    }
}
