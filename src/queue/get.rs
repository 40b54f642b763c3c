//! Getting: one exchange, and the items are in hand; a copying get acknowledges before it returns.
//!
//! Callers: everybody, through [`ReadyQueue`].

use super::memory::Mapped;
use super::wait::{For, GaveUp, Until};
use super::{Item, Payload, ReadyQueue, State, Taken, TakenBatch};
use crate::error::{Fault, GetError};
use crate::ring::slot::BlockWord;
use crate::ring::{Ending, Memory, Refusal, Ring};
use crate::sync::event::wake_one;
use crate::sync::futex::Kernel;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Items in hand that are about to be shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Lot {
    pub(super) block: u32,
    /// Number of the first one in its block.
    pub(super) first: u32,
    /// How many there are from there on, at least 1.
    pub(super) items: u32,
    /// Bytes of an item.
    pub(super) len: usize,
    /// This time included.
    pub(super) deliveries: u32,
}

impl<T: Payload + ?Sized> ReadyQueue<T> {
    /// Gets the oldest item if there is one now.
    ///
    /// # Errors
    /// [`GetError::Empty`], `Stopped`, `WrongLength`, or a [`Fault`].
    pub fn try_get(&mut self) -> Result<T::Owned, GetError> {
        self.get_until(Until::Now)
    }

    /// Gets the oldest item; waits while there is none, or the queue is not ready.
    ///
    /// # Errors
    /// As [`try_get`](Self::try_get), never `Empty`.
    pub fn get(&mut self) -> Result<T::Owned, GetError> {
        self.get_until(Until::Forever)
    }

    /// Gets the oldest item; waits at most so long.
    ///
    /// # Errors
    /// As [`try_get`](Self::try_get), with `TimedOut` for `Empty`.
    pub fn get_timeout(&mut self, timeout: Duration) -> Result<T::Owned, GetError> {
        self.get_until(Until::after(timeout))
    }

    /// Waits for an item and gets what is there, at most `max`.
    ///
    /// # Errors
    /// As [`get`](Self::get), if there is not even one.
    pub fn get_many(&mut self, max: usize) -> Result<Vec<T::Owned>, GetError> {
        self.get_many_until(max, Until::Forever)
    }

    /// As [`get_many`](Self::get_many), without waiting.
    ///
    /// # Errors
    /// As [`try_get`](Self::try_get).
    pub fn try_get_many(&mut self, max: usize) -> Result<Vec<T::Owned>, GetError> {
        self.get_many_until(max, Until::Now)
    }

    /// As [`get_many`](Self::get_many), waiting for the first at most so long.
    ///
    /// # Errors
    /// As [`get_timeout`](Self::get_timeout).
    pub fn get_many_timeout(&mut self, max: usize, timeout: Duration) -> Result<Vec<T::Owned>, GetError> {
        self.get_many_until(max, Until::after(timeout))
    }

    fn get_many_until(&mut self, max: usize, until: Until) -> Result<Vec<T::Owned>, GetError> {
        let mut items = vec![];
        while items.len() < max {
            match self.get_until(if items.is_empty() { until } else { Until::Now }) {
                Ok(item) => items.push(item),
                Err(error) if items.is_empty() => return Err(error),
                Err(_) => break, // it will be told again by the next call
            }
        }
        Ok(items)
    }

    #[inline]
    fn get_until(&mut self, until: Until) -> Result<T::Owned, GetError> {
        self.get_with(until, T::read)
    }

    /// Takes the oldest item, has it copied, acknowledges it.
    #[inline(always)]
    fn get_with<R>(&mut self, until: Until, mut copy: impl FnMut(&[u8]) -> R) -> Result<R, GetError> {
        if self.control.ring.single {
            if let Some(copied) = self.get_usually(usize::MAX, &mut copy) {
                return Ok(copied);
            }
        }
        self.get_slowly(until, copy)
    }

    #[inline(never)]
    fn get_slowly<R>(&mut self, until: Until, mut copy: impl FnMut(&[u8]) -> R) -> Result<R, GetError> {
        if self.control.ring.single && self.comes_soon(until) {
            if let Some(copied) = self.get_usually(usize::MAX, &mut copy) {
                return Ok(copied);
            }
        }
        self.find_and_show(until)?;
        let copied = copy(self.read_bytes(&self.shown));
        self.acknowledge(1);
        Ok(copied)
    }

    /// Takes the oldest item in place, if there is one now.
    ///
    /// # Errors
    /// As [`try_get`](Self::try_get).
    pub fn try_take(&mut self) -> Result<Taken<'_, T>, GetError> {
        self.take_until(Until::Now)
    }

    /// Takes the oldest item in place; waits while there is none.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn take(&mut self) -> Result<Taken<'_, T>, GetError> {
        self.take_until(Until::Forever)
    }

    /// Takes the oldest item in place; waits at most so long.
    ///
    /// # Errors
    /// As [`get_timeout`](Self::get_timeout).
    pub fn take_timeout(&mut self, timeout: Duration) -> Result<Taken<'_, T>, GetError> {
        self.take_until(Until::after(timeout))
    }

    #[inline]
    fn take_until(&mut self, until: Until) -> Result<Taken<'_, T>, GetError> {
        self.lot_until(until)?;
        self.lent = 1;
        Ok(Taken { queue: self })
    }

    /// The next items are in hand, `shown` says which, and nothing of them is lent yet.
    #[inline(always)]
    pub(super) fn lot_until(&mut self, until: Until) -> Result<(), GetError> {
        if self.take_at_once() { Ok(()) } else { self.lot_slowly(until) }
    }

    /// Nothing was there: waits for the answer of a peer that is about to give it, as long as the usual way of taking it is open.
    fn comes_soon(&mut self, until: Until) -> bool {
        !matches!(until, Until::Now) && self.may_take() && self.item_comes()
    }

    /// Nothing stands in the way of the usual take.
    #[inline(always)]
    pub(super) fn may_take(&self) -> bool {
        let control = &self.control;
        !control.segment.lease.forked()
            && matches!(control.state_word(), 2 | 3) // started, stop at queue end
            && !self.seat.hold
            && self.adopted.is_none()
            && (self.aside.is_empty() || self.growing)
            && self.burst < self.care_at
            && (!control.ring.at_least_once || self.orphans == Some(control.ring.memory.orphans().load(Ordering::SeqCst)))
    }

    /// An item of a queue with this item size may be so long.
    #[inline(always)]
    pub(super) fn is_length(len: usize, item_size: usize) -> bool {
        match T::size() {
            Some(size) => len == size, // no more than the queue's item size, or the attach had failed
            None => len <= item_size,
        }
    }

    /// The usual case: nothing stands in the way, and an item of the right length is there.
    #[inline(always)]
    fn take_at_once(&mut self) -> bool {
        if !self.may_take() {
            return false;
        }
        if !self.control.ring.single {
            return self.take_unusually();
        }
        let Some((word, block)) = self.control.ring.take_here::<true>(&mut self.cursors, &mut self.seat) else {
            self.has_discarded();
            return false;
        };
        self.has_taken();
        let lot = Lot {
            block,
            first: 0,
            items: 1,
            len: word.length().into(),
            deliveries: u32::from(word.deliveries()) + 1,
        };
        // Mostly the block alone differs, and each store delays the next exchange.
        self.shown.block = block;
        if self.shown != lot {
            self.shown = lot;
        }
        // Of a wrong length: it is in hand now, and the slow path, which finds it there, says what is wrong.
        Self::is_length(word.length().into(), self.control.item_size())
    }

    /// As `take_at_once`, with batches or long items.
    #[inline(never)]
    fn take_unusually(&mut self) -> bool {
        let Some((word, _)) = self.control.ring.take_here::<false>(&mut self.cursors, &mut self.seat) else {
            self.has_discarded();
            return false;
        };
        self.has_taken();
        self.shown = self.lot_unchecked(word);
        Self::is_length(self.shown.len, self.control.item_size())
    }

    #[inline(always)]
    pub(super) fn has_taken(&mut self) {
        wake_one(&self.control.words().space.0, &Kernel);
        self.burst = self.burst.wrapping_add(1);
    }

    #[inline(never)]
    fn lot_slowly(&mut self, until: Until) -> Result<(), GetError> {
        if self.comes_soon(until) && self.take_at_once() {
            return Ok(());
        }
        self.find_and_show(until)
    }

    fn find_and_show(&mut self, until: Until) -> Result<(), GetError> {
        self.shown = self.find_lot(until)?;
        Ok(())
    }

    fn find_lot(&mut self, until: Until) -> Result<Lot, GetError> {
        match self.attempt_take()? {
            Some(lot) => Ok(lot),
            None if matches!(until, Until::Now) => {
                if self.due.polled() {
                    self.look_at_the_clock(For::Items)?;
                }
                Err(GetError::Empty)
            }
            None => self.wait_for(For::Items, until, Self::attempt_take).map_err(|gave_up| match gave_up {
                GaveUp::TimedOut => GetError::TimedOut,
                GaveUp::Failed(error) => error,
            }),
        }
    }

    fn attempt_take(&mut self) -> Result<Option<Lot>, GetError> {
        self.control.readable()?;
        let state = self.control.state();
        if state == State::Stopped {
            return Err(GetError::Stopped);
        }
        self.settle_forgotten();
        if self.burst >= self.care_at {
            self.look_at_the_clock(For::Items)?;
        }
        let fills = self.buffering && !self.aside.is_empty();
        if fills && self.orphan_waits()? {
            self.awaited = true;
            return Err(GetError::TimedOut);
        }
        if self.seat.hold || self.adopted.is_some() || self.control.ring.at_least_once && !fills {
            if let Some(word) = self.left_over()? {
                return self.lot(word).map(Some);
            }
        }
        loop {
            let took = self.control.ring.take(&mut self.cursors, &mut self.seat);
            self.has_discarded();
            match took {
                Ok(word) => {
                    self.has_taken();
                    return self.lot(word).map(Some);
                }
                Err(Refusal::Empty) if state == State::StopAtQueueEnd => match self.end_stream()? {
                    Ending::Ended => return Err(GetError::Stopped),
                    Ending::Held => return Ok(None),
                    Ending::Item => {}
                },
                Err(Refusal::Empty) => return Ok(None),
                Err(other) => return Err(self.control.fault(other).into()),
            }
        }
    }

    /// The queue was found empty, and its state says that it ends then. Under at-least-once it has not ended while another has an item in hand that may come back;
    /// a `Hand` that has items of its own is told of the end whatever others have.
    fn end_stream(&mut self) -> Result<Ending, Fault> {
        let (control, own) = (&self.control, &self.own);
        let waits = control.ring.at_least_once && (!self.growing || self.aside.is_empty());
        let carry = |ring: &Ring<Mapped>| waits && ring.others_may_carry(|index| own.has(index));
        control
            .ring
            .end(&mut self.cursors, &mut self.seat, carry)
            .map_err(|refusal| control.fault(refusal))
    }

    /// A take that did not succeed may have thrown cleared items away: that frees slots too.
    #[inline(always)]
    pub(super) fn has_discarded(&mut self) {
        if self.cursors.discarded > 0 {
            self.wake_for_discarded();
        }
    }

    /// Cleared items were thrown away: so many slots are free.
    #[cold]
    pub(super) fn wake_for_discarded(&mut self) {
        for _ in 0..std::mem::take(&mut self.cursors.discarded) {
            wake_one(&self.control.words().space.0, &Kernel);
        }
    }

    /// What of the block in hand is not acknowledged; `word` is its header. The length is not checked yet.
    #[inline(always)]
    fn lot_unchecked(&self, word: BlockWord) -> Lot {
        let seat = self.adopted.as_ref().unwrap_or(&self.seat);
        let ring = &self.control.ring;
        let len = if ring.batch == 1 {
            ring.memory.length(seat.block, word)
        } else {
            self.control.segment.geometry.item_size
        };
        let (first, items) = if ring.batch == 1 { (0, 1) } else { (seat.acknowledged(), seat.left()) };
        Lot {
            block: seat.block,
            first,
            items,
            len: len as usize,
            deliveries: u32::from(word.deliveries()) + 1,
        }
    }

    fn lot(&mut self, word: BlockWord) -> Result<Lot, GetError> {
        let (lot, queue) = (self.lot_unchecked(word), || self.control.shared_name());
        let error = match T::size() {
            _ if lot.len > self.control.item_size() => Fault::Corrupt {
                queue: queue(),
                what: format!("an item says it has {} bytes", lot.len),
            }
            .into(),
            Some(expected) if lot.len != expected => GetError::WrongLength {
                queue: queue(),
                len: lot.len,
                expected,
            },
            _ => return Ok(lot),
        };
        self.lent = 1; // in hand until it is discarded; else settled by the next operation
        Err(error)
    }

    /// Items until end of stream.
    pub fn iter(&mut self) -> Iter<'_, T> {
        Iter { queue: self }
    }
}

impl<T: Item> ReadyQueue<T> {
    /// As [`get`](Self::get), into a place of the caller's: one copy, which matters for large items.
    ///
    /// # Errors
    /// As `get`; `into` is untouched then.
    #[inline]
    pub fn get_into(&mut self, into: &mut T) -> Result<(), GetError> {
        self.get_with(Until::Forever, |bytes| bytemuck::bytes_of_mut(into).copy_from_slice(bytes))
    }

    /// Takes the oldest block in place, if there is one now: all its items at once. Without batches a block has one.
    ///
    /// # Errors
    /// As [`try_get`](Self::try_get).
    pub fn try_take_batch(&mut self) -> Result<TakenBatch<'_, T>, GetError> {
        self.take_batch_until(Until::Now)
    }

    /// Takes the oldest block in place; waits while there is none.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn take_batch(&mut self) -> Result<TakenBatch<'_, T>, GetError> {
        self.take_batch_until(Until::Forever)
    }

    /// Takes the oldest block in place; waits at most so long.
    ///
    /// # Errors
    /// As [`get_timeout`](Self::get_timeout).
    pub fn take_batch_timeout(&mut self, timeout: Duration) -> Result<TakenBatch<'_, T>, GetError> {
        self.take_batch_until(Until::after(timeout))
    }

    /// The items of the oldest block; waits while there is none.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn get_batch(&mut self) -> Result<Vec<T>, GetError> {
        self.take_batch().map(|taken| taken.to_vec())
    }

    /// The items of the oldest block, if there is one now.
    ///
    /// # Errors
    /// As [`try_get`](Self::try_get).
    pub fn try_get_batch(&mut self) -> Result<Vec<T>, GetError> {
        self.try_take_batch().map(|taken| taken.to_vec())
    }

    fn take_batch_until(&mut self, until: Until) -> Result<TakenBatch<'_, T>, GetError> {
        self.lot_until(until)?;
        self.lent = self.shown.items;
        Ok(TakenBatch { queue: self })
    }
}

/// Items of a queue until end of stream. Made by [`ReadyQueue::iter`].
#[derive(Debug)]
pub struct Iter<'a, T: Payload + ?Sized> {
    queue: &'a mut ReadyQueue<T>,
}

impl<T: Payload + ?Sized> Iterator for Iter<'_, T> {
    type Item = Result<T::Owned, GetError>;
    fn next(&mut self) -> Option<Self::Item> {
        match self.queue.get() {
            Err(GetError::Stopped) => None,
            other => Some(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::{Control, Options, unlink_in};

    #[test]
    fn a_get_that_throws_cleared_items_away_wakes_who_waits_for_space() {
        let (dir, name) = (std::env::temp_dir(), format!("discarded.{}", std::process::id()));
        for (batch, kind) in [(1, "get"), (1, "take"), (2, "take")] {
            let mut queue = ReadyQueue::<u64>::create(&name, &Options::new(4).batch(batch).directory(&dir)).unwrap();
            unlink_in(&dir, &name).unwrap();
            queue.put(&1).unwrap();
            Control::clear(&queue.control).unwrap();
            queue.put(&2).unwrap();
            // The usual way throws 1 away, then 2 comes the usual way.
            let got = if kind == "get" { queue.get() } else { queue.take().map(|taken| *taken) };
            assert_eq!((got, queue.cursors.discarded), (Ok(2), 0), "{kind} in batches of {batch}");
        }
    }
}
