//! Plain shared memory for what the processes of a run tell each other beside the queues under test.

use crate::Outcome;
use memmap2::MmapRaw;
use std::fs::File;
use std::marker::PhantomData;
use std::ops::Deref;
use std::path::Path;
use std::sync::atomic::{AtomicU32, AtomicU64};

/// Types of nothing but atomics.
///
/// # Safety
/// All bytes 0 is a value of the type, every byte pattern is one, and all of it may be changed by other processes at any time: atomics and arrays of them.
pub unsafe trait Atomics {}
// SAFETY: an atomic integer.
unsafe impl Atomics for AtomicU64 {}
// SAFETY: an atomic integer.
unsafe impl Atomics for AtomicU32 {}
// SAFETY: an array of such.
unsafe impl<T: Atomics, const N: usize> Atomics for [T; N] {}

/// A `T` in a file that several processes map; all 0 at first.
pub struct Shared<T> {
    map: MmapRaw,
    _of: PhantomData<T>,
}

impl<T: Atomics> Shared<T> {
    /// Makes it. The file is sparse: what is never written takes no memory.
    ///
    /// # Errors
    /// As the system answers.
    pub fn create(path: &Path) -> Outcome<Self> {
        let file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(path)?;
        file.set_len(size_of::<T>() as u64)?;
        Self::over(&file)
    }

    /// Opens it.
    ///
    /// # Errors
    /// As the system answers; the file is too short.
    pub fn open(path: &Path) -> Outcome<Self> {
        Self::over(&File::options().read(true).write(true).open(path)?)
    }

    fn over(file: &File) -> Outcome<Self> {
        if file.metadata()?.len() < size_of::<T>() as u64 {
            return Err("the shared file is too short".into());
        }
        let map = MmapRaw::map_raw(file)?;
        Ok(Self {
            map,
            _of: PhantomData,
        })
    }
}

impl<T: Atomics> Deref for Shared<T> {
    type Target = T;
    fn deref(&self) -> &T {
        let pointer = self.map.as_ptr().cast::<T>();
        // SAFETY: the mapping is at least as long as T (checked in `over`), page-aligned, lives as long as self, and T is nothing but atomics, for which
        // every byte pattern is a value and which others may change.
        unsafe { &*pointer }
    }
}
