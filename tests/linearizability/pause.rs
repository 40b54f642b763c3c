//! Pauses in the middle of operations. On x86_64 the processor's single-step flag interrupts an
//! operation after each instruction, up to one at which it pauses; so no debugger is needed. Elsewhere,
//! and now and then here, a clock interrupts it that is set to a time which it may take.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

/// Pauses fall on operations at will, not by luck.
pub const SURE: bool = step::WORKS;

/// The state of `dice` in the handler.
static DICE: AtomicU64 = AtomicU64::new(1);

/// A number below `sides`, from a state that is not 0.
pub fn dice(state: &mut u64, sides: u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    (*state >> 16) % sides
}

/// Never 0.
pub fn seed(of: u64) -> u64 {
    of.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1
}

/// The clock that interrupts; 0 until `begin`.
static CLOCK: AtomicUsize = AtomicUsize::new(0);
/// An operation is under way.
static UNDER_WAY: AtomicBool = AtomicBool::new(false);
/// Instructions until the next pause; 0: none is to come.
static STEPS: AtomicU64 = AtomicU64::new(0);
/// Operations that were interrupted.
static HITS: AtomicU64 = AtomicU64::new(0);

extern "C" fn rang(_: libc::c_int) {
    if UNDER_WAY.load(Ordering::Relaxed) {
        pause();
    }
}

/// In a handler: lets others run for a while.
fn pause() {
    HITS.fetch_add(1, Ordering::Relaxed);
    // SAFETY: a pointer to this thread's errno, which stays one.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: as above; the code that was interrupted may be about to look at it.
    let was = unsafe { errno.read() };
    let mut state = DICE.load(Ordering::Relaxed);
    match dice(&mut state, 4) {
        0 | 1 => {
            let short = libc::timespec {
                tv_sec: 0,
                tv_nsec: dice(&mut state, 40_000) as libc::c_long,
            };
            // SAFETY: sleeps for a valid time; may be called in a handler.
            unsafe { libc::nanosleep(&short, std::ptr::null_mut()) };
        }
        2 => {
            // SAFETY: gives the processor up; may be called in a handler.
            unsafe { libc::sched_yield() };
        }
        _ => (0..dice(&mut state, 2000)).for_each(|_| std::hint::spin_loop()),
    }
    DICE.store(state, Ordering::Relaxed);
    // SAFETY: as at the read.
    unsafe { errno.write(was) };
}

/// From now on this process, which has one thread, pauses every now and then.
pub fn begin(seed: u64) {
    DICE.store(seed, Ordering::Relaxed);
    let handler: extern "C" fn(libc::c_int) = rang;
    // SAFETY: the handler calls only what a handler may call, and is one function with this signature.
    unsafe { libc::signal(libc::SIGALRM, handler as libc::sighandler_t) };
    step::prepare();
    let mut clock: libc::timer_t = std::ptr::null_mut();
    // SAFETY: makes a clock of this process's own that sends SIGALRM (null); `clock` can be written.
    let made =
        unsafe { libc::timer_create(libc::CLOCK_MONOTONIC, std::ptr::null_mut(), &mut clock) };
    assert_eq!(made, 0, "timer_create: {}", std::io::Error::last_os_error());
    CLOCK.store(clock as usize + 1, Ordering::Relaxed);
    // SAFETY: changes how exactly this process's sleeps end, and no memory.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1) };
}

/// To be called right before an operation: it is interrupted perhaps. Before that a little time may
/// pass, so that others come in between.
pub fn before() {
    let clock = CLOCK.load(Ordering::Relaxed);
    if clock == 0 {
        return;
    }
    let mut state = DICE.load(Ordering::Relaxed);
    match dice(&mut state, 4) {
        0 => (0..dice(&mut state, 1000)).for_each(|_| std::hint::spin_loop()),
        1 => std::thread::yield_now(),
        _ => {}
    }
    if step::WORKS && dice(&mut state, 8) > 0 {
        // Most operations have some hundred instructions, and half of them go on without a pause.
        let most = 1 << (4 + dice(&mut state, 6));
        let steps = if dice(&mut state, 2) == 0 {
            0
        } else {
            1 + dice(&mut state, most)
        };
        STEPS.store(steps, Ordering::Relaxed);
        DICE.store(state, Ordering::Relaxed);
        return;
    }
    let most = 1 << (8 + dice(&mut state, 6));
    let nanos = dice(&mut state, most);
    DICE.store(state, Ordering::Relaxed);
    let never = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let once = libc::itimerspec {
        it_interval: never,
        it_value: libc::timespec {
            tv_sec: 0,
            tv_nsec: 1 + nanos as libc::c_long,
        },
    };
    // SAFETY: sets the clock that `begin` made from a valid value; null: the old one does not matter.
    unsafe { libc::timer_settime((clock - 1) as libc::timer_t, 0, &once, std::ptr::null_mut()) };
}

/// To be called when its beginning was written down.
pub fn begun() {
    UNDER_WAY.store(true, Ordering::Relaxed);
    if STEPS.load(Ordering::Relaxed) > 0 {
        step::begin();
    }
}

/// To be called right after it.
pub fn after() {
    UNDER_WAY.store(false, Ordering::Relaxed);
    STEPS.store(0, Ordering::Relaxed);
}

/// How many operations were interrupted so far.
pub fn hits() -> u64 {
    HITS.load(Ordering::Relaxed)
}

#[cfg(target_arch = "x86_64")]
mod step {
    use super::{DICE, STEPS, UNDER_WAY, dice, pause};
    use std::sync::atomic::Ordering;

    pub const WORKS: bool = true;
    /// The trap flag.
    const TRAP: libc::greg_t = 0x100;

    /// After an instruction.
    extern "C" fn stepped(_: libc::c_int, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
        let left = STEPS.load(Ordering::Relaxed);
        if left > 1 && UNDER_WAY.load(Ordering::Relaxed) {
            STEPS.store(left - 1, Ordering::Relaxed);
            return;
        }
        let mut next = 0;
        if left == 1 && UNDER_WAY.load(Ordering::Relaxed) {
            pause();
            let mut state = DICE.load(Ordering::Relaxed);
            if dice(&mut state, 2) == 0 {
                next = 1 + dice(&mut state, 50);
            }
            DICE.store(state, Ordering::Relaxed);
        }
        STEPS.store(next, Ordering::Relaxed);
        if next == 0 {
            let context = context.cast::<libc::ucontext_t>();
            // SAFETY: SA_SIGINFO hands over the interrupted context, which is this handler's to change.
            let registers = unsafe { &mut (*context).uc_mcontext.gregs };
            registers[libc::REG_EFL as usize] &= !TRAP;
        }
    }

    pub fn prepare() {
        let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) = stepped;
        // SAFETY: all zeros are a valid sigaction.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        action.sa_sigaction = handler as libc::sighandler_t;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART;
        // SAFETY: the handler has the signature that SA_SIGINFO asks for, and calls only what it may.
        unsafe { libc::sigaction(libc::SIGTRAP, &action, std::ptr::null_mut()) };
    }

    /// From here on each instruction ends in `stepped`.
    #[inline(always)]
    pub fn begin() {
        // SAFETY: sets one flag, by way of the stack; `stepped` is there, and clears it again.
        unsafe { std::arch::asm!("pushfq", "or qword ptr [rsp], 0x100", "popfq") };
    }
}

#[cfg(not(target_arch = "x86_64"))]
mod step {
    pub const WORKS: bool = false;

    pub fn prepare() {}

    pub fn begin() {}
}
