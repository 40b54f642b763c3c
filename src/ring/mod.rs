//! The exchange ring: the protocol itself, without an operating system, files or time.
//!
//! Owns the meaning of slots, seats, blocks and the ready word. It is handed them through [`Memory`] and seat locks through [`Locks`]; so the same
//! code runs over a mapped segment and under loom. Invariants: slots and seats together hold each block exactly once; every operation is one exchange
//! (`exchange.rs`); a cursor never runs ahead of the stamps; a seat with `hold` never exchanges; every refusal leaves the seat at rest.

mod census;
mod cursor;
mod exchange;
mod gate;
#[cfg(all(test, loom))]
#[allow(unsafe_code)]
pub(crate) mod model;
mod put;
mod recover;
pub(crate) mod seat;
pub(crate) mod slot;
mod take;
#[cfg(all(test, not(loom)))]
mod tests;

pub(crate) use recover::Recovered;

use crate::layout::SeatLine;
use crate::sync::atomic::{AtomicU64, Ordering, pause};
use seat::Seat;
use slot::{BlockWord, Cursor, Shape};

/// The shared words. Indices are checked by the ring before they come here.
pub(crate) trait Memory {
    fn shape(&self) -> &Shape;
    /// `index < slots`
    fn slot(&self, index: u32) -> &AtomicU64;
    /// `index < seats`
    fn seat(&self, index: u32) -> &SeatLine;
    /// First header word of a block; `block < blocks`.
    fn block(&self, block: u32) -> &AtomicU64;
    /// Notes an item's length (in queues with batches: the number of items): in the second header word if the queue has one (then returns 0), else returns what
    /// the first word takes.
    fn set_length(&self, block: u32, length: u64) -> u16;
    /// The length noted (in queues with batches: the number of items); not yet checked.
    fn length(&self, block: u32, word: BlockWord) -> u64;
    /// Several blocks lie in one cache line, and this is the first of them.
    fn is_first_in_line(&self, block: u32) -> bool;
    /// The block was read and will be somebody else's to write: if it has cache lines of its own, has them fetched for writing. Changes nothing. The block is the caller's.
    fn claim_cache_lines(&self, block: u32);
    fn ready(&self) -> &AtomicU64;
    /// The state says that items may be put. One sequentially consistent load.
    fn started(&self) -> bool;
    fn orphans(&self) -> &AtomicU64;
    fn head(&self) -> &AtomicU64;
    fn tail(&self) -> &AtomicU64;
}

/// Seat locks. An error of the operating system counts as "not locked".
pub(crate) trait Locks {
    fn try_lock(&mut self, seat: u32) -> bool;
    fn unlock(&mut self, seat: u32);
    /// Somebody else has the lock. Takes none.
    fn is_locked(&mut self, seat: u32) -> bool;
}

/// Why an operation was given up. The seat is at rest and owns the block it owned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RingError {
    Full,
    Empty,
    NotReady,
    /// The state admits no put.
    Stopped,
    /// Stamps or epochs have come to their end.
    Exhausted,
    /// The shared words contradict each other.
    Corrupt(&'static str),
}

/// What a consumer found who wanted to end the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// It has ended.
    Ended,
    /// There is an item.
    Item,
    /// The ring is empty, but somebody has an item in hand that may come back.
    Held,
}

/// Where an endpoint stands. Never ahead of the stamps.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cursors {
    pub(crate) put: Cursor,
    pub(crate) get: Cursor,
    /// Cleared items thrown away since the caller last looked: slots that became free.
    pub(crate) discarded: u32,
}

/// The ring over its memory.
#[derive(Debug)]
pub(crate) struct Ring<M> {
    pub(crate) memory: M,
    pub(crate) at_least_once: bool,
    /// Most items in a block.
    pub(crate) batch: u32,
    /// One item in a block, whose length is in the header's first word: what nearly all queues are, so that the fast paths are compiled for it.
    pub(crate) single: bool,
    /// Pause instructions after a lost CAS, about a microsecond's worth.
    pub(crate) contention: u32,
}

impl<M: Memory> Ring<M> {
    /// Items in a block that carries some; the header is read if there can be more than one. A damaged header gives a number from 1 to `batch` too.
    #[inline(always)]
    pub(crate) fn items_in(&self, block: u32) -> u32 {
        if self.batch == 1 {
            return 1;
        }
        // Relaxed: the block is ours alone, or the figure decides nothing.
        let word = BlockWord(self.memory.block(block).load(Ordering::Relaxed));
        u32::from(word.length()).clamp(1, self.batch)
    }

    /// Somebody was faster: waits a little, for they will be there for the next slot too.
    #[cold]
    fn back_off(&self, seat: &mut Seat) {
        pause(self.contention);
        seat.retreat(&self.memory);
    }
}
