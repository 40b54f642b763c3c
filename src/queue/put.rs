//! Putting: fill the own block, then one exchange.
//!
//! Callers: everybody, through [`ReadyQueue`].

use super::wait::{For, GaveUp, Until};
use super::{Item, Payload, ReadyQueue, Reserved};
use crate::error::{PartialPut, PutError};
use crate::ring::seat::Event;
use crate::ring::{Memory, Refusal};
use crate::sync::event::wake_one;
use crate::sync::futex::Kernel;
use std::time::Duration;

/// Drops in a row after which a lossy put looks again whether somebody reads.
const DROPS: u32 = 32;

impl<T: Payload + ?Sized> ReadyQueue<T> {
    /// Puts an item if there is space now (a lossy queue makes space).
    ///
    /// # Errors
    /// [`PutError::Full`], `NotReady`, `Stopped`, `TooLarge`, `WrongLength`, `InHand`, or a [`Fault`](crate::Fault). The item stays the caller's.
    pub fn try_put(&mut self, item: &T) -> Result<(), PutError> {
        self.put_until(item, Until::Now)
    }

    /// Puts an item; waits while the queue is full, unless it is lossy.
    ///
    /// # Errors
    /// As [`try_put`](Self::try_put), never `Full`.
    pub fn put(&mut self, item: &T) -> Result<(), PutError> {
        self.put_until(item, Until::Forever)
    }

    /// Puts an item; waits for space at most so long.
    ///
    /// # Errors
    /// As [`try_put`](Self::try_put), with `TimedOut` for `Full`.
    pub fn put_timeout(&mut self, item: &T, timeout: Duration) -> Result<(), PutError> {
        self.put_until(item, Until::after(timeout))
    }

    /// Puts items in order, waiting for space. Returns how many.
    ///
    /// # Errors
    /// How many were put, and why the next was not.
    pub fn put_many<'a>(&mut self, items: impl IntoIterator<Item = &'a T>) -> Result<usize, PartialPut>
    where
        T: 'a,
    {
        self.put_many_until(items, Until::Forever)
    }

    /// As [`put_many`](Self::put_many), without waiting.
    ///
    /// # Errors
    /// As `put_many`.
    pub fn try_put_many<'a>(&mut self, items: impl IntoIterator<Item = &'a T>) -> Result<usize, PartialPut>
    where
        T: 'a,
    {
        self.put_many_until(items, Until::Now)
    }

    /// As [`put_many`](Self::put_many), waiting at most so long in all.
    ///
    /// # Errors
    /// As `put_many`.
    pub fn put_many_timeout<'a>(&mut self, items: impl IntoIterator<Item = &'a T>, timeout: Duration) -> Result<usize, PartialPut>
    where
        T: 'a,
    {
        self.put_many_until(items, Until::after(timeout))
    }

    fn put_many_until<'a>(&mut self, items: impl IntoIterator<Item = &'a T>, until: Until) -> Result<usize, PartialPut>
    where
        T: 'a,
    {
        let mut put = 0;
        for item in items {
            self.put_until(item, until).map_err(|error| PartialPut { put, error })?;
            put += 1;
        }
        Ok(put)
    }

    #[inline]
    fn put_until(&mut self, item: &T, until: Until) -> Result<(), PutError> {
        let bytes = item.bytes();
        self.may_fill(bytes.len())?;
        if self.control.ring.single {
            if self.put_usually(bytes) {
                return Ok(());
            }
            return self.put_slowly(bytes.len(), until);
        }
        self.put_unusually(bytes, until)
    }

    /// As `put_until`, with batches or long items.
    #[inline(never)]
    fn put_unusually(&mut self, bytes: &[u8], until: Until) -> Result<(), PutError> {
        self.own_bytes_unforked(bytes.len()).copy_from_slice(bytes);
        self.put_filled(self.length_of_one(bytes.len()), until)
    }

    /// What is noted as the length of a block with one item of so many bytes.
    #[inline(always)]
    pub(super) fn length_of_one(&self, bytes: usize) -> usize {
        if self.control.ring.batch == 1 { bytes } else { 1 }
    }

    /// The own block may be written: an item of this length fits, and none is in hand.
    #[inline(always)]
    pub(super) fn may_fill(&mut self, len: usize) -> Result<(), PutError> {
        if self.is_ready_to_fill(len) {
            return Ok(());
        }
        self.make_ready_to_fill(len)
    }

    /// The usual case of `may_fill`.
    #[inline(always)]
    pub(super) fn is_ready_to_fill(&self, len: usize) -> bool {
        let max = self.control.item_size();
        // A type that is too long for the queue, or not its own, was refused at the attach.
        let fits = T::size().is_some() || len == max || len < max && !self.control.typed;
        fits && self.burst < self.care_at && !self.seat.hold && self.nothing_forgotten() && !self.control.segment.lease.forked()
    }

    #[cold]
    fn make_ready_to_fill(&mut self, len: usize) -> Result<(), PutError> {
        self.control.readable()?;
        if self.burst >= self.care_at {
            self.look_at_the_clock(For::Space)?;
        }
        let (queue, max) = (|| self.control.shared_name(), self.control.item_size());
        if len > max {
            return Err(PutError::TooLarge { queue: queue(), len, max });
        }
        if len != max && self.control.typed {
            return Err(PutError::WrongLength {
                queue: queue(),
                len,
                expected: max,
            });
        }
        self.settle_forgotten();
        if self.seat.hold && !self.step_aside() {
            return Err(PutError::InHand {
                queue: self.control.shared_name(),
            });
        }
        Ok(())
    }

    /// Puts what lies in the own block. `len` in bytes; in queues with batches: in items.
    pub(super) fn put_own_block(&mut self, len: usize, until: Until) -> Result<(), PutError> {
        self.control.readable()?;
        self.put_filled(len, until)
    }

    /// As `put_own_block`; the caller has looked whether this is a forked child.
    #[inline(always)]
    fn put_filled(&mut self, len: usize, until: Until) -> Result<(), PutError> {
        let ring = &self.control.ring;
        let header = ring.memory.block(self.seat.block);
        if ring.put_here::<false>(&mut self.cursors, &mut self.seat, header, len as u64) {
            self.has_put();
            return Ok(());
        }
        self.put_slowly(len, until)
    }

    #[inline(always)]
    pub(super) fn has_put(&mut self) {
        wake_one(&self.control.words().items.0, &Kernel);
        self.burst = self.burst.wrapping_add(1);
    }

    #[inline(never)]
    fn put_slowly(&mut self, len: usize, until: Until) -> Result<(), PutError> {
        let done = self.put_in_its_way(len, until);
        // Who asks again and again hears in the end that the name is gone.
        if matches!(done, Err(PutError::Full | PutError::NotReady | PutError::Stopped)) && self.due.polled() {
            self.look_at_the_clock(For::Space)?;
        }
        done
    }

    fn put_in_its_way(&mut self, len: usize, until: Until) -> Result<(), PutError> {
        self.control.readable()?;
        let (lossy, now) = (self.control.segment.header.lossy, matches!(until, Until::Now));
        if lossy && !now {
            return self.put_lossy(len);
        }
        if let Some(done) = self.attempt_put(len, lossy)? {
            return Ok(done);
        }
        if now {
            return Err(PutError::Full);
        }
        match self.wait_for(For::Space, until, |queue| queue.attempt_put(len, false)) {
            Ok(()) => Ok(()),
            Err(GaveUp::TimedOut) => Err(PutError::TimedOut),
            Err(GaveUp::Failed(error)) => Err(error),
        }
    }

    /// A put that may drop the oldest. At the edge after a burst it first lets a reader that keeps its rate get some microseconds ahead (see `keep_distance`): two processes
    /// that fight over the oldest slot would lose most of what is put.
    fn put_lossy(&mut self, len: usize) -> Result<(), PutError> {
        if self.burst >= 2 || self.drops % DROPS == 0 {
            if let Some(done) = self.attempt_put(len, false)? {
                return Ok(done);
            }
            self.keep_distance(For::Space);
        }
        let dropped = self.seat.counted(Event::Dropped);
        self.attempt_put(len, true)?;
        if self.seat.counted(Event::Dropped) == dropped {
            self.drops = 0;
        } else {
            // Nobody reads fast enough: no more waiting, but for a look now and then.
            self.drops = self.drops.wrapping_add(1);
            self.end_burst();
        }
        Ok(())
    }

    pub(super) fn attempt_put(&mut self, len: usize, lossy: bool) -> Result<Option<()>, PutError> {
        match self.control.ring.put(&mut self.cursors, &mut self.seat, len as u64, lossy) {
            Ok(()) => {
                self.has_put();
                Ok(Some(()))
            }
            Err(Refusal::Full) => Ok(None),
            Err(Refusal::NotReady) => Err(PutError::NotReady),
            Err(Refusal::Stopped) => Err(PutError::Stopped),
            Err(other) => Err(self.control.fault(other).into()),
        }
    }
}

impl ReadyQueue<[u8]> {
    /// A block for an item of `len` bytes, to be filled in place.
    ///
    /// # Errors
    /// As [`try_put`](Self::try_put), but for the state of the queue, which counts at the commit.
    pub fn reserve(&mut self, len: usize) -> Result<Reserved<'_, [u8]>, PutError> {
        self.may_fill(len)?;
        Ok(Reserved { queue: self, len })
    }
}

impl<T: Item> ReadyQueue<T> {
    /// A block for an item, to be filled in place.
    ///
    /// # Errors
    /// As [`try_put`](Self::try_put), but for the state of the queue, which counts at the commit.
    pub fn reserve_item(&mut self) -> Result<Reserved<'_, T>, PutError> {
        let len = size_of::<T>();
        self.may_fill(len)?;
        Ok(Reserved { queue: self, len })
    }

    /// Puts items in order, in blocks of as many as the queue's `batch` allows: one exchange for each block. Waits for space. Returns how many.
    ///
    /// # Errors
    /// How many were put, and why the rest was not.
    pub fn put_batch(&mut self, items: &[T]) -> Result<usize, PartialPut> {
        self.put_batch_until(items, Until::Forever)
    }

    /// As [`put_batch`](Self::put_batch), without waiting.
    ///
    /// # Errors
    /// As `put_batch`.
    pub fn try_put_batch(&mut self, items: &[T]) -> Result<usize, PartialPut> {
        self.put_batch_until(items, Until::Now)
    }

    /// As [`put_batch`](Self::put_batch), waiting at most so long in all.
    ///
    /// # Errors
    /// As `put_batch`.
    pub fn put_batch_timeout(&mut self, items: &[T], timeout: Duration) -> Result<usize, PartialPut> {
        self.put_batch_until(items, Until::after(timeout))
    }

    fn put_batch_until(&mut self, items: &[T], until: Until) -> Result<usize, PartialPut> {
        let mut put = 0;
        for block in items.chunks(self.control.ring.batch as usize) {
            self.put_block(block, until).map_err(|error| PartialPut { put, error })?;
            put += block.len();
        }
        Ok(put)
    }

    /// One block; it has at most `batch` items.
    fn put_block(&mut self, items: &[T], until: Until) -> Result<(), PutError> {
        let bytes: &[u8] = bytemuck::cast_slice(items);
        self.may_fill(size_of::<T>())?;
        self.own_bytes_unforked(bytes.len()).copy_from_slice(bytes);
        let len = if self.control.ring.batch == 1 { bytes.len() } else { items.len() };
        self.put_filled(len, until)
    }
}
