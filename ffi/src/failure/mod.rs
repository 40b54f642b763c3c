//! An error on its way to C: a status, and a text for this thread.
//!
//! Invariants: no panic leaves [`run`]; the thread's text is written when something fails and never
//! otherwise, so success costs nothing.

use crate::cancel::Held;
use crate::status::*;
use rust::{Error, ErrorKind, GetError, PutError, PutSliceError};
use std::cell::RefCell;
use std::ffi::{CStr, c_char, c_void};
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
    /// Follows on `queue 'name'`, or `worker 'name'`: for answers that a polling program gets all
    /// the time.
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
        Self {
            status,
            text: Text::Reported,
        }
    }

    /// A handle, of what is named so, that was made before a fork, in the child.
    #[cold]
    pub fn forked(of: &str) -> Self {
        Self::with(
            PRODCON_FORKED,
            format!(
                "this handle of a {of} belongs to the parent process: attach again in the forked child"
            ),
        )
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

/// The number of a kind.
fn status_of(kind: ErrorKind) -> Status {
    match kind {
        ErrorKind::Full => PRODCON_FULL,
        ErrorKind::Empty => PRODCON_EMPTY,
        ErrorKind::TimedOut => PRODCON_TIMED_OUT,
        ErrorKind::NotReady => PRODCON_NOT_READY,
        ErrorKind::Stopped => PRODCON_STOPPED,
        ErrorKind::Cancelled => PRODCON_CANCELLED,
        ErrorKind::TooLarge => PRODCON_TOO_LARGE,
        ErrorKind::NotFound | ErrorKind::Removed => PRODCON_NOT_FOUND,
        ErrorKind::AlreadyExists => PRODCON_EXISTS,
        ErrorKind::Incompatible => PRODCON_INCOMPATIBLE,
        ErrorKind::NoSeat => PRODCON_NO_SEAT,
        ErrorKind::Corrupt => PRODCON_CORRUPT,
        ErrorKind::Forked => PRODCON_FORKED,
        ErrorKind::PermissionDenied
        | ErrorKind::ReadOnly
        | ErrorKind::NoSpace
        | ErrorKind::Os
        | ErrorKind::Spawn => PRODCON_OS,
        ErrorKind::Exhausted => PRODCON_EXHAUSTED,
        ErrorKind::OptionsDiffer => PRODCON_DIFFERS,
        // Names, options, lengths, states, and kinds that are not known yet.
        _ => PRODCON_INVALID,
    }
}

impl From<Error> for Failure {
    #[cold]
    fn from(error: Error) -> Self {
        Self::with(status_of(error.kind()), error.to_string())
    }
}

impl From<PutError> for Failure {
    fn from(error: PutError) -> Self {
        match error {
            PutError::Full => Self::answer(PRODCON_FULL, "is full"),
            PutError::TimedOut => Self::answer(PRODCON_TIMED_OUT, "stayed full: timed out"),
            PutError::NotReady => Self::answer(
                PRODCON_NOT_READY,
                "is not ready: its consumer has to set it ready",
            ),
            PutError::Stopped => Self::answer(
                PRODCON_STOPPED,
                "takes no items: it is stopped, or its stream ends; set its state to started (from stop_at_queue_end by way of stopped)",
            ),
            PutError::Failed(error) => error.into(),
            other => Self::with(status_of(other.kind()), other.to_string()),
        }
    }
}

impl From<PutSliceError> for Failure {
    fn from(error: PutSliceError) -> Self {
        error.error.into()
    }
}

impl From<GetError> for Failure {
    fn from(error: GetError) -> Self {
        match error {
            GetError::Empty => Self::answer(PRODCON_EMPTY, "is empty"),
            GetError::TimedOut => Self::answer(PRODCON_TIMED_OUT, "stayed empty: timed out"),
            GetError::Stopped => Self::answer(PRODCON_STOPPED, "is stopped: end of stream"),
            GetError::Failed(error) => error.into(),
            other => Self::with(status_of(other.kind()), other.to_string()),
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

/// Runs what a C function does. A panic is answered as `PRODCON_PANIC`; the thread is not
/// cancelled meanwhile.
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
    let what = payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned());
    let what = what
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_default();
    std::mem::forget(payload); // its destructor might panic again
    report(
        None,
        Failure::with(
            PRODCON_PANIC,
            format!("a bug inside prodcon, please report it: {what}"),
        ),
    )
}

/// Writes this thread's text. `about`: what and which it is about, such as `("queue", "frames")`.
#[cold]
#[inline(never)]
pub fn report(about: Option<(&str, &str)>, failure: Failure) -> Status {
    // While the thread is being torn down there is no place for a text any more; the status still is right.
    let _ = LAST.try_with(|last| {
        let Ok(mut last) = last.try_borrow_mut() else {
            return;
        };
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

/// Says what went wrong with this thread's last call that did not answer `PRODCON_OK`: with
/// names, values, and what to do. Calls that succeed leave the text alone.
///
/// - Returns: the text; "" if no call has failed. Never NULL.
/// - Ownership: prodcon's; valid until this thread's next call of a `prodcon_` function that
///   fails. Copy what must last longer.
/// - Threads: any; each has a text of its own.
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
        return Err(Failure::invalid(format!(
            "the {what} is NULL: pass a string"
        )));
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

/// Input that C says is `len` bytes long.
#[inline(always)]
pub(crate) fn input(
    data: *const c_void,
    len: usize,
    what: &'static str,
) -> Result<*const u8, Failure> {
    if data.is_null() {
        no_input(len, what)
    } else {
        Ok(data.cast())
    }
}

#[cold]
fn no_input(len: usize, what: &'static str) -> Result<*const u8, Failure> {
    if len == 0 {
        return Ok(std::ptr::dangling());
    }
    Err(Failure::invalid(format!(
        "'{what}' is NULL, but its length is {len}"
    )))
}

/// An output pointer that has to be there.
#[inline(always)]
pub fn output<T>(pointer: *mut T, what: &'static str) -> Result<Output<T>, Failure> {
    if pointer.is_null() {
        Err(no_output(what))
    } else {
        Ok(Output(pointer))
    }
}

#[cold]
fn no_output(what: &'static str) -> Failure {
    Failure::invalid(format!(
        "'{what}' is NULL: pass the address of a variable for it"
    ))
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

/// A struct of options, whose first field is its size. Zero is the default of every field.
///
/// # Safety
/// Any bytes are a value, and it begins with a `u32`.
pub unsafe trait Sized32: Copy {
    /// For texts, such as `options`.
    const NAME: &'static str;
    /// From here on the fields have 8 bytes, so that a struct cannot end within one.
    const WORDS_FROM: usize;
    /// All zero.
    const ZERO: Self;
}

/// Longer options are a mistake.
const MAX_OPTIONS_SIZE: usize = 4096;

/// Reads a struct of options of another size: a smaller one as if the rest were 0, of a larger
/// one the rest has to be 0.
///
/// # Safety
/// `from` is NULL, or points to a `u32` that says how many bytes are readable there.
pub unsafe fn sized_input<T: Sized32>(from: *const T) -> Result<T, Failure> {
    let (name, own) = (T::NAME, size_of::<T>());
    if from.is_null() {
        let text = format!(
            "the {name} are NULL: pass the address of a prodcon_{name} with its size in the first field"
        );
        return Err(Failure::invalid(text));
    }
    // SAFETY: not NULL, and a u32 at least by this function's contract.
    let size = unsafe { from.cast::<u32>().read_unaligned() } as usize;
    if !(4..=MAX_OPTIONS_SIZE).contains(&size) {
        let text = format!("{name}.size is {size}: set it to sizeof(prodcon_{name}), {own}");
        return Err(Failure::invalid(text));
    }
    let known = if size < own && size > T::WORDS_FROM {
        size & !7
    } else {
        size.min(own)
    };
    let mut options = T::ZERO;
    // SAFETY: known <= size bytes are readable at `from` by this function's contract, and known <= own
    // writable in `options`, which any bytes may fill (`Sized32`).
    unsafe {
        std::ptr::copy_nonoverlapping(from.cast::<u8>(), (&raw mut options).cast::<u8>(), known)
    };
    for at in own..size {
        // SAFETY: at < size.
        let byte = unsafe { from.cast::<u8>().add(at) };
        // SAFETY: as above.
        if unsafe { byte.read() } != 0 {
            let version = env!("CARGO_PKG_VERSION");
            let text = format!(
                "{name}.size is {size}, and byte {at} is not 0: this library ({version}) knows {own} bytes; \
                 set the rest to 0, or use a newer library"
            );
            return Err(Failure::invalid(text));
        }
    }
    Ok(options)
}

/// Writes a struct whose first field is its size: as many bytes as the caller has room for, zeros
/// where that is more than this library knows.
///
/// # Safety
/// `to` is NULL, or begins with a `u32` and is writable for as many bytes as that says. `value`
/// begins with a `u32` too, is plain data and has no padding.
pub unsafe fn sized_output<T>(
    to: *mut T,
    value: &mut T,
    what: &'static str,
) -> Result<(), Failure> {
    output(to, what)?;
    // SAFETY: not NULL; a u32 by this function's contract.
    let size = unsafe { to.cast::<u32>().read_unaligned() };
    let own = size_of::<T>();
    if !(8..=65536).contains(&size) {
        return Err(Failure::invalid(format!(
            "{what}.size is {size}: set it to the sizeof of the struct, {own}"
        )));
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
