//! Putting: one exchange of the own block, which has the item, for the block in a free slot.
//!
//! [`Ring::put_fast`] is the usual case, and [`Ring::put`] has all the others. docs/design.md,
//! section 4, has the rules.

use super::cursor::{Side, Walk};
use super::exchange::{Copies, Exchanged};
use super::seat::{Kind, Seat};
use super::slot::{BlockWord, Cursor, Ready};
use super::{Cursors, Memory, Ring, RingError};
use crate::sync::atomic::{AtomicU64, Ordering, load_sc, store};
use crate::sync::pair::Pair;

impl<M: Memory> Ring<M> {
    /// Puts in the usual case: the cursor is right, the slot is free, and nobody interferes.
    /// `header` is that of the seat's block. Where slots have copies, `pair` is the slot at the
    /// cursor, and `copy` gives the copy of the item in the block. Returns false if nothing has
    /// happened; then [`put`](Self::put) finds out why.
    #[inline(always)]
    pub(crate) fn put_fast<const SINGLE: bool>(
        &self,
        c: &mut Cursors,
        seat: &mut Seat,
        header: &AtomicU64,
        length: u64,
        pair: Option<&Pair>,
        copy: impl FnOnce() -> u64,
    ) -> bool {
        // Decided here, and what follows is compiled for each of the two.
        match pair {
            Some(pair) => {
                let copy = Some((pair, copy()));
                self.put_at::<SINGLE>(c, seat, header, length, &pair.word, copy)
            }
            None => {
                let slot = self.memory.slot(c.put.index);
                self.put_at::<SINGLE>(c, seat, header, length, slot, None)
            }
        }
    }

    /// Does what `put_fast` does, with the slot at hand, and what its copy will be.
    #[inline(always)]
    fn put_at<const SINGLE: bool>(
        &self,
        c: &mut Cursors,
        seat: &mut Seat,
        header: &AtomicU64,
        length: u64,
        slot: &AtomicU64,
        copy: Option<(&Pair, u64)>,
    ) -> bool {
        debug_assert!(!SINGLE || self.single);
        let (memory, shape, at, batches) = (
            &self.memory,
            self.memory.shape(),
            c.put,
            !SINGLE && self.batch > 1,
        );
        debug_assert!(std::ptr::eq(slot, memory.slot(at.index)));
        // Looked up once, before the ordered accesses: the compiler keeps nothing across those.
        let (line, ready) = (memory.seat(seat.index), memory.ready());
        let short = if SINGLE {
            length as u16
        } else {
            memory.set_length(seat.block, length)
        };
        let Some(seen) = shape.slot_of_cycle(load_sc(slot), at.cycle, false) else {
            c.put_run = 0;
            return false;
        };
        // Loaded after the slot's word. Acquire and Release are explained in `put_slow`.
        let gate = Ready(ready.load(Ordering::Acquire));
        if !memory.started() || !gate.is_ready() {
            return false;
        }
        store(
            header,
            BlockWord::new(gate.epoch(), 0, short).0,
            Ordering::Release,
        );
        let items = if batches { length as u32 } else { 1 };
        let copies = copy.map(|(pair, new)| Copies::look(pair, new));
        if !matches!(
            self.exchange_at(
                line,
                slot,
                copies,
                seat,
                at,
                seen,
                Kind::Put,
                items,
                batches,
                false
            ),
            Ok(Ok(()))
        ) {
            self.back_off(seat);
            c.put_run = 0;
            return false;
        }
        if copies.is_some() {
            self.run_on(&mut c.put_run, at.index);
        }
        c.put.advance(at, shape.slots);
        self.hint(memory.tail(), c.put);
        true
    }

    /// Looks whether a put would be refused because the ring is full. Returns false if it would not
    /// be, or if a look at one slot does not tell.
    #[inline(always)]
    pub(crate) fn is_full(&self, c: &Cursors) -> bool {
        let (memory, at) = (&self.memory, c.put);
        let slot = memory.slot(at.index);
        let word = load_sc(slot);
        let Some(seen) = at
            .cycle
            .checked_sub(1)
            .and_then(|cycle| memory.shape().slot_of_cycle(word, cycle, true))
        else {
            return false;
        };
        // In the order of `put_slow`, where each look is explained.
        let old = BlockWord(memory.block(seen.block).load(Ordering::Acquire)).epoch();
        let started = memory.started();
        let gate = Ready(memory.ready().load(Ordering::Acquire));
        started && gate.is_ready() && old == gate.epoch() && load_sc(slot) == word
    }

    /// Puts the item in `seat`'s block, if the state and the gate admit it. `length` is in bytes,
    /// or in items in queues with batches. With `lossy`, a put on a full ring drops the oldest
    /// block in the same step.
    #[inline]
    pub(crate) fn put(
        &self,
        c: &mut Cursors,
        seat: &mut Seat,
        length: u64,
        lossy: bool,
    ) -> Result<(), RingError> {
        let result = self.put_slow(c, seat, length, lossy);
        if result.is_err() {
            seat.retreat(&self.memory);
        }
        result
    }

    #[inline]
    fn put_slow(
        &self,
        c: &mut Cursors,
        seat: &mut Seat,
        length: u64,
        lossy: bool,
    ) -> Result<(), RingError> {
        let short = self.memory.set_length(seat.block, length);
        let items = if self.batch == 1 { 1 } else { length as u32 };
        let mut walk = Walk::new(Side::Put);
        let mut seen = self.look(c.put.index)?;
        loop {
            let at = c.put;
            let empty = 2 * at.cycle;
            if seen.stamp > empty {
                let passed = Cursor {
                    cycle: (seen.stamp - 1) / 2,
                    index: at.index,
                };
                seen = self.step(c, &mut walk, seen.stamp, passed)?;
                continue;
            }
            if seen.stamp + 1 < empty {
                seen = self.rescan(c, &mut walk)?;
                continue;
            }
            // The epoch of the oldest item, if the ring is full. It counts only if the CAS
            // succeeds: otherwise the block may be in its next life. Acquire: pairs with the
            // Release stores of headers. The process that wrote this epoch had loaded it from the
            // gate, so the load that follows is no older.
            let old = (seen.stamp < empty)
                .then(|| BlockWord(self.memory.block(seen.block).load(Ordering::Acquire)).epoch());
            // The rule of the state: it is loaded after the slot's word that the CAS compares with.
            // A process that ended the stream has passed this position, or has found our item: see
            // `end`.
            if !self.memory.started() {
                return Err(RingError::Stopped);
            }
            // The rule of the gate is the same. While that word stands nobody puts. So an item in
            // front of ours was put before, and its epoch is not newer than the one loaded here:
            // along the ring epochs never fall, and cleared items are always the oldest. And it is
            // loaded again after each step of the cursor, on which `trust.rs` relies. Acquire:
            // pairs with the CAS that changes the gate. A put that it admits sees what its writer
            // did before.
            let gate = Ready(self.memory.ready().load(Ordering::Acquire));
            if !gate.is_ready() {
                return Err(RingError::NotReady);
            }
            let epoch = gate.epoch();
            let kind = match old {
                None => Kind::Put,
                Some(old) if old < epoch => Kind::Replace,
                Some(old) if old > epoch => {
                    return Err(RingError::Corrupt(
                        "an item's epoch is newer than the queue's",
                    ));
                }
                Some(_) if lossy => Kind::Drop,
                Some(_) => {
                    // Full only if that was the epoch of the item in this slot, and not of the
                    // block's next life.
                    let now = self.look(at.index)?;
                    if now == seen {
                        return Err(RingError::Full);
                    }
                    seen = now;
                    continue;
                }
            };
            // Release: pairs with the Acquire load above, by a racy reader that finds this block in
            // a slot it has left.
            store(
                self.memory.block(seat.block),
                BlockWord::new(epoch, 0, short).0,
                Ordering::Release,
            );
            match self.exchange(seat, at, seen, kind, items)? {
                Exchanged::Done => {
                    c.put = at.next(self.memory.shape().slots);
                    self.hint(self.memory.tail(), c.put);
                    return Ok(());
                }
                Exchanged::Lost(actual) => seen = actual,
            }
        }
    }
}
