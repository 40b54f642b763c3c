//! The buffer protocol, both ways: memory of other objects in, memory of ours out.
//!
//! It is part of the stable ABI from Python 3.11 on; for 3.9 and 3.10 the package is built for each
//! of them, without that ABI (see `pyproject.toml`). The type slots can be given to
//! `PyType_FromSpec` since 3.9 (so its documentation). CPython only.

use crate::errors::Forked;
use pyo3::exceptions::PyBufferError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyType};
use pyo3::{PyClass, PyTypeInfo};
use std::ffi::{CStr, c_int, c_void};
use std::marker::PhantomData;

/// A run of bytes that somebody keeps alive for `'a`, and that others may write meanwhile: therefore no slice.
#[derive(Clone, Copy)]
pub struct Part<'a> {
    start: *const u8,
    len: usize,
    keeper: PhantomData<&'a [u8]>,
}

// SAFETY: a pointer to bytes that stay where they are for 'a, whichever thread reads them.
unsafe impl Send for Part<'_> {}
// SAFETY: as for Send; a Part cannot be changed through a shared reference.
unsafe impl Sync for Part<'_> {}

impl<'a> Part<'a> {
    pub fn len(self) -> usize {
        self.len
    }

    /// Copies it to the beginning of `out`, which must be long enough.
    #[inline]
    pub fn copy_to(self, out: &mut [u8]) {
        let out = &mut out[..self.len];
        // SAFETY: `len` bytes are readable for 'a (see From and `Buffer::part`), `out` has `len` bytes of its own, which belong to a block or a vector of ours.
        unsafe { std::ptr::copy_nonoverlapping(self.start, out.as_mut_ptr(), self.len) };
    }

    /// For `writev`.
    pub fn io_vector(self) -> libc::iovec {
        libc::iovec {
            iov_base: self.start as *mut c_void,
            iov_len: self.len,
        }
    }
}

impl<'a> From<&'a [u8]> for Part<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self {
            start: bytes.as_ptr(),
            len: bytes.len(),
            keeper: PhantomData,
        }
    }
}

/// A buffer that another object exports, until this is dropped; which the callers do with the interpreter's lock held.
pub struct Buffer(ffi::Py_buffer);

// SAFETY: pointers to memory and an object that the view keeps alive; what is done with them needs the interpreter's lock, not a certain thread.
unsafe impl Send for Buffer {}

impl Buffer {
    /// The contiguous bytes of a bytes-like object.
    ///
    /// # Errors
    /// Raises TypeError if it is no buffer, and BufferError if it is not contiguous.
    pub fn of(object: &Bound<'_, PyAny>) -> PyResult<Self> {
        let mut view = ffi::Py_buffer::new();
        // SAFETY: `object` is alive, `view` is ours and has the layout that the function expects, and the interpreter's lock is held (`Bound`).
        if unsafe { ffi::PyObject_GetBuffer(object.as_ptr(), &mut view, ffi::PyBUF_SIMPLE) } == 0 {
            Ok(Self(view))
        } else {
            Err(PyErr::fetch(object.py()))
        }
    }

    pub fn part(&self) -> Part<'_> {
        Part {
            start: self.0.buf.cast(),
            len: self.0.len as usize,
            keeper: PhantomData,
        }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // SAFETY: the view was filled by PyObject_GetBuffer and is released once, here. Buffers live and die in functions that hold the interpreter's lock.
        unsafe { ffi::PyBuffer_Release(&mut self.0) };
    }
}

/// A bytearray whose bytes are still to be written. Nobody else may see it before.
pub fn unfilled(py: Python<'_>, len: usize) -> PyResult<Bound<'_, PyByteArray>> {
    // SAFETY: NULL asks for bytes that are not initialised; a new reference or NULL with an exception.
    let made = unsafe { ffi::PyByteArray_FromStringAndSize(std::ptr::null(), len as isize) };
    // SAFETY: as above.
    let made = unsafe { Bound::from_owned_ptr_or_err(py, made) }?;
    Ok(made.cast_into::<PyByteArray>()?)
}

/// A copy as bytes. (`PyBytes::new` panics where there is no memory.)
#[inline]
pub fn bytes<'py>(py: Python<'py>, from: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    // SAFETY: `from` is readable; a new reference or NULL with an exception.
    let made = unsafe { ffi::PyBytes_FromStringAndSize(from.as_ptr().cast(), from.len() as isize) };
    // SAFETY: as above.
    let made = unsafe { Bound::from_owned_ptr_or_err(py, made) }?;
    // SAFETY: the call above makes nothing but bytes.
    Ok(unsafe { made.cast_into_unchecked() })
}

/// A copy as a bytearray, see `bytes`.
pub fn bytearray<'py>(py: Python<'py>, from: &[u8]) -> PyResult<Bound<'py, PyByteArray>> {
    // SAFETY: `from` is readable; a new reference or NULL with an exception.
    let made =
        unsafe { ffi::PyByteArray_FromStringAndSize(from.as_ptr().cast(), from.len() as isize) };
    // SAFETY: as above.
    let made = unsafe { Bound::from_owned_ptr_or_err(py, made) }?;
    Ok(made.cast_into::<PyByteArray>()?)
}

/// Bytes to be written, maybe not initialised: therefore no slice.
#[derive(Clone, Copy)]
pub struct Space<'a> {
    start: *mut u8,
    len: usize,
    keeper: PhantomData<&'a ()>,
}

// SAFETY: a pointer to bytes that stay where they are for 'a, whichever thread writes them.
unsafe impl Send for Space<'_> {}

impl<'a> Space<'a> {
    /// The bytes of an array that nobody else has yet.
    pub fn of(array: &'a Bound<'_, PyByteArray>) -> Self {
        // SAFETY: `array` is a bytearray, alive for 'a, and nobody else is there to change its length.
        let start = unsafe { ffi::PyByteArray_AsString(array.as_ptr()) };
        Self {
            start: start.cast(),
            len: array.len(),
            keeper: PhantomData,
        }
    }

    pub fn len(self) -> usize {
        self.len
    }

    /// What comes after the first `done` bytes.
    pub fn rest(self, done: usize) -> *mut u8 {
        assert!(done <= self.len);
        // SAFETY: within the array or one past its end, by the line above.
        unsafe { self.start.add(done) }
    }
}

/// Bytes-like input: `bytes` as it is, others through a buffer.
pub enum Input<'a, 'py> {
    Bytes(&'a Bound<'py, PyBytes>),
    Other(Buffer),
}

impl<'a, 'py> Input<'a, 'py> {
    /// # Errors
    /// TypeError for anything that is not bytes-like.
    pub fn of(object: &'a Bound<'py, PyAny>) -> PyResult<Self> {
        match object.cast::<PyBytes>() {
            Ok(bytes) => Ok(Self::Bytes(bytes)),
            Err(_) => Buffer::of(object).map(Self::Other),
        }
    }

    pub fn part(&self) -> Part<'_> {
        match self {
            Self::Bytes(bytes) => bytes.as_bytes().into(),
            Self::Other(buffer) => buffer.part(),
        }
    }
}

/// Memory that an object lends out.
pub struct Lending {
    pub start: *mut u8,
    pub len: usize,
    pub read_only: bool,
}

/// An object whose memory others may see.
pub trait Export {
    /// Counts one view more, and says what it sees. The memory must stay until `returned` was called as often.
    ///
    /// # Errors
    /// There is nothing to see (any more).
    fn lend(&self) -> PyResult<Lending>;
    /// One view less.
    fn returned(&self, py: Python<'_>);
}

unsafe extern "C" fn get<
    T: PyClass<Frozen = pyo3::pyclass::boolean_struct::True> + Export + Sync,
>(
    object: *mut ffi::PyObject,
    view: *mut ffi::Py_buffer,
    flags: c_int,
) -> c_int {
    // SAFETY: called by the interpreter, with its lock held.
    let py = unsafe { Python::assume_attached() };
    // SAFETY: the interpreter passes an object of the type whose slot this is, alive for the call.
    let object = unsafe { Bound::from_borrowed_ptr(py, object) };
    let filled = (|| {
        let this = object.cast::<T>()?.get();
        let lending = this.lend()?;
        // SAFETY: `view` is the caller's, to be filled; the memory stays until the view is released, by the contract of `Export`.
        let answer = unsafe {
            ffi::PyBuffer_FillInfo(
                view,
                object.as_ptr(),
                lending.start.cast(),
                lending.len as isize,
                lending.read_only.into(),
                flags,
            )
        };
        if answer == 0 {
            return Ok(());
        }
        let error = PyErr::fetch(py);
        this.returned(py);
        Err(error)
    })();
    let Err(error) = filled else { return 0 };
    // SAFETY: as above; the protocol wants NULL there with an exception.
    unsafe { (*view).obj = std::ptr::null_mut() };
    let error: PyErr = error;
    // What a consumer of buffers expects.
    let error = if error.is_instance_of::<PyBufferError>(py) || error.is_instance_of::<Forked>(py) {
        error
    } else {
        let text = PyBufferError::new_err(error.value(py).to_string());
        text.set_cause(py, Some(error));
        text
    };
    error.restore(py);
    -1
}

unsafe extern "C" fn release<
    T: PyClass<Frozen = pyo3::pyclass::boolean_struct::True> + Export + Sync,
>(
    object: *mut ffi::PyObject,
    _view: *mut ffi::Py_buffer,
) {
    // SAFETY: called by the interpreter, with its lock held.
    let py = unsafe { Python::assume_attached() };
    // SAFETY: as in `get`.
    let object = unsafe { Bound::from_borrowed_ptr(py, object) };
    if let Ok(this) = object.cast::<T>() {
        this.get().returned(py);
    }
}

/// The type to make objects of: `T` with the slots of the buffer protocol. `name` has the module in it.
pub fn exporter<T>(py: Python<'_>, name: &'static CStr) -> PyResult<Py<PyType>>
where
    T: PyClass<Frozen = pyo3::pyclass::boolean_struct::True> + PyTypeInfo + Export + Sync,
{
    let mut slots = [
        ffi::PyType_Slot {
            slot: ffi::Py_bf_getbuffer,
            pfunc: get::<T> as *mut c_void,
        },
        ffi::PyType_Slot {
            slot: ffi::Py_bf_releasebuffer,
            pfunc: release::<T> as *mut c_void,
        },
        ffi::PyType_Slot {
            slot: 0,
            pfunc: std::ptr::null_mut(),
        },
    ];
    let mut spec = ffi::PyType_Spec {
        name: name.as_ptr(),
        basicsize: 0, // as the base's
        itemsize: 0,
        flags: ffi::Py_TPFLAGS_DEFAULT as _,
        slots: slots.as_mut_ptr(),
    };
    let bases = pyo3::types::PyTuple::new(py, [T::type_object(py)])?;
    // SAFETY: spec and slots are well formed and live for the call; the name is static; the functions have the signatures of getbufferproc and releasebufferproc.
    let made = unsafe { ffi::PyType_FromSpecWithBases(&mut spec, bases.as_ptr()) };
    // SAFETY: a new reference, or NULL with an exception set.
    let made = unsafe { Bound::from_owned_ptr_or_err(py, made) }?;
    let made = made.cast_into::<PyType>()?;
    // help() shows no inherited text.
    made.setattr("__doc__", T::type_object(py).getattr("__doc__")?)?;
    Ok(made.unbind())
}
