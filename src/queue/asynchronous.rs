//! Operations as futures, for any runtime.
//!
//! A future tries first. If there is nothing it arms an alarm and answers `Pending`; the thread
//! `prodcon-wait` wakes the task. No runtime is needed and none is known.
//!
//! Invariant: nothing is taken or put unless `poll` answers `Ready` in the same call. So a future
//! may be dropped at any time. If its task was woken and it is dropped without a try, its alarm
//! passes the wake-up on.

use super::endpoint::Endpoint;
use super::item::TOO_LARGE;
use super::wait::{For, Until};
use super::waiter::{Alarm, Subject};
use super::{Batch, Delivery, Payload, ReadyQueue};
use crate::error::{Error, ErrorKind, GetError, PutError};
use futures_core::Stream;
use std::fmt;
use std::future::{Future, poll_fn};
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

const POLLED_AGAIN: &str = "a future is not polled after it was ready";

/// How often a poll tries if it finds something each time and others are faster.
const ATTEMPTS: u32 = 8;

/// A queue whose next operation is a future: what [`ReadyQueue::as_async`] returns.
///
/// The futures work in every runtime and need none. They are cancel-safe: nothing is taken or put
/// before `poll` answers `Ready`, and a future that is dropped after its task was woken passes the
/// wake-up on. Futures and guards are `Send`. For a timeout use the runtime's.
///
/// A thread `prodcon-wait`, which the first future that has to wait starts, wakes the tasks and
/// looks after dead processes meanwhile; see [`ReadyFd`](crate::ReadyFd).
///
/// ```
/// # use prodcon::{QueueOptions, ReadyQueue};
/// # use std::pin::pin;
/// # use std::task::{Context, Poll, Waker};
/// # fn block_on<F: Future>(future: F) -> F::Output {
/// #     let (mut future, mut context) = (pin!(future), Context::from_waker(Waker::noop()));
/// #     loop {
/// #         if let Poll::Ready(done) = future.as_mut().poll(&mut context) {
/// #             return done;
/// #         }
/// #     }
/// # }
/// # let name = prodcon::bindings::TestName::new();
/// # block_on(async {
/// let mut jobs = ReadyQueue::<u64>::create(&name, &QueueOptions::new(8).at_least_once(true))?;
/// jobs.as_async().put(&7).await?;
/// let job = jobs.as_async().take().await?;
/// assert_eq!(*job, 7); // an error here, or a task that is dropped, gives the job back
/// job.ack();
/// # Ok::<(), prodcon::Error>(())
/// # })?;
/// # Ok::<(), prodcon::Error>(())
/// ```
#[must_use = "nothing is done until an operation is called on it and awaited"]
pub struct Async<'q, T: Payload + ?Sized> {
    endpoint: &'q mut Endpoint,
    _items: PhantomData<&'q T>,
}

impl<T: Payload + ?Sized> ReadyQueue<T> {
    /// Makes a future of the next operation.
    ///
    /// ```
    /// # use prodcon::{GetError, QueueOptions, ReadyQueue};
    /// async fn sum(numbers: &mut ReadyQueue<u64>) -> prodcon::Result<u64> {
    ///     let mut sum = 0;
    ///     loop {
    ///         match numbers.as_async().get().await {
    ///             Ok(number) => sum += number,
    ///             Err(GetError::Stopped) => return Ok(sum),
    ///             Err(error) => return Err(error.into()),
    ///         }
    ///     }
    /// }
    /// ```
    pub fn as_async(&mut self) -> Async<'_, T> {
        Async {
            endpoint: &mut self.endpoint,
            _items: PhantomData,
        }
    }
}

impl<'q, T: Payload + ?Sized> Async<'q, T> {
    /// Gets a copy of the oldest item, as [`ReadyQueue::get`] does. It is acknowledged when the
    /// future is ready.
    ///
    /// # Errors
    /// Fails as [`ReadyQueue::get`] does.
    ///
    /// ```
    /// # use prodcon::ReadyQueue;
    /// async fn next(numbers: &mut ReadyQueue<u64>) -> prodcon::Result<u64> {
    ///     Ok(numbers.as_async().get().await?)
    /// }
    /// ```
    pub fn get(self) -> impl Future<Output = Result<T::Owned, GetError>> + Send + use<'q, T> {
        const { assert!(T::FITS_BY_VALUE, "{}", TOO_LARGE) };
        let endpoint = self.endpoint;
        async move { taking(endpoint, get::<T>).await }
    }

    /// Takes the oldest item in place, as [`ReadyQueue::take`] does.
    ///
    /// # Errors
    /// Fails as [`ReadyQueue::get`] does.
    ///
    /// ```
    /// # use prodcon::ReadyQueue;
    /// # async fn work(job: &[u8]) -> prodcon::Result<()> { Ok(()) }
    /// async fn one(jobs: &mut ReadyQueue<[u8]>) -> prodcon::Result<()> {
    ///     let job = jobs.as_async().take().await?;
    ///     work(&job).await?; // if this fails, or the task is dropped here, the job goes back
    ///     job.ack();
    ///     Ok(())
    /// }
    /// ```
    pub fn take(
        self,
    ) -> impl Future<Output = Result<Delivery<'q, T>, GetError>> + Send + use<'q, T> {
        let endpoint = self.endpoint;
        async move {
            taking(endpoint, |endpoint| endpoint.take_next(T::SIZE, Until::Now)).await?;
            Ok(Delivery::new(endpoint))
        }
    }

    /// Waits for an item and takes what is there in place, up to `max` items, as
    /// [`ReadyQueue::take_many`] does.
    ///
    /// # Errors
    /// Fails as [`ReadyQueue::get`] does, if there is not even one item.
    ///
    /// ```
    /// # use prodcon::ReadyQueue;
    /// async fn sum(numbers: &mut ReadyQueue<u64>) -> prodcon::Result<u64> {
    ///     let batch = numbers.as_async().take_many(64).await?;
    ///     let sum = batch.iter().sum();
    ///     batch.ack();
    ///     Ok(sum)
    /// }
    /// ```
    pub fn take_many(
        self,
        max: usize,
    ) -> impl Future<Output = Result<Batch<'q, T>, GetError>> + Send + use<'q, T> {
        let mut endpoint = Some(self.endpoint);
        let mut alarm = None;
        poll_fn(move |context| {
            let of_poll: &'q mut Endpoint = endpoint.take().expect(POLLED_AGAIN);
            let attempt = |endpoint: &mut Endpoint| {
                // SAFETY: the pointer is of a reference to this very endpoint, which is borrowed
                // for 'q. If a batch comes of it, then only the batch has it from now on: `poll`
                // does not touch the endpoint after a success, and `of_poll` is not kept. Else
                // nothing of the borrow is left, because the error borrows nothing. (The compiler
                // cannot follow this yet.)
                let endpoint: &'q mut Endpoint = unsafe { &mut *std::ptr::from_mut(endpoint) };
                endpoint.take_many(max, Until::Now)
            };
            let polled = poll(of_poll, &mut alarm, For::Items, context, attempt);
            if polled.is_pending() {
                endpoint = Some(of_poll);
            }
            polled
        })
    }

    /// Puts an item, as [`ReadyQueue::put`] does.
    ///
    /// # Errors
    /// Fails as [`ReadyQueue::put`] does.
    ///
    /// ```
    /// # use prodcon::ReadyQueue;
    /// async fn send(numbers: &mut ReadyQueue<u64>) -> prodcon::Result<()> {
    ///     Ok(numbers.as_async().put(&7).await?)
    /// }
    /// ```
    pub fn put<'i>(
        self,
        item: &'i T,
    ) -> impl Future<Output = Result<(), PutError>> + Send + use<'q, 'i, T> {
        let (endpoint, mut alarm) = (self.endpoint, None);
        poll_fn(move |context| {
            let attempt = |endpoint: &mut Endpoint| {
                endpoint.put_until(item.bytes(), T::SIZE.is_some(), &Until::Now)
            };
            poll(endpoint, &mut alarm, For::Space, context, attempt)
        })
    }

    /// Returns the items as a [`Stream`], each acknowledged when it is returned, until the end of
    /// the stream.
    ///
    /// ```
    /// # use prodcon::ReadyQueue;
    /// # use std::future::poll_fn;
    /// # use std::pin::pin;
    /// use futures_core::Stream;
    ///
    /// async fn sum(numbers: &mut ReadyQueue<u64>) -> prodcon::Result<u64> {
    ///     let (mut sum, mut items) = (0, pin!(numbers.as_async().stream()));
    ///     while let Some(item) = poll_fn(|context| items.as_mut().poll_next(context)).await {
    ///         sum += item?;
    ///     }
    ///     Ok(sum)
    /// }
    /// ```
    pub fn stream(self) -> ItemStream<'q, T> {
        const { assert!(T::FITS_BY_VALUE, "{}", TOO_LARGE) };
        ItemStream {
            endpoint: self.endpoint,
            alarm: None,
            _items: PhantomData,
        }
    }
}

impl<T: Payload + ?Sized> fmt::Debug for Async<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Async")
            .field("queue", &self.endpoint.control.name())
            .finish_non_exhaustive()
    }
}

/// Items of a queue until the end of the stream. Made by [`Async::stream`].
#[must_use = "a stream does nothing unless it is polled"]
pub struct ItemStream<'q, T: Payload + ?Sized> {
    endpoint: &'q mut Endpoint,
    alarm: Option<Alarm>,
    _items: PhantomData<&'q T>,
}

impl<T: Payload + ?Sized> Stream for ItemStream<'_, T> {
    type Item = Result<T::Owned, GetError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let polled = poll(
            this.endpoint,
            &mut this.alarm,
            For::Items,
            context,
            get::<T>,
        );
        polled.map(|got| match got {
            Err(GetError::Stopped | GetError::Cancelled) => None,
            other => Some(other),
        })
    }
}

impl<T: Payload + ?Sized> fmt::Debug for ItemStream<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ItemStream")
            .field("queue", &self.endpoint.control.name())
            .finish_non_exhaustive()
    }
}

fn get<T: Payload + ?Sized>(endpoint: &mut Endpoint) -> Result<T::Owned, GetError> {
    endpoint.get_with(T::SIZE, Until::Now, T::read)
}

/// The answers that a future does not give, and the one that a cancel gives.
trait Answer: From<Error> + Sized {
    const CANCELLED: Self;
    fn means_wait(&self) -> bool;
}

impl Answer for GetError {
    const CANCELLED: Self = Self::Cancelled;
    fn means_wait(&self) -> bool {
        matches!(self, Self::Empty)
    }
}

impl Answer for PutError {
    const CANCELLED: Self = Self::Cancelled;
    fn means_wait(&self) -> bool {
        matches!(self, Self::Full)
    }
}

/// Waits until an attempt succeeds or fails.
async fn taking<R>(
    endpoint: &mut Endpoint,
    attempt: impl Fn(&mut Endpoint) -> Result<R, GetError>,
) -> Result<R, GetError> {
    let mut alarm = None;
    poll_fn(|context| poll(endpoint, &mut alarm, For::Items, context, &attempt)).await
}

/// Tries. If waiting may help, has the task woken when it is worth another try.
fn poll<R, E: Answer>(
    endpoint: &mut Endpoint,
    alarm: &mut Option<Alarm>,
    what: For,
    context: &mut Context<'_>,
    attempt: impl Fn(&mut Endpoint) -> Result<R, E>,
) -> Poll<Result<R, E>> {
    for _ in 0..ATTEMPTS {
        match attempt(endpoint) {
            Err(answer) if answer.means_wait() => {}
            done => {
                // What it was woken for was tried. An error leaves it to others.
                if let Some(alarm) = alarm.take().filter(|_| done.is_ok()) {
                    alarm.disarm();
                }
                return Poll::Ready(done);
            }
        }
        match wake_later(endpoint, alarm, what, context) {
            Ok(true) => {}
            Ok(false) => return Poll::Pending,
            Err(error) if error.kind() == ErrorKind::Cancelled => {
                return Poll::Ready(Err(E::CANCELLED));
            }
            Err(error) => return Poll::Ready(Err(error.into())),
        }
    }
    // There is something each time and others take it: they go on, and so does this task later.
    context.waker().wake_by_ref();
    Poll::Pending
}

/// Arms the alarm. Returns true if there is something now.
fn wake_later(
    endpoint: &Endpoint,
    alarm: &mut Option<Alarm>,
    what: For,
    context: &Context<'_>,
) -> Result<bool, Error> {
    let alarm = match alarm {
        Some(alarm) => alarm,
        None => alarm.insert(Alarm::with_waker(Subject::of_queue(endpoint, what)?)),
    };
    alarm.set_waker(context.waker());
    if alarm.is_armed() {
        return Ok(false);
    }
    alarm.arm()
}
