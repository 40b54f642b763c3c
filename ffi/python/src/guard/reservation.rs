//! `prodcon.Reservation`: a block to be filled.

use super::{Guard, Made, Parts, locked, object};
use crate::buffer::{Export, Lending};
use crate::errors::{self, Invalid};
use crate::fork::generation;
use crate::handle::{Endpoint, Handle};
use crate::spill;
use crate::wait::{Until, away, check, enter};
use prodcon::{CommitError, Control, PutError, Reservation as Core};
use pyo3::exceptions::{PyBufferError, PyTypeError};
use pyo3::prelude::*;
use self_cell::{MutBorrow, self_cell};
use std::sync::Arc;
use std::time::Duration;

type Block<'a> = Option<Core<'a, [u8]>>;

self_cell!(
    struct Open {
        owner: MutBorrow<Box<Endpoint>>,
        #[not_covariant]
        dependent: Block,
    }
);

/// A block that is filled in place and then put: memoryview() and numpy.frombuffer() write into it.
///
/// As a context manager it is put at the end of the `with` block, waiting for space as long as it
/// takes. If an exception leaves the block, nothing is put. All views must be gone by then.
/// Otherwise their holder could write into an item that belongs to another process.
#[pyclass(
    subclass,
    frozen,
    module = "prodcon._native",
    name = "_ReservationBase"
)]
pub struct Reservation {
    guard: Guard<Open>,
}

/// Reserves a block of `len` bytes.
pub fn reserve<'py>(
    py: Python<'py>,
    handle: &Arc<Handle>,
    len: usize,
) -> PyResult<Bound<'py, PyAny>> {
    let _inside = enter(py)?;
    let endpoint = handle.lend()?.keep();
    let attempt = Open::try_new_or_recover(MutBorrow::new(endpoint), |owner| {
        owner.borrow_mut().reserve(len).map(Some)
    });
    let mut open = match attempt {
        Ok(open) => open,
        Err((owner, error)) => {
            handle.give_back(owner.into_inner(), generation());
            return Err(errors::put(error, &handle.name));
        }
    };
    let start = open.with_dependent_mut(|_, block| {
        let block = block.as_mut().expect("it was reserved");
        if let Some(stale) = spill::Reference::read(block) {
            stale.remove(handle);
        }
        block.as_mut_ptr()
    });
    let guard = Guard::new(handle.clone(), open, start, len);
    object(py, Made::Reservation(Reservation { guard }))
}

/// What refused a put was not `set_not_ready`, but that nobody has called `set_ready` yet: then the
/// queue takes items, and its consumer will find them. Queues with lasting names keep their gate.
#[cold]
pub fn opened(handle: &Handle) -> bool {
    handle.owned
        && handle
            .with_control(Control::open_first)
            .is_ok_and(|opened| opened.unwrap_or(false))
}

/// Puts a reserved block. The reservation comes back with the error.
pub fn commit<'a>(
    py: Python<'_>,
    block: Core<'a, [u8]>,
    until: Until,
    handle: &Handle,
) -> Result<(), (PyErr, Core<'a, [u8]>)> {
    let queue = &handle.name;
    let mut answer = block.commit_within(Duration::ZERO);
    loop {
        let CommitError {
            error, reservation, ..
        } = match answer {
            Ok(()) => return Ok(()),
            Err(refused) => refused,
        };
        if matches!(error, PutError::NotReady) && opened(handle) {
            answer = reservation.commit_within(Duration::ZERO);
            continue;
        }
        if !matches!(error, PutError::Full | PutError::TimedOut) {
            return Err((errors::put(error, queue), reservation));
        }
        let error = match (check(py), until.slice()) {
            (Err(interrupted), _) => interrupted,
            (Ok(()), Some(slice)) => {
                answer = away(py, || reservation.commit_within(slice));
                continue;
            }
            (Ok(()), None) => errors::put(
                if until.is_now() {
                    PutError::Full
                } else {
                    PutError::TimedOut
                },
                queue,
            ),
        };
        return Err((error, reservation));
    }
}

impl Reservation {
    fn put(&self, py: Python<'_>, until: Until) -> PyResult<()> {
        let _inside = enter(py)?;
        let mut state = self.guard.lock("block")?;
        if state.views > 0 {
            return Err(PyBufferError::new_err(
                "there still are views of this block (memoryview, array), which could write into it after it was put: release or delete them first",
            ));
        }
        let mut open = state.cell.take().expect("`lock` saw it");
        state.busy = true;
        drop(state); // not kept while the interpreter's lock is given up
        let failed = open.with_dependent_mut(|_, block| {
            let reservation = block
                .take()
                .expect("a guard that has not ended has its block");
            commit(py, reservation, until, &self.guard.handle)
                .map_err(|(error, reservation)| {
                    *block = Some(reservation);
                    error
                })
                .err()
        });
        let mut state = locked(&self.guard.state);
        state.busy = false;
        match failed {
            None => {
                drop(state);
                self.guard
                    .handle
                    .give_back(open.into_owner().into_inner(), self.guard.generation);
                Ok(())
            }
            Some(error) => {
                state.cell = Some(open);
                Err(error)
            }
        }
    }

    fn give_up(&self) {
        if let Some(open) = self.guard.end(false) {
            self.guard
                .handle
                .give_back(open.into_owner().into_inner(), self.guard.generation);
        }
    }
}

#[pymethods]
impl Reservation {
    #[new]
    fn new(parts: &Bound<'_, Parts>) -> PyResult<Self> {
        match locked(&parts.get().0).take() {
            Some(Made::Reservation(reserved)) => Ok(reserved),
            _ => Err(PyTypeError::new_err("use ReadyQueue.reserve()")),
        }
    }

    fn __enter__(this: Py<Self>) -> Py<Self> {
        this
    }

    #[pyo3(signature = (kind=None, value=None, traceback=None))]
    fn __exit__(
        &self,
        py: Python<'_>,
        kind: Option<&Bound<'_, PyAny>>,
        value: Option<&Bound<'_, PyAny>>,
        traceback: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<bool> {
        let _ = (value, traceback);
        let ended = locked(&self.guard.state).cell.is_none();
        if kind.is_some() || ended {
            self.give_up();
            return Ok(false);
        }
        self.put(py, Until::Forever)
            .inspect_err(|_| self.give_up())
            .map(|()| false)
    }

    /// Puts the block as an item. Waits for space as `ReadyQueue.put` does. An exception leaves the reservation as it was.
    #[pyo3(signature = (block=true, timeout=None))]
    fn commit(
        &self,
        py: Python<'_>,
        #[pyo3(from_py_with = crate::queue::truth)] block: bool,
        timeout: Option<f64>,
    ) -> PyResult<()> {
        self.put(py, Until::new(block, timeout)?)
    }

    /// Gives the reservation up; nothing is put.
    fn cancel(&self) -> PyResult<()> {
        drop(self.guard.lock("block")?);
        self.give_up();
        Ok(())
    }

    /// Shortens the item to be put to `len` bytes. All views must be gone.
    fn truncate(&self, len: usize) -> PyResult<()> {
        let mut state = self.guard.lock("block")?;
        if state.views > 0 {
            return Err(PyBufferError::new_err(
                "there still are views of this block (memoryview, array): release or delete them first",
            ));
        }
        if len > state.len {
            return Err(Invalid::new_err(format!(
                "the block has {} bytes and cannot be shortened to {len}",
                state.len
            )));
        }
        if let Some(open) = &mut state.cell {
            open.with_dependent_mut(|_, block| {
                if let Some(block) = block {
                    block.truncate(len);
                }
            });
        }
        state.len = len;
        Ok(())
    }

    fn __len__(&self) -> PyResult<usize> {
        Ok(self.guard.lock("block")?.len)
    }
}

impl Export for Reservation {
    fn lend(&self) -> PyResult<Lending> {
        self.guard.lend("block", false)
    }
    fn returned(&self, _py: Python<'_>) {
        if let Some((open, _)) = self.guard.returned() {
            self.guard
                .handle
                .give_back(open.into_owner().into_inner(), self.guard.generation);
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.give_up();
    }
}
