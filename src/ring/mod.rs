//! The exchange ring: the protocol itself, without an operating system, files or time.
//!
//! ```text
//!   slots, one word each        blocks                  seats, one line each
//!   +----------------+
//!   | FULL(4)  | b2 -+------> [header | item ]
//!   +----------------+
//!   | EMPTY(4) | b0 -+------> [header |      ]
//!   +----------------+
//!                             [header | item ] <------- mine = b3   (a producer fills it)
//!                             [header | item ] <------- mine = b1   (a consumer reads it)
//! ```
//!
//! Slots and seats together hold each block exactly once. A put exchanges the seat's full block for
//! the empty block of a slot. A get exchanges the seat's block for a full one. Each is a single
//! compare-and-swap of the slot's word.
//!
//! Where items have at most eight bytes, a slot also has a copy of its item. A put exchanges both
//! at once, and a get that copies never touches the block (`trust.rs`).
//!
//! Two things differ from Vyukov's bounded queue (1024cores.net), whose stamps and cursors these
//! are. There, an operation claims a position and then works on its slot, so a death between the
//! two steps blocks the queue; here, the claim *is* the operation. And head and tail are only hints
//! here: the stamps are the whole truth.
//!
//! This module owns the meaning of slots, seats, blocks and the ready word. It is handed the words
//! through [`Memory`] and the seat locks through [`Locks`], so the same code runs over a mapped
//! segment and under loom. docs/design.md explains the protocol: sections 2 to 6 and 8.
//!
//! Invariants: every operation is one exchange (`exchange.rs`). A cursor never runs ahead of the
//! stamps. A seat with `hold` never exchanges. Every refusal leaves the seat at rest.

mod census;
mod cursor;
mod exchange;
mod gate;
#[cfg(all(test, loom))]
#[allow(unsafe_code)]
pub(crate) mod model;
mod observe;
mod put;
mod recover;
pub(crate) mod seat;
pub(crate) mod slot;
mod take;
#[cfg(all(test, not(loom)))]
mod tests;
mod trust;

pub(crate) use observe::End;
pub(crate) use recover::Recovered;

use crate::layout::SeatLine;
use crate::sync::atomic::{AtomicU64, Ordering, pause};
use crate::sync::pair::Pair;
use seat::Seat;
use slot::{BlockWord, Cursor, Shape};
use trust::Trust;

/// The shared words. The ring checks indices before it passes them here.
pub(crate) trait Memory {
    fn shape(&self) -> &Shape;
    /// `index < slots`
    fn slot(&self, index: u32) -> &AtomicU64;
    /// Returns a slot's word with the copy of its item, if this queue's slots have copies;
    /// `index < slots`.
    fn pair(&self, index: u32) -> Option<&Pair>;
    /// Fetches the line of a slot with a copy that will be exchanged some exchanges after that of
    /// slot `index`. Changes nothing.
    fn fetch_ahead(&self, index: u32);
    /// Returns the copy of the item in a block. The caller owns the block, and the slots have
    /// copies.
    fn copy_of(&self, block: u32) -> u64;
    /// `index < seats`
    fn seat(&self, index: u32) -> &SeatLine;
    /// Returns the first header word of a block; `block < blocks`.
    fn block(&self, block: u32) -> &AtomicU64;
    /// Notes an item's length (in queues with batches: the number of items). If the queue has a
    /// second header word the length goes there, and 0 is returned. Otherwise the value for the
    /// first word is returned.
    fn set_length(&self, block: u32, length: u64) -> u16;
    /// Returns the length noted (in queues with batches: the number of items). It is not checked
    /// yet.
    fn length(&self, block: u32, word: BlockWord) -> u64;
    /// Returns whether several blocks lie in one cache line and this is the first of them.
    fn is_first_in_line(&self, block: u32) -> bool;
    /// Fetches the cache lines of a block for writing, if the block has lines of its own, because
    /// another process will write them next. Changes nothing. The caller owns the block and has
    /// read it.
    fn claim_cache_lines(&self, block: u32);
    fn ready(&self) -> &AtomicU64;
    /// Returns whether the state admits puts. This is one sequentially consistent load.
    fn started(&self) -> bool;
    fn orphans(&self) -> &AtomicU64;
    fn head(&self) -> &AtomicU64;
    fn tail(&self) -> &AtomicU64;
}

/// Seat locks. After an error of the operating system `try_lock` answers false and `is_locked`
/// true, so that nothing is done; the implementation keeps the error for its caller.
pub(crate) trait Locks {
    fn try_lock(&mut self, seat: u32) -> bool;
    fn unlock(&mut self, seat: u32);
    /// Returns whether somebody else has the lock. Takes none.
    fn is_locked(&mut self, seat: u32) -> bool;
}

/// Why an operation was given up. The seat is at rest and owns the block it owned before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RingError {
    Full,
    Empty,
    NotReady,
    /// The state admits no put.
    Stopped,
    /// Stamps or epochs are used up.
    Exhausted,
    /// The shared words contradict each other.
    Corrupt(&'static str),
}

/// What a consumer found when it wanted to end the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// It has ended.
    Ended,
    /// There is an item.
    Item,
    /// The ring is empty, but somebody has an item in hand that may come back.
    Held,
}

/// Where an endpoint stands. It is never ahead of the stamps.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cursors {
    pub(crate) put: Cursor,
    pub(crate) get: Cursor,
    /// Cleared items discarded since the caller last looked. So many slots became free.
    pub(crate) discarded: u32,
    /// How often in a row it had a line of slots to itself: putting, and getting by copies.
    pub(crate) put_run: u32,
    pub(crate) get_run: u32,
    /// From where on a copy is delivered without a look at its item's header.
    pub(crate) trust: Trust,
}

/// The ring over its memory.
#[derive(Debug)]
pub(crate) struct Ring<M> {
    pub(crate) memory: M,
    pub(crate) at_least_once: bool,
    /// The most items in a block.
    pub(crate) batch: u32,
    /// A block has one item, whose length is in the header's first word. Nearly all queues are like
    /// this, so the fast paths are compiled for it.
    pub(crate) single: bool,
    /// Pause instructions after a lost CAS, about a microsecond's worth.
    pub(crate) contention: u32,
}

/// Slots with copies in a line.
const SLOTS_OF_LINE: u32 = 4;
/// After this many lines in a row whose slots were exchanged without interference, lines are
/// fetched ahead. An empty or full ring is an interference, and so is another endpoint on this
/// side.
const UNDISTURBED: u32 = 4;

impl<M: Memory> Ring<M> {
    /// Fetches a line of slots ahead, now and then, where nobody interferes: `run` counts that.
    /// Several endpoints on one side would take the lines from each other.
    #[inline(always)]
    fn run_on(&self, run: &mut u32, index: u32) {
        if index % SLOTS_OF_LINE == 0 {
            if *run < UNDISTURBED {
                *run += 1;
            } else {
                self.memory.fetch_ahead(index);
            }
        }
    }

    /// Returns the number of items in a block that carries some. The header is read if there can be
    /// more than one. A damaged header gives a number from 1 to `batch` too.
    #[inline(always)]
    pub(crate) fn items_in(&self, block: u32) -> u32 {
        if self.batch == 1 {
            return 1;
        }
        // Relaxed: the block is ours alone, or the figure decides nothing.
        let word = BlockWord(self.memory.block(block).load(Ordering::Relaxed));
        u32::from(word.length()).clamp(1, self.batch)
    }

    /// Lost the race. Backs off briefly, because the winner will contend for the next slot too.
    #[cold]
    fn back_off(&self, seat: &mut Seat) {
        pause(self.contention);
        seat.retreat(&self.memory);
    }
}
