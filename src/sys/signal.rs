//! Signals that ask a process to end: the first one is noted, the second one kills.
//!
//! Nothing is installed unless somebody asks for it. A signal that the process was started to ignore
//! stays ignored, as the shell's background jobs want it.

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

/// The ends of this process's children cannot be seen: it ignores SIGCHLD, or has asked the kernel
/// to leave nothing of them.
pub(crate) fn hides_ends() -> bool {
    action(libc::SIGCHLD).is_ok_and(|now| {
        now.sa_sigaction == libc::SIG_IGN || now.sa_flags & libc::SA_NOCLDWAIT != 0
    })
}

#[cfg(feature = "signals")]
fn is_ignored(signal: i32) -> std::io::Result<bool> {
    Ok(action(signal)?.sa_sigaction == libc::SIG_IGN)
}

/// What this process does at a signal.
fn action(signal: i32) -> std::io::Result<libc::sigaction> {
    let mut now = std::mem::MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: a null action changes nothing; `now` has room for what is written.
    if unsafe { libc::sigaction(signal, std::ptr::null(), now.as_mut_ptr()) } != 0 {
        return Err(std::io::Error::last_os_error());
    }
    // SAFETY: sigaction succeeded, so it has written the whole structure.
    Ok(unsafe { now.assume_init() })
}
