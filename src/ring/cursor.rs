//! Head and tail, read from the stamps.
//!
//! Invariant: they are exact while no operation is under way, and never ahead of the truth when a
//! function returns. The hints alone lag behind.

use super::slot::{self, BlockWord, Cursor};
use super::{Cursors, Memory, Ring, RingError};
use crate::sync::atomic::{AtomicU64, Ordering, load_sc, store};

/// Which cursor a walk moves, and which hint helps it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Put,
    Get,
}

/// Bookkeeping of one walk along the slots.
pub(super) struct Walk {
    pub(super) side: Side,
    steps: u32,
    /// The cursor was taken from the stamps once. From then on hints are not trusted.
    rescanned: bool,
}

impl Walk {
    pub(super) fn new(side: Side) -> Self {
        Self {
            side,
            steps: 0,
            rescanned: false,
        }
    }
}

/// How often a look begins again because others were faster.
const LOOKS: u32 = 8;

const IMPOSSIBLE: RingError = RingError::Corrupt("a slot's stamp is older than any it can have");

impl<M: Memory> Ring<M> {
    /// Returns the position of the oldest item.
    pub(crate) fn head(&self) -> Cursor {
        self.find(Side::Get)
    }

    /// Returns the position of the next put.
    pub(crate) fn tail(&self) -> Cursor {
        self.find(Side::Put)
    }

    /// Returns the number of blocks in the ring, from 0 to the capacity. It includes cleared blocks
    /// that were not discarded yet.
    pub(crate) fn len(&self) -> u64 {
        let shape = self.memory.shape();
        let mut head = self.head();
        let mut tail = head;
        for _ in 0..8 {
            tail = self.tail();
            let again = self.head();
            if again == head {
                break;
            }
            head = again;
        }
        shape
            .count(tail)
            .saturating_sub(shape.count(head))
            .min(u64::from(shape.slots))
    }

    /// Returns the number of blocks in the ring that were not cleared. It is exact while nobody is
    /// in mid-operation.
    pub(crate) fn live(&self) -> u64 {
        let (all, head) = (self.len(), self.head());
        all - self.void_from(head, all)
    }

    /// Returns how many of the `all` blocks from `head` on were cleared.
    pub(super) fn void_from(&self, head: Cursor, all: u64) -> u64 {
        // Cleared blocks are always the oldest (see `put_slow`), so a binary search finds the first
        // live one.
        let (mut cleared, mut live) = (0, all);
        while cleared < live {
            let middle = if cleared == 0 && live == all {
                0
            } else {
                cleared.midpoint(live)
            };
            if self.is_live_at(head, middle) {
                live = middle
            } else {
                cleared = middle + 1
            }
        }
        live
    }

    /// Returns whether the block `by` places behind `head` was not cleared. `by` is less than the
    /// number of slots.
    fn is_live_at(&self, head: Cursor, by: u64) -> bool {
        let shape = self.memory.shape();
        self.look(shape.ahead(head.index, by as u32))
            .is_ok_and(|slot| self.is_live(slot.block))
    }

    fn is_live(&self, block: u32) -> bool {
        // Relaxed: a figure.
        !self.is_void(BlockWord(self.memory.block(block).load(Ordering::Relaxed)))
    }

    /// Returns whether there is a block to take that was not cleared. It sees what a take at this
    /// moment would see. Others that come and go meanwhile make it answer yes.
    pub(crate) fn has_item(&self) -> bool {
        for _ in 0..LOOKS {
            let at = self.head();
            let Ok(oldest) = self.look(at.index) else {
                return true; // damaged: the take says so
            };
            if oldest.stamp == 2 * at.cycle {
                return false;
            }
            if oldest.stamp == 2 * at.cycle + 1 {
                return !self.is_older(oldest.block) || self.live() > 0;
            }
        }
        true
    }

    /// Returns whether there is space for a block, or a cleared block to put in place of. It sees
    /// what a put at this moment would see. Others that come and go meanwhile make it answer yes.
    pub(crate) fn has_space(&self) -> bool {
        for _ in 0..LOOKS {
            let at = self.tail();
            let Ok(next) = self.look(at.index) else {
                return true; // damaged: the put says so
            };
            if next.stamp == 2 * at.cycle {
                return true;
            }
            let full = next.stamp + 1 == 2 * at.cycle;
            let void = full && self.is_older(next.block);
            // The header was the item's only if the slot still has its word.
            if full && self.look(at.index).is_ok_and(|again| again.raw == next.raw) {
                return void;
            }
        }
        true
    }

    /// Returns whether the block has a header from before the last clear.
    fn is_older(&self, block: u32) -> bool {
        // Acquire: pairs with the Release stores of headers, so that the gate is read after it.
        let word = BlockWord(self.memory.block(block).load(Ordering::Acquire));
        word.epoch() < self.gate().epoch()
    }

    /// Returns the number of items in the ring that were not cleared, counted as by
    /// [`live`](Self::live).
    pub(crate) fn live_items(&self) -> u64 {
        if self.batch == 1 {
            self.live()
        } else {
            self.sum(|block| self.is_live(block))
        }
    }

    /// Returns the number of items in the ring, counted as by [`len`](Self::len).
    pub(crate) fn items(&self) -> u64 {
        if self.batch == 1 {
            return self.len();
        }
        self.sum(|_| true)
    }

    /// Returns the number of items in the blocks that count.
    fn sum(&self, counts: impl Fn(u32) -> bool) -> u64 {
        let full = (0..self.memory.shape().slots)
            .filter_map(|index| self.look(index).ok().filter(|slot| slot.is_full()));
        full.filter(|slot| counts(slot.block))
            .map(|slot| u64::from(self.items_in(slot.block)))
            .sum()
    }

    /// Walks from the hint, or from the smallest stamp if the hint is of no use.
    fn find(&self, side: Side) -> Cursor {
        let shape = self.memory.shape();
        let word = match side {
            Side::Put => self.memory.tail(),
            Side::Get => self.memory.head(),
        };
        // Acquire: pairs with the Release store in `hint`.
        let Some(mut at) = shape.cursor(word.load(Ordering::Acquire)) else {
            return self.scan(side);
        };
        for step in 0..2 * u64::from(shape.slots) + 64 {
            let next = self.next_cycle(side, at.index);
            if next == at.cycle {
                return at;
            }
            if next < at.cycle {
                return if step == 0 { self.scan(side) } else { at };
            }
            at = Cursor {
                cycle: next - 1,
                index: at.index,
            }
            .next(shape.slots);
        }
        self.scan(side)
    }

    /// Returns the smallest position still to be done, over all slots.
    pub(super) fn scan(&self, side: Side) -> Cursor {
        (0..self.memory.shape().slots)
            .map(|index| Cursor {
                cycle: self.next_cycle(side, index),
                index,
            })
            .min()
            .unwrap_or_default()
    }

    /// Returns the cycle in which slot `index` is written (or read) next.
    fn next_cycle(&self, side: Side, index: u32) -> u64 {
        let stamp = self
            .memory
            .shape()
            .slot(load_sc(self.memory.slot(index)))
            .stamp;
        match side {
            Side::Put => stamp.div_ceil(2),
            Side::Get => stamp / 2,
        }
    }
}

impl<M: Memory> Ring<M> {
    /// Moves the cursor behind `passed`, the last position known to be done, or further if the hint
    /// knows more. Returns what is there.
    pub(super) fn step(
        &self,
        c: &mut Cursors,
        walk: &mut Walk,
        stamp: u64,
        passed: Cursor,
    ) -> Result<slot::Slot, RingError> {
        let shape = self.memory.shape();
        let (two_ahead, cursor, word) = match walk.side {
            Side::Put => (2 * c.put.cycle + 2, &mut c.put, self.memory.tail()),
            Side::Get => (2 * c.get.cycle + 3, &mut c.get, self.memory.head()),
        };
        *cursor = passed.next(shape.slots);
        walk.steps = walk.steps.wrapping_add(1);
        if !walk.rescanned && (stamp >= two_ahead || walk.steps % 8 == 0) {
            // Acquire: pairs with the Release store of the process that passed that position.
            // Relaxed gave a spurious Empty.
            if let Some(hint) = shape.cursor(word.load(Ordering::Acquire)) {
                *cursor = hint.max(*cursor);
            }
        }
        let index = cursor.index;
        self.look(index)
    }

    /// Handles a cursor that contradicts the stamps: the hint was damaged, or the stamps are.
    /// Starts from the stamps, once.
    #[cold]
    pub(super) fn rescan(&self, c: &mut Cursors, walk: &mut Walk) -> Result<slot::Slot, RingError> {
        if walk.rescanned {
            return Err(IMPOSSIBLE);
        }
        walk.rescanned = true;
        let cursor = match walk.side {
            Side::Put => &mut c.put,
            Side::Get => &mut c.get,
        };
        *cursor = self.scan(walk.side);
        let index = cursor.index;
        self.look(index)
    }

    /// Now and then writes the hint, for newcomers and laggards. `at` is a position that we have
    /// passed.
    #[inline(always)]
    pub(super) fn hint(&self, word: &AtomicU64, at: Cursor) {
        if at.index % 32 == 0 {
            // Release: pairs with the Acquire load in `step` and `walk`.
            store(word, self.memory.shape().position(at), Ordering::Release);
        }
    }
}
