//! The public endpoint: one method for each operation, over the untyped [`Endpoint`].

use super::batch::Batch;
use super::control::Control;
use super::delivery::Delivery;
use super::endpoint::Endpoint;
use super::interest::Interest;
use super::item::TOO_LARGE;
use super::memory::copy_out;
use super::options::{AttachOptions, QueueOptions};
use super::owned::OwnedDelivery;
use super::reservation::Reservation;
use super::wait::{For, Until};
use super::within::Within;
use super::{Item, Payload};
use crate::error::{Error, ErrorKind, GetError, PutError, PutSliceError, Result};
use std::fmt;
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::time::{Duration, Instant};

/// An endpoint of a named queue.
///
/// It takes one seat of the queue (more with [`AttachOptions::max_unacked`]); dropping it gives
/// them back. One thread uses an endpoint at a time: it is `Send` and not `Sync`. Attach once for
/// each thread.
///
/// A plain operation waits: [`put`](Self::put) for space, [`get`](Self::get) and
/// [`take`](Self::take) for an item. `try_` does not wait, and [`within`](Self::within) and
/// [`until`](Self::until) bound the wait. Waiting ends with an error when the queue is stopped or
/// its name is removed.
///
/// ```
/// # use prodcon::{QueueOptions, ReadyQueue};
/// # let name = prodcon::bindings::TestName::new();
/// let options = QueueOptions::new(1024).at_least_once(true);
/// let mut producer = ReadyQueue::<u64>::create(&name, &options)?;
/// let mut consumer = ReadyQueue::<u64>::attach(&name)?; // usually in another process
///
/// producer.put(&21)?;
/// let job = consumer.take()?; // read in place, not copied
/// assert_eq!(*job, 21);
/// job.ack();
/// # Ok::<(), prodcon::Error>(())
/// ```
pub struct ReadyQueue<T: Payload + ?Sized> {
    pub(super) endpoint: Endpoint,
    _items: PhantomData<fn() -> Box<T>>,
}

impl<T: Payload + ?Sized> ReadyQueue<T> {
    pub(super) fn over(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            _items: PhantomData,
        }
    }

    // ------------------------------------------------------------ open

    /// Creates a queue and attaches to it.
    ///
    /// # Errors
    /// Returns `AlreadyExists` if the name is taken, `InvalidName` if no queue can have it,
    /// `InvalidOption` if an option is out of range or does not go with another one,
    /// `PermissionDenied` if the directory may not be written to, `NoSpace` if the queue does not
    /// fit into it, `NotFound` if there is no such directory, and `Os` if a system call failed.
    ///
    /// ```
    /// # use prodcon::{QueueOptions, ReadyQueue};
    /// # let name = prodcon::bindings::TestName::new();
    /// let mut queue = ReadyQueue::<u64>::create(&name, &QueueOptions::new(1024))?;
    /// queue.put(&1)?;
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    pub fn create(name: &str, options: &QueueOptions) -> Result<Self> {
        Endpoint::create(name, options, T::plain()).map(Self::over)
    }

    /// Attaches to a queue by name.
    ///
    /// # Errors
    /// Returns `NotFound` if there is no such queue, `Incompatible` if it is of another type,
    /// `NoSeat` if all seats are taken, `PermissionDenied` if it may not be written to, `Corrupt`
    /// if the file is no queue, `InvalidName` if no queue can have the name, and `Os` if a system
    /// call failed.
    ///
    /// ```
    /// # use prodcon::{QueueOptions, ReadyQueue};
    /// # let name = prodcon::bindings::TestName::new();
    /// # let made = ReadyQueue::<u64>::create(&name, &QueueOptions::new(8))?;
    /// let mut queue = ReadyQueue::<u64>::attach(&name)?;
    /// queue.put(&1)?;
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    pub fn attach(name: &str) -> Result<Self> {
        Self::attach_with(name, &AttachOptions::new())
    }

    /// Attaches to a queue in a role, with several items in hand, in another directory, or when it
    /// is created.
    ///
    /// # Errors
    /// Fails as [`attach`](Self::attach) does. If it waits for the queue, it may return `TimedOut`
    /// and `Cancelled` too.
    ///
    /// ```
    /// # use prodcon::{AttachOptions, QueueOptions, ReadyQueue, Role};
    /// # let name = prodcon::bindings::TestName::new();
    /// # let made = ReadyQueue::<u64>::create(&name, &QueueOptions::new(8))?;
    /// let options = AttachOptions::new().role(Role::Consumer).max_unacked(16);
    /// let queue = ReadyQueue::<u64>::attach_with(&name, &options)?;
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    pub fn attach_with(name: &str, options: &AttachOptions) -> Result<Self> {
        let (place, plain) = (options.place(name)?, T::plain());
        let join = || Endpoint::join(&place, options, plain.as_ref());
        options.when_it_exists(&place, join).map(Self::over)
    }

    /// Attaches to the queue if it exists; otherwise creates it.
    ///
    /// # Errors
    /// Returns `OptionsDiffer` if the queue exists with other options; [`Error::differences`] lists
    /// them. Fails as [`attach`](Self::attach) and [`create`](Self::create) do otherwise.
    ///
    /// ```
    /// # use prodcon::{QueueOptions, ReadyQueue};
    /// # let name = prodcon::bindings::TestName::new();
    /// let options = QueueOptions::new(1024);
    /// let mut first = ReadyQueue::<u64>::create_or_attach(&name, &options)?;
    /// let mut second = ReadyQueue::<u64>::create_or_attach(&name, &options)?;
    /// first.put(&1)?;
    /// assert_eq!(second.get()?, 1);
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    pub fn create_or_attach(name: &str, options: &QueueOptions) -> Result<Self> {
        Endpoint::create_or_attach(name, options, T::plain).map(Self::over)
    }

    /// Opens another endpoint of the same queue, attached as this one, with seats of its own.
    ///
    /// # Errors
    /// Returns `Removed` if the name was removed and the queue cannot be opened again. Fails as
    /// [`attach`](Self::attach) does otherwise.
    ///
    /// ```
    /// # use prodcon::{QueueOptions, ReadyQueue};
    /// # let name = prodcon::bindings::TestName::new();
    /// let mut queue = ReadyQueue::<u64>::create(&name, &QueueOptions::new(8))?;
    /// let mut for_a_thread = queue.try_clone()?;
    /// std::thread::spawn(move || for_a_thread.put(&1)).join().unwrap()?;
    /// assert_eq!(queue.get()?, 1);
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    pub fn try_clone(&self) -> Result<Self> {
        Ok(Self::over(self.endpoint.try_clone()?))
    }

    // ------------------------------------------------------------ put

    /// Puts an item; waits while the queue is full. On a lossy queue it drops the oldest item
    /// instead.
    ///
    /// # Errors
    /// Returns `NotReady` if the queue takes no items now, `Stopped` if it is stopped or its stream
    /// ends, and `Cancelled` if the endpoint's token was cancelled. Returns `Failed` if something
    /// else went wrong, with the kind `TooLarge`, `WrongLength`, `NoSeat` (an item is in hand and
    /// no other seat is free), `Removed`, `Forked`, `Corrupt`, `Exhausted` or `Os`. The item was
    /// not put then.
    ///
    /// ```
    /// # use prodcon::{QueueOptions, ReadyQueue};
    /// # let name = prodcon::bindings::TestName::new();
    /// let mut queue = ReadyQueue::<[u8]>::create(&name, &QueueOptions::new(8).item_size(32))?;
    /// queue.put(b"reading 21.5")?;
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    #[inline]
    pub fn put(&mut self, item: &T) -> Result<(), PutError> {
        self.endpoint
            .put_until(item.bytes(), T::SIZE.is_some(), &Until::Forever)
    }

    /// Puts an item if there is space now. On a lossy queue it makes space.
    ///
    /// A caller that polls keeps away from a slot at which the other side works: a try that fails
    /// after several have succeeded may pause for up to ten microseconds or so before it answers,
    /// as long as the other side keeps getting on, and tries once more.
    ///
    /// # Errors
    /// Returns `Full` if the queue is full. Fails as [`put`](Self::put) does otherwise.
    ///
    /// ```
    /// # use prodcon::{PutError, QueueOptions, ReadyQueue};
    /// # let name = prodcon::bindings::TestName::new();
    /// let mut queue = ReadyQueue::<u64>::create(&name, &QueueOptions::new(1))?;
    /// queue.try_put(&1)?;
    /// assert!(matches!(queue.try_put(&2), Err(PutError::Full)));
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    #[inline]
    pub fn try_put(&mut self, item: &T) -> Result<(), PutError> {
        self.endpoint.try_put(item.bytes(), T::SIZE.is_some())
    }

    /// Puts an item as into a lossy queue, whatever the queue is: when it is full the oldest block
    /// is dropped in the same step, counted as dropped. Never waits.
    ///
    /// # Errors
    /// Fails as [`put`](Self::put) does.
    ///
    /// ```
    /// # use prodcon::{QueueOptions, ReadyQueue};
    /// # let name = prodcon::bindings::TestName::new();
    /// let mut queue = ReadyQueue::<u64>::create(&name, &QueueOptions::new(1))?;
    /// queue.put(&1)?;
    /// queue.force_put(&2)?;
    /// assert_eq!(queue.get()?, 2);
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    pub fn force_put(&mut self, item: &T) -> Result<(), PutError> {
        self.endpoint.force_put(item.bytes(), T::SIZE.is_some())
    }

    // ------------------------------------------------------------ get

    /// Gets a copy of the oldest item; waits while there is none. The item is acknowledged when the
    /// call returns: if the *work* on it must survive a crash, use [`take`](Self::take) and
    /// [`ack`](Delivery::ack).
    ///
    /// It waits on a queue that is not ready as on an empty one. Types above 64 KiB are refused
    /// when they are compiled: use `take`, or [`get_into`](Self::get_into).
    ///
    /// # Errors
    /// Returns `Stopped` at the end of the stream, and `Cancelled` if the endpoint's token was
    /// cancelled. Returns `Failed` if something else went wrong, with the kind `WrongLength` (see
    /// [`discard`](Self::discard)), `NoSeat` (all seats are out with
    /// [owned deliveries](Self::take_owned)), `Removed`, `Forked`, `Corrupt`, `Exhausted` or `Os`.
    ///
    /// ```
    /// # use prodcon::{QueueOptions, ReadyQueue};
    /// # let name = prodcon::bindings::TestName::new();
    /// let mut queue = ReadyQueue::<u64>::create(&name, &QueueOptions::new(8))?;
    /// queue.put(&1)?;
    /// assert_eq!(queue.get()?, 1);
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    #[inline]
    pub fn get(&mut self) -> Result<T::Owned, GetError> {
        const { assert!(T::FITS_BY_VALUE, "{}", TOO_LARGE) };
        self.endpoint.get_with(T::SIZE, Until::Forever, T::read)
    }

    /// Gets a copy of the oldest item if there is one now, acknowledged as by [`get`](Self::get).
    /// After several that have succeeded it may pause first, as [`try_put`](Self::try_put) does.
    ///
    /// # Errors
    /// Returns `Empty` if there is no item. Fails as [`get`](Self::get) does otherwise.
    ///
    /// ```
    /// # use prodcon::{GetError, QueueOptions, ReadyQueue};
    /// # let name = prodcon::bindings::TestName::new();
    /// let mut queue = ReadyQueue::<u64>::create(&name, &QueueOptions::new(8))?;
    /// assert!(matches!(queue.try_get(), Err(GetError::Empty)));
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    #[inline]
    pub fn try_get(&mut self) -> Result<T::Owned, GetError> {
        const { assert!(T::FITS_BY_VALUE, "{}", TOO_LARGE) };
        self.try_get_value()
    }

    /// Gets as `try_get` does, for a type of any size.
    #[inline(always)]
    pub(crate) fn try_get_value(&mut self) -> Result<T::Owned, GetError> {
        self.endpoint.get_with(T::SIZE, Until::Now, T::read)
    }

    /// Returns the items as [`get`](Self::get) does, each acknowledged when it is returned, until
    /// the end of the stream.
    ///
    /// ```
    /// # use prodcon::{QueueOptions, ReadyQueue, State};
    /// # let name = prodcon::bindings::TestName::new();
    /// let mut queue = ReadyQueue::<u64>::create(&name, &QueueOptions::new(8))?;
    /// queue.put_slice(&[1, 2, 3])?;
    /// queue.control().set_state(State::StopAtQueueEnd)?;
    /// let mut sum = 0;
    /// for item in &mut queue {
    ///     sum += item?;
    /// }
    /// assert_eq!(sum, 6);
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    pub fn iter(&mut self) -> Iter<'_, T> {
        const { assert!(T::FITS_BY_VALUE, "{}", TOO_LARGE) };
        Iter { queue: self }
    }

    /// Acknowledges an item that the last get refused with `WrongLength`. Returns false if there was
    /// none. An item whose guard was forgotten is not touched: the next operation gives it back.
    ///
    /// ```
    /// # use prodcon::{ErrorKind, QueueOptions, ReadyQueue};
    /// # let name = prodcon::bindings::TestName::new();
    /// let mut lines = ReadyQueue::<[u8]>::create(&name, &QueueOptions::new(8).item_size(8))?;
    /// let mut numbers = ReadyQueue::<u64>::attach(&name)?;
    /// lines.put(b"short")?;
    /// assert_eq!(numbers.get().unwrap_err().kind(), ErrorKind::WrongLength);
    /// assert!(numbers.discard());
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    pub fn discard(&mut self) -> bool {
        self.endpoint.discard()
    }

    // ------------------------------------------------------------ take

    /// Takes the oldest item in place; waits while there is none. Acknowledge it with
    /// [`ack`](Delivery::ack) when the work is done.
    ///
    /// # Errors
    /// Fails as [`get`](Self::get) does.
    ///
    /// ```
    /// # use prodcon::{QueueOptions, ReadyQueue};
    /// # let name = prodcon::bindings::TestName::new();
    /// # let options = QueueOptions::new(8).at_least_once(true).item_size(64);
    /// # let mut queue = ReadyQueue::<[u8]>::create(&name, &options)?;
    /// # queue.put(b"7")?;
    /// let job = queue.take()?;
    /// let number: u32 = std::str::from_utf8(&job)?.parse()?; // an error gives the job back
    /// job.ack();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn take(&mut self) -> Result<Delivery<'_, T>, GetError> {
        self.endpoint.take_next(T::SIZE, Until::Forever)?;
        Ok(Delivery::new(&mut self.endpoint))
    }

    /// Takes the oldest item in place if there is one now. After several that have succeeded it may
    /// pause first, as [`try_put`](Self::try_put) does.
    ///
    /// # Errors
    /// Returns `Empty` if there is no item. Fails as [`get`](Self::get) does otherwise.
    ///
    /// ```
    /// # use prodcon::{QueueOptions, ReadyQueue};
    /// # let name = prodcon::bindings::TestName::new();
    /// let mut queue = ReadyQueue::<u64>::create(&name, &QueueOptions::new(8))?;
    /// queue.put(&1)?;
    /// if let Ok(job) = queue.try_take() {
    ///     println!("{}", *job);
    ///     job.ack();
    /// }
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    #[inline]
    pub fn try_take(&mut self) -> Result<Delivery<'_, T>, GetError> {
        self.endpoint.take_next(T::SIZE, Until::Now)?;
        Ok(Delivery::new(&mut self.endpoint))
    }

    /// Waits for an item and takes what is there in place, up to `max` items.
    ///
    /// One endpoint can have [`AttachOptions::max_unacked`] blocks in hand. If that is not set, it
    /// can have one block in a queue with batches. In a queue without batches it can have as many
    /// items as there are free seats, up to 16, while a quarter of the queue's seats stays free for
    /// others.
    ///
    /// # Errors
    /// Fails as [`get`](Self::get) does, if there is not even one item.
    ///
    /// ```
    /// # use prodcon::{QueueOptions, ReadyQueue};
    /// # let name = prodcon::bindings::TestName::new();
    /// let mut queue = ReadyQueue::<u64>::create(&name, &QueueOptions::new(8))?;
    /// queue.put_slice(&[1, 2, 3])?;
    /// let batch = queue.take_many(16)?;
    /// assert_eq!(batch.iter().sum::<u64>(), 6);
    /// batch.ack();
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    pub fn take_many(&mut self, max: usize) -> Result<Batch<'_, T>, GetError> {
        self.endpoint.take_many(max, Until::Forever)
    }

    /// Takes the oldest item in place, with a seat of its own: it may leave the endpoint, the
    /// thread and the scope. Waits while there is none, and while
    /// [`max_unacked`](AttachOptions::max_unacked) of them have not been acknowledged.
    ///
    /// At the end of the stream it does not wait for the endpoint's own deliveries, which its caller
    /// may have. If one of them is given back after `Stopped`, the next take gets its item: call it
    /// once more when all have ended.
    ///
    /// # Errors
    /// Returns `Failed` with `InvalidOption` if the endpoint was attached without `max_unacked`, or
    /// if the queue has batches. Fails as [`get`](Self::get) does otherwise.
    ///
    /// ```
    /// # use prodcon::{AttachOptions, QueueOptions, ReadyQueue};
    /// # let name = prodcon::bindings::TestName::new();
    /// let options = QueueOptions::new(8).attach(AttachOptions::new().max_unacked(4));
    /// let mut queue = ReadyQueue::<u64>::create(&name, &options)?;
    /// queue.put(&1)?;
    /// let job = queue.take_owned()?;
    /// drop(queue); // the job stays valid
    /// std::thread::spawn(move || job.ack()).join().unwrap();
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    pub fn take_owned(&mut self) -> Result<OwnedDelivery<T>, GetError> {
        self.endpoint.take_owned(Until::Forever)
    }

    /// Takes one item to a buffer, waiting for at most `timeout`. What is in the buffer does not
    /// count as delivered until [`Batch::show`] is called. For workers, and for the tests of what
    /// their deaths leave.
    #[doc(hidden)]
    pub fn take_buffered(&mut self, timeout: Duration) -> Result<Batch<'_, T>, GetError> {
        self.endpoint.take_buffered(Until::within(timeout))
    }

    /// Reserves a block for an item of any type: of `len` bytes, or as long as can be.
    pub(crate) fn reserve_payload(
        &mut self,
        len: Option<usize>,
    ) -> Result<Reservation<'_, T>, PutError> {
        let endpoint = &mut self.endpoint;
        let len = T::SIZE.or(len).unwrap_or(endpoint.control.item_size());
        endpoint.may_fill(len, T::SIZE.is_some())?;
        let place = T::place(endpoint.own_payload(len));
        let unit = T::SIZE.map_or(1, |size| endpoint.length_of_one(size));
        Ok(Reservation::new(endpoint, place, unit, T::SIZE.is_none()))
    }

    /// Returns how many blocks can be in hand at once, at least 1.
    pub(crate) fn max_in_hand(&self) -> usize {
        self.endpoint.in_hand()
    }

    // ------------------------------------------------------------ how long

    /// Bounds the wait of the next operation to `timeout`. With zero it does not wait and answers
    /// `Full` or `Empty`.
    ///
    /// ```
    /// # use prodcon::{QueueOptions, ReadyQueue};
    /// # use std::time::Duration;
    /// # const SECOND: Duration = Duration::from_secs(1);
    /// # let name = prodcon::bindings::TestName::new();
    /// let mut queue = ReadyQueue::<u64>::create(&name, &QueueOptions::new(8))?;
    /// queue.within(SECOND).put(&1)?;
    /// queue.within(SECOND).take()?.ack();
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    #[inline]
    pub fn within(&mut self, timeout: Duration) -> Within<'_, T> {
        Within::new(&mut self.endpoint, Until::within(timeout))
    }

    /// Bounds the wait of the next operation by a point in time. If that has passed the operation
    /// is tried once, and answers `TimedOut`.
    ///
    /// ```
    /// # use prodcon::{QueueOptions, ReadyQueue};
    /// # use std::time::{Duration, Instant};
    /// # let name = prodcon::bindings::TestName::new();
    /// let mut lines = ReadyQueue::<[u8]>::create(&name, &QueueOptions::new(8).item_size(80))?;
    /// let deadline = Instant::now() + Duration::from_secs(1);
    /// for line in ["one", "two"] {
    ///     lines.until(deadline).put(line.as_bytes())?; // a second for all of them
    /// }
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    #[inline]
    pub fn until(&mut self, deadline: Instant) -> Within<'_, T> {
        Within::new(&mut self.endpoint, Until::Deadline(deadline))
    }

    // ------------------------------------------------------------ several queues

    /// Returns the interest in items, for [`select`](crate::select): a `try_get` is worth it.
    ///
    /// ```
    /// # use prodcon::{QueueOptions, ReadyQueue, select};
    /// # use std::time::Duration;
    /// # let name = prodcon::bindings::TestName::new();
    /// let mut queue = ReadyQueue::<u64>::create(&name, &QueueOptions::new(8))?;
    /// let soon = Some(Duration::from_millis(1));
    /// assert_eq!(select(&[queue.readable()], soon)?, None);
    /// queue.put(&1)?;
    /// assert_eq!(select(&[queue.readable()], soon)?, Some(0));
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    pub fn readable(&self) -> Interest<'_> {
        Interest::of_queue(&self.endpoint, For::Items)
    }

    /// Returns the interest in space, for [`select`](crate::select): a `try_put` is worth it.
    ///
    /// ```
    /// # use prodcon::{QueueOptions, ReadyQueue, select};
    /// # let name = prodcon::bindings::TestName::new();
    /// let queue = ReadyQueue::<u64>::create(&name, &QueueOptions::new(8))?;
    /// assert_eq!(select(&[queue.readable(), queue.writable()], None)?, Some(1));
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    pub fn writable(&self) -> Interest<'_> {
        Interest::of_queue(&self.endpoint, For::Space)
    }

    // ------------------------------------------------------------ the gate, and the figures

    /// Lets producers put.
    ///
    /// # Errors
    /// Returns `Forked` in a forked child and `ReadOnly` if the queue may only be read.
    ///
    /// ```
    /// # use prodcon::{QueueOptions, ReadyQueue};
    /// # let name = prodcon::bindings::TestName::new();
    /// let queue = ReadyQueue::<u64>::create(&name, &QueueOptions::new(8).ready(false))?;
    /// queue.set_ready()?;
    /// assert!(queue.is_ready());
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    pub fn set_ready(&self) -> Result<()> {
        self.endpoint.control.set_ready()
    }

    /// Keeps producers out and removes every item, in one step: no item whose put began before is
    /// delivered after it.
    ///
    /// # Errors
    /// Returns `Forked` in a forked child, `Exhausted` after 2^40 calls, and `Corrupt` if the queue
    /// is damaged.
    ///
    /// ```
    /// # use prodcon::{PutError, QueueOptions, ReadyQueue};
    /// # let name = prodcon::bindings::TestName::new();
    /// let mut queue = ReadyQueue::<u64>::create(&name, &QueueOptions::new(8))?;
    /// queue.put(&1)?;
    /// queue.set_not_ready()?;
    /// assert!(queue.is_empty());
    /// assert!(matches!(queue.put(&2), Err(PutError::NotReady)));
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    pub fn set_not_ready(&mut self) -> Result<()> {
        self.endpoint.set_not_ready()
    }

    /// Returns whether producers may put. A handle in a forked child answers false.
    pub fn is_ready(&self) -> bool {
        self.endpoint.control.is_ready()
    }

    /// Removes every item, in one step.
    ///
    /// # Errors
    /// Fails as [`set_not_ready`](Self::set_not_ready) does.
    ///
    /// ```
    /// # use prodcon::{QueueOptions, ReadyQueue};
    /// # let name = prodcon::bindings::TestName::new();
    /// let mut queue = ReadyQueue::<u64>::create(&name, &QueueOptions::new(8))?;
    /// queue.put_slice(&[1, 2, 3])?;
    /// queue.clear()?;
    /// assert!(queue.is_empty() && queue.is_ready());
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    pub fn clear(&mut self) -> Result<()> {
        self.endpoint.clear()
    }

    /// Waits until the queue is ready, for at most `timeout`. Returns false if the time passed
    /// first.
    ///
    /// # Errors
    /// Returns `Cancelled` if the endpoint's token was cancelled, `Removed` if its name was
    /// removed, and `Forked` in a forked child.
    ///
    /// ```
    /// # use prodcon::{QueueOptions, ReadyQueue};
    /// # use std::time::Duration;
    /// # let name = prodcon::bindings::TestName::new();
    /// let queue = ReadyQueue::<u64>::create(&name, &QueueOptions::new(8).ready(false))?;
    /// assert!(!queue.wait_ready(Some(Duration::from_millis(1)))?);
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    pub fn wait_ready(&self, timeout: Option<Duration>) -> Result<bool> {
        self.endpoint.control.wait_ready(timeout)
    }

    /// Returns the number of items in the queue (in queues with batches too). It is exact while no
    /// operation is under way. A handle in a forked child answers 0.
    ///
    /// ```
    /// # use prodcon::{QueueOptions, ReadyQueue};
    /// # let name = prodcon::bindings::TestName::new();
    /// let mut queue = ReadyQueue::<u64>::create(&name, &QueueOptions::new(8))?;
    /// queue.put(&1)?;
    /// assert_eq!((queue.len(), queue.capacity()), (1, 8));
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    pub fn len(&self) -> usize {
        self.endpoint.control.len()
    }

    /// Returns whether there is no item.
    pub fn is_empty(&self) -> bool {
        self.endpoint.control.is_empty()
    }

    /// Returns whether there is no space.
    pub fn is_full(&self) -> bool {
        self.endpoint.control.is_full()
    }

    /// Returns how many items the queue can hold, or blocks of items in queues with batches.
    pub fn capacity(&self) -> usize {
        self.endpoint.control.capacity()
    }

    /// Returns the queue's name.
    pub fn name(&self) -> &str {
        self.endpoint.control.name()
    }

    /// Returns the endpoint's handle to state, figures and repair.
    ///
    /// ```
    /// # use prodcon::{QueueOptions, ReadyQueue, State};
    /// # let name = prodcon::bindings::TestName::new();
    /// let queue = ReadyQueue::<u64>::create(&name, &QueueOptions::new(8))?;
    /// queue.control().set_state(State::StopAtQueueEnd)?;
    /// assert_eq!(queue.control().stats()?.puts, 0);
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    pub fn control(&self) -> &Control {
        &self.endpoint.control
    }
}

impl ReadyQueue<[u8]> {
    /// Reserves a block for an item of `len` bytes, to be filled in place.
    ///
    /// # Errors
    /// Returns `Failed` with the kind `TooLarge` or `WrongLength` if no item can have that length,
    /// `NoSeat` if an item is in hand and no other seat is free, or `Forked` in a forked child.
    /// State and space of the queue count at the commit.
    ///
    /// ```
    /// # use prodcon::{QueueOptions, ReadyQueue};
    /// # let name = prodcon::bindings::TestName::new();
    /// let mut queue = ReadyQueue::<[u8]>::create(&name, &QueueOptions::new(8).item_size(80))?;
    /// let mut block = queue.reserve(5)?;
    /// block.copy_from_slice(b"hello");
    /// block.commit()?;
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    pub fn reserve(&mut self, len: usize) -> Result<Reservation<'_, [u8]>, PutError> {
        self.reserve_payload(Some(len))
    }
}

impl<T: Item> ReadyQueue<T> {
    /// Reserves a block for an item, to be filled in place.
    ///
    /// # Errors
    /// Returns `Failed` with the kind `NoSeat` if an item is in hand and no other seat is free, or
    /// `Forked` in a forked child. State and space of the queue count at the commit.
    ///
    /// ```
    /// # use prodcon::{QueueOptions, ReadyQueue};
    /// # let name = prodcon::bindings::TestName::new();
    /// let mut frames = ReadyQueue::<[u8; 4096]>::create(&name, &QueueOptions::new(8))?;
    /// let mut frame = frames.reserve()?;
    /// frame.fill(7);
    /// frame.commit()?;
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    pub fn reserve(&mut self) -> Result<Reservation<'_, T>, PutError> {
        self.reserve_payload(None)
    }

    /// Reserves a block for up to `items` items, to be filled in place: at most as many as the
    /// queue's [`batch`](crate::QueueOptions::batch).
    ///
    /// # Errors
    /// Returns `Failed` with `TooLarge` if a block has no room for that many elements. Fails as
    /// [`reserve`](Self::reserve) does otherwise.
    ///
    /// ```
    /// # use prodcon::{QueueOptions, ReadyQueue};
    /// # let name = prodcon::bindings::TestName::new();
    /// let mut samples = ReadyQueue::<i16>::create(&name, &QueueOptions::new(8).batch(480))?;
    /// let mut block = samples.reserve_slice(480)?;
    /// block.iter_mut().zip(0..).for_each(|(sample, value)| *sample = value);
    /// block.commit()?;
    /// assert_eq!(samples.len(), 480);
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    pub fn reserve_slice(&mut self, items: usize) -> Result<Reservation<'_, [T]>, PutError> {
        let endpoint = &mut self.endpoint;
        let batch = endpoint.control.ring.batch as usize;
        if items > batch {
            let text = format!(
                "{items} items do not fit a block of queue '{}', which holds {batch}: reserve fewer, or create the queue with batch({items})",
                endpoint.control.name()
            );
            return Err(Error::other(ErrorKind::TooLarge, endpoint.control.name(), text).into());
        }
        endpoint.may_fill(size_of::<T>(), true)?;
        let first = endpoint.own_payload(items * size_of::<T>()).cast::<T>();
        let unit = endpoint.length_of_one(size_of::<T>());
        Ok(Reservation::new(
            endpoint,
            NonNull::slice_from_raw_parts(first, items),
            unit,
            false,
        ))
    }

    /// Puts items in order; waits for space. A block takes as many of them as the queue's
    /// [`batch`](crate::QueueOptions::batch), so that one exchange moves them all.
    ///
    /// # Errors
    /// Returns a [`PutSliceError`], which says how many were put, and why the rest was not.
    ///
    /// ```
    /// # use prodcon::{QueueOptions, ReadyQueue};
    /// # let name = prodcon::bindings::TestName::new();
    /// let mut queue = ReadyQueue::<u64>::create(&name, &QueueOptions::new(8))?;
    /// queue.put_slice(&[1, 2, 3])?;
    /// assert_eq!(queue.len(), 3);
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    pub fn put_slice(&mut self, items: &[T]) -> Result<(), PutSliceError> {
        self.endpoint.put_slice(items, Until::Forever)
    }

    /// Gets the oldest item into `place`; waits while there is none. One copy, which matters for
    /// large items; acknowledged as by [`get`](Self::get).
    ///
    /// # Errors
    /// Fails as [`get`](Self::get) does. `place` is untouched then.
    ///
    /// ```
    /// # use prodcon::{QueueOptions, ReadyQueue};
    /// # let name = prodcon::bindings::TestName::new();
    /// let mut queue = ReadyQueue::<[u32; 256]>::create(&name, &QueueOptions::new(8))?;
    /// queue.put(&[5; 256])?;
    /// let mut place = [0; 256];
    /// queue.get_into(&mut place)?;
    /// assert_eq!(place, [5; 256]);
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    #[inline]
    pub fn get_into(&mut self, place: &mut T) -> Result<(), GetError> {
        self.endpoint.get_with(T::SIZE, Until::Forever, |bytes| {
            copy_out(bytes, bytemuck::bytes_of_mut(place))
        })
    }

    /// Gets the oldest item into `place` if there is one now. After several that have succeeded it
    /// may pause first, as [`try_put`](Self::try_put) does.
    ///
    /// # Errors
    /// Returns `Empty` if there is no item. Fails as [`get_into`](Self::get_into) does otherwise.
    ///
    /// ```
    /// # use prodcon::{GetError, QueueOptions, ReadyQueue};
    /// # let name = prodcon::bindings::TestName::new();
    /// let mut queue = ReadyQueue::<u64>::create(&name, &QueueOptions::new(8))?;
    /// let mut place = 0;
    /// assert!(matches!(queue.try_get_into(&mut place), Err(GetError::Empty)));
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    #[inline]
    pub fn try_get_into(&mut self, place: &mut T) -> Result<(), GetError> {
        self.endpoint.get_with(T::SIZE, Until::Now, |bytes| {
            copy_out(bytes, bytemuck::bytes_of_mut(place))
        })
    }
}

impl<T: Payload + ?Sized> fmt::Debug for ReadyQueue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadyQueue")
            .field("name", &self.name())
            .finish_non_exhaustive()
    }
}

/// Items of a queue until the end of the stream. Made by [`ReadyQueue::iter`].
#[derive(Debug)]
pub struct Iter<'q, T: Payload + ?Sized> {
    queue: &'q mut ReadyQueue<T>,
}

impl<T: Payload + ?Sized> Iterator for Iter<'_, T> {
    type Item = Result<T::Owned, GetError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self
            .queue
            .endpoint
            .get_with(T::SIZE, Until::Forever, T::read)
        {
            Err(GetError::Stopped | GetError::Cancelled) => None,
            other => Some(other),
        }
    }
}

impl<'q, T: Payload + ?Sized> IntoIterator for &'q mut ReadyQueue<T> {
    type Item = Result<T::Owned, GetError>;
    type IntoIter = Iter<'q, T>;

    fn into_iter(self) -> Iter<'q, T> {
        self.iter()
    }
}
