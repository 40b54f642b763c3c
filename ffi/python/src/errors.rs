//! The library's errors as Python's: which class, and the text.
//!
//! The classes are made in `prodcon/_errors.py`.

use prodcon::{Fault, GetError, OpenError, PutError, StateError};
use pyo3::prelude::*;
use pyo3::{PyTypeInfo, import_exception};

import_exception!(prodcon._errors, Full);
import_exception!(prodcon._errors, Empty);
import_exception!(prodcon._errors, PutTimedOut);
import_exception!(prodcon._errors, GetTimedOut);
import_exception!(prodcon._errors, NotReady);
import_exception!(prodcon._errors, Stopped);
import_exception!(prodcon._errors, TooLarge);
import_exception!(prodcon._errors, NotFound);
import_exception!(prodcon._errors, Removed);
import_exception!(prodcon._errors, Exists);
import_exception!(prodcon._errors, Incompatible);
import_exception!(prodcon._errors, NoSeat);
import_exception!(prodcon._errors, Corrupt);
import_exception!(prodcon._errors, Exhausted);
import_exception!(prodcon._errors, Forked);
import_exception!(prodcon._errors, Invalid);
import_exception!(prodcon._errors, Closed);
import_exception!(prodcon._errors, Denied);
import_exception!(prodcon._errors, OsFault);

fn os(errno: i32, text: String) -> PyErr {
    OsFault::new_err((errno, text))
}

/// Of a queue that one is attached to.
pub fn fault(fault: Fault) -> PyErr {
    let text = fault.to_string();
    match fault {
        Fault::Removed { .. } => Removed::new_err(text),
        Fault::Corrupt { .. } => Corrupt::new_err(text),
        Fault::Exhausted { .. } => Exhausted::new_err(text),
        Fault::Forked { .. } => Forked::new_err(text),
        Fault::ReadOnly { .. } => Denied::new_err(text),
        Fault::Os { errno, .. } => os(errno, text),
        _ => Invalid::new_err(text),
    }
}

/// The library's short answers do not name the queue.
fn named(error: &impl std::fmt::Display, queue: &str) -> String {
    error.to_string().replacen("the queue", &format!("queue '{queue}'"), 1)
}

/// Of a put; `queue` is its name.
pub fn put(error: PutError, queue: &str) -> PyErr {
    let text = match &error {
        PutError::Full | PutError::TimedOut | PutError::NotReady | PutError::Stopped => named(&error, queue),
        _ => error.to_string(),
    };
    match error {
        PutError::Full => Full::new_err(text),
        PutError::TimedOut => PutTimedOut::new_err(text),
        PutError::NotReady => NotReady::new_err(text),
        PutError::Stopped => Stopped::new_err(text),
        PutError::TooLarge { .. } => TooLarge::new_err(text),
        PutError::Fault(error) => fault(error),
        _ => Invalid::new_err(text),
    }
}

/// Of a get; `queue` is its name.
pub fn get(error: GetError, queue: &str) -> PyErr {
    let text = named(&error, queue);
    match error {
        GetError::Empty => Empty::new_err(text),
        GetError::TimedOut => GetTimedOut::new_err(text),
        GetError::Stopped => Stopped::new_err(text),
        GetError::Fault(error) => fault(error),
        error => Invalid::new_err(error.to_string()),
    }
}

/// Of create, attach, unlink, list.
pub fn open(error: OpenError) -> PyErr {
    let text = error.to_string();
    match error {
        OpenError::NotFound { .. } | OpenError::NoDirectory { .. } | OpenError::Replaced { .. } => NotFound::new_err((libc::ENOENT, text)),
        OpenError::Removed { .. } => Removed::new_err(text),
        OpenError::Exists { .. } => Exists::new_err((libc::EEXIST, text)),
        OpenError::Incompatible { .. } => Incompatible::new_err(text),
        OpenError::NoSeat { .. } => NoSeat::new_err(text),
        OpenError::Denied { .. } => Denied::new_err((libc::EACCES, text)),
        OpenError::NoSpace { .. } => os(libc::ENOSPC, text),
        OpenError::FileLimit { .. } => os(libc::EFBIG, text),
        OpenError::Busy { .. } => os(libc::EBUSY, text),
        OpenError::Directory { errno, .. } => os(errno, text),
        OpenError::Corrupt { .. } => Corrupt::new_err(text),
        OpenError::Os { errno, .. } => os(errno, text),
        _ => Invalid::new_err(text),
    }
}

/// Of a change of state.
pub fn state(error: StateError) -> PyErr {
    match error {
        StateError::Fault(error) => fault(error),
        error => Invalid::new_err(error.to_string()),
    }
}

/// Of a call on a file that belongs to a queue.
pub fn io(error: &std::io::Error, queue: &str, call: &str) -> PyErr {
    os(error.raw_os_error().unwrap_or(libc::EIO), format!("queue '{queue}': {call} failed: {error}"))
}

/// Imports all classes: where one is first looked up while the interpreter ends, that would panic.
pub fn check(py: Python<'_>) -> PyResult<()> {
    // `type_object` would panic where this gives an ImportError.
    py.import("prodcon._errors")?;
    let types = [
        Full::type_object,
        Empty::type_object,
        PutTimedOut::type_object,
        GetTimedOut::type_object,
        NotReady::type_object,
        Stopped::type_object,
        TooLarge::type_object,
        NotFound::type_object,
        Removed::type_object,
        Exists::type_object,
        Incompatible::type_object,
        NoSeat::type_object,
        Corrupt::type_object,
        Exhausted::type_object,
        Forked::type_object,
        Invalid::type_object,
        Closed::type_object,
        Denied::type_object,
        OsFault::type_object,
    ];
    for make in types {
        let _ = make(py);
    }
    Ok(())
}
