//! What describes items in hand. Plain values.

use super::memory::Mapped;
use crate::ring::seat::Seat;

/// Items in hand that are about to be shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct HeldSpan {
    pub(super) block: u32,
    /// Number of the first one in its block.
    pub(super) first: u32,
    /// How many there are from there on, at least 1.
    pub(super) items: u32,
    /// Bytes of an item.
    pub(super) len: usize,
    /// This time included.
    pub(super) deliveries: u32,
}

/// A seat put aside with items in hand.
#[derive(Debug)]
pub(super) struct Aside {
    pub(super) seat: Seat,
    /// To be given up when its items are settled.
    pub(super) adopted: bool,
    /// Items shown.
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
