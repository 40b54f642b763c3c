//! The quick way for small tuples, lists and dicts of plain things: `marshal` takes a third of the time that pickling does.
//!
//! It also writes things that it does not give back as they were: whatever has a buffer becomes bytes. Therefore only exact types that it keeps are handed to it;
//! one look at each element, up to a limit.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};

/// The format that all supported versions of Python read and write.
const VERSION: i32 = 4;
/// Elements in all, and levels. What is larger is pickled, so that nothing large is looked at twice.
const MAX_ELEMENTS: usize = 256;
const MAX_DEPTH: usize = 8;

/// Returns the object as bytes, or `None` if it is for pickle.
pub fn dump<'py>(object: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyBytes>>> {
    let mut left = MAX_ELEMENTS;
    if !holds_plain(object, MAX_DEPTH, &mut left).unwrap_or(false) {
        return Ok(None);
    }
    static DUMPS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let py = object.py();
    let dumps = DUMPS.get_or_try_init(py, || {
        py.import("marshal")?.getattr("dumps").map(Bound::unbind)
    })?;
    Ok(Some(dumps.bind(py).call1((object, VERSION))?.cast_into()?))
}

/// # Errors
/// The bytes are no marshalled object.
pub fn load<'py>(bytes: &Bound<'py, PyBytes>) -> PyResult<Bound<'py, PyAny>> {
    static LOADS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let py = bytes.py();
    let loads = LOADS.get_or_try_init(py, || {
        py.import("marshal")?.getattr("loads").map(Bound::unbind)
    })?;
    loads.bind(py).call1((bytes,))
}

/// It is a tuple, list or dict of plain things only.
fn holds_plain(object: &Bound<'_, PyAny>, deepest: usize, left: &mut usize) -> PyResult<bool> {
    if deepest == 0 {
        return Ok(false);
    }
    let mut each = |element: &Bound<'_, PyAny>| -> PyResult<bool> {
        *left = left.saturating_sub(1);
        Ok(*left > 0 && (is_plain(element) || holds_plain(element, deepest - 1, left)?))
    };
    if let Ok(tuple) = object.cast_exact::<PyTuple>() {
        for index in 0..tuple.len() {
            if !each(&tuple.get_item(index)?)? {
                return Ok(false);
            }
        }
    } else if let Ok(list) = object.cast_exact::<PyList>() {
        for index in 0..list.len() {
            if !each(&list.get_item(index)?)? {
                return Ok(false);
            }
        }
    } else if let Ok(dict) = object.cast_exact::<PyDict>() {
        for (key, value) in dict {
            if !each(&key)? || !each(&value)? {
                return Ok(false);
            }
        }
    } else {
        return Ok(false);
    }
    Ok(true)
}

fn is_plain(object: &Bound<'_, PyAny>) -> bool {
    object.is_exact_instance_of::<PyInt>()
        || object.is_exact_instance_of::<PyFloat>()
        || object.is_exact_instance_of::<PyString>()
        || object.is_exact_instance_of::<PyBytes>()
        || object.is_exact_instance_of::<PyBool>()
        || object.is_none()
}
