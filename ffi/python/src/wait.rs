//! Waiting: in slices, with the interpreter's lock given up, looking at signals in between.
//!
//! Owns how `block` and `timeout` are read, and what becomes of threads that wait here when the interpreter ends: up to Python 3.13 a daemon thread that asks for
//! the lock then is ended by unwinding its stack, which Rust's frames do not stand. Such threads stay here for good instead. Callers: queue, guard, options.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

/// The longest time that Ctrl-C goes unnoticed.
const SLICE: Duration = Duration::from_millis(50);

/// Until when an operation waits.
#[derive(Clone, Copy)]
pub enum Until {
    /// Not at all.
    Now,
    /// As long as it takes.
    Forever,
    /// At most so long.
    At(Instant),
}

impl Until {
    /// As `queue.Queue` reads them: `timeout` in seconds, `None` for ever; without `block` it does not count.
    pub fn new(block: bool, timeout: Option<f64>) -> PyResult<Self> {
        match timeout {
            _ if !block => Ok(Self::Now),
            None => Ok(Self::Forever),
            Some(seconds) if seconds.is_nan() || seconds < 0.0 => Err(PyValueError::new_err(format!("timeout is {seconds}: give seconds, 0 or more, or None"))),
            Some(seconds) => Ok(Duration::try_from_secs_f64(seconds)
                .ok()
                .and_then(|timeout| Instant::now().checked_add(timeout))
                .map_or(Self::Forever, Self::At)),
        }
    }

    /// How long to wait now; `None`: the time is over.
    pub fn slice(self) -> Option<Duration> {
        match self {
            Self::Now => None,
            Self::Forever => Some(SLICE),
            Self::At(at) => Some(at.saturating_duration_since(Instant::now()).min(SLICE)).filter(|left| !left.is_zero()),
        }
    }

    /// No wait was asked for.
    pub fn is_now(self) -> bool {
        matches!(self, Self::Now)
    }
}

/// Threads that have given up the lock here, and those of them that will not ask for it again.
static AWAY: AtomicUsize = AtomicUsize::new(0);
static PARKED: AtomicUsize = AtomicUsize::new(0);
static ENDING: AtomicBool = AtomicBool::new(false);
/// The thread that ends the interpreter, which may still wait for something.
static ENDER: OnceLock<ThreadId> = OnceLock::new();

/// Does something that may wait for a slice of time, with the interpreter's lock given up.
pub fn away<T: Send>(py: Python<'_>, act: impl FnOnce() -> T + Send) -> T {
    AWAY.fetch_add(1, SeqCst);
    let done = py.detach(|| {
        let done = act();
        if ENDING.load(SeqCst) && ENDER.get() != Some(&std::thread::current().id()) {
            PARKED.fetch_add(1, SeqCst);
            loop {
                std::thread::park();
            }
        }
        done
    });
    AWAY.fetch_sub(1, SeqCst);
    done
}

/// In a forked child: the threads that were away in the parent are not here.
pub fn in_child() {
    AWAY.store(0, SeqCst);
    PARKED.store(0, SeqCst);
    ENDING.store(false, SeqCst);
}

/// The interpreter ends: waits until nobody who is away will ask for its lock. Called once, by the thread that ends it.
pub fn end(py: Python<'_>) {
    let _ = ENDER.set(std::thread::current().id());
    ENDING.store(true, SeqCst);
    py.detach(|| {
        while AWAY.load(SeqCst) > PARKED.load(SeqCst) {
            std::thread::sleep(Duration::from_millis(1));
        }
    });
}
