//! The bytes of blocks that this endpoint's seats own.
//!
//! Invariant: a slice made here is of a block that a seat of this endpoint owns, and it borrows the
//! endpoint for as long as it lives.

use super::endpoint::Endpoint;
use super::held::HeldSpan;
use super::memory::copy_in;
use crate::ring::Memory;
use std::ptr::NonNull;

/// Returns the copy of an item for a slot: its bytes, padded with zeros. It has at most 8.
#[inline(always)]
fn padded(item: &[u8]) -> u64 {
    let mut bytes = [0; 8];
    bytes[..item.len()].copy_from_slice(item);
    u64::from_ne_bytes(bytes)
}

impl Endpoint {
    /// Panics in a forked child. A guard made before the fork shows memory that the child does not
    /// have, and a clear end is better than a fault.
    #[inline(always)]
    pub(super) fn assert_mapped(&self) {
        if self.control.forked() {
            self.control.panic_forked();
        }
    }

    /// Returns the first `len` bytes of the own block. `len` is checked against the block's size.
    #[inline(always)]
    pub(super) fn own_bytes_mut(&mut self, len: usize) -> &mut [u8] {
        self.assert_mapped();
        self.own_bytes_unforked(len)
    }

    /// Does the same as `own_bytes_mut`. The caller has checked that this is no forked child.
    #[inline(always)]
    pub(super) fn own_bytes_unforked(&mut self, len: usize) -> &mut [u8] {
        debug_assert!(!self.seat.hold);
        // SAFETY: the seat owns the block it holds, `payload` checks len, and the slice borrows
        // self exclusively.
        let bytes = unsafe { self.control.ring.memory.payload(self.seat.block, 0, len) };
        // SAFETY: the pointer is to len mapped bytes (see `payload`); by the permutation of blocks
        // nobody else has this block.
        unsafe { &mut *bytes }
    }

    /// Returns the payload of the own block, for a reservation. `len` is checked against the
    /// block's size.
    pub(super) fn own_payload(&mut self, len: usize) -> NonNull<[u8]> {
        NonNull::from(self.own_bytes_mut(len))
    }

    /// Puts an item in the usual case, where the ring is `single`: copies it into the own block and
    /// exchanges. Returns false if the item lies there and nothing else has happened. The caller
    /// has checked that this is no forked child and that the item fits.
    #[inline(always)]
    pub(super) fn put_fast(&mut self, item: &[u8]) -> bool {
        debug_assert!(!self.seat.hold);
        let ring = &self.control.ring;
        let header = ring.memory.block(self.seat.block);
        // SAFETY: the seat owns the block it holds, `payload` checks the length, and self, borrowed
        // exclusively, has no other slice of the block.
        let own = unsafe { ring.memory.payload(self.seat.block, 0, item.len()) };
        // SAFETY: the pointer is to item.len() mapped bytes (see `payload`); by the permutation of
        // blocks nobody else has this block.
        copy_in(item, unsafe { &mut *own });
        let (cursors, seat, len) = (&mut self.cursors, &mut self.seat, item.len() as u64);
        let pair = if item.len() <= size_of::<u64>() {
            ring.memory.pair(cursors.put.index)
        } else {
            None // and the slots have no copies
        };
        let put = ring.put_fast::<true>(cursors, seat, header, len, pair, || padded(item));
        if put {
            self.has_put();
        }
        put
    }

    /// Gets an item in the usual case, where the ring is `single`: exchanges, copies it by `copy`,
    /// and acknowledges it. `None` means that nothing has happened, except that a block may be in
    /// hand, which the slow path finds. So it is with an item that is longer than `max`.
    #[inline(always)]
    pub(super) fn get_fast<R>(
        &mut self,
        size: Option<usize>,
        max: usize,
        copy: impl FnOnce(&[u8]) -> R,
    ) -> Option<R> {
        if !self.may_take() {
            return None;
        }
        let (ring, item_size) = (&self.control.ring, self.control.item_size());
        let (cursors, seat) = (&mut self.cursors, &mut self.seat);
        let pair = if size.is_none_or(|size| size <= size_of::<u64>()) {
            ring.memory.pair(cursors.get.index)
        } else {
            None // and the slots have no copies
        };
        let got = if let Some(pair) = pair {
            // The queue is of a plain type, and every item has its size, whether the endpoint knows
            // the type or not.
            let len = size.unwrap_or(item_size);
            debug_assert!(len == item_size, "the attach has compared them");
            if len > max {
                return None;
            }
            ring.get_copy(cursors, seat, pair, |item| copy(&item.to_ne_bytes()[..len]))
        } else {
            ring.get_fast(cursors, seat, |word, block| {
                let len = usize::from(word.length());
                if len > max || !Self::is_length(size, len, item_size) {
                    return None;
                }
                // SAFETY: the take made the block this seat's, and `payload` checks the length.
                let bytes = unsafe { ring.memory.payload(block, 0, len) };
                // SAFETY: the pointer is to len mapped bytes; nobody writes to the block before
                // this closure returns.
                Some(copy(unsafe { &*bytes }))
            })
        };
        if got.is_some() {
            self.has_taken();
        } else {
            self.has_kept();
        }
        got
    }

    /// Settles what a get that did not succeed has left: it may still have claimed an item, or
    /// discarded one.
    #[cold]
    fn has_kept(&mut self) {
        self.has_discarded();
        if self.seat.hold {
            self.usual = false;
            self.has_taken();
        }
    }

    #[inline(always)]
    fn bytes_of(&self, block: u32, offset: usize, len: usize) -> &[u8] {
        self.assert_mapped();
        self.bytes_unforked(block, offset, len)
    }

    /// Does the same as `bytes_of`. The caller has checked that this is no forked child.
    #[inline(always)]
    fn bytes_unforked(&self, block: u32, offset: usize, len: usize) -> &[u8] {
        // SAFETY: callers pass the block of a seat that this endpoint holds, and `payload` checks
        // the bounds; self is borrowed as long as the slice.
        let bytes = unsafe { self.control.ring.memory.payload(block, offset, len) };
        // SAFETY: as in `own_bytes_mut`; only shared references to the block exist while self is
        // borrowed shared.
        unsafe { &*bytes }
    }

    /// Returns the bytes of item `number` of those in hand.
    #[inline(always)]
    pub(super) fn view_bytes(&self, lot: &HeldSpan, number: u32) -> &[u8] {
        self.bytes_of(lot.block, (lot.first + number) as usize * lot.len, lot.len)
    }

    /// Returns the bytes of all items in hand of one block.
    #[inline(always)]
    pub(super) fn view_all_bytes(&self, lot: &HeldSpan) -> &[u8] {
        self.bytes_of(
            lot.block,
            lot.first as usize * lot.len,
            lot.items as usize * lot.len,
        )
    }

    /// Returns the first item in hand, just after it was taken. This is no forked child.
    #[inline(always)]
    pub(super) fn read_bytes(&self, lot: &HeldSpan) -> &[u8] {
        self.bytes_unforked(lot.block, lot.first as usize * lot.len, lot.len)
    }

    /// Returns the bytes of item `number` of the block in hand, counted from its first.
    pub(super) fn item_bytes(&self, block: u32, number: u32, len: usize) -> &[u8] {
        self.bytes_of(block, number as usize * len, len)
    }
}
