//! What a `prodcon_queue *` points to: a *shell* that is never given back to the system.
//!
//! So a look at a closed handle is a look at memory of the same kind, and it can be told from an open one. A closed shell is used again only after [`RESTING`] others were closed.
//!
//! Invariants: a shell is `OPEN` exactly while it has an endpoint; the endpoint is touched only by whoever has the shell's [`Turn`]; a shell in `CLOSED_SHELLS` is closed and nobody else's.
//! Callers: endpoint's users, that is queue, many, gate.

use crate::endpoint::Endpoint;
use crate::failure::{Failure, report, run, run_reported};
use crate::status::*;
use crate::turn::{Pass, Turn};
use std::cell::UnsafeCell;
use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

#[cfg(test)]
mod tests;

/// Marks a shell with an endpoint.
const OPEN: u64 = u64::from_ne_bytes(*b"prodcon+");
/// Marks one out of which a panic came: it can only be closed.
const BROKEN: u64 = u64::from_ne_bytes(*b"prodcon!");
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
        self.mark.store(OPEN, Ordering::Release);
    }

    /// Enters, if the handle is open and nobody is inside. `own`: the call puts or gets.
    ///
    /// # Safety
    /// `queue` is NULL or what create or attach wrote, whether closed by now or not. (What is not aligned or not marked is refused all the same.)
    #[inline(always)]
    unsafe fn enter(queue: *const Self, call: &str, own: bool) -> Result<(&'static Self, Pass<'static>), Failure> {
        if !queue.is_null() && queue.is_aligned() {
            // SAFETY: not NULL and, by this function's contract, what create or attach wrote: a shell, which lives for ever and is shared by atomics and the turn.
            let shell: &'static Self = unsafe { &*queue };
            // There is an owner only while the mark is OPEN.
            if let Some(pass) = shell.turn.enter_as_owner() {
                return Ok((shell, pass));
            }
            return shell.enter_slowly(call, own);
        }
        Err(no_handle(queue.is_null()))
    }

    /// As [`enter`](Self::enter); a broken handle can be closed too.
    ///
    /// # Safety
    /// As for `enter`.
    unsafe fn enter_to_close(queue: *const Self) -> Result<(&'static Self, Pass<'static>), Failure> {
        if queue.is_null() || !queue.is_aligned() {
            return Err(no_handle(queue.is_null()));
        }
        // SAFETY: as in `enter`.
        let shell: &'static Self = unsafe { &*queue };
        let check = || match shell.mark.load(Ordering::Acquire) {
            OPEN | BROKEN => Ok(()),
            CLOSED => Err(closed()),
            _ => Err(no_handle(false)),
        };
        check()?;
        let Some(pass) = shell.turn.enter(false) else {
            return Err(shell.refuse("close"));
        };
        check()?;
        Ok((shell, pass))
    }

    #[cold]
    #[inline(never)]
    fn enter_slowly(&'static self, call: &str, own: bool) -> Result<(&'static Self, Pass<'static>), Failure> {
        // A first look, before anything is written to what may be no handle at all; whoever has the turn looks again.
        match self.mark.load(Ordering::Acquire) {
            OPEN => {}
            BROKEN => return Err(self.broken(call)),
            CLOSED => return Err(closed()),
            _ => return Err(no_handle(false)),
        }
        let Some(pass) = self.turn.enter(own) else { return Err(self.refuse(call)) };
        match self.mark.load(Ordering::Acquire) {
            OPEN => Ok((self, pass)),
            mark => {
                self.turn.end_privilege(); // should this thread have become the owner just now
                Err(if mark == BROKEN { self.broken(call) } else { closed() })
            }
        }
    }

    #[cold]
    fn broken(&self, call: &str) -> Failure {
        Failure::with(PRODCON_PANIC, format!("{call}: an earlier call met a bug inside prodcon: close the handle"))
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
fn no_handle(null: bool) -> Failure {
    Failure::invalid(if null {
        "the queue is NULL: create it or attach to it first"
    } else {
        "the pointer is no handle of a queue: pass what create or attach wrote"
    })
}

#[cold]
fn closed() -> Failure {
    Failure::invalid("the handle was closed: attach again")
}

/// Marks a handle as broken unless it is forgotten.
struct Fuse<'a>(&'a Queue);

impl Drop for Fuse<'_> {
    fn drop(&mut self) {
        self.0.turn.end_privilege();
        self.0.mark.store(BROKEN, Ordering::Release); // pairs with the loads in `enter_slowly`
    }
}

/// Runs `work` on the endpoint behind a handle, if it is open, not in use, and of this process. `own`: the call puts or gets.
///
/// # Safety
/// `queue` is NULL or what create or attach wrote, whether closed by now or not.
#[inline(always)]
pub unsafe fn with(queue: *const Queue, call: &'static str, own: bool, work: impl FnOnce(&mut Endpoint) -> Result<(), Failure>) -> Status {
    run_reported(|| {
        // SAFETY: this function's contract.
        let (shell, _pass) = match unsafe { Queue::enter(queue, call, own) } {
            Ok(entered) => entered,
            Err(failure) => return report(None, failure),
        };
        let place = shell.endpoint.get();
        // SAFETY: this thread has the turn until `_pass` is dropped, so nobody else has a reference to the endpoint; the shell lives for ever.
        let Some(endpoint) = (unsafe { &mut *place }) else {
            return report(None, closed());
        };
        let fuse = Fuse(shell);
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
        // SAFETY: this function's contract.
        let (shell, pass) = unsafe { Queue::enter_to_close(queue) }?;
        shell.turn.end_privilege();
        shell.mark.store(CLOSED, Ordering::Release);
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
