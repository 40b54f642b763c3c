//! Several items in hand at once.
//!
//! Invariant: a `Hand` borrows its endpoint exclusively; the blocks it shows belong to seats that the endpoint has put aside. Callers: everybody.

use super::get::Lot;
use super::wait::Until;
use super::{Payload, ReadyQueue};
use crate::error::{Fault, GetError};
use std::fmt;
use std::time::Duration;

/// Items in hand, in place, oldest first. Dropping it acknowledges all of them.
///
/// If the process dies, those not acknowledged are lost or delivered again, as the queue was created.
pub struct Hand<'a, T: Payload + ?Sized> {
    queue: &'a mut ReadyQueue<T>,
    /// One for each item shown: the block, and the item's number in it.
    items: Vec<Lot>,
    /// Acknowledged in place.
    done: bool,
    /// Not shown to anybody yet.
    buffering: bool,
}

impl<T: Payload + ?Sized> ReadyQueue<T> {
    /// Waits for an item and takes what is there in place, at most `max` items and [`in_hand`](Self::in_hand) blocks.
    ///
    /// # Errors
    /// As [`get`](Self::get), if there is not even one.
    pub fn take_many(&mut self, max: usize) -> Result<Hand<'_, T>, GetError> {
        self.take_many_until(max, Until::Forever, false)
    }

    /// As [`take_many`](Self::take_many), without waiting.
    ///
    /// # Errors
    /// As [`try_get`](Self::try_get).
    pub fn try_take_many(&mut self, max: usize) -> Result<Hand<'_, T>, GetError> {
        self.take_many_until(max, Until::Now, false)
    }

    /// As [`take_many`](Self::take_many), waiting for the first at most so long.
    ///
    /// # Errors
    /// As [`get_timeout`](Self::get_timeout).
    pub fn take_many_timeout(&mut self, max: usize, timeout: Duration) -> Result<Hand<'_, T>, GetError> {
        self.take_many_until(max, Until::after(timeout), false)
    }

    /// As [`take_many_timeout`](Self::take_many_timeout) of one item, which goes to a buffer: until
    /// [`Hand::show`] is called what is in it was not delivered, whatever happens to this process. What
    /// was delivered before is never added to it: [`Hand::take_more`] returns 0 if that is to come next.
    #[doc(hidden)]
    pub fn take_buffered(&mut self, timeout: Duration) -> Result<Hand<'_, T>, GetError> {
        self.take_many_until(1, Until::after(timeout), true)
    }

    fn take_many_until(&mut self, max: usize, until: Until, buffering: bool) -> Result<Hand<'_, T>, GetError> {
        self.control.readable()?;
        self.settle_forgotten();
        self.refill();
        if buffering {
            self.buffer_what_comes();
        }
        let mut hand = Hand {
            queue: self,
            items: vec![],
            done: false,
            buffering,
        };
        if max > 0 {
            hand.grow(max, until)?;
        }
        Ok(hand)
    }
}

impl<T: Payload + ?Sized> Hand<'_, T> {
    /// Items in hand.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// None is in hand.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Item `index`, counted from the oldest.
    pub fn get(&self, index: usize) -> Option<&T> {
        self.items.get(index).map(|item| self.queue.view(item, 0))
    }

    /// The items, oldest first.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &T> {
        self.items.iter().map(|item| self.queue.view(item, 0))
    }

    /// How often item `index` has been delivered, this time included; stops at 256. 0: there is no such item.
    pub fn deliveries(&self, index: usize) -> u32 {
        self.items.get(index).map_or(0, |item| item.deliveries)
    }

    /// Waits until at least one more item is in hand and takes what is there, until `max` are in hand. `timeout`: `None` waits as long as it takes; zero does not wait.
    /// Returns how many came; 0 without waiting if no more can be in hand, or after [`ack_in_place`](Self::ack_in_place).
    ///
    /// # Errors
    /// As [`ReadyQueue::get`]; `Stopped` at the end of the queue although others still have items in hand. What is in hand stays there.
    pub fn take_more(&mut self, max: usize, timeout: Option<Duration>) -> Result<usize, GetError> {
        if self.len() >= max || self.done {
            return Ok(0);
        }
        self.grow(
            max,
            match timeout {
                None => Until::Forever,
                Some(Duration::ZERO) => Until::Now,
                Some(timeout) => Until::after(timeout),
            },
        )
    }

    fn grow(&mut self, max: usize, until: Until) -> Result<usize, GetError> {
        let before = self.len();
        if let Some(last) = self.items.last().copied() {
            let more = self.queue.show_more(max - before);
            self.items.extend((1..=more).map(|number| Lot {
                first: last.first + number,
                ..last
            }));
        }
        while self.len() < max && self.queue.can_set_aside() {
            self.queue.growing = true; // what is put aside is in hand, not forgotten
            self.queue.buffering = self.buffering;
            let taken = self.queue.lot_until(if self.len() == before { until } else { Until::Now });
            (self.queue.growing, self.queue.buffering) = (false, false);
            let awaited = std::mem::take(&mut self.queue.awaited);
            let lot = match taken {
                Ok(()) => self.queue.shown,
                Err(GetError::TimedOut) if awaited => break,
                Err(error) if self.len() == before => return Err(error),
                Err(_) => break, // it will be told again by the next call
            };
            let shown = (lot.items as usize).min(max - self.len()) as u32;
            self.items.extend((0..shown).map(|number| Lot {
                first: lot.first + number,
                items: 1,
                ..lot
            }));
            self.queue.set_aside(shown);
        }
        Ok(self.len() - before)
    }

    /// Ends the filling of a buffer: from now on what is in hand counts as delivered.
    #[doc(hidden)]
    pub fn show(&mut self) {
        if std::mem::take(&mut self.buffering) && !self.queue.control.segment.lease.forked() {
            self.queue.show_buffered();
        }
    }

    /// Acknowledges all.
    pub fn ack(self) {}

    /// Acknowledges all, and goes on showing them: from now on nobody else gets them, whatever happens to this process.
    pub fn ack_in_place(&mut self) {
        if !self.queue.control.segment.lease.forked() {
            self.done = true;
            self.queue.acknowledge_in_place();
        }
    }

    /// Acknowledges the `count` oldest, which are shown no more; the others stay in hand.
    pub fn ack_first(&mut self, count: usize) {
        let count = count.min(self.len());
        self.items.drain(..count);
        if !self.queue.control.segment.lease.forked() {
            self.queue.acknowledge_shown(count);
        }
    }

    /// Gives all back, for other consumers or for this endpoint's next get (at-least-once).
    ///
    /// # Errors
    /// Under at-most-once the items not yet acknowledged are settled as lost, and a [`Fault`] says that nothing was given back.
    pub fn nack(mut self) -> Result<(), Fault> {
        self.queue.control.readable()?;
        self.items.clear();
        self.queue.give_all_back();
        if self.queue.control.ring.at_least_once {
            Ok(())
        } else {
            Err(self.queue.nothing_given_back())
        }
    }
}

impl<T: Payload + ?Sized> fmt::Debug for Hand<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hand")
            .field("queue", &self.queue.name())
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

impl<T: Payload + ?Sized> Drop for Hand<'_, T> {
    fn drop(&mut self) {
        self.ack_first(usize::MAX);
    }
}
