//! Head and tail, read off the stamps. Exact when nobody is in mid-operation; never ahead of the truth at the time of return.
//!
//! The hints alone lag behind.

use super::slot::{BlockWord, Cursor};
use super::{Memory, Ring, Side};
use crate::sync::atomic::{Ordering, load_sc};

impl<M: Memory> Ring<M> {
    /// Position of the oldest item.
    pub(crate) fn head(&self) -> Cursor {
        self.find(Side::Get)
    }

    /// Position of the next put.
    pub(crate) fn tail(&self) -> Cursor {
        self.find(Side::Put)
    }

    /// Blocks in the ring, cleared ones that were not yet thrown away included. 0 to the capacity.
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
        shape.count(tail).saturating_sub(shape.count(head)).min(u64::from(shape.slots))
    }

    /// Blocks in the ring that were not cleared. Exact when nobody is in mid-operation.
    pub(crate) fn live(&self) -> u64 {
        let (all, head) = (self.len(), self.head());
        // Cleared ones are always the oldest (see `put_announced`): halves the part in which the first live one is.
        let (mut cleared, mut live) = (0, all);
        while cleared < live {
            let middle = if cleared == 0 && live == all { 0 } else { cleared.midpoint(live) };
            if self.is_live_at(head, middle) { live = middle } else { cleared = middle + 1 }
        }
        all - live
    }

    /// The block so many places behind `head` was not cleared. `by` is less than the number of slots.
    fn is_live_at(&self, head: Cursor, by: u64) -> bool {
        let shape = self.memory.shape();
        self.look(shape.ahead(head.index, by as u32)).is_ok_and(|slot| self.is_live(slot.block))
    }

    fn is_live(&self, block: u32) -> bool {
        // Relaxed: a figure.
        !self.is_void(BlockWord(self.memory.block(block).load(Ordering::Relaxed)))
    }

    /// Items in the ring that were not cleared, as [`live`](Self::live) counts blocks.
    pub(crate) fn live_items(&self) -> u64 {
        if self.batch == 1 {
            self.live()
        } else {
            self.sum(|block| self.is_live(block))
        }
    }

    /// Items in the ring, as [`len`](Self::len) counts blocks.
    pub(crate) fn items(&self) -> u64 {
        if self.batch == 1 {
            return self.len();
        }
        self.sum(|_| true)
    }

    /// Items in the blocks that count.
    fn sum(&self, counts: impl Fn(u32) -> bool) -> u64 {
        let full = (0..self.memory.shape().slots).filter_map(|index| self.look(index).ok().filter(|slot| slot.is_full()));
        full.filter(|slot| counts(slot.block)).map(|slot| u64::from(self.items_in(slot.block))).sum()
    }

    /// Walks from the hint; from the smallest stamp if the hint is of no use.
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

    /// The smallest position still to be done, over all slots.
    pub(super) fn scan(&self, side: Side) -> Cursor {
        (0..self.memory.shape().slots)
            .map(|index| Cursor {
                cycle: self.next_cycle(side, index),
                index,
            })
            .min()
            .unwrap_or_default()
    }

    /// The cycle in which slot `index` is written (or read) next.
    fn next_cycle(&self, side: Side, index: u32) -> u64 {
        let stamp = self.memory.shape().slot(load_sc(self.memory.slot(index))).stamp;
        match side {
            Side::Put => stamp.div_ceil(2),
            Side::Get => stamp / 2,
        }
    }
}
