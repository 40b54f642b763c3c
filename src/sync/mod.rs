//! What one process needs to agree with another: atomics and the event word.
//!
//! This is the only door to atomics. Every store and compare-and-swap on shared words goes through
//! [`atomic`], so that the models (`cfg(all(test, loom))`) see each of them and can kill a
//! participant before it. Nothing here knows of rings or of files' contents.

#[cfg(not(all(test, loom)))]
pub(crate) mod atomic {
    //! Plain `core` atomics. Each function is the operation that it names and nothing else. (In the
    //! fuzzer the calling thread may die before each store and compare-and-swap, see `mortal`.)
    pub(crate) use core::sync::atomic::{AtomicU32, AtomicU64, Ordering, compiler_fence, fence};

    /// Plain or release store.
    #[inline(always)]
    pub(crate) fn store(word: &AtomicU64, value: u64, ordering: Ordering) {
        #[cfg(fuzzing)]
        if !super::mortal::mortal() {
            return;
        }
        word.store(value, ordering);
    }

    /// [`store`] of a 32-bit word.
    #[inline(always)]
    pub(crate) fn store32(word: &AtomicU32, value: u32, ordering: Ordering) {
        #[cfg(fuzzing)]
        if !super::mortal::mortal() {
            return;
        }
        word.store(value, ordering);
    }

    /// Sequentially consistent load.
    #[inline(always)]
    pub(crate) fn load_sc(word: &AtomicU64) -> u64 {
        word.load(Ordering::SeqCst)
    }

    /// Sequentially consistent compare-and-swap; the error is the value found.
    #[inline(always)]
    pub(crate) fn cas_sc(word: &AtomicU64, old: u64, new: u64) -> Result<u64, u64> {
        #[cfg(fuzzing)]
        if !super::mortal::mortal() {
            return Ok(old);
        }
        word.compare_exchange(old, new, Ordering::SeqCst, Ordering::SeqCst)
    }

    /// [`load_sc`] for the 32-bit event words.
    #[inline(always)]
    pub(crate) fn load32_sc(word: &AtomicU32) -> u32 {
        word.load(Ordering::SeqCst)
    }

    /// [`cas_sc`] for the 32-bit event words.
    #[inline(always)]
    pub(crate) fn cas32_sc(word: &AtomicU32, old: u32, new: u32) -> Result<u32, u32> {
        #[cfg(fuzzing)]
        if !super::mortal::mortal() {
            return Ok(old);
        }
        word.compare_exchange(old, new, Ordering::SeqCst, Ordering::SeqCst)
    }

    /// `times` pause instructions.
    #[inline]
    pub(crate) fn pause(times: u32) {
        for _ in 0..times {
            core::hint::spin_loop();
        }
    }
}

#[cfg(all(test, loom))]
#[path = "checked.rs"]
pub(crate) mod atomic;
pub(crate) mod event;
#[cfg(any(fuzzing, all(test, loom)))]
pub mod mortal;
pub(crate) mod pair;
