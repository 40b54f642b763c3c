//! `prodcon.Taken`: an item in place. Callers: queue.

use super::{Guard, Made, Parts, locked, object};
use crate::buffer::{Export, Lending};
use crate::errors::{self, Invalid};
use crate::fork::generation;
use crate::handle::{Endpoint, Handle};
use crate::wait::{Until, away, check, enter};
use prodcon::{GetError, Taken as CoreTaken};
use pyo3::exceptions::{PyBufferError, PyTypeError};
use pyo3::prelude::*;
use self_cell::{MutBorrow, self_cell};
use std::sync::Arc;

type Item<'a> = Option<CoreTaken<'a, [u8]>>;

self_cell!(
    struct Held {
        owner: MutBorrow<Box<Endpoint>>,
        #[not_covariant]
        dependent: Item,
    }
);

/// An item in place. A context manager; bytes() and memoryview() and numpy.frombuffer() see it without a copy.
///
/// At the end of the `with` block it is acknowledged (if the block failed and the queue delivers at least once, given back). Views that live
/// longer keep it in hand until they are gone.
#[pyclass(subclass, frozen, module = "prodcon._native", name = "_TakenBase")]
pub struct Taken {
    guard: Guard<Held>,
    deliveries: u32,
}

/// Takes the oldest item in place.
pub fn take<'py>(py: Python<'py>, handle: &Arc<Handle>, until: Until) -> PyResult<Bound<'py, PyAny>> {
    let _inside = enter(py)?;
    let mut endpoint = handle.lend()?.keep();
    let mut slice = None; // first without waiting
    let mut held = loop {
        let attempt = Held::try_new_or_recover(MutBorrow::new(endpoint), |owner| {
            let endpoint = owner.borrow_mut();
            match slice {
                None => endpoint.try_take(),
                Some(slice) => away(py, || endpoint.take_timeout(slice)),
            }
            .map(Some)
        });
        let error = match attempt {
            Ok(held) => break held,
            Err((owner, error)) => {
                endpoint = owner.into_inner();
                error
            }
        };
        slice = until.slice();
        let error = match error {
            GetError::Empty | GetError::TimedOut => match (check(py), slice) {
                (Err(interrupted), _) => interrupted,
                (Ok(()), Some(_)) => continue,
                (Ok(()), None) => errors::get(if until.is_now() { GetError::Empty } else { GetError::TimedOut }, &handle.name),
            },
            other => errors::get(other, &handle.name),
        };
        handle.give_back(endpoint, generation());
        return Err(error);
    };
    let (start, len, deliveries) = held.with_dependent_mut(|_, item| {
        let item = item.as_ref().expect("it was taken");
        (item.as_ptr(), item.len(), item.deliveries())
    });
    let guard = Guard::new(handle.clone(), held, start, len);
    object(py, Made::Taken(Taken { guard, deliveries }))
}

/// Puts the endpoint back after the guard is done with.
fn end_taken(guard: &Guard<Held>, mut held: Held, nack: bool) -> PyResult<()> {
    let settled = held.with_dependent_mut(|_, item| match item.take() {
        Some(item) if nack => item.nack(),
        item => {
            drop(item); // which acknowledges it
            Ok(())
        }
    });
    if nack {
        // Where no seat was free the item stays in this one: dropping the endpoint leaves it to whoever comes next.
        drop(held);
    } else {
        guard.handle.give_back(held.into_owner().into_inner(), guard.generation);
    }
    settled.map_err(errors::fault)
}

#[pymethods]
impl Taken {
    #[new]
    fn new(parts: &Bound<'_, Parts>) -> PyResult<Self> {
        match locked(&parts.get().0).take() {
            Some(Made::Taken(taken)) => Ok(taken),
            _ => Err(PyTypeError::new_err("use ReadyQueue.take()")),
        }
    }

    fn __enter__(this: Py<Self>) -> Py<Self> {
        this
    }

    #[pyo3(signature = (kind=None, value=None, traceback=None))]
    fn __exit__(&self, kind: Option<&Bound<'_, PyAny>>, value: Option<&Bound<'_, PyAny>>, traceback: Option<&Bound<'_, PyAny>>) -> PyResult<bool> {
        let _ = (value, traceback);
        let back = kind.is_some() && self.guard.handle.at_least_once;
        let done = self.guard.end(back).map_or(Ok(()), |held| end_taken(&self.guard, held, back));
        // An exception of the block must not be hidden by one of ours.
        if kind.is_some() { Ok(false) } else { done.map(|()| false) }
    }

    /// Settles the item as delivered: now, or when the last view of it is gone.
    fn ack(&self) -> PyResult<()> {
        drop(self.guard.lock("item")?);
        self.guard.end(false).map_or(Ok(()), |held| end_taken(&self.guard, held, false))
    }

    /// Gives the item back, for another consumer to get. Only on a queue that delivers at least once. All views must be gone.
    fn nack(&self) -> PyResult<()> {
        let state = self.guard.lock("item")?;
        if !self.guard.handle.at_least_once {
            return Err(Invalid::new_err(format!(
                "queue '{}' delivers at most once and takes nothing back: create it with at_least_once=True",
                self.guard.handle.name
            )));
        }
        if state.views > 0 {
            return Err(PyBufferError::new_err(
                "there still are views of this item (memoryview, array): release or delete them first",
            ));
        }
        drop(state);
        self.guard.end(true).map_or(Ok(()), |held| end_taken(&self.guard, held, true))
    }

    /// How often the item has been delivered, this time included.
    #[getter]
    fn deliveries(&self) -> u32 {
        self.deliveries
    }

    fn __len__(&self) -> PyResult<usize> {
        Ok(self.guard.lock("item")?.len)
    }
}

impl Export for Taken {
    fn lend(&self) -> PyResult<Lending> {
        self.guard.lend("item", true)
    }
    fn returned(&self, py: Python<'_>) {
        if let Some((held, back)) = self.guard.returned()
            && let Err(error) = end_taken(&self.guard, held, back)
        {
            error.write_unraisable(py, None);
        }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        if let Some(held) = self.guard.end(false) {
            let _ = end_taken(&self.guard, held, false);
        }
    }
}
