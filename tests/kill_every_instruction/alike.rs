//! What makes all children of one operation take the same way, instruction by instruction: their own
//! allocator, their own clock and their own stack.
//!
//! A child is forked from a parent whose heap has seen other things each time, and from other depths
//! of its stack; and the clock's code takes other turns at other moments. (The C library's `memmove`
//! copies from the other end if source and destination lie a little more than a multiple of 4096 bytes
//! apart. So the way depends on where the stack lies and how deep it is.)

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicI64, AtomicPtr, AtomicUsize, Ordering};

const ARENA: usize = 16 << 20;
const STACK_SIZE: usize = 1 << 20;

/// Ends this process, a forked child with one thread, with what `body` returns. From now on it is like
/// its siblings.
pub(crate) fn run(body: impl FnOnce() -> i32) -> ! {
    ALLOCATOR
        .next
        .store(ALLOCATOR.arena.get().expose_provenance(), Ordering::Relaxed);
    let mut body = Some(body);
    let mut enter = || {
        let body = body.take().expect("entered once");
        // A panic must not run into the parent's code.
        let status = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body)).unwrap_or(101);
        // SAFETY: ends the child without running anything else of the test program.
        unsafe { libc::_exit(status) };
    };
    let mut enter: &mut dyn FnMut() = &mut enter;
    let mut context = MaybeUninit::<libc::ucontext_t>::uninit();
    // SAFETY: writes the whole context, which is writable.
    let got = unsafe { libc::getcontext(context.as_mut_ptr()) };
    assert_eq!(got, 0, "getcontext: {}", std::io::Error::last_os_error());
    // SAFETY: getcontext has written it.
    let context = unsafe { context.assume_init_mut() };
    context.uc_stack.ss_sp = STACK.0.get().cast();
    context.uc_stack.ss_size = STACK_SIZE;
    ENTER.store((&raw mut enter).cast(), Ordering::Relaxed);
    // SAFETY: the context is a valid one, its stack is a static that nothing else uses, and
    // `entered` takes no arguments.
    unsafe { libc::makecontext(context, entered, 0) };
    // SAFETY: the context was made just now; `entered` never returns into it.
    unsafe { libc::setcontext(context) };
    unreachable!("setcontext: {}", std::io::Error::last_os_error())
}

/// What `run` leaves for the function that begins the new stack: a `&mut dyn FnMut()`.
static ENTER: AtomicPtr<()> = AtomicPtr::new(std::ptr::null_mut());

extern "C" fn entered() {
    let enter = ENTER.load(Ordering::Relaxed).cast::<&mut dyn FnMut()>();
    // SAFETY: `run` stored it. The frame that it points into lives on, because nothing returns to it.
    unsafe { (*enter)() };
}

/// The stack of a child. Aligned, so that it lies alike in each run of a program.
#[repr(align(4096))]
struct Stack(UnsafeCell<[u8; STACK_SIZE]>);

// SAFETY: only the one thread of a child uses it, as its stack.
unsafe impl Sync for Stack {}

static STACK: Stack = Stack(UnsafeCell::new([0; STACK_SIZE]));

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
