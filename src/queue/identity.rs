//! The ids of queues and items, which distinguish one item from every other one.
//!
//! Invariant: an item's id is its queue's random bytes, the position of its put and its index in
//! the block. So it stays the same when the item is delivered again.

use super::endpoint::Endpoint;
use crate::ring::Memory;
use crate::segment::QueueId;
use std::fmt;
use std::sync::atomic::Ordering;

/// Identifies an item, at each of its deliveries, and wherever it is copied to.
///
/// ```
/// # use prodcon::{QueueOptions, ReadyQueue};
/// # let name = prodcon::bindings::TestName::new();
/// let mut jobs = ReadyQueue::<u64>::create(&name, &QueueOptions::new(16))?;
/// jobs.put(&1)?;
/// let id = jobs.take()?.id();
/// assert_eq!((id.queue, id.sequence, id.index), (jobs.control().id(), 0, 0));
/// assert!(id.to_string().ends_with("-0.0"));
/// # Ok::<(), prodcon::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct ItemId {
    /// The queue that it was put into. A dead letter is an item of the dead-letter queue.
    pub queue: QueueId,
    /// The position of the put: blocks put before it, skipped positions included.
    pub sequence: u64,
    /// Its place in the block; 0 in queues without batches.
    pub index: u32,
}

impl fmt::Display for ItemId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}.{}", self.queue, self.sequence, self.index)
    }
}

impl Endpoint {
    /// The id of item `index` of the block in hand.
    pub(super) fn id_in_hand(&self, index: u32) -> ItemId {
        ItemId {
            queue: self.control.id(),
            sequence: self.sequence_in_hand(),
            index,
        }
    }

    /// Returns the position of the block in hand as a number. It was written before the take, and
    /// stays in the seat for as long as the seat holds the block, even if another endpoint holds
    /// the seat.
    pub(super) fn sequence_in_hand(&self) -> u64 {
        self.assert_mapped();
        let seat = self.adopted.as_ref().unwrap_or(&self.seat).index;
        let memory = &self.control.ring.memory;
        // Relaxed: the seat is ours, and nobody else writes to its line.
        let position = memory.seat(seat).position.load(Ordering::Relaxed);
        memory
            .shape()
            .cursor(position)
            .map_or(u64::MAX, |at| memory.shape().count(at))
    }
}
