//! Getting: one exchange, and the items are in hand; a copying get acknowledges before it returns.
//!
//! Callers: everybody, through [`ReadyQueue`].

use super::wait::{For, GaveUp, Until};
use super::{Item, Payload, ReadyQueue, State, Taken, TakenBatch};
use crate::error::{Fault, GetError};
use crate::ring::slot::BlockWord;
use crate::ring::{Memory, Refusal};
use crate::sync::event::wake_one;
use crate::sync::futex::Kernel;
use std::time::Duration;

/// Items in hand that are about to be shown.
#[derive(Debug, Clone, Copy)]
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
        self.take_until(until).map(|taken| Payload::to_owned(&*taken))
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
        let lot = self.lot_until(until)?;
        self.lent = 1;
        Ok(Taken { queue: self, lot })
    }

    /// The next items are in hand, nothing of them lent yet.
    #[inline]
    pub(super) fn lot_until(&mut self, until: Until) -> Result<Lot, GetError> {
        match self.attempt_take()? {
            Some(lot) => Ok(lot),
            None if matches!(until, Until::Now) => {
                self.idle = self.idle.wrapping_add(1);
                if self.idle.is_multiple_of(64) {
                    self.look_after_the_dead()?;
                }
                Err(GetError::Empty)
            }
            None => self.wait_for(For::Items, until, Self::attempt_take).map_err(|gave_up| match gave_up {
                GaveUp::TimedOut => GetError::TimedOut,
                GaveUp::Failed(error) => error,
            }),
        }
    }

    #[inline]
    fn attempt_take(&mut self) -> Result<Option<Lot>, GetError> {
        self.control.readable()?;
        let state = self.control.state();
        if state == State::Stopped {
            return Err(GetError::Stopped);
        }
        self.settle_forgotten();
        if (self.seat.hold || self.adopted.is_some() || self.control.ring.at_least_once)
            && let Some(word) = self.left_over()?
        {
            return self.lot(word).map(Some);
        }
        let took = self.control.ring.take(&mut self.cursors, &mut self.seat);
        if self.cursors.discarded > 0 {
            self.wake_for_discarded();
        }
        match took {
            Ok(word) => {
                wake_one(&self.control.words().space.0, &Kernel);
                self.burst = self.burst.saturating_add(1);
                self.lot(word).map(Some)
            }
            Err(Refusal::Empty) if state == State::StopAtQueueEnd && (self.growing && !self.aside.is_empty() || !self.others_hold()) => Err(GetError::Stopped),
            Err(Refusal::Empty) => Ok(None),
            Err(other) => Err(self.control.fault(other).into()),
        }
    }

    /// Cleared items were thrown away: so many slots are free.
    #[cold]
    pub(super) fn wake_for_discarded(&mut self) {
        for _ in 0..std::mem::take(&mut self.cursors.discarded) {
            wake_one(&self.control.words().space.0, &Kernel);
        }
    }

    /// What of the block in hand is not acknowledged; `word` is its header.
    #[inline]
    fn lot(&mut self, word: BlockWord) -> Result<Lot, GetError> {
        let seat = self.adopted.as_ref().unwrap_or(&self.seat);
        let ring = &self.control.ring;
        let queue = || self.control.shared_name();
        let len = if ring.batch == 1 {
            ring.memory.length(seat.block, word)
        } else {
            self.control.segment.geometry.item_size
        };
        if len > self.control.item_size() as u64 {
            return Err(Fault::Corrupt {
                queue: queue(),
                what: format!("an item says it has {len} bytes"),
            }
            .into());
        }
        let len = len as usize;
        match T::size() {
            Some(expected) if len != expected => {
                let error = GetError::WrongLength { queue: queue(), len, expected };
                self.lent = 1;
                Err(error)
            }
            _ => Ok(Lot {
                block: seat.block,
                first: seat.acknowledged(),
                items: seat.left(),
                len,
                deliveries: u32::from(word.deliveries()) + 1,
            }),
        }
    }

    /// Items until end of stream.
    pub fn iter(&mut self) -> Iter<'_, T> {
        Iter { queue: self }
    }
}

impl<T: Item> ReadyQueue<T> {
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
        let lot = self.lot_until(until)?;
        self.lent = lot.items;
        Ok(TakenBatch { queue: self, lot })
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
