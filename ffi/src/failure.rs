//! An error on its way to C: a status, and a text for this thread.
//!
//! Invariants: no panic leaves [`run`]; the thread's text is written when something fails and never otherwise, so success costs nothing. Callers: all of this crate.

use crate::cancel::Held;
use crate::status::*;
use rust::worker::{RecvError, SendError, WorkerError};
use rust::{Fault, GetError, OpenError, PutError, StateError};
use std::cell::RefCell;
use std::ffi::{CStr, c_char};
use std::panic::{AssertUnwindSafe, catch_unwind};

#[cfg(test)]
mod tests;

/// Why a call did not do what it should.
#[derive(Debug, PartialEq, Eq)]
pub struct Failure {
    /// What C is answered.
    pub status: Status,
    /// What `prodcon_last_error` says.
    pub text: Text,
}

/// A text, made only when it is needed.
#[derive(Debug, PartialEq, Eq)]
pub enum Text {
    /// Follows on `queue 'name'`, or `worker 'name'`: for answers that a polling program gets all the time.
    After(&'static str),
    /// The whole text.
    Whole(String),
    /// It has been written already.
    Reported,
}

impl Failure {
    /// An answer about the queue at hand.
    pub fn answer(status: Status, text: &'static str) -> Self {
        Self {
            status,
            text: Text::After(text),
        }
    }

    /// One that was reported already.
    pub fn reported(status: Status) -> Self {
        Self { status, text: Text::Reported }
    }

    /// A call that makes no sense.
    #[cold]
    pub fn invalid(text: impl Into<String>) -> Self {
        Self::with(PRODCON_INVALID, text)
    }

    /// Any status with a text.
    #[cold]
    pub fn with(status: Status, text: impl Into<String>) -> Self {
        Self {
            status,
            text: Text::Whole(text.into()),
        }
    }
}

impl From<Fault> for Failure {
    #[cold]
    fn from(fault: Fault) -> Self {
        let status = match fault {
            Fault::Removed { .. } => PRODCON_NOT_FOUND,
            Fault::Corrupt { .. } => PRODCON_CORRUPT,
            Fault::Exhausted { .. } => PRODCON_EXHAUSTED,
            Fault::Forked { .. } => PRODCON_FORKED,
            Fault::AtMostOnce { .. } => PRODCON_INVALID,
            _ => PRODCON_OS,
        };
        Self::with(status, fault.to_string())
    }
}

impl From<PutError> for Failure {
    fn from(error: PutError) -> Self {
        match error {
            PutError::Full => Self::answer(PRODCON_FULL, "is full"),
            PutError::TimedOut => Self::answer(PRODCON_TIMED_OUT, "stayed full: timed out"),
            PutError::NotReady => Self::answer(PRODCON_NOT_READY, "is not ready: its consumer has to set it ready"),
            PutError::Stopped => Self::answer(PRODCON_STOPPED, "is stopped: set its state to started"),
            PutError::TooLarge { .. } => Self::with(PRODCON_TOO_LARGE, error.to_string()),
            PutError::Fault(fault) => fault.into(),
            _ => Self::invalid(error.to_string()),
        }
    }
}

impl From<GetError> for Failure {
    fn from(error: GetError) -> Self {
        match error {
            GetError::Empty => Self::answer(PRODCON_EMPTY, "is empty"),
            GetError::TimedOut => Self::answer(PRODCON_TIMED_OUT, "stayed empty: timed out"),
            GetError::Stopped => Self::answer(PRODCON_STOPPED, "is stopped: end of stream"),
            GetError::Fault(fault) => fault.into(),
            _ => Self::invalid(error.to_string()),
        }
    }
}

impl From<OpenError> for Failure {
    #[cold]
    fn from(error: OpenError) -> Self {
        let status = match error {
            OpenError::NotFound { .. } | OpenError::NoDirectory { .. } | OpenError::Replaced { .. } | OpenError::Removed { .. } => PRODCON_NOT_FOUND,
            OpenError::Exists { .. } => PRODCON_EXISTS,
            OpenError::Name { .. } | OpenError::Invalid { .. } => PRODCON_INVALID,
            OpenError::Incompatible { .. } => PRODCON_INCOMPATIBLE,
            OpenError::NoSeat { .. } => PRODCON_NO_SEAT,
            OpenError::Corrupt { .. } => PRODCON_CORRUPT,
            _ => PRODCON_OS,
        };
        Self::with(status, error.to_string())
    }
}

impl From<StateError> for Failure {
    #[cold]
    fn from(error: StateError) -> Self {
        match error {
            StateError::Fault(fault) => fault.into(),
            other => Self::invalid(other.to_string()),
        }
    }
}

impl From<WorkerError> for Failure {
    #[cold]
    fn from(error: WorkerError) -> Self {
        match error {
            WorkerError::Open(error) => error.into(),
            WorkerError::Fault(fault) => fault.into(),
            WorkerError::State(error) => error.into(),
            WorkerError::Put(error) => error.into(),
            WorkerError::Stopped { .. } => Self::with(PRODCON_STOPPED, error.to_string()),
            other => Self::invalid(other.to_string()),
        }
    }
}

impl From<SendError> for Failure {
    #[cold]
    fn from(error: SendError) -> Self {
        match error {
            SendError::TooLarge { .. } => Self::with(PRODCON_TOO_LARGE, error.to_string()),
            SendError::Stopped { .. } | SendError::Ended { .. } => Self::with(PRODCON_STOPPED, error.to_string()),
            SendError::Full { .. } => Self::with(PRODCON_FULL, error.to_string()),
            SendError::Open(error) => error.into(),
            SendError::Fault(fault) => fault.into(),
            other => Self::invalid(other.to_string()),
        }
    }
}

impl From<RecvError> for Failure {
    #[cold]
    fn from(error: RecvError) -> Self {
        match error {
            RecvError::Empty => Self::answer(PRODCON_EMPTY, "has no message"),
            RecvError::TimedOut => Self::answer(PRODCON_TIMED_OUT, "got no message in that time"),
            RecvError::Stopped => Self::answer(PRODCON_STOPPED, "was stopped"),
            RecvError::Open(error) => error.into(),
            RecvError::Fault(fault) => fault.into(),
            other => Self::invalid(other.to_string()),
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.text {
            Text::After(text) => f.write_str(text),
            Text::Whole(text) => f.write_str(text),
            Text::Reported => write!(f, "status {}", self.status),
        }
    }
}

thread_local! {
    /// The text of this thread's last failure, NUL-terminated if not empty.
    static LAST: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Runs what a C function does. A panic is answered as `PRODCON_PANIC`; the thread is not cancelled meanwhile.
#[inline(always)]
pub fn run(work: impl FnOnce() -> Result<(), Failure>) -> Status {
    let _held = Held::begin();
    run_reported(|| work().map_or_else(|failure| report(None, failure), |()| PRODCON_OK))
}

/// As [`run`], for work that has reported its failures, and that cares for cancellations itself.
#[inline(always)]
pub fn run_reported(work: impl FnOnce() -> Status) -> Status {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(panicked)
}

#[cold]
fn panicked(payload: Box<dyn std::any::Any + Send>) -> Status {
    let what = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let what = what.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_default();
    std::mem::forget(payload); // its destructor might panic again
    report(None, Failure::with(PRODCON_PANIC, format!("a bug inside prodcon, please report it: {what}")))
}

/// Writes this thread's text. `about`: what and which it is about, such as `("queue", "frames")`.
#[cold]
#[inline(never)]
pub fn report(about: Option<(&str, &str)>, failure: Failure) -> Status {
    // While the thread is being torn down there is no place for a text any more; the status still is right.
    let _ = LAST.try_with(|last| {
        let Ok(mut last) = last.try_borrow_mut() else { return };
        if matches!(failure.text, Text::Reported) {
            return;
        }
        last.clear();
        match &failure.text {
            Text::After(text) => {
                let (what, name) = about.unwrap_or(("queue", "?"));
                for piece in [what, " '", name, "' ", text] {
                    last.push_str(piece);
                }
            }
            Text::Reported => {}
            Text::Whole(text) => last.push_str(text),
        }
        if last.contains('\0') {
            *last = last.replace('\0', "\\0");
        }
        last.push('\0');
    });
    failure.status
}

/// What went wrong with this thread's last call that did not answer `PRODCON_OK`, with names and values and what to do; "" if there was none. Successful calls leave it alone.
/// Never NULL. Belongs to prodcon and is valid until this thread's next call of a `prodcon_` function that fails: copy what must last longer. Each thread has its own text.
#[unsafe(no_mangle)]
pub extern "C" fn prodcon_last_error() -> *const c_char {
    let text = LAST.try_with(|last| match last.try_borrow() {
        Ok(last) if !last.is_empty() => last.as_ptr().cast(),
        _ => c"".as_ptr(),
    });
    text.unwrap_or(c"".as_ptr())
}

/// A C string that names something.
///
/// # Safety
/// `text` is NULL or points to a NUL-terminated string that stays as it is for `'a`.
pub unsafe fn string<'a>(text: *const c_char, what: &str) -> Result<&'a str, Failure> {
    if text.is_null() {
        return Err(Failure::invalid(format!("the {what} is NULL: pass a string")));
    }
    // SAFETY: not NULL, and a NUL-terminated string that lives for 'a by this function's contract.
    let text = unsafe { CStr::from_ptr(text) };
    text.to_str().map_err(|_| {
        Failure::invalid(format!(
            "the {what} '{}' is not UTF-8: use letters, digits, '.', '_' and '-'",
            text.to_string_lossy().escape_debug()
        ))
    })
}

/// An output pointer that has to be there.
#[inline(always)]
pub fn output<T>(pointer: *mut T, what: &'static str) -> Result<Output<T>, Failure> {
    if pointer.is_null() { Err(no_output(what)) } else { Ok(Output(pointer)) }
}

#[cold]
fn no_output(what: &'static str) -> Failure {
    Failure::invalid(format!("'{what}' is NULL: pass the address of a variable for it"))
}

/// A checked output pointer, written on success.
#[derive(Debug)]
pub struct Output<T>(*mut T);

impl<T> Output<T> {
    /// # Safety
    /// The pointer given to [`output`] is the address of a variable that C may write to.
    #[inline(always)]
    pub unsafe fn write(self, value: T) {
        // SAFETY: not NULL (checked by `output`), writable by this function's contract, and it need not be aligned.
        unsafe { self.0.write_unaligned(value) };
    }
}

/// Writes a struct whose first field is its size: as many bytes as the caller has room for, zeros where that is more than this library knows.
///
/// # Safety
/// `to` is NULL, or begins with a `u32` and is writable for as many bytes as that says. `value` begins with a `u32` too, is plain data and has no padding.
pub unsafe fn sized_output<T>(to: *mut T, value: &mut T, what: &'static str) -> Result<(), Failure> {
    output(to, what)?;
    // SAFETY: not NULL; a u32 by this function's contract.
    let size = unsafe { to.cast::<u32>().read_unaligned() };
    let own = size_of::<T>();
    if !(8..=65536).contains(&size) {
        return Err(Failure::invalid(format!("{what}.size is {size}: set it to the sizeof of the struct, {own}")));
    }
    // SAFETY: `value` begins with a u32 by this function's contract.
    unsafe { (&raw mut *value).cast::<u32>().write(size) };
    let (to, size) = (to.cast::<u8>(), size as usize);
    // SAFETY: size bytes are writable at `to` and own bytes readable in `value`, by this function's contract.
    unsafe { std::ptr::copy_nonoverlapping((&raw const *value).cast::<u8>(), to, size.min(own)) };
    if size > own {
        // SAFETY: own < size bytes are writable there.
        let rest = unsafe { to.add(own) };
        // SAFETY: as above.
        unsafe { rest.write_bytes(0, size - own) };
    }
    Ok(())
}
