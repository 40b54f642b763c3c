//! The event word: processes sleep until something happens, and while nobody sleeps there is no
//! system call.
//!
//! Bit 0 says that somebody may be asleep. The rest is a sequence number.
//!
//! No wake-up is lost. A sleeper *always changes* the word when it registers. Then it looks at what
//! it waits for, and then it sleeps on exactly the value that it wrote. A waker first makes its
//! change (the slot's CAS, or the gate's) and then loads the word. All of these are SeqCst, so they
//! have one order:
//! - If the load comes before the registration, the change came before the sleeper's look, which
//!   therefore sees it.
//! - If the load comes after the registration, bit 0 is set, because only a waker that found nobody
//!   asleep clears it (see below). So the waker changes the word. If the sleeper has not called the
//!   kernel yet, the value differs and it does not sleep. If it sleeps, the kernel wakes it or
//!   another sleeper, which looks and takes what came.
//! - Bit 0 is cleared by a CAS from the waker's own value, after the kernel found nobody asleep. A
//!   sleeper that has registered since has changed the word, and the CAS fails.
//!
//! (Setting the bit only when it is clear loses wake-ups, because two sleepers then wait on one
//! value.) No proof covers a sleeper that is killed after the kernel counted it as woken. Therefore
//! nobody sleeps longer than a slice of 100 ms without looking.

use super::atomic::{AtomicU32, cas32_sc, load32_sc};

/// The kernel's part in waking. Only `sys::futex` sleeps.
pub(crate) trait Futex {
    /// Wakes up to `count` sleepers and returns how many.
    fn wake(&self, word: &AtomicU32, count: u32) -> u32;
}

/// Announces that the caller is about to sleep. Returns the value to sleep on. The caller looks
/// again before it sleeps.
pub(crate) fn register(word: &AtomicU32) -> u32 {
    let mut seen = load32_sc(word);
    loop {
        let new = seen.wrapping_add(2) | 1;
        match cas32_sc(word, seen, new) {
            Ok(_) => return new,
            Err(actual) => seen = actual,
        }
    }
}

/// Wakes one sleeper, if there may be one. Called after the change.
#[inline(always)]
pub(crate) fn wake_one(word: &AtomicU32, futex: &impl Futex) {
    let seen = load32_sc(word);
    if seen & 1 == 1 {
        wake_slowly(word, seen, futex);
    }
}

#[cold]
fn wake_slowly(word: &AtomicU32, mut seen: u32, futex: &impl Futex) {
    while seen & 1 == 1 {
        let new = seen.wrapping_add(2);
        match cas32_sc(word, seen, new) {
            Ok(_) => {
                if futex.wake(word, 1) == 0 {
                    // Nobody was asleep. Failure is fine: somebody registered or woke since.
                    let _ = cas32_sc(word, new, new.wrapping_add(2) & !1);
                }
                return;
            }
            Err(actual) => seen = actual,
        }
    }
}

/// Passes on a wake-up that may have been meant for a sleeper that leaves without looking. `value`
/// is what it registered. Every waker changes the word before it wakes anybody, so nobody has woken
/// this sleeper for a change that it has not seen if the word still has that value.
pub(crate) fn pass_on(word: &AtomicU32, value: u32, futex: &impl Futex) {
    let seen = load32_sc(word);
    if seen != value && seen & 1 == 1 {
        wake_slowly(word, seen, futex);
    }
}

/// Wakes all sleepers. Called after the change.
pub(crate) fn wake_all(word: &AtomicU32, futex: &impl Futex) {
    let mut seen = load32_sc(word);
    while seen & 1 == 1 {
        match cas32_sc(word, seen, seen.wrapping_add(2) & !1) {
            Ok(_) => {
                futex.wake(word, i32::MAX as u32);
                return;
            }
            Err(actual) => seen = actual,
        }
    }
}
