//! Taking: one exchange, after which the block is the seat's. Also the end of a stream.
//!
//! [`Ring::take_fast`] and [`Ring::get_fast`] are the usual case, and [`Ring::take`] has all the
//! others. docs/design.md, section 4, has the rules.

use super::cursor::{Side, Walk};
use super::exchange::Exchanged;
use super::seat::{Event, Kind, Seat};
use super::slot::{self, BlockWord};
use super::{Cursors, Ending, Memory, Ring, RingError};
use crate::layout::SeatLine;
use crate::sync::atomic::{AtomicU64, Ordering, load_sc, store};
use crate::sync::pair::Pair;

impl<M: Memory> Ring<M> {
    /// Takes in the usual case: the cursor is right, there is an item, and nobody interferes.
    /// Returns the header and the block, which is the seat's now. `None` means that at most a
    /// cleared block was discarded; then [`take`](Self::take) goes on.
    #[inline(always)]
    pub(crate) fn take_fast<const SINGLE: bool>(
        &self,
        c: &mut Cursors,
        seat: &mut Seat,
    ) -> Option<(BlockWord, u32)> {
        debug_assert!(!SINGLE || self.single);
        let (_, word, block) = self.claim_front::<SINGLE>(c, seat, false)?;
        if !SINGLE && self.batch > 1 {
            seat.items = self.items_in(block);
        }
        if self.is_void(word) {
            self.discard_void(c, seat);
            return None;
        }
        Some((word, block))
    }

    /// Takes as `take_fast` does, copies the item at once, and acknowledges it. Until then the
    /// seat's record stays announced. To the others this is a longer exchange; here it saves a
    /// store. `copy` gets header and block, says whether the item can be copied, and copies it. If
    /// it cannot, the item stays in hand. `copy` must not panic, because the seat's private copy is
    /// not up to date meanwhile.
    #[inline(always)]
    pub(crate) fn get_fast<R>(
        &self,
        c: &mut Cursors,
        seat: &mut Seat,
        copy: impl FnOnce(BlockWord, u32) -> Option<R>,
    ) -> Option<R> {
        debug_assert!(self.single);
        let (line, word, block) = self.claim_front::<true>(c, seat, true)?;
        if !self.is_void(word) {
            if let Some(copied) = copy(word, block) {
                self.memory.claim_cache_lines(block);
                seat.acknowledge_open(line);
                return Some(copied);
            }
        }
        self.keep_claimed(c, seat, word);
        None
    }

    /// Finishes a get that was not usual: its item was cleared, or stays in hand.
    #[cold]
    fn keep_claimed(&self, c: &mut Cursors, seat: &mut Seat, word: BlockWord) {
        seat.keep(&self.memory);
        if self.is_void(word) {
            self.discard_void(c, seat);
        }
    }

    /// Gets as `get_fast` does, where slots have copies: `pair` is the slot at the cursor, and
    /// `read` gets the copy. The block is not touched.
    #[inline(always)]
    pub(crate) fn get_copy<R>(
        &self,
        c: &mut Cursors,
        seat: &mut Seat,
        pair: &Pair,
        read: impl FnOnce(u64) -> R,
    ) -> Option<R> {
        debug_assert!(self.single);
        let (at, look) = (c.get, || pair.copy());
        let Some((line, _, copy)) = self.claim::<true, _>(c, seat, true, &pair.word, look) else {
            c.get_run = 0;
            return None;
        };
        self.run_on(&mut c.get_run, at.index);
        if self.is_live_from(&mut c.trust, seat, at.cycle) {
            #[cfg(all(test, loom))]
            super::model::witness_copy(&self.memory, seat.block, copy);
            let read = read(copy);
            seat.acknowledge_open(line);
            return Some(read);
        }
        seat.keep(&self.memory);
        self.discard_void(c, seat);
        None
    }

    /// Does the exchange, which `take_fast` and `get_fast` have in common. Returns the seat's line,
    /// the header and the block. With `open` the record stays announced.
    #[inline(always)]
    fn claim_front<const SINGLE: bool>(
        &self,
        c: &mut Cursors,
        seat: &mut Seat,
        open: bool,
    ) -> Option<(&SeatLine, BlockWord, u32)> {
        let slot = self.memory.slot(c.get.index);
        let (line, block, ()) = self.claim::<SINGLE, _>(c, seat, open, slot, || ())?;
        let header = self.memory.block(block);
        // Relaxed, both: the block is ours alone; the CAS acquired what its putter wrote.
        let word = BlockWord(header.load(Ordering::Relaxed));
        if self.memory.is_first_in_line(block) {
            // Nothing changes, except that we get the cache line for ourselves. A line that a
            // consumer has only read stays with both processors, and the producer's next write to
            // it takes several times as long (docs/performance.md). Release: as every store of a
            // header, see `put_slow`.
            store(header, word.0, Ordering::Release);
        }
        Some((line, word, block))
    }

    /// Does the exchange alone, at `slot`, which is the one at the cursor. `look` is called between
    /// the look at the slot's word and the exchange. Returns the seat's line, the block and what
    /// `look` saw.
    #[inline(always)]
    fn claim<const SINGLE: bool, R>(
        &self,
        c: &mut Cursors,
        seat: &mut Seat,
        open: bool,
        slot: &AtomicU64,
        look: impl FnOnce() -> R,
    ) -> Option<(&SeatLine, u32, R)> {
        let (memory, shape, at, batches) = (
            &self.memory,
            self.memory.shape(),
            c.get,
            !SINGLE && self.batch > 1,
        );
        // Looked up once, before the ordered accesses: the compiler keeps nothing across those.
        let line = memory.seat(seat.index);
        debug_assert!(std::ptr::eq(slot, memory.slot(at.index)));
        let seen = shape.slot_of_cycle(load_sc(slot), at.cycle, true)?;
        let looked = look();
        if !matches!(
            self.exchange_at(
                line,
                slot,
                None,
                seat,
                at,
                seen,
                Kind::Take,
                0,
                batches,
                open
            ),
            Ok(Ok(()))
        ) {
            self.back_off(seat);
            return None;
        }
        c.get.advance(at, shape.slots);
        self.hint(memory.head(), c.get);
        Some((line, seen.block, looked))
    }

    /// Looks whether a take would find the ring empty. Returns false if it would not, or if a look
    /// at one slot does not tell.
    #[inline(always)]
    pub(crate) fn is_empty(&self, c: &Cursors) -> bool {
        let word = load_sc(self.memory.slot(c.get.index));
        let empty = self.memory.shape().slot_of_cycle(word, c.get.cycle, false);
        empty.is_some()
    }

    /// Handles a block that was taken and had been cleared.
    #[cold]
    fn discard_void(&self, c: &mut Cursors, seat: &mut Seat) {
        seat.settle(&self.memory, Event::Cleared);
        c.discarded += 1;
    }

    /// Takes the oldest block that was not cleared. It is `seat`'s then, and the seat holds its
    /// items. Cleared blocks on the way are discarded.
    #[inline]
    pub(crate) fn take(&self, c: &mut Cursors, seat: &mut Seat) -> Result<BlockWord, RingError> {
        let result = self.take_slow(c, seat);
        if result.is_err() {
            seat.retreat(&self.memory);
        }
        result
    }

    #[inline]
    fn take_slow(&self, c: &mut Cursors, seat: &mut Seat) -> Result<BlockWord, RingError> {
        let mut walk = Walk::new(Side::Get);
        let mut seen = self.look(c.get.index)?;
        loop {
            let oldest = self.oldest(c, &mut walk, seen)?;
            if !oldest.is_full() {
                return Err(RingError::Empty);
            }
            let at = c.get;
            match self.exchange(seat, at, oldest, Kind::Take, 0)? {
                Exchanged::Done => {
                    c.get = at.next(self.memory.shape().slots);
                    self.hint(self.memory.head(), c.get);
                    // Relaxed: the block is ours alone; the CAS acquired what its putter wrote.
                    let word = BlockWord(self.memory.block(seat.block).load(Ordering::Relaxed));
                    seat.items = self.items_in(seat.block);
                    if !self.is_void(word) {
                        return Ok(word);
                    }
                    self.discard_void(c, seat);
                    seen = self.look(c.get.index)?;
                }
                Exchanged::Lost(actual) => seen = actual,
            }
        }
    }

    /// Ends the stream if the ring is empty: passes the position at the tail, as a put and a get
    /// there would. The caller has seen before that the state is *stop at queue end*. `carry` says
    /// whether others have items in hand that may come back; it is asked after the look at the
    /// slot.
    ///
    /// A put loads the state after the word of its slot, and that word stands until its exchange.
    /// If the put looked after we passed, it saw this state or a later stream's. If its exchange
    /// came before, the ring was empty after it, so its item was taken. It cannot be in between:
    /// the position it saw was at or before the one we pass, so it would be behind the tail at its
    /// exchange.
    pub(crate) fn end(
        &self,
        c: &mut Cursors,
        seat: &mut Seat,
        carry: impl Fn(&Self) -> bool,
    ) -> Result<Ending, RingError> {
        let ending = self.end_slow(c, seat, carry);
        if ending != Ok(Ending::Ended) {
            seat.retreat(&self.memory);
        }
        ending
    }

    fn end_slow(
        &self,
        c: &mut Cursors,
        seat: &mut Seat,
        carry: impl Fn(&Self) -> bool,
    ) -> Result<Ending, RingError> {
        let mut walk = Walk::new(Side::Get);
        let mut seen = self.look(c.get.index)?;
        loop {
            let last = self.oldest(c, &mut walk, seen)?;
            if last.is_full() {
                return Ok(Ending::Item);
            }
            if carry(self) {
                return Ok(Ending::Held);
            }
            let at = c.get;
            match self.exchange(seat, at, last, Kind::Skip, 0)? {
                Exchanged::Done => {
                    c.get = at.next(self.memory.shape().slots);
                    // Both cursors: otherwise a producer would walk over all that was skipped.
                    self.hint(self.memory.head(), c.get);
                    self.hint(self.memory.tail(), c.get);
                    return Ok(Ending::Ended);
                }
                Exchanged::Lost(actual) => seen = actual,
            }
        }
    }

    /// Walks the get cursor from `seen`, which is what its slot holds, to the oldest block, or to
    /// the position of the next put if the ring is empty.
    #[inline(always)]
    pub(super) fn oldest(
        &self,
        c: &mut Cursors,
        walk: &mut Walk,
        mut seen: slot::Slot,
    ) -> Result<slot::Slot, RingError> {
        loop {
            let full = 2 * c.get.cycle + 1;
            if seen.stamp == full || seen.stamp + 1 == full {
                return Ok(seen);
            }
            seen = if seen.stamp < full {
                self.rescan(c, walk)?
            } else {
                let passed = super::slot::Cursor {
                    cycle: seen.stamp / 2 - 1,
                    index: c.get.index,
                };
                self.step(c, walk, seen.stamp, passed)?
            };
        }
    }
}
