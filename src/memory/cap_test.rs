#![allow(clippy::unwrap_used, clippy::panic, clippy::arithmetic_side_effects)]

use super::*;
use crate::memory::cap_bytes::IDLE_PLACES;
use crate::memory::shared::Version;
use crate::worker::fake::Map;
use std::cell::Cell;

fn pax(text: &str) -> Pax {
    text.parse().unwrap()
}

fn day(text: &str) -> UtcDay {
    format!("{text}T00:00:00Z").parse::<crate::base::clock::Moment>().unwrap().day()
}

fn t(ms: u64) -> Tick {
    Tick::from_ms(ms)
}

const TODAY: &str = "2026-11-24";

fn claim(tag: u64) -> Claim<'static> {
    Claim { account: "acme", utc_day: day(TODAY), tag: Tag(tag) }
}

fn standing(utc_day: &str, spent: &str, account_seq: u64) -> Standing {
    Standing { utc_day: day(utc_day), spent_pax: pax(spent), account_seq, epoch: 7 }
}

/// The same standing in another epoch: that of a restored ledger, or one before.
fn of_epoch(epoch: u64, standing: Standing) -> Standing {
    Standing { epoch, ..standing }
}

fn known(spent: &str) -> Map {
    let shared = Map::default();
    learn(&shared, "acme", &standing(TODAY, spent, 1), t(1));
    shared
}

fn try_reserve(shared: &impl SharedData, tag: u64, amount: &str) -> Reserved {
    reserve(shared, &claim(tag), pax(amount), pax("10"), t(2))
}

fn stands(shared: &Map) -> (String, String) {
    let daily = daily(shared, "acme", day(TODAY)).unwrap();
    let short = |pax: Pax| pax.to_string().trim_end_matches('0').trim_end_matches('.').to_owned();
    (short(daily.spent), short(daily.reserved))
}

fn is(spent: &str, reserved: &str) -> (String, String) {
    (spent.to_owned(), reserved.to_owned())
}

#[test]
fn nothing_is_reserved_against_a_day_of_which_the_ledger_has_said_nothing() {
    assert_eq!(try_reserve(&Map::default(), 1, "1"), Reserved::Unknown, "never heard of");
    let shared = Map::default();
    learn(&shared, "acme", &standing("2026-11-23", "3", 7), t(1));
    assert_eq!(try_reserve(&shared, 1, "1"), Reserved::Unknown, "only of yesterday");
    learn(&shared, "acme", &standing(TODAY, "0", 7), t(1));
    assert_eq!(try_reserve(&shared, 1, "10"), Reserved::Done, "yesterday's spending does not count");
}

#[test]
fn spending_what_waits_and_what_is_reserved_fit_the_cap_together() {
    let shared = known("4");
    assert_eq!(try_reserve(&shared, 1, "3"), Reserved::Done);
    assert_eq!(settle(&shared, &claim(1), pax("2")).unwrap(), Daily { spent: pax("6"), reserved: Pax::ZERO });
    assert_eq!(try_reserve(&shared, 2, "3"), Reserved::Done);
    let full = Daily { spent: pax("6"), reserved: pax("3") };
    assert_eq!(try_reserve(&shared, 3, "1.000000000001"), Reserved::Exceeded(full));
    assert_eq!(try_reserve(&shared, 3, "1"), Reserved::Done, "to the picopax");
    assert_eq!(
        try_reserve(&shared, 4, "0.000000000001"),
        Reserved::Exceeded(Daily { reserved: pax("4"), ..full })
    );
}

#[test]
fn a_cap_of_zero_blocks_and_an_amount_beyond_all_range_does_not_fit() {
    let shared = known("0");
    let blocked = reserve(&shared, &claim(1), pax("0.000000000001"), Pax::ZERO, t(2));
    assert_eq!(blocked, Reserved::Exceeded(Daily::default()));
    assert_eq!(reserve(&shared, &claim(1), Pax::MAX, pax("10"), t(2)), Reserved::Exceeded(Daily::default()));
    assert_eq!(reserve(&shared, &claim(1), Pax::MAX, Pax::MAX, t(2)), Reserved::Done);
    let full = Daily { spent: Pax::ZERO, reserved: Pax::MAX };
    assert_eq!(reserve(&shared, &claim(2), Pax::MAX, Pax::MAX, t(2)), Reserved::Exceeded(full));
}

#[test]
fn every_reservation_ends_once_whoever_says_so_and_how_often() {
    let shared = known("0");
    assert_eq!(try_reserve(&shared, 1, "3"), Reserved::Done);
    assert_eq!(try_reserve(&shared, 1, "3"), Reserved::Done, "the same exchange again");
    assert_eq!(stands(&shared), is("0", "3"), "is reserved once");
    assert!(release(&shared, &claim(1)));
    assert!(!release(&shared, &claim(1)));
    settle(&shared, &claim(1), pax("3"));
    assert_eq!(stands(&shared), is("0", "0"), "what was released is not settled");

    try_reserve(&shared, 2, "3");
    settle(&shared, &claim(2), pax("1"));
    settle(&shared, &claim(2), pax("1"));
    assert!(!release(&shared, &claim(2)), "what was settled is not released");
    assert_eq!(stands(&shared), is("1", "0"));
    assert!(!is_reserved(&shared, &claim(2)));
}

fn acknowledge(shared: &Map, tag: u64, standing: Option<Standing>) {
    acknowledged(shared, "acme", &[Acknowledged { tag: Tag(tag), utc_day: day(TODAY), standing }]);
}

#[test]
fn an_acknowledgement_takes_the_cost_off_the_list_and_brings_what_the_ledger_says() {
    let shared = known("4");
    try_reserve(&shared, 1, "3");
    settle(&shared, &claim(1), pax("2"));
    acknowledge(&shared, 1, Some(standing(TODAY, "6", 2)));
    acknowledge(&shared, 1, Some(standing(TODAY, "6", 2)));
    assert_eq!(stands(&shared), is("6", "0"));

    // One debit is acknowledged before its worker has settled it here, and one went to quarantine.
    try_reserve(&shared, 2, "3");
    acknowledge(&shared, 2, Some(standing(TODAY, "7", 3)));
    settle(&shared, &claim(2), pax("1"));
    try_reserve(&shared, 3, "1");
    settle(&shared, &claim(3), pax("1"));
    acknowledge(&shared, 3, None);
    assert_eq!(stands(&shared), is("7", "0"));
}

#[test]
fn the_later_standing_wins_and_what_waits_stays_on_top() {
    let shared = known("4");
    try_reserve(&shared, 1, "2");
    settle(&shared, &claim(1), pax("2"));
    learn(&shared, "acme", &standing(TODAY, "5", 9), t(3));
    learn(&shared, "acme", &standing(TODAY, "4", 8), t(4));
    assert_eq!(stands(&shared), is("7", "0"), "another Envoy's spending, and this one's");
    // The ledger has the debit already; its acknowledgement is on the way: too much for a moment, never too little.
    learn(&shared, "acme", &standing(TODAY, "7", 10), t(5));
    assert_eq!(stands(&shared), is("9", "0"));
    acknowledge(&shared, 1, Some(standing(TODAY, "7", 10)));
    assert_eq!(stands(&shared), is("7", "0"));
}

#[test]
fn a_restored_ledger_is_believed_and_what_it_said_before_comes_too_late() {
    let shared = known("4");
    learn(&shared, "acme", &standing(TODAY, "9", 30), t(2));
    try_reserve(&shared, 1, "1");
    settle(&shared, &claim(1), pax("1"));
    learn(&shared, "acme", &of_epoch(8, standing(TODAY, "2", 10)), t(3));
    assert_eq!(stands(&shared), is("3", "0"), "the backup's sum, and what waits for the ledger");
    for late in [standing(TODAY, "9", 31), of_epoch(0, standing(TODAY, "9", u64::MAX))] {
        learn(&shared, "acme", &late, t(4));
        assert_eq!(stands(&shared), is("3", "0"), "of an epoch before: {late:?}");
    }
    // An answer from before the ledger was restored: the debit waits no longer, but the sum does not change.
    acknowledge(&shared, 1, Some(standing(TODAY, "10", 32)));
    assert_eq!(stands(&shared), is("2", "0"));
    learn(&shared, "acme", &of_epoch(8, standing(TODAY, "5", 11)), t(5));
    learn(&shared, "acme", &of_epoch(8, standing(TODAY, "2", 10)), t(6));
    assert_eq!(stands(&shared), is("5", "0"), "within an epoch the numbers decide");
    learn(&shared, "acme", &of_epoch(9, standing(TODAY, "0", 0)), t(7));
    assert_eq!(stands(&shared), is("0", "0"), "the same backup again, and a day of which it knows nothing");
}

/// A place as an older module wrote it, which knew no epochs: 2 PAX spent by entry 5, one call open, one cost
/// pending.
fn place_without_epochs() -> Vec<u8> {
    let mut place = t(1).ms().to_le_bytes().to_vec();
    place.extend(b"\x04acme");
    place.extend(day(TODAY).days().to_le_bytes());
    place.extend(pax("2").picopax().to_le_bytes());
    place.extend(5_u64.to_le_bytes());
    place.extend([1, 0, 1, 0]);
    for (tag, amount) in [(1_u64, "3"), (2, "0.5")] {
        place.extend(tag.to_le_bytes());
        place.extend(pax(amount).picopax().to_le_bytes());
    }
    [&u32::try_from(place.len()).unwrap().to_le_bytes()[..], &place].concat()
}

#[test]
fn what_a_module_without_epochs_has_reserved_is_kept_by_the_next_one() {
    let shared = Map::default();
    assert!(shared.swap(&key("acme"), &place_without_epochs(), Version::ABSENT));
    assert_eq!(stands(&shared), is("2.5", "3"));
    assert!(release(&shared, &claim(1)));
    assert_eq!(stands(&shared), is("2.5", "0"), "written anew");
    learn(&shared, "acme", &standing(TODAY, "1", 1), t(3));
    assert_eq!(stands(&shared), is("1.5", "0"), "any epoch is above none");
}

#[test]
fn a_call_that_began_yesterday_settles_on_yesterday() {
    let shared = Map::default();
    learn(&shared, "acme", &standing("2026-11-23", "9", 5), t(1));
    let late = Claim { utc_day: day("2026-11-23"), ..claim(1) };
    assert_eq!(reserve(&shared, &late, pax("1"), pax("10"), t(2)), Reserved::Done);
    learn(&shared, "acme", &standing(TODAY, "0", 5), t(3));
    assert_eq!(try_reserve(&shared, 2, "10"), Reserved::Done);
    assert_eq!(settle(&shared, &late, pax("1")).unwrap().spent, pax("10"));
    assert_eq!(stands(&shared), is("0", "10"));
}

#[test]
fn a_third_day_takes_the_place_of_one_on_which_nothing_is_open() {
    let shared = Map::default();
    for (date, seq) in [("2026-11-22", 1), ("2026-11-23", 2)] {
        learn(&shared, "acme", &standing(date, "1", seq), t(1));
        let claim = Claim { utc_day: day(date), ..claim(seq) };
        assert_eq!(reserve(&shared, &claim, pax("1"), pax("10"), t(2)), Reserved::Done);
    }
    learn(&shared, "acme", &standing(TODAY, "0", 2), t(3));
    assert_eq!(try_reserve(&shared, 9, "1"), Reserved::Unknown, "both days have a call in flight");
    assert!(release(&shared, &Claim { utc_day: day("2026-11-22"), ..claim(1) }));
    learn(&shared, "acme", &standing(TODAY, "0", 2), t(3));
    assert_eq!(try_reserve(&shared, 9, "1"), Reserved::Done);
}

/// The first `n` names in the same bucket as `acme`.
fn neighbours(n: usize) -> Vec<String> {
    let all = (0..).map(|number: u32| format!("a{number}"));
    all.filter(|name| key(name) == key("acme")).take(n).collect()
}

#[test]
fn a_bucket_is_bounded_and_who_has_something_open_or_unacknowledged_is_not_evicted() {
    let shared = known("4");
    let names = neighbours(3 * IDLE_PLACES);
    try_reserve(&shared, 1, "2");
    let pending = names.first().unwrap();
    learn(&shared, pending, &standing(TODAY, "0", 0), t(1));
    let claim = Claim { account: pending, ..claim(2) };
    reserve(&shared, &claim, pax("1"), pax("10"), t(1));
    settle(&shared, &claim, pax("1"));
    for (name, ms) in names.iter().skip(1).zip(10..) {
        learn(&shared, name, &standing(TODAY, "0", 0), t(ms));
    }
    assert_eq!(stands(&shared), is("4", "2"));
    assert_eq!(daily(&shared, pending, day(TODAY)).unwrap().spent, pax("1"));
    let kept = names.iter().filter(|name| daily(&shared, name, day(TODAY)).is_some()).count();
    assert!(kept <= IDLE_PLACES, "{kept}");
    assert!(daily(&shared, names.last().unwrap(), day(TODAY)).is_some(), "the latest stays");
    let size = shared.read(&key("acme")).unwrap().len();
    assert!(size < 1_200, "{size}");
}

#[test]
fn an_account_with_too_many_exchanges_that_the_ledger_does_not_acknowledge_is_refused() {
    let shared = known("0");
    for tag in 0..ITEMS_MAX as u64 {
        assert_eq!(try_reserve(&shared, tag, "0.001"), Reserved::Done);
        settle(&shared, &claim(tag), pax("0.001"));
    }
    assert_eq!(try_reserve(&shared, 9_999_999, "0.001"), Reserved::Busy);
    acknowledge(&shared, 0, Some(standing(TODAY, "0.001", 2)));
    assert_eq!(try_reserve(&shared, 9_999_999, "0.001"), Reserved::Done);
}

/// Shared data in which another worker writes between a read and its write, a few times.
struct Racing {
    map: Map,
    races: Cell<u64>,
}

impl SharedData for Racing {
    fn get(&self, key: &str) -> Option<(Vec<u8>, Version)> {
        let got = self.map.get(key);
        if let Some(left) = self.races.get().checked_sub(1) {
            self.races.set(left);
            reserve(&self.map, &claim(1_000 + left), pax("1"), pax("10"), t(2));
        }
        got
    }

    fn swap(&self, key: &str, value: &[u8], expected: Version) -> bool {
        self.map.swap(key, value, expected)
    }
}

#[test]
fn what_another_worker_reserves_in_between_is_seen() {
    let racing = Racing { map: known("0"), races: Cell::new(5) };
    assert_eq!(try_reserve(&racing, 1, "5"), Reserved::Done, "five others of one PAX each came between");
    assert_eq!(stands(&racing.map), is("0", "10"));
    let racing = Racing { map: known("0"), races: Cell::new(6) };
    let Reserved::Exceeded(daily) = try_reserve(&racing, 1, "5") else { panic!("overshot") };
    assert_eq!(daily.reserved, pax("6"));
}
