//! Models of looks without taking: what an observer sees is whole, and the item of its position.
//!
//! A block that has left its slot is written by its new holder while the observer still reads. Seen
//! failing (`weaker`): no release fence after an exchange, none when a seat changes hands, no
//! acquire fence before the second look. Also seen failing: no second look.

use super::super::End;
use super::cases::{CLEAR, PUT_A};
use super::explore::{at_least, explore};
use super::{Case, Plan, case};

const LATEST: Plan = |actor| actor.observe(End::Newest);
const PEEK: Plan = |actor| actor.observe(End::Oldest);
/// The second put writes into the block that the first one received.
const PUT_TWICE: Plan = |actor| {
    let _ = actor.put(10);
    let _ = actor.put(20);
};
/// The put writes into the block that the get received.
const GET_THEN_PUT: Plan = |actor| {
    let _ = actor.get();
    let _ = actor.put(30);
};
/// Takes a seat, which may be that of a participant that has just died, and writes into its block.
const PUT_FROM_ANOTHER_SEAT: Plan = |actor| {
    if let Some(seat) = actor.second_seat() {
        let first = std::mem::replace(&mut actor.seat, seat);
        let _ = actor.put(40);
        let second = std::mem::replace(&mut actor.seat, first);
        actor.leave(second);
    }
};

fn observed(slots: u32, lossy: bool, plans: &[Plan]) -> Case {
    Case {
        filled: u64::from(slots),
        lossy,
        observed: true,
        ..case(slots, plans)
    }
}

pub(super) fn puts_beside_an_observer() {
    explore(&observed(1, true, &[PUT_TWICE, LATEST]));
}

#[test]
fn model_latest_beside_lossy_puts() {
    at_least(17_800, 18_300, || {
        for slots in 1..=2 {
            explore(&observed(slots, true, &[PUT_TWICE, LATEST]));
        }
    });
}

#[test]
fn model_peek_beside_a_get_and_a_put() {
    at_least(46_000, 68_900, || {
        for slots in 1..=2 {
            explore(&observed(slots, false, &[GET_THEN_PUT, PEEK]));
            explore(&observed(slots, false, &[GET_THEN_PUT, LATEST]));
        }
    });
}

#[test]
fn model_looks_beside_a_clear() {
    at_least(9_900, 16_500, || {
        for look in [PEEK, LATEST] {
            explore(&observed(1, false, &[CLEAR, look]));
            explore(&observed(2, true, &[CLEAR, look]));
        }
    });
}

/// The participant that takes a dead one's seat writes into the block that the dead one received.
pub(super) fn a_seat_changes_hands_beside_an_observer() {
    let mut case = observed(1, true, &[PUT_A, PUT_FROM_ANOTHER_SEAT, LATEST]);
    case.plans[0].1 = Some(3); // after its exchange
    assert!(explore(&case), "nobody died");
}

#[test]
fn model_latest_while_a_seat_changes_hands() {
    at_least(7_000, 7_800, a_seat_changes_hands_beside_an_observer);
}
