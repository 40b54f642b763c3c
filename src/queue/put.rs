//! Putting: the endpoint fills its own block, and then does one exchange. Invariant: an
//! item whose put fails was not put.
//!
//! `put_fast` (in `own`) is the usual case. `put_general`, `put_filled` and `put_slow` have all the
//! others.

use super::Item;
use super::endpoint::Endpoint;
use super::memory::copy_in;
use super::wait::{For, GaveUp, Until};
use crate::error::{Length, PutError, PutSliceError};
use crate::ring::seat::Event;
use crate::ring::{Memory, RingError};
use crate::sync::event::wake_one;
use crate::sys::futex::Kernel;
use std::hint::spin_loop;

/// After this many drops in a row, a lossy put looks again whether somebody reads.
const DROPS_PER_LOOK: u32 = 32;

impl Endpoint {
    /// Puts an item. `plain` says that the endpoint is of a plain type, whose length was checked at
    /// the attach.
    #[inline(always)]
    pub(super) fn put_until(
        &mut self,
        bytes: &[u8],
        plain: bool,
        until: &Until,
    ) -> Result<(), PutError> {
        self.may_fill(bytes.len(), plain)?;
        self.put_ready(bytes, until)
    }

    /// Puts an item that may be filled in, as `may_fill` says.
    #[inline(always)]
    fn put_ready(&mut self, bytes: &[u8], until: &Until) -> Result<(), PutError> {
        if self.is_usual() || self.control.ring.single {
            if self.put_fast(bytes) {
                return Ok(());
            }
            return self.put_slow(bytes.len(), until);
        }
        self.put_general(bytes, until)
    }

    /// Puts an item if there is space now, as `put_until` does.
    #[inline(always)]
    pub(super) fn try_put(&mut self, bytes: &[u8], plain: bool) -> Result<(), PutError> {
        self.may_fill(bytes.len(), plain)?;
        if self.is_still_full() {
            return Err(PutError::Full);
        }
        self.put_ready(bytes, &Until::Now)
    }

    /// Looks whether the ring is full still, for a caller that asks again and again. Nothing is
    /// copied for that. Returns false if anything else may be the matter.
    #[inline(always)]
    fn is_still_full(&mut self) -> bool {
        self.burst == 0
            && !self.control.segment.header.lossy
            && self.control.ring.is_full(&self.cursors)
            && !self.due.polled()
    }

    /// Puts as `put_until` does, with batches or long items.
    #[inline(never)]
    fn put_general(&mut self, bytes: &[u8], until: &Until) -> Result<(), PutError> {
        copy_in(bytes, self.own_bytes_unforked(bytes.len()));
        self.put_filled(self.length_of_one(bytes.len()), until)
    }

    /// Returns what is noted as the length of a block with one item of `len` bytes.
    #[inline(always)]
    pub(super) fn length_of_one(&self, bytes: usize) -> usize {
        if self.control.ring.batch == 1 {
            bytes
        } else {
            1
        }
    }

    /// Checks that the own block may be written: an item of this length fits, and none is in hand.
    #[inline(always)]
    pub(super) fn may_fill(&mut self, len: usize, plain: bool) -> Result<(), PutError> {
        if self.is_ready_to_fill(len, plain) {
            return Ok(());
        }
        self.make_ready_to_fill(len)
    }

    /// Checks what `may_fill` does, in the usual case.
    #[inline(always)]
    pub(super) fn is_ready_to_fill(&self, len: usize, plain: bool) -> bool {
        let max = self.control.item_size();
        // A type that is too long for the queue, or not the queue's own, was refused at the attach.
        let fits = plain || len == max || len < max && !self.control.typed;
        (self.is_usual() || !self.seat.hold && self.nothing_forgotten())
            && fits
            && self.burst < self.care_at
            && !self.control.forked()
    }

    /// Returns what `usual` says, after a look at whether it is true in a build that checks it.
    #[inline(always)]
    pub(super) fn is_usual(&self) -> bool {
        debug_assert!(!self.usual || self.is_unburdened());
        self.usual
    }

    /// Returns whether nothing is in hand that the fast paths would have to look at.
    pub(super) fn is_unburdened(&self) -> bool {
        self.control.ring.single
            && !self.seat.hold
            && self.adopted.is_none()
            && self.aside.is_empty()
            && self.lent == 0
    }

    #[cold]
    fn make_ready_to_fill(&mut self, len: usize) -> Result<(), PutError> {
        self.control.readable()?;
        if self.burst >= self.care_at {
            self.look_at_the_clock(For::Space)?;
        }
        let (queue, max) = (|| self.control.shared_name(), self.control.item_size());
        if len > max {
            return Err(Length::TooLarge {
                queue: queue(),
                len,
                max,
            }
            .into());
        }
        if len != max && self.control.typed {
            return Err(Length::Wrong {
                queue: queue(),
                len,
                expected: max,
            }
            .into());
        }
        self.settle_forgotten();
        if !self.has_seat(For::Space) || self.seat.hold && !self.step_aside() {
            return Err(self.no_seat().into());
        }
        self.usual = self.is_unburdened();
        Ok(())
    }

    /// Puts what lies in the own block. `len` is in bytes, or in items in queues with batches.
    pub(super) fn put_own_block(&mut self, len: usize, until: &Until) -> Result<(), PutError> {
        self.control.readable()?;
        self.put_filled(len, until)
    }

    /// Puts as `put_own_block` does, for an item of `len` bytes: all that the type has, if the
    /// queue has one.
    pub(super) fn put_own_bytes(&mut self, len: usize, until: &Until) -> Result<(), PutError> {
        let expected = self.control.item_size();
        if self.control.typed && len != expected {
            let queue = self.control.shared_name();
            return Err(Length::Wrong {
                queue,
                len,
                expected,
            }
            .into());
        }
        self.put_own_block(self.length_of_one(len), until)
    }

    /// Puts as `put_own_block` does. The caller has checked that this is no forked child.
    #[inline(always)]
    fn put_filled(&mut self, len: usize, until: &Until) -> Result<(), PutError> {
        let ring = &self.control.ring;
        let (block, memory) = (self.seat.block, &ring.memory);
        let (header, copy) = (memory.block(block), || memory.copy_of(block));
        let (cursors, seat) = (&mut self.cursors, &mut self.seat);
        let pair = memory.pair(cursors.put.index);
        if ring.put_fast::<false>(cursors, seat, header, len as u64, pair, copy) {
            self.has_put();
            return Ok(());
        }
        self.put_slow(len, until)
    }

    #[inline(always)]
    pub(super) fn has_put(&mut self) {
        wake_one(&self.control.words().items.0, &Kernel);
        self.burst = self.burst.wrapping_add(1);
    }

    #[inline(never)]
    fn put_slow(&mut self, len: usize, until: &Until) -> Result<(), PutError> {
        let done = self.put_in_its_way(len, *until);
        // A caller that asks again and again is told in the end that the name is gone.
        if matches!(
            done,
            Err(PutError::Full | PutError::NotReady | PutError::Stopped)
        ) && self.due.polled()
        {
            self.look_at_the_clock(For::Space)?;
        }
        done
    }

    fn put_in_its_way(&mut self, len: usize, until: Until) -> Result<(), PutError> {
        self.control.readable()?;
        let (lossy, now) = (
            self.control.segment.header.lossy,
            matches!(until, Until::Now),
        );
        if lossy && !now {
            return self.put_lossy(len);
        }
        if let Some(done) = self.attempt_put(len, lossy)? {
            return Ok(done);
        }
        if now {
            // Once more after a burst: a caller that polls keeps away from the edge too.
            let kept = self.keep_distance(For::Space);
            let done = if kept {
                self.attempt_put(len, lossy)?
            } else {
                None
            };
            return done.ok_or(PutError::Full);
        }
        match self.wait_for(For::Space, until, |queue| queue.attempt_put(len, false)) {
            Ok(()) => Ok(()),
            Err(GaveUp::TimedOut) => Err(PutError::TimedOut),
            Err(GaveUp::Cancelled) => Err(PutError::Cancelled),
            Err(GaveUp::Failed(error)) => Err(error),
        }
    }

    /// Puts an item and may drop the oldest one. At the edge after a burst it first lets a reader
    /// that keeps its rate get some microseconds ahead (see `keep_distance`). Two processes that
    /// contend for the oldest slot would lose most of what is put.
    fn put_lossy(&mut self, len: usize) -> Result<(), PutError> {
        if self.burst >= 2 || self.drops % DROPS_PER_LOOK == 0 {
            if let Some(done) = self.attempt_put(len, false)? {
                return Ok(done);
            }
            if !self.keep_distance(For::Space) {
                spin_loop();
            }
        }
        let dropped = self.seat.counted(Event::Dropped);
        self.attempt_put(len, true)?;
        if self.seat.counted(Event::Dropped) == dropped {
            self.drops = 0;
        } else {
            // Nobody reads fast enough. It does not wait any more, except for a look now and then.
            self.drops = self.drops.wrapping_add(1);
            self.end_burst();
        }
        Ok(())
    }

    pub(super) fn attempt_put(&mut self, len: usize, lossy: bool) -> Result<Option<()>, PutError> {
        match self
            .control
            .ring
            .put(&mut self.cursors, &mut self.seat, len as u64, lossy)
        {
            Ok(()) => {
                self.has_put();
                Ok(Some(()))
            }
            Err(RingError::Full) => Ok(None),
            Err(RingError::NotReady) => Err(PutError::NotReady),
            Err(RingError::Stopped) => Err(PutError::Stopped),
            Err(other) => Err(self.control.fault(other).into()),
        }
    }

    /// Puts an item as into a lossy queue, whatever the queue is.
    pub(super) fn force_put(&mut self, bytes: &[u8], plain: bool) -> Result<(), PutError> {
        self.may_fill(bytes.len(), plain)?;
        copy_in(bytes, self.own_bytes_mut(bytes.len()));
        self.attempt_put(self.length_of_one(bytes.len()), true)
            .map(|_| ())
    }

    /// Puts items in order, in blocks of as many as a block can have.
    pub(super) fn put_slice<T: Item>(
        &mut self,
        items: &[T],
        until: Until,
    ) -> Result<(), PutSliceError> {
        let batch = self.control.ring.batch as usize;
        // There is one deadline for all, if there is more than one to wait for.
        let until = if items.len() > batch {
            until.fixed()
        } else {
            until
        };
        for (number, block) in items.chunks(batch).enumerate() {
            self.put_block(block, &until)
                .map_err(|error| PutSliceError {
                    put: number * batch,
                    error,
                })?;
        }
        Ok(())
    }

    /// Puts `count` items of `len` bytes each, which lie one after the other.
    pub(super) fn put_items(
        &mut self,
        items: &[u8],
        len: usize,
        count: usize,
        until: Until,
    ) -> Result<(), PutSliceError> {
        let batch = self.control.ring.batch as usize;
        let until = if count > batch { until.fixed() } else { until };
        for put in (0..count).step_by(batch) {
            let block = &items[put * len..batch.saturating_add(put).min(count) * len];
            let done = if batch == 1 {
                self.put_until(block, false, &until)
            } else {
                self.put_bytes_of_block(block, len, &until)
            };
            done.map_err(|error| PutSliceError { put, error })?;
        }
        Ok(())
    }

    fn put_bytes_of_block(
        &mut self,
        items: &[u8],
        len: usize,
        until: &Until,
    ) -> Result<(), PutError> {
        self.may_fill(len, false)?; // batches are of a plain type: this is its size
        copy_in(items, self.own_bytes_unforked(items.len()));
        self.put_filled(items.len().checked_div(len).unwrap_or(0), until)
    }

    /// Puts one block. It has at most `batch` items.
    fn put_block<T: Item>(&mut self, items: &[T], until: &Until) -> Result<(), PutError> {
        let bytes: &[u8] = bytemuck::cast_slice(items);
        self.may_fill(size_of::<T>(), true)?;
        copy_in(bytes, self.own_bytes_unforked(bytes.len()));
        let len = if self.control.ring.batch == 1 {
            bytes.len()
        } else {
            items.len()
        };
        self.put_filled(len, until)
    }
}
