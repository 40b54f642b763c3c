//! `prodcon.Delivery`: an item in place.

use super::{Guard, Made, Parts, locked, object};
use crate::buffer::{Export, Lending};
use crate::errors::{self, Invalid};
use crate::fork::generation;
use crate::handle::{Endpoint, Handle, Unacked};
use crate::values;
use crate::wait::{Until, away, check, enter};
use prodcon::{Delivery as Core, GetError, ItemId};
use pyo3::exceptions::{PyBufferError, PyTypeError};
use pyo3::prelude::*;
use self_cell::{MutBorrow, self_cell};
use std::sync::Arc;

type Item<'a> = Option<Core<'a, [u8]>>;

self_cell!(
    struct InHand {
        owner: MutBorrow<Box<Endpoint>>,
        #[not_covariant]
        dependent: Item,
    }
);

/// The item, and its place among those that the handle may have in hand.
struct Held {
    item: InHand,
    unacked: Unacked,
}

/// An item in place: bytes(), memoryview() and numpy.frombuffer() see it without a copy.
///
/// It stays in hand until `ack()` or `nack()`. As a context manager it is acknowledged at the end of
/// the `with` block; if an exception leaves the block (KeyboardInterrupt too), the item is given
/// back. One that is garbage-collected without `ack()` is given back as well. On an at-most-once
/// queue nothing can be given back, and both count as got. Views (memoryviews, arrays) that live
/// longer keep the item in hand until the last of them is gone.
#[pyclass(subclass, frozen, module = "prodcon._native", name = "_DeliveryBase")]
pub struct Delivery {
    guard: Guard<Held>,
    delivery_count: u32,
    id: ItemId,
}

/// Takes the oldest item in place.
pub fn take<'py>(
    py: Python<'py>,
    handle: &Arc<Handle>,
    until: Until,
) -> PyResult<Bound<'py, PyAny>> {
    let _inside = enter(py)?;
    let unacked = Handle::count_unacked(handle)?;
    let mut endpoint = handle.lend()?.keep();
    let mut slice = None; // first without waiting
    let mut item = loop {
        let attempt = InHand::try_new_or_recover(MutBorrow::new(endpoint), |owner| {
            let endpoint = owner.borrow_mut();
            match slice {
                None => endpoint.try_take(),
                Some(slice) => away(py, || endpoint.within(slice).take()),
            }
            .map(Some)
        });
        let error = match attempt {
            Ok(item) => break item,
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
                (Ok(()), None) => errors::get(
                    if until.is_now() {
                        GetError::Empty
                    } else {
                        GetError::TimedOut
                    },
                    &handle.name,
                ),
            },
            other => errors::get(other, &handle.name),
        };
        handle.give_back(endpoint, generation());
        return Err(error);
    };
    let (start, len, delivery_count, id) = item.with_dependent_mut(|_, item| {
        let item = item.as_ref().expect("it was taken");
        (item.as_ptr(), item.len(), item.delivery_count(), item.id())
    });
    let guard = Guard::new(handle.clone(), Held { item, unacked }, start, len);
    object(
        py,
        Made::Delivery(Delivery {
            guard,
            delivery_count,
            id,
        }),
    )
}

/// Acknowledges the item or gives it `back`, and puts the endpoint back.
fn settle(guard: &Guard<Held>, held: Held, back: bool) -> PyResult<()> {
    let Held { mut item, unacked } = held;
    let settled = item.with_dependent_mut(|_, item| match item.take() {
        Some(item) if back => item.nack(),
        Some(item) => {
            item.ack();
            Ok(())
        }
        None => Ok(()),
    });
    if back {
        // Where no seat was free the item stays in this one. Dropping the endpoint leaves it to the
        // next consumer.
        drop(item);
    } else {
        guard
            .handle
            .give_back(item.into_owner().into_inner(), guard.generation);
    }
    drop(unacked);
    settled.map_err(errors::error)
}

#[pymethods]
impl Delivery {
    #[new]
    fn new(parts: &Bound<'_, Parts>) -> PyResult<Self> {
        match locked(&parts.get().0).take() {
            Some(Made::Delivery(delivery)) => Ok(delivery),
            _ => Err(PyTypeError::new_err("use ReadyQueue.take()")),
        }
    }

    fn __enter__(this: Py<Self>) -> Py<Self> {
        this
    }

    #[pyo3(signature = (kind=None, value=None, traceback=None))]
    fn __exit__(
        &self,
        kind: Option<&Bound<'_, PyAny>>,
        value: Option<&Bound<'_, PyAny>>,
        traceback: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<bool> {
        let _ = (value, traceback);
        let back = kind.is_some() && self.guard.handle.at_least_once;
        let done = self
            .guard
            .end(back)
            .map_or(Ok(()), |held| settle(&self.guard, held, back));
        // An exception of the block must not be hidden by one of ours.
        if kind.is_some() {
            Ok(false)
        } else {
            done.map(|()| false)
        }
    }

    /// Acknowledges the item: it is done with, and nobody gets it again. Takes effect now, or when
    /// the last view of it is gone.
    fn ack(&self) -> PyResult<()> {
        drop(self.guard.lock("item")?);
        self.guard
            .end(false)
            .map_or(Ok(()), |held| settle(&self.guard, held, false))
    }

    /// Gives the item back, for another consumer or for the next take. Only on an at-least-once
    /// queue. All views must be gone.
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
        self.guard
            .end(true)
            .map_or(Ok(()), |held| settle(&self.guard, held, true))
    }

    /// How often the item has been delivered, this time included.
    #[getter]
    fn delivery_count(&self) -> u32 {
        self.delivery_count
    }

    /// Identifies the item, the same at each of its deliveries: an `ItemId`.
    #[getter]
    fn id<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let ItemId {
            queue,
            sequence,
            index,
            ..
        } = self.id;
        values::item_id(py)?.call1((queue.to_string(), sequence, index))
    }

    fn __len__(&self) -> PyResult<usize> {
        Ok(self.guard.lock("item")?.len)
    }
}

impl Export for Delivery {
    fn lend(&self) -> PyResult<Lending> {
        self.guard.lend("item", true)
    }
    fn returned(&self, py: Python<'_>) {
        if let Some((held, back)) = self.guard.returned()
            && let Err(error) = settle(&self.guard, held, back)
        {
            error.write_unraisable(py, None);
        }
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        // Nobody has acknowledged it. (Views would have kept this object.)
        let back = self.guard.handle.at_least_once;
        if let Some(held) = self.guard.end(back) {
            let _ = settle(&self.guard, held, back);
        }
    }
}
