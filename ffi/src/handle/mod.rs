//! What a `prodcon_queue *`, a `prodcon_worker *` or a `prodcon_fd *` points to: a *shell* that is
//! never given back to the system.
//!
//! So a look at a closed handle is a look at memory of the same kind, and it can be told from an
//! open one. A closed shell is used again only after [`RESTING`] others of its kind were closed.
//!
//! Closed shells of a kind come to a stack, which needs no lock: neither another thread nor a fork
//! is in the way of a close. The next open moves them to the pool, which keeps the order in which
//! they were closed.
//!
//! Invariants: a shell is `OPEN` or `BROKEN` exactly while it has its content; the content and the
//! mark are touched only by the call that is *inside*; a shell on a stack or in a pool is closed
//! and nobody else's.
//!
//! A call is inside from its exchange of `busy` for true until it stores false. So a handle is used
//! by one thread at a time, and a second one, or a signal handler, is told so. The exchange costs
//! little: a put or a get has one of its own, and `busy` is in a line that no other thread works
//! at.

use crate::cancel::Held;
use crate::failure::{Failure, report, run, run_reported};
use crate::status::*;
use std::cell::UnsafeCell;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, Ordering};

#[cfg(test)]
mod tests;

/// Closed shells that rest before the oldest of them is used again.
const RESTING: usize = 64;

/// See the module.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct Shell<T> {
    mark: AtomicU32,
    /// A call is inside, or is finding out that it may not be.
    busy: AtomicBool,
    /// The process that opened it, for the cases in which the content cannot be asked.
    pid: AtomicU32,
    /// On the stack of closed ones: the handle below, of this kind.
    below: AtomicPtr<()>,
    content: UnsafeCell<Option<T>>,
}

// SAFETY: all fields are atomics but the content, which is `Send` and touched by one thread at a
// time, the one that is inside.
unsafe impl<T: Send> Sync for Shell<T> {}

impl<T> Shell<T> {
    /// Without content. `mark`: the kind's `CLOSED`.
    pub const fn closed(mark: u32) -> Self {
        Self {
            mark: AtomicU32::new(mark),
            busy: AtomicBool::new(false),
            pid: AtomicU32::new(0),
            below: AtomicPtr::new(std::ptr::null_mut()),
            content: UnsafeCell::new(None),
        }
    }
}

/// A kind of handle: what C has pointers to.
pub trait Handle: Sized + Sync + 'static {
    /// What is behind it.
    type Content: Send;
    /// For texts.
    const NAME: &'static str;
    /// Marks its shells; the last byte says how they are.
    const MARK: u32;
    /// Marks a shell with content.
    const OPEN: u32 = Self::MARK + 1;
    /// Marks one out of which a panic came: it can only be closed.
    const BROKEN: u32 = Self::MARK + 2;
    /// Marks a shell without.
    const CLOSED: u32 = Self::MARK + 3;

    /// The name of the queue or worker.
    fn name(content: &Self::Content) -> &str;
    /// A closed one.
    fn new() -> Self;
    /// The shell.
    fn shell(&self) -> &Shell<Self::Content>;
    /// Those closed last: the top of a stack.
    fn last_closed() -> &'static AtomicPtr<Self>;
    /// Those closed before, in that order.
    fn pool() -> &'static Mutex<VecDeque<&'static Self>>;
}

/// Puts a closed handle on the stack of its kind.
fn lay_down<H: Handle>(handle: &'static H) {
    let top = H::last_closed();
    let mut below = top.load(Ordering::Relaxed);
    loop {
        // Relaxed: nobody reads it before the exchange.
        handle.shell().below.store(below.cast(), Ordering::Relaxed);
        let own = std::ptr::from_ref(handle).cast_mut();
        // Release: pairs with the Acquire in `gather`. Later ones are exchanges too, so they
        // continue its release sequence.
        match top.compare_exchange_weak(below, own, Ordering::Release, Ordering::Relaxed) {
            Ok(_) => return,
            Err(other) => below = other,
        }
    }
}

/// Moves the handles of the stack to the pool.
fn gather<H: Handle>(pool: &mut VecDeque<&'static H>) {
    // Acquire: pairs with the Release in `lay_down`. All at once, so nobody's `below` can have
    // changed in between.
    let mut top = H::last_closed().swap(std::ptr::null_mut(), Ordering::Acquire);
    let before = pool.len();
    // SAFETY: what `lay_down` put there: NULL, or a handle that lives for ever.
    while let Some(handle) = unsafe { top.as_ref() } {
        top = handle.shell().below.load(Ordering::Relaxed).cast();
        pool.insert(before, handle); // the last one closed is the first one seen
    }
}

/// A closed handle that has rested long enough.
fn rested<H: Handle>() -> Option<&'static H> {
    // Tried only: in a child forked by one thread, another one may have held it.
    let mut pool = H::pool().try_lock().ok()?;
    gather(&mut pool);
    if pool.len() > RESTING {
        pool.pop_front()
    } else {
        None
    }
}

/// A handle on an open thing, for C.
pub fn open<H: Handle>(content: H::Content) -> *mut H {
    let old = rested::<H>();
    let handle: &'static H = old.unwrap_or_else(|| Box::leak(Box::new(H::new())));
    let shell = handle.shell();
    // A thread that still calls with the closed handle is turned away by the mark before it looks
    // at the content, as it was for the last 64 closes.
    let place = shell.content.get();
    // SAFETY: the shell was taken out of the pool (or is new), and nobody has the new handle yet.
    let place = unsafe { &mut *place };
    *place = Some(content);
    shell.pid.store(std::process::id(), Ordering::Relaxed); // Relaxed: the Release below
    shell.mark.store(H::OPEN, Ordering::Release);
    std::ptr::from_ref(handle).cast_mut()
}

/// Being inside; ends when dropped.
struct Pass(&'static AtomicBool);

impl Drop for Pass {
    #[inline(always)]
    fn drop(&mut self) {
        // Release: pairs with the exchange in `pass`, so that what was done inside is seen by the
        // thread that is inside next.
        self.0.store(false, Ordering::Release);
    }
}

impl<T> Shell<T> {
    /// Enters, if nobody is inside. What the mark is counts only now.
    #[inline(always)]
    fn pass(&'static self) -> Option<Pass> {
        // Acquire: pairs with the store that leaves.
        let busy = self.busy.swap(true, Ordering::Acquire);
        if busy { None } else { Some(Pass(&self.busy)) }
    }
}

type Entered<H> = (&'static Shell<<H as Handle>::Content>, Pass);

/// Enters, if the handle is open and nobody is inside.
///
/// # Safety
/// `handle` is NULL or what [`open`] gave, whether closed by now or not. (What is not aligned or
/// not marked is refused all the same.)
#[inline(always)]
unsafe fn enter<H: Handle>(handle: *const H, call: &str) -> Result<Entered<H>, Failure> {
    // SAFETY: this function's contract.
    if let Some(entered) = unsafe { enter_at_once(handle) } {
        return Ok(entered);
    }
    // SAFETY: this function's contract.
    unsafe { enter_slowly(handle, call, false) }
}

/// Enters as [`enter`] does, and does not say why it cannot.
///
/// # Safety
/// As for [`enter`].
#[inline(always)]
unsafe fn enter_at_once<H: Handle>(handle: *const H) -> Option<Entered<H>> {
    if handle.is_null() || !handle.is_aligned() {
        return None;
    }
    // SAFETY: not NULL and, by this function's contract, what `open` gave: a shell, which lives for
    // ever and is shared by atomics.
    let shell = unsafe { &*handle }.shell();
    // Relaxed: it keeps us from writing to what may be no handle at all.
    if shell.mark.load(Ordering::Relaxed) != H::OPEN {
        return None;
    }
    let pass = shell.pass()?;
    // Acquire: pairs with the store in `open`.
    (shell.mark.load(Ordering::Acquire) == H::OPEN).then_some((shell, pass))
}

/// Enters, or says why not. `closes`: for a close, a broken handle is as good as an open one.
///
/// # Safety
/// As for [`enter`].
#[cold]
#[inline(never)]
unsafe fn enter_slowly<H: Handle>(
    handle: *const H,
    call: &str,
    closes: bool,
) -> Result<Entered<H>, Failure> {
    if handle.is_null() || !handle.is_aligned() {
        return Err(no_handle::<H>(handle.is_null()));
    }
    // SAFETY: as in `enter_at_once`.
    let shell = unsafe { &*handle }.shell();
    let check = || match shell.mark.load(Ordering::Acquire) {
        mark if mark == H::OPEN => Ok(()),
        mark if mark == H::BROKEN && closes => Ok(()),
        mark if mark == H::BROKEN => Err(broken(call)),
        mark if mark == H::CLOSED => Err(closed()),
        _ => Err(no_handle::<H>(false)),
    };
    check()?; // before anything is written to what may be no handle at all
    let Some(pass) = shell.pass() else {
        return Err(if shell.pid.load(Ordering::Relaxed) == std::process::id() {
            busy(call)
        } else {
            Failure::forked(H::NAME)
        });
    };
    check()?;
    Ok((shell, pass))
}

#[cold]
fn no_handle<H: Handle>(null: bool) -> Failure {
    Failure::invalid(if null {
        format!("the {} is NULL: create it or attach to it first", H::NAME)
    } else {
        format!(
            "the pointer is no handle of a {}: pass what create or attach wrote",
            H::NAME
        )
    })
}

#[cold]
fn closed() -> Failure {
    Failure::invalid("the handle was closed: attach again")
}

#[cold]
fn broken(call: &str) -> Failure {
    Failure::with(
        PRODCON_PANIC,
        format!("{call}: an earlier call met a bug inside prodcon: close the handle"),
    )
}

#[cold]
fn busy(call: &str) -> Failure {
    Failure::invalid(format!(
        "{call}: another thread (or the code that a signal interrupted) is using this handle right now: attach once for each thread"
    ))
}

/// Marks a handle as broken unless it is forgotten.
struct Fuse<'a, H: Handle>(&'a Shell<H::Content>);

impl<H: Handle> Drop for Fuse<'_, H> {
    fn drop(&mut self) {
        self.0.mark.store(H::BROKEN, Ordering::Release); // pairs with the loads in `enter_slowly`
    }
}

/// Runs `work` on what is behind a handle, if it is open and not in use. `holds`: the call holds
/// off cancellations itself where it waits or does much, as those do that put and get; for other
/// calls that is done here.
///
/// # Safety
/// `handle` is NULL or what [`open`] gave, whether closed by now or not.
#[inline(always)]
pub unsafe fn with<H: Handle>(
    handle: *const H,
    call: &'static str,
    holds: bool,
    work: impl FnOnce(&mut H::Content) -> Result<(), Failure>,
) -> Status {
    let _held = if holds { None } else { Some(Held::begin()) };
    run_reported(|| {
        // SAFETY: this function's contract.
        let (shell, _pass) = match unsafe { enter(handle, call) } {
            Ok(entered) => entered,
            Err(failure) => return report(None, failure),
        };
        let place = shell.content.get();
        // SAFETY: this thread is inside until `_pass` is dropped, so nobody else has a reference to
        // the content; the shell lives for ever.
        let Some(content) = (unsafe { &mut *place }) else {
            return report(None, closed());
        };
        let fuse = Fuse::<H>(shell);
        let done = work(content);
        std::mem::forget(fuse);
        match done {
            Ok(()) => PRODCON_OK,
            Err(failure) => report(Some((H::NAME, H::name(content))), failure),
        }
    })
}

/// Runs `work` on what is behind several handles, in that order, if all of them are open and not in
/// use. A handle may be there several times. It holds off cancellations. `handles`: why not, if
/// that is clear already.
///
/// # Safety
/// Each handle is NULL or what [`open`] gave, whether closed by now or not.
pub unsafe fn with_several<H: Handle>(
    handles: Result<Vec<*const H>, Failure>,
    call: &'static str,
    work: impl FnOnce(&[&H::Content]) -> Result<(), Failure>,
) -> Status {
    run(|| {
        let handles = handles?;
        let mut entered: Vec<(*const H, Entered<H>)> = vec![];
        for handle in &handles {
            if !entered.iter().any(|(known, _)| known == handle) {
                // SAFETY: this function's contract.
                entered.push((*handle, unsafe { enter(*handle, call) }?));
            }
        }
        let mut contents = vec![];
        for handle in &handles {
            let known = entered.iter().find(|(known, _)| known == handle);
            let place = known.map(|(_, (shell, _))| shell.content.get());
            let place = place.ok_or_else(closed)?;
            // SAFETY: this thread is inside until `entered` is dropped, and only shared references
            // are made of the content; the shell lives for ever.
            contents.push(unsafe { &*place }.as_ref().ok_or_else(closed)?);
        }
        let fuses: Vec<_> = entered
            .iter()
            .map(|(_, (shell, _))| Fuse::<H>(shell))
            .collect();
        let done = work(&contents);
        fuses.into_iter().for_each(std::mem::forget);
        done
    })
}

/// The short way of [`with`], for what is mostly done at once: `None` if the handle cannot be
/// entered, or `work` says so, or panics; nothing is reported, and the caller goes the long way,
/// which finds out why.
///
/// # Safety
/// As for [`with`].
#[inline(always)]
pub unsafe fn at_once_with<H: Handle, R>(
    handle: *const H,
    work: impl FnOnce(&mut H::Content) -> Option<R>,
) -> Option<R> {
    // SAFETY: this function's contract.
    let (shell, _pass) = unsafe { enter_at_once(handle) }?;
    let place = shell.content.get();
    // SAFETY: this thread is inside, see `with`.
    let content = unsafe { &mut *place }.as_mut()?;
    catch_unwind(AssertUnwindSafe(|| work(content))).unwrap_or_else(|payload| {
        drop(Fuse::<H>(shell));
        std::mem::forget(payload); // its destructor might panic again
        None
    })
}

/// Closes a handle and hands out what was behind it.
///
/// # Safety
/// As for [`with`].
pub unsafe fn close<H: Handle>(
    handle: *const H,
    call: &'static str,
    last: impl FnOnce(H::Content),
) -> Status {
    run(|| {
        // SAFETY: this function's contract.
        let (shell, pass) = unsafe { enter_slowly(handle, call, true) }?;
        shell.mark.store(H::CLOSED, Ordering::Release);
        let place = shell.content.get();
        // SAFETY: this thread is inside until `pass` is dropped, see `with`.
        let place = unsafe { &mut *place };
        let content = place.take();
        drop(pass);
        // SAFETY: it was entered, so it is not NULL, and it lives for ever.
        lay_down(unsafe { &*handle });
        if let Some(content) = content {
            last(content); // at the end: it might panic
        }
        Ok(())
    })
}
