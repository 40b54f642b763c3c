//! Python objects as items: a tag, then what the tag says.
//!
//!     N T F       None, True, False                            nothing follows
//!     i           an int that fits in 64 bits                  8 bytes
//!     f           a float                                      8 bytes
//!     b           bytes                                        the bytes
//!     s           a str                                        UTF-8
//!     m           tuples, lists, dicts of such things          `marshal`, version 4
//!     p           anything else                                its pickle
//!     P           the same with large buffers apart            3 zero bytes, u32 count n, u64 length of the pickle, n u64 lengths of the buffers,
//!                                                              the pickle, then each buffer at the next multiple of 64
//!     @           the item is in a file                        see `spill`
//!
//! Numbers are in the machine's byte order.

use crate::buffer::{self, Part};
use crate::errors::Invalid;
use crate::handle::Handle;
use crate::marshal;
use crate::pickle::Pickled;
use crate::spill;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{
    PyByteArray, PyBytes, PyDict, PyFloat, PyInt, PyList, PyMemoryView, PySlice, PyString,
};

/// Where buffers begin within an item.
const ALIGN: usize = 64;
/// The head of a pickle without buffers apart.
static PICKLE: [u8; 1] = *b"p";

/// An object, ready to be written into a block or a file.
pub enum Frame<'py> {
    /// Tag and at most 8 bytes.
    Short([u8; 9], usize),
    /// Tag and bytes.
    Long(u8, Bound<'py, PyBytes>),
    /// Head and pickle; with buffers apart, if there are large ones.
    Pickle(Vec<u8>, Pickled),
}

fn short(tag: u8, rest: [u8; 8]) -> Frame<'static> {
    let mut bytes = [tag; 9];
    bytes[1..].copy_from_slice(&rest);
    Frame::Short(bytes, 9)
}

impl<'py> Frame<'py> {
    /// # Errors
    /// The object cannot be pickled.
    pub fn of(object: &Bound<'py, PyAny>) -> PyResult<Self> {
        if object.is_exact_instance_of::<PyInt>() {
            if let Ok(value) = object.extract::<i64>() {
                return Ok(short(b'i', value.to_ne_bytes()));
            }
        } else if let Ok(bytes) = object.cast_exact::<PyBytes>() {
            return Ok(Self::Long(b'b', bytes.clone()));
        } else if let Ok(text) = object.cast_exact::<PyString>() {
            // Fails for lone surrogates, which pickle can do.
            if let Ok(bytes) = text.encode_utf8() {
                return Ok(Self::Long(b's', bytes));
            }
        } else if let Ok(value) = object.cast_exact::<PyFloat>() {
            return Ok(short(b'f', value.value().to_ne_bytes()));
        } else if object.is_none() {
            return Ok(Self::Short([b'N'; 9], 1));
        } else if object.is_exact_instance_of::<pyo3::types::PyBool>() {
            return Ok(Self::Short(
                [if object.is_truthy()? { b'T' } else { b'F' }; 9],
                1,
            ));
        } else if let Some(bytes) = marshal::dump(object)? {
            return Ok(Self::Long(b'm', bytes));
        }
        Self::pickled(object)
    }

    fn pickled(object: &Bound<'py, PyAny>) -> PyResult<Self> {
        let pickled = Pickled::of(object)?;
        if pickled.buffers.is_empty() {
            return Ok(Self::Pickle(vec![], pickled));
        }
        let count = u32::try_from(pickled.buffers.len())
            .map_err(|_| PyValueError::new_err("too many buffers in one object"))?;
        let mut head = vec![b'P', 0, 0, 0];
        head.extend(count.to_ne_bytes());
        head.extend((pickled.bytes.len() as u64).to_ne_bytes());
        pickled
            .buffers
            .iter()
            .for_each(|buffer| head.extend((buffer.part().len() as u64).to_ne_bytes()));
        Ok(Self::Pickle(head, pickled))
    }

    /// Bytes of the item.
    pub fn len(&self) -> usize {
        match self {
            Self::Short(_, len) => *len,
            Self::Long(_, bytes) => 1 + bytes.as_bytes().len(),
            Self::Pickle(head, pickled) => pickled
                .buffers
                .iter()
                .fold(head.len().max(1) + pickled.bytes.len(), |end, buffer| {
                    end.next_multiple_of(ALIGN) + buffer.part().len()
                }),
        }
    }

    /// Writes it into a block of its length.
    pub fn write(&self, out: &mut [u8]) {
        let (tag, rest) = match self {
            Self::Short(bytes, len) => return out[..*len].copy_from_slice(&bytes[..*len]),
            Self::Long(tag, bytes) => (*tag, bytes.as_bytes()),
            Self::Pickle(head, pickled) if head.is_empty() => (PICKLE[0], &pickled.bytes[..]),
            Self::Pickle(..) => {
                self.parts().into_iter().fold(0, |at, part| {
                    part.copy_to(&mut out[at..]);
                    at + part.len()
                });
                return;
            }
        };
        out[0] = tag;
        out[1..=rest.len()].copy_from_slice(rest);
    }

    /// What it consists of, in order.
    pub fn parts(&self) -> Vec<Part<'_>> {
        match self {
            Self::Short(bytes, len) => vec![bytes[..*len].into()],
            Self::Long(tag, bytes) => {
                vec![std::slice::from_ref(tag).into(), bytes.as_bytes().into()]
            }
            Self::Pickle(head, pickled) => {
                static ZEROS: [u8; ALIGN] = [0; ALIGN];
                let head = if head.is_empty() { &PICKLE[..] } else { head };
                let mut parts: Vec<Part<'_>> = vec![head.into(), pickled.bytes[..].into()];
                let mut end = head.len() + pickled.bytes.len();
                for buffer in &pickled.buffers {
                    let gap = end.next_multiple_of(ALIGN) - end;
                    parts.push(ZEROS[..gap].into());
                    parts.push(buffer.part());
                    end += gap + buffer.part().len();
                }
                parts
            }
        }
    }
}

fn loads(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    static LOADS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let loads = LOADS.get_or_try_init(py, || {
        py.import("pickle")?.getattr("loads").map(Bound::unbind)
    })?;
    Ok(loads.bind(py))
}

/// An item that was copied out of its block, so that the block can go.
pub enum Copied<'py> {
    Object(Bound<'py, PyAny>),
    Pickle(Bound<'py, PyBytes>),
    Marshal(Bound<'py, PyBytes>),
    /// A pickle and its buffers.
    Buffers(Bound<'py, PyAny>, Bound<'py, PyList>),
    /// It is in a file, which was read; and which is to be given up.
    File(Option<spill::Reference>, Bound<'py, PyByteArray>),
    /// It was in a file that is gone: it was cleared.
    Cleared,
}

fn foreign(what: &str) -> PyErr {
    Invalid::new_err(format!(
        "the item is no Python object ({what}); another program put it: attach with objects=False to get bytes. The item is dropped"
    ))
}

/// The lengths in the head of a pickle with buffers: where the pickle is, and where the buffers.
fn find_buffers(item: &[u8]) -> Option<(std::ops::Range<usize>, Vec<std::ops::Range<usize>>)> {
    let word = |at: usize| {
        Some(u64::from_ne_bytes(
            item.get(at..at.checked_add(8)?)?.try_into().ok()?,
        ))
    };
    let count = u32::from_ne_bytes(item.get(4..8)?.try_into().ok()?) as usize;
    let head = count.checked_mul(8)?.checked_add(16)?;
    if head > item.len() {
        return None;
    }
    let mut end = head.checked_add(usize::try_from(word(8)?).ok()?)?;
    let pickle = head..end;
    let mut buffers = Vec::with_capacity(count);
    for index in 0..count {
        let start = end.checked_next_multiple_of(ALIGN)?;
        end = start.checked_add(usize::try_from(word(16 + 8 * index)?).ok()?)?;
        buffers.push(start..end);
    }
    (end <= item.len()).then_some((pickle, buffers))
}

impl<'py> Copied<'py> {
    /// Copies what is in a block.
    ///
    /// # Errors
    /// It is no object.
    pub fn from_block(py: Python<'py>, item: &[u8], handle: &Handle) -> PyResult<Self> {
        let (tag, rest) = item.split_first().ok_or_else(|| foreign("it is empty"))?;
        let word =
            || <[u8; 8]>::try_from(rest).map_err(|_| foreign("a number of the wrong length"));
        Ok(Self::Object(match tag {
            b'i' => i64::from_ne_bytes(word()?).into_pyobject(py)?.into_any(),
            b'f' => f64::from_ne_bytes(word()?).into_pyobject(py)?.into_any(),
            b'b' => buffer::bytes(py, rest)?.into_any(),
            b's' => PyString::from_bytes(py, rest)?.into_any(),
            b'N' => py.None().into_bound(py),
            b'T' => true.into_pyobject(py)?.to_owned().into_any(),
            b'F' => false.into_pyobject(py)?.to_owned().into_any(),
            b'p' => return Ok(Self::Pickle(buffer::bytes(py, rest)?)),
            b'm' => return Ok(Self::Marshal(buffer::bytes(py, rest)?)),
            b'P' => {
                let (pickle, buffers) =
                    find_buffers(item).ok_or_else(|| foreign("its lengths are wrong"))?;
                let list = PyList::empty(py);
                for range in buffers {
                    list.append(buffer::bytearray(py, &item[range])?)?;
                }
                return Ok(Self::Buffers(
                    buffer::bytes(py, &item[pickle])?.into_any(),
                    list,
                ));
            }
            _ => {
                let reference = spill::Reference::read(item)
                    .ok_or_else(|| foreign(&format!("it begins with byte {tag}")))?;
                return Ok(match reference.read_file(py, handle)? {
                    Some(item) => Self::File(Some(reference), item),
                    None => Self::Cleared,
                });
            }
        }))
    }

    /// Notes the file that has to be given up, so that `finish` does not do it.
    pub fn finish_but_keep(self, files: &mut Vec<spill::Reference>) -> Self {
        match self {
            Self::File(Some(reference), item) => {
                files.push(reference);
                Self::File(None, item)
            }
            other => other,
        }
    }

    /// Returns the object, or `None` if the item was cleared. The block is not needed any more.
    pub fn finish(self, py: Python<'py>, handle: &Handle) -> PyResult<Option<Bound<'py, PyAny>>> {
        match self {
            Self::Object(object) => Ok(Some(object)),
            Self::Pickle(bytes) => loads(py)?.call1((bytes,)).map(Some),
            Self::Marshal(bytes) => marshal::load(&bytes).map(Some),
            Self::Buffers(bytes, buffers) => {
                let options = PyDict::new(py);
                options.set_item("buffers", buffers)?;
                loads(py)?.call((bytes,), Some(&options)).map(Some)
            }
            Self::File(reference, item) => {
                if let Some(reference) = reference {
                    reference.give_up(handle);
                }
                from_file(py, &item, handle).map(Some)
            }
            Self::Cleared => Ok(None),
        }
    }
}

/// The object in a file that was read. Large buffers in it keep those bytes; nothing is copied again.
fn from_file<'py>(
    py: Python<'py>,
    item: &Bound<'py, PyByteArray>,
    handle: &Handle,
) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: nobody else has this bytearray yet, and its bytes are not touched while the slice is used: it ends before Python code runs.
    let bytes = unsafe { item.as_bytes() };
    let (pickle, buffers) = match bytes[0] {
        b'p' => (1..bytes.len(), vec![]),
        b'P' => find_buffers(bytes).ok_or_else(|| foreign("its lengths are wrong"))?,
        b'b' | b's' | b'm' => {
            let copied = Copied::from_block(py, bytes, handle)?;
            return copied
                .finish(py, handle)?
                .ok_or_else(|| foreign("it is nothing"));
        }
        tag => return Err(foreign(&format!("its file begins with byte {tag}"))),
    };
    let view = PyMemoryView::from(item)?;
    let slice = |range: std::ops::Range<usize>| {
        view.get_item(PySlice::new(
            py,
            range.start as isize,
            range.end as isize,
            1,
        ))
    };
    let list = PyList::empty(py);
    for range in buffers {
        list.append(slice(range)?)?;
    }
    Copied::Buffers(slice(pickle)?, list)
        .finish(py, handle)?
        .ok_or_else(|| foreign("it is nothing"))
}
