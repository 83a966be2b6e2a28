#![allow(clippy::unwrap_used, clippy::arithmetic_side_effects)]

use super::*;
use crate::base::clock::Moment;
use crate::memory::shared::Version;
use crate::worker::fake::Map;

const WAITING: &str = "pax/outbox/";
const ASIDE: &str = "pax/aside/";

fn t(ms: u64) -> Tick {
    Tick::from_ms(1_000_000 + ms)
}

fn id(random: u8) -> ExchangeId {
    ExchangeId::new(Moment::from_ms(1_780_000_000_000), [random; 10])
}

fn canonical(random: u8) -> String {
    format!(r#"{{"canon_v":2,"exchange_id":"{}","cost_pax":"0.5"}}"#, id(random))
}

/// Writes a debit as the module before did: the tail, then the slot.
fn put(shared: &Map, ring: &str, random: u8, claimed: bool) -> u64 {
    let tail = format!("{ring}tail");
    let number = counter(shared, &tail);
    shared.set(&tail, &(number + 1).to_le_bytes());
    let mut slot = number.to_le_bytes().to_vec();
    if claimed {
        slot.push(4);
        slot.extend_from_slice(b"acme");
        slot.extend_from_slice(&20_000u32.to_le_bytes());
        slot.extend_from_slice(&id(random).tag().0.to_le_bytes());
    } else {
        slot.push(0);
    }
    slot.extend_from_slice(canonical(random).as_bytes());
    shared.set(&format!("{ring}{}", number % SLOTS), &slot);
    number
}

fn empty(rings: &mut OldRings, shared: &Map, now: Tick) -> Vec<DebitBytes> {
    let mut taken = Vec::new();
    rings.empty(shared, now, |debit| {
        taken.push(debit);
        true
    });
    taken
}

#[test]
fn the_debits_of_the_module_before_are_taken_as_they_are_once() {
    let (shared, mut rings) = (Map::default(), OldRings::default());
    assert!(empty(&mut rings, &shared, t(0)).is_empty());
    put(&shared, WAITING, 1, true);
    put(&shared, WAITING, 2, false);
    put(&shared, ASIDE, 3, true);
    assert!((1..=3).all(|random| holds(&shared, &id(random))) && !holds(&shared, &id(4)));
    let taken = empty(&mut rings, &shared, t(1_000));
    let claim = |random| Claim { account: "acme", utc_day: UtcDay::from_days(20_000), tag: id(random).tag() };
    let half = "0.5".parse().unwrap();
    let debit =
        |claim: Option<&Claim<'_>>, random| DebitBytes::new(claim, half, canonical(random).as_bytes());
    assert_eq!(taken, [debit(Some(&claim(1)), 1), debit(None, 2), debit(Some(&claim(3)), 3)]);
    assert_eq!(rings.waiting(), 0);
    assert!((1..=3).all(|random| !holds(&shared, &id(random))));
    assert!(empty(&mut rings, &shared, t(2_000)).is_empty());
    // A VM of the other module lives on.
    put(&shared, WAITING, 5, true);
    assert_eq!(empty(&mut rings, &shared, t(3_000)).len(), 1);
}

#[test]
fn a_debit_for_which_there_is_no_cell_stays_and_is_counted() {
    let (shared, mut rings) = (Map::default(), OldRings::default());
    (1..=3).for_each(|random| assert_eq!(put(&shared, WAITING, random, true), u64::from(random) - 1));
    let mut room = 1;
    rings.empty(&shared, t(0), |_| {
        room -= 1;
        room >= 0
    });
    assert_eq!(rings.waiting(), 2);
    assert!(!holds(&shared, &id(1)) && holds(&shared, &id(2)) && holds(&shared, &id(3)));
    assert_eq!(empty(&mut rings, &shared, t(1_000)).len(), 2);
}

#[test]
fn many_are_taken_in_several_looks_around_the_end_of_the_ring() {
    let (shared, mut rings) = (Map::default(), OldRings::default());
    for end in ["head", "tail"] {
        shared.set(&format!("{WAITING}{end}"), &(SLOTS - 10).to_le_bytes());
    }
    (0..300).for_each(|number| {
        put(&shared, WAITING, u8::try_from(number % 250).unwrap(), true);
    });
    let looks: Vec<usize> = (0..3).map(|s| empty(&mut rings, &shared, t(s * 1_000)).len()).collect();
    assert_eq!(looks, [TAKEN, 300 - TAKEN, 0]);
    assert_eq!(counter(&shared, "pax/outbox/head"), SLOTS + 290);
}

#[test]
fn a_number_that_was_lost_with_its_vm_is_passed_after_a_while_and_a_late_debit_is_taken() {
    let (shared, mut rings) = (Map::default(), OldRings::default());
    // Two numbers were given out. Nothing was written under the first yet.
    shared.swap("pax/outbox/tail", &1u64.to_le_bytes(), Version::ABSENT);
    put(&shared, WAITING, 2, true);
    assert_eq!(empty(&mut rings, &shared, t(0)).len(), 1, "it does not even wait for it");
    assert_eq!(rings.waiting(), 2, "the head waits for the first");
    empty(&mut rings, &shared, t(GAP_MS - 1));
    assert_eq!(rings.waiting(), 2);
    empty(&mut rings, &shared, t(GAP_MS));
    assert_eq!(rings.waiting(), 0);
}

#[test]
fn a_slot_that_another_vm_has_taken_and_written_anew_is_left_to_it() {
    let (shared, mut rings) = (Map::default(), OldRings::default());
    put(&shared, WAITING, 1, true);
    rings.empty(&shared, t(0), |_| {
        // A VM of the other module sends the debit meanwhile, and puts another into the slot, a round later.
        let mut slot = SLOTS.to_le_bytes().to_vec();
        slot.push(0);
        shared.set("pax/outbox/0", &slot);
        true
    });
    assert_eq!(read_slot(&shared.read("pax/outbox/0").unwrap()).unwrap().0, SLOTS);
}
