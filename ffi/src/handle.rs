//! What a `prodcon_queue *` points to: a *shell* that is never given back to the system.
//!
//! So a look at a closed handle is a look at memory of the same kind, and it can be told from an open one. A closed shell is used again only after [`RESTING`] others were closed.
//!
//! Invariants: a shell is `OPEN` exactly while it has an endpoint; the endpoint is touched only by whoever has the shell's [`Turn`]; a shell in `CLOSED_SHELLS` is closed and nobody else's.
//! Callers: endpoint's users, that is queue, many, gate.

use crate::endpoint::Endpoint;
use crate::failure::{Failure, report, run, run_reported};
use crate::status::*;
use crate::turn::Turn;
use std::cell::UnsafeCell;
use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

/// Marks a shell with an endpoint.
const OPEN: u64 = u64::from_ne_bytes(*b"prodcon+");
/// Marks a shell without.
const CLOSED: u64 = u64::from_ne_bytes(*b"prodcon-");

/// Closed shells that rest before the oldest of them is used again.
const RESTING: usize = 64;

static CLOSED_SHELLS: Mutex<VecDeque<&'static Queue>> = Mutex::new(VecDeque::new());

/// An endpoint of a queue: it takes one seat, and one thread at a time may use it. Attach once for each thread and for each process: a forked child attaches again.
#[derive(Debug)]
#[repr(align(64))]
pub struct Queue {
    mark: AtomicU64,
    turn: Turn,
    /// Who opened it, for the one case in which the endpoint cannot be asked.
    pid: AtomicU32,
    /// A panic came out of it: it can only be closed.
    broken: AtomicBool,
    endpoint: UnsafeCell<Option<Endpoint>>,
}

// SAFETY: all fields are atomics but the endpoint, which is `Send` and touched by one thread at a time, the one that has the turn.
unsafe impl Sync for Queue {}

impl Queue {
    const fn closed() -> Self {
        Self {
            mark: AtomicU64::new(CLOSED),
            turn: Turn::new(),
            pid: AtomicU32::new(0),
            broken: AtomicBool::new(false),
            endpoint: UnsafeCell::new(None),
        }
    }

    /// A handle on an endpoint.
    pub fn open(endpoint: Endpoint) -> *mut Self {
        let old = CLOSED_SHELLS
            .try_lock()
            .ok()
            .and_then(|mut shells| if shells.len() > RESTING { shells.pop_front() } else { None });
        let shell: &'static Self = old.unwrap_or_else(|| Box::leak(Box::new(Self::closed())));
        // A thread that still calls with the closed handle is turned away by the mark before it looks at the endpoint, as it was for the last 64 closes.
        shell.turn.begin_anew();
        let place = shell.endpoint.get();
        // SAFETY: the shell was taken out of the list (or is new), and nobody has the new handle yet.
        let place = unsafe { &mut *place };
        *place = Some(endpoint);
        shell.publish();
        std::ptr::from_ref(shell).cast_mut()
    }

    fn publish(&self) {
        self.pid.store(std::process::id(), Ordering::Relaxed); // Relaxed: the Release below
        self.broken.store(false, Ordering::Relaxed);
        self.mark.store(OPEN, Ordering::Release);
    }

    /// # Safety
    /// `queue` is NULL or what create or attach wrote, whether closed by now or not. (What is not aligned or not marked is refused all the same.)
    #[inline(always)]
    unsafe fn check(queue: *const Self) -> Result<&'static Self, Failure> {
        if queue.is_null() {
            return Err(null());
        }
        if !queue.is_aligned() {
            return Err(no_handle());
        }
        // SAFETY: not NULL and, by this function's contract, what create or attach wrote: a shell, which lives for ever and is shared by atomics and the turn.
        let shell = unsafe { &*queue };
        match shell.mark.load(Ordering::Acquire) {
            OPEN => Ok(shell),
            CLOSED => Err(closed()),
            _ => Err(no_handle()),
        }
    }

    #[cold]
    fn refuse(&self, call: &str) -> Failure {
        if self.pid.load(Ordering::Relaxed) != std::process::id() {
            return Failure::with(PRODCON_FORKED, "this handle belongs to the parent process: attach again in the forked child");
        }
        Failure::invalid(format!(
            "{call}: another thread (or the code that a signal interrupted) is using this handle right now: attach once for each thread"
        ))
    }
}

#[cold]
fn null() -> Failure {
    Failure::invalid("the queue is NULL: create it or attach to it first")
}

#[cold]
fn no_handle() -> Failure {
    Failure::invalid("the pointer is no handle of a queue: pass what create or attach wrote")
}

#[cold]
fn closed() -> Failure {
    Failure::invalid("the handle was closed: attach again")
}

#[cold]
fn broken(call: &str) -> Failure {
    Failure::with(PRODCON_PANIC, format!("{call}: an earlier call met a bug inside prodcon: close the handle"))
}

/// Marks a handle as broken unless it is forgotten.
struct Fuse<'a>(&'a AtomicBool);

impl Drop for Fuse<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed); // Relaxed: read by whoever has the turn next, which orders it
    }
}

/// Runs `work` on the endpoint behind a handle, if it is open, not in use, and of this process. `data`: the call puts or gets.
///
/// # Safety
/// `queue` is NULL or what create or attach wrote, whether closed by now or not.
#[inline(always)]
pub unsafe fn with(queue: *const Queue, call: &'static str, data: bool, work: impl FnOnce(&mut Endpoint) -> Result<(), Failure>) -> Status {
    run_reported(|| {
        // SAFETY: this function's contract is that of `check`.
        let shell = match unsafe { Queue::check(queue) } {
            Ok(shell) => shell,
            Err(failure) => return report(None, failure),
        };
        let Some(_pass) = shell.turn.enter(data) else {
            return report(None, shell.refuse(call));
        };
        let place = shell.endpoint.get();
        // SAFETY: this thread has the turn until `_pass` is dropped, so nobody else has a reference to the endpoint; the shell lives for ever.
        let Some(endpoint) = (unsafe { &mut *place }) else {
            return report(None, closed());
        };
        if shell.broken.load(Ordering::Relaxed) {
            return report(None, broken(call));
        }
        let fuse = Fuse(&shell.broken);
        let done = work(endpoint);
        std::mem::forget(fuse);
        match done {
            Ok(()) => PRODCON_OK,
            Err(failure) => report(Some(endpoint.name()), failure),
        }
    })
}

/// Closes a handle. What it has in hand is given back or lost, its seat is free.
///
/// # Safety
/// As for [`with`].
pub unsafe fn close(queue: *const Queue) -> Status {
    run(|| {
        // SAFETY: this function's contract is that of `check`.
        let shell = unsafe { Queue::check(queue) }?;
        let Some(pass) = shell.turn.enter(false) else {
            return Err(shell.refuse("close"));
        };
        if shell.mark.swap(CLOSED, Ordering::AcqRel) != OPEN {
            return Err(closed());
        }
        let place = shell.endpoint.get();
        // SAFETY: this thread has the turn until `pass` is dropped, see `with`.
        let place = unsafe { &mut *place };
        let endpoint = place.take();
        drop(pass);
        if let Ok(mut shells) = CLOSED_SHELLS.try_lock() {
            shells.push_back(shell); // else it is never used again
        }
        drop(endpoint); // last: it might panic
        Ok(())
    })
}
