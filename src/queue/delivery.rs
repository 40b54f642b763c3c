//! One item in hand, in place.
//!
//! Invariant: the guard borrows its endpoint exclusively, so the seat whose block it shows does
//! nothing else while the guard lives.

use super::endpoint::Endpoint;
use super::identity::ItemId;
use super::memory::copy_out;
use super::{Item, Payload};
use crate::error::Result;
use std::fmt;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ops::Deref;

/// An item in hand, in place: what [`ReadyQueue::take`](crate::ReadyQueue::take) returns.
///
/// Call [`ack`](Self::ack) when the work is done. Otherwise this happens:
///
/// | | at-most-once | at-least-once |
/// | --- | --- | --- |
/// | dropped (end of scope, `?`, a panic that unwinds) | counts as got | given back at once |
/// | [`nack`](Self::nack) | counted as lost, and an error | given back |
/// | the process is killed | counted as lost | given back |
/// | `mem::forget`, and the endpoint is used again | counted as lost | given back |
///
/// An item that was given back is delivered to another consumer, or to this endpoint's own next
/// take, and its [`delivery_count`](Self::delivery_count) is one higher. In a queue with batches
/// the items behind it in its block go back with it.
///
/// ```
/// # use prodcon::{QueueOptions, ReadyQueue};
/// # let name = prodcon::bindings::TestName::new();
/// # fn work(_: &[u8]) -> Result<(), std::fmt::Error> { Ok(()) }
/// let options = QueueOptions::new(16).item_size(100).at_least_once(true);
/// let mut jobs = ReadyQueue::<[u8]>::create(&name, &options)?;
/// jobs.put(b"resize cat.png")?;
/// let job = jobs.take()?;
/// work(&job)?; // an error, a panic, a kill: somebody else gets the job
/// job.ack();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
// What it shows is in the endpoint. A guard of one word is moved in a register. A larger one is
// moved by wide loads of what narrow stores have just written, which stall.
#[must_use = "an unacknowledged delivery goes back to its queue when it is dropped (at-least-once): call ack() when the work is done"]
pub struct Delivery<'q, T: Payload + ?Sized> {
    endpoint: &'q mut Endpoint,
    _item: PhantomData<&'q T>,
}

// SAFETY: what can be reached through `&Delivery` only reads: the endpoint's private copy of what
// was taken (no interior mutability), the fork word (an atomic) and the item, which nobody writes
// while the guard lives. The items themselves are Sync (`Payload` is sealed with that bound).
unsafe impl<T: Payload + ?Sized> Sync for Delivery<'_, T> {}

impl<'q, T: Payload + ?Sized> Delivery<'q, T> {
    /// Shows what `endpoint` has just taken.
    #[inline(always)]
    pub(super) fn new(endpoint: &'q mut Endpoint) -> Self {
        endpoint.lent = 1;
        Self {
            endpoint,
            _item: PhantomData,
        }
    }

    /// Acknowledges the item. The work on it is done, and no consumer gets it again. This is one
    /// store and cannot fail.
    ///
    /// ```
    /// # use prodcon::{QueueOptions, ReadyQueue};
    /// # let name = prodcon::bindings::TestName::new();
    /// let mut jobs = ReadyQueue::<u64>::create(&name, &QueueOptions::new(16).at_least_once(true))?;
    /// jobs.put(&1)?;
    /// jobs.take()?.ack();
    /// assert_eq!(jobs.control().stats()?.gets, 1);
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    #[inline(always)]
    pub fn ack(self) {
        ManuallyDrop::new(self).endpoint.acknowledge_taken();
    }

    /// Gives the item back, for another consumer or for this endpoint's next take.
    ///
    /// # Errors
    /// Returns `AtMostOnce` if the queue takes nothing back: the item was counted as lost. Returns
    /// `Forked` in a forked child.
    ///
    /// ```
    /// # use prodcon::{QueueOptions, ReadyQueue};
    /// # let name = prodcon::bindings::TestName::new();
    /// let mut jobs = ReadyQueue::<u64>::create(&name, &QueueOptions::new(16).at_least_once(true))?;
    /// jobs.put(&1)?;
    /// jobs.take()?.nack()?;
    /// assert_eq!(*jobs.take()?, 1);
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    pub fn nack(self) -> Result<()> {
        Ok(ManuallyDrop::new(self).endpoint.give_back()?)
    }

    /// Returns how often the item has been delivered, this time included; it stops at 256.
    ///
    /// ```
    /// # use prodcon::{QueueOptions, ReadyQueue};
    /// # let name = prodcon::bindings::TestName::new();
    /// let mut jobs = ReadyQueue::<u64>::create(&name, &QueueOptions::new(16))?;
    /// jobs.put(&1)?;
    /// assert_eq!(jobs.take()?.delivery_count(), 1);
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    pub fn delivery_count(&self) -> u32 {
        self.endpoint.shown.deliveries
    }

    /// Returns what identifies the item: the same at each delivery.
    ///
    /// ```
    /// # use prodcon::{QueueOptions, ReadyQueue};
    /// # let name = prodcon::bindings::TestName::new();
    /// let mut jobs = ReadyQueue::<u64>::create(&name, &QueueOptions::new(16).at_least_once(true))?;
    /// jobs.put(&1)?;
    /// let first = jobs.take()?.id(); // dropped: given back
    /// assert_eq!(jobs.take()?.id(), first);
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    pub fn id(&self) -> ItemId {
        self.endpoint.id_in_hand(self.endpoint.shown.first)
    }
}

impl<T: Item> Delivery<'_, T> {
    /// Copies the item into a box of its own, never by way of the stack, and acknowledges it.
    ///
    /// ```
    /// # use prodcon::{QueueOptions, ReadyQueue};
    /// # let name = prodcon::bindings::TestName::new();
    /// let mut frames = ReadyQueue::<[u32; 1 << 18]>::create(&name, &QueueOptions::new(2))?;
    /// frames.reserve()?.commit()?; // a frame of 1 MiB, as the memory was
    /// let frame: Box<[u32; 1 << 18]> = frames.take()?.into_box();
    /// assert_eq!(frame[0], 0);
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    pub fn into_box(self) -> Box<T> {
        let mut copy = bytemuck::zeroed_box::<T>();
        self.copy_into(&mut copy);
        copy
    }

    /// Copies the item to `place` and acknowledges it.
    ///
    /// ```
    /// # use prodcon::{QueueOptions, ReadyQueue};
    /// # let name = prodcon::bindings::TestName::new();
    /// let mut frames = ReadyQueue::<[u8; 4096]>::create(&name, &QueueOptions::new(4))?;
    /// frames.put(&[7; 4096])?;
    /// let mut frame = [0; 4096];
    /// frames.take()?.copy_into(&mut frame);
    /// assert_eq!(frame[4095], 7);
    /// # Ok::<(), prodcon::Error>(())
    /// ```
    pub fn copy_into(self, place: &mut T) {
        let item = self.endpoint.view_bytes(&self.endpoint.shown, 0);
        copy_out(item, bytemuck::bytes_of_mut(place));
        self.ack();
    }
}

impl<T: Payload + ?Sized> Deref for Delivery<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        T::view(self.endpoint.view_bytes(&self.endpoint.shown, 0))
            .expect("length and alignment were checked when the item was taken")
    }
}

impl<T: Payload + ?Sized> fmt::Debug for Delivery<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery")
            .field("queue", &self.endpoint.control.name())
            .field("bytes", &self.endpoint.shown.len)
            .field("delivery_count", &self.delivery_count())
            .finish_non_exhaustive()
    }
}

impl<T: Payload + ?Sized> Drop for Delivery<'_, T> {
    #[inline(always)]
    fn drop(&mut self) {
        if self.endpoint.control.ring.at_least_once {
            self.endpoint.give_back_dropped();
        } else {
            self.endpoint.acknowledge_taken();
        }
    }
}
