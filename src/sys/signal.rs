//! Signals that ask a process to end. The first one cancels tokens, the second one kills. Signals
//! that no token has together do not count for each other.
//!
//! Nothing is installed unless somebody asks for it. A signal that the process was started to
//! ignore stays ignored, as the shell's background jobs want it.
//!
//! A signal that nobody handles gets a handler of ours, for tokens and for workers alike. The crate
//! `signal-hook-registry` does not do for that. It installs its handler before it knows what to do
//! at the signal, so one that comes in between, in whatever thread, neither ends the process nor
//! reaches anybody. And what it has installed cannot be taken back if a later signal is refused.
//!
//! Where the program has a handler, a token is refused, and a worker's signals go through that
//! crate, which goes on calling the program's handler. A signal that comes in between reaches the
//! program's handler, as it would have a moment earlier.
//!
//! Invariants: the list of listeners only grows, so a handler may walk it at any time. A word is in
//! the list before its signals have handlers. [`note`] runs once for a signal, also where handlers
//! call each other.

use super::futex::Kernel;
use std::io;
use std::mem::MaybeUninit;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The signals that have come to [`note`], as bits.
static SEEN: AtomicU64 = AtomicU64::new(0);

/// A word that a signal raises.
struct Listener {
    word: Arc<AtomicU32>,
    /// Has bit n - 1 for signal n.
    signals: u64,
    next: *mut Listener,
}

static LISTENERS: AtomicPtr<Listener> = AtomicPtr::new(null_mut());

/// Why no handler was installed.
#[derive(Debug)]
pub(crate) enum Refused {
    /// The program has a handler for this signal.
    Handled(i32),
    /// The system refused it.
    Os(i32, io::Error),
}

/// What a signal does now.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Disposition {
    Default,
    Ignored,
    /// Our own handler.
    Ours,
    Others,
}

/// Says whether SIGINT or SIGTERM has asked this process to end.
pub(crate) fn seen_end() -> bool {
    // Relaxed: nothing else is read because of it, and a handler's store is seen by its own thread
    // at once and by others soon.
    SEEN.load(Ordering::Relaxed) & (bit(libc::SIGINT) | bit(libc::SIGTERM)) != 0
}

/// The signals whose handlers reach [`note`], as bits. Its lock makes registrations come one after the other.
fn noted() -> MutexGuard<'static, u64> {
    static NOTED: Mutex<u64> = Mutex::new(0);
    NOTED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes the first of these signals raise `word`, and the second one kill. Installs nothing if the
/// program has a handler of its own for one of them.
pub(crate) fn raise_on(signals: &[i32], word: &Arc<AtomicU32>) -> Result<(), Refused> {
    heed(signals, word, None)
}

/// As [`raise_on`] for SIGINT and SIGTERM, but beside whatever handlers the program has.
#[cfg(feature = "signals")]
pub(crate) fn raise_on_end(word: &Arc<AtomicU32>) -> Result<(), Refused> {
    let join = |signal| {
        // SAFETY: the action swaps an atomic, walks a list that only grows, makes one system call
        // for each of its words, and calls `die`, all of which is async-signal-safe; it does not
        // panic.
        unsafe { signal_hook_registry::register(signal, move || note(signal)) }.map(drop)
    };
    heed(&[libc::SIGINT, libc::SIGTERM], word, Some(join))
}

/// `join` adds [`note`] to a handler of the program; `None` refuses where there is one.
fn heed(
    signals: &[i32],
    word: &Arc<AtomicU32>,
    join: Option<fn(i32) -> io::Result<()>>,
) -> Result<(), Refused> {
    let mut noted = noted();
    let (mut free, mut taken, mut heard) = (vec![], vec![], 0);
    for &signal in signals {
        let now = disposition(signal).map_err(|error| Refused::Os(signal, error))?;
        match (now, join) {
            (Disposition::Default, _) => free.push(signal),
            (Disposition::Ignored, _) => continue,
            (Disposition::Ours, _) => {}
            (Disposition::Others, None) => return Err(Refused::Handled(signal)),
            // It may be one that was installed over ours and calls it.
            (Disposition::Others, Some(_)) if *noted & bit(signal) != 0 => {}
            (Disposition::Others, Some(join)) => taken.push((signal, join)),
        }
        heard |= bit(signal);
    }
    listen(word, heard);
    for (done, &signal) in free.iter().enumerate() {
        if let Err(error) = install(signal) {
            free[..done].iter().copied().for_each(restore);
            return Err(Refused::Os(signal, error));
        }
    }
    free.into_iter().for_each(|signal| *noted |= bit(signal));
    for (signal, join) in taken {
        join(signal).map_err(|error| Refused::Os(signal, error))?;
        *noted |= bit(signal);
    }
    Ok(())
}

fn bit(signal: i32) -> u64 {
    let number = u32::try_from(signal - 1).unwrap_or(u32::MAX);
    1u64.checked_shl(number).unwrap_or(0)
}

/// Adds a word. It stays for the life of the process.
fn listen(word: &Arc<AtomicU32>, signals: u64) {
    let listener = Box::leak(Box::new(Listener {
        word: word.clone(),
        signals,
        // Relaxed: one registration at a time.
        next: LISTENERS.load(Ordering::Relaxed),
    }));
    // SeqCst, both: `note` changes the one and then loads the other. So it finds the listener, or
    // its signal is seen here. Only one more would raise us, and that one kills.
    LISTENERS.store(listener, Ordering::SeqCst);
    if SEEN.load(Ordering::SeqCst) & signals != 0 {
        Kernel.raise(word);
    }
}

extern "C" fn on_signal(signal: i32) {
    note(signal);
}

/// Async-signal-safe.
fn note(signal: i32) {
    // SeqCst, both: see `listen`.
    let before = SEEN.fetch_or(bit(signal), Ordering::SeqCst);
    let first = LISTENERS.load(Ordering::SeqCst);
    let heard = || listeners(first).filter(|listener| listener.signals & bit(signal) != 0);
    if heard().fold(bit(signal), |all, listener| all | listener.signals) & before != 0 {
        die(signal);
        return;
    }
    heard().for_each(|listener| Kernel.raise(&listener.word));
}

/// Returns the listeners from this one on. Async-signal-safe.
fn listeners(mut at: *mut Listener) -> impl Iterator<Item = &'static Listener> {
    std::iter::from_fn(move || {
        // SAFETY: null, or a listener that was leaked and is never changed after it is in the list.
        let listener: &'static Listener = unsafe { at.as_ref() }?;
        at = listener.next;
        Some(listener)
    })
}

/// Does something with every signal blocked, so that a thread that is started there never runs a
/// handler.
pub(crate) fn blocked<R>(act: impl FnOnce() -> R) -> R {
    let mut all = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: `all` has room for a set, which is written whole.
    unsafe { libc::sigfillset(all.as_mut_ptr()) };
    let mut before = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: `all` was written above, and `before` has room for a set.
    let done =
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr()) };
    let result = act();
    if done == 0 {
        // SAFETY: the call above succeeded, so `before` is a set.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), null_mut()) };
    }
    result
}

/// Ends the process as the signal does by default, as soon as its handler returns.
/// Async-signal-safe.
fn die(signal: i32) {
    restore(signal);
    // SAFETY: async-signal-safe. The signal is blocked until its handler returns.
    unsafe { libc::raise(signal) };
}

/// Async-signal-safe.
fn restore(signal: i32) {
    // SAFETY: async-signal-safe; SIG_DFL is no function of ours.
    unsafe { libc::signal(signal, libc::SIG_DFL) };
}

/// The ends of this process's children cannot be seen: it ignores SIGCHLD, or has asked the kernel
/// to leave nothing of them.
pub(crate) fn hides_ends() -> bool {
    action(libc::SIGCHLD).is_ok_and(|now| {
        now.sa_sigaction == libc::SIG_IGN || now.sa_flags & libc::SA_NOCLDWAIT != 0
    })
}

/// What this process does at a signal.
fn action(signal: i32) -> io::Result<libc::sigaction> {
    let mut now = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: a null action changes nothing; `now` has room for what is written.
    if unsafe { libc::sigaction(signal, std::ptr::null(), now.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: sigaction succeeded, so it has written the whole structure.
    Ok(unsafe { now.assume_init() })
}

fn disposition(signal: i32) -> io::Result<Disposition> {
    Ok(match action(signal)?.sa_sigaction {
        libc::SIG_DFL => Disposition::Default,
        libc::SIG_IGN => Disposition::Ignored,
        other if other == handler() => Disposition::Ours,
        _ => Disposition::Others,
    })
}

fn handler() -> usize {
    on_signal as extern "C" fn(i32) as usize
}

fn install(signal: i32) -> io::Result<()> {
    // SAFETY: a sigaction is plain data, for which all zeros is a value.
    let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    action.sa_sigaction = handler();
    action.sa_flags = libc::SA_RESTART | libc::SA_ONSTACK;
    // SAFETY: `action` is a valid action whose handler is async-signal-safe (see `note`).
    if unsafe { libc::sigaction(signal, &action, null_mut()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Starts a thread in which all signals are blocked, so that the program's own threads handle them.
pub(crate) fn spawn_deaf(name: &str, act: impl FnOnce() + Send + 'static) -> io::Result<()> {
    blocked(|| std::thread::Builder::new().name(name.into()).spawn(act)).map(drop)
}
