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
}
