//! Looking at an item that lies in a slot, without taking it and without a seat.
//!
//! This is a sequence lock, and the slot's word is its sequence. A block that lies in a slot is
//! never written, and a slot's word never comes back. So what was copied from a block is the item
//! of that slot, if the word is the same before and after the copy. docs/design.md, section 4,
//! explains the orderings.

use super::slot::{BlockWord, Cursor, Slot};
use super::{Memory, Ring, RingError};
use crate::sync::atomic::{Ordering, fence};

/// How often an observer tries. It gives up under traffic that is faster than its copy.
const ATTEMPTS: u32 = 64;

/// Which item is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Oldest,
    Newest,
}

impl<M: Memory> Ring<M> {
    /// Copies the oldest or the newest item by `copy`, which gets the block's header and the block.
    /// What it reads may be torn, so it must trust nothing there; its answer counts only if the
    /// slot has not changed meanwhile. `None` means that there is no item, or that others were
    /// faster each time. Changes nothing.
    pub(crate) fn observe<R>(
        &self,
        end: End,
        mut copy: impl FnMut(BlockWord, u32) -> R,
    ) -> Result<Option<(Cursor, R)>, RingError> {
        let mut before = None;
        for _ in 0..ATTEMPTS {
            let Some(at) = self.candidate(end) else {
                return Ok(None);
            };
            let seen = self.look(at.index)?;
            if seen.stamp != 2 * at.cycle + 1 {
                // Taken, or not put yet. There is no item, unless the position has moved.
                if before.replace(at) == Some(at) {
                    return Ok(None);
                }
                continue;
            }
            // Relaxed: the look has acquired what the putter wrote. In the block's next life it
            // does not count.
            let word = BlockWord(self.memory.block(seen.block).load(Ordering::Relaxed));
            let copied = copy(word, seen.block);
            if !self.still(at, seen) {
                continue;
            }
            if !self.is_void(word) {
                return Ok(Some((at, copied)));
            }
            if end == End::Newest {
                return Ok(None); // cleared items are always the oldest, so there is no live one
            }
        }
        Ok(None)
    }

    /// Returns where the item should be.
    fn candidate(&self, end: End) -> Option<Cursor> {
        let shape = self.memory.shape();
        match end {
            End::Newest => self.tail().previous(shape.slots),
            End::Oldest => {
                let head = self.head();
                let void = self.void_from(head, self.len()) as u32;
                Some(Cursor {
                    cycle: head.cycle + u64::from(head.index + void >= shape.slots),
                    index: shape.ahead(head.index, void),
                })
            }
        }
    }

    /// Returns whether the slot still has the word seen, so that its block was not written.
    fn still(&self, at: Cursor, seen: Slot) -> bool {
        // Acquire: pairs with the release fence between an exchange and the first write to the
        // block received. If a load before this fence saw that write, the load after it sees the
        // exchange.
        fence(Ordering::Acquire);
        // Relaxed: ordered by the fence.
        self.memory.slot(at.index).load(Ordering::Relaxed) == seen.raw
    }
}
