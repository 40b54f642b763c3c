//! THE FORMAT: what lies where in a segment. Format version 3.
//!
//! Owns the byte map, the fixed-width types that lie in shared memory, and [`Geometry`], the
//! checked arithmetic that turns five numbers into every offset. Every module may read these types.
//! Only `segment` turns bytes into them, and only `ring` gives the words a meaning.
//!
//! ```text
//!     0  Header          512 bytes, written once before the segment has a name, never again;
//!                        copied out and checked at attach
//!   512  Gate            ready word, orphans word, state: read by every operation, seldom written
//!   640  head hint       position word
//!   768  tail hint       position word
//!   896  items event     futex word: "items came"
//!  1024  space event     futex word: "space came"
//!  1152  gate event      futex word: "gate or state changed"
//!  1280  SeatLine        128 bytes for each seat
//!     .  slots           8 bytes each, or 16 with the copy of an item, dense; begins on a
//!                        multiple of 128
//!     .  blocks          block_size bytes each (capacity + seats of them); begins on a multiple
//!                        of max(64, item alignment)
//! ```
//!
//! All numbers are in the machine's own byte order, because a segment never leaves its machine.
//! Lines are 128 bytes apart: processors fetch cache lines in pairs, and some have lines of that
//! size.
//!
//! A slot is its word (see `ring::slot`). With the flag COPY_IN_SLOT a copy of the item follows it,
//! padded to 8 bytes. It means something while the slot is full. Only queues of a plain type of 1
//! to 8 bytes with `batch` = 1 have the flag.
//!
//! A block is a header and the payload. Word 0 of the header is, from the high bits down,
//! `epoch 40 | deliveries 8 | length 16`. In queues whose items may be longer than 65,535 bytes a
//! second word holds the length. In queues with batches (`batch` > 1, plain types only) the length
//! is the number of items in the block, 1 to `batch`.

use crate::sync::atomic::{AtomicU32, AtomicU64};
#[cfg(not(all(test, loom)))]
use crate::sync::pair::Pair;

/// `"PRODCON\0"`.
pub(crate) const MAGIC: u64 = u64::from_ne_bytes(*b"PRODCON\0");
/// Raised by every change of what this file describes.
pub(crate) const VERSION: u32 = 3;
/// The most seats that a queue can have.
pub(crate) const MAX_SEATS: u32 = 1023;
/// The most blocks (capacity + seats), so that stamps keep at least 44 bits.
pub(crate) const MAX_BLOCKS: u32 = 1 << 20;
/// The longest item whose length fits the first header word.
pub(crate) const MAX_SHORT: u64 = u16::MAX as u64;
/// The most items in a block. Their number stands where the length does otherwise.
pub(crate) const MAX_BATCH: u32 = u16::MAX as u32;
/// The largest alignment of items.
pub(crate) const MAX_ALIGN: u64 = 4096;
/// The longest type name.
pub(crate) const MAX_TYPE_NAME: usize = 128;
/// The longest queue name.
pub(crate) const MAX_NAME: usize = 200;

/// Header flags.
pub(crate) mod flags {
    pub(crate) const LOSSY: u32 = 1;
    pub(crate) const AT_LEAST_ONCE: u32 = 2;
    /// Made by a worker's controller or as an unnamed queue. It is stale once nobody is attached
    /// and the owner's lock is free.
    pub(crate) const OWNED: u32 = 4;
    /// Each slot has a copy of its item beside its word.
    pub(crate) const COPY_IN_SLOT: u32 = 8;
    pub(crate) const ALL: u32 = LOSSY | AT_LEAST_ONCE | OWNED | COPY_IN_SLOT;
}

/// The immutable part of a segment.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct RawHeader {
    pub(crate) magic: u64,
    pub(crate) version: u32,
    pub(crate) header_size: u32,
    pub(crate) total_size: u64,
    pub(crate) capacity: u32,
    pub(crate) seats: u32,
    pub(crate) item_size: u64,
    pub(crate) block_size: u64,
    pub(crate) slots_offset: u64,
    pub(crate) seats_offset: u64,
    pub(crate) blocks_offset: u64,
    pub(crate) item_align: u32,
    pub(crate) flags: u32,
    /// 0 for bytes, 1 for the named plain type.
    pub(crate) tag: u32,
    pub(crate) payload_offset: u32,
    pub(crate) type_name_len: u32,
    /// 0 means no limit.
    pub(crate) max_deliveries: u32,
    pub(crate) dead_letter_len: u32,
    pub(crate) creator_pid: u32,
    /// Nanoseconds since 1970.
    pub(crate) created: u64,
    pub(crate) type_name: [u8; MAX_TYPE_NAME],
    pub(crate) dead_letter: [u8; MAX_NAME],
    /// Most items in one block, at least 1.
    pub(crate) batch: u32,
    /// Bytes of a slot.
    pub(crate) slot_size: u32,
    /// Random. Tells this queue from every other one, also from one of the same name.
    pub(crate) queue_id: [u8; 16],
    /// Fingerprint of the item type's fields. 0 means that it is not compared.
    pub(crate) layout: u64,
    pub(crate) reserved: [u8; 32],
    /// FNV-1a of the bytes before it.
    pub(crate) checksum: u64,
}

// SAFETY: repr(C), only integers and arrays of bytes, without padding (the const assert below adds
// the sizes up): every bit pattern is a value.
unsafe impl bytemuck::Zeroable for RawHeader {}
// SAFETY: as above; Copy and 'static.
unsafe impl bytemuck::Pod for RawHeader {}

impl RawHeader {
    /// Returns the checksum that the header should carry.
    pub(crate) fn sum(&self) -> u64 {
        let bytes = bytemuck::bytes_of(self);
        bytes[..size_of::<Self>() - 8]
            .iter()
            .fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
                (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
            })
    }
}

/// The words that every operation reads. They share one line.
#[repr(C, align(128))]
#[derive(Debug)]
pub(crate) struct Gate {
    /// `epoch << 1 | ready`.
    pub(crate) ready: AtomicU64,
    /// Raised when a seat with an item in hand was left without an owner.
    pub(crate) orphans: AtomicU64,
    /// 1 stopped, 2 started, 3 stop at queue end.
    pub(crate) state: AtomicU32,
}

/// A word alone on its line.
#[repr(C, align(128))]
#[derive(Debug)]
pub(crate) struct Line64(pub(crate) AtomicU64);

/// An event word alone on its line.
#[repr(C, align(128))]
#[derive(Debug)]
pub(crate) struct Line32(pub(crate) AtomicU32);

/// All mutable words between the header and the seats.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Words {
    pub(crate) gate: Gate,
    pub(crate) head: Line64,
    pub(crate) tail: Line64,
    pub(crate) items: Line32,
    pub(crate) space: Line32,
    pub(crate) changed: Line32,
}

/// One seat. Only the holder of the seat's lock writes it.
#[repr(C, align(128))]
#[derive(Debug)]
pub(crate) struct SeatLine {
    /// See `ring::seat::Record`.
    pub(crate) record: AtomicU64,
    /// Position of the block in hand, written before the take.
    pub(crate) position: AtomicU64,
    /// Items acknowledged. The store IS the acknowledgement.
    pub(crate) got: AtomicU64,
    /// What `got` was before the block in hand was taken; written before the take.
    pub(crate) base: AtomicU64,
    /// Items in the block that is being put, written before the put (in queues with batches).
    pub(crate) outgoing: AtomicU64,
    /// By `ring::seat::Event`: put, dropped, cleared, lost. Each is `items << 2 | events mod 4`.
    pub(crate) counts: [AtomicU64; 4],
    /// Deliveries beyond the first, in items.
    pub(crate) redelivered: AtomicU64,
    /// Items moved to the dead-letter queue (each is counted as got too).
    pub(crate) dead_lettered: AtomicU64,
    /// Process id of the owner, for people. 0 means nobody.
    pub(crate) pid: AtomicU32,
    /// 0 is nobody, 1 a producer, 2 a consumer, 3 both.
    pub(crate) role: AtomicU32,
    /// 1 while the owner sleeps on an event word.
    pub(crate) asleep: AtomicU32,
    /// 1 while the block in hand waits in a worker's buffer and was not yet shown to anybody. Then
    /// a death does not raise the delivery count.
    pub(crate) buffered: AtomicU32,
    /// Positions at the tail that were passed without an item, at the end of a stream. It has the
    /// form of `counts`.
    pub(crate) skipped: AtomicU64,
    /// Reserved. The item in hand is not to be delivered again before this time.
    pub(crate) not_before: AtomicU64,
    /// When the work on what the owner has in hand began, in nanoseconds of CLOCK_MONOTONIC. Worker
    /// loops write it, in one of their seats. 0 means unknown.
    pub(crate) since: AtomicU64,
}

pub(crate) const HEADER_SIZE: usize = 512;
pub(crate) const WORDS_OFFSET: usize = HEADER_SIZE;
pub(crate) const SEATS_OFFSET: usize = 1280;
pub(crate) const SEAT_SIZE: usize = 128;
/// Of a slot that is a word alone.
pub(crate) const SLOT_SIZE: u64 = 8;
/// Of a slot with a copy of its item.
pub(crate) const PAIR_SIZE: u64 = 16;
/// Longest item of which a slot can have a copy.
pub(crate) const MAX_COPY: u64 = 8;

#[cfg(not(all(test, loom)))]
const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<RawHeader>() == HEADER_SIZE);
    assert!(offset_of!(RawHeader, total_size) == 16);
    assert!(offset_of!(RawHeader, capacity) == 24);
    assert!(offset_of!(RawHeader, item_size) == 32);
    assert!(offset_of!(RawHeader, block_size) == 40);
    assert!(offset_of!(RawHeader, slots_offset) == 48);
    assert!(offset_of!(RawHeader, item_align) == 72);
    assert!(offset_of!(RawHeader, created) == 104);
    assert!(offset_of!(RawHeader, type_name) == 112);
    assert!(offset_of!(RawHeader, dead_letter) == 240);
    assert!(offset_of!(RawHeader, batch) == 440);
    assert!(offset_of!(RawHeader, slot_size) == 444);
    assert!(offset_of!(RawHeader, queue_id) == 448);
    assert!(offset_of!(RawHeader, layout) == 464);
    assert!(offset_of!(RawHeader, reserved) == 472);
    assert!(offset_of!(RawHeader, checksum) == 504);
    assert!(offset_of!(Words, gate) == 0);
    assert!(
        offset_of!(Gate, ready) == 0
            && offset_of!(Gate, orphans) == 8
            && offset_of!(Gate, state) == 16
    );
    assert!(WORDS_OFFSET + offset_of!(Words, head) == 640);
    assert!(WORDS_OFFSET + offset_of!(Words, tail) == 768);
    assert!(WORDS_OFFSET + offset_of!(Words, items) == 896);
    assert!(WORDS_OFFSET + offset_of!(Words, space) == 1024);
    assert!(WORDS_OFFSET + offset_of!(Words, changed) == 1152);
    assert!(WORDS_OFFSET + size_of::<Words>() == SEATS_OFFSET);
    assert!(size_of::<SeatLine>() == SEAT_SIZE);
    assert!(size_of::<AtomicU64>() as u64 == SLOT_SIZE);
    assert!(size_of::<Pair>() as u64 == PAIR_SIZE && PAIR_SIZE == 2 * SLOT_SIZE);
    assert!(SEATS_OFFSET % align_of::<Pair>() == 0 && SEAT_SIZE % align_of::<Pair>() == 0);
    assert!(
        offset_of!(SeatLine, record) == 0
            && offset_of!(SeatLine, position) == 8
            && offset_of!(SeatLine, got) == 16
    );
    assert!(
        offset_of!(SeatLine, base) == 24
            && offset_of!(SeatLine, outgoing) == 32
            && offset_of!(SeatLine, counts) == 40
    );
    assert!(offset_of!(SeatLine, redelivered) == 72 && offset_of!(SeatLine, dead_lettered) == 80);
    assert!(
        offset_of!(SeatLine, pid) == 88
            && offset_of!(SeatLine, role) == 92
            && offset_of!(SeatLine, asleep) == 96
    );
    assert!(offset_of!(SeatLine, buffered) == 100 && offset_of!(SeatLine, skipped) == 104);
    assert!(offset_of!(SeatLine, not_before) == 112 && offset_of!(SeatLine, since) == 120);
};

/// Where everything lies, from five numbers. All fields are consistent with each other by
/// construction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Geometry {
    pub(crate) capacity: u32,
    pub(crate) seats: u32,
    /// The longest item, in bytes.
    pub(crate) item_size: u64,
    /// A power of two.
    pub(crate) item_align: u32,
    /// The most items in one block, at least 1.
    pub(crate) batch: u32,
    /// Bytes of a slot: [`SLOT_SIZE`] or [`PAIR_SIZE`].
    pub(crate) slot_size: u64,
    pub(crate) payload_offset: u64,
    pub(crate) block_size: u64,
    pub(crate) slots_offset: u64,
    pub(crate) blocks_offset: u64,
    pub(crate) total_size: u64,
}

impl Geometry {
    /// # Errors
    /// Returns a sentence that says which number is out of range and what the range is.
    pub(crate) fn new(
        capacity: u32,
        seats: u32,
        item_size: u64,
        item_align: u32,
        batch: u32,
    ) -> Result<Self, String> {
        if capacity == 0 {
            return Err("a capacity of 0 holds nothing: choose 1 or more".into());
        }
        if seats == 0 || seats > MAX_SEATS {
            return Err(format!("{seats} seats: choose 1 to {MAX_SEATS}"));
        }
        if capacity > MAX_BLOCKS - seats {
            return Err(format!(
                "capacity {capacity} and {seats} seats make more than {MAX_BLOCKS} blocks: choose a capacity of at most {}",
                MAX_BLOCKS - seats
            ));
        }
        if !item_align.is_power_of_two() || u64::from(item_align) > MAX_ALIGN {
            return Err(format!(
                "item alignment {item_align}: choose a power of two up to {MAX_ALIGN}"
            ));
        }
        if batch == 0 || batch > MAX_BATCH {
            return Err(format!("batches of {batch} items: choose 1 to {MAX_BATCH}"));
        }
        if batch > 1 && item_size == 0 {
            return Err("items without bytes cannot be put in batches".into());
        }
        let too_large = || too_large(capacity, item_size);
        let header: u64 = if item_size <= MAX_SHORT || batch > 1 {
            8
        } else {
            16
        };
        let align = u64::from(item_align);
        let payload_offset = header.next_multiple_of(align);
        let used = item_size
            .checked_mul(batch.into())
            .and_then(|payload| payload.checked_add(payload_offset))
            .ok_or_else(too_large)?;
        let unit = if used <= 16 {
            16
        } else if used <= 32 {
            32
        } else {
            64
        };
        let block_size = used
            .checked_next_multiple_of(unit.max(align))
            .ok_or_else(too_large)?;
        Self {
            capacity,
            seats,
            item_size,
            item_align,
            batch,
            slot_size: SLOT_SIZE,
            payload_offset,
            block_size,
            slots_offset: SEATS_OFFSET as u64 + u64::from(seats) * SEAT_SIZE as u64,
            blocks_offset: 0,
            total_size: 0,
        }
        .place_blocks()
    }

    /// The same with a copy of the item in each slot.
    ///
    /// # Errors
    /// A sentence that says which number is out of range and what the range is.
    pub(crate) fn with_copies(self) -> Result<Self, String> {
        if self.batch > 1 || self.item_size == 0 || self.item_size > MAX_COPY {
            return Err(format!(
                "copies of {} items of {} bytes in a slot: it holds one of 1 to {MAX_COPY} bytes",
                self.batch, self.item_size
            ));
        }
        Self {
            slot_size: PAIR_SIZE,
            ..self
        }
        .place_blocks()
    }

    /// Places the blocks behind the slots.
    fn place_blocks(mut self) -> Result<Self, String> {
        let slots_end = self.slots_offset + u64::from(self.capacity) * self.slot_size;
        self.blocks_offset = slots_end.next_multiple_of(u64::from(self.item_align).max(64));
        self.total_size = u64::from(self.capacity + self.seats)
            .checked_mul(self.block_size)
            .and_then(|all| all.checked_add(self.blocks_offset))
            .filter(|all| *all <= i64::MAX as u64 / 2)
            .ok_or_else(|| too_large(self.capacity, self.item_size))?;
        Ok(self)
    }

    /// True if each slot has a copy of its item.
    pub(crate) fn has_copies(&self) -> bool {
        self.slot_size == PAIR_SIZE
    }

    /// Returns whether an item's length needs the second header word.
    pub(crate) fn long(&self) -> bool {
        self.item_size > MAX_SHORT && self.batch == 1
    }

    /// Returns the room for items in a block, in bytes. `new` checked the product.
    pub(crate) fn payload_size(&self) -> u64 {
        self.item_size * u64::from(self.batch)
    }
}

fn too_large(capacity: u32, item_size: u64) -> String {
    format!(
        "{capacity} items of {item_size} bytes are more than a segment can hold: choose fewer or smaller ones"
    )
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn geometry_refuses_what_cannot_be() {
        assert!(Geometry::new(0, 1, 8, 8, 1).is_err());
        assert!(Geometry::new(1, 0, 8, 8, 1).is_err());
        assert!(Geometry::new(1, 1024, 8, 8, 1).is_err());
        assert!(Geometry::new(MAX_BLOCKS, 1, 8, 8, 1).is_err());
        assert!(Geometry::new(u32::MAX, 1023, 8, 8, 1).is_err());
        assert!(Geometry::new(1, 1, u64::MAX, 8, 1).is_err());
        assert!(Geometry::new(1 << 19, 1, 1 << 44, 8, 1).is_err());
        assert!(Geometry::new(1, 1, 8, 3, 1).is_err());
        assert!(Geometry::new(1, 1, 8, 8192, 1).is_err());
        assert!(Geometry::new(MAX_BLOCKS - 1023, 1023, 8, 8, 1).is_ok());
        assert!(Geometry::new(1, 1, 8, 8, 0).is_err());
        assert!(Geometry::new(1, 1, 8, 8, MAX_BATCH + 1).is_err());
        assert!(Geometry::new(1, 1, 0, 1, 2).is_err());
        assert!(Geometry::new(1, 1, u64::MAX / 4, 8, 8).is_err());
    }

    #[test]
    fn blocks_are_as_small_as_the_map_says() {
        for (size, align, block) in [
            (0, 1, 16),
            (8, 8, 16),
            (9, 1, 32),
            (24, 8, 32),
            (25, 8, 64),
            (56, 8, 64),
            (64, 8, 128),
            (65_535, 1, 65_600),
            (65_536, 1, 65_600),
            (64, 64, 128),
            (1, 4096, 8192),
        ] {
            let g = Geometry::new(3, 5, size, align, 1).unwrap();
            assert_eq!(
                g.block_size, block,
                "item of {size} bytes, alignment {align}"
            );
            assert_eq!(g.total_size, g.blocks_offset + 8 * block);
            assert_eq!(g.blocks_offset % u64::from(align), 0);
        }
        assert_eq!(Geometry::new(3, 5, 8, 8, 64).unwrap().block_size, 576);
        assert_eq!(Geometry::new(3, 5, 70_000, 8, 2).unwrap().payload_offset, 8);
    }
    #[test]
    fn a_slot_has_a_copy_of_one_item_of_at_most_eight_bytes() {
        for (size, align, batch, fits) in [
            (0, 1, 1, false),
            (1, 1, 1, true),
            (8, 8, 1, true),
            (8, 4096, 1, true),
            (9, 1, 1, false),
            (4, 4, 2, false),
        ] {
            let plain = Geometry::new(3, 5, size, align, batch).unwrap();
            let Ok(g) = plain.with_copies() else {
                assert!(!fits, "{size} bytes, alignment {align}, batch {batch}");
                continue;
            };
            assert!(fits, "{size} bytes, alignment {align}, batch {batch}");
            assert_eq!((g.slot_size, g.slots_offset % 128), (16, 0));
            assert!(g.blocks_offset >= g.slots_offset + 3 * 16);
            assert_eq!(g.total_size, g.blocks_offset + 8 * g.block_size);
            // All eight bytes of a copy can be read from the block.
            assert!(g.payload_offset % 8 == 0 && g.payload_offset + MAX_COPY <= g.block_size);
        }
    }
}
