//! What makes all children of one operation take the same way, instruction by instruction: their own allocator and their own clock.
//!
//! A child is forked from a parent whose heap has seen other things each time; and the clock's code takes other turns at other moments.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

const ARENA: usize = 16 << 20;

/// From now on this process, a forked child, is like its siblings.
pub(crate) fn begin() {
    ALLOCATOR
        .next
        .store(ALLOCATOR.arena.get().expose_provenance(), Ordering::Relaxed);
}

/// The system's allocator; in a child one that gives out its arena from one end to the other.
struct Allocator {
    /// Where the next allocation of a child begins; 0: this is no child.
    next: AtomicUsize,
    arena: UnsafeCell<[u8; ARENA]>,
}

// SAFETY: the bytes of the arena are handed out once each, by an atomic counter.
unsafe impl Sync for Allocator {}

#[global_allocator]
static ALLOCATOR: Allocator = Allocator {
    next: AtomicUsize::new(0),
    arena: UnsafeCell::new([0; ARENA]),
};

// SAFETY: either the system's allocator, or (in a forked child, which gives nothing back) pieces of the arena that do not overlap, aligned as asked.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let next = self.next.load(Ordering::Relaxed);
        if next == 0 {
            // SAFETY: the caller's promise is passed on.
            return unsafe { System.alloc(layout) };
        }
        let start = next.next_multiple_of(layout.align());
        let end = start + layout.size();
        self.next.store(end, Ordering::Relaxed);
        let arena = self.arena.get() as usize;
        if end <= arena + size_of_val(&self.arena) {
            std::ptr::with_exposed_provenance_mut(start)
        } else {
            std::ptr::null_mut()
        }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        if self.next.load(Ordering::Relaxed) == 0 {
            // SAFETY: the caller's promise is passed on; in a parent all comes from the system.
            unsafe { System.dealloc(pointer, layout) };
        }
    }
}

/// Nanoseconds on a child's clock.
static CLOCK: AtomicI64 = AtomicI64::new(0);

/// Stands in for the C library's function, which the standard library calls: the kernel's time, and in a child a clock that goes on by 100 us whenever it is looked at.
///
/// # Safety
/// As the C library's: `time` is a timespec.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn clock_gettime(
    clock: libc::clockid_t,
    time: *mut libc::timespec,
) -> libc::c_int {
    if ALLOCATOR.next.load(Ordering::Relaxed) == 0 {
        // SAFETY: the caller's promise is passed on.
        return unsafe { libc::syscall(libc::SYS_clock_gettime, clock, time) } as libc::c_int;
    }
    let now = CLOCK.fetch_add(100_000, Ordering::Relaxed);
    let now = libc::timespec {
        tv_sec: 1_000_000 + now / 1_000_000_000,
        tv_nsec: now % 1_000_000_000,
    };
    // SAFETY: the caller's promise.
    unsafe { time.write(now) };
    0
}
