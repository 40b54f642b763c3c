//! Getting: one exchange, and the items are in hand. Invariant: a copying get acknowledges before
//! it returns.
//!
//! `get_fast` and `take_fast` are the usual case. `find_and_show` has all the others.

use super::endpoint::Endpoint;
use super::held::HeldSpan;
use super::memory::Mapped;
use super::wait::{For, GaveUp, Until};
use crate::error::{Fault, GetError, Length};
use crate::ring::slot::BlockWord;
use crate::ring::{Ending, Memory, Ring, RingError};
use crate::state::State;
use crate::sync::event::wake_one;
use crate::sys::futex::Kernel;
use std::sync::atomic::Ordering;

impl Endpoint {
    /// Takes the oldest item, copies it, and acknowledges it. `size` is that of the endpoint's
    /// type, or `None` for bytes.
    #[inline(always)]
    pub(super) fn get_with<R>(
        &mut self,
        size: Option<usize>,
        until: Until,
        mut copy: impl FnMut(&[u8]) -> R,
    ) -> Result<R, GetError> {
        if self.is_usual() || self.control.ring.single {
            if let Some(copied) = self.get_fast(size, usize::MAX, &mut copy) {
                return Ok(copied);
            }
        }
        self.get_slow(size, until, copy)
    }

    #[inline(never)]
    fn get_slow<R>(
        &mut self,
        size: Option<usize>,
        until: Until,
        mut copy: impl FnMut(&[u8]) -> R,
    ) -> Result<R, GetError> {
        if matches!(until, Until::Now) && self.is_still_empty() {
            return Err(GetError::Empty);
        }
        if self.control.ring.single && self.poll_for_item(until) {
            if let Some(copied) = self.get_fast(size, usize::MAX, &mut copy) {
                return Ok(copied);
            }
        }
        self.find_and_show(size, until)?;
        let copied = copy(self.read_bytes(&self.shown));
        self.acknowledge(1);
        self.usual = self.is_unburdened();
        Ok(copied)
    }

    /// Takes the next items. They are in hand, `shown` says which, and no guard shows them yet.
    #[inline(always)]
    pub(super) fn take_next(&mut self, size: Option<usize>, until: Until) -> Result<(), GetError> {
        if self.take_fast(size) {
            Ok(())
        } else {
            self.take_slow(size, until)
        }
    }

    /// Looks whether the queue is empty still, for a caller that asks again and again. Returns
    /// false if anything else may be the matter.
    #[inline(always)]
    fn is_still_empty(&mut self) -> bool {
        self.burst == 0
            && self.may_take()
            && self.control.state_word() == State::Started as u32
            && self.control.ring.is_empty(&self.cursors)
            && !self.due.polled()
    }

    /// Polls, when nothing was there, for an answer that a peer is about to give, as long as the
    /// fast path is open.
    fn poll_for_item(&mut self, until: Until) -> bool {
        !matches!(until, Until::Now) && self.may_take() && self.item_arrives()
    }

    /// Returns whether nothing stands in the way of the fast path.
    #[inline(always)]
    pub(super) fn may_take(&self) -> bool {
        let control = &self.control;
        let free = self.is_usual()
            || !self.seat.hold && self.adopted.is_none() && (self.aside.is_empty() || self.growing);
        free && !control.forked()
            && matches!(control.state_word(), 2 | 3) // started, stop at queue end
            && self.burst < self.care_at
            && (!control.ring.at_least_once || self.orphans == Some(control.ring.memory.orphans().load(Ordering::SeqCst)))
    }

    /// Returns whether an item of a queue with this item size may have this length.
    #[inline(always)]
    pub(super) fn is_length(size: Option<usize>, len: usize, item_size: usize) -> bool {
        match size {
            // No more than the queue's item size, or the attach had failed.
            Some(size) => len == size,
            None => len <= item_size,
        }
    }

    /// The usual case: nothing stands in the way, and there is an item of the right length.
    #[inline(always)]
    fn take_fast(&mut self, size: Option<usize>) -> bool {
        if !self.may_take() {
            return false;
        }
        self.usual = false;
        if !self.control.ring.single {
            return self.take_general(size);
        }
        let Some((word, block)) = self
            .control
            .ring
            .take_fast::<true>(&mut self.cursors, &mut self.seat)
        else {
            self.has_discarded();
            return false;
        };
        self.has_taken();
        let lot = HeldSpan {
            block,
            first: 0,
            items: 1,
            len: word.length().into(),
            deliveries: u32::from(word.deliveries()) + 1,
        };
        // Mostly only the block differs, and each store delays the next exchange.
        self.shown.block = block;
        if self.shown != lot {
            self.shown = lot;
        }
        // The length is wrong. The item is in hand now, and the slow path finds it there and says
        // what is wrong.
        Self::is_length(size, word.length().into(), self.control.item_size())
    }

    /// Takes as `take_fast` does, with batches or long items.
    #[inline(never)]
    fn take_general(&mut self, size: Option<usize>) -> bool {
        let Some((word, _)) = self
            .control
            .ring
            .take_fast::<false>(&mut self.cursors, &mut self.seat)
        else {
            self.has_discarded();
            return false;
        };
        self.has_taken();
        self.shown = self.span_unchecked(word);
        Self::is_length(size, self.shown.len, self.control.item_size())
    }

    #[inline(always)]
    pub(super) fn has_taken(&mut self) {
        wake_one(&self.control.words().space.0, &Kernel);
        self.burst = self.burst.wrapping_add(1);
    }

    #[inline(never)]
    fn take_slow(&mut self, size: Option<usize>, until: Until) -> Result<(), GetError> {
        if matches!(until, Until::Now) && self.is_still_empty() {
            return Err(GetError::Empty);
        }
        if self.poll_for_item(until) && self.take_fast(size) {
            return Ok(());
        }
        self.find_and_show(size, until)
    }

    fn find_and_show(&mut self, size: Option<usize>, until: Until) -> Result<(), GetError> {
        self.shown = self.find_next(size, until)?;
        Ok(())
    }

    fn find_next(&mut self, size: Option<usize>, until: Until) -> Result<HeldSpan, GetError> {
        match self.attempt_take(size)? {
            Some(lot) => Ok(lot),
            None if matches!(until, Until::Now) => {
                // Once more after a burst: a caller that polls keeps away from the edge too.
                if self.keep_distance(For::Items) {
                    if let Some(lot) = self.attempt_take(size)? {
                        return Ok(lot);
                    }
                }
                if self.due.polled() {
                    self.look_at_the_clock(For::Items)?;
                }
                Err(GetError::Empty)
            }
            None => self
                .wait_for(For::Items, until, |endpoint| endpoint.attempt_take(size))
                .map_err(|gave_up| match gave_up {
                    GaveUp::TimedOut => GetError::TimedOut,
                    GaveUp::Cancelled => GetError::Cancelled,
                    GaveUp::Failed(error) => error,
                }),
        }
    }

    fn attempt_take(&mut self, size: Option<usize>) -> Result<Option<HeldSpan>, GetError> {
        self.control.readable()?;
        self.usual = false;
        let state = self.control.state();
        if state == State::Stopped {
            return Err(GetError::Stopped);
        }
        self.settle_forgotten();
        if !self.growing && !self.has_seat(For::Items) {
            return Err(self.no_seat().into());
        }
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
                return self.lot(size, word).map(Some);
            }
        }
        loop {
            let took = self.control.ring.take(&mut self.cursors, &mut self.seat);
            self.has_discarded();
            match took {
                Ok(word) => {
                    self.has_taken();
                    return self.lot(size, word).map(Some);
                }
                Err(RingError::Empty) if state == State::StopAtQueueEnd => {
                    match self.end_stream()? {
                        Ending::Ended => return Err(GetError::Stopped),
                        Ending::Held => return Ok(None),
                        Ending::Item => {}
                    }
                }
                Err(RingError::Empty) => return Ok(None),
                Err(other) => return Err(self.control.fault(other).into()),
            }
        }
    }

    /// Ends the stream, if that is possible. The queue was found empty, and its state says that it
    /// ends then. Under at-least-once the stream has not ended while another endpoint has an item
    /// in hand that may come back. A `Batch` that has items of its own is told of the end whatever
    /// others have.
    fn end_stream(&mut self) -> Result<Ending, Fault> {
        let control = &self.control;
        let waits = control.ring.at_least_once && (!self.growing || self.aside.is_empty());
        let carry =
            |ring: &Ring<Mapped>| waits && ring.others_may_carry(|index| control.own.has(index));
        control
            .ring
            .end(&mut self.cursors, &mut self.seat, carry)
            .map_err(|refusal| control.fault(refusal))
    }

    /// Signals the slots that a take which did not succeed has freed: it may have discarded cleared
    /// items.
    #[inline(always)]
    pub(super) fn has_discarded(&mut self) {
        if self.cursors.discarded > 0 {
            self.wake_for_discarded();
        }
    }

    /// Signals that cleared items were discarded, so this many slots are free.
    #[cold]
    pub(super) fn wake_for_discarded(&mut self) {
        for _ in 0..std::mem::take(&mut self.cursors.discarded) {
            wake_one(&self.control.words().space.0, &Kernel);
        }
    }

    /// Returns what is not acknowledged of the block in hand. `word` is its header. The length is
    /// not checked yet.
    #[inline(always)]
    fn span_unchecked(&self, word: BlockWord) -> HeldSpan {
        let seat = self.adopted.as_ref().unwrap_or(&self.seat);
        let ring = &self.control.ring;
        let len = if ring.batch == 1 {
            ring.memory.length(seat.block, word)
        } else {
            self.control.segment.geometry.item_size
        };
        let (first, items) = if ring.batch == 1 {
            (0, 1)
        } else {
            (seat.acknowledged(), seat.left())
        };
        HeldSpan {
            block: seat.block,
            first,
            items,
            len: len as usize,
            deliveries: u32::from(word.deliveries()) + 1,
        }
    }

    fn lot(&mut self, size: Option<usize>, word: BlockWord) -> Result<HeldSpan, GetError> {
        let (lot, queue) = (self.span_unchecked(word), || self.control.shared_name());
        let error = match size {
            _ if lot.len > self.control.item_size() => Fault::Corrupt {
                queue: queue(),
                what: format!("an item says it has {} bytes", lot.len),
            }
            .into(),
            Some(expected) if lot.len != expected => Length::Wrong {
                queue: queue(),
                len: lot.len,
                expected,
            }
            .into(),
            _ => return Ok(lot),
        };
        // In hand until it is discarded; else settled by the next operation.
        (self.lent, self.refused) = (1, true);
        Err(error)
    }
}

#[cfg(test)]
mod tests {
    use crate::bindings::TestName;
    use crate::queue::{QueueOptions, ReadyQueue};

    #[test]
    fn a_get_that_throws_cleared_items_away_wakes_who_waits_for_space() {
        let name = TestName::new();
        for (batch, kind) in [(1, "get"), (1, "take"), (2, "take")] {
            let mut queue =
                ReadyQueue::<u64>::create(&name, &QueueOptions::new(4).batch(batch)).unwrap();
            crate::unlink(&name).unwrap();
            queue.put(&1).unwrap();
            queue.control().clear().unwrap();
            queue.put(&2).unwrap();
            // The fast path discards 1, and then 2 comes by the fast path.
            let got = if kind == "get" {
                queue.get().unwrap()
            } else {
                *queue.take().unwrap()
            };
            assert_eq!(
                (got, queue.endpoint.cursors.discarded),
                (2, 0),
                "{kind} in batches of {batch}"
            );
        }
    }
}
