//! The ring's memory over a mapped segment, and its locks over a lease. This is the only place
//! where a block's bytes are touched.
//!
//! Invariant: every pointer made here lies within the mapping, because the segment's geometry was
//! checked against the file and indices are checked before use.

use crate::layout::{SEAT_SIZE, SEATS_OFFSET, SeatLine, WORDS_OFFSET, Words};
use crate::ring::slot::{BlockWord, Shape};
use crate::ring::{Locks, Memory};
use crate::segment::Segment;
use crate::state::State;
use crate::sync::pair::Pair;
use crate::sys::lease::Lease;
use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

mod copy;
#[cfg(test)]
mod tests;

pub(super) use copy::{copy_in, copy_out};

/// Bytes of a cache line.
const LINE: usize = 64;
/// So many slots ahead lines are fetched: two lines.
const FETCH_AHEAD: u32 = 8;
/// The fewest slots with which lines are fetched ahead.
const FETCH_FROM: u32 = 64;

/// Panics unless an index or a length is within the segment.
#[inline(always)]
fn check(within: bool) {
    if !within {
        outside();
    }
}

/// Has no argument, not even the place that it is called from. With one the compiler, which
/// merges the calls of a function, keeps it at hand for each of them on the way of every operation.
#[cold]
#[inline(never)]
fn outside() -> ! {
    panic!("an index or a length is not within the segment");
}

/// Pointers into a segment that the owner of this value keeps mapped.
#[derive(Debug)]
pub(crate) struct Mapped {
    base: *mut u8,
    /// Slot 0.
    slots: NonNull<u8>,
    /// The binary logarithm of a slot's size.
    slot_shift: u32,
    /// Slots have copies: each is a [`Pair`].
    has_copies: bool,
    /// Block 0.
    blocks: *mut u8,
    /// Items' lengths are in the second header word.
    long: bool,
    /// As in the geometry, in bytes: the sizes of a block, of its header and of its payload.
    block_size: usize,
    payload_offset: usize,
    payload_size: usize,
    /// The number of blocks that lie in one cache line, less 1: a power of two less 1. `None` if a
    /// block has lines of its own.
    others_in_line: Option<u32>,
    /// The unit of a block's length: an item's bytes in queues with batches, else 1.
    unit: usize,
    /// The cache lines of blocks that were read are taken, see `claims`. Only the endpoint that
    /// owns this value changes it.
    claims: AtomicBool,
    shape: Shape,
}

// SAFETY: the pointers name shared memory that is accessed through atomics, and through blocks that
// one seat owns; the seat is in the same endpoint as this value and moves with it.
unsafe impl Send for Mapped {}
// SAFETY: through `&Mapped` safe code reaches shared words as atomics alone. A block's bytes are
// reached by `payload`, whose caller has to own the block's seat. An endpoint's seats are used by
// one thread at a time, and an `OwnedDelivery` only reads.
unsafe impl Sync for Mapped {}

impl Mapped {
    /// The caller keeps `segment` for as long as this value lives.
    pub(super) fn new(segment: &Segment) -> Self {
        let (base, geometry) = (segment.base(), segment.geometry);
        // SAFETY: by the geometry's arithmetic slots_offset <= total_size, and all total_size bytes
        // are mapped.
        let slots = unsafe { base.add(geometry.slots_offset as usize) };
        // SAFETY: it points into a mapping, which does not begin at address 0.
        let slots = unsafe { NonNull::new_unchecked(slots) };
        // SAFETY: as above, for blocks_offset.
        let blocks = unsafe { base.add(geometry.blocks_offset as usize) };
        let unit = if geometry.batch > 1 {
            geometry.item_size as usize
        } else {
            1
        };
        Self {
            base,
            slots,
            slot_shift: geometry.slot_size.trailing_zeros(),
            has_copies: geometry.has_copies(),
            blocks,
            long: geometry.long(),
            block_size: geometry.block_size as usize,
            payload_offset: geometry.payload_offset as usize,
            payload_size: geometry.payload_size() as usize,
            others_in_line: (geometry.block_size < LINE as u64)
                .then(|| (LINE as u64 / geometry.block_size) as u32 - 1),
            unit,
            claims: AtomicBool::new(true),
            shape: Shape::new(geometry.capacity, geometry.seats),
        }
    }

    #[inline(always)]
    pub(super) fn words(&self) -> &Words {
        // SAFETY: the header check made total_size >= SEATS_OFFSET = WORDS_OFFSET + size of Words,
        // all of which is mapped; the segment outlives self by the contract of `new`.
        let words = unsafe { self.base.add(WORDS_OFFSET) };
        // SAFETY: within the mapping (above), whose start is page-aligned, so that 512 behind it is
        // aligned to 128; all fields are atomics, for which every bit pattern is a value.
        unsafe { &*words.cast::<Words>() }
    }

    /// Returns the first byte of a block. All its block_size bytes are mapped.
    #[inline(always)]
    fn block_start(&self, block: u32) -> *mut u8 {
        check(block < self.shape.blocks);
        // SAFETY: block < blocks, and blocks_offset + blocks * block_size = total_size by the
        // geometry's arithmetic, all of which is mapped.
        unsafe { self.blocks.add(block as usize * self.block_size) }
    }

    /// Returns header word `number` (0, or 1 in queues that have a second one) of a block.
    #[inline(always)]
    fn header(&self, block: u32, number: usize) -> &AtomicU64 {
        // SAFETY: a block begins with its header: payload_offset >= 8, and >= 16 where there is a
        // second word; so the word is within the block, which is mapped.
        let word = unsafe { self.block_start(block).add(number * 8) };
        // SAFETY: blocks_offset and block_size are multiples of 16, so the word is 8-aligned; every
        // bit pattern is a u64, and others access it as an atomic too.
        unsafe { &*word.cast::<AtomicU64>() }
    }

    /// Returns `len` payload bytes of a block from `offset` on.
    ///
    /// # Safety
    /// The caller's seat owns `block`; for the life of the slice nobody else of this process makes
    /// an overlapping one of this block.
    #[inline(always)]
    pub(super) unsafe fn payload(&self, block: u32, offset: usize, len: usize) -> *mut [u8] {
        check(
            offset
                .checked_add(len)
                .is_some_and(|end| end <= self.payload_size),
        );
        // SAFETY: offset + len is within the block's payload (asserted), which ends within the
        // block by the geometry's arithmetic; the block is mapped.
        let start = unsafe { self.block_start(block).add(self.payload_offset + offset) };
        std::ptr::slice_from_raw_parts_mut(start, len)
    }

    /// Returns whether a block has cache lines of its own.
    pub(super) fn has_own_lines(&self) -> bool {
        self.others_in_line.is_none()
    }

    /// Takes the cache lines of blocks from now on, or leaves them.
    pub(super) fn set_claims(&self, claims: bool) {
        // Relaxed: read by the same thread.
        self.claims.store(claims, Ordering::Relaxed);
    }

    /// Writes back one word in each line that has something of the items.
    #[inline(never)]
    fn write_back(&self, block: u32) {
        // Relaxed, here and below: the block is the caller's, and what is there is not changed.
        let word = BlockWord(self.header(block, 0).load(Ordering::Relaxed));
        // A damaged length goes no further than the block.
        let end = self
            .unit
            .saturating_mul(self.length(block, word) as usize)
            .min(self.payload_size)
            + self.payload_offset;
        let start = self.block_start(block);
        for at in (0..end).step_by(LINE) {
            // SAFETY: at < payload_offset + payload_size <= block_size, and the block is mapped.
            let word = unsafe { start.add(at) };
            // SAFETY: a block's start and size are multiples of 16 and `at` is one of 64, so the
            // word is 8-aligned and ends within the block; every bit pattern is a u64. The block is
            // the caller's: nobody else reads or writes its payload, and the caller has no
            // reference to it now.
            let word = unsafe { &*word.cast::<AtomicU64>() };
            // Release: the first one is the header, and pairs with the Acquire load in
            // `Ring::put_slow`.
            word.store(word.load(Ordering::Relaxed), Ordering::Release);
        }
    }

    /// Copies payload bytes of a block that may be written meanwhile, from `offset` on. They may be
    /// torn, and count only if the block was in a slot all the time.
    pub(super) fn copy_racily(&self, block: u32, offset: usize, to: &mut [u8]) {
        assert!(
            offset
                .checked_add(to.len())
                .is_some_and(|end| end <= self.payload_size)
        );
        let start = self.payload_offset + offset;
        let mut at = start - start % 8; // of the word that has the first byte
        let mut skip = start - at;
        let mut to = to;
        while !to.is_empty() {
            // SAFETY: `at` is below the end of the payload, which is within the block, and the
            // block is mapped.
            let word = unsafe { self.block_start(block).add(at) };
            // SAFETY: a block's start and size are multiples of 16 and `at` is one of 8, so the
            // word is 8-aligned and ends within the block. Every bit pattern is a u64. The block
            // may be written meanwhile, by its owner and mostly by another process, with accesses
            // that are not atomic. One atomic load is one machine load, whatever is written;
            // nothing follows from its value unless the slot's word, looked at afterwards, proves
            // that nobody wrote.
            let word = unsafe { &*word.cast::<AtomicU64>() };
            // Relaxed: ordered by the acquire fence in `Ring::still`.
            let bytes = word.load(Ordering::Relaxed).to_ne_bytes();
            let count = to.len().min(8 - skip);
            let (now, rest) = to.split_at_mut(count);
            now.copy_from_slice(&bytes[skip..skip + count]);
            (to, at, skip) = (rest, at + 8, 0);
        }
    }

    /// Returns the stamp of the slot `ahead` places behind `index`, for a look that decides
    /// nothing.
    #[inline(always)]
    pub(super) fn peek(&self, index: u32, ahead: u32) -> u64 {
        // Relaxed: only chooses how long to pause.
        self.shape
            .slot(
                self.slot(self.shape.ahead(index, ahead))
                    .load(Ordering::Relaxed),
            )
            .stamp
    }
}

impl Memory for Mapped {
    #[inline(always)]
    fn shape(&self) -> &Shape {
        &self.shape
    }
    #[inline(always)]
    fn slot(&self, index: u32) -> &AtomicU64 {
        check(index < self.shape.slots);
        // SAFETY: index < capacity, so the slot lies before blocks_offset, and thus within the
        // mapping.
        let slot = unsafe { self.slots.add((index as usize) << self.slot_shift) };
        // SAFETY: slots_offset and a slot's size are multiples of 8; every bit pattern is a u64,
        // and others access it as an atomic too.
        unsafe { slot.cast::<AtomicU64>().as_ref() }
    }
    #[inline(always)]
    fn pair(&self, index: u32) -> Option<&Pair> {
        if !self.has_copies {
            return None;
        }
        check(index < self.shape.slots);
        // SAFETY: index < capacity, and slots have the size of a Pair, so this one lies before
        // blocks_offset, and thus within the mapping.
        let pair = unsafe { self.slots.cast::<Pair>().add(index as usize) };
        // SAFETY: slots_offset is a multiple of 128, and the mapping begins with a page, so the
        // pair is aligned; every bit pattern is one, and others access it as atomics too. A segment
        // with copies is made and opened only where `sync::pair::is_supported`, as `exchange`
        // demands.
        Some(unsafe { pair.as_ref() })
    }
    #[inline(always)]
    fn fetch_ahead(&self, index: u32) {
        // In a small ring that line is one that the other side works at.
        if self.shape.slots >= FETCH_FROM {
            if let Some(pair) = self.pair(self.shape.ahead(index, FETCH_AHEAD)) {
                pair.fetch();
            }
        }
    }
    #[inline(always)]
    fn copy_of(&self, block: u32) -> u64 {
        check(self.has_copies);
        // SAFETY: with copies an item has 1 to 8 bytes, and a block's size is a multiple of 16 and
        // of the alignment, so the block has at least 8 bytes from payload_offset on (a test in
        // layout.rs looks at it); the block is mapped.
        let item = unsafe { self.block_start(block).add(self.payload_offset) };
        // SAFETY: a block's start and its payload_offset are multiples of 8; every bit pattern is a
        // u64. The block is the caller's: nobody writes to its payload meanwhile.
        // Relaxed: the caller has written it.
        unsafe { &*item.cast::<AtomicU64>() }.load(Ordering::Relaxed)
    }
    #[inline(always)]
    fn seat(&self, index: u32) -> &SeatLine {
        check(index < self.shape.seats);
        // SAFETY: index < seats, so the line lies within the mapping, see Segment::seat; the
        // segment outlives self by the contract of `new`.
        let line = unsafe { self.base.add(SEATS_OFFSET + index as usize * SEAT_SIZE) };
        // SAFETY: aligned and valid for every bit pattern, see Segment::seat.
        unsafe { &*line.cast::<SeatLine>() }
    }
    #[inline(always)]
    fn block(&self, block: u32) -> &AtomicU64 {
        self.header(block, 0)
    }
    #[inline(always)]
    fn set_length(&self, block: u32, length: u64) -> u16 {
        if self.long {
            // Relaxed: the slot's CAS releases it.
            self.header(block, 1).store(length, Ordering::Relaxed);
            0
        } else {
            length as u16
        }
    }
    #[inline(always)]
    fn length(&self, block: u32, word: BlockWord) -> u64 {
        // Relaxed: the CAS that took the block acquired it.
        if self.long {
            self.header(block, 1).load(Ordering::Relaxed)
        } else {
            word.length().into()
        }
    }
    #[inline(always)]
    fn is_first_in_line(&self, block: u32) -> bool {
        self.others_in_line
            .is_some_and(|others| block & others == 0)
    }
    #[inline(always)]
    fn claim_cache_lines(&self, block: u32) {
        // Relaxed: written by the same thread.
        if self.others_in_line.is_none() && self.claims.load(Ordering::Relaxed) {
            self.write_back(block);
        }
    }
    #[inline(always)]
    fn ready(&self) -> &AtomicU64 {
        &self.words().gate.ready
    }
    #[inline(always)]
    fn started(&self) -> bool {
        self.words().gate.state.load(Ordering::SeqCst) == State::Started as u32
    }
    #[inline(always)]
    fn orphans(&self) -> &AtomicU64 {
        &self.words().gate.orphans
    }
    #[inline(always)]
    fn head(&self) -> &AtomicU64 {
        &self.words().head.0
    }
    #[inline(always)]
    fn tail(&self) -> &AtomicU64 {
        &self.words().tail.0
    }
}

/// Seat locks through a lease. A lock whose state the kernel refuses to tell counts as held by
/// somebody else, so the ring leaves the seat alone. The code that gave it these locks asks
/// afterwards.
pub(crate) struct Leases<'a> {
    lease: &'a Lease,
    failed: Option<io::Error>,
}

impl<'a> Leases<'a> {
    pub(crate) fn new(lease: &'a Lease) -> Self {
        Self {
            lease,
            failed: None,
        }
    }

    /// The first error.
    pub(crate) fn failed(self) -> io::Result<()> {
        self.failed.map_or(Ok(()), Err)
    }

    fn told(&mut self, answer: io::Result<bool>, otherwise: bool) -> bool {
        answer.unwrap_or_else(|error| {
            self.failed.get_or_insert(error);
            otherwise
        })
    }
}

impl Locks for Leases<'_> {
    fn try_lock(&mut self, seat: u32) -> bool {
        self.told(self.lease.try_lock(seat), false)
    }
    fn unlock(&mut self, seat: u32) {
        // An error means that the program closed our descriptor. The lock then goes with the
        // mapping.
        let _ = self.lease.unlock(seat);
    }
    fn is_locked(&mut self, seat: u32) -> bool {
        self.told(self.lease.is_locked(seat), true)
    }
}
