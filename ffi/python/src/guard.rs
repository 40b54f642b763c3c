//! Zero copy: an item in place, a block to be filled, as objects with a buffer.
//!
//! Invariants: while anybody sees the memory (a memoryview, a numpy array) the endpoint stays lent, so the block stays this seat's; an item is acknowledged, a
//! reservation given up when the last view is gone; a block is put only when nobody can write it any more. In a forked child there is nothing to see.
//! Callers: queue.

use crate::buffer::{Export, Lending, exporter};
use crate::errors::{self, Forked, Invalid};
use crate::fork::generation;
use crate::handle::{Endpoint, Handle};
use crate::spill;
use crate::views;
use crate::wait::{Until, away};
use prodcon::{GetError, PutError, Taken as CoreTaken};
use prodcon::{Reserved as CoreReserved, Uncommitted};
use pyo3::exceptions::{PyBufferError, PyTypeError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;
use self_cell::{MutBorrow, self_cell};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

type Item<'a> = Option<CoreTaken<'a, [u8]>>;
type Block<'a> = Option<CoreReserved<'a, [u8]>>;

self_cell!(
    struct Held {
        owner: MutBorrow<Box<Endpoint>>,
        #[not_covariant]
        dependent: Item,
    }
);

self_cell!(
    struct Open {
        owner: MutBorrow<Box<Endpoint>>,
        #[not_covariant]
        dependent: Block,
    }
);

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
    /// `None`: it has ended, or an operation is at it.
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
            return Err(Invalid::new_err(format!("this {what} of queue '{queue}' has ended: take or reserve again")));
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

// ---------------------------------------------------------------- an item in place

/// An item in place. A context manager; bytes() and memoryview() and numpy.frombuffer() see it without a copy.
///
/// At the end of the `with` block it is acknowledged (if the block failed and the queue delivers at least once, given back). Views that live
/// longer keep it in hand until they are gone.
#[pyclass(subclass, frozen, module = "prodcon._native", name = "_TakenBase")]
pub struct Taken {
    guard: Guard<Held>,
    deliveries: u32,
}

/// Carries what a guard is made of to its constructor, which nobody else can call for want of one.
#[pyclass(frozen, module = "prodcon._native", name = "_Parts")]
pub struct Parts(Mutex<Option<Made>>);

enum Made {
    Taken(Taken),
    Reserved(Reserved),
}

fn object(py: Python<'_>, made: Made) -> PyResult<Bound<'_, PyAny>> {
    let class = match made {
        Made::Taken(_) => taken_type(py)?,
        Made::Reserved(_) => reserved_type(py)?,
    };
    class.bind(py).call1((Parts(Mutex::new(Some(made))),))
}

/// `prodcon.Taken`.
pub fn taken_type(py: Python<'_>) -> PyResult<&'static Py<PyType>> {
    static TYPE: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    TYPE.get_or_try_init(py, || exporter::<Taken>(py, c"prodcon.Taken"))
}

/// `prodcon.Reserved`.
pub fn reserved_type(py: Python<'_>) -> PyResult<&'static Py<PyType>> {
    static TYPE: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    TYPE.get_or_try_init(py, || exporter::<Reserved>(py, c"prodcon.Reserved"))
}

/// Takes the oldest item in place.
pub fn take<'py>(py: Python<'py>, handle: &Arc<Handle>, until: Until) -> PyResult<Bound<'py, PyAny>> {
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
            GetError::Empty | GetError::TimedOut => match (py.check_signals(), slice) {
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

// ---------------------------------------------------------------- a block to be filled

/// A block to be filled in place and then put. A context manager; memoryview() and numpy.frombuffer() write into it.
///
/// At the end of the `with` block it is put, waiting for space as long as it takes (if the block failed, it is given up). All views must be
/// gone by then: who could still write would write into an item that is somebody else's.
#[pyclass(subclass, frozen, module = "prodcon._native", name = "_ReservedBase")]
pub struct Reserved {
    guard: Guard<Open>,
}

/// Reserves a block of `len` bytes.
pub fn reserve<'py>(py: Python<'py>, handle: &Arc<Handle>, len: usize) -> PyResult<Bound<'py, PyAny>> {
    let endpoint = handle.lend()?.keep();
    let attempt = Open::try_new_or_recover(MutBorrow::new(endpoint), |owner| owner.borrow_mut().reserve(len).map(Some));
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
    object(py, Made::Reserved(Reserved { guard }))
}

/// Puts a reserved block. The reservation comes back with the error.
pub fn commit<'a>(py: Python<'_>, reserved: CoreReserved<'a, [u8]>, until: Until, queue: &str) -> Result<(), (PyErr, CoreReserved<'a, [u8]>)> {
    let mut answer = reserved.try_commit();
    loop {
        let Uncommitted { error, reserved, .. } = match answer {
            Ok(()) => return Ok(()),
            Err(uncommitted) => uncommitted,
        };
        if !matches!(error, PutError::Full | PutError::TimedOut) {
            return Err((errors::put(error, queue), reserved));
        }
        let error = match (py.check_signals(), until.slice()) {
            (Err(interrupted), _) => interrupted,
            (Ok(()), Some(slice)) => {
                answer = away(py, || reserved.commit_timeout(slice));
                continue;
            }
            (Ok(()), None) => errors::put(if until.is_now() { PutError::Full } else { PutError::TimedOut }, queue),
        };
        return Err((error, reserved));
    }
}

impl Reserved {
    fn put(&self, py: Python<'_>, until: Until) -> PyResult<()> {
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
            let reserved = block.take().expect("a guard that has not ended has its block");
            commit(py, reserved, until, &self.guard.handle.name)
                .map_err(|(error, reserved)| {
                    *block = Some(reserved);
                    error
                })
                .err()
        });
        let mut state = locked(&self.guard.state);
        state.busy = false;
        match failed {
            None => {
                drop(state);
                self.guard.handle.give_back(open.into_owner().into_inner(), self.guard.generation);
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
            self.guard.handle.give_back(open.into_owner().into_inner(), self.guard.generation);
        }
    }
}

#[pymethods]
impl Reserved {
    #[new]
    fn new(parts: &Bound<'_, Parts>) -> PyResult<Self> {
        match locked(&parts.get().0).take() {
            Some(Made::Reserved(reserved)) => Ok(reserved),
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
        self.put(py, Until::Forever).inspect_err(|_| self.give_up()).map(|()| false)
    }

    /// Puts the block as an item. Waits for space as `ReadyQueue.put` does. An exception leaves the reservation as it was.
    #[pyo3(signature = (block=true, timeout=None))]
    fn commit(&self, py: Python<'_>, block: bool, timeout: Option<f64>) -> PyResult<()> {
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
            return Err(Invalid::new_err(format!("the block has {} bytes and cannot be shortened to {len}", state.len)));
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

impl Export for Reserved {
    fn lend(&self) -> PyResult<Lending> {
        self.guard.lend("block", false)
    }
    fn returned(&self, _py: Python<'_>) {
        if let Some((open, _)) = self.guard.returned() {
            self.guard.handle.give_back(open.into_owner().into_inner(), self.guard.generation);
        }
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.give_up();
    }
}
