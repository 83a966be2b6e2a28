//! Which accounts the ledger is asked about, once an interval: those that may call without their token being asked
//! about first, which tells the same. So what an Envoy knows of an account is never older than an interval when a
//! call is let through by it, however long the account was silent here and busy elsewhere.

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::clock::{Moment, UtcDay};
use crate::wire::{STANDINGS_MAX, StandingAsk};

/// No more accounts are remembered; others are once they call again and there is room.
const ACTIVE_MAX: usize = 64 * STANDINGS_MAX;

/// The accounts with a cap that have called a short while ago.
#[derive(Debug, Default)]
pub struct Active {
    /// The day of the last call, and when it was.
    called: BTreeMap<String, (UtcDay, Moment)>,
    /// The last one of this round that was asked about.
    asked: Option<String>,
}

impl Active {
    /// Nobody has called yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { called: BTreeMap::new(), asked: None }
    }

    /// An account that has a cap has called, on a UTC day.
    pub fn called(&mut self, account: &str, day: UtcDay, now: Moment) {
        if let Some(known) = self.called.get_mut(account) {
            *known = (day, now);
        } else if self.called.len() < ACTIVE_MAX {
            self.called.insert(account.to_owned(), (day, now));
        }
    }

    /// The next ones to ask about, as many as one question holds; fewer end the round. Who has not called for
    /// `ttl_ms` is forgotten: its token is asked about before it calls again.
    pub fn next(&mut self, now: Moment, ttl_ms: u64) -> Vec<StandingAsk> {
        if self.asked.is_none() {
            self.called.retain(|_, (_, called)| now.since_ms(*called) < ttl_ms);
        }
        let from = self.asked.take().map_or(Bound::Unbounded, Bound::Excluded);
        let rest = self.called.range((from, Bound::Unbounded)).take(STANDINGS_MAX);
        let asks: Vec<StandingAsk> = rest
            .map(|(account, (utc_day, _))| StandingAsk { account: account.clone(), utc_day: *utc_day })
            .collect();
        if asks.len() == STANDINGS_MAX {
            self.asked = asks.last().map(|ask| ask.account.clone());
        }
        asks
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects)]
    use super::*;

    const TTL_MS: u64 = 30_000;

    fn names(asks: &[StandingAsk]) -> Vec<&str> {
        asks.iter().map(|ask| ask.account.as_str()).collect()
    }

    #[test]
    fn an_account_is_asked_about_again_and_again_until_its_token_would_be() {
        let mut active = Active::new();
        let at = Moment::from_ms;
        active.called("silent", at(0).day(), at(1_000));
        active.called("busy", at(0).day(), at(1_000));
        assert_eq!(names(&active.next(at(5_000), TTL_MS)), ["busy", "silent"]);
        active.called("busy", at(0).day().next(), at(20_000));
        assert_eq!(names(&active.next(at(30_999), TTL_MS)), ["busy", "silent"]);
        let asks = active.next(at(31_000), TTL_MS);
        assert_eq!(
            (names(&asks), asks.first().map(|ask| ask.utc_day)),
            (vec!["busy"], Some(at(0).day().next()))
        );
        assert_eq!(active.next(at(50_000), TTL_MS), []);
    }

    #[test]
    fn a_round_asks_about_everybody_once() {
        let mut active = Active::new();
        let now = Moment::from_ms(1_000);
        let all: Vec<String> = (0..2 * STANDINGS_MAX + 3).map(|number| format!("{number:05}")).collect();
        all.iter().for_each(|account| active.called(account, now.day(), now));
        for _ in 0..2 {
            let round = [active.next(now, TTL_MS), active.next(now, TTL_MS), active.next(now, TTL_MS)];
            assert_eq!(round.each_ref().map(Vec::len), [STANDINGS_MAX, STANDINGS_MAX, 3]);
            assert_eq!(names(&round.concat()), all);
        }
    }
}
