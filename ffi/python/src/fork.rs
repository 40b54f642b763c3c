//! Which process this is: a number that a fork changes.
//!

use crate::{views, wait};
use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};

static GENERATION: AtomicU64 = AtomicU64::new(0);
static FORKS: AtomicU64 = AtomicU64::new(0);

extern "C" fn in_child() {
    GENERATION.fetch_add(1, Ordering::Relaxed); // Relaxed: a forked child has one thread
    wait::in_child();
    views::child();
}

extern "C" fn before() {
    FORKS.fetch_add(1, Ordering::Relaxed); // Relaxed: counted and read with the interpreter's lock held
    views::prepare();
}

extern "C" fn in_parent() {
    views::parent();
}

/// Counts forks from now on.
pub fn watch() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: the handlers are functions of this module, which is never unloaded.
        unsafe { libc::pthread_atfork(Some(before), Some(in_parent), Some(in_child)) };
    });
}

/// How often this process has forked, or tried to.
pub fn forks() -> u64 {
    FORKS.load(Ordering::Relaxed) // Relaxed: as where it is counted
}

/// Differs between a process and its forked children. One load.
#[inline]
pub fn generation() -> u64 {
    GENERATION.load(Ordering::Relaxed) // Relaxed: changes only where there is one thread
}
