//! An item in hand without its guard, for bindings to languages that have no borrows.
//!
//! A guard that is forgotten (`mem::forget`) leaves its item in hand until the endpoint's next put, get or take settles it; until then it can be settled from here.
//! Callers: the C library.

use super::{Payload, ReadyQueue};
use crate::error::Fault;

impl<T: Payload + ?Sized> ReadyQueue<T> {
    /// The handle was made before a fork, and this is the child: it answers [`Fault::Forked`] to everything. One load.
    #[inline]
    pub fn is_forked(&self) -> bool {
        self.control.segment.lease.forked()
    }

    /// Gives the item in hand back, as [`Taken::nack`](super::Taken::nack) does, if its guard was forgotten. False: none was in hand. To acknowledge it: [`discard`](Self::discard).
    ///
    /// # Errors
    /// Under at-most-once the item is settled as lost, and a [`Fault`] says that nothing was given back.
    pub fn give_back_forgotten(&mut self) -> Result<bool, Fault> {
        if self.lent > 0 { self.give_back().map(|()| true) } else { Ok(false) }
    }

    /// Puts an item if nothing stands in the way. False: nothing was put; [`try_put`](Self::try_put) says why, if it does not put it.
    #[inline(always)]
    pub fn put_at_once(&mut self, item: &T) -> bool {
        let bytes = item.bytes();
        self.control.ring.single && self.is_ready_to_fill(bytes.len()) && self.put_usually(bytes)
    }

    /// Has the oldest item's bytes copied and acknowledges it, if nothing stands in the way and it has at most `max` bytes. `None`: nothing was copied; [`try_take`](Self::try_take) says why, or
    /// takes it. `copy` must not panic: its item would be counted as nothing.
    #[inline(always)]
    pub fn get_at_once<R>(&mut self, max: usize, copy: impl FnOnce(&[u8]) -> R) -> Option<R> {
        if self.control.ring.single { self.get_usually(max, copy) } else { None }
    }
}
