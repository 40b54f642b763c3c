//! The library's errors as Python's: which class, and the text.
//!
//! The classes are made in `prodcon/_errors.py`.

use prodcon::{Error, ErrorKind, GetError, PutError};
use pyo3::prelude::*;
use pyo3::{PyTypeInfo, import_exception};

import_exception!(prodcon._errors, Full);
import_exception!(prodcon._errors, Empty);
import_exception!(prodcon._errors, TimedOut);
import_exception!(prodcon._errors, PutTimedOut);
import_exception!(prodcon._errors, GetTimedOut);
import_exception!(prodcon._errors, NotReady);
import_exception!(prodcon._errors, Stopped);
import_exception!(prodcon._errors, TooLarge);
import_exception!(prodcon._errors, NotFound);
import_exception!(prodcon._errors, Removed);
import_exception!(prodcon._errors, Exists);
import_exception!(prodcon._errors, OptionsDiffer);
import_exception!(prodcon._errors, Incompatible);
import_exception!(prodcon._errors, NoSeat);
import_exception!(prodcon._errors, Corrupt);
import_exception!(prodcon._errors, Exhausted);
import_exception!(prodcon._errors, Forked);
import_exception!(prodcon._errors, Invalid);
import_exception!(prodcon._errors, Closed);
import_exception!(prodcon._errors, Cancelled);
import_exception!(prodcon._errors, Denied);
import_exception!(prodcon._errors, OsFault);

fn os(errno: i32, text: String) -> PyErr {
    OsFault::new_err((errno, text))
}

/// What the library says, as the exception of its kind.
pub fn error(error: Error) -> PyErr {
    let text = error.to_string();
    match error.kind() {
        ErrorKind::Full => Full::new_err(text),
        ErrorKind::Empty => Empty::new_err(text),
        ErrorKind::TimedOut => TimedOut::new_err(text),
        ErrorKind::NotReady => NotReady::new_err(text),
        ErrorKind::Stopped => Stopped::new_err(text),
        ErrorKind::Cancelled => Cancelled::new_err(CANCELLED),
        ErrorKind::NotFound => NotFound::new_err((libc::ENOENT, text)),
        ErrorKind::AlreadyExists => Exists::new_err((libc::EEXIST, text)),
        ErrorKind::OptionsDiffer => options_differ(&error, text),
        ErrorKind::Removed => Removed::new_err(text),
        ErrorKind::Incompatible => Incompatible::new_err(text),
        ErrorKind::NoSeat => NoSeat::new_err(text),
        ErrorKind::PermissionDenied | ErrorKind::ReadOnly => Denied::new_err((libc::EACCES, text)),
        ErrorKind::TooLarge => TooLarge::new_err(text),
        ErrorKind::Forked => Forked::new_err(text),
        ErrorKind::Corrupt => Corrupt::new_err(text),
        ErrorKind::Exhausted => Exhausted::new_err(text),
        ErrorKind::NoSpace => os(libc::ENOSPC, text),
        ErrorKind::Os => {
            let source = std::error::Error::source(&error)
                .and_then(|source| source.downcast_ref::<std::io::Error>());
            os(
                source
                    .and_then(std::io::Error::raw_os_error)
                    .unwrap_or(libc::EIO),
                text,
            )
        }
        _ => Invalid::new_err(text),
    }
}

/// With the list of what differs: (option, wanted, found).
fn options_differ(error: &Error, text: String) -> PyErr {
    let differences: Vec<(&str, String, String)> = error
        .differences()
        .iter()
        .map(|difference| {
            (
                difference.option,
                difference.wanted.clone(),
                difference.found.clone(),
            )
        })
        .collect();
    OptionsDiffer::new_err((libc::EEXIST, text, differences))
}

/// The library's short answers do not name the queue.
fn named(error: &impl std::fmt::Display, queue: &str) -> String {
    error
        .to_string()
        .replacen("the queue", &format!("queue '{queue}'"), 1)
}

const CANCELLED: &str = "the wait was cancelled: the handle was closed";

/// The handle was closed during a wait.
pub fn cancelled(queue: &str) -> PyErr {
    Cancelled::new_err(format!("queue '{queue}': {CANCELLED}"))
}

/// Of a put; `queue` is its name.
pub fn put(answer: PutError, queue: &str) -> PyErr {
    let text = named(&answer, queue);
    match answer {
        PutError::Full => Full::new_err(text),
        PutError::TimedOut => PutTimedOut::new_err(text),
        PutError::NotReady => NotReady::new_err(text),
        PutError::Stopped => Stopped::new_err(text),
        PutError::Cancelled => cancelled(queue),
        PutError::Failed(failed) => error(failed),
        _ => Invalid::new_err(text),
    }
}

/// Of a get; `queue` is its name.
pub fn get(answer: GetError, queue: &str) -> PyErr {
    let text = named(&answer, queue);
    match answer {
        GetError::Empty => Empty::new_err(text),
        GetError::TimedOut => GetTimedOut::new_err(text),
        GetError::Stopped => Stopped::new_err(text),
        GetError::Cancelled => cancelled(queue),
        GetError::Failed(failed) => error(failed),
        _ => Invalid::new_err(text),
    }
}

/// Notes on an error how many items were put before it.
pub fn after(py: Python<'_>, error: PyErr, put: usize) -> PyErr {
    // Not every exception of others takes attributes.
    let _ = error.value(py).setattr("put", put);
    error
}

/// Of a call on a file that belongs to a queue.
pub fn io(error: &std::io::Error, queue: &str, call: &str) -> PyErr {
    let errno = error.raw_os_error().unwrap_or(libc::EIO);
    let remedy = match errno {
        libc::EMFILE | libc::ENFILE => ": close some, or raise the limit (`ulimit -n`)",
        _ => "",
    };
    os(
        errno,
        format!("queue '{queue}': {call} failed: {error}{remedy}"),
    )
}

/// Imports all classes: where one is first looked up while the interpreter ends, that would panic.
pub fn check(py: Python<'_>) -> PyResult<()> {
    // `type_object` would panic where this gives an ImportError.
    py.import("prodcon._errors")?;
    let types = [
        Full::type_object,
        Empty::type_object,
        TimedOut::type_object,
        PutTimedOut::type_object,
        GetTimedOut::type_object,
        NotReady::type_object,
        Stopped::type_object,
        TooLarge::type_object,
        NotFound::type_object,
        Removed::type_object,
        Exists::type_object,
        OptionsDiffer::type_object,
        Incompatible::type_object,
        NoSeat::type_object,
        Corrupt::type_object,
        Exhausted::type_object,
        Forked::type_object,
        Invalid::type_object,
        Closed::type_object,
        Cancelled::type_object,
        Denied::type_object,
        OsFault::type_object,
    ];
    for make in types {
        let _ = make(py);
    }
    Ok(())
}
