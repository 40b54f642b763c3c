//! Zero copy: an item taken in place, a block reserved to be filled.
//!
//! Invariant: a guard borrows its endpoint exclusively, so the seat whose block it shows does nothing else while it lives. Callers: everybody.

use super::wait::Until;
use super::{Item, Payload, ReadyQueue};
use crate::error::{Fault, PutError};
use std::ops::{Deref, DerefMut};
use std::time::Duration;

/// An item in hand, in place. Dropping it acknowledges it.
// What it shows is in the endpoint: a guard of one word is moved in a register, a larger one by wide loads of what narrow stores have just written, which stall.
#[derive(Debug)]
pub struct Taken<'a, T: Payload + ?Sized> {
    pub(super) queue: &'a mut ReadyQueue<T>,
}

impl<T: Payload + ?Sized> Taken<'_, T> {
    /// How often it has been delivered, this time included; stops at 256.
    pub fn deliveries(&self) -> u32 {
        self.queue.shown.deliveries
    }

    /// Settles it as delivered, as dropping the guard does.
    pub fn ack(self) {}

    /// Gives it back for another consumer (at-least-once), or for this endpoint's next get where no seat is free. In a queue with batches the items behind it in its
    /// block go with it.
    ///
    /// # Errors
    /// Under at-most-once the item is settled as lost, and a [`Fault`] says that nothing was given back.
    pub fn nack(self) -> Result<(), Fault> {
        let mut this = std::mem::ManuallyDrop::new(self);
        this.queue.give_back()
    }
}

impl<T: Payload + ?Sized> Deref for Taken<'_, T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        self.queue.view(&self.queue.shown, 0)
    }
}

impl<T: Payload + ?Sized> Drop for Taken<'_, T> {
    #[inline(always)]
    fn drop(&mut self) {
        self.queue.acknowledge_taken();
    }
}

/// The items in hand of one block, in place. Dropping it acknowledges all of them in one step.
#[derive(Debug)]
pub struct TakenBatch<'a, T: Item> {
    pub(super) queue: &'a mut ReadyQueue<T>,
}

impl<T: Item> TakenBatch<'_, T> {
    /// How often they have been delivered, this time included; stops at 256.
    pub fn deliveries(&self) -> u32 {
        self.queue.shown.deliveries
    }

    /// Settles them as delivered, as dropping the guard does.
    pub fn ack(self) {}

    /// Gives them back, as [`Taken::nack`].
    ///
    /// # Errors
    /// As `Taken::nack`.
    pub fn nack(self) -> Result<(), Fault> {
        let mut this = std::mem::ManuallyDrop::new(self);
        this.queue.give_back()
    }
}

impl<T: Item> Deref for TakenBatch<'_, T> {
    type Target = [T];
    #[inline]
    fn deref(&self) -> &[T] {
        self.queue.view_all(&self.queue.shown)
    }
}

impl<T: Item> Drop for TakenBatch<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.queue.acknowledge(self.queue.shown.items);
    }
}

/// A block to be filled in place and then put with [`commit`](Self::commit). It shows whatever was there before. Dropping it puts nothing.
#[derive(Debug)]
pub struct Reserved<'a, T: Payload + ?Sized> {
    pub(super) queue: &'a mut ReadyQueue<T>,
    pub(super) len: usize,
}

/// A commit that was refused; the reservation is still there.
#[derive(Debug)]
pub struct Uncommitted<'a, T: Payload + ?Sized> {
    /// Why.
    pub error: PutError,
    /// The block as it was filled.
    pub reserved: Reserved<'a, T>,
}

impl<'a, T: Payload + ?Sized> Reserved<'a, T> {
    /// Puts the item, waiting for space as long as it takes.
    ///
    /// # Errors
    /// As [`ReadyQueue::put`]; the reservation comes back.
    pub fn commit(self) -> Result<(), Uncommitted<'a, T>> {
        self.finish(Until::Forever)
    }

    /// Puts the item if there is space now.
    ///
    /// # Errors
    /// As [`ReadyQueue::try_put`]; the reservation comes back.
    pub fn try_commit(self) -> Result<(), Uncommitted<'a, T>> {
        self.finish(Until::Now)
    }

    /// Puts the item, waiting for space at most so long.
    ///
    /// # Errors
    /// As [`ReadyQueue::put_timeout`]; the reservation comes back.
    pub fn commit_timeout(self, timeout: Duration) -> Result<(), Uncommitted<'a, T>> {
        self.finish(Until::after(timeout))
    }

    fn finish(self, until: Until) -> Result<(), Uncommitted<'a, T>> {
        let len = self.queue.length_of_one(self.len);
        match self.queue.put_own_block(len, until) {
            Ok(()) => Ok(()),
            Err(error) => Err(Uncommitted { error, reserved: self }),
        }
    }
}

impl Reserved<'_, [u8]> {
    /// Shortens the item to be put.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }
}

impl<T: Payload + ?Sized> Deref for Reserved<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        self.queue.own_payload(self.len)
    }
}

impl<T: Payload + ?Sized> DerefMut for Reserved<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.queue.own_payload_mut(self.len)
    }
}
