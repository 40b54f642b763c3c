//! Head and tail, read off the stamps. Exact when nobody is in mid-operation; never ahead of the truth at the time of return.
//!
//! The hints alone lag behind. Called by the queue room for `len` and accounts, and by walks whose cursor contradicts the stamps.

use super::slot::Cursor;
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

    /// Items in the ring, as [`len`](Self::len) counts blocks.
    pub(crate) fn items(&self) -> u64 {
        if self.batch == 1 {
            return self.len();
        }
        let full = (0..self.memory.shape().slots).filter_map(|index| self.look(index).ok().filter(|slot| slot.stamp & 1 == 1));
        full.map(|slot| u64::from(self.items_in(slot.block))).sum()
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
