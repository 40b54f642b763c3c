//! Weaker orderings are found: each of these tests plants one, and a model fails because of it.

use super::case;
use super::cases::{GET, PUT_A, PUT_B, next_life};
use super::explore::explore;
use super::observers::{a_seat_changes_hands_beside_an_observer, puts_beside_an_observer};
use super::sleepers::sleepers_and_wakers;
use crate::sync::atomic::{Ordering, Weaker, weaken};

#[test]
#[should_panic(expected = "Causality violation")]
fn model_fails_by_an_exchange_that_releases_nothing() {
    let _weaker = weaken(Weaker::NoRelease);
    explore(&case(1, &[PUT_A, GET]));
}

#[test]
#[should_panic(expected = "Causality violation")]
fn model_fails_by_an_exchange_that_acquires_nothing() {
    let _weaker = weaken(Weaker::NoAcquire);
    explore(&case(1, &[PUT_A, GET]));
}

#[test]
#[should_panic(expected = "an item's epoch is newer than the queue's")]
fn model_fails_by_a_header_that_is_loaded_relaxed() {
    let _weaker = weaken(Weaker::Loads);
    next_life(false);
}

#[test]
#[should_panic(expected = "an item's epoch is newer than the queue's")]
fn model_fails_by_a_header_that_is_stored_relaxed() {
    let _weaker = weaken(Weaker::Stores);
    next_life(false);
}

#[test]
#[should_panic(expected = "deadlock")]
fn model_fails_by_an_event_word_that_is_not_sequentially_consistent() {
    let _weaker = weaken(Weaker::OldValues);
    sleepers_and_wakers(1, false);
}

#[test]
#[should_panic(expected = "an observer saw a torn item")]
fn model_fails_by_an_exchange_without_a_release_fence() {
    let _weaker = weaken(Weaker::NoFence(Ordering::Release));
    puts_beside_an_observer();
}

#[test]
#[should_panic(expected = "an observer saw a torn item")]
fn model_fails_by_a_second_look_without_an_acquire_fence() {
    let _weaker = weaken(Weaker::NoFence(Ordering::Acquire));
    puts_beside_an_observer();
}

#[test]
#[should_panic(expected = "an observer saw a torn item")]
fn model_fails_by_a_seat_that_changes_hands_without_a_release_fence() {
    let _weaker = weaken(Weaker::NoFence(Ordering::Release));
    a_seat_changes_hands_beside_an_observer();
}

#[test]
#[should_panic(expected = "is nowhere")]
fn model_fails_by_a_compare_and_swap_in_two_steps() {
    let _weaker = weaken(Weaker::TwoSteps);
    explore(&case(1, &[PUT_A, PUT_B]));
}
