//! A block that is filled in place and then put.
//!
//! Invariant: the reservation borrows its endpoint exclusively, so that nothing else touches the
//! block until it is committed or dropped.

use super::elements::Elements;
use super::endpoint::Endpoint;
use super::wait::Until;
use crate::error::{Error, PutError};
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::time::Duration;

/// A block to be filled in place and then put with [`commit`](Self::commit).
///
/// It shows whatever was in the block before. The queue's state and space count at the commit,
/// because space cannot be held for a process that may be paused.
///
/// ```
/// # use prodcon::{QueueOptions, ReadyQueue};
/// # use std::io::Read;
/// # let name = prodcon::bindings::TestName::new();
/// # let mut camera: &[u8] = b"pixels";
/// let mut frames = ReadyQueue::<[u8]>::create(&name, &QueueOptions::new(4).item_size(1 << 20))?;
/// let mut block = frames.reserve(1 << 20)?;
/// let len = camera.read(&mut block)?;
/// block.truncate(len);
/// block.commit()?;
/// assert_eq!(&*frames.take()?, b"pixels");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "a reservation that is dropped puts nothing: call commit()"]
pub struct Reservation<'q, T: ?Sized> {
    endpoint: &'q mut Endpoint,
    /// The payload of the endpoint's own block. It is a pointer, because others write there as soon
    /// as the block was put.
    place: NonNull<T>,
    /// What one element counts in the length that the ring notes: bytes, or items in batches.
    unit: usize,
    /// An empty slice is an item without bytes, and not no item.
    bytes: bool,
    _place: PhantomData<&'q mut T>,
}

// SAFETY: the pointer stands for a `&mut T` into the block that the endpoint owns, and the endpoint
// may move to another thread.
unsafe impl<T: Send + ?Sized> Send for Reservation<'_, T> {}
// SAFETY: through `&Reservation` the payload can only be read, as through `& &mut T`, and of the
// endpoint only its fork word, an atomic, and its name are looked at.
unsafe impl<T: Sync + ?Sized> Sync for Reservation<'_, T> {}

impl<'q, T: ?Sized> Reservation<'q, T> {
    /// Makes a reservation of `place`, which is in the endpoint's own block and may be written (see
    /// `may_fill`).
    pub(super) fn new(
        endpoint: &'q mut Endpoint,
        place: NonNull<T>,
        unit: usize,
        bytes: bool,
    ) -> Self {
        Self {
            endpoint,
            place,
            unit,
            bytes,
            _place: PhantomData,
        }
    }
}

impl<'q, T: Elements + ?Sized> Reservation<'q, T> {
    /// Puts the item; waits while the queue is full, unless it is lossy. If it fails the block is
    /// given up. To try again use [`commit_within`](Self::commit_within).
    ///
    /// # Errors
    /// Fails as [`ReadyQueue::put`](crate::ReadyQueue::put) does.
    ///
    /// ```
    /// # use prodcon::{QueueOptions, ReadyQueue};
    /// # let name = prodcon::bindings::TestName::new();
    /// let mut points = ReadyQueue::<[f64; 2]>::create(&name, &QueueOptions::new(4))?;
    /// let mut point = points.reserve()?;
    /// point[0] = 0.5;
    /// point[1] = 1.5;
    /// point.commit()?;
    /// assert_eq!(points.get()?, [0.5, 1.5]);
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    ///
    /// It is there for items of any type:
    ///
    /// ```
    /// use prodcon::{Payload, PutError, Reservation};
    ///
    /// fn finish<T: Payload + ?Sized>(block: Reservation<T>) -> Result<(), PutError> {
    ///     block.commit()
    /// }
    /// ```
    pub fn commit(self) -> Result<(), PutError> {
        self.finish(&Until::Forever)
            .map_err(|refused| refused.error)
    }

    /// Puts the item; waits for space for at most `timeout`, and not at all if that is zero. If it
    /// fails the reservation comes back with the error.
    ///
    /// # Errors
    /// Fails as [`ReadyQueue::put`](crate::ReadyQueue::put) does. Returns `TimedOut` if there was
    /// no space in time, or `Full` if the timeout is zero.
    ///
    /// ```
    /// # use prodcon::{QueueOptions, ReadyQueue};
    /// # use std::time::Duration;
    /// # let name = prodcon::bindings::TestName::new();
    /// let mut queue = ReadyQueue::<u64>::create(&name, &QueueOptions::new(1))?;
    /// let mut other = queue.try_clone()?;
    /// queue.put(&1)?;
    /// let mut item = queue.reserve()?;
    /// *item = 2;
    /// let refused = item.commit_within(Duration::ZERO).unwrap_err();
    /// assert_eq!(other.get()?, 1);
    /// refused.reservation.commit()?;
    /// assert_eq!(other.get()?, 2);
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    pub fn commit_within(self, timeout: Duration) -> Result<(), CommitError<'q, T>> {
        self.finish(&Until::within(timeout))
    }

    /// Shortens what is put to the first `len` elements, if it is a slice.
    pub(crate) fn shorten(&mut self, len: usize) {
        self.place = T::first(self.place, len);
    }

    fn finish(self, until: &Until) -> Result<(), CommitError<'q, T>> {
        let elements = T::count(self.place);
        if elements == 0 && !self.bytes {
            return Ok(());
        }
        let done = if self.bytes {
            self.endpoint.put_own_bytes(elements, until)
        } else {
            self.endpoint.put_own_block(elements * self.unit, until)
        };
        match done {
            Ok(()) => Ok(()),
            Err(error) => Err(CommitError {
                error,
                reservation: self,
            }),
        }
    }
}

impl<T> Reservation<'_, [T]> {
    /// Shortens what is put to the first `len` elements. A slice of plain items that is shortened
    /// to nothing puts nothing.
    ///
    /// ```
    /// # use prodcon::{QueueOptions, ReadyQueue};
    /// # let name = prodcon::bindings::TestName::new();
    /// let mut lines = ReadyQueue::<[u8]>::create(&name, &QueueOptions::new(4).item_size(80))?;
    /// let mut line = lines.reserve(80)?;
    /// line[..2].copy_from_slice(b"ok");
    /// line.truncate(2);
    /// line.commit()?;
    /// assert_eq!(lines.get()?, b"ok");
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    pub fn truncate(&mut self, len: usize) {
        self.shorten(len);
    }
}

impl<T: ?Sized> Deref for Reservation<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.endpoint.assert_mapped();
        // SAFETY: `place` points to a payload within the endpoint's own block, valid for `T`
        // (`new`'s callers checked length and alignment), mapped because this is no forked child,
        // and written by nobody else while the block is the endpoint's and the endpoint is borrowed
        // by self.
        unsafe { self.place.as_ref() }
    }
}

impl<T: ?Sized> DerefMut for Reservation<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.endpoint.assert_mapped();
        // SAFETY: as in `deref`; self is borrowed exclusively.
        unsafe { self.place.as_mut() }
    }
}

impl<T: ?Sized> fmt::Debug for Reservation<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reservation")
            .field("queue", &self.endpoint.control.name())
            .finish_non_exhaustive()
    }
}

/// A commit that was refused. The reservation is still there, as it was filled.
///
/// It borrows the queue, so it cannot become a `Box<dyn Error>`; its [`error`](Self::error) can.
#[non_exhaustive]
pub struct CommitError<'q, T: ?Sized> {
    /// Why the item was not put.
    pub error: PutError,
    /// The block as it was filled.
    pub reservation: Reservation<'q, T>,
}

impl<T: ?Sized> fmt::Debug for CommitError<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CommitError")
            .field("error", &self.error)
            .finish_non_exhaustive()
    }
}

impl<T: ?Sized> fmt::Display for CommitError<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.error, f)
    }
}

impl<T: ?Sized> std::error::Error for CommitError<'_, T> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(&self.error)
    }
}

impl<T: ?Sized> From<CommitError<'_, T>> for PutError {
    fn from(refused: CommitError<'_, T>) -> Self {
        refused.error
    }
}

impl<T: ?Sized> From<CommitError<'_, T>> for Error {
    fn from(refused: CommitError<'_, T>) -> Self {
        refused.error.into()
    }
}
