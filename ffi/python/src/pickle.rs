//! Pickling as `multiprocessing` does it: with its reducers, without which a connection or a socket is pickled wrongly rather than refused; large buffers apart.
//!
//! A pickler is used again and again (one at a time, so code that is run by pickling may put
//! objects itself). Invariant: no lock is held while code of Python may run. That is not only the
//! code of the object, but any, by the garbage collector, wherever something is made or dropped.

use crate::buffer::Buffer;
use pyo3::exceptions::PyMemoryError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;
use std::sync::{Mutex, PoisonError};

/// Shorter buffers stay in the pickle.
const APART: usize = 512;
/// What is kept for the next object: a pickler whose memo or output grew beyond this is not.
const KEEP: usize = 64 << 10;

/// A pickled object.
pub struct Pickled {
    /// The pickle.
    pub bytes: Vec<u8>,
    /// Large buffers, in order.
    pub buffers: Vec<Buffer>,
    pickler: Option<Pickler>,
}

impl Pickled {
    /// # Errors
    /// Whatever pickling raises.
    pub fn of(object: &Bound<'_, PyAny>) -> PyResult<Self> {
        let py = object.py();
        let python = Python_::get(py)?;
        let table = python.table(py)?;
        // The lock is gone after this line: below, code of Python may run, and put something itself.
        let kept = locked(&POOL).pop();
        let pickler = match kept.filter(|pickler| pickler.table.is(&table)) {
            Some(pickler) => pickler,
            None => Pickler::new(py, python, table)?,
        };
        // After an error the pickler is dropped: it may have half an object in it.
        pickler.dump.bind(py).call1((object,))?;
        pickler.clear_memo.bind(py).call0()?;
        let (bytes, buffers) = std::mem::take(&mut *locked(&pickler.sink.get().0));
        Ok(Self {
            bytes,
            buffers,
            pickler: Some(pickler),
        })
    }
}

impl Drop for Pickled {
    fn drop(&mut self) {
        if self.bytes.len() <= KEEP
            && let Some(pickler) = self.pickler.take()
        {
            self.bytes.clear();
            locked(&pickler.sink.get().0).0 = std::mem::take(&mut self.bytes);
            let mut pool = locked(&POOL);
            if pool.len() < 4 {
                pool.push(pickler);
                return;
            }
            drop(pool); // before the pickler is dropped
            drop(pickler);
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

static POOL: Mutex<Vec<Pickler>> = Mutex::new(Vec::new());

struct Pickler {
    dump: Py<PyAny>,
    clear_memo: Py<PyAny>,
    sink: Py<Sink>,
    table: Py<PyDict>,
}

impl Pickler {
    #[cold]
    fn new(py: Python<'_>, python: &Python_, table: Py<PyDict>) -> PyResult<Self> {
        let sink = Bound::new(py, Sink(Mutex::new((vec![], vec![]))))?;
        let options = PyDict::new(py);
        options.set_item("protocol", 5)?;
        options.set_item("buffer_callback", sink.getattr("keep_in_pickle")?)?;
        let pickler = python.pickler.bind(py).call((&sink,), Some(&options))?;
        pickler.setattr("dispatch_table", &table)?;
        Ok(Self {
            dump: pickler.getattr("dump")?.unbind(),
            clear_memo: pickler.getattr("clear_memo")?.unbind(),
            sink: sink.unbind(),
            table,
        })
    }
}

/// Where a pickler writes to, and the callback that it asks about buffers.
#[pyclass(frozen, module = "prodcon._native", name = "_Sink")]
struct Sink(Mutex<(Vec<u8>, Vec<Buffer>)>);

#[pymethods]
impl Sink {
    fn write(&self, bytes: &Bound<'_, PyAny>) -> PyResult<usize> {
        let buffer = Buffer::of(bytes)?;
        let part = buffer.part();
        let mut state = locked(&self.0);
        let before = state.0.len();
        // Without memory a vector would end the process.
        if state.0.try_reserve(part.len()).is_err() {
            return Err(PyMemoryError::new_err("no memory for the pickle"));
        }
        state.0.resize(before + part.len(), 0);
        part.copy_to(&mut state.0[before..]);
        Ok(part.len())
    }

    fn keep_in_pickle(&self, buffer: &Bound<'_, PyAny>) -> bool {
        match Buffer::of(buffer) {
            Ok(buffer) if buffer.part().len() >= APART => {
                locked(&self.0).1.push(buffer);
                false
            }
            _ => true,
        }
    }
}

/// What is needed of Python.
struct Python_ {
    pickler: Py<PyAny>,
    copyreg: Py<PyDict>,
    multiprocessing: Py<PyDict>,
    /// Both tables in one, and how long they were.
    merged: Mutex<Option<(usize, usize, Py<PyDict>)>>,
}

impl Python_ {
    fn get(py: Python<'_>) -> PyResult<&'static Self> {
        static PYTHON: PyOnceLock<Python_> = PyOnceLock::new();
        PYTHON.get_or_try_init(py, || {
            let reducers = py
                .import("multiprocessing.reduction")?
                .getattr("ForkingPickler")?
                .getattr("_extra_reducers")?;
            Ok(Self {
                pickler: py.import("pickle")?.getattr("Pickler")?.unbind(),
                copyreg: py
                    .import("copyreg")?
                    .getattr("dispatch_table")?
                    .cast_into::<PyDict>()?
                    .unbind(),
                multiprocessing: reducers.cast_into::<PyDict>()?.unbind(),
                merged: Mutex::new(None),
            })
        })
    }

    /// The reducers of `copyreg` and `multiprocessing`, in one dict: a ChainMap of them would be asked in Python.
    fn table(&self, py: Python<'_>) -> PyResult<Py<PyDict>> {
        let (copyreg, multiprocessing) = (self.copyreg.bind(py), self.multiprocessing.bind(py));
        let lengths = (copyreg.len(), multiprocessing.len());
        // The lock is not kept while dicts are made or dropped: code of Python may run then.
        let known = locked(&self.merged)
            .as_ref()
            .map(|(a, b, table)| ((*a, *b), table.clone_ref(py)));
        if let Some((known, table)) = known
            && known == lengths
        {
            return Ok(table);
        }
        let table = copyreg.copy()?;
        table.update(multiprocessing.as_mapping())?;
        let merged = Some((lengths.0, lengths.1, table.clone().unbind()));
        let old = std::mem::replace(&mut *locked(&self.merged), merged);
        drop(old);
        Ok(table.unbind())
    }
}

/// Makes what is else made when it is first used.
pub fn make_types(py: Python<'_>) {
    let _ = py.get_type::<Sink>();
}
