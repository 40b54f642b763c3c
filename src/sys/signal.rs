//! Signals that ask a process to end: the first one is noted, the second one kills.
//!
//! Nothing is installed unless somebody asks for it. A signal that the process was started to ignore
//! stays ignored, as the shell's background jobs want it.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

static SEEN: AtomicBool = AtomicBool::new(false);

/// A signal has asked this process to end.
pub(crate) fn seen() -> bool {
    // Relaxed: nothing else is read because of it, and a handler's store is seen by its own thread at
    // once and by others soon.
    SEEN.load(Ordering::Relaxed)
}

/// From now on SIGINT and SIGTERM are noted.
#[cfg(feature = "signals")]
pub(crate) fn heed() -> std::io::Result<()> {
    use std::sync::{Mutex, PoisonError};
    static HEEDED: Mutex<bool> = Mutex::new(false);
    let mut heeded = HEEDED.lock().unwrap_or_else(PoisonError::into_inner);
    if !*heeded {
        for signal in [libc::SIGINT, libc::SIGTERM] {
            if is_ignored(signal)? {
                continue;
            }
            // SAFETY: the action only swaps an atomic and calls `die`, all of which is
            // async-signal-safe; it does not panic.
            unsafe { signal_hook_registry::register(signal, move || note(signal)) }?;
        }
        *heeded = true;
    }
    Ok(())
}

#[cfg(feature = "signals")]
fn note(signal: i32) {
    if SEEN.swap(true, Ordering::Relaxed) {
        die(signal);
    }
}

/// Ends the process as the signal does by default, as soon as its handler returns. Async-signal-safe.
#[cfg(feature = "signals")]
fn die(signal: i32) {
    // SAFETY: async-signal-safe; SIG_DFL is no function of ours.
    unsafe { libc::signal(signal, libc::SIG_DFL) };
    // SAFETY: async-signal-safe. The signal is blocked until its handler returns.
    unsafe { libc::raise(signal) };
}

#[cfg(feature = "signals")]
fn is_ignored(signal: i32) -> std::io::Result<bool> {
    let mut now = std::mem::MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: a null action changes nothing; `now` has room for what is written.
    if unsafe { libc::sigaction(signal, std::ptr::null(), now.as_mut_ptr()) } != 0 {
        return Err(std::io::Error::last_os_error());
    }
    // SAFETY: sigaction succeeded, so it has written the whole structure.
    let now = unsafe { now.assume_init() };
    Ok(now.sa_sigaction == libc::SIG_IGN)
}

/// Starts a thread in which all signals are blocked, so that the program's own threads handle them.
pub(crate) fn spawn_deaf(name: &str, act: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let before = set_mask(&all_signals())?;
    // The thread inherits the mask, and this one gets its own back in any case.
    let spawned = std::thread::Builder::new().name(name.into()).spawn(act);
    set_mask(&before)?;
    spawned.map(drop)
}

fn all_signals() -> libc::sigset_t {
    let mut all = std::mem::MaybeUninit::uninit();
    // SAFETY: fills the set, for which there is room.
    unsafe { libc::sigfillset(all.as_mut_ptr()) };
    // SAFETY: just filled.
    unsafe { all.assume_init() }
}

/// Sets this thread's blocked signals. Returns what they were.
fn set_mask(mask: &libc::sigset_t) -> io::Result<libc::sigset_t> {
    let mut before = std::mem::MaybeUninit::uninit();
    // SAFETY: `mask` is a whole set, and there is room for the former one.
    let error = unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, mask, before.as_mut_ptr()) };
    if error != 0 {
        return Err(io::Error::from_raw_os_error(error));
    }
    // SAFETY: the call succeeded, so it has written the former set.
    Ok(unsafe { before.assume_init() })
}
