//! Atomics under loom, which tries the schedules of a model and the values that its loads may see,
//! or under shuttle, which tries schedules at random.
//!
//! loom 0.7 looks for orders to reverse with one *last access* for each word. A thread's own load
//! before its store or compare-and-swap takes that place, and the other thread's load is forgotten:
//! of two threads that both load and then swap, one order was tried. Two things mend it.
//! - A sequentially consistent load is a read-modify-write that changes nothing, which loom never
//!   forgets. It sees the newest value, as it must, for all stores to such words are
//!   compare-and-swaps.
//! - Any other load may see an old value, so it cannot be one. Each access to a word stores to a
//!   second word of its own, its *mark*. The mark orders nothing (it is Relaxed, and never loaded),
//!   but two accesses to it can be told apart by their order. No thread switch is tried between an
//!   access and its mark.
//!
//! loom takes SeqCst accesses for acquire and release. There are two passes, and each model runs in
//! both:
//! - [`Pass::Fenced`]: between SeqCst fences, which is more than the program has;
//! - [`Pass::Bare`], chosen with `PRODCON_LOOM_FENCES=0`: as acquire and release, which is less.
//!   Here other words' orderings are tested, which the fences hide.
//!
//! shuttle takes every access for sequentially consistent, and switches threads at each, so it needs
//! neither marks nor fences. It tests no orderings.

use super::mortal::mortal;
#[cfg(not(shuttle))]
use loom as engine;
#[cfg(shuttle)]
use shuttle as engine;

use engine::sync::Mutex;
pub(crate) use engine::sync::atomic::{AtomicU32, Ordering};
use engine::sync::atomic::{AtomicU64 as Word, fence as model_fence};
use std::cell::Cell;

/// How sequentially consistent accesses are done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pass {
    Fenced,
    Bare,
}

/// Orderings that a test makes weaker, to see that a model fails then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weaker {
    Nothing,
    /// Acquire loads are Relaxed.
    Loads,
    /// Release stores are Relaxed.
    Stores,
    /// Compare-and-swaps are Acquire: they release nothing.
    NoRelease,
    /// Compare-and-swaps are Release, sequentially consistent loads Relaxed: they acquire nothing.
    NoAcquire,
    /// Sequentially consistent loads are Acquire and may see old values.
    OldValues,
    /// The fences of this ordering are missing.
    NoFence(Ordering),
    /// A compare-and-swap is a load and, later, a store.
    TwoSteps,
}

thread_local! {
    // loom runs all threads of a model in the one that checks it.
    static PASS: Cell<Pass> = Cell::new(match std::env::var("PRODCON_LOOM_FENCES").as_deref() {
        Ok("0") => Pass::Bare,
        _ => Pass::Fenced,
    });
    static WEAKER: Cell<Weaker> = const { Cell::new(Weaker::Nothing) };
}

/// The pass that this thread's models run in.
pub(crate) fn pass() -> Pass {
    PASS.get()
}

/// Has this thread's models run bare, with these orderings weaker, until it is dropped.
pub(crate) fn weaken(weaker: Weaker) -> impl Drop {
    struct Before(Pass);
    impl Drop for Before {
        fn drop(&mut self) {
            PASS.set(self.0);
            WEAKER.set(Weaker::Nothing);
        }
    }
    WEAKER.set(weaker);
    Before(PASS.replace(Pass::Bare))
}

fn weaker(than: Weaker) -> bool {
    WEAKER.get() == than
}

/// A word whose accesses loom tells apart.
#[derive(Debug)]
pub(crate) struct AtomicU64 {
    value: Word,
    mark: Word,
    /// Taken by every compare-and-swap, if there is one.
    lock: Option<Mutex<()>>,
}

impl AtomicU64 {
    pub(crate) fn new(value: u64) -> Self {
        Self {
            value: Word::new(value),
            mark: Word::new(0),
            lock: None,
        }
    }

    /// Makes the word of a pair, see [`cas_both`].
    pub(crate) fn locked(value: u64) -> Self {
        Self {
            lock: Some(Mutex::new(())),
            ..Self::new(value)
        }
    }

    pub(crate) fn load(&self, ordering: Ordering) -> u64 {
        let ordering = if weaker(Weaker::Loads) {
            Ordering::Relaxed
        } else {
            ordering
        };
        let value = self.value.load(ordering);
        self.mark();
        value
    }

    pub(crate) fn store(&self, value: u64, ordering: Ordering) {
        let ordering = if weaker(Weaker::Stores) {
            Ordering::Relaxed
        } else {
            ordering
        };
        self.value.store(value, ordering);
        self.mark();
    }

    /// Is done together with the access before it. What loom would try before the mark, it tries
    /// before that access.
    fn mark(&self) {
        #[cfg(not(shuttle))]
        {
            loom::stop_exploring();
            self.mark.store(0, Ordering::Relaxed);
            loom::explore();
        }
    }
}

pub(crate) fn compiler_fence(_: Ordering) {}

pub(crate) fn fence(ordering: Ordering) {
    if !weaker(Weaker::NoFence(ordering)) {
        model_fence(ordering);
    }
}

pub(crate) fn store(word: &AtomicU64, value: u64, ordering: Ordering) {
    if mortal() {
        word.store(value, ordering);
    }
}

/// [`store`] of a 32-bit word.
pub(crate) fn store32(word: &AtomicU32, value: u32, ordering: Ordering) {
    if mortal() {
        word.store(value, ordering);
    }
}

fn fenced<R>(access: impl FnOnce() -> R) -> R {
    let fenced = PASS.get() == Pass::Fenced;
    if fenced {
        model_fence(Ordering::SeqCst);
    }
    let result = access();
    if fenced {
        model_fence(Ordering::SeqCst);
    }
    result
}

/// Orderings of a compare-and-swap that succeeds, and of one that fails.
fn swap() -> (Ordering, Ordering) {
    match WEAKER.get() {
        Weaker::NoRelease => (Ordering::Acquire, Ordering::Acquire),
        Weaker::NoAcquire => (Ordering::Release, Ordering::Relaxed),
        _ => (Ordering::SeqCst, Ordering::SeqCst),
    }
}

/// Of a load that is done as a read-modify-write. As a load it releases nothing.
fn look() -> Ordering {
    if weaker(Weaker::NoAcquire) {
        Ordering::Relaxed
    } else {
        Ordering::Acquire
    }
}

pub(crate) fn load_sc(word: &AtomicU64) -> u64 {
    if weaker(Weaker::OldValues) {
        return word.load(Ordering::Acquire);
    }
    let value = fenced(|| word.value.fetch_add(0, look()));
    word.mark();
    value
}

pub(crate) fn cas_sc(word: &AtomicU64, old: u64, new: u64) -> Result<u64, u64> {
    if !mortal() {
        return Ok(old);
    }
    let _turn = word.lock.as_ref().map(|lock| lock.lock().unwrap());
    swap_value(word, old, new)
}

fn swap_value(word: &AtomicU64, old: u64, new: u64) -> Result<u64, u64> {
    let (success, failure) = swap();
    let result = fenced(|| {
        if weaker(Weaker::TwoSteps) {
            let found = word.value.load(Ordering::Acquire);
            if found != old {
                return Err(found);
            }
            word.value.store(new, Ordering::Release);
            return Ok(old);
        }
        word.value.compare_exchange(old, new, success, failure)
    });
    word.mark();
    result
}

/// Compare-and-swap of two words at once: it compares the first and stores the second, then the
/// first. The first has a lock. The second has changed only if the first has, which is checked.
pub(crate) fn cas_both(
    first: &AtomicU64,
    second: &AtomicU64,
    old: (u64, u64),
    new: (u64, u64),
) -> Result<(), u64> {
    if !mortal() {
        return Ok(());
    }
    let _turn = first.lock.as_ref().unwrap().lock().unwrap();
    let found = load_sc(first);
    if found != old.0 {
        return Err(found);
    }
    let beside = second.value.fetch_add(0, Ordering::Relaxed); // the newest value
    assert_eq!(
        beside, old.1,
        "the word is the one seen, and the copy is not"
    );
    // Relaxed: the swap that follows releases it.
    second.store(new.1, Ordering::Relaxed);
    swap_value(first, old.0, new.0).map(drop)
}

pub(crate) fn load32_sc(word: &AtomicU32) -> u32 {
    if weaker(Weaker::OldValues) {
        return word.load(Ordering::Acquire);
    }
    fenced(|| word.fetch_add(0, look()))
}

pub(crate) fn cas32_sc(word: &AtomicU32, old: u32, new: u32) -> Result<u32, u32> {
    if !mortal() {
        return Ok(old);
    }
    let (success, failure) = swap();
    fenced(|| word.compare_exchange(old, new, success, failure))
}

pub(crate) fn pause(_: u32) {}
