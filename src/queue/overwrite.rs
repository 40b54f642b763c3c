//! A put that makes its own space. For rings where the newest matters when nobody reads. Callers: everybody.

use super::{Payload, ReadyQueue, State};
use crate::error::PutError;
use crate::ring::Refusal;

impl<T: Payload + ?Sized> ReadyQueue<T> {
    /// Puts an item as into a lossy queue, whatever the queue is: on a full one it drops the oldest block in the same step, counted as `dropped`.
    ///
    /// # Errors
    /// As [`try_put`](Self::try_put), never `Full`.
    pub fn force_put(&mut self, item: &T) -> Result<(), PutError> {
        let bytes = item.bytes();
        self.may_fill(bytes.len())?;
        self.own_bytes_mut(bytes.len()).copy_from_slice(bytes);
        if self.control.state() != State::Started {
            return Err(PutError::Stopped);
        }
        let length = self.length_of_one(bytes.len()) as u64;
        match self.control.ring.put(&mut self.cursors, &mut self.seat, length, true) {
            Ok(()) => {
                self.has_put();
                Ok(())
            }
            Err(Refusal::NotReady) => Err(PutError::NotReady),
            Err(other) => Err(self.control.fault(other).into()),
        }
    }
}
