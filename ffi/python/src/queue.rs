//! `ReadyQueue`: the class.
//!
//! Two kinds of handle: of bytes, and of Python objects (`objects`). The common case makes one call
//! from Python, tries at once with the interpreter's lock held, and gives that up only to wait.

use crate::batch::ObjectBatch;
use crate::buffer;
use crate::errors::{self, Invalid};
use crate::exit;
use crate::files;
use crate::guard;
use crate::handle::Handle;
use crate::interest::Interest;
use crate::object::Copied;
use crate::options::{self, Create};
use crate::pending::Pending;
use crate::ready::{Own, Ready};
use crate::spill;
use crate::values;
use crate::wait::{Until, away, check, enter};
use prodcon::{AttachOptions, Control, ErrorKind, ItemId, State};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple, PyType};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

/// A queue between processes, by name, in shared memory.
///
/// `ReadyQueue(maxsize, lossy=...)` makes one as adv_prodcon does: of Python objects, with a name of its own, for this process and those that are given it.
/// `ReadyQueue.create` and `ReadyQueue.attach` make and find queues of bytes (or, with `objects=True`, of objects) by name.
///
/// An object may be used by several threads, pickled to other processes, and used in forked
/// children. Each of them attaches an endpoint when it needs one.
#[pyclass(subclass, frozen, weakref, module = "prodcon")]
pub struct ReadyQueue {
    pub handle: Arc<Handle>,
    pub objects: bool,
    /// What a put through this object does on the full queue: as the queue was made, or as the
    /// program has set it since.
    lossy: AtomicBool,
    pub pending: Pending,
    ready: Own,
}

/// A truth value, as `if` reads it.
pub fn truth(value: &Bound<'_, PyAny>) -> PyResult<bool> {
    value.is_truthy()
}

/// Carries a queue to the constructor, for `_attach`.
#[pyclass(frozen, module = "prodcon._native", name = "_Found")]
pub struct Found(Mutex<Option<ReadyQueue>>);

/// The first argument of the constructor.
enum Maxsize {
    Items(i64),
    /// No new queue: this one.
    Found(Box<ReadyQueue>),
}

fn maxsize(value: &Bound<'_, PyAny>) -> PyResult<Maxsize> {
    let Ok(found) = value.cast_exact::<Found>() else {
        return value.extract().map(Maxsize::Items);
    };
    let found = found
        .get()
        .0
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take();
    let queue = found.ok_or_else(|| PyTypeError::new_err("use ReadyQueue.attach()"))?;
    Ok(Maxsize::Found(Box::new(queue)))
}

impl ReadyQueue {
    pub fn over(handle: Handle, objects: bool) -> PyResult<Self> {
        if objects && handle.typed {
            return Err(options::typed_for_objects(&handle.name));
        }
        if objects {
            options::fit_for_objects(&handle.name, handle.item_size)?;
        }
        let handle = Arc::new(handle);
        exit::remember(&handle);
        Ok(Self {
            lossy: AtomicBool::new(handle.lossy),
            handle,
            objects,
            pending: Pending::new(),
            ready: Own::new(),
        })
    }

    /// Puts through this object drop the oldest item of a full queue.
    pub fn drops(&self) -> bool {
        self.lossy.load(Relaxed) // Relaxed: a flag that the interpreter's lock orders
    }

    fn bytes_only(&self, what: &str) -> PyResult<()> {
        if self.objects {
            return Err(Invalid::new_err(format!(
                "{what}() works on bytes, and this handle of queue '{}' on objects: attach with objects=False",
                self.handle.name
            )));
        }
        Ok(())
    }
}

fn state_of(number: u32) -> PyResult<State> {
    match number {
        1 => Ok(State::Stopped),
        2 => Ok(State::Started),
        3 => Ok(State::StopAtQueueEnd),
        _ => Err(Invalid::new_err(format!(
            "{number} is no state: use 1 (stopped), 2 (started) or 3 (stop_at_queue_end)"
        ))),
    }
}

#[pymethods]
impl ReadyQueue {
    /// As adv_prodcon's: a new queue of Python objects. It is not ready yet, but keeps what is put.
    ///
    /// maxsize: items it holds; 0: many (see the README), but never without bound.
    /// item_size: bytes of an item that are reserved; longer items go through files of their own. Default: 8 MiB for all items together, 1 to 64 KiB each.
    /// seats: operations that can go on at once, in all processes. Default: 1023 where items have at
    /// most 1 KiB, else as many as 8 MiB allow, at least 64.
    /// name: one of your own, instead of `py-...`.
    ///
    /// The queue is removed when this process ends; if others are attached then, by the last of them.
    /// One that was never given to anybody goes with this object.
    #[new]
    #[pyo3(
        signature = (maxsize=Maxsize::Items(0), *, lossy=false, name=None, item_size=None, seats=None, at_least_once=false, directory=None),
        text_signature = "(maxsize=0, *, lossy=False, name=None, item_size=None, seats=None, at_least_once=False, directory=None)"
    )]
    #[allow(clippy::too_many_arguments)]
    fn new(
        #[pyo3(from_py_with = maxsize)] maxsize: Maxsize,
        #[pyo3(from_py_with = truth)] lossy: bool,
        name: Option<&Bound<'_, PyAny>>,
        item_size: Option<usize>,
        seats: Option<u32>,
        #[pyo3(from_py_with = truth)] at_least_once: bool,
        directory: Option<PathBuf>,
    ) -> PyResult<Self> {
        let maxsize = match maxsize {
            Maxsize::Found(queue) => return Ok(*queue),
            Maxsize::Items(items) => items,
        };
        let create = Create {
            capacity: options::capacity(maxsize)?,
            item_size,
            seats,
            lossy,
            at_least_once,
            ready: false,
            mode: 0o600,
            dead_letter: None,
            item_type: None,
            align: None,
            batch: 1,
            copy_in_slot: true,
            max_unacked: None,
            directory,
        };
        let handle = match name {
            Some(name) => create.named(&options::name(name)?, true, true)?,
            None => create.anonymous()?,
        };
        Self::over(handle, true)
    }

    /// Creates a queue by name. It stays until `unlink`.
    ///
    /// capacity: items it holds.
    /// item_size: bytes of the longest item. (Longer objects go through files of their own.)
    /// lossy: a put on the full queue drops the oldest item instead of waiting.
    /// at_least_once: what a killed consumer had in hand is delivered again, instead of counted as
    /// lost; an item is only gone when it was acknowledged.
    /// dead_letter: (queue, n): an item that was delivered n times (1 to 255) without being
    /// acknowledged goes to that queue, which must exist. Only with at_least_once.
    /// item_type, batch: all items are of a plain type of this name and of item_size bytes, as Rust
    /// ("f64") and C programs name it; up to `batch` of them move in one step, see `put_many`.
    /// copy_in_slot: each slot has a copy of its item, where items are of a plain type of at most 8
    /// bytes and batch is 1: faster with `get`, slower with `take`.
    /// align: alignment of items in bytes.
    /// seats: how many operations can go on at once, in all processes.
    /// max_unacked: how many items `take` may have in hand at once through this object.
    /// mode: permission bits. ready: producers may put at once.
    /// objects: items are Python objects.
    /// exist_ok: attaches if the queue is there already. If it was made with other options than those
    /// given here, this raises OptionsDiffer, which lists them.
    #[staticmethod]
    #[pyo3(signature = (name, capacity, item_size=None, *, lossy=false, at_least_once=false, dead_letter=None, item_type=None, batch=1, copy_in_slot=true, align=None,
                     seats=None, max_unacked=None, mode=0o600, ready=true, objects=false, exist_ok=false, directory=None))]
    #[allow(clippy::too_many_arguments)]
    fn create(
        py: Python<'_>,
        name: &Bound<'_, PyAny>,
        capacity: i64,
        item_size: Option<usize>,
        #[pyo3(from_py_with = truth)] lossy: bool,
        #[pyo3(from_py_with = truth)] at_least_once: bool,
        dead_letter: Option<(String, u8)>,
        item_type: Option<String>,
        batch: u32,
        #[pyo3(from_py_with = truth)] copy_in_slot: bool,
        align: Option<u32>,
        seats: Option<u32>,
        max_unacked: Option<u32>,
        mode: u32,
        #[pyo3(from_py_with = truth)] ready: bool,
        #[pyo3(from_py_with = truth)] objects: bool,
        #[pyo3(from_py_with = truth)] exist_ok: bool,
        directory: Option<PathBuf>,
    ) -> PyResult<Self> {
        let name = options::name(name)?;
        options::max_unacked(max_unacked)?;
        if capacity < 1 {
            return Err(Invalid::new_err(format!(
                "a capacity of {capacity}: give 1 or more"
            )));
        }
        let create = Create {
            capacity: options::capacity(capacity)?,
            item_size,
            seats,
            lossy,
            at_least_once,
            ready,
            mode,
            dead_letter,
            item_type,
            align,
            batch,
            copy_in_slot,
            max_unacked,
            directory,
        };
        let handle = if exist_ok {
            create.found_or_named(py, &name, objects)?
        } else {
            create.named(&name, objects, false)?
        };
        Self::over(handle, objects)
    }

    /// Attaches to a queue by name.
    ///
    /// objects: items are Python objects. max_unacked: how many items `take` may have in hand at once
    /// through this object; each of them takes a seat.
    /// wait: how many seconds to wait until somebody creates it; TimedOut then. None: not at all.
    #[staticmethod]
    #[pyo3(signature = (name, *, objects=false, max_unacked=None, wait=None, directory=None))]
    fn attach(
        py: Python<'_>,
        name: &Bound<'_, PyAny>,
        #[pyo3(from_py_with = truth)] objects: bool,
        max_unacked: Option<u32>,
        wait: Option<f64>,
        directory: Option<PathBuf>,
    ) -> PyResult<Self> {
        options::max_unacked(max_unacked)?;
        let name = options::name(name)?;
        let directory = directory.unwrap_or_else(prodcon::directory);
        if wait.is_some() {
            wait_for(py, &name, &directory, Until::new(true, wait)?)?;
        }
        let mut handle = Handle::attach(&name, &directory, None)?;
        handle.max_unacked = max_unacked;
        // A seat at once, so that it stays attached if the name is removed. Without a seat it can still be looked at.
        match handle.lend() {
            Err(error)
                if !error.is_instance_of::<errors::NoSeat>(py)
                    && !error.is_instance_of::<errors::Denied>(py) =>
            {
                return Err(error);
            }
            _ => {}
        }
        Self::over(handle, objects)
    }

    /// Puts an item: bytes-like, or on a handle of objects anything that can be pickled.
    ///
    /// Waits while the queue is full, without a limit or for at most `timeout` seconds. Without
    /// `block` it does not wait. A lossy queue drops its oldest item instead. Raises Full,
    /// PutTimedOut (a Full, too), NotReady, Stopped, TooLarge.
    #[pyo3(signature = (obj, block=true, timeout=None))]
    fn put(
        &self,
        py: Python<'_>,
        obj: &Bound<'_, PyAny>,
        #[pyo3(from_py_with = truth)] block: bool,
        timeout: Option<f64>,
    ) -> PyResult<()> {
        self.put_until(py, obj, Until::new(block, timeout)?)
    }

    /// `put` without waiting.
    fn put_nowait(&self, py: Python<'_>, obj: &Bound<'_, PyAny>) -> PyResult<()> {
        self.put_until(py, obj, Until::Now)
    }

    /// Puts items in order; `timeout` is for all of them together. Returns how many; an exception has
    /// that number as its attribute `put`. In a queue with batches up to `batch` of them move in one
    /// step.
    #[pyo3(signature = (items, block=true, timeout=None))]
    fn put_many(
        &self,
        py: Python<'_>,
        items: &Bound<'_, PyAny>,
        #[pyo3(from_py_with = truth)] block: bool,
        timeout: Option<f64>,
    ) -> PyResult<usize> {
        let until = Until::new(block, timeout)?;
        let _inside = enter(py)?; // the iterator may be Python code
        if self.handle.batch > 1 && self.drops() == self.handle.lossy {
            return self.put_blocks(py, items, until);
        }
        let mut put = 0;
        for item in items.try_iter()? {
            item.and_then(|item| self.put_until(py, &item, until))
                .map_err(|error| errors::after(py, error, put))?;
            put += 1;
        }
        Ok(put)
    }

    /// Gets the oldest item: bytes, or on a handle of objects the object. Waits while there is none,
    /// as `put` does.
    ///
    /// The item is copied, and acknowledged when this returns, on an at-least-once queue too. If the
    /// work on it must survive a crash, use `take` and `ack`.
    /// Raises Empty, GetTimedOut (an Empty, too), Stopped (also at the end of a queue that was told to
    /// stop at its end; from Python 3.13 on it is a queue.ShutDown, too).
    #[pyo3(signature = (block=true, timeout=None))]
    fn get<'py>(
        &self,
        py: Python<'py>,
        #[pyo3(from_py_with = truth)] block: bool,
        timeout: Option<f64>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.get_until(py, Until::new(block, timeout)?)
    }

    /// `get` without waiting.
    fn get_nowait<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.get_until(py, Until::Now)
    }

    /// Waits for an item as `get` does, then gets what is there, at most `max` items. As with `get`
    /// they are acknowledged when this returns.
    ///
    /// What an item raises that cannot be unpickled is raised by the next call, if others came before
    /// it. What ends a program (KeyboardInterrupt, SystemExit) is raised at once; the next call then
    /// gives what had come.
    #[pyo3(signature = (max, block=true, timeout=None))]
    fn get_many<'py>(
        &self,
        py: Python<'py>,
        max: usize,
        #[pyo3(from_py_with = truth)] block: bool,
        timeout: Option<f64>,
    ) -> PyResult<Bound<'py, PyList>> {
        self.get_many_until(py, max, Until::new(block, timeout)?)
    }

    /// Does nothing: what was put is in the queue. (`multiprocessing.Queue` has a thread to wait for.)
    fn join_thread(&self) {}

    /// Does nothing, as `join_thread`.
    fn cancel_join_thread(&self) {}

    /// Takes the oldest item in place, without a copy: see `Delivery`. Call its `ack()` when the work
    /// is done, or use it as a context manager. Waits as `get` does. Only on a handle of bytes.
    ///
    /// Several may be in hand at once, at most `max_unacked` of them, and be acknowledged in any order.
    /// Each takes a seat. Raises NoSeat if there are as many already.
    #[pyo3(signature = (block=true, timeout=None))]
    fn take<'py>(
        &self,
        py: Python<'py>,
        #[pyo3(from_py_with = truth)] block: bool,
        timeout: Option<f64>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.bytes_only("take")?;
        guard::take(py, &self.handle, Until::new(block, timeout)?)
    }

    /// The newest item, without taking it: `(id, item)`, or None if there is none.
    ///
    /// It needs no seat and no permission to write. A lossy queue that nobody gets from is a register
    /// that always has the latest value. It is also None if others were faster each of several times,
    /// as can happen with large items under heavy traffic.
    fn latest<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyTuple>>> {
        self.observe(py, Control::latest::<[u8]>)
    }

    /// The oldest item, without taking it: `(id, item)`, or None if there is none. Else as `latest`.
    fn peek<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyTuple>>> {
        self.observe(py, Control::peek::<[u8]>)
    }

    /// A descriptor for select, selectors and event loops. It becomes readable once when there is an
    /// item, after `arm()`. The loop is: `get_nowait` until Empty; `arm()`; unless that is True,
    /// `select`. Do not read or close it. It is good until `close()`.
    fn fileno(&self) -> PyResult<i32> {
        self.ready.with(&self.handle, |ready| Ok(ready.as_raw_fd()))
    }

    /// Resets the descriptor of `fileno()` and arms it. Returns True if there is an item already
    /// (or a get raises something else than Empty). Then get it and do not wait.
    fn arm(&self) -> PyResult<bool> {
        let armed = self.ready.with(&self.handle, |ready| ready.arm())?;
        Ok(armed || self.pending.any())
    }

    /// A descriptor for one wait. For `prodcon._async`.
    fn _ready_fd(&self, #[pyo3(from_py_with = truth)] writable: bool) -> PyResult<Ready> {
        Ready::new(&self.handle, writable)
    }

    /// `get` for asyncio: `await queue.aget()`. Nothing is taken before it returns, so one that is
    /// cancelled, or that times out in `asyncio.wait_for`, leaves nothing behind.
    fn aget<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        asynchronous(slf.py(), "aget")?.call1((slf,))
    }

    /// `take` for asyncio: `await queue.atake()`.
    fn atake<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.get().bytes_only("atake")?;
        asynchronous(slf.py(), "atake")?.call1((slf,))
    }

    /// `put` for asyncio: `await queue.aput(obj)`.
    fn aput<'py>(slf: &Bound<'py, Self>, obj: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        asynchronous(slf.py(), "aput")?.call1((slf, obj))
    }

    /// `async for item in queue`: as `aget`, until the end of the stream.
    fn __aiter__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        asynchronous(slf.py(), "Items")?.call1((slf,))
    }

    /// Reserves a block for an item of `len` bytes, to be filled in place: see `Reservation`. Only on a handle of bytes.
    fn reserve<'py>(&self, py: Python<'py>, len: usize) -> PyResult<Bound<'py, PyAny>> {
        self.bytes_only("reserve")?;
        guard::reserve(py, &self.handle, len)
    }

    /// A batch of up to this many objects, acknowledged together. It is for workers.
    fn _batch(&self, items: u32) -> PyResult<ObjectBatch> {
        ObjectBatch::new(&self.handle, items)
    }

    /// Lets producers put.
    fn set_ready(&self) -> PyResult<()> {
        self.handle
            .with_control(Control::set_ready)?
            .map_err(errors::error)
    }

    /// Keeps producers out and clears the queue, in one step.
    fn set_not_ready(&self) -> PyResult<()> {
        self.pending.clear();
        if self.handle.owned {
            // Also one that was never opened: from now on nothing can be put.
            self.handle
                .with_control(Control::open_first)?
                .map_err(errors::error)?;
        }
        let clear = || {
            self.handle
                .lend()
                .map(|mut endpoint| endpoint.set_not_ready())
        };
        match spill::clear(&self.handle, clear) {
            Ok(done) => done.map_err(errors::error),
            // No seat is free: what was cleared is drained by others.
            Err(_) => self
                .handle
                .with_control(Control::set_not_ready)?
                .map_err(errors::error),
        }
    }

    /// Clears the queue in one step.
    fn clear(&self) -> PyResult<()> {
        self.pending.clear();
        if !self.is_ready()? {
            return Ok(()); // it is clear
        }
        let clear = || self.handle.lend().map(|mut endpoint| endpoint.clear());
        match spill::clear(&self.handle, clear) {
            Ok(done) => done.map_err(errors::error),
            Err(_) => self
                .handle
                .with_control(Control::clear)?
                .map_err(errors::error),
        }
    }

    /// Producers may put.
    fn is_ready(&self) -> PyResult<bool> {
        self.handle.with_control(Control::is_ready)
    }

    /// Waits until the queue is ready. Returns False if `timeout` (seconds) was over first.
    #[pyo3(signature = (timeout=None))]
    fn wait_ready(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
        self.wait(py, timeout, |control, slice| {
            control.wait_ready(Some(slice))
        })
    }

    /// Waits until the state is `state`. Returns False if `timeout` (seconds) was over first.
    #[pyo3(signature = (state, timeout=None))]
    fn wait_state(&self, py: Python<'_>, state: u32, timeout: Option<f64>) -> PyResult<bool> {
        let state = state_of(state)?;
        self.wait(py, timeout, move |control, slice| {
            control.wait_state(state, Some(slice))
        })
    }

    /// 1 is stopped: put and get raise Stopped. 2 is started. In state 3, stop at queue end, put
    /// raises Stopped, and so does get when the queue is empty.
    ///
    /// Allowed changes: 1 to 2, 2 to 1 or 3, 3 to 1; others raise Invalid.
    #[getter]
    fn state(&self) -> PyResult<u32> {
        self.handle.with_control(|control| control.state() as u32)
    }

    #[setter]
    fn set_state(&self, state: u32) -> PyResult<()> {
        let state = state_of(state)?;
        self.handle
            .with_control(|control| control.set_state(state))?
            .map_err(errors::error)
    }

    /// Items in the queue; exact while nobody is in the middle of a put or get.
    fn qsize(&self) -> PyResult<usize> {
        Ok(self.handle.with_control(Control::len)? + self.pending.len())
    }

    /// The queue has no item.
    fn empty(&self) -> PyResult<bool> {
        self.qsize().map(|len| len == 0)
    }

    /// The queue has no space.
    fn full(&self) -> PyResult<bool> {
        self.handle.with_control(Control::is_full)
    }

    /// The figures: a `Stats`. At rest `puts == gets + dropped + cleared + lost + unacked + len`.
    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let found = self
            .handle
            .with_control(Control::stats)?
            .map_err(errors::error)?;
        values::stats(py, &found)
    }

    /// Resolves the seats of dead processes: (recovered, undecided).
    fn recover(&self) -> PyResult<(u32, u32)> {
        let endpoint = self.handle.lend()?;
        let pass = endpoint.control().recover().map_err(errors::error)?;
        Ok((pass.recovered, pass.undecided))
    }

    /// Unlinks the queue, if its name is still this queue's. Processes that are attached keep the
    /// memory.
    fn unlink(&self) -> PyResult<()> {
        files::remove(self.handle.new_control()?).map_err(errors::error)
    }

    /// The interest in items, for `select`.
    fn readable(this: Py<Self>) -> Interest {
        Interest::new(this.get().handle.clone(), this.into_any(), false)
    }

    /// The interest in space, for `select`.
    fn writable(this: Py<Self>) -> Interest {
        Interest::new(this.get().handle.clone(), this.into_any(), true)
    }

    /// Gives the seats back. The handle is of no use afterwards. Calls that wait with it in other
    /// threads raise Cancelled. A queue made by `ReadyQueue()` that was never given to another
    /// process goes. Others stay for the processes to which they were given.
    fn close(&self) {
        self.ready.close();
        self.handle.close();
    }

    fn __enter__(this: Py<Self>) -> Py<Self> {
        this
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, _exception: &Bound<'_, PyTuple>) {
        self.close();
    }

    /// The handle was closed.
    #[getter]
    fn closed(&self) -> bool {
        self.handle.is_closed()
    }

    /// The queue's name.
    #[getter]
    fn name(&self) -> &str {
        self.handle.tell();
        &self.handle.name
    }

    /// The same, for the package's own use: told to nobody.
    #[getter]
    fn _name(&self) -> &str {
        &self.handle.name
    }

    /// Where its file is.
    #[getter]
    fn directory(&self) -> PathBuf {
        self.handle.dir.clone()
    }

    /// Items the queue can hold.
    #[getter]
    fn capacity(&self) -> usize {
        self.handle.capacity
    }

    /// The same: items the queue can hold.
    #[getter]
    fn maxsize(&self) -> usize {
        self.handle.capacity
    }

    /// Bytes of the longest item that needs no file of its own.
    #[getter]
    fn item_size(&self) -> usize {
        self.handle.item_size
    }

    /// A put on the full queue drops the oldest item. Can be set, for puts through this object.
    #[getter]
    fn lossy(&self) -> bool {
        self.drops()
    }

    #[setter]
    fn set_lossy(&self, #[pyo3(from_py_with = truth)] lossy: bool) {
        self.lossy.store(lossy, Relaxed);
    }

    /// What a killed consumer had in hand is delivered again.
    #[getter]
    fn at_least_once(&self) -> bool {
        self.handle.at_least_once
    }

    /// Most items that move in one step.
    #[getter]
    fn batch(&self) -> usize {
        self.handle.batch
    }

    /// Whether each slot has a copy of its item.
    #[getter]
    fn copy_in_slot(&self) -> bool {
        self.handle.copy_in_slot
    }

    /// How many items `take` may have in hand at once through this object; None: as many as there are
    /// seats.
    #[getter]
    fn max_unacked(&self) -> Option<u32> {
        self.handle.max_unacked
    }

    /// Items are Python objects.
    #[getter]
    fn objects(&self) -> bool {
        self.objects
    }

    fn __repr__(&self) -> String {
        let Handle {
            name,
            capacity,
            item_size,
            ..
        } = &*self.handle;
        let kind = if self.objects { "objects" } else { "bytes" };
        let closed = if self.handle.is_closed() {
            ", closed"
        } else {
            ""
        };
        format!(
            "<prodcon.ReadyQueue '{name}' of {kind}: capacity {capacity}, item_size {item_size}{closed}>"
        )
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyTuple>> {
        let (py, this) = (slf.py(), slf.get());
        if this.handle.is_closed() {
            return Err(Invalid::new_err(format!(
                "queue '{}' is closed: a closed handle cannot be pickled",
                this.handle.name
            )));
        }
        this.handle.hand();
        let attach = py.import("prodcon._native")?.getattr("_attach")?;
        let class = slf.get_type();
        let (handle, drops) = (&*this.handle, this.drops());
        let arguments = (
            &handle.name,
            this.objects,
            &handle.dir,
            handle.id.as_bytes().as_slice(),
            class,
            drops,
            handle.max_unacked,
        );
        let state = py
            .import("prodcon._exit")?
            .getattr("state_of")?
            .call1((slf,))?;
        (attach, arguments, state).into_pyobject(py)
    }
}

/// A name of `prodcon._async`, which is imported when it is first needed.
fn asynchronous<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    py.import("prodcon._async")?.getattr(name)
}

impl ReadyQueue {
    /// The id of an item that stays in the queue, and what it is.
    fn observe<'py>(
        &self,
        py: Python<'py>,
        look: impl FnOnce(&Control) -> prodcon::Result<Option<(ItemId, Vec<u8>)>>,
    ) -> PyResult<Option<Bound<'py, PyTuple>>> {
        let _inside = enter(py)?; // unpickling may run Python code
        let Some((id, bytes)) = self.handle.with_control(look)?.map_err(errors::error)? else {
            return Ok(None);
        };
        let item = if self.objects {
            let copied = match Copied::from_block(py, &bytes, &self.handle)? {
                Copied::File(_, item) => Copied::File(None, item), // the file is still needed
                other => other,
            };
            match copied.finish(py, &self.handle)? {
                Some(object) => object,
                None => return Ok(None), // its file went while we looked
            }
        } else {
            buffer::bytes(py, &bytes)?.into_any()
        };
        let id = values::item_id(py)?.call1((id.queue.to_string(), id.sequence, id.index))?;
        PyTuple::new(py, [id, item]).map(Some)
    }

    fn wait(
        &self,
        py: Python<'_>,
        timeout: Option<f64>,
        wait: impl Fn(&Control, std::time::Duration) -> Result<bool, prodcon::Error> + Send + Sync,
    ) -> PyResult<bool> {
        let until = Until::new(true, timeout)?;
        let _inside = enter(py)?;
        let mut control = self.handle.new_control()?;
        loop {
            let slice = until.slice();
            let (done, back) = away(py, || (wait(&control, slice.unwrap_or_default()), control));
            control = back;
            if done.map_err(errors::error)? {
                return Ok(true);
            }
            if slice.is_none() {
                return Ok(false);
            }
            check(py)?;
        }
    }
}

/// Waits until there is a queue of that name.
fn wait_for(py: Python<'_>, name: &str, directory: &Path, until: Until) -> PyResult<()> {
    let _inside = enter(py)?;
    loop {
        let slice = until.slice();
        let attach = AttachOptions::new()
            .directory(directory)
            .wait_for_queue(slice.unwrap_or_default());
        match away(py, || Control::attach_with(name, &attach).map(drop)) {
            Err(error) if error.kind() == ErrorKind::TimedOut && slice.is_some() => check(py)?,
            Err(error) if error.kind() == ErrorKind::TimedOut => {
                return Err(errors::TimedOut::new_err(format!(
                    "nobody created queue '{name}' in {} in time: start the program that creates it, or wait longer",
                    directory.display()
                )));
            }
            other => return other.map_err(errors::error),
        }
    }
}

/// What a pickled handle becomes: one of the same queue, and of the same class.
#[pyfunction]
#[pyo3(signature = (name, objects, directory, id, kind, lossy, max_unacked=None))]
#[allow(clippy::too_many_arguments)]
pub fn _attach<'py>(
    py: Python<'py>,
    name: &str,
    objects: bool,
    directory: PathBuf,
    id: &[u8],
    kind: &Bound<'py, PyType>,
    lossy: bool,
    max_unacked: Option<u32>,
) -> PyResult<Bound<'py, PyAny>> {
    let id = id
        .try_into()
        .map_err(|_| Invalid::new_err("the id of a queue has 16 bytes"))?;
    let mut handle = Handle::attach(name, &directory, Some(id))?;
    handle.max_unacked = max_unacked;
    let queue = ReadyQueue::over(handle, objects)?;
    queue.lossy.store(lossy, Relaxed);
    queue.handle.hold();
    let found = Found(Mutex::new(Some(queue)));
    // Without the class's own __new__ and __init__, which would make a queue.
    py.get_type::<ReadyQueue>()
        .getattr("__new__")?
        .call1((kind, found))
}

/// Makes what is else made when it is first used.
pub fn make_types(py: Python<'_>) {
    let _ = py.get_type::<Found>();
}
