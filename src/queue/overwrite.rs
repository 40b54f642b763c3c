//! A put that makes its own space. For rings where the newest matters when nobody reads. Callers: everybody.

use super::{Payload, ReadyQueue};
use crate::error::PutError;

impl<T: Payload + ?Sized> ReadyQueue<T> {
    /// Puts an item as into a lossy queue, whatever the queue is: on a full one it drops the oldest block in the same step, counted as `dropped`.
    ///
    /// # Errors
    /// As [`try_put`](Self::try_put), never `Full`.
    pub fn force_put(&mut self, item: &T) -> Result<(), PutError> {
        let bytes = item.bytes();
        self.may_fill(bytes.len())?;
        self.own_bytes_mut(bytes.len()).copy_from_slice(bytes);
        self.attempt_put(self.length_of_one(bytes.len()), true).map(|_| ())
    }
}
