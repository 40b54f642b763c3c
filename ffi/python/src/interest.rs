//! What `select` waits for.

use crate::handle::Handle;
use pyo3::prelude::*;
use pyo3::pyclass::{PyTraverseError, PyVisit};
use std::sync::Arc;

/// Something to wait for with `select`: made by `ReadyQueue.readable()` and `writable()`.
#[pyclass(frozen, module = "prodcon")]
pub struct Interest {
    handle: Arc<Handle>,
    /// The `ReadyQueue`, which stays for as long as the interest.
    pub queue: Py<PyAny>,
    pub writes: bool,
}

impl Interest {
    /// In the queue of this handle.
    pub fn new(handle: Arc<Handle>, queue: Py<PyAny>, writes: bool) -> Self {
        Self {
            handle,
            queue,
            writes,
        }
    }
}

#[pymethods]
impl Interest {
    /// A subclass's instance may have the interest in itself among its attributes.
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.queue)
    }

    fn __repr__(&self) -> String {
        let what = if self.writes { "writable" } else { "readable" };
        format!("<prodcon.Interest {what} '{}'>", self.handle.name)
    }
}
