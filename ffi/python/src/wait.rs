//! Waiting: in slices, with the interpreter's lock given up, looking at signals in between.
//!
//! Owns how `block` and `timeout` are read, and what becomes of threads that are in an operation when the interpreter ends: up to Python 3.13 a daemon thread that
//! asks for the lock then is ended by unwinding its stack, which Rust's frames do not stand (the process aborts). So before that they are let out: their
//! operations end with SystemExit, and begin with it from then on.

use pyo3::exceptions::{PySystemExit, PyValueError};
use pyo3::prelude::*;
use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::OnceLock;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

/// The longest time that Ctrl-C goes unnoticed.
const MAX_SLEEP: Duration = Duration::from_millis(50);

/// Until when an operation waits.
#[derive(Clone, Copy)]
pub enum Until {
    /// Not at all.
    Now,
    /// As long as it takes.
    Forever,
    /// For at most this time.
    At(Instant),
}

impl Until {
    /// As `queue.Queue` reads them. `timeout` is in seconds, and `None` is no limit. Without
    /// `block` it does not count.
    pub fn new(block: bool, timeout: Option<f64>) -> PyResult<Self> {
        match timeout {
            _ if !block => Ok(Self::Now),
            None => Ok(Self::Forever),
            Some(seconds) if seconds.is_nan() => Err(PyValueError::new_err(
                "timeout is nan: give seconds, or None",
            )),
            // As `multiprocessing` has it: a time that is over.
            Some(seconds) if seconds < 0.0 => Ok(Self::At(Instant::now())),
            Some(seconds) => Ok(Duration::try_from_secs_f64(seconds)
                .ok()
                .and_then(|timeout| Instant::now().checked_add(timeout))
                .map_or(Self::Forever, Self::At)),
        }
    }

    /// How long to wait now, or `None` if the time is over.
    pub fn slice(self) -> Option<Duration> {
        match self {
            Self::Now => None,
            Self::Forever => Some(MAX_SLEEP),
            Self::At(at) => Some(at.saturating_duration_since(Instant::now()).min(MAX_SLEEP))
                .filter(|left| !left.is_zero()),
        }
    }

    /// No wait was asked for.
    pub fn is_now(self) -> bool {
        matches!(self, Self::Now)
    }
}

/// Threads in an operation that waits or that may run Python code; those of them that have given up the interpreter's lock. Changed only with that lock held.
static INSIDE: AtomicUsize = AtomicUsize::new(0);
static AWAY: AtomicUsize = AtomicUsize::new(0);
static ENDING: AtomicBool = AtomicBool::new(false);
/// The thread that ends the interpreter, which may still use queues.
static ENDER: OnceLock<ThreadId> = OnceLock::new();
/// At its end the interpreter waits this long for threads that run Python code from within an
/// operation. Those that only wait come back soon.
const THREADS_TIMEOUT: Duration = Duration::from_secs(5);

thread_local! {
    /// Operations that this thread is in, one within the other.
    static DEPTH: Cell<usize> = const { Cell::new(0) };
}

/// This thread is in an operation.
pub struct Inside(PhantomData<*const ()>);

/// Begins an operation that may wait or run Python code: no thread may die in it.
///
/// # Errors
/// SystemExit, which ends a thread without a word: the interpreter ends.
#[inline]
pub fn enter(_py: Python<'_>) -> PyResult<Inside> {
    if ENDING.load(Relaxed) {
        ended()?;
    }
    DEPTH.with(|depth| {
        depth.set(depth.get() + 1);
        if depth.get() == 1 {
            INSIDE.store(INSIDE.load(Relaxed) + 1, Relaxed); // Relaxed, and no read-modify-write: the interpreter's lock orders them
        }
    });
    Ok(Inside(PhantomData))
}

impl Drop for Inside {
    #[inline]
    fn drop(&mut self) {
        DEPTH.with(|depth| {
            depth.set(depth.get() - 1);
            if depth.get() == 0 {
                INSIDE.store(INSIDE.load(Relaxed) - 1, Relaxed);
            }
        });
    }
}

#[cold]
fn ended() -> PyResult<()> {
    if ENDER.get() == Some(&std::thread::current().id()) {
        Ok(())
    } else {
        Err(PySystemExit::new_err(()))
    }
}

/// Does something that may wait for a slice of time, with the interpreter's lock given up. Within `enter`.
pub fn away<T: Send>(py: Python<'_>, act: impl FnOnce() -> T + Send) -> T {
    AWAY.fetch_add(1, SeqCst);
    let done = py.detach(act);
    AWAY.fetch_sub(1, SeqCst);
    done
}

/// Between two slices.
///
/// # Errors
/// What a signal's handler raised; SystemExit: the interpreter ends.
pub fn check(py: Python<'_>) -> PyResult<()> {
    if ENDING.load(Relaxed) {
        ended()?;
    }
    py.check_signals()
}

/// In a forked child: only the thread that forked is here.
pub fn in_child() {
    INSIDE.store(usize::from(DEPTH.get() > 0), SeqCst);
    AWAY.store(0, SeqCst);
    ENDING.store(false, SeqCst);
}

/// The interpreter ends: waits until no other thread is in an operation. Called once, by the thread that ends it.
pub fn end(py: Python<'_>) {
    let _ = ENDER.set(std::thread::current().id());
    ENDING.store(true, SeqCst);
    let own = usize::from(DEPTH.get() > 0);
    let begin = Instant::now();
    py.detach(|| {
        while AWAY.load(SeqCst) > 0
            || (INSIDE.load(SeqCst) > own && begin.elapsed() < THREADS_TIMEOUT)
        {
            std::thread::sleep(Duration::from_millis(1));
        }
    });
}
