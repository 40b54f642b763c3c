//! Models of the ring: what each plays through, with deaths.
//!
//! These bugs were planted, and each was seen failing:
//!
//! - the record at rest before the counter (model_put_dies, model_clear_dies);
//! - recovery that counts without looking at the sequence (the same, and model_recoverer_dies_too);
//! - recovery that skips no event, or all
//!   (model_deaths_between_the_counters_of_a_put_on_a_full_ring);
//! - no announcement before the CAS (all with deaths);
//! - adoption without looking whether the item is settled (model_adoption_loses_nothing,
//!   model_get_dies);
//! - no `base` before the take (model_a_second_get_dies);
//! - no `outgoing` before the put (model_deaths_between_...);
//! - the verdict inverted (all with deaths);
//! - a drain that takes any other epoch for void, and a lossy put that ignores a newer epoch
//!   (model_late_puts_and_slow_drains);
//! - a put that does not look at the state again after it has lost an exchange
//!   (model_a_put_against_the_end_of_a_stream).

use super::super::seat::Seat;
use super::explore::{at_least, deaths, each_death, explore, explore_at_least, two_deaths};
use super::{Case, Plan, STARTED, STOP_AT_QUEUE_END, STOPPED, case};

pub(super) const PUT_A: Plan = |actor| {
    let _ = actor.put(10);
};
pub(super) const PUT_B: Plan = |actor| {
    let _ = actor.put(20);
};
pub(super) const GET: Plan = |actor| {
    let _ = actor.get();
};
pub(super) const CLEAR: Plan = |actor| actor.clear();
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

#[test]
fn model_put_put() {
    at_least(144, 144, || {
        (1..=2).for_each(|n| {
            explore(&case(n, &[PUT_A, PUT_B]));
        });
    });
}

#[test]
fn model_put_get() {
    at_least(239, 239, || {
        (1..=2).for_each(|n| {
            explore(&case(n, &[PUT_A, GET]));
        });
        let full = Case {
            filled: 1,
            ..case(1, &[PUT_A, GET])
        };
        explore_at_least(19, &full);
    });
}

#[test]
fn model_get_get() {
    at_least(66, 66, || {
        (1..=2).for_each(|n| {
            let full = Case {
                filled: u64::from(n),
                ..case(n, &[GET, GET])
            };
            explore_at_least(11, &full);
        });
    });
}

#[test]
fn model_lossy_overwrite_against_get() {
    at_least(21_800, 21_800, || {
        (1..=2).for_each(|n| {
            let full = Case {
                filled: u64::from(n),
                lossy: true,
                ..case(n, &[PUT_A, GET])
            };
            explore_at_least(29, &full);
        });
        explore(&Case {
            filled: 1,
            lossy: true,
            ..case(1, &[PUT_A, PUT_B, GET])
        });
    });
}

#[test]
fn model_clear_and_drain() {
    at_least(20_600, 43_700, || {
        (1..=2).for_each(|n| {
            let one = Case {
                filled: 1,
                ..case(n, &[CLEAR, PUT_A])
            };
            explore_at_least(if n == 1 { 192 } else { 0 }, &one);
        });
        (1..=2).for_each(|n| {
            explore(&Case {
                filled: 1,
                ..case(n, &[CLEAR, GET])
            });
        });
        let lossy = Case {
            filled: 1,
            lossy: true,
            ..case(1, &[CLEAR, CLEAR, PUT_A])
        };
        explore_at_least(6_800, &lossy); // 14,222 before the gate was loaded after the slot
    });
}

#[test]
fn model_late_puts_and_slow_drains() {
    at_least(34_400, 74_500, || {
        explore(&Case {
            lossy: true,
            ..case(1, &[PUT_A, CLEAR, PUT_B])
        });
        explore(&case(1, &[CLEAR, CLEAR, PUT_A]));
        explore(&Case {
            filled: 1,
            ..case(2, &[CLEAR, CLEAR, PUT_A])
        });
    });
}

/// Takes an item, clears, and puts into the block in which the item was.
const GET_CLEAR_PUT: Plan = |actor| {
    let _ = actor.get();
    let _ = actor.ring.clear();
    let _ = actor.put(40);
};

/// A put on a full ring reads the header of a block that has left the slot meanwhile.
pub(super) fn next_life(lossy: bool) {
    explore(&Case {
        filled: 1,
        lossy,
        ..case(1, &[PUT_A, GET_CLEAR_PUT])
    });
}

#[test]
fn model_the_next_life_of_a_block() {
    at_least(5_400, 10_200, || {
        [false, true].into_iter().for_each(next_life)
    });
}

/// `victim` dies before each of its stores, beside each of the others, at both capacities, with the
/// ring empty and full.
fn dies_beside(victim: Plan, others: &[Plan], lossy: bool) {
    for other in others {
        for slots in 1..=2 {
            for filled in [0, u64::from(slots)] {
                let both = Case {
                    filled,
                    lossy,
                    ..case(slots, &[victim, *other])
                };
                // A get on an empty ring changes nothing in which it could die.
                let dead = deaths(&both, 0) > 0;
                assert!(dead || filled == 0, "nobody died");
            }
        }
    }
}

const ALL: &[Plan] = &[PUT_B, GET, CLEAR, RECOVER_THEN_PUT, RECOVER_THEN_GET];

#[test]
fn model_put_dies() {
    at_least(25_300, 26_700, || {
        dies_beside(PUT_A, ALL, true);
        each_death(&case(1, &[PUT_A, RECOVER_THEN_GET]), 0);
        each_death(&case(2, &[PUT_A, PUT_B]), 0);
    });
}

#[test]
fn model_get_dies() {
    at_least(11_000, 11_800, || {
        dies_beside(GET, ALL, false);
        dies_beside(GET, &[PUT_B], true);
    });
}

#[test]
fn model_clear_dies() {
    at_least(17_000, 24_200, || {
        dies_beside(CLEAR, ALL, false);
    });
}

#[test]
fn model_recoverer_dies_too() {
    at_least(45_300, 45_300, || {
        for batch in 1..=2 {
            two_deaths(&Case {
                filled: 1,
                lossy: true,
                batch,
                ..case(1, &[PUT_A, RECOVER_THEN_PUT])
            });
            two_deaths(&Case {
                filled: 1,
                batch,
                ..case(1, &[GET, RECOVER_THEN_GET])
            });
        }
    });
}

#[test]
fn model_adoption_loses_nothing() {
    at_least(35_100, 35_100, || {
        for batch in 1..=2 {
            let case = |plans| Case {
                filled: 1,
                at_least_once: true,
                batch,
                ..case(1, plans)
            };
            two_deaths(&case(&[GET, ADOPT]));
        }
        let mut two = Case {
            filled: 1,
            at_least_once: true,
            ..case(1, &[GET, ADOPT, ADOPT])
        };
        for life in 4..8 {
            two.plans[0].1 = Some(life);
            explore(&two);
        }
    });
}

// ---------------------------------------------------------------- blocks of two items

/// Acknowledges one item of its block and leaves the rest.
const GET_ONE: Plan = |actor| {
    if actor.take().is_ok() {
        let mut seat = std::mem::replace(&mut actor.seat, Seat::gone(0));
        actor.consume(&mut seat, 1);
        actor.leave(seat);
    }
};

fn pairs(slots: u32, filled: u64, plans: &[Plan]) -> Case {
    Case {
        batch: 2,
        filled,
        ..case(slots, plans)
    }
}

#[test]
fn model_blocks_of_two_are_accounted_for() {
    at_least(3_000, 4_800, || {
        for slots in 1..=2 {
            explore(&pairs(slots, 0, &[PUT_A, PUT_B]));
            explore(&pairs(slots, 1, &[PUT_A, GET]));
            explore(&pairs(slots, u64::from(slots), &[GET, CLEAR]));
            explore(&Case {
                lossy: true,
                ..pairs(slots, u64::from(slots), &[PUT_A, GET])
            });
            explore(&Case {
                lossy: true,
                ..pairs(slots, u64::from(slots), &[PUT_A, CLEAR])
            });
        }
    });
}

#[test]
fn model_deaths_between_the_counters_of_a_put_on_a_full_ring() {
    at_least(26_000, 37_200, || {
        for other in [GET, CLEAR, RECOVER_THEN_PUT] {
            each_death(
                &Case {
                    lossy: true,
                    ..pairs(1, 1, &[PUT_A, other])
                },
                0,
            );
        }
        // The oldest block is void: replaced, not dropped.
        const CLEAR_THEN_PUT: Plan = |actor| {
            let _ = actor.ring.clear();
            let _ = actor.put(40);
        };
        for other in [GET, PUT_B, RECOVER_THEN_PUT] {
            each_death(&pairs(1, 1, &[CLEAR_THEN_PUT, other]), 0);
        }
        two_deaths(&pairs(1, 1, &[CLEAR_THEN_PUT, RECOVER_THEN_PUT]));
    });
}

/// Checks that what an endpoint got before is not taken for an acknowledgement of what it has in
/// hand.
#[test]
fn model_a_second_get_dies() {
    at_least(12_900, 12_900, || {
        const GET_TWICE: Plan = |actor| {
            let _ = actor.get();
            let _ = actor.get();
        };
        for batch in 1..=2 {
            each_death(
                &Case {
                    batch,
                    ..case_filled(2, &[GET_TWICE, RECOVER_THEN_PUT])
                },
                0,
            );
        }
    });
}

fn case_filled(slots: u32, plans: &[Plan]) -> Case {
    Case {
        filled: u64::from(slots),
        ..case(slots, plans)
    }
}

#[test]
fn model_the_rest_of_a_block() {
    at_least(19_700, 20_900, || {
        for at_least_once in [false, true] {
            for other in [RECOVER_THEN_GET, CLEAR, ADOPT] {
                each_death(
                    &Case {
                        at_least_once,
                        ..pairs(1, 1, &[GET_ONE, other])
                    },
                    0,
                );
            }
            two_deaths(&Case {
                at_least_once,
                ..pairs(
                    1,
                    1,
                    &[
                        GET_ONE,
                        if at_least_once {
                            ADOPT
                        } else {
                            RECOVER_THEN_GET
                        },
                    ],
                )
            });
        }
    });
}

// ------------------------------------------------------------- several seats for one participant

/// Two blocks in hand, the older one given back (or lost), the other acknowledged.
const TAKE_TWO: Plan = |actor| {
    let Some(second) = actor.second_seat() else {
        return;
    };
    if actor.take().is_err() {
        return actor.leave(second);
    }
    let first = std::mem::replace(&mut actor.seat, second);
    let another = actor.get();
    actor.leave(first);
    let _ = another;
};

/// Gives the block back: a free seat first, then the old one is left.
const NACK: Plan = |actor| {
    if actor.take().is_err() {
        return;
    }
    let Some(refuge) = actor.second_seat() else {
        return;
    };
    let old = std::mem::replace(&mut actor.seat, refuge);
    actor.leave(old);
    let _ = actor.put(50);
};

#[test]
fn model_two_blocks_in_hand() {
    at_least(8_200, 8_200, || {
        for at_least_once in [false, true] {
            for batch in 1..=2 {
                let case = Case {
                    filled: 2,
                    at_least_once,
                    batch,
                    ..case(2, &[TAKE_TWO, PUT_A])
                };
                each_death(&case, 0);
            }
        }
    });
}

#[test]
fn model_given_back_and_adopted() {
    at_least(60_000, 60_000, || {
        let nack = |plans| Case {
            filled: 1,
            at_least_once: true,
            ..case(1, plans)
        };
        two_deaths(&nack(&[NACK, ADOPT]));
        let two_adopters = Case {
            forced: 1,
            ..nack(&[NACK, ADOPT, ADOPT])
        };
        explore(&two_adopters);
        explore(&nack(&[NACK, CLEAR]));
    });
}

// ---------------------------------------------------------------- the end of a stream

const STOP: Plan = |actor| actor.set_state(STARTED, STOP_AT_QUEUE_END);
const STOP_AND_GET: Plan = |actor| {
    actor.set_state(STARTED, STOP_AT_QUEUE_END);
    actor.get_to_the_end(true);
};
/// One consumer of several.
const STOP_AND_GET_TOO: Plan = |actor| {
    actor.set_state(STARTED, STOP_AT_QUEUE_END);
    actor.get_to_the_end(false);
};
const GET_TO_THE_END: Plan = |actor| actor.get_to_the_end(true);
const GET_TO_THE_END_TOO: Plan = |actor| actor.get_to_the_end(false);
const STOP_GET_AND_START: Plan = |actor| {
    actor.set_state(STARTED, STOP_AT_QUEUE_END);
    actor.get_to_the_end(true);
    actor.set_state(STOP_AT_QUEUE_END, STOPPED);
    actor.set_state(STOPPED, STARTED);
};
const RECOVER_AND_GET_TO_THE_END: Plan = |actor| {
    actor.recover();
    actor.get_to_the_end(true);
};

fn ending(slots: u32, plans: &[Plan]) -> Case {
    Case {
        ends: true,
        ..case(slots, plans)
    }
}

#[test]
fn model_a_put_against_the_end_of_a_stream() {
    at_least(6_700, 7_200, || {
        for slots in 1..=2 {
            for filled in 0..=1 {
                let end = |plans| Case {
                    filled,
                    ..ending(slots, plans)
                };
                explore(&end(&[PUT_A, STOP_AND_GET]));
                explore(&end(&[PUT_A, STOP_GET_AND_START]));
                explore(&Case {
                    lossy: true,
                    ..end(&[PUT_A, STOP_AND_GET])
                });
                explore(&Case {
                    batch: 2,
                    ..end(&[PUT_A, STOP_AND_GET])
                });
            }
        }
    });
}

#[test]
fn model_the_end_of_a_stream_among_three() {
    at_least(78_600, 86_200, || {
        explore(&ending(1, &[PUT_A, STOP, GET_TO_THE_END]));
        explore(&ending(1, &[PUT_A, STOP_AND_GET_TOO, GET_TO_THE_END_TOO]));
        explore(&ending(1, &[PUT_A, PUT_B, STOP_AND_GET]));
    });
}

#[test]
fn model_a_death_at_the_end_of_a_stream() {
    at_least(18_800, 18_800, || {
        for slots in 1..=2 {
            each_death(&ending(slots, &[STOP_AND_GET_TOO, PUT_A]), 0);
            each_death(&ending(slots, &[PUT_A, STOP_AND_GET]), 0);
        }
        two_deaths(&ending(1, &[STOP_AND_GET_TOO, RECOVER_AND_GET_TO_THE_END]));
    });
}
