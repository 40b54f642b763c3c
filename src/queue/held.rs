//! Types that describe items in hand. Plain values.

use super::memory::Mapped;
use crate::ring::seat::Seat;

/// Items in hand that are about to be shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct HeldSpan {
    pub(super) block: u32,
    /// The number of the first one in its block.
    pub(super) first: u32,
    /// How many there are from there on, at least 1.
    pub(super) items: u32,
    /// The bytes of an item.
    pub(super) len: usize,
    /// The number of deliveries, including this one.
    pub(super) deliveries: u32,
}

/// A seat put aside with items in hand.
#[derive(Debug)]
pub(super) struct Aside {
    pub(super) seat: Seat,
    /// It is given up when its items are settled.
    pub(super) adopted: bool,
    /// The number of items shown.
    pub(super) shown: u32,
    /// They were acknowledged and are still shown.
    pub(super) done: bool,
}

impl Aside {
    pub(super) fn acknowledge(&mut self, memory: &Mapped, items: u32) {
        if !self.done {
            self.seat.acknowledge(memory, items);
        }
    }
}
