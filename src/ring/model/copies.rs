//! Models of slots with copies of their items: plans of `cases` once more, and those for the rule
//! that a copy may be delivered without a look at the header.
//!
//! These bugs were planted, and each was seen failing:
//!
//! - the ready word loaded once, before the walk of a put (model_a_walk_over_a_clear);
//! - no cycle is pending: the exchange that notices an epoch sets it (model_laps_between_...);
//! - copies trusted from the next cycle on (model_a_put_from_the_next_cycle);
//! - the copy loaded before the word, and after the exchange (model_copies_come_with_their_items).
//!
//! At each get `witness_live` compares the verdict with the header, and `witness_copy` the copy
//! with the block.

use super::cases::{CLEAR, GET, PUT_A, PUT_B};
use super::explore::{at_least, each_death, explore};
use super::{Case, Plan, case};
use crate::sync::atomic::{Pass, pass};

fn copies(slots: u32, filled: u64, plans: &[Plan]) -> Case {
    Case {
        filled,
        copies: true,
        ..case(slots, plans)
    }
}

fn lossy(case: Case) -> Case {
    Case {
        lossy: true,
        ..case
    }
}

/// Long plans with one forced switch less.
fn long(case: Case) -> Case {
    Case { forced: 2, ..case }
}

/// What needs three forced switches, in the first pass. In the second one that takes too long.
fn bounded(case: Case) -> Case {
    if pass() == Pass::Bare {
        long(case)
    } else {
        case
    }
}

const RECOVER_THEN_GET: Plan = |actor| {
    actor.recover();
    let _ = actor.get();
};
const RECOVER_THEN_PUT: Plan = |actor| {
    actor.recover();
    let _ = actor.put(30);
};
const ADOPT: Plan = |actor| {
    let _ = actor.adopt();
};
const NEXT_EPOCH: Plan = |actor| {
    let _ = actor.ring.clear();
};

#[test]
fn model_copies_come_with_their_items() {
    at_least(10_600, 12_400, || {
        for n in 1..=2 {
            explore(&copies(n, 0, &[PUT_A, PUT_B]));
            explore(&copies(n, 0, &[PUT_A, GET]));
            explore(&copies(n, n.into(), &[PUT_A, GET]));
            explore(&copies(n, n.into(), &[GET, GET]));
            explore(&lossy(copies(n, n.into(), &[PUT_A, GET])));
            explore(&long(copies(n, 1, &[CLEAR, PUT_A])));
            explore(&long(copies(n, 1, &[CLEAR, GET])));
        }
        explore(&long(lossy(copies(1, 1, &[PUT_A, PUT_B, GET]))));
    });
}

/// Each of three puts and gets goes to the same slot.
const LAPS: Plan = |actor| {
    for item in [50, 60, 70] {
        let _ = actor.put(item);
        let _ = actor.get();
    }
};

#[test]
fn model_a_put_paused_over_a_clear_and_laps() {
    at_least(13_900, 24_200, || {
        const CLEAR_AND_LAPS: Plan = |actor| {
            let _ = actor.ring.clear();
            LAPS(actor);
        };
        for n in 1..=2 {
            explore(&long(copies(n, 0, &[CLEAR_AND_LAPS, PUT_A])));
            explore(&long(lossy(copies(n, n.into(), &[CLEAR_AND_LAPS, PUT_A]))));
        }
    });
}

/// The exchange before which an epoch was first seen is not the one that saw it.
#[test]
fn model_laps_between_an_exchange_and_the_look_at_the_epoch() {
    at_least(32_600, 39_400, || {
        // A get that walks where it has to.
        const TWICE: Plan = |actor| (0..2).for_each(|_| _ = actor.get());
        const LAP_AND_PUT: Plan = |actor| {
            let _ = actor.put(50);
            let _ = actor.get();
            let _ = actor.put(60);
        };
        explore(&bounded(copies(1, 1, &[TWICE, LAP_AND_PUT, NEXT_EPOCH])));
    });
}

/// In the cycle after the exchange that settles the rule, a put may still come from before the
/// clear.
#[test]
fn model_a_put_from_the_next_cycle() {
    at_least(6_600, 5_800, || {
        const THRICE: Plan = |actor| (0..3).for_each(|_| _ = actor.get_by_copy());
        explore(&bounded(copies(2, 2, &[THRICE, PUT_A, NEXT_EPOCH])));
    });
}

/// A put that has to walk from the beginning, because its cursor's slot is full, walks over a
/// clear.
#[test]
fn model_a_walk_over_a_clear() {
    at_least(2_600, 3_200, || {
        const CLEAR_LAPS_AND_GET: Plan = |actor| {
            let _ = actor.ring.clear();
            LAPS(actor);
            let _ = actor.get();
        };
        explore(&long(copies(1, 1, &[CLEAR_LAPS_AND_GET, PUT_A])));
    });
}

#[test]
fn model_deaths_with_copies() {
    at_least(4_300, 4_900, || {
        for (victim, filled) in [(PUT_A, 0), (PUT_A, 1), (GET, 1), (CLEAR, 1)] {
            for other in [GET, RECOVER_THEN_PUT, RECOVER_THEN_GET] {
                each_death(&long(lossy(copies(1, filled, &[victim, other]))), 0);
            }
        }
        each_death(
            &Case {
                at_least_once: true,
                ..copies(1, 1, &[GET, ADOPT])
            },
            0,
        );
    });
}
