//! Simulated kills, for the fuzzer (`cfg(fuzzing)`) and the models (`cfg(loom)`): a thread that may die before any store or compare-and-swap on shared
//! words.
//!
//! Death is an unwinding with a payload of its own, caught by [`live`]. Invariants: from the death until `live` returns the thread changes no shared word and no lock
//! (stores and exchanges are swallowed here; handles answer as forked copies do, so that no Drop acknowledges or gives back anything); what the dead one held is
//! then dropped by [`abandon`], which is to the others what the kernel's clean-up is: mapping and description go, and with them the locks; nothing is written.
//! A model's participant has no handles to abandon: it unlocks its seats when `live` has returned.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Life {
    Endless,
    /// Stores and compare-and-swaps that may still be done.
    Left(u32),
    Dead,
}

#[cfg(loom)]
use loom::thread_local;

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

/// Called before each shared store and compare-and-swap: the thread may die here. False: it is dead, and nothing is to be done.
#[inline]
pub(crate) fn mortal() -> bool {
    match life() {
        Life::Endless => true,
        Life::Left(0) => {
            set_life(Life::Dead);
            resume_unwind(Box::new(Death)) // no panic hook: nothing is printed, and the fuzzer does not take it for a crash
        }
        Life::Left(left) => {
            set_life(Life::Left(left - 1));
            true
        }
        Life::Dead => false,
    }
}

/// The thread plays dead: between a death and the end of [`live`], and in [`abandon`].
#[inline]
pub(crate) fn dead() -> bool {
    life() == Life::Dead
}

/// Runs `act` with so many stores and compare-and-swaps to live. `None`: it died in the middle; the caller then [`abandon`]s every handle that the dead one used.
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

/// Drops a handle, a guard or several as a kill does.
pub fn abandon<T>(killed: T) {
    let before = life();
    set_life(Life::Dead);
    drop(killed);
    set_life(before);
}
