//! Operations that wait for a limited time.
//!
//! Invariant: a bounded operation reads the clock only when it has to wait.

use super::endpoint::Endpoint;
use super::item::TOO_LARGE;
use super::memory::copy_out;
use super::wait::Until;
use super::{Batch, Delivery, Item, OwnedDelivery, Payload};
use crate::error::{GetError, PutError, PutSliceError};
use std::marker::PhantomData;

/// A queue whose next operation waits for a limited time: what [`ReadyQueue::within`] and
/// [`ReadyQueue::until`] return.
///
/// The clock is read only when the operation has to wait. With a timeout of zero it does not wait
/// and answers `Full` or `Empty`; else it answers `TimedOut` when the time is over.
///
/// ```
/// # use prodcon::{GetError, QueueOptions, ReadyQueue};
/// # use std::time::Duration;
/// # let name = prodcon::bindings::TestName::new();
/// let mut queue = ReadyQueue::<u64>::create(&name, &QueueOptions::new(8))?;
/// let answer = queue.within(Duration::from_millis(1)).get();
/// assert!(matches!(answer, Err(GetError::TimedOut)));
/// # Ok::<(), prodcon::Error>(())
/// ```
///
/// [`ReadyQueue::within`]: crate::ReadyQueue::within
/// [`ReadyQueue::until`]: crate::ReadyQueue::until
#[derive(Debug)]
#[must_use = "nothing is done until an operation is called on it"]
pub struct Within<'q, T: Payload + ?Sized> {
    endpoint: &'q mut Endpoint,
    until: Until,
    _items: PhantomData<&'q T>,
}

impl<'q, T: Payload + ?Sized> Within<'q, T> {
    #[inline(always)]
    pub(super) fn new(endpoint: &'q mut Endpoint, until: Until) -> Self {
        Self {
            endpoint,
            until,
            _items: PhantomData,
        }
    }

    /// Puts an item; waits for space for the time given.
    ///
    /// # Errors
    /// Returns `TimedOut` if there was no space in time, or `Full` if the time is zero. Fails as
    /// [`ReadyQueue::put`](crate::ReadyQueue::put) does otherwise.
    ///
    /// ```
    /// # use prodcon::{PutError, QueueOptions, ReadyQueue};
    /// # use std::time::Duration;
    /// # let name = prodcon::bindings::TestName::new();
    /// let mut queue = ReadyQueue::<u64>::create(&name, &QueueOptions::new(1))?;
    /// queue.within(Duration::from_millis(1)).put(&1)?;
    /// let answer = queue.within(Duration::from_millis(1)).put(&2);
    /// assert!(matches!(answer, Err(PutError::TimedOut)));
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    #[inline]
    pub fn put(self, item: &T) -> Result<(), PutError> {
        self.endpoint
            .put_until(item.bytes(), T::SIZE.is_some(), &self.until)
    }

    /// Gets the oldest item; waits for one for the time given.
    ///
    /// # Errors
    /// Returns `TimedOut` if no item came in time, or `Empty` if the time is zero. Fails as
    /// [`ReadyQueue::get`](crate::ReadyQueue::get) does otherwise.
    ///
    /// ```
    /// # use prodcon::{QueueOptions, ReadyQueue};
    /// # use std::time::Duration;
    /// # let name = prodcon::bindings::TestName::new();
    /// let mut queue = ReadyQueue::<u64>::create(&name, &QueueOptions::new(1))?;
    /// queue.put(&1)?;
    /// assert_eq!(queue.within(Duration::from_millis(1)).get()?, 1);
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    #[inline]
    pub fn get(self) -> Result<T::Owned, GetError> {
        const { assert!(T::FITS_BY_VALUE, "{}", TOO_LARGE) };
        self.get_value()
    }

    /// Gets as `get` does, for a type of any size.
    #[inline(always)]
    pub(crate) fn get_value(self) -> Result<T::Owned, GetError> {
        self.endpoint.get_with(T::SIZE, self.until, T::read)
    }

    /// Takes the oldest item in place; waits for one for the time given.
    ///
    /// # Errors
    /// Returns `TimedOut` if no item came in time, or `Empty` if the time is zero. Fails as
    /// [`ReadyQueue::take`](crate::ReadyQueue::take) does otherwise.
    ///
    /// ```
    /// # use prodcon::{QueueOptions, ReadyQueue};
    /// # use std::time::Duration;
    /// # let name = prodcon::bindings::TestName::new();
    /// # const SECOND: Duration = Duration::from_secs(1);
    /// let mut queue = ReadyQueue::<u64>::create(&name, &QueueOptions::new(1))?;
    /// queue.put(&1)?;
    /// queue.within(SECOND).take()?.ack();
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    #[inline]
    pub fn take(self) -> Result<Delivery<'q, T>, GetError> {
        self.endpoint.take_next(T::SIZE, self.until)?;
        Ok(Delivery::new(self.endpoint))
    }

    /// Takes up to `max` items in place; waits for the first for the time given.
    ///
    /// # Errors
    /// Returns `TimedOut` if no item came in time, or `Empty` if the time is zero. Fails as
    /// [`ReadyQueue::take_many`](crate::ReadyQueue::take_many) does otherwise.
    ///
    /// ```
    /// # use prodcon::{QueueOptions, ReadyQueue};
    /// # use std::time::Duration;
    /// # let name = prodcon::bindings::TestName::new();
    /// let mut queue = ReadyQueue::<u64>::create(&name, &QueueOptions::new(8))?;
    /// queue.put_slice(&[1, 2, 3])?;
    /// assert_eq!(queue.within(Duration::ZERO).take_many(8)?.len(), 3);
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    pub fn take_many(self, max: usize) -> Result<Batch<'q, T>, GetError> {
        self.endpoint.take_many(max, self.until)
    }

    /// Takes the oldest item with a seat of its own; waits for the time given, for both of them
    /// together.
    ///
    /// # Errors
    /// Returns `TimedOut` if no item came in time, or `Empty` if the time is zero. Fails as
    /// [`ReadyQueue::take_owned`](crate::ReadyQueue::take_owned) does otherwise.
    ///
    /// ```
    /// # use prodcon::{AttachOptions, GetError, QueueOptions, ReadyQueue};
    /// # use std::time::Duration;
    /// # let name = prodcon::bindings::TestName::new();
    /// let options = QueueOptions::new(8).attach(AttachOptions::new().max_unacked(1));
    /// let mut queue = ReadyQueue::<u64>::create(&name, &options)?;
    /// queue.put_slice(&[1, 2])?;
    /// let first = queue.within(Duration::ZERO).take_owned()?;
    /// let second = queue.within(Duration::ZERO).take_owned();
    /// assert!(matches!(second, Err(GetError::Empty))); // no seat is left for it
    /// first.ack();
    /// assert_eq!(*queue.within(Duration::ZERO).take_owned()?, 2);
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    pub fn take_owned(self) -> Result<OwnedDelivery<T>, GetError> {
        self.endpoint.take_owned(self.until)
    }
}

impl<T: Item> Within<'_, T> {
    /// Gets the oldest item into `place`; waits for one for the time given.
    ///
    /// # Errors
    /// Fails as [`get`](Self::get) does. `place` is untouched then.
    ///
    /// ```
    /// # use prodcon::{QueueOptions, ReadyQueue};
    /// # use std::time::Duration;
    /// # let name = prodcon::bindings::TestName::new();
    /// let mut queue = ReadyQueue::<[u8; 64]>::create(&name, &QueueOptions::new(8))?;
    /// queue.put(&[1; 64])?;
    /// let mut place = [0; 64];
    /// queue.within(Duration::from_secs(1)).get_into(&mut place)?;
    /// assert_eq!(place, [1; 64]);
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    #[inline]
    pub fn get_into(self, place: &mut T) -> Result<(), GetError> {
        self.endpoint.get_with(T::SIZE, self.until, |bytes| {
            copy_out(bytes, bytemuck::bytes_of_mut(place))
        })
    }

    /// Puts items in order; waits for space for the time given, which is for all of them together.
    ///
    /// # Errors
    /// Returns a [`PutSliceError`], which says how many were put, and why the rest was not.
    ///
    /// ```
    /// # use prodcon::{QueueOptions, ReadyQueue};
    /// # use std::time::Duration;
    /// # let name = prodcon::bindings::TestName::new();
    /// let mut queue = ReadyQueue::<u64>::create(&name, &QueueOptions::new(8))?;
    /// queue.within(Duration::from_secs(1)).put_slice(&[1, 2, 3])?;
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    pub fn put_slice(self, items: &[T]) -> Result<(), PutSliceError> {
        self.endpoint.put_slice(items, self.until)
    }
}
