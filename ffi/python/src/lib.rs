//! The native module of the Python package `prodcon`: queues, guards, Python objects as items.
//!
//! The package around it (`python/prodcon`) has the exceptions, the workers and the types. This crate uses the library's public interface only.

mod batch;
mod buffer;
mod errors;
mod exit;
mod files;
mod fork;
mod guard;
mod handle;
mod interest;
mod marshal;
mod object;
mod options;
mod owned;
mod pending;
mod pickle;
mod queue;
mod ready;
mod select;
mod spill;
mod transfer;
mod values;
mod views;
mod wait;

use pyo3::exceptions::PyImportError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use std::path::PathBuf;

/// Unlinks a queue. Processes that are attached keep the memory.
#[pyfunction]
#[pyo3(signature = (name, directory=None))]
fn unlink(name: &Bound<'_, PyAny>, directory: Option<PathBuf>) -> PyResult<()> {
    owned::unlink(
        &directory.unwrap_or_else(prodcon::directory),
        &options::name(name)?,
    )
}

/// The queues in a directory, by name, as a list of dicts. The default directory is `PRODCON_DIR`,
/// or /dev/shm. `type_name` is the name of the plain type of the items, and empty if they are
/// bytes.
#[pyfunction]
#[pyo3(signature = (directory=None))]
fn list_queues(py: Python<'_>, directory: Option<PathBuf>) -> PyResult<Bound<'_, PyList>> {
    let list = PyList::empty(py);
    for entry in
        prodcon::list_in(&directory.unwrap_or_else(prodcon::directory)).map_err(errors::error)?
    {
        let dict = PyDict::new(py);
        dict.set_item("name", entry.name)?;
        dict.set_item("bytes", entry.bytes)?;
        dict.set_item("mode", entry.mode)?;
        match entry.segment {
            Ok(header) => {
                dict.set_item("capacity", header.capacity)?;
                dict.set_item("item_size", header.item_size)?;
                dict.set_item("type_name", header.type_name)?;
                dict.set_item("seats", header.seats)?;
                dict.set_item("lossy", header.lossy)?;
                dict.set_item("at_least_once", header.at_least_once)?;
                dict.set_item("creator_pid", header.creator_pid)?;
            }
            Err(error) => dict.set_item("problem", error.to_string())?,
        }
        list.append(dict)?;
    }
    Ok(list)
}

/// What this module knows of processes, forks and the end is true of the main interpreter alone.
fn only_in_the_main_interpreter() -> PyResult<()> {
    // SAFETY: the interpreter's lock is held, so that there is a current interpreter.
    let current = unsafe { pyo3::ffi::PyInterpreterState_Get() };
    // SAFETY: as above, and the pointer is that interpreter's.
    let id = unsafe { pyo3::ffi::PyInterpreterState_GetID(current) };
    if id == 0 {
        return Ok(());
    }
    Err(PyImportError::new_err(
        "prodcon does not work in subinterpreters: import it in the main interpreter of a process, and use processes",
    ))
}

/// For a program whose orderly exit was interrupted.
fn at_exit() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        // SAFETY: a function of this module, which is never unloaded.
        unsafe { libc::atexit(exit::at_exit) };
    });
}

/// See the package.
#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    only_in_the_main_interpreter()?;
    errors::check(py)?;
    fork::watch();
    at_exit();
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<queue::ReadyQueue>()?;
    module.add_class::<interest::Interest>()?;
    module.add_function(wrap_pyfunction!(select::select, module)?)?;
    module.add("Delivery", guard::delivery_type(py)?)?;
    module.add("Reservation", guard::reservation_type(py)?)?;
    module.add_function(wrap_pyfunction!(queue::_attach, module)?)?;
    module.add_function(wrap_pyfunction!(options::_at_exit, module)?)?;
    module.add_function(wrap_pyfunction!(exit::_hold_all, module)?)?;
    module.add_function(wrap_pyfunction!(owned::_leave_kept, module)?)?;
    // All types are made now: while the interpreter ends that would fail, with a panic.
    module.add("_Batch", py.get_type::<batch::ObjectBatch>())?;
    module.add("_ReadyFd", py.get_type::<ready::Ready>())?;
    queue::make_types(py);
    guard::make_types(py);
    pickle::make_types(py);
    module.add_function(wrap_pyfunction!(unlink, module)?)?;
    module.add_function(wrap_pyfunction!(list_queues, module)?)?;
    Ok(())
}
