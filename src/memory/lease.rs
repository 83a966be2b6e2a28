//! The lease of this Envoy, for the holds that the ledger has made for it: its number, which all its workers share and
//! which it draws anew whenever it starts, and when the lease was last renewed. If it is not renewed for a minute, the
//! ledger takes the Envoy for dead, and its holds expire.

use crate::base::clock::Tick;
use crate::base::wire::LEASE_RENEW_MS;
use crate::memory::shared::{SharedData, update};

const ENVOY_KEY: &str = "pax/envoy";
const RENEWED_KEY: &str = "pax/2/lease";
/// After a failure it is renewed again this soon.
const AGAIN_MS: u64 = 1_000;

/// This Envoy's number, which `drawn` becomes if it has none yet. None if all races with other workers are lost.
pub fn envoy(shared: &impl SharedData, drawn: u64) -> Option<u64> {
    update(shared, ENVOY_KEY, |value| match value.first_chunk() {
        Some(number) => (None, u64::from_le_bytes(*number)),
        None => (Some(drawn.to_le_bytes().to_vec()), drawn),
    })
}

/// Whether the lease is to be renewed, by the worker that asks; if so, it counts as renewed.
pub fn renew(shared: &impl SharedData, now: Tick) -> bool {
    let renewed = update(shared, RENEWED_KEY, |value| {
        let last = value.first_chunk().map(|ms| Tick::from_ms(u64::from_le_bytes(*ms)));
        let due = last.is_none_or(|last| now.since_ms(last) >= LEASE_RENEW_MS);
        (due.then(|| bytes(now)), due)
    });
    renewed.unwrap_or(false)
}

/// The ledger has not answered: any worker tries again, soon.
pub fn not_renewed(shared: &impl SharedData, now: Tick) {
    let last = now.plus_ms(AGAIN_MS).ms().saturating_sub(LEASE_RENEW_MS);
    let _ = shared.set(RENEWED_KEY, &bytes(Tick::from_ms(last)));
}

fn bytes(tick: Tick) -> Vec<u8> {
    tick.ms().to_le_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::worker::fake::Map;

    fn at(ms: u64) -> Tick {
        Tick::from_ms(1_000_000).plus_ms(ms)
    }

    #[test]
    fn all_workers_of_an_envoy_have_the_number_that_the_first_one_drew() {
        let shared = Map::default();
        assert_eq!([envoy(&shared, 7), envoy(&shared, 9)], [Some(7), Some(7)]);
    }

    #[test]
    fn one_worker_renews_every_ten_seconds_and_after_a_failure_another_one_a_second_later() {
        let shared = Map::default();
        let renews = |ms| renew(&shared, at(ms));
        assert_eq!([0, 1, 9_999, 10_000, 10_001].map(renews), [true, false, false, true, false]);
        not_renewed(&shared, at(11_000));
        assert_eq!([11_999, 12_000, 12_001].map(renews), [false, true, false]);
    }
}
