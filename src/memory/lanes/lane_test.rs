#![allow(clippy::unwrap_used, clippy::panic, clippy::arithmetic_side_effects)]

use super::*;
use crate::base::clock::Moment;
use crate::worker::fake::Map;

fn t(ms: u64) -> Tick {
    Tick::from_ms(1_000_000 + ms)
}

const fn pax(picopax: i64) -> Pax {
    Pax::from_picopax(picopax)
}

#[test]
fn a_lane_uses_its_cells_again_and_is_bounded() {
    let shared = Map::default();
    let mut lane = Lane::take(&shared, 1, t(0)).unwrap();
    for _ in 0..10_000 {
        let cells: Vec<RecordCell> = (0..3).map(|_| lane.put_record(&shared, b"x", t(0)).unwrap()).collect();
        assert_eq!(lane.used(), 3);
        for (number, cell) in cells.into_iter().enumerate() {
            match number {
                0 => assert!(lane.clear_record(&shared, cell)),
                _ => {
                    let debit = lane.settle(&shared, cell, b"debit", t(0)).unwrap();
                    assert!(lane.clear_debit(&shared, debit));
                }
            }
        }
    }
    assert_eq!(shared.keys(), 4, "its own key, and three cells");
    let all: Vec<RecordCell> = (0..CELLS).map(|_| lane.put_record(&shared, b"x", t(0)).unwrap()).collect();
    assert!(lane.put_record(&shared, b"x", t(0)).is_none() && lane.put_debit(&shared, b"x", t(0)).is_none());
    // A settlement needs no other cell.
    let first = *all.first().unwrap();
    assert!(lane.settle(&shared, first, b"debit", t(0)).is_some());
    assert_eq!(shared.read("pax/2/open/0/0").unwrap(), b"debit");
    // A lane does not clear or overwrite a cell of another lane.
    let (mut other, cell) = (Lane::take(&shared, 2, t(0)).unwrap(), *all.last().unwrap());
    assert!(!other.clear_record(&shared, cell) && !other.clear_debit(&shared, cell.into()));
    assert!(other.settle(&shared, cell, b"debit", t(0)).is_none());
    assert_eq!(lane.used(), CELLS as usize);
    assert_eq!(shared.read("pax/2/open/0/65535").unwrap(), b"x");
}

#[test]
fn bytes_that_were_written_into_a_lost_lane_are_taken_out_unless_others_are_there() {
    let shared = Map::default();
    let mut lost = Lane::take(&shared, 1, t(0)).unwrap();
    let late = lost.put_record(&shared, b"late", t(0)).unwrap();
    let other = lost.put_debit(&shared, b"mine", t(0)).unwrap();
    shared.set("pax/2/open/0/1", b"another's");
    clear_lost(&shared, late, b"late");
    clear_lost(&shared, other, b"mine");
    let cell = |key| shared.read(key).unwrap();
    assert_eq!((cell("pax/2/open/0/0"), cell("pax/2/open/0/1")), (Vec::new(), b"another's".to_vec()));
}

#[test]
fn a_vm_that_stood_still_writes_nothing_into_a_lane_that_it_lost() {
    let shared = Map::default();
    let mut lost = Lane::take(&shared, 1, t(0)).unwrap();
    let record = lost.put_record(&shared, b"record", t(0)).unwrap();
    let heir = LaneValue { vm: 9, beat: t(11_000), sums: Sums::default() };
    shared.set("pax/2/lane/0", &heir.bytes());
    shared.set("pax/2/open/0/0", b"another's");
    assert!(lost.is_held(&shared, t(4_999)), "it need not look before");
    assert!(lost.settle(&shared, record, b"debit", t(12_000)).is_none());
    assert!(lost.put_record(&shared, b"x", t(12_000)).is_none());
    assert!(lost.put_debit(&shared, b"x", t(12_000)).is_none());
    assert!(!lost.beat(&shared, Sums::default(), t(12_000)) && !lost.is_held(&shared, t(12_000)));
    assert_eq!((shared.read("pax/2/open/0/0").unwrap(), shared.keys()), (b"another's".to_vec(), 2));
    assert_eq!(shared.read("pax/2/lane/0").unwrap(), heir.bytes());
}

#[test]
fn a_lane_whose_value_says_that_its_cells_are_empty_tells_the_truth() {
    let shared = Map::default();
    let mut lane = Lane::take(&shared, 1, t(0)).unwrap();
    let said = || LaneValue::read(&shared.read("pax/2/lane/0").unwrap()).unwrap().sums;
    assert_eq!(said(), Sums::default());
    let first = lane.put_record(&shared, b"x", t(1)).unwrap();
    assert_eq!(said().calls, 1, "before the cell is written");
    lane.put_record(&shared, b"x", t(2)).unwrap();
    assert_eq!(said().calls, 1, "it is not empty, and how much it holds is told later");
    lane.settle(&shared, first, b"debit", t(3)).unwrap();
    let debits = Sums { debits: 1, ..Sums::default() };
    assert!(lane.tell(&shared, debits, t(20)));
    assert_eq!(said(), Sums { calls: 1, ..debits });
    let version = shared.get("pax/2/lane/0").unwrap().1;
    assert!(lane.tell(&shared, debits, t(40)));
    assert_eq!(shared.get("pax/2/lane/0").unwrap().1, version, "there is nothing new to tell");
    let mut sweeping = Lane::take(&shared, 2, t(0)).unwrap();
    sweeping.put_debit(&shared, b"taken over", t(1)).unwrap();
    let says = LaneValue::read(&shared.read("pax/2/lane/1").unwrap()).unwrap().sums;
    assert_eq!(says, debits, "a debit that it takes over is told of before the cell is written");
}

#[test]
fn what_the_cells_hold_is_summed_over_all_lanes() {
    let shared = Map::default();
    let mut one = Lane::take(&shared, 1, t(0)).unwrap();
    let mut two = Lane::take(&shared, 2, t(0)).unwrap();
    let put = |lane: &mut Lane, amount| {
        let mut cell = lane.put_record(&shared, b"x", t(0)).unwrap();
        lane.reserves(&mut cell, pax(amount));
        cell
    };
    let (first, second, _) = (put(&mut one, 5), put(&mut one, 7), put(&mut two, 11));
    let no_debits = Sums::default();
    assert!(one.beat(&shared, no_debits, t(1)) && two.beat(&shared, no_debits, t(1)));
    assert_eq!(Sums::of_all(&shared, t(2)), Sums { calls: 3, reserved: pax(23), ..no_debits });
    assert!(one.clear_record(&shared, first) && one.settle(&shared, second, b"debit", t(2)).is_some());
    let early = Some(Moment::from_ms(5));
    assert!(one.beat(&shared, Sums { debits: 1, aside: 1, oldest: early, ..no_debits }, t(3)));
    assert!(two.beat(&shared, Sums { debits: 2, oldest: Some(Moment::from_ms(9)), ..no_debits }, t(3)));
    let sums = Sums { calls: 1, reserved: pax(11), debits: 3, aside: 1, oldest: early };
    assert_eq!(Sums::of_all(&shared, t(4)), sums);
    // The calls of a VM that is silent become debits.
    assert!(one.beat(&shared, no_debits, t(3_003)));
    let silent = Sums { debits: 3, aside: 0, oldest: Some(Moment::from_ms(9)), ..sums };
    assert_eq!(Sums::of_all(&shared, t(3_003)), silent);
}

#[test]
fn a_lane_of_a_module_before_says_nothing_of_its_debits() {
    let shared = Map::default();
    let mut lane = Lane::take(&shared, 1, t(0)).unwrap();
    let sums = Sums { calls: 2, reserved: pax(3), debits: 4, aside: 5, oldest: Some(Moment::from_ms(6)) };
    let value = LaneValue { vm: 1, beat: t(0), sums }.bytes();
    shared.set("pax/2/lane/0", &value[..32]);
    assert_eq!(Sums::of_all(&shared, t(0)), Sums { debits: 0, aside: 0, oldest: None, ..sums });
    shared.set("pax/2/lane/0", &value[..16]);
    assert_eq!(Sums::of_all(&shared, t(0)), Sums::default());
    assert!(lane.beat(&shared, Sums::default(), t(1)), "it is its owner's all the same");
}
