//! Zero copy: an item in place, a block to be filled, as objects with a buffer.
//!
//! Invariants: while anybody sees the memory (a memoryview, a numpy array) the endpoint stays lent,
//! so the block stays this seat's; an item is settled, a reservation given up when the last view is
//! gone; a block is put only when nobody can write it any more. In a forked child there is nothing
//! to see.

mod delivery;
mod reservation;

pub use delivery::{Delivery, take};
pub use reservation::{Reservation, commit, opened, reserve};

use crate::buffer::{Lending, exporter};
use crate::errors::{Forked, Invalid};
use crate::fork::generation;
use crate::handle::Handle;
use crate::views;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What both kinds of guard have: an endpoint, views on its block, and an end.
struct Guard<C> {
    handle: Arc<Handle>,
    generation: u64,
    state: Mutex<State<C>>,
}

struct State<C> {
    /// `None` if it has ended, or while an operation uses it.
    cell: Option<C>,
    busy: bool,
    views: usize,
    /// It ends with its last view; if true, by giving the item back.
    ending: Option<bool>,
    start: usize,
    len: usize,
}

impl<C> Guard<C> {
    fn new(handle: Arc<Handle>, cell: C, start: *const u8, len: usize) -> Self {
        Self {
            handle,
            generation: generation(),
            state: Mutex::new(State {
                cell: Some(cell),
                busy: false,
                views: 0,
                ending: None,
                start: start as usize,
                len,
            }),
        }
    }

    /// Nothing prevents its use.
    fn lock(&self, what: &str) -> PyResult<MutexGuard<'_, State<C>>> {
        let queue = &self.handle.name;
        if self.generation != generation() {
            return Err(Forked::new_err(format!(
                "this {what} of queue '{queue}' belongs to the parent process: take or reserve again in the forked child"
            )));
        }
        let state = locked(&self.state);
        if state.busy {
            return Err(Invalid::new_err(format!(
                "this {what} of queue '{queue}' is in use by another thread: wait for it"
            )));
        }
        if state.cell.is_none() || state.ending.is_some() {
            return Err(Invalid::new_err(format!(
                "this {what} of queue '{queue}' has ended: take or reserve again"
            )));
        }
        Ok(state)
    }

    fn lend(&self, what: &str, read_only: bool) -> PyResult<Lending> {
        let mut state = self.lock(what)?;
        state.views += 1;
        if state.views == 1 && state.len > 0 {
            views::seen(state.start, state.len);
        }
        Ok(Lending {
            start: state.start as *mut u8,
            len: state.len,
            read_only,
        })
    }

    /// A view less; what is to end, and how, if this was the last one.
    fn returned(&self) -> Option<(C, bool)> {
        let mut state = locked(&self.state);
        state.views -= 1;
        if state.views == 0 {
            views::gone(state.start);
        }
        let back = state.ending.filter(|_| state.views == 0)?;
        state.cell.take().map(|cell| (cell, back))
    }

    /// Ends it now, or with its last view: then by giving the item back, if `back`. Ended already: nothing.
    fn end(&self, back: bool) -> Option<C> {
        let mut state = locked(&self.state);
        if state.views > 0 {
            state.ending.get_or_insert(back);
            return None;
        }
        state.cell.take()
    }
}

/// Carries what a guard is made of to its constructor, which nobody else can call for want of one.
#[pyclass(frozen, module = "prodcon._native", name = "_Parts")]
pub struct Parts(Mutex<Option<Made>>);

enum Made {
    Delivery(Delivery),
    Reservation(Reservation),
}

fn object(py: Python<'_>, made: Made) -> PyResult<Bound<'_, PyAny>> {
    let class = match made {
        Made::Delivery(_) => delivery_type(py)?,
        Made::Reservation(_) => reservation_type(py)?,
    };
    class.bind(py).call1((Parts(Mutex::new(Some(made))),))
}

/// `prodcon.Delivery`.
pub fn delivery_type(py: Python<'_>) -> PyResult<&'static Py<PyType>> {
    static TYPE: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    TYPE.get_or_try_init(py, || exporter::<Delivery>(py, c"prodcon.Delivery"))
}

/// `prodcon.Reservation`.
pub fn reservation_type(py: Python<'_>) -> PyResult<&'static Py<PyType>> {
    static TYPE: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    TYPE.get_or_try_init(py, || exporter::<Reservation>(py, c"prodcon.Reservation"))
}

/// Makes the types that are else made when they are first used.
pub fn make_types(py: Python<'_>) {
    let _ = py.get_type::<Parts>();
}
