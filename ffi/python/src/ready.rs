//! Descriptors that become readable when a queue is worth a try, for `select` and event loops.

use crate::errors::{self, Closed};
use crate::fork::generation;
use crate::handle::Handle;
use prodcon::ReadyFd;
use pyo3::prelude::*;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Makes a descriptor for items, or for space.
fn make(handle: &Handle, writable: bool) -> PyResult<ReadyFd> {
    let endpoint = handle.lend()?;
    let interest = if writable {
        endpoint.writable()
    } else {
        endpoint.readable()
    };
    interest.fd().map_err(errors::error)
}

/// One descriptor, for one wait. For `prodcon._async`.
#[pyclass(frozen, module = "prodcon._native", name = "_ReadyFd")]
pub struct Ready(Mutex<Option<ReadyFd>>);

impl Ready {
    pub fn new(handle: &Handle, writable: bool) -> PyResult<Self> {
        make(handle, writable).map(|ready| Self(Mutex::new(Some(ready))))
    }

    /// The lock is only taken with the interpreter's lock held, and never while that is given up.
    fn with<R>(&self, act: impl FnOnce(&ReadyFd) -> PyResult<R>) -> PyResult<R> {
        match &*locked(&self.0) {
            Some(ready) => act(ready),
            None => Err(Closed::new_err("the descriptor is closed")),
        }
    }
}

#[pymethods]
impl Ready {
    fn fileno(&self) -> PyResult<RawFd> {
        self.with(|ready| Ok(ready.as_raw_fd()))
    }

    /// Arms it. Returns True if there is something to try already. Then it is not armed.
    fn arm(&self) -> PyResult<bool> {
        self.with(|ready| ready.arm().map_err(errors::error))
    }

    /// Closes it. If it was armed, another waiter is woken instead.
    fn close(&self) {
        drop(locked(&self.0).take());
    }
}

/// A queue's own descriptor, made when it is first asked for. A forked child makes another one.
pub struct Own(Mutex<Option<(u64, ReadyFd)>>);

impl Own {
    pub const fn new() -> Self {
        Self(Mutex::new(None))
    }

    pub fn with<R>(
        &self,
        handle: &Handle,
        act: impl FnOnce(&ReadyFd) -> Result<R, prodcon::Error>,
    ) -> PyResult<R> {
        let mut own = locked(&self.0);
        if own.as_ref().is_none_or(|(born, _)| *born != generation()) {
            *own = None;
            *own = Some((generation(), make(handle, false)?));
        }
        match &*own {
            Some((_, ready)) => act(ready).map_err(errors::error),
            None => Err(Closed::new_err("the descriptor is closed")),
        }
    }

    pub fn close(&self) {
        drop(locked(&self.0).take());
    }
}

fn locked<T>(place: &Mutex<T>) -> MutexGuard<'_, T> {
    place.lock().unwrap_or_else(PoisonError::into_inner)
}
