//! The end of the process, for the owned queues that it has handles of.
//!
//! Invariant: nothing here runs code of Python with the lock.

use crate::handle::Handle;
use crate::owned;
use pyo3::prelude::*;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// The handles of owned queues in this process.
static HANDLES: Mutex<Vec<Weak<Handle>>> = Mutex::new(Vec::new());

/// Notes a handle of an owned queue.
pub fn remember(handle: &Arc<Handle>) {
    if handle.owned {
        let mut handles = HANDLES.lock().unwrap_or_else(PoisonError::into_inner);
        handles.retain(|handle| handle.strong_count() > 0);
        handles.push(Arc::downgrade(handle));
    }
}

fn handles() -> Vec<Arc<Handle>> {
    let handles = HANDLES.lock().unwrap_or_else(PoisonError::into_inner);
    handles.iter().filter_map(Weak::upgrade).collect()
}

/// In a child to which its parent's queues were handed: attaches to them, so that they stay.
#[pyfunction]
pub fn _hold_all() {
    for handle in handles() {
        if !handle.is_closed() {
            handle.hold();
        }
    }
}

/// The process ends: leaves all owned queues; what it made goes, or is left to those attached.
pub fn leave_all() {
    for handle in handles() {
        handle.hand(); // so that closing it decides nothing yet
        handle.close();
    }
    owned::_leave_kept();
}

/// At the end of the process, after the interpreter: for a program whose exit was interrupted.
pub extern "C" fn at_exit() {
    leave_all();
}
