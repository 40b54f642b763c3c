//! Words of the ring: slots, positions, the ready word, block headers. This module only packs and
//! unpacks them, and touches no memory.
//!
//! A slot is `stamp << B | block`. Its stamp runs `EMPTY(0) < FULL(0) < EMPTY(1) < FULL(1) < ...`
//! with `EMPTY(c) = 2c` and `FULL(c) = 2c + 1`. docs/design.md, section 2, explains them.

/// The numbers that give the words their fields.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// Slots, at least 1.
    pub(crate) slots: u32,
    /// Seats, at least 1.
    pub(crate) seats: u32,
    /// Blocks: slots + seats.
    pub(crate) blocks: u32,
    /// The same, as wide as a slot's word.
    wide_blocks: u64,
    /// The last stamp. An exchange never goes beyond it.
    pub(crate) last_stamp: u64,
    /// B: the number of bits of a block number.
    block_bits: u32,
    /// One stamp in a slot's word: `1 << B`.
    one: u64,
    /// Bits of a slot's index in a position word. Never more than B.
    index_bits: u32,
}

/// Returns the bits needed to write the numbers below `count`.
const fn bits(count: u32) -> u32 {
    u32::BITS - (count - 1).leading_zeros()
}

impl Shape {
    pub(crate) fn new(slots: u32, seats: u32) -> Self {
        Self {
            slots,
            seats,
            blocks: slots + seats,
            wide_blocks: u64::from(slots + seats),
            last_stamp: u64::MAX >> bits(slots + seats),
            block_bits: bits(slots + seats),
            one: 1 << bits(slots + seats),
            index_bits: bits(slots),
        }
    }

    #[inline(always)]
    pub(crate) fn slot(&self, raw: u64) -> Slot {
        Slot {
            raw,
            stamp: raw >> self.block_bits,
            block: (raw & ((1 << self.block_bits) - 1)) as u32,
        }
    }

    #[inline(always)]
    pub(crate) fn pack(&self, stamp: u64, block: u32) -> u64 {
        stamp << self.block_bits | u64::from(block)
    }

    /// Returns the slot that this word is, if it has the stamp EMPTY (or FULL) of this cycle and
    /// names a block that exists. One comparison says all of that.
    #[inline(always)]
    pub(crate) fn slot_of_cycle(&self, raw: u64, cycle: u64, full: bool) -> Option<Slot> {
        let stamp = 2 * cycle + u64::from(full);
        let block = raw.wrapping_sub(stamp << self.block_bits);
        (block < self.wide_blocks).then_some(Slot {
            raw,
            stamp,
            block: block as u32,
        })
    }

    /// Returns the word with a stamp that is `more` further on and with this block, or `None`
    /// beyond the last stamp.
    #[inline(always)]
    pub(crate) fn follow(&self, seen: Slot, more: u64, block: u32) -> Option<u64> {
        if seen.stamp + more > self.last_stamp {
            return None;
        }
        Some(seen.raw - u64::from(seen.block) + more * self.one + u64::from(block))
    }

    /// Returns the slot `by` places behind this one; `by <= slots`.
    #[inline(always)]
    pub(crate) fn ahead(&self, index: u32, by: u32) -> u32 {
        if index + by >= self.slots {
            index + by - self.slots
        } else {
            index + by
        }
    }

    /// Packs a position into one word. Words compare as positions do.
    #[inline(always)]
    pub(crate) fn position(&self, at: Cursor) -> u64 {
        at.cycle << self.index_bits | u64::from(at.index)
    }

    /// Unpacks the position in a word read from shared memory. `None` if no position is written so.
    #[inline(always)]
    pub(crate) fn cursor(&self, word: u64) -> Option<Cursor> {
        let at = Cursor {
            cycle: word >> self.index_bits,
            index: (word & ((1 << self.index_bits) - 1)) as u32,
        };
        (at.index < self.slots && at.cycle <= self.last_stamp / 2).then_some(at)
    }

    /// Returns the number of puts (or removals) before this position.
    pub(crate) fn count(&self, at: Cursor) -> u64 {
        at.cycle
            .wrapping_mul(u64::from(self.slots))
            .wrapping_add(u64::from(at.index))
    }
}

/// A slot's word, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) raw: u64,
    pub(crate) stamp: u64,
    pub(crate) block: u32,
}

impl Slot {
    #[inline(always)]
    pub(crate) fn is_full(self) -> bool {
        self.stamp & 1 == 1
    }
}

/// A position: cycle and index, so nobody divides. The order is that of the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Cursor {
    pub(crate) cycle: u64,
    pub(crate) index: u32,
}

impl Cursor {
    #[inline(always)]
    pub(crate) fn next(self, slots: u32) -> Self {
        if self.index + 1 == slots {
            self.first_of_next_cycle()
        } else {
            Self {
                cycle: self.cycle,
                index: self.index + 1,
            }
        }
    }

    /// Returns the position before this one. `None` at the very first.
    pub(crate) fn previous(self, slots: u32) -> Option<Self> {
        Some(match self.index {
            0 => Self {
                cycle: self.cycle.checked_sub(1)?,
                index: slots - 1,
            },
            index => Self {
                cycle: self.cycle,
                index: index - 1,
            },
        })
    }

    /// Moves from `at`, where it stands, to the next position: one store, where assigning `next`
    /// would be two.
    #[inline(always)]
    pub(crate) fn advance(&mut self, at: Self, slots: u32) {
        if at.index + 1 == slots {
            *self = at.first_of_next_cycle();
        } else {
            self.index = at.index + 1;
        }
    }

    /// A call, so that the usual case is a predicted branch and not a longer chain of operations.
    #[cold]
    fn first_of_next_cycle(self) -> Self {
        Self {
            cycle: self.cycle + 1,
            index: 0,
        }
    }
}

/// The ready word: `epoch << 1 | ready`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ready(pub(crate) u64);

/// The last epoch: 40 bits of a block's header.
pub(crate) const LAST_EPOCH: u64 = (1 << 40) - 1;

impl Ready {
    #[inline(always)]
    pub(crate) fn epoch(self) -> u64 {
        self.0 >> 1
    }

    #[inline(always)]
    pub(crate) fn is_ready(self) -> bool {
        self.0 & 1 == 1
    }
}

/// The first word of a block: `epoch 40 | deliveries 8 | length 16`. The length is 0 if a second
/// word holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlockWord(pub(crate) u64);

impl BlockWord {
    #[inline(always)]
    pub(crate) fn new(epoch: u64, deliveries: u8, length: u16) -> Self {
        Self(epoch << 24 | u64::from(deliveries) << 16 | u64::from(length))
    }

    #[inline(always)]
    pub(crate) fn epoch(self) -> u64 {
        self.0 >> 24
    }

    /// Returns the deliveries after the first.
    #[inline(always)]
    pub(crate) fn deliveries(self) -> u8 {
        (self.0 >> 16) as u8
    }

    #[inline(always)]
    pub(crate) fn length(self) -> u16 {
        self.0 as u16
    }

    /// Counts one delivery more, stopping at 255.
    pub(crate) fn delivered_again(self) -> Self {
        Self::new(
            self.epoch(),
            self.deliveries().saturating_add(1),
            self.length(),
        )
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn words_come_apart_as_they_were_put_together() {
        for (slots, seats) in [
            (1, 1),
            (1, 64),
            (2, 3),
            (1000, 24),
            (1024, 64),
            ((1 << 20) - 1023, 1023),
        ] {
            let shape = Shape::new(slots, seats);
            for stamp in [0, 1, 2, 12345, shape.last_stamp] {
                for block in [0, shape.blocks - 1] {
                    let slot = shape.slot(shape.pack(stamp, block));
                    assert_eq!((slot.stamp, slot.block), (stamp, block));
                    assert_eq!(
                        shape.slot_of_cycle(slot.raw, stamp / 2, stamp % 2 == 1),
                        Some(slot)
                    );
                    assert_eq!(
                        shape.slot_of_cycle(slot.raw, stamp / 2, stamp % 2 == 0),
                        None
                    );
                    assert_eq!(
                        shape.slot_of_cycle(slot.raw, stamp / 2 + 1, stamp % 2 == 1),
                        None
                    );
                    for more in [1, 2] {
                        let expected = (stamp + more <= shape.last_stamp)
                            .then(|| shape.pack(stamp + more, block));
                        assert_eq!(shape.follow(slot, more, block), expected);
                    }
                }
            }
            for at in [
                Cursor { cycle: 0, index: 0 },
                Cursor {
                    cycle: shape.last_stamp / 2,
                    index: slots - 1,
                },
            ] {
                assert_eq!(shape.cursor(shape.position(at)), Some(at));
            }
        }
        let word = BlockWord::new(LAST_EPOCH, 255, 65_535);
        assert_eq!(
            (word.epoch(), word.deliveries(), word.length()),
            (LAST_EPOCH, 255, 65_535)
        );
        assert_eq!(word.delivered_again(), word);
    }

    #[test]
    fn a_position_that_nobody_wrote_is_refused() {
        let shape = Shape::new(5, 2);
        assert_eq!(shape.cursor(7), None);
        assert_eq!(shape.cursor(u64::MAX), None);
    }
}
