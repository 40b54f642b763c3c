//! Simulated kills, for the fuzzer (`cfg(fuzzing)`) and the models (`cfg(loom)`, `cfg(shuttle)`): a thread may die
//! before any store or compare-and-swap on shared words.
//!
//! Death is an unwinding with a payload of its own, which [`live`] catches. Invariants:
//! - From the death until `live` returns, the thread changes no shared word and no lock. Stores and
//!   exchanges are swallowed here. Handles answer as forked copies do, so no Drop acknowledges or
//!   gives back anything.
//! - What the dead thread held is then dropped by [`abandon`]. To the others this is what the
//!   kernel's clean-up is: the mapping and the description go, and the locks go with them. Nothing
//!   is written.
//!
//! A model's participant has no handles to abandon. It unlocks its seats when `live` has returned.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Life {
    Endless,
    /// How many stores and compare-and-swaps may still be done.
    Left(u32),
    Dead,
}

#[cfg(all(loom, not(shuttle)))]
use loom::thread_local;
#[cfg(all(loom, shuttle))]
use shuttle::thread_local;

thread_local! {
    static LIFE: Cell<Life> = Cell::new(Life::Endless);
}

fn life() -> Life {
    LIFE.with(Cell::get)
}

fn set_life(life: Life) {
    LIFE.with(|now| now.set(life));
}

struct Death;

/// Called before each shared store and compare-and-swap. The thread may die here. False means that
/// it is dead, and nothing is to be done.
#[inline]
pub(crate) fn mortal() -> bool {
    match life() {
        Life::Endless => true,
        Life::Left(0) => {
            set_life(Life::Dead);
            // Runs no panic hook: nothing is printed, and the fuzzer does not take it for a crash.
            resume_unwind(Box::new(Death))
        }
        Life::Left(left) => {
            set_life(Life::Left(left - 1));
            true
        }
        Life::Dead => false,
    }
}

/// Returns whether the thread plays dead: between a death and the end of [`live`], and in
/// [`abandon`].
#[inline]
pub(crate) fn dead() -> bool {
    life() == Life::Dead
}

/// Runs `act` with this many stores and compare-and-swaps to live. `None` means that it died in the
/// middle. The caller then [`abandon`]s every handle that the dead one used.
pub fn live<R>(life: u32, act: impl FnOnce() -> R) -> Option<R> {
    set_life(Life::Left(life));
    let result = catch_unwind(AssertUnwindSafe(act));
    set_life(Life::Endless);
    match result {
        Ok(result) => Some(result),
        Err(payload) if payload.is::<Death>() => None,
        Err(payload) => resume_unwind(payload),
    }
}

/// Drops one or several handles or guards as a kill does.
pub fn abandon<T>(killed: T) {
    let before = life();
    set_life(Life::Dead);
    drop(killed);
    set_life(before);
}
