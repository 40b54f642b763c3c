//! What bindings to languages without borrows need, and the tests. Outside semver: nobody else
//! should use it.
//!
//! A guard that is forgotten (`mem::forget`) leaves its item in hand until the endpoint's next put,
//! get or take settles it; until then it can be settled from here.

use super::wait::Until;
use super::{Payload, ReadyQueue};
use crate::error::{PutError, Result};
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};

pub use super::supervise::Supervision;

impl<T: Payload + ?Sized> ReadyQueue<T> {
    /// Returns whether the handle was made before a fork, and this is the child: it answers `Forked`
    /// to everything. One load.
    #[doc(hidden)]
    #[inline]
    pub fn is_forked(&self) -> bool {
        self.endpoint.control.segment.lease.forked()
    }

    /// Gives the item in hand back, as [`Delivery::nack`](super::Delivery::nack) does, if its guard was
    /// forgotten. Returns false if none was in hand. To acknowledge it: [`discard`](Self::discard).
    ///
    /// # Errors
    /// `AtMostOnce`: the item was counted as lost.
    #[doc(hidden)]
    pub fn give_back_forgotten(&mut self) -> Result<bool> {
        if self.endpoint.lent > 0 {
            self.endpoint.give_back()?;
            return Ok(true);
        }
        Ok(false)
    }

    /// Puts an item if nothing stands in the way. Returns false if nothing was put;
    /// [`try_put`](Self::try_put) says why, if it does not put it.
    #[doc(hidden)]
    #[inline(always)]
    pub fn put_at_once(&mut self, item: &T) -> bool {
        let bytes = item.bytes();
        self.endpoint.control.ring.single && self.endpoint.is_ready_to_fill(bytes.len(), T::SIZE.is_some()) && self.endpoint.put_fast(bytes)
    }

    /// Has the oldest item's bytes copied and acknowledges it, if nothing stands in the way and it
    /// has at most `max` bytes. `None`: nothing was copied; [`try_take`](Self::try_take) says why, or
    /// takes it. `copy` must not panic: its item would be counted as nothing.
    #[doc(hidden)]
    #[inline(always)]
    pub fn get_at_once<R>(&mut self, max: usize, copy: impl FnOnce(&[u8]) -> R) -> Option<R> {
        if self.endpoint.control.ring.single {
            self.endpoint.get_fast(T::SIZE, max, copy)
        } else {
            None
        }
    }

    /// Bytes of the longest item.
    #[doc(hidden)]
    pub fn item_size(&self) -> usize {
        self.endpoint.control.item_size()
    }
}

impl ReadyQueue<[u8]> {
    /// Puts the first `len` bytes of the own block, as a reservation that was forgotten left them.
    /// On failure they stay there.
    #[doc(hidden)]
    pub fn commit_forgotten(&mut self, len: usize, timeout: Option<std::time::Duration>) -> std::result::Result<(), PutError> {
        let until = timeout.map_or(Until::Forever, Until::within);
        let len = self.endpoint.length_of_one(len);
        self.endpoint.put_own_block(len, until)
    }
}

/// A name for a test's queue that no other process uses. The queue is removed when this is dropped,
/// also when the test fails.
#[derive(Debug)]
pub struct TestName(String);

impl TestName {
    /// Makes a name.
    pub fn new() -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        // Relaxed: the numbers only have to differ.
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        Self(format!("test-{}-{number}", std::process::id()))
    }
}

impl Default for TestName {
    fn default() -> Self {
        Self::new()
    }
}

impl Deref for TestName {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Drop for TestName {
    fn drop(&mut self) {
        let _ = super::unlink(&self.0); // it may never have been created
    }
}
